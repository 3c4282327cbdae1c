"""Noise and its cells, in whole blocks of rows; redrawn until the cell is an allowed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent._validation import check_positive

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap
    from ot_latent.transport.sources import Source

PATIENCE = 100  # times the expected draws of a block; rows still open then are no accident


def draw_cells(
    source: Source,
    map_: ExtendedMap,
    n: int,
    seed: int,
    allowed: Tensor | None = None,
    *,
    share: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Draw noise and its cells, in whole blocks of 1024 rows.

    With `allowed`, a row whose cell is not allowed is replaced by the same row of the next
    attempt: this draws from the source restricted to the allowed cells. All rows of a block
    are always drawn, so a row does not depend on the request.

    Parameters
    ----------
    source : Source
        Noise.
    map_ : ExtendedMap
        Gives the cells, the precision and the device.
    n : int
        How many rows are wanted.
    seed : int
        Seed.
    allowed : Tensor of shape (N,), bool, optional
        Cells that may be returned.
    share : float, default=1.0
        Mass that the allowed cells should have.

    Returns
    -------
    x : Tensor of shape (m, d)
        Noise, m the smallest multiple of 1024 that is at least `n`.
    cells : Tensor of shape (m,)
        Cells.

    Raises
    ------
    ValueError
        If `n` is not a positive integer, or hardly any noise falls into the allowed cells.
    """
    check_positive(n, "n", integer=True)
    blocks = [_block(source, map_, b, seed, allowed, share) for b in range(-(-n // BLOCK_ROWS))]
    return torch.cat([x for x, _ in blocks]), torch.cat([cells for _, cells in blocks])


def _block(
    source: Source,
    map_: ExtendedMap,
    block: int,
    seed: int,
    allowed: Tensor | None,
    share: float,
) -> tuple[Tensor, Tensor]:
    """One block of noise and cells."""
    x = _noise(source, map_, block, seed, 0)
    cells = map_.cell_index(x)
    if allowed is None:
        return x, cells
    drawn, accepted, attempt = BLOCK_ROWS, int(allowed[cells].sum()), 0
    while accepted < BLOCK_ROWS:
        attempt += 1
        open_rows = torch.nonzero(~allowed[cells]).squeeze(1)
        if drawn > PATIENCE * BLOCK_ROWS / share:
            raise ValueError(
                f"label must have cells that noise falls into, got {accepted} of {BLOCK_ROWS} rows "
                f"after {drawn} draws; solve to a smaller tolerance."
            )
        x[open_rows] = _noise(source, map_, block, seed, attempt)[open_rows]
        cells[open_rows] = map_.cell_index(x[open_rows])
        drawn += len(open_rows)
        accepted = int(allowed[cells].sum())
    return x, cells


def _noise(source: Source, map_: ExtendedMap, block: int, seed: int, attempt: int) -> Tensor:
    """Noise of one block, in the precision and on the device of the codes."""
    points = map_.potential.points
    return source.sample(
        BLOCK_ROWS,
        seed=seed,
        stream=Stream.SAMPLING,
        start=block * BLOCK_ROWS,
        attempt=attempt,
        dtype=points.dtype,
        device=points.device,
    )
