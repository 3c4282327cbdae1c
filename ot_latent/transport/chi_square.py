"""Unbiased estimates of the chi-square mass error, from independent draws and from blocks of draws."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def chi_square(counts: Tensor, weights: Tensor) -> tuple[float, float]:
    r"""Return the unbiased estimate of :math:`\sum_j (w_j-\nu_j)^2/\nu_j` and its standard error.

    Parameters
    ----------
    counts : Tensor of shape (N,), int64
        Independent draws per cell.
    weights : Tensor of shape (N,), float64
        Target masses.

    Returns
    -------
    estimate : float
        U-statistic; infinite below two draws.
    standard_error : float
        Square root of Hoeffding's variance, estimated from the counts.

    Examples
    --------
    >>> chi_square(torch.tensor([50, 50]), torch.tensor([0.5, 0.5]).double())[0]  # doctest: +ELLIPSIS
    -0.0101...
    """
    n = int(counts.sum())
    if n < 3:
        return math.inf, math.inf
    c = counts.double()
    pairs = c * (c - 1)
    second = float((pairs / weights).sum()) / (n * (n - 1))
    triples = pairs * (c - 2)
    third = float((triples / weights.square()).sum()) / (n * (n - 1) * (n - 2))
    square = float((pairs / weights.square()).sum()) / (n * (n - 1))
    zeta1 = max(0.0, third - second**2)  # Var E[kernel | one draw]
    zeta2 = max(0.0, square - second**2)  # Var kernel
    variance = (4 * (n - 2) * zeta1 + 2 * zeta2) / (n * (n - 1))
    return second - 1, math.sqrt(variance)


class BlockCounts(NamedTuple):
    """Counts of draws that come in blocks of equal size, dependent within a block."""

    counts: Tensor
    """Draws per cell C_j, shape (N,), int64."""
    squares: Tensor
    """Sum over blocks of the squared block counts, shape (N,), int64."""
    cells: Tensor
    """Cell of every draw, shape (blocks, draws of a block), int64."""

    def estimate(self, weights: Tensor) -> float:
        r"""Return the unbiased estimate of rms^2, see `chi_square`.

        Parameters
        ----------
        weights : Tensor of shape (N,), float64
            Target masses.

        Returns
        -------
        float
            The estimate; infinite below two blocks.
        """
        blocks, size = self.cells.shape
        if blocks < 2:
            return math.inf
        total = float(((self.counts.double().square() - self.squares) / weights).sum())
        return total / (blocks * (blocks - 1) * float(size) ** 2) - 1

    def chi_square(self, weights: Tensor) -> tuple[float, float]:
        r"""Return the unbiased estimate of rms^2 and its standard error.

        Products of counts of one block are biased by the dependence inside, so only different
        blocks meet: with C the counts of n draws and c^b those of the :math:`n_b` of block b,

        .. math:: \sum_j \frac{C_j^2 - \sum_b (c^b_j)^2}{\nu_j (n^2 - \sum_b n_b^2)} - 1,

        and the standard error is the jackknife's over blocks.

        Parameters
        ----------
        weights : Tensor of shape (N,), float64
            Target masses.

        Returns
        -------
        estimate : float
            Infinite below three blocks.
        standard_error : float
            Its standard error.
        """
        from ot_latent.kernels.tally import block_products

        blocks, size = self.cells.shape
        if blocks < 3:
            return math.inf, math.inf
        ratio = self.counts.double() / weights
        estimate, pairs = self.estimate(weights), float(size) ** 2
        total = (estimate + 1) * blocks * (blocks - 1) * pairs
        inverse = (1 / weights).cpu().numpy()
        cross, own = block_products(self.cells.cpu().numpy(), ratio.cpu().numpy(), inverse)
        without = total - 2 * torch.from_numpy(cross) + 2 * torch.from_numpy(own)
        left_out = without / ((blocks - 1) * (blocks - 2) * pairs)
        spread = float((left_out - left_out.mean()).square().sum()) * (blocks - 1) / blocks
        return estimate, math.sqrt(spread)

    def inflation(self, weights: Tensor) -> float:
        r"""Return the factor v by which dependence inside blocks inflates the variance of counts.

        .. math:: v = \sum_j \mathrm{Var}(c^b_j)/\nu_j \Big/
            n_b \sum_j w_j (1 - w_j)/\nu_j ,

        one for independent draws; the denominator is :math:`n_b (N - 1)` where w = nu.

        Parameters
        ----------
        weights : Tensor of shape (N,), float64
            Target masses.

        Returns
        -------
        float
            Estimate of v; one below three blocks, and where one cell took every draw.
        """
        blocks, size = self.cells.shape
        if blocks < 3:
            return 1.0
        counts = self.counts.double()
        between = self.squares - counts.square() / blocks
        variance = float((between / weights).sum()) / (blocks - 1)
        first = float((counts / weights).sum()) / (blocks * size)
        alone = size * (first - 1 - self.estimate(weights))
        return variance / alone if alone > 0 else 1.0  # every draw fell into one cell
