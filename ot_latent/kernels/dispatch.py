"""The public door of the hot primitive: best k scores, and k nearest neighbours as its case.

Transport, extension and metrics all ask the same question: which targets maximise
``<x, y_j> + h_j``? With ``h_j = -|y_j|^2 / 2`` they are the nearest neighbours of x.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from ot_latent.kernels import fused, lifted_tree
from ot_latent.kernels.tiled import GROUP, TileShape, best_k_tiled

COMPILED_WORK = 2 * 10**8  # multiply-adds; fewer take less time than loading compiled code
COMPILED_ROWS = 32  # fewer rows do not pay for packing the targets
GPU_WORK = 2 * 10**9  # multiply-adds from which a GPU has more to do than launches; not measured
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def best_scores(
    x: Tensor,
    points: Tensor,
    heights: Tensor,
    k: int = 1,
    *,
    memory_budget: int | str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return the `k` best scores :math:`s_j(x_i) = \langle x_i, y_j\rangle + h_j` of each row.

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Query rows, on any device.
    points : Tensor of shape (N, d)
        Targets :math:`y_j`, in the dtype and on the device of `x`.
    heights : Tensor of shape (N,)
        Heights :math:`h_j`.
    k : int, default=1
        How many scores to keep.
    memory_budget : int or str, optional
        Bytes (or "500MB", "2GB") that the working memory may take, the result apart; by default
        at most 128 MB on a CPU, 512 MB on a GPU.

    Returns
    -------
    values : Tensor of shape (m, k)
        Scores in falling order.
    indices : Tensor of shape (m, k), int64
        Their targets; equal scores go to the smallest index.

    Raises
    ------
    ValueError
        If shapes do not fit, `k` exceeds N, or the budget is too small for one tile.

    Examples
    --------
    >>> import torch
    >>> y = torch.tensor([[0.0], [1.0], [1.0]])
    >>> best_scores(torch.tensor([[2.0]]), y, torch.zeros(3), k=2)
    (tensor([[2., 2.]]), tensor([[1, 2]]))
    """
    _check(x, points, heights, k)
    if x.device.type == "cuda":
        found = _best_on_gpu(x, points, heights, k, memory_budget)
        if found is not None:
            return found
    if _worth_compiling(x, points, k):
        budget = None if memory_budget is None else parse_bytes(memory_budget)
        found = _best_by_tree(x, points, heights, k, budget)
        if found is None:
            found = _best_fused(x, points, heights, k, budget)
        if found is not None:
            return found
    shape = tile_shape(len(points), points.shape[1], k, x, memory_budget)
    return best_k_tiled(x, points, heights, k, shape)


def nearest(
    x: Tensor, points: Tensor, k: int = 1, *, memory_budget: int | str | None = None
) -> tuple[Tensor, Tensor]:
    """Return the `k` nearest targets of each row in Euclidean distance.

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Query rows.
    points : Tensor of shape (N, d)
        Targets.
    k : int, default=1
        How many neighbours.
    memory_budget : int or str, optional
        As in `best_scores`.

    Returns
    -------
    distances : Tensor of shape (m, k)
        Distances, recomputed from the differences of coordinates (no cancellation).
    indices : Tensor of shape (m, k), int64
        The neighbours, nearest first by score; equal scores go to the smallest index.

    Examples
    --------
    >>> import torch
    >>> nearest(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0], [3.0]]))
    (tensor([[0.1000]]), tensor([[1]]))
    """
    centre = points.mean(dim=0)  # distances do not see it, rounding does
    shifted = points - centre
    heights = -0.5 * (shifted * shifted).sum(dim=1)
    _, indices = best_scores(x - centre, shifted, heights, k, memory_budget=memory_budget)
    distances = x.new_empty(indices.shape)
    step = max(1, 2**22 // (k * points.shape[1]))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        difference = points[indices[rows]] - x[rows, None]  # (s, k, d)
        distances[rows] = difference.square().sum(dim=2).sqrt()
    return distances, indices


def _worth_compiling(x: Tensor, points: Tensor, k: int) -> bool:
    """Whether the request is large enough for compiled code and of a kind that it knows.

    The choice depends on the request alone, never on what is already compiled, and both compiled
    ways give the same bits: equal requests are answered by equal arithmetic.
    """
    known = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    large = len(x) >= COMPILED_ROWS and len(x) * points.numel() >= COMPILED_WORK
    return known and large and fused.available()


def _best_on_gpu(
    x: Tensor, points: Tensor, heights: Tensor, k: int, memory_budget: int | str | None
) -> tuple[Tensor, Tensor] | None:
    """Return what a fused product on a GPU finds, or None where there is none or little to do."""
    large = len(x) * points.numel() >= GPU_WORK
    if k > fused.MOST or x.dtype != torch.float32 or not large:
        return None
    from ot_latent.kernels import triton_best

    budget = triton_best.BUDGET if memory_budget is None else parse_bytes(memory_budget)
    if budget < triton_best.least_bytes(points.shape[1]) or not triton_best.works(x.device):
        return None
    return triton_best.best_k_triton(x, points, heights, k, budget=budget)


def _best_fused(
    x: Tensor, points: Tensor, heights: Tensor, k: int, budget: int | None
) -> tuple[Tensor, Tensor] | None:
    """Return what the compiled comparison with all targets finds, or None where it cannot."""
    if k > fused.MOST:
        return None
    chunk = fused.chunk_shape(len(x), len(points), points.shape[1], k, x.element_size(), budget)
    return None if chunk is None else fused.best_k_fused(x, points, heights, k, chunk)


def _best_by_tree(
    x: Tensor, points: Tensor, heights: Tensor, k: int, budget: int | None
) -> tuple[Tensor, Tensor] | None:
    """Return what a tree finds, rows that it leaves open compared with all targets, or None."""
    m, (n, dim) = len(x), points.shape
    few = k <= fused.MOST
    small = budget is not None and lifted_tree.needed_bytes(n, dim, k) > budget
    if small or not lifted_tree.pays(m, n, dim, k, few) or not bool(torch.isfinite(x).all()):
        return None
    tree = lifted_tree.LiftedTree(points, heights)
    # The eager way rounds otherwise than the tree, so that there no clock may choose between them.
    patience = lifted_tree.comparing(n, dim, few) if few else math.inf
    found = tree.best(x, k, patience) if tree.suits else None
    if found is None:
        return None
    values, indices, certain = found
    left = torch.nonzero(~certain)[:, 0]
    if len(left):
        again = _best_fused(x[left], points, heights, k, budget)
        if again is None:
            shape = tile_shape(n, dim, k, x, budget)
            again = best_k_tiled(x[left], points, heights, k, shape)
        values[left], indices[left] = again
    return values, indices


def tile_shape(
    n: int, d: int, k: int, like: Tensor, memory_budget: int | str | None = None
) -> TileShape:
    """Choose rows and targets of a tile so that the working memory stays in the budget.

    Parameters
    ----------
    n, d, k : int
        Number of targets, dimension, scores kept.
    like : Tensor
        Gives the device and the size of a number.
    memory_budget : int or str, optional
        Bytes, or a string such as "2GB".

    Returns
    -------
    TileShape
        Rows and targets of one tile.

    Raises
    ------
    ValueError
        If the budget does not hold one group of targets for one row.
    """
    on_cpu = like.device.type == "cpu"
    shape = TileShape(1024, 1024) if on_cpu else TileShape(4096, 16384)
    budget = parse_bytes(memory_budget) if memory_budget is not None else None
    if budget is None and not on_cpu:
        budget = 512 * 10**6
    if budget is None:
        return shape
    size = like.element_size()
    groups = -(-n // GROUP)
    rows, columns = shape

    def needed() -> int:
        tile = rows * columns * size * 3  # scores, gathered candidates, their order
        candidates = min(k, groups) * GROUP * (d + 2) * size  # of one row at least
        return tile + candidates + rows * groups * size * 2 + rows * k * 16

    while needed() > budget and (rows > 1 or columns > GROUP):
        rows, columns = (rows // 2, columns) if rows * GROUP >= columns else (rows, columns // 2)
        rows, columns = max(rows, 1), max(columns // GROUP * GROUP, GROUP)
    if needed() > budget:
        raise ValueError(
            f"memory_budget must hold one tile of scores for {n} targets, {needed():,} bytes, "
            f"got {budget:,}; raise it, or use fewer targets."
        )
    return TileShape(rows, columns)


def parse_bytes(value: int | str) -> int:
    """Read a number of bytes from an integer or from text such as "500MB" or "2 GB".

    Parameters
    ----------
    value : int or str
        Number of bytes, or a number with unit B, KB, MB, GB or TB (powers of 1000).

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ValueError
        If the text cannot be read or the number is not positive.

    Examples
    --------
    >>> parse_bytes("1.5GB")
    1500000000
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?B?)\s*", str(value).upper())
    unit = match.group(2) if match else None
    if match is None or unit not in _UNITS or float(match.group(1)) <= 0:
        raise ValueError(
            f"memory_budget must be a positive number of bytes, got {value!r}; write for example "
            "500000000, '500MB' or '2GB'."
        )
    return int(float(match.group(1)) * _UNITS[unit])


def _check(x: Tensor, points: Tensor, heights: Tensor, k: int) -> None:
    """Refuse what would broadcast or fail deep inside."""
    if x.ndim != 2 or points.ndim != 2 or x.shape[1] != points.shape[1]:
        raise ValueError(
            f"x and points must have shapes (m, d) and (N, d), got {tuple(x.shape)} and "
            f"{tuple(points.shape)}; pass rows of the same dimension."
        )
    if heights.shape != (len(points),):
        raise ValueError(
            f"heights must have shape ({len(points)},), one per target, got "
            f"{tuple(heights.shape)}; pass a vector."
        )
    if x.dtype != points.dtype or x.dtype != heights.dtype or x.device != points.device:
        raise TypeError(
            f"x, points and heights must share dtype and device, got {x.dtype} on {x.device}, "
            f"{points.dtype} on {points.device} and {heights.dtype}; convert with .to(points)."
        )
    if not 1 <= k <= len(points):
        raise ValueError(
            f"k must lie in 1..{len(points)}, the number of targets, got {k}; lower k."
        )
