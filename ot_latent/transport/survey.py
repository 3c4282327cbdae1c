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
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Source

CHUNK_ROWS = 8 * BLOCK_ROWS  # rows scored at a time; a multiple of the blocks of randomness
FIXED_POINT = 2.0**24
NORMAL_QUANTILE = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class CellSurvey:
    """Integer sums over independent draws from the source, cell by cell.

    Attributes
    ----------
    counts : Tensor of shape (N,), int64
        Draws that fell into each cell.
    sums : Tensor of shape (N, d), int64
        Sum of their coordinates, times 2^24.
    square_sum : int
        Sum of |x|^2 / unit over all draws, times 2^24.
    cost_sums : tuple of int
        Sums of c / unit and of (c / unit)^2 for the cost c = |x - T(x)|^2, times 2^24.
    unit : float
        A power of two above the squares that occur, so that integers do not overflow.
    """

    counts: Tensor
    sums: Tensor
    square_sum: int
    cost_sums: tuple[int, int]
    unit: float

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

        With counts c of n draws, :math:`\sum_j c_j (c_j - 1)/\nu_j / (n (n - 1)) - 1` is a
        U-statistic of mean :math:`\sum_j (w_j - \nu_j)^2 / \nu_j`; its variance is Hoeffding's,
        :math:`4 (n-2) \zeta_1 + 2 \zeta_2` over :math:`n (n-1)`, with both terms estimated from
        the counts.

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
        return chi_square(self.counts, weights)

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

    def centroids(self, fallback: Tensor) -> Tensor:
        """Return the mean of the draws in each cell.

        Parameters
        ----------
        fallback : Tensor of shape (N, d)
            Used for cells that no draw hit.

        Returns
        -------
        Tensor of shape (N, d)
            Centroids, in the dtype of `fallback`.
        """
        hit = self.counts > 0
        means = self.sums.double() / FIXED_POINT / self.counts.clamp_min(1)[:, None]
        return torch.where(hit[:, None], means.to(fallback), fallback)

    def within_scale(self) -> float:
        """Return the rms per coordinate of x - centroid inside the cells.

        The sum of squares around the sample means is divided by n minus the number of hit cells,
        which makes the square unbiased for cells of equal spread.

        Returns
        -------
        float
            The scale; zero where every hit cell holds one draw.
        """
        hit = self.counts > 0
        means_square = (self.sums[hit].double() / FIXED_POINT).square().sum(dim=1)
        between = float((means_square / self.counts[hit]).sum())
        freedom = self.draws - int(hit.sum())
        if freedom <= 0:
            return 0.0
        inside = max(0.0, self.square_sum / FIXED_POINT * self.unit - between)
        return math.sqrt(inside / freedom / self.sums.shape[1])

    def cost(self) -> tuple[float, tuple[float, float]]:
        """Return the mean cost |x - T(x)|^2 and its 95 % interval.

        Returns
        -------
        cost : float
            Estimate of the transport cost.
        interval : tuple of float
            Its ends.
        """
        n = max(self.draws, 1)
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
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            square_sum=self.square_sum + other.square_sum,
            cost_sums=(
                self.cost_sums[0] + other.cost_sums[0],
                self.cost_sums[1] + other.cost_sums[1],
            ),
        )


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
    unit = _square_unit(points, source)
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


def _square_unit(points: Tensor, source: Source) -> float:
    """Return a power of two above typical |x|^2 and |x - y|^2."""
    second = float(source.covariance.trace() + source.mean.square().sum())
    largest = float(points.double().square().sum(dim=1).max())
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


def process_rank() -> tuple[int, int]:
    """Return (rank, number of processes); (0, 1) outside torch.distributed.

    Returns
    -------
    tuple of int
        Rank and world size.
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def add_over_processes(tensor: Tensor) -> None:
    """Add an integer tensor over all processes, in place; nothing happens in a single one.

    Parameters
    ----------
    tensor : Tensor
        Integer tensor of one shape on every process.
    """
    if process_rank()[1] > 1:
        torch.distributed.all_reduce(tensor)
