"""The plain arg-maximum on a CPU: packs, cuts into chunks, and runs the compiled loops on threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MOST = 2
"""Best scores that the compiled loops can keep."""
DEFAULT_BYTES = 128 * 10**6  # of packed copies, where the caller sets no budget
MOST_ROWS = 32_768  # of a chunk; targets are packed once for each
CACHE = 3 * 2**18  # bytes of packed rows that stay in a core's second cache
TOGETHER = (8, 32)  # blocks of rows that share a panel, at least and at most


class Chunk(NamedTuple):
    """How much is packed at a time."""

    rows: int
    """Rows of x, whole blocks."""
    columns: int
    """Targets, whole panels."""


def available() -> bool:
    """Return whether compiled code may run; debuggers switch it off with NUMBA_DISABLE_JIT.

    Returns
    -------
    bool
        False where Numba only interprets.
    """
    import numba

    return not vars(numba.config)["DISABLE_JIT"]


def chunk_shape(
    m: int, n: int, dim: int, k: int, itemsize: int, budget: int | None = None
) -> Chunk | None:
    """Return rows and targets packed at a time within a budget, or None where it holds too few.

    Parameters
    ----------
    m, n, dim, k, itemsize : int
        Rows, targets, dimension, scores kept, bytes of a number.
    budget : int, optional
        Bytes of working memory; 128 MB by default.

    Returns
    -------
    Chunk or None
        Half of the budget for rows and what they have found, half for targets.
    """
    from ot_latent.kernels.product_max import ROWS, VECTORS, lanes

    budget = DEFAULT_BYTES if budget is None else budget
    width = VECTORS * lanes(itemsize)
    per_row = dim * itemsize + k * (lanes(itemsize) * (itemsize + 4))
    per_column = (dim + 1) * itemsize
    rows = min(-(-m // ROWS), MOST_ROWS // ROWS, budget // 2 // (per_row * ROWS))
    columns = min(-(-n // width), (budget - rows * ROWS * per_row) // (per_column * width))
    return Chunk(rows * ROWS, columns * width) if rows and columns > 0 else None


def best_k_fused(
    x: Tensor, points: Tensor, heights: Tensor, k: int, chunk: Chunk
) -> tuple[Tensor, Tensor] | None:
    r"""Return the `k` best scores :math:`\langle x_i, y_j\rangle + h_j` of each row, and their j.

    Row i of the result depends on row i of `x` alone, bit for bit, whatever the other rows, the
    chunks and the number of threads.

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Query rows, float32 or float64, on the CPU.
    points : Tensor of shape (N, d)
        Targets :math:`y_j`.
    heights : Tensor of shape (N,)
        Heights :math:`h_j`.
    k : int
        One or two.
    chunk : Chunk
        From `chunk_shape`.

    Returns
    -------
    values : Tensor of shape (m, k)
        Scores in falling order.
    indices : Tensor of shape (m, k), int64
        Their targets; equal scores are ordered by index. None instead of both where an argument
        or a best score is not finite: comparisons pass over NaN, `best_k_tiled` does not.
    """
    rows, targets, tall = (tensor.detach().contiguous().numpy() for tensor in (x, points, heights))
    values = np.empty((len(rows), k), rows.dtype)
    indices = np.empty((len(rows), k), np.int64)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), chunk.rows):
            part = slice(start, start + chunk.rows)
            shares = _shares(rows[part], values[part], indices[part], threads)
            if not _meet_all(shares, targets, tall, chunk.columns, pool):
                return None
    return torch.from_numpy(values), torch.from_numpy(indices)


class _Share:
    """Rows of one thread: packed, and what they have found so far."""

    def __init__(self, rows: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
        from ot_latent.kernels import product_max as compiled

        k, dim = values.shape[1], rows.shape[1]
        width, size = compiled.lanes(rows.itemsize), compiled.ROWS
        self.values, self.indices = values, indices
        blocks = -(-len(rows) // size)
        self.packed = np.empty((blocks, dim, size), rows.dtype)
        self.finite = compiled.pack(rows, size, self.packed)
        self.best = np.full((blocks, size, k, width), -np.inf, rows.dtype)
        self.place = np.zeros((blocks, size, k, width), np.int32)
        fewest, most = TOGETHER
        room = CACHE // (size * dim * rows.itemsize)
        self.together = min(most, max(fewest, room))
        self.run: Any = compiled.meet_best if k == 1 else compiled.meet_best_two

    def meet(self, panels: np.ndarray, tall: np.ndarray, offset: int) -> None:
        """Compare with some packed targets."""
        self.run(self.packed, panels, tall, self.best, self.place, offset, self.together)

    def finish(self) -> None:
        """Write the result."""
        from ot_latent.kernels.product_max import gather

        gather(self.best, self.place, self.values, self.indices)


def _shares(
    rows: np.ndarray, values: np.ndarray, indices: np.ndarray, threads: int
) -> list[_Share]:
    """Cut rows into one share for each thread, whole blocks."""
    from ot_latent.kernels.product_max import ROWS

    blocks = -(-len(rows) // ROWS)
    step = -(-blocks // threads) * ROWS
    cuts = [slice(start, start + step) for start in range(0, len(rows), step)]
    return [_Share(rows[cut], values[cut], indices[cut]) for cut in cuts]


def _meet_all(
    shares: list[_Share],
    targets: np.ndarray,
    tall: np.ndarray,
    columns: int,
    pool: ThreadPoolExecutor,
) -> bool:
    """Let all targets pass, a chunk at a time; tell whether all numbers were finite."""
    from ot_latent.kernels.product_max import VECTORS, lanes

    width = VECTORS * lanes(targets.itemsize)
    if not all(share.finite for share in shares) or not np.isfinite(tall).all():
        return False
    for start in range(0, len(targets), columns):
        panels = _pack_targets(targets[start : start + columns], width, len(shares), pool)
        if panels is None:
            return False
        padded = np.full(panels.shape[0] * width, -np.inf, targets.dtype)
        here = tall[start : start + columns]
        padded[: len(here)] = here
        padded = padded.reshape(-1, width)
        offset = start // width
        for done in [pool.submit(share.meet, panels, padded, offset) for share in shares]:
            done.result()
    for done in [pool.submit(share.finish) for share in shares]:
        done.result()
    return all(bool(np.isfinite(share.values).all()) for share in shares)


def _pack_targets(
    targets: np.ndarray, width: int, parts: int, pool: ThreadPoolExecutor
) -> np.ndarray | None:
    """Lay targets out in panels, on all threads; None if a number is not finite."""
    from ot_latent.kernels.product_max import pack

    count = -(-len(targets) // width)
    panels = np.empty((count, targets.shape[1], width), targets.dtype)
    step = -(-count // parts)
    cuts = [slice(p, p + step) for p in range(0, count, step)]
    finite = [
        pool.submit(pack, targets[c.start * width : c.stop * width], width, panels[c]) for c in cuts
    ]
    return panels if all(done.result() for done in finite) else None
