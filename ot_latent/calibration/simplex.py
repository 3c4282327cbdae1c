"""Calibration of the simplex map: tears, from a transport to part of the codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._solvers import solve
from ot_latent.calibration.judge import Judge, modes_of, split
from ot_latent.calibration.record import OPEN, USUAL_TEAR, Calibration, Fixed
from ot_latent.transport.extension import ExtendedMap
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.neighbours import nearest_codes
from ot_latent.transport.sources import Source, UniformBox

LOW_TEARS, LOW_FIT = (
    (math.inf, 6.0, 4.0, 3.0, 2.0),
    4000,
)  # most codes that the transport is solved for


def calibrate_simplex(
    points: Tensor,
    source: Source,
    *,
    weights: Tensor,
    groups: Tensor | None = None,
    fixed: Fixed = OPEN,
    seed: int = 0,
) -> Calibration:
    """Choose the tear threshold of the simplex map.

    The transport is solved on part of the codes, at most 4,000, by the exact solver (from a box,
    where the source is another), and noise through it compared with held-out codes. The
    overhang is one, unless it is given: that gives the variance back which the rim has lost.
    Novelty is told but not asked for: mixtures would raise it.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes, d at most 3.
    source : Source
        The noise.
    weights : Tensor of shape (N,)
        Masses.
    groups, fixed, seed
        As in `calibrate_local`.

    Returns
    -------
    Calibration
        The choice, and all that it was chosen from.
    """
    rng = generator(seed, Stream.SPLIT, 0, len(points))
    held, fit = split(len(points), rng)
    fit = fit[:LOW_FIT]
    source = source if isinstance(source, UniformBox) else UniformBox.centered(points.shape[1])
    target = DiscreteMeasure(points[fit].double(), (weights[fit] / weights[fit].sum()).double())
    solution = solve("exact", source, target)
    x = source.sample(len(held), seed=seed, stream=Stream.SPLIT, device=points.device)
    cells = solution.potential.cell_index(x)
    level = nearest_codes(points[held], points[fit], 1)[0].double().median()
    judge = Judge(points, held, fit[cells], float(level), novelty=0.0)
    own = None if groups is None else groups.to(points.device)[fit]
    overhang = 1.0 if fixed.b is None else fixed.b

    def built(tear: float) -> ExtendedMap:
        return ExtendedMap.build(
            solution.potential, solution.centroids, solution.within_scale or 1.0,
            kind="simplex", b=overhang, tear=tear, groups=own,
        )  # fmt: skip

    modes = _components(built(USUAL_TEAR), own)[cells]
    found = []
    for tear in LOW_TEARS if fixed.tear is None else (fixed.tear,):
        codes = built(tear).place(x, cells).codes
        near = nearest_codes(codes, target.points, 1)[0][:, 0]
        found.append(judge(codes, near, modes, 1.0, overhang, 1, tear))
    return judge.outcome(found, len(fit))


def _components(map_: ExtendedMap, groups: Tensor | None) -> Tensor:
    """Return numbers of the pieces of a simplex map."""
    from scipy.sparse.csgraph import connected_components

    simplex = map_.simplex
    found = connected_components(simplex.adjacency, directed=False)[1]  # type: ignore[union-attr]
    return modes_of(torch.from_numpy(found).long().to(map_.potential.points.device), groups)
