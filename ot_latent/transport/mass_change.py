r"""Heights for other masses of the same targets: what an earlier solution says of the change.

A solved potential knows N numbers to some accuracy. When the masses change, the change is taken from
the *entropic* problem on few draws: its masses are means of probabilities in place of counts of
winners, on the same draws before and after, so that hardly any chance is left in the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.smooth_fit import smooth_fit
from ot_latent.transport.sources import Source
from ot_latent.transport.stratified import stratified_noise

DRAWS, MOST = 2**13, 2500
SEVERAL = 2**11  # draws that tell a temperature
NEAR = 0.1  # share of draws whose best two cells tell the trace of the Hessian
ROUGH = 0.6  # of the temperature, where neighbours' masses change by chance
WINDOW = 6.0  # temperatures below the best score within which targets compete
REACH, SETTLED = 6.0, 0.5  # temperatures that heights may move by before rivals are sought anew
ENOUGH, SHARES = 0.02, 0.002  # rms error of entropic masses, and of the shares of groups
ROUNDS, STEPS, MEMORY = 30, 25, 5  # searches for rivals; steps of each; earlier ones they recall
CHANCE = 0.5  # of what half of the draws find otherwise: few draws differ by more than chance
LEAST, TINY = 1e-3, 1e-9  # of a mass: logarithms of nothing; of a ratio: nothing changes
CHUNK = 2**19  # scores at a time, about what a core's own memory holds


class Moved(NamedTuple):
    """Heights for other masses."""

    heights: Tensor
    """Shape (N,), float64."""
    draws: int
    """Draws that they come from, beside those of the earlier solution."""


class _Rivals(NamedTuple):
    """The targets that compete for each draw."""

    draws: Tensor
    targets: Tensor
    products: Tensor
    size: int

    def masses(self, heights: Tensor, temperature: float) -> Tensor:
        """Return the mean probability of each target."""
        scores = (self.products + heights[self.targets].float()) / temperature
        best = scores.new_full((self.size,), -math.inf)
        best.scatter_reduce_(0, self.draws, scores, "amax")
        weights = (scores - best[self.draws]).exp_()
        total = weights.new_zeros(self.size).index_add_(0, self.draws, weights)
        weights /= total[self.draws]
        found = torch.zeros_like(heights, dtype=weights.dtype)
        return found.index_add_(0, self.targets, weights).double() / self.size


def heights_for_masses(
    potential: BrenierPotential,
    source: Source,
    old: Tensor,
    new: Tensor,
    groups: Tensor | None = None,
    *,
    seed: int,
    draws: int = DRAWS,
    most: int = MOST,
    memory_budget: int | str | None = None,
) -> Moved:
    r"""Return heights for new masses of the targets of a solved potential.

    With :math:`p_j(x; h) = \exp((\langle x, y_j\rangle + h_j)/\varepsilon) / \sum_k
    \exp((\langle x, y_k\rangle + h_k)/\varepsilon)`, the gradient of the entropic dual [1]_, heights
    h' are found on fixed, stratified draws such that

    .. math:: \frac1n \sum_i p_j(x_i; h') \;\propto\; \frac{\nu'_j}{\nu_j}\,
        \frac1n \sum_i p_j(x_i; h) ,

    so what the old heights h lack in accuracy stays; only what whole groups lack, as far as counts of
    winners tell it beyond chance, is made good. Of the change, :math:`\varepsilon \log(\nu'_j/\nu_j)`
    is the response of a cell to its own mass. The rest varies slowly from target to target and is
    smoothed (`smooth_fit`); of what remains, the share is kept that chance does not explain, as half of
    the draws tell it. Of many targets some stand for all, and what is smooth is carried to the others.

    The temperature is :math:`\varepsilon = 1/\kappa`, one over the trace of the Hessian: a measured choice,
    there the response of entropic masses is most like that of cells. What changes from neighbour to
    neighbour comes second, at 0.6 of it; where some targets stand for all, by the cells' own response.

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
    draws : int, default=8192
        How many; a power of two is best.
    most : int, default=2500
        Targets that compete for them.
    memory_budget : int or str, optional
        Working memory of the search for winners.

    Returns
    -------
    Moved
        Heights, and how many draws they took.

    References
    ----------
    .. [1] Genevay, Cuturi, Peyre and Bach. "Stochastic optimization for large-scale optimal
       transport." NeurIPS 2016.
    """
    heights, points = potential.heights.double(), potential.points
    if torch.equal(old, new):
        return Moved(heights, 0)
    groups = torch.zeros_like(new, dtype=torch.int64) if groups is None else groups
    x = stratified_noise(source, draws, seed=seed, dtype=points.dtype, device=points.device)
    temperature, cells = _temperature(x, points, heights, memory_budget)
    told = _told(cells.bincount(minlength=len(old)), old, groups)
    known = _some(len(points), most, seed, points.device)
    ratio = (new / told).log()
    smooth = smooth_fit(points, groups, ratio[known], known)
    near = temperature
    if len(known) < len(points):
        near = _temperature(x[:SEVERAL], points[known], heights[known])[0]
    problem = _Problem(x, points, groups, known, told, near)
    heights = heights + temperature * smooth + problem.change(heights, smooth, 1.0)
    rough = ratio - smooth
    if len(known) < len(points):  # alone, as if cells did not feel each other
        heights = heights + temperature * rough
    else:
        heights = heights + ROUGH * temperature * rough + problem.change(heights, rough, ROUGH)
    return Moved(heights - heights.mean(), draws)


class _Problem(NamedTuple):
    """Draws, and the targets that compete for them: all, or some that stand for all."""

    x: Tensor
    points: Tensor
    groups: Tensor
    known: Tensor
    masses: Tensor
    temperature: float

    def change(self, heights: Tensor, response: Tensor, share: float) -> Tensor:
        """Return what heights change by beyond the cells' own response, smoothed."""
        if float(response.max() - response.min()) < TINY:
            return torch.zeros_like(heights)
        some, start, ratio = self.points[self.known], heights[self.known], response[self.known]
        temperature = share * self.temperature
        if len(self.known) < len(self.points):
            start = _solved(self.x, some, start, self._standing_for(), temperature)
        goal = _goal(self.x, some, start, ratio.exp(), temperature)
        moved = _solved(self.x, some, start, goal, temperature)
        change = moved - start - temperature * ratio
        found = smooth_fit(self.points, self.groups, change, self.known)
        if len(self.known) == len(self.points):
            x, rest = self.x[: len(self.x) // 2], change - found
            half = _goal(x, some, start, ratio.exp(), temperature)
            by_half = _solved(x, some, start, half, temperature)
            chance = CHANCE * float((moved - by_half).var())
            found = found + max(0.0, 1 - chance / max(float(rest.var()), chance, TINY)) * rest
        after, own = start + temperature * ratio + found[self.known], self.groups[self.known]
        rivals = _rivals(self.x, some, after, temperature)
        shifts = _shifts(rivals, after, goal, own, int(self.groups.max()) + 1, temperature)
        return found + shifts[self.groups]

    def _standing_for(self) -> Tensor:
        """Return masses of the competing targets: groups keep theirs."""
        own, groups = self.masses[self.known], self.groups[self.known]
        present, places = torch.unique(groups, return_inverse=True)
        scale = _sums(self.masses, self.groups)[present] / _sums(own, places)
        found = own * scale[places]
        return found / found.sum()


def _some(count: int, most: int, seed: int, device: torch.device) -> Tensor:
    """Return the numbers of all targets, or of some by chance where they are many."""
    if count <= most:
        return torch.arange(count, device=device)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values.to(device)


def _temperature(
    x: Tensor, points: Tensor, heights: Tensor, memory_budget: int | str | None = None
) -> tuple[float, Tensor]:
    """Return one over the trace of the Hessian, by the gap between the best scores, and winners."""
    given = x, points, heights.to(points)
    scores, cells = best_scores(*given, min(2, len(points)), memory_budget=memory_budget)
    gaps = scores[:, 0].double() - scores[:, -1]
    return (float(gaps.quantile(NEAR)) or 1.0) / NEAR, cells[:, 0]


def _sums(values: Tensor, groups: Tensor) -> Tensor:
    """Return the sum of every group."""
    return values.new_zeros(int(groups.max()) + 1).index_add_(0, groups, values)


def _told(counts: Tensor, masses: Tensor, groups: Tensor) -> Tensor:
    """Return masses as groups have them, as far as chance does not explain it (James and Stein)."""
    expected, found = _sums(masses, groups), _sums(counts.double(), groups) / counts.sum()
    distance = float(((found - expected).square() / expected).sum() * counts.sum())
    share = max(0.0, 1 - (len(found) - 1) / distance) if distance > 0 else 0.0
    return masses * (1 + share * (found / expected - 1))[groups]


def _goal(x: Tensor, points: Tensor, heights: Tensor, ratio: Tensor, temperature: float) -> Tensor:
    """Return the entropic masses of given heights, times a ratio."""
    told = _rivals(x, points, heights, temperature).masses(heights, temperature)
    goal = told.clamp_min(LEAST / len(told)) * ratio
    return goal / goal.sum()


def _shifts(
    rivals: _Rivals, heights: Tensor, goal: Tensor, groups: Tensor, count: int, temperature: float
) -> Tensor:
    """Return a number per group that gives groups their entropic masses."""
    found = heights.new_zeros(count)
    present, own = torch.unique(groups, return_inverse=True)

    def masses(shifts: Tensor) -> Tensor:
        return _sums(rivals.masses(heights + shifts[own], temperature), own)

    found[present] = _fixed_point(masses, found[present], _sums(goal, own), temperature, SHARES)
    return found


def _solved(x: Tensor, points: Tensor, heights: Tensor, goal: Tensor, temperature: float) -> Tensor:
    """Return heights with given entropic masses; rivals are sought anew while heights move far."""
    for _ in range(ROUNDS):
        rivals = _rivals(x, points, heights, temperature)
        masses = partial(rivals.masses, temperature=temperature)
        change = _fixed_point(masses, heights, goal, temperature, ENOUGH) - heights
        reach = float(change.max() - change.min()) / temperature
        heights = heights + change * min(1.0, REACH / max(reach, SETTLED))
        if reach < SETTLED:
            break
    return heights


def _rivals(x: Tensor, points: Tensor, heights: Tensor, temperature: float) -> _Rivals:
    """Return the targets whose scores are near the best one of each draw."""
    own, found = heights.to(points), []
    size = max(1, CHUNK // len(points))
    for first in range(0, len(x), size):
        scores = torch.addmm(own, x[first : first + size], points.T)
        least = scores.amax(dim=1, keepdim=True) - WINDOW * temperature
        draws, targets = (scores >= least).nonzero(as_tuple=True)
        found.append((draws + first, targets, (scores[draws, targets] - own[targets]).float()))
    draws, targets, products = (torch.cat(part) for part in zip(*found, strict=True))
    return _Rivals(draws, targets, products, len(x))


def _fixed_point(
    masses: Callable[[Tensor], Tensor],
    heights: Tensor,
    goal: Tensor,
    temperature: float,
    enough: float,
) -> Tensor:
    """Return heights with given entropic masses, by Anderson's acceleration of Sinkhorn's steps."""
    places: list[Tensor] = []
    steps: list[Tensor] = []
    weights = goal.sqrt()[:, None]
    for _ in range(STEPS):
        found = masses(heights).clamp_min(LEAST * goal)
        if float(((found - goal).square() / goal).sum()) < enough**2:
            break
        change = temperature * (goal / found).log()
        places, steps = [*places[-MEMORY:], heights], [*steps[-MEMORY:], change]
        heights = heights + change
        if len(steps) > 1:
            moved, turned = (torch.stack(rows).diff(dim=0).T for rows in (places, steps))
            share = torch.linalg.lstsq(turned * weights, change[:, None] * weights).solution
            heights = heights - ((moved + turned) @ share)[:, 0]
    return heights
