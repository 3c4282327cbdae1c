"""Measure the cells of a potential by fresh draws: masses, centroids, spread, cost, chi-square.

Whatever is summed over draws is an integer (counts, coordinates in fixed point), so sums do not
depend on their order, on the number of processes, or on where a run was interrupted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.chi_square import BlockCounts, chi_square
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.processes import add_over_processes, process_rank
from ot_latent.transport.product import ProductForm
from ot_latent.transport.sources import Source

CHUNK_ROWS = 8 * BLOCK_ROWS  # rows scored at a time; a multiple of the blocks of randomness
FIXED_POINT = 2.0**24
NORMAL_QUANTILE = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class CellSurvey:
    """Integer sums over draws from the source, cell by cell.

    Draws are independent, or come in independent blocks of one size (`survey_blocks`).

    Attributes
    ----------
    counts : Tensor of shape (N,), int64
        Draws that fell into each cell.
    sums : Tensor of shape (N, d), int64, or None
        Sum of their coordinates, times 2^24; of the coordinates of `form` where there is one. None
        where nobody asked for centroids.
    square_sum : int
        Sum of |x|^2 / unit over all draws, times 2^24.
    cost_sums : tuple of int
        Sums of c / unit and of (c / unit)^2 for the cost c = |x - T(x)|^2, times 2^24; of blocks,
        c is the mean of a block.
    unit : float
        A power of two above the squares that occur, so that integers do not overflow.
    form : ProductForm or None
        Coordinates in which the sums are; None for those of the source.
    squares : Tensor of shape (N,), int64, or None
        Sum over blocks of squared block counts; None for independent draws.
    cells : Tensor of shape (blocks, draws of a block), int32, or None
        Cell of every draw; None for independent draws.
    """

    counts: Tensor
    sums: Tensor | None
    square_sum: int
    cost_sums: tuple[int, int]
    unit: float
    form: ProductForm | None = None
    squares: Tensor | None = None
    cells: Tensor | None = None

    @property
    def blocks(self) -> BlockCounts | None:
        """Counts with what their dependence inside blocks asks for; None for independent draws."""
        if self.squares is None or self.cells is None:
            return None
        return BlockCounts(self.counts, self.squares, self.cells)

    @property
    def draws(self) -> int:
        """Number of draws."""
        return int(self.counts.sum())

    def masses(self) -> Tensor:
        """Return the share of the draws in each cell.

        Returns
        -------
        Tensor of shape (N,), float64
            Estimated masses w_j.
        """
        return self.counts.double() / max(self.draws, 1)

    def mean_square_error(self, weights: Tensor) -> tuple[float, float]:
        r"""Return an unbiased estimate of rms^2 and its standard error.

        See `chi_square` for independent draws and `BlockCounts.chi_square` for blocks.

        Parameters
        ----------
        weights : Tensor of shape (N,)
            Target masses :math:`\nu_j`.

        Returns
        -------
        estimate : float
            Of rms^2; may be negative.
        standard_error : float
            Its standard error.
        """
        blocks = self.blocks
        return blocks.chi_square(weights) if blocks else chi_square(self.counts, weights)

    def inflation(self, weights: Tensor) -> float:
        """Return the factor by which blocks inflate the variance of counts; 1 without blocks.

        Parameters
        ----------
        weights : Tensor of shape (N,)
            Target masses.

        Returns
        -------
        float
            v, see `BlockCounts.inflation`.
        """
        blocks = self.blocks
        return blocks.inflation(weights) if blocks else 1.0

    def mass_error(self, weights: Tensor) -> tuple[float, tuple[float, float]]:
        """Return the rms cell error and its 95 % interval.

        Parameters
        ----------
        weights : Tensor of shape (N,)
            Target masses.

        Returns
        -------
        error : float
            Square root of the unbiased estimate of rms^2, zero where that is negative.
        interval : tuple of float
            Its ends, from the interval of rms^2.
        """
        estimate, deviation = self.mean_square_error(weights)
        ends = [estimate + sign * NORMAL_QUANTILE * deviation for sign in (-1, 1)]
        low, high = (math.sqrt(max(0.0, end)) for end in ends)
        return math.sqrt(max(0.0, estimate)), (low, high)

    def centroids(self, fallback: Tensor) -> Tensor | None:
        """Return the mean of the draws in each cell; None without sums.

        Parameters
        ----------
        fallback : Tensor of shape (N, d)
            Used for cells that no draw hit.

        Returns
        -------
        Tensor of shape (N, d)
            Centroids, in the dtype of `fallback`.
        """
        means = self._means()
        if means is None:
            return None
        return torch.where((self.counts > 0)[:, None], means.to(fallback), fallback)

    def _means(self) -> Tensor | None:
        """Return the mean of the draws of each cell; of no meaning where there are none."""
        if self.sums is None:
            return None
        means = self.sums.double() / FIXED_POINT / self.counts.clamp_min(1)[:, None]
        return means if self.form is None else self.form.points(means)

    def within_scale(self) -> float | None:
        """Return the rms per coordinate of x - centroid inside the cells; None without sums.

        The sum of squares around the sample means is divided by n minus the number of hit cells,
        which makes the square unbiased for cells of equal spread.

        Returns
        -------
        float
            The scale; zero where every hit cell holds one draw.
        """
        hit, means = self.counts > 0, self._means()
        if means is None:
            return None
        between = float((means.square().sum(dim=1) * self.counts)[hit].sum())
        freedom = self.draws - int(hit.sum())
        if freedom <= 0:
            return 0.0
        inside = max(0.0, self.square_sum / FIXED_POINT * self.unit - between)
        return math.sqrt(inside / freedom / means.shape[1])

    def cost(self) -> tuple[float, tuple[float, float]]:
        """Return the mean cost |x - T(x)|^2 and its 95 % interval.

        Returns
        -------
        cost : float
            Estimate of the transport cost.
        interval : tuple of float
            Its ends.
        """
        n = max(self.draws if self.cells is None else len(self.cells), 1)
        mean, second = (total / FIXED_POINT / n for total in self.cost_sums)
        half = NORMAL_QUANTILE * math.sqrt(max(0.0, second - mean**2) / n)
        return mean * self.unit, ((mean - half) * self.unit, (mean + half) * self.unit)

    def merged(self, other: CellSurvey) -> CellSurvey:
        """Return the survey of both sets of draws.

        Parameters
        ----------
        other : CellSurvey
            Survey of the same potential on other draws.

        Returns
        -------
        CellSurvey
            Sums added.
        """
        mine, theirs = self.blocks, other.blocks
        return replace(
            self,
            squares=mine.squares + theirs.squares if mine and theirs else None,
            cells=torch.cat([mine.cells, theirs.cells]) if mine and theirs else None,
            counts=self.counts + other.counts,
            sums=None if self.sums is None or other.sums is None else self.sums + other.sums,
            square_sum=self.square_sum + other.square_sum,
            cost_sums=(
                self.cost_sums[0] + other.cost_sums[0],
                self.cost_sums[1] + other.cost_sums[1],
            ),
        )


def survey_cells(
    potential: BrenierPotential,
    source: Source,
    draws: int,
    *,
    seed: int,
    start: int = 0,
    stream: Stream = Stream.EVALUATION,
    memory_budget: int | str | None = None,
) -> CellSurvey:
    """Draw from the source and sum up what falls into each cell.

    Under `torch.distributed` each process takes every world-th chunk and the integers are added,
    so the result is the same for any number of processes.

    Parameters
    ----------
    potential : BrenierPotential
        Its cells are measured.
    source : Source
        Where the draws come from.
    draws : int
        How many.
    seed : int
        Seed of the stream.
    start : int, default=0
        First row of the stream.
    stream : Stream, default=Stream.EVALUATION
        Which stream.
    memory_budget : int or str, optional
        As in `ot_latent.kernels.dispatch.best_scores`.

    Returns
    -------
    CellSurvey
        Integer sums.
    """
    points, heights = potential.points, potential.heights
    n, d = points.shape
    counts = torch.zeros(n, dtype=torch.int64, device=points.device)
    sums = torch.zeros(n, d, dtype=torch.int64, device=points.device)
    totals = torch.zeros(3, dtype=torch.int64, device=points.device)
    unit = square_unit(float(points.double().square().sum(dim=1).max()), source)
    rank, world = process_rank()
    for low in range(start + rank * CHUNK_ROWS, start + draws, world * CHUNK_ROWS):
        rows = min(CHUNK_ROWS, start + draws - low)
        x = source.sample(
            rows, seed=seed, stream=stream, start=low, dtype=points.dtype, device=points.device
        )
        cell = best_scores(x, points, heights, 1, memory_budget=memory_budget)[1][:, 0]
        counts += torch.bincount(cell, minlength=n)
        sums.index_add_(0, cell, fixed_point(x))
        cost = (x - points[cell]).double().square().sum(dim=1) / unit
        squares = x.double().square().sum(dim=1) / unit
        totals += torch.stack([fixed_point(v).sum() for v in (squares, cost, cost.square())])
    for tensor in (counts, sums, totals):
        add_over_processes(tensor)
    square_sum, cost_sum, cost_square = totals.tolist()
    return CellSurvey(counts, sums, square_sum, (cost_sum, cost_square), unit)


def square_unit(largest: float, source: Source) -> float:
    """Return a power of two above typical |x|^2 and |x - y|^2.

    Parameters
    ----------
    largest : float
        Largest squared norm of a target.
    source : Source
        Source.

    Returns
    -------
    float
        The unit of squares in fixed point.
    """
    second = float(source.covariance.trace() + source.mean.square().sum())
    return 2.0 ** math.ceil(math.log2(4 * (second + largest)))


def fixed_point(values: Tensor) -> Tensor:
    """Return values as integers, times 2^24, so that sums are exact.

    Parameters
    ----------
    values : Tensor
        Finite numbers below 2^39 over the number of summands.

    Returns
    -------
    Tensor
        Same shape, int64.
    """
    return (values.double() * FIXED_POINT).round().to(torch.int64)
