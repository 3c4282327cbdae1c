"""Calibration of the simplex map: tears and smoothing, from a transport to part of the codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._solvers import solve
from ot_latent.calibration.judge import Judge, balanced, modes_of, split, within
from ot_latent.calibration.pieces import compact_pieces, whitening
from ot_latent.calibration.record import (
    LOW_DEFAULTS,
    OPEN,
    USUAL_TEAR,
    Calibration,
    Candidate,
    Fixed,
)
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.neighbours import TearRule, nearest_codes
from ot_latent.transport.simplex_map import SimplexMap, Spots
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.sources import Source, UniformBox

LOW_LEAST = 400  # codes from which there are enough to hold some out
LOW_TEARS = (math.inf, 6.0, 4.0, 3.0, 2.0)
CUT = 0.005  # a lower threshold must be better by so much: cuts leave noise between the sides
BRIDGED = 0.02  # a bridge between two arms widens both, and b falls: what a lack of one in b costs
LOW_NEIGHBOURS = (12, 20)
LOW_FIT = 4000  # most codes that the transport is solved for
LOW_DRAWS = 4096  # a share of blends of a few in a thousand must show
LOW_NOVELTY = 0.9  # smoothed anchors pass it nearly always
STEEPEST = 1.5  # largest b


def calibrate_simplex(
    points: Tensor,
    source: Source,
    *,
    weights: Tensor,
    groups: Tensor | None = None,
    families: np.ndarray | None = None,
    fixed: Fixed = OPEN,
    seed: int = 0,
) -> Calibration:
    r"""Choose tear threshold, neighbours and slope of the simplex map.

    The transport is solved on part of the codes, at most 4,000, by the exact solver (from a box,
    where the source is another), and noise through it compared with held-out codes. For each
    threshold and number of neighbours, b is the root of a quadratic equation: the number at which
    new codes vary as much as the codes of their cells do. Variance is taken within compact pieces
    of the modes (`calibration.pieces`), relative to the covariance of each piece, so that the
    thickness of a curve counts as much as its length. Of a code's own residual nothing is kept (a = 0), unless a is
    given.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes, d at most 3.
    source : Source
        The noise.
    weights : Tensor of shape (N,)
        Masses.
    groups, families, fixed, seed
        As in `calibrate_local`.

    Returns
    -------
    Calibration
        The choice, and all that it was chosen from.
    """
    rng = generator(seed, Stream.SPLIT, 0, len(points))
    held, fit = split(len(points), rng, families)
    fit = fit[:LOW_FIT]
    box = source if isinstance(source, UniformBox) else UniformBox.centered(points.shape[1])
    target = DiscreteMeasure(points[fit].double(), (weights[fit] / weights[fit].sum()).double())
    solution = solve("exact", box, target)
    labels = None if groups is None else groups.to(points.device)
    own = _Trial(solution, box, None if labels is None else labels[fit], len(held), seed)
    level = nearest_codes(points[held], points[fit], 1)[0].double().median()
    judge = Judge(points, held, fit[own.cells[: len(held)]], float(level), LOW_NOVELTY)
    a = LOW_DEFAULTS["a"] if fixed.a is None else fixed.a
    found = []
    tears = LOW_TEARS if fixed.tear is None else (fixed.tear,)
    for step, (tear, bare) in enumerate(own.different_maps(tears)):
        spots, trials = own.locate(bare), []
        for k in (fixed.neighbours,) if fixed.neighbours else LOW_NEIGHBOURS:
            codes, b = own.codes(bare, spots, a, fixed.b, k)
            near = nearest_codes(codes, target.points, 1)[0][:, 0]
            trials.append(judge(codes, near, own.spread.ratio(codes), a, b, k, tear))
        more = CUT * step + BRIDGED * max(0.0, 1 - max(trial.b for trial in trials))
        found += [replace(trial, score=trial.score + more) for trial in trials]
    return judge.outcome(found, len(fit))


def settled_slope(
    solution: SemiDiscreteSolution,
    source: Source,
    chosen: Candidate,
    *,
    groups: Tensor | None = None,
    seed: int = 0,
) -> float:
    """Return b at which the map of all codes varies as much as the codes do.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The transport to all codes.
    source : Source
        The noise.
    chosen : Candidate
        What `calibrate_simplex` chose.
    groups, seed
        As there.

    Returns
    -------
    float
        The slope.
    """
    labels = None if groups is None else groups.to(solution.potential.points.device)
    trial = _Trial(solution, source, labels, 0, seed)
    bare = trial.map(chosen.tear)
    return trial.codes(bare, trial.locate(bare), chosen.a, None, chosen.neighbours)[1]


class _Trial:
    """Noise through simplex maps of one transport, and the spread of what comes out."""

    def __init__(
        self,
        solution: SemiDiscreteSolution,
        source: Source,
        groups: Tensor | None,
        least: int,
        seed: int,
    ) -> None:
        self._solution, self._groups, u = solution, groups, solution.potential
        rows = max(LOW_DRAWS, least)
        self._x = source.sample(rows, seed=seed, stream=Stream.SPLIT, dtype=u.points.dtype, device=u.points.device)  # fmt: skip
        self.cells = u.cell_index(self._x)
        modes = _components(self.map(USUAL_TEAR), groups)
        self.spread = _Spread(u.points.double(), modes, self.cells)

    def map(self, tear: float) -> SimplexMap:
        """Return the map to the codes themselves."""
        u, middles = self._solution.potential, self._solution.centroids
        return SimplexMap.build(u, middles, TearRule(u.points, tear, self._groups, settled=True))  # type: ignore[arg-type]

    def different_maps(self, tears: Iterable[float]) -> Iterator[tuple[float, SimplexMap]]:
        """Yield thresholds with their maps, each triangulation once."""
        seen: list[Tensor] = []
        for tear in tears:
            bare = self.map(tear)
            if not any(torch.equal(bare.simplices, other) for other in seen):
                seen.append(bare.simplices)
                yield tear, bare

    def locate(self, bare: SimplexMap) -> Spots:
        """Find the noise among the simplices."""
        return bare.locate(self._x.double(), self.cells)

    def codes(
        self, bare: SimplexMap, spots: Spots, a: float, b: float | None, neighbours: int
    ) -> tuple[Tensor, float]:
        """Return codes of the smoothed map, and b where it is open."""
        maps = (bare.smoothed(a, slope, neighbours) for slope in (0.0, 1.0))
        flat, steep = (map_.at(spots) for map_ in maps)
        b = self.spread.balance(flat, steep - flat) if b is None else b
        return flat + b * (steep - flat), b  # linear in b, as anchors and slopes are


class _Spread:
    """Variance of codes relative to that of the codes of their cells, piece by piece."""

    def __init__(self, points: Tensor, modes: Tensor, cells: Tensor) -> None:
        pieces = compact_pieces(points, modes)
        self._pieces, self._turn = pieces[cells], whitening(points, pieces)[cells]
        self._atoms = self._white(points[cells])

    def balance(self, flat: Tensor, local: Tensor) -> float:
        """Return b at which flat + b local varies as the codes of the cells do."""
        parts = self._white(flat), self._white(local)
        return balanced(*parts, self._atoms, self._pieces, STEEPEST)

    def ratio(self, codes: Tensor) -> float:
        """Return the ratio of variances, one where no piece has two codes."""
        whole = within(self._atoms, self._pieces)
        return within(self._white(codes), self._pieces) / whole if whole > 0 else 1.0

    def _white(self, codes: Tensor) -> Tensor:
        """Return codes in the units of their pieces."""
        return torch.einsum("mij,mj->mi", self._turn, codes.double())


def _components(map_: SimplexMap, groups: Tensor | None) -> Tensor:
    """Return numbers of the pieces of a simplex map."""
    from scipy.sparse.csgraph import connected_components

    found = connected_components(map_.adjacency, directed=False)[1]
    return modes_of(torch.from_numpy(found).long().to(map_.points.device), groups)
