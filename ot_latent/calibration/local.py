"""Calibration of the local laws: anchor, spread, neighbours and tears, without solving a transport."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent.calibration.judge import (
    Judge,
    balanced,
    held_out,
    modes_of,
    pooled,
    split,
    splits,
    within,
)
from ot_latent.calibration.record import OPEN, USUAL_TEAR, Calibration, Fixed
from ot_latent.transport.local_law import root_times, surroundings
from ot_latent.transport.neighbours import nearest_codes, sides

LEAST = 200  # codes from which there are enough to hold some out
ANCHORS = (0.0, 0.3, 0.5, 0.7, 0.85)
NEIGHBOURS, MANY_NEIGHBOURS, MANY = (10, 30), (10, 30, 60), 20_000
FAMILY_NEIGHBOURS = (30, 60, 90, 120)  # many of them are variants of one another
TEARS = (math.inf, 3.0, 2.0, 1.5)


def width_of_table(count: int, fixed: Fixed, families: bool = False) -> int:
    """Return how many neighbours of each code a calibration looks at.

    Parameters
    ----------
    count : int
        Number of codes.
    fixed : Fixed
        What is given.
    families : bool, default=False
        Whether codes come in families.

    Returns
    -------
    int
        Enough that the largest candidate is left once codes are held out.
    """
    largest = fixed.neighbours or max(_neighbours(count, families))
    return min(count, math.ceil(largest / (1 - held_out(count) / count)) + 1)


def calibrate_local(
    points: Tensor,
    table: Tensor,
    cells: Tensor,
    residuals: Tensor,
    *,
    groups: Tensor | None = None,
    families: np.ndarray | None = None,
    fixed: Fixed = OPEN,
    room: float = math.inf,
    seed: int = 0,
) -> Calibration:
    r"""Choose a, b, k and the tear threshold of the local laws.

    New codes are made as the map makes them: noise is drawn, and where its cell belongs to the
    fit, its residual goes through the local law of the code's neighbours within the fit. A residual
    stays with its cell: where codes spread far in a direction, cells tend to be short in it, so
    that residuals of other cells would promise a third more variance than the map has (32-dimensional
    codes of images). For each a, k and threshold, b is the number at which the variance within groups and sides
    is that of the codes drawn, unless it is given. No transport is solved, no neighbour is sought:
    the cost does not grow with the number of codes, but for the components of the sides.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    table : Tensor of shape (N, K)
        Their nearest codes, themselves first, `width_of_table` of them (`transport.neighbours`).
    cells : Tensor of shape (m,), int64
        Cells of noise drawn from the source, m at least 4,000.
    residuals : Tensor of shape (m, d)
        Residuals :math:`(x - c_j)/s` of the same noise.
    groups : Tensor of shape (N,), optional
        Integers; laws do not leave their group.
    families : numpy.ndarray of shape (N,), optional
        Integers; codes of one family are variants of one another and are held out together.
    fixed : Fixed, optional
        What is given.
    room : float, default=inf
        Scale of the noise within cells over that of all noise. The mean stretch of the local laws
        is kept below that of codes to noise as a whole, which no gradient of a convex function
        exceeds by much on average: :math:`b\,\mathrm{tr}\,C_j^{1/2} / d` is at most room times
        the rms of the codes. Where codes are sparse, their neighbourhoods are wider than the cells.
    seed : int, default=0
        Seed of the split and of the draws.

    Returns
    -------
    Calibration
        The choice, and all that it was chosen from.
    """
    rng = generator(seed, Stream.SPLIT, 0, len(points))
    table, cells = table.to(points.device), cells.to(points.device)
    tears = TEARS if fixed.tear is None else (fixed.tear,)
    task = _Task(
        points, table, cells, residuals.to(points.device), fixed, room,
        _modes(points, table, groups, families), list(_partitions(points, table, tears, groups)),
    )  # fmt: skip
    parts = (split(len(points), rng, families) for _ in range(splits(len(points))))
    return pooled([_judged(task, held, fit, families is not None) for held, fit in parts])


def settled_spread(
    points: Tensor,
    table: Tensor,
    cells: Tensor,
    residuals: Tensor,
    *,
    a: float,
    neighbours: int,
    tear: float,
    groups: Tensor | None = None,
    families: np.ndarray | None = None,
    room: float = math.inf,
) -> float:
    """Return b at which the map of all codes varies as much within modes as the codes do.

    A calibration holds codes out, and neighbourhoods are wider among fewer codes: the b that it
    balanced there leaves the map of all codes too narrow.

    Parameters
    ----------
    points, table, cells, residuals, groups, families, room
        As in `calibrate_local`.
    a, neighbours, tear : float, int, float
        What was chosen.

    Returns
    -------
    float
        The spread.
    """
    side = _side(points, table, tear, groups)
    own = _kept(table[cells], torch.ones_like(side, dtype=torch.bool), side, cells)
    parts = _parts(points, own[:, :neighbours], cells, residuals)
    modes = _modes(points, table, groups, families)[cells]
    base = parts.mean + a * parts.own
    return balanced(base, parts.local, parts.atoms, modes, _most(points, parts, residuals, room))


class _Task(NamedTuple):
    """What all splits have in common."""

    points: Tensor
    table: Tensor
    cells: Tensor
    residuals: Tensor
    fixed: Fixed
    room: float
    modes: Tensor
    partitions: list[tuple[float, Tensor]]


class _Parts(NamedTuple):
    """What codes are composed of."""

    mean: Tensor
    own: Tensor
    local: Tensor
    atoms: Tensor


def nearest_inside(points: Tensor, rows: Tensor, table: Tensor, inside: Tensor) -> np.ndarray:
    """Return the distance of codes to the nearest code of a subset, as far as tables reach.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    rows : Tensor of shape (m, d)
        Some of them.
    table : Tensor of shape (m, K)
        Their neighbours.
    inside : Tensor of shape (N,), bool
        The subset.

    Returns
    -------
    numpy.ndarray of shape (r,)
        Distances, of the rows that have a neighbour in the subset.
    """
    distances = (points[table.clamp(min=0)].double() - rows[:, None].double()).norm(dim=2)
    gone = (table < 0) | ~inside[table.clamp(min=0)]
    least = distances.masked_fill(gone, math.inf).amin(dim=1)
    return least[torch.isfinite(least)].cpu().numpy()


def _judged(task: _Task, held: Tensor, fit: Tensor, families: bool) -> Calibration:
    """Return the outcome of one split."""
    points, table, fixed = task.points, task.table, task.fixed
    inside = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    inside[fit] = True
    of_fit = torch.nonzero(inside[task.cells]).squeeze(1)[: len(held)]
    atoms, draws = task.cells[of_fit], task.residuals[of_fit]
    if families:  # a family may fill its tables
        levels = nearest_codes(points[held], points[fit], 1)[0].double().cpu().numpy()
    else:
        levels = nearest_inside(points, points[held], table[held], inside)
    level = float(np.median(levels)) if len(levels) else math.inf  # no code has another beside it
    judge = Judge(points, held, atoms, level)
    modes, found = task.modes[atoms], []
    for tear, side in task.partitions:
        own = _kept(table[atoms], inside, side, atoms)
        for k in (fixed.neighbours,) if fixed.neighbours else _neighbours(len(points), families):
            parts = _parts(points, own[:, :k], atoms, draws)
            for a, b in _pairs(parts, modes, fixed, _most(points, parts, draws, task.room)):
                codes = parts.mean + a * parts.own + b * parts.local
                near = (codes[:, None] - points[own.clamp(min=0)].double()).norm(dim=2)
                near = near.masked_fill(own < 0, math.inf).amin(dim=1)
                variance = within(codes, modes) / max(within(judge.atoms, modes), 1e-300)
                found.append(judge(codes, near, variance, a, b, k, tear))
    return judge.outcome(found, len(fit))


def _neighbours(count: int, families: bool) -> tuple[int, ...]:
    """Candidates for k; many codes pay for a wide search of neighbours."""
    if families:
        return FAMILY_NEIGHBOURS
    return MANY_NEIGHBOURS if count <= MANY else NEIGHBOURS


def _partitions(
    points: Tensor, table: Tensor, tears: Iterable[float], groups: Tensor | None
) -> Iterator[tuple[float, Tensor]]:
    """Yield thresholds with their sides, each partition once."""
    seen: list[Tensor] = []
    for tear in tears:
        side = _side(points, table, tear, groups)
        if not any(torch.equal(side, other) for other in seen):
            seen.append(side)
            yield tear, side


def _modes(
    points: Tensor, table: Tensor, groups: Tensor | None, families: np.ndarray | None
) -> Tensor:
    """Return the mode of each code; spacings are those to codes of other families, so none is one."""
    if families is not None:
        kin = torch.from_numpy(families).to(table.device)
        own = torch.arange(len(table), device=table.device)[:, None]
        good = (table >= 0) & ((kin[table.clamp(min=0)] != kin[:, None]) | (table == own))
        table = _first(table, good)
    return modes_of(sides(points, table, USUAL_TEAR, groups), groups)


def _side(points: Tensor, table: Tensor, tear: float, groups: Tensor | None) -> Tensor:
    """Return the side of a threshold's tears that each code is on."""
    if math.isfinite(tear):
        return sides(points, table, tear, groups)
    return torch.zeros(len(points), dtype=torch.int64, device=points.device)


def _most(points: Tensor, parts: _Parts, draws: Tensor, room: float) -> float:
    """Return the largest b that keeps the mean stretch of the laws below that of codes to noise."""
    scale = float(points.double().std(dim=0).square().mean().sqrt())
    root = float((parts.local * draws).sum() / draws.square().sum())  # mean tr C^(1/2) / d
    return min(3.0, room * scale / max(root, 1e-300))


def _kept(table: Tensor, inside: Tensor, side: Tensor, atoms: Tensor) -> Tensor:
    """Return neighbours within the fit and on the own side, nearest first, -1 behind them."""
    there = table.clamp(min=0)
    good = (table >= 0) & inside[there] & (side[there] == side[atoms][:, None])
    return _first(table, good)


def _first(table: Tensor, good: Tensor) -> Tensor:
    """Return what is good in each row, in its order, -1 behind it."""
    order = (~good).to(torch.int8).argsort(dim=1, stable=True)
    return torch.where(good, table, -1).gather(1, order)


def _parts(points: Tensor, table: Tensor, atoms: Tensor, draws: Tensor) -> _Parts:
    """Return what the codes of a, b are composed of, for one k."""
    own = points[atoms].double()
    pieces = []
    step = max(1, 2**21 // (table.shape[1] * points.shape[1]))
    for i in range(0, len(atoms), step):
        around = surroundings(points, table[i : i + step])
        pieces.append((around.mean, root_times(around.factor, draws[i : i + step].double())))
    mean, local = (torch.cat(piece) for piece in zip(*pieces, strict=True))
    return _Parts(mean, own - mean, local, own)


def _pairs(
    parts: _Parts, modes: Tensor, fixed: Fixed, most: float
) -> Iterator[tuple[float, float]]:
    """Yield the pairs (a, b) to try."""
    for a in ANCHORS if fixed.a is None else (fixed.a,):
        base = parts.mean + a * parts.own
        b = balanced(base, parts.local, parts.atoms, modes, most) if fixed.b is None else fixed.b
        yield a, b
