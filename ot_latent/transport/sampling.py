"""How the sampled solver draws: independently, or crossing the halves of a product source."""

from __future__ import annotations

import abc
import functools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.block_survey import survey_blocks
from ot_latent.transport.chi_square import chi_square
from ot_latent.transport.crossing import Crossing, Met
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.processes import add_over_processes, process_rank
from ot_latent.transport.sources import Source
from ot_latent.transport.survey import CHUNK_ROWS, CellSurvey, survey_cells


class Tally(NamedTuple):
    """What a batch of draws says of the heights it was drawn for."""

    counts: Tensor
    """Draws per cell, shape (N,), int64."""
    close: Tensor
    """Draws whose two best scores are closer than the width asked about, counted in both cells; int64."""
    square: float
    """Unbiased estimate of the squared rms cell error."""
    finite: bool
    """Whether every draw has a finite score."""


class Look(NamedTuple):
    """What the first draws say of starting heights."""

    score: float
    """Mean of the best scores, up to a number that does not depend on the heights."""
    gaps: Tensor
    """Best minus second-best score of every draw, float64."""
    cells: Tensor
    """Cell of every draw, int64, on the device of the targets."""
    inflation: float
    """Factor v by which crossing inflates the variance of counts."""
    square: float
    """Unbiased estimate of the squared rms cell error."""

    def cautious_square(self, targets: int) -> float:
        """Return the squared error and the deviation of its estimate: few draws do not tell small ones.

        Parameters
        ----------
        targets : int
            Number N of targets.

        Returns
        -------
        float
            The estimate, plus v sqrt(2 (N - 1)) over the number of draws.
        """
        deviation = self.inflation * math.sqrt(2 * (targets - 1)) / len(self.gaps)
        return max(self.square, 0.0) + deviation

    def tally(self, targets: int, width: float) -> Tally:
        """Count these draws, so that they can be used for a step.

        Parameters
        ----------
        targets : int
            Number N of targets.
        width : float
            Gaps below it are counted.

        Returns
        -------
        Tally
            Counts.
        """
        counts = torch.bincount(self.cells, minlength=targets)
        close = _close(self.cells, self.gaps, width, targets)
        return Tally(counts, close, self.square, math.isfinite(self.score))


@dataclass(frozen=True, eq=False)
class Sampler(abc.ABC):
    """Draws from a source, counted in the cells of a potential.

    Parameters
    ----------
    source, target : Source, DiscreteMeasure
        The problem.
    seed : int
        Seed of all draws.
    rows : int
        Draws that one row of the source's streams is good for; they come in blocks of its square.
    """

    source: Source
    target: DiscreteMeasure
    seed: int
    rows: int

    @functools.cached_property
    def rounding(self) -> float:
        """Largest rounding error of a coordinate of a target, in the targets' dtype."""
        low, high = (float(end) for end in self.target.points.aminmax())
        return torch.finfo(self.target.points.dtype).eps * max(-low, high)

    def whole(self, draws: float) -> int:
        """Return the smallest number of draws in whole blocks that is not below a number.

        Parameters
        ----------
        draws : float
            Number of draws.

        Returns
        -------
        int
            Multiple of ``rows ** 2``, at least one.
        """
        return max(1, math.ceil(draws / self.rows**2)) * self.rows**2

    @abc.abstractmethod
    def look(self, heights: Tensor, draws: int) -> Look:
        """Look at the first draws of the fitting stream.

        Parameters
        ----------
        heights : Tensor of shape (N,), float64
            Heights.
        draws : int
            How many, in whole blocks.

        Returns
        -------
        Look
            Scores and gaps.
        """

    @abc.abstractmethod
    def tally(self, heights: Tensor, row: int, draws: int, width: float) -> Tally:
        """Count the draws that begin at a row of the fitting stream.

        Parameters
        ----------
        heights : Tensor of shape (N,), float64
            Heights.
        row, draws : int
            First row, and how many draws, in whole blocks.
        width : float
            Gaps below it are counted.

        Returns
        -------
        Tally
            Counts.
        """

    @abc.abstractmethod
    def facets(self, heights: Tensor, row: int, draws: int, width: float, most: int) -> Tensor:
        """Return the two cells at the facets that draws of the fitting stream lie near to.

        Parameters
        ----------
        heights : Tensor of shape (N,), float64
            Heights.
        row, draws : int
            First row, and how many draws, in whole blocks.
        width : float
            Draws of smaller gaps are near to a facet.
        most : int
            Of how many of them cells are told, evenly spaced among all.

        Returns
        -------
        Tensor of shape (m, 2), int64
            Pairs of cells, the same on all processes.
        """

    @abc.abstractmethod
    def survey(self, heights: Tensor, row: int, draws: int) -> CellSurvey:
        """Survey the cells by draws that begin at a row of the evaluation stream.

        Parameters
        ----------
        heights : Tensor of shape (N,)
            Heights.
        row, draws : int
            First row, and how many draws, in whole blocks.

        Returns
        -------
        CellSurvey
            Integer sums.
        """


@dataclass(frozen=True, eq=False)
class IndependentSampler(Sampler):
    """Independent draws, each scored by an inner product with every target.

    Parameters
    ----------
    source, target : Source, DiscreteMeasure
        The problem.
    seed : int
        Seed.
    memory_budget : int or str, optional
        Working memory of the kernel.
    """

    rows: int = field(default=1, init=False)
    memory_budget: int | str | None = None

    def look(self, heights: Tensor, draws: int) -> Look:
        """Look at independent draws."""
        scores, cells = self._best_two(heights.to(self.target.points), 0, draws)
        scores, winners = scores.double(), cells[:, 0]
        counts = torch.bincount(winners, minlength=len(self.target))
        square, _ = chi_square(counts, self.target.weights)
        gaps = scores[:, 0] - scores[:, -1]
        return Look(float(scores[:, 0].mean()), gaps, winners, 1.0, square)

    def tally(self, heights: Tensor, row: int, draws: int, width: float) -> Tally:
        """Count draws; the processes take chunks in turn and add integers."""
        target, lowered = self.target, heights.to(self.target.points)
        n = len(target)
        numbers = torch.zeros(2 * n + 1, dtype=torch.int64, device=lowered.device)
        rank, world = process_rank()
        rows = max(BLOCK_ROWS, min(CHUNK_ROWS, draws // 8))  # one cut whatever the process count
        for low in range(rank * rows, draws, world * rows):
            scores, cells = self._best_two(lowered, row + low, min(rows, draws - low))
            near = (scores[:, 0] - scores[:, -1]).double() < width
            numbers[:n] += torch.bincount(cells[:, 0], minlength=n)
            numbers[n : 2 * n] += torch.bincount(cells[near].flatten(), minlength=n)
            numbers[-1] += (~torch.isfinite(scores[:, 0])).sum()
        add_over_processes(numbers)
        counts, close, lost = numbers[:n], numbers[n : 2 * n], int(numbers[-1])
        return Tally(counts, close, chi_square(counts, target.weights)[0], lost == 0)

    def facets(self, heights: Tensor, row: int, draws: int, width: float, most: int) -> Tensor:
        """Look at independent draws again."""
        scores, cells = self._best_two(heights.to(self.target.points), row, draws)
        near = torch.nonzero((scores[:, 0] - scores[:, -1]).double() < width)[:, 0]
        return cells[_evenly(near, most)].cpu()

    def _best_two(self, heights: Tensor, start: int, draws: int) -> tuple[Tensor, Tensor]:
        """Return the best two scores (one, where there is one target) of rows, and their cells."""
        points = self.target.points
        x = self.source.sample(
            draws,
            seed=self.seed,
            stream=Stream.FIT,
            start=start,
            dtype=points.dtype,
            device=points.device,
        )
        k = min(2, len(points))
        return best_scores(x, points, heights, k, memory_budget=self.memory_budget)

    def survey(self, heights: Tensor, row: int, draws: int) -> CellSurvey:
        """Survey by independent draws."""
        return survey_cells(
            BrenierPotential(self.target.points, heights),
            self.source,
            draws,
            seed=self.seed,
            start=row,
            memory_budget=self.memory_budget,
        )


@dataclass(frozen=True, eq=False)
class CrossedSampler(Sampler):
    """Factorised sampling: in a block of A rows every first half meets every second half.

    Parameters
    ----------
    source, target : Source, DiscreteMeasure
        The problem.
    seed : int
        Seed.
    rows : int
        Rows A of a block of A^2 draws.
    crossing : Crossing
        Source and targets, prepared.
    centroids : bool, default=True
        Whether surveys sum up coordinates.
    """

    crossing: Crossing
    centroids: bool = True

    def look(self, heights: Tensor, draws: int) -> Look:
        """Look at blocks of draws."""
        met = self._meet(heights, 0, draws)
        blocks, weights = met.counted(len(self.target)), self.target.weights.cpu()
        v, square = blocks.inflation(weights), blocks.estimate(weights)
        cells = met.cells.flatten().to(self.target.weights.device)
        gaps = met.gaps.double().flatten().to(cells.device)
        return Look(float(met.scores.mean()), gaps, cells, v, square)

    def tally(self, heights: Tensor, row: int, draws: int, width: float) -> Tally:
        """Count blocks of draws."""
        met = self._meet(heights, row, draws)
        blocks, weights = met.counted(len(self.target)), self.target.weights
        return Tally(
            counts=blocks.counts.to(weights.device),
            close=_close(met.cells, met.gaps, width, len(self.target)).to(weights.device),
            square=blocks.estimate(weights.cpu()),
            finite=math.isfinite(float(met.scores.sum())),
        )

    def facets(self, heights: Tensor, row: int, draws: int, width: float, most: int) -> Tensor:
        """Look at blocks of draws again, and by inner products at those near to a facet."""
        z = self.crossing.rows(self.seed, Stream.FIT, row, draws // self.rows, self.rows)
        gaps = self.crossing.meet(z, self.rows, heights).gaps.cpu()
        chosen = _evenly(torch.nonzero(gaps.flatten() < width)[:, 0], most)
        if not len(chosen):
            return torch.zeros(0, 2, dtype=torch.int64)
        block, pair = chosen // self.rows**2 * self.rows, chosen % self.rows**2
        first, second = z[block + pair // self.rows], z[block + pair % self.rows]
        split, points = self.crossing.form.split, self.target.points
        met = torch.cat([first[:, :split], second[:, split:]], dim=1).double()
        x = self.crossing.form.points(met).to(points)
        budget = self.crossing.memory_budget
        return best_scores(x, points, heights.to(points), 2, memory_budget=budget)[1].cpu()

    def survey(self, heights: Tensor, row: int, draws: int) -> CellSurvey:
        """Survey by blocks of draws."""
        return survey_blocks(
            self.crossing,
            heights,
            draws // self.rows**2,
            self.rows,
            seed=self.seed,
            start=row,
            centroids=self.centroids,
        )

    def _meet(self, heights: Tensor, row: int, draws: int) -> Met:
        """Return the cells of draws of the fitting stream."""
        z = self.crossing.rows(self.seed, Stream.FIT, row, draws // self.rows, self.rows)
        return self.crossing.meet(z, self.rows, heights)


def _close(cells: Tensor, gaps: Tensor, width: float, targets: int) -> Tensor:
    """Count the draws near to a facet; it has as many on its other side, whose cell is not known."""
    return 2 * torch.bincount(cells[gaps < width], minlength=targets)


def _evenly(places: Tensor, most: int) -> Tensor:
    """Return at most so many of some places, evenly spaced among them."""
    return places[:: max(1, -(-len(places) // most))]
