r"""Heights for other masses of the same targets: what an earlier solution says of the change.

A solved potential knows N numbers to some accuracy. When the masses change, most of what it knows
stays true; what has to move is what the change asks for, and that is few numbers: a response of each
cell to its own mass, a number per class, and a smooth deformation of each class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.group_shift import DRAWS, group_shift
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.smooth_functions import SmoothFunctions
from ot_latent.transport.sources import Source
from ot_latent.transport.stratified import stratified_noise

NEAR = 0.1  # share of draws whose best two cells tell the Hessian
PRIOR = 0.005  # share of a diagonal Hessian in it: directions that no near draw tells of
TINY = 1e-9  # against functions that vanish or repeat each other
ITERATIONS, HALVINGS = 12, 6  # Newton steps, and attempts of each
ENOUGH = 0.1  # of the noise's energy
OUTDATED = 0.05  # share of moved draws after which a Hessian is made anew
EACH = 512  # draws of a group that know its mass better than the old heights do
CHUNK = 2**12  # rows of features at a time


class Moved(NamedTuple):
    """Heights for other masses."""

    heights: Tensor
    """Shape (N,), float64."""
    draws: int
    """Draws that they come from, beside those of the earlier solution."""


class _Look(NamedTuple):
    """The best cell of every draw under some heights."""

    cells: Tensor
    mean: float
    masses: Tensor


class _Facets(NamedTuple):
    """Draws near a facet: both cells, and the trace of the Hessian."""

    pairs: Tensor
    trace: float


def heights_for_masses(
    potential: BrenierPotential,
    source: Source,
    old: Tensor,
    new: Tensor,
    groups: Tensor | None = None,
    *,
    seed: int,
    draws: int = DRAWS,
    memory_budget: int | str | None = None,
) -> Moved:
    r"""Return heights for new masses of the targets of a solved potential.

    Three steps, each a heuristic for the next, which corrects it: each height follows its own mass
    as if cells did not feel each other, :math:`\delta h_j = \log(\nu'_j/\nu_j)/\kappa` within its
    group; groups are moved as one (`group_shift`); then functions f of the targets (`SmoothFunctions`,
    group by group) minimise on fixed, stratified draws

    .. math:: \frac1n \sum_i \max_j \bigl(\langle x_i, y_j\rangle + h_j + f(y_j)\bigr)
        - \sum_j (\nu'_j - \nu_j + \hat w_j)\, f(y_j),

    :math:`\hat w` the masses of the old cells *on the same draws*: only draws that change their cell
    make noise, and what the old heights lack in accuracy stays. The masses of the groups themselves
    are taken from the draws outright where there are 512 for each, which is better than any heights
    know them. At the end each group's part of f is shrunk by the share of its energy that the noise
    of the draws explains, as James and Stein's estimator does.

    Parameters
    ----------
    potential : BrenierPotential
        Solved for the old masses.
    source : Source
        The source.
    old, new : Tensor of shape (N,), float64
        Positive masses of sum one.
    groups : Tensor of shape (N,), int64, optional
        Group 0 ... K - 1 of each target; by default one for all.
    seed : int
        Seed of the draws.
    draws : int, default=16384
        How many; a power of two is best.
    memory_budget : int or str, optional
        Working memory of scores.

    Returns
    -------
    Moved
        Heights, and how many draws they took.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> u = BrenierPotential(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25, -0.25]))
    >>> masses = torch.tensor([[0.5, 0.5], [0.75, 0.25]], dtype=torch.float64)
    >>> moved = heights_for_masses(u, UniformBox.unit(1), *masses, torch.arange(2), seed=0)
    >>> [round(float(h), 2) for h in moved.heights]  # the border goes from 1/2 to 3/4
    [0.38, -0.38]
    """
    heights = potential.heights.double()
    groups = torch.zeros_like(new, dtype=torch.int64) if groups is None else groups
    if torch.equal(old, new):
        return Moved(heights, 0)
    problem = _Problem(potential, source, seed, draws, memory_budget)
    before = problem.look(heights)
    response = (new / old).log()
    trace = problem.facets(heights).trace
    start = heights + (response - _group_means(response, groups, new)) / trace
    masses = new.new_zeros(int(groups.max()) + 1).index_add_(0, groups, new)
    if len(masses) > 1:
        moved = potential.with_heights(start.to(potential.heights))
        few = min(draws, DRAWS)  # the first of them
        start = start + group_shift(
            moved, source, groups, masses, seed=seed, draws=few, memory_budget=memory_budget
        )
    smooth = SmoothFunctions.of(potential.points, groups, new, response, draws)
    goal = smooth.projected(new - old + before.masses)
    if draws >= EACH * len(masses):
        goal[smooth.places[:, 0]] = masses
    found = _deformed(problem, start, goal, smooth, before.cells, new)
    return Moved(found - found.mean(), draws)


class _Problem:
    """Fixed draws and targets.

    Parameters
    ----------
    potential, source, seed, draws, memory_budget
        As in `heights_for_masses`.
    """

    def __init__(
        self,
        potential: BrenierPotential,
        source: Source,
        seed: int,
        draws: int,
        memory_budget: int | str | None,
    ) -> None:
        self.points, self.memory_budget = potential.points, memory_budget
        points = potential.points
        self.x = stratified_noise(
            source, draws, seed=seed, dtype=points.dtype, device=points.device
        )

    def look(self, heights: Tensor) -> _Look:
        """Return the best cells of all draws."""
        scores, cells = self._best(heights, 1)
        masses = torch.bincount(cells[:, 0], minlength=len(self.points)).double() / len(self.x)
        return _Look(cells[:, 0], float(scores.double().mean()), masses)

    def facets(self, heights: Tensor) -> _Facets:
        """Return the best two cells of the draws where their scores are nearest."""
        scores, cells = self._best(heights, min(2, len(self.points)))
        gaps = scores[:, 0].double() - scores[:, -1]
        width = float(gaps.quantile(NEAR)) or 1.0
        return _Facets(cells[gaps < width], NEAR / width)

    def _best(self, heights: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the best scores of all draws, and their cells."""
        given = self.x, self.points, heights.to(self.points)
        return best_scores(*given, k, memory_budget=self.memory_budget)


def _deformed(
    problem: _Problem,
    start: Tensor,
    goal: Tensor,
    smooth: SmoothFunctions,
    before: Tensor,
    masses: Tensor,
) -> Tensor:
    """Minimise over smooth functions by damped Newton steps, and shrink what may be noise."""
    theta, metric = masses.new_zeros(smooth.count), smooth.moments(masses)
    told = here = problem.look(start)
    facets = problem.facets(start)
    value, hessian = here.mean, _hessian(facets, len(before), smooth, metric)
    for _ in range(ITERATIONS):
        gradient = goal - smooth.projected(here.masses)
        step = torch.cholesky_solve(gradient[:, None], torch.linalg.cholesky(hessian))[:, 0]
        expected = float(gradient @ step)
        for _ in range(HALVINGS):
            there = problem.look(start + smooth(theta + step))
            fallen = there.mean - float(goal @ (theta + step))
            if fallen < value:
                break
            step = step / 2
        if fallen < value:
            theta, here, value = theta + step, there, fallen
        elif told is here:
            break
        if expected < ENOUGH * smooth.count * _moved(here, before) / (len(before) * facets.trace):
            break
        if fallen >= value or _moved(here, told.cells) > OUTDATED:
            facets, told = problem.facets(start + smooth(theta)), here
            hessian = _hessian(facets, len(before), smooth, metric)
    return start + smooth(theta * _kept(theta, here, before, smooth, hessian))


def _hessian(facets: _Facets, draws: int, smooth: SmoothFunctions, metric: Tensor) -> Tensor:
    """Return the Hessian in the functions' numbers, from draws whose best two cells are near."""
    total = torch.zeros_like(metric)
    for ends in facets.pairs.split(CHUNK):
        across = smooth.rows(ends[:, 0]) - smooth.rows(ends[:, -1])
        total += across.T @ across
    flat = torch.diag(metric.diagonal() + TINY) * TINY
    scaled = total / (2 * NEAR * draws)  # a facet has two sides
    return facets.trace * ((1 - PRIOR) * scaled + PRIOR * metric + flat)


def _moved(here: _Look, before: Tensor) -> float:
    """Return the share of draws that changed their cell."""
    return float((here.cells != before).double().mean())


def _kept(
    theta: Tensor, here: _Look, before: Tensor, smooth: SmoothFunctions, hessian: Tensor
) -> Tensor:
    """Return which share of each number is kept: of a block, what noise does not explain."""
    spread, factors = torch.zeros_like(hessian), torch.ones_like(theta)
    for now, then in _chunks(here.cells, before):
        across = smooth.rows(now) - smooth.rows(then)
        spread += across.T @ across
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    noise = inverse @ (spread / len(before) ** 2) @ inverse
    for block in smooth.blocks:
        own = hessian[block][:, block]
        energy = float(theta[block] @ own @ theta[block])
        chance = float((own * noise[block][:, block]).sum())
        factors[block] = max(0.0, 1 - chance / energy) if energy > 0 else 0.0
    return factors


def _chunks(now: Tensor, then: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the cells of draws that changed theirs, some rows at a time."""
    moved = now != then
    return zip(now[moved].split(CHUNK), then[moved].split(CHUNK), strict=True)


def _group_means(values: Tensor, groups: Tensor, masses: Tensor) -> Tensor:
    """Return the mean over its group, by mass, at each target."""
    count = int(groups.max()) + 1
    total = masses.new_zeros(count).index_add_(0, groups, masses)
    return (masses.new_zeros(count).index_add_(0, groups, masses * values) / total)[groups]
