"""Heights for targets of which most were solved before: what an earlier solution still knows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent.kernels.dispatch import nearest
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.solution import SemiDiscreteSolution

NEIGHBOURS = 8  # known targets whose Kantorovich potentials are averaged for a new one
YOUNGER = 0.05  # age of the known target nearest to a new one, whose cell is cut most


class Known(NamedTuple):
    """What is known of each target before the first draw."""

    heights: Tensor
    """Heights, shape (N,), float64."""
    age: Tensor
    """Steps that an earlier solve took for it; zero for a new target."""
    weight: Tensor
    """Weight of the height in the running average."""


def known_targets(earlier: SemiDiscreteSolution, target: DiscreteMeasure) -> Known:
    r"""Return heights for targets, those of an earlier solution where it has them.

    The Kantorovich potential :math:`a_j = h_j + |y_j|^2/2` varies slowly from target to target: a
    new target takes the mean over its nearest known ones. A known target keeps the age and the
    weight of its height, so that a solve goes on for it and begins for the others (and nearly so
    for the known target nearest to a new one). What the other cells lack in accuracy stays: ask
    for a tolerance that leaves room for the new ones.

    Parameters
    ----------
    earlier : SemiDiscreteSolution
        An earlier solution of the same source; targets may have been added or removed since.
    target : DiscreteMeasure
        The targets.

    Returns
    -------
    Known
        Heights, ages, weights.

    Raises
    ------
    ValueError
        If the dimensions differ or no target is known.
    """
    points = earlier.potential.points.to(target.points)
    if points.shape[1] != target.dim:
        raise ValueError(
            f"earlier must be a solution in {target.dim} dimensions, got one in "
            f"{points.shape[1]}; solve without it."
        )
    place = _places(target.points, points)
    known = place >= 0
    if not bool(known.any()):
        raise ValueError(
            "earlier must share targets with the new problem, got none that is equal to one of "
            "them; pass targets in the units of the earlier solution, or solve without it."
        )
    kantorovich = earlier.potential.kantorovich().double()
    values = kantorovich[place.clamp_min(0)]
    age = known.double()
    if not bool(known.all()):
        new = target.points[~known]
        _, near = nearest(new, target.points[known], min(NEIGHBOURS, int(known.sum())))
        values[~known] = values[known][near].mean(dim=1)
        beside = torch.nonzero(known).squeeze(1)[near[:, 0]]
        age[beside] = YOUNGER
    heights = values - target.points.double().square().sum(dim=1) / 2
    weight = earlier.samples * 2 / 3 * math.sqrt(earlier.steps)  # sum of n (t + 1)^(1/2)
    return Known(heights, age * earlier.steps, age**1.5 * weight)


def _places(rows: Tensor, among: Tensor) -> Tensor:
    """Return the place of each row among other rows, -1 where it is not there."""
    both = torch.cat([among, rows]).cpu().numpy() + 0.0  # +0.0 turns -0.0 into 0.0
    keys = both.view(np.dtype((np.void, both.dtype.itemsize * both.shape[1])))[:, 0]
    distinct, inverse = np.unique(keys, return_inverse=True)
    table = np.full(len(distinct), -1)
    table[inverse[: len(among)]] = np.arange(len(among))
    return torch.from_numpy(table[inverse[len(among) :]]).to(rows.device)
