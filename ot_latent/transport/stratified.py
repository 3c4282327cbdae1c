r"""Stratified noise: scrambled Sobol points carried to any source, row by row.

The first :math:`2^m` rows of independent noise leave some regions twice as full as others; those
of a scrambled Sobol sequence (Owen 1995) are spread evenly over all of them. Each row alone still has the
source's law, so means stay unbiased, and the variance of what is averaged over many rows
(shares of classes, say) falls. How much is measured, not guaranteed: little is left to gain for
cells that few rows fall into.

Owen. "Randomly permuted (t,m,s)-nets and (t,s)-sequences." Monte Carlo and Quasi-Monte Carlo
Methods in Scientific Computing, 1995.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream, generator

if TYPE_CHECKING:
    from ot_latent.transport.sources import Source

BITS = 30  # of a coordinate; the sequence has 2**30 rows
MOST_DIM = 21_200  # direction numbers are known for one dimension more


def stratified_noise(
    source: Source,
    n: int,
    *,
    seed: int,
    start: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return rows ``start .. start + n - 1`` of the source's stratified noise of a seed.

    Rows are most even where they begin at a multiple of a power of two and are as many: every
    such block is a net by itself.

    Parameters
    ----------
    source : Source
        Noise; its rows must take at most d + 1 uniform or normal draws, as all of ours do.
    n : int
        How many rows.
    seed : int
        Seed of the scramble.
    start : int, default=0
        First row.
    dtype : torch.dtype, default=torch.float64
        Precision of the result.
    device : torch.device or str, default="cpu"
        Where the result goes.

    Returns
    -------
    Tensor of shape (n, d)
        Row i is a function of (seed, start + i) alone; rows are not independent of each other.

    Raises
    ------
    ValueError
        If the sequence has no such rows, or not so many dimensions.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> x = stratified_noise(UniformBox.unit(1), 8, seed=0)[:, 0]
    >>> sorted((8 * x).int().tolist())  # one row in each eighth
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    from scipy.stats import qmc

    if source.dim > MOST_DIM:
        raise ValueError(
            f"source must have at most {MOST_DIM} dimensions for stratified noise, got "
            f"{source.dim}; draw independent noise."
        )
    if start + n > 2**BITS:
        raise ValueError(
            f"start + n must be at most 2**{BITS}, the length of the sequence, got {start + n}; "
            "take another seed for further rows."
        )
    rng = generator(seed, Stream.STRATIFIED, 0)
    sequence = qmc.Sobol(source.dim + 1, scramble=True, bits=BITS, seed=rng)
    first, last = start // BLOCK_ROWS, -(-(start + n) // BLOCK_ROWS)
    if first:
        sequence.fast_forward(first * BLOCK_ROWS)
    blocks = [sequence.random(BLOCK_ROWS) for _ in range(first, max(last, first + 1))]
    columns = cast("np.random.Generator", _Columns(np.concatenate(blocks) + 0.5**BITS / 2))
    whole = source._draw(columns, BLOCK_ROWS * len(blocks))
    offset = start - first * BLOCK_ROWS
    return torch.from_numpy(whole[offset : offset + n]).to(device=device, dtype=dtype)


class _Columns:
    """Columns of a sequence in the place of a random generator: each request takes the next ones."""

    def __init__(self, uniforms: np.ndarray) -> None:
        self.uniforms, self.taken = uniforms, 0

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the next columns, uniform on (0, 1)."""
        first, self.taken = self.taken, self.taken + shape[1]
        return self.uniforms[:, first : self.taken].copy()

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the next columns, standard normal."""
        from scipy.special import ndtri

        return ndtri(self.random(shape))
