"""Noise and its cells, in whole blocks of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent._validation import check_positive
from ot_latent.transport.stratified import stratified_noise

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap
    from ot_latent.transport.sources import Source


def draw_cells(
    source: Source, map_: ExtendedMap, n: int, seed: int, *, stratified: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw noise and its cells, in whole blocks of 1024 rows, so that no row sees the request.

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
    stratified : bool, default=False
        Whether rows are those of `transport.stratified` in place of independent ones.

    Returns
    -------
    x : Tensor of shape (m, d)
        Noise, m the smallest multiple of 1024 that is at least `n`.
    cells : Tensor of shape (m,)
        Cells.

    Raises
    ------
    ValueError
        If `n` is not a positive integer.
    """
    check_positive(n, "n", integer=True)
    rows, like = -(-n // BLOCK_ROWS) * BLOCK_ROWS, map_.potential.points
    if stratified:
        x = stratified_noise(source, rows, seed=seed, dtype=like.dtype, device=like.device)
    else:
        x = source.sample(
            rows, seed=seed, stream=Stream.SAMPLING, dtype=like.dtype, device=like.device
        )
    return x, map_.cell_index(x)
