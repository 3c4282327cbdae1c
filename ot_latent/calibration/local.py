"""Calibration of the local laws: anchor, spread, neighbours and tears, without solving a transport."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent.calibration.judge import Judge, balanced, held_out, modes_of, split
from ot_latent.calibration.record import OPEN, USUAL_TEAR, Calibration, Fixed
from ot_latent.transport.local_law import root_times, surroundings
from ot_latent.transport.neighbours import sides

ANCHORS = (0.0, 0.3, 0.5, 0.7, 0.85)
NEIGHBOURS, MANY_NEIGHBOURS, MANY = (10, 30), (10, 30, 60), 20_000
TEARS = (math.inf, 3.0, 2.0, 1.5)


def width_of_table(count: int, fixed: Fixed) -> int:
    """Return how many neighbours of each code a calibration looks at.

    Parameters
    ----------
    count : int
        Number of codes.
    fixed : Fixed
        What is given.

    Returns
    -------
    int
        Enough that the largest candidate is left once codes are held out.
    """
    largest = fixed.neighbours or max(_neighbours(count))
    return min(count, math.ceil(largest / (1 - held_out(count) / count)) + 1)


def calibrate_local(
    points: Tensor,
    table: Tensor,
    residuals: Tensor,
    *,
    weights: Tensor,
    groups: Tensor | None = None,
    fixed: Fixed = OPEN,
    room: float = math.inf,
    seed: int = 0,
) -> Calibration:
    r"""Choose a, b, k and the tear threshold of the local laws.

    New codes are made as the control does: codes of the fit drawn with their masses, each with
    the local law of its neighbours within the fit, at residuals drawn from the transport's. For each
    a, k and threshold, b is the number at which the variance within groups and sides
    is that of the codes drawn, unless it is given. No transport is solved, no neighbour is sought:
    the cost does not grow with the number of codes, but for the components of the sides.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    table : Tensor of shape (N, K)
        Their nearest codes, themselves first, `width_of_table` of them (`transport.neighbours`).
    residuals : Tensor of shape (m, d)
        Residuals :math:`(x - c_j)/s` of noise drawn from the source, m at least 2,000.
    weights : Tensor of shape (N,)
        Masses.
    groups : Tensor of shape (N,), optional
        Integers; laws do not leave their group.
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
    held, fit = split(len(points), rng)
    inside = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    inside[fit] = True
    atoms = fit[_systematic(weights[fit], len(held), rng)]
    table = table.to(points.device)
    levels = nearest_inside(points, points[held], table[held], inside)
    judge = Judge(points, held, atoms, float(np.median(levels)))
    draws = residuals[torch.arange(len(atoms)) % len(residuals)].to(points.device)
    scale = float(points.double().std(dim=0).square().mean().sqrt())
    tears = TEARS if fixed.tear is None else (fixed.tear,)
    modes = modes_of(sides(points, table, USUAL_TEAR, groups), groups)[atoms]
    found = []
    for tear, side in _partitions(points, table, tears, groups):
        own = _kept(table[atoms], inside, side, atoms)
        for k in (fixed.neighbours,) if fixed.neighbours else _neighbours(len(points)):
            parts = _parts(points, own[:, :k], atoms, draws)
            root = float((parts.local * draws).sum() / draws.square().sum())  # mean tr C^(1/2) / d
            most = min(3.0, room * scale / max(root, 1e-300))
            for a, b in _pairs(parts, modes, fixed, most):
                codes = parts.mean + a * parts.own + b * parts.local
                near = (codes[:, None] - points[own.clamp(min=0)].double()).norm(dim=2)
                near = near.masked_fill(own < 0, math.inf).amin(dim=1)
                found.append(judge(codes, near, modes, a, b, k, tear))
    return judge.outcome(found, len(fit))


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


def _neighbours(count: int) -> tuple[int, ...]:
    """Candidates for k; many codes pay for a wide search of neighbours."""
    return MANY_NEIGHBOURS if count <= MANY else NEIGHBOURS


def _systematic(weights: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Draw by masses with evenly spaced uniforms: shares are met to one draw."""
    edges = np.cumsum(weights.double().cpu().numpy())
    u = (np.arange(count) + rng.random()) / count * edges[-1]
    return torch.from_numpy(np.searchsorted(edges, u).clip(max=len(edges) - 1))


def _partitions(
    points: Tensor, table: Tensor, tears: Iterable[float], groups: Tensor | None
) -> Iterator[tuple[float, Tensor]]:
    """Yield thresholds with their sides, each partition once."""
    seen: list[Tensor] = []
    for tear in tears:
        if math.isfinite(tear):
            side = sides(points, table, tear, groups)
        else:
            side = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        if not any(torch.equal(side, other) for other in seen):
            seen.append(side)
            yield tear, side


def _kept(table: Tensor, inside: Tensor, side: Tensor, atoms: Tensor) -> Tensor:
    """Return neighbours within the fit and on the own side, nearest first, -1 behind them."""
    there = table.clamp(min=0)
    good = (table >= 0) & inside[there] & (side[there] == side[atoms][:, None])
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
