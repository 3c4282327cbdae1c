"""What an extended map is as a coordinate: reversals and jumps where cells meet, and redraws."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ot_latent._random import Stream
from ot_latent._validation import check_positive
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.intervals import wilson
from ot_latent.transport.neighbours import TearRule

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap
    from ot_latent.transport.potential import BrenierPotential
    from ot_latent.transport.sources import Source

STEP = 0.2  # distance of a close pair, in units of the rms distance from the centroid within cells


@dataclass(frozen=True)
class MapReport:
    """What was seen of an extended map.

    Attributes
    ----------
    kind : str
        The rule.
    pairs : int
        Close pairs across facets that are no tears, on which the next two figures stand.
    reversed : float
        Share of these pairs x, x' with <T(x) - T(x'), x - x'> < 0.
    reversed_interval : tuple of float
        Its 95 % interval (Wilson's).
    relative_jump : float
        Median of |T(x) - T(x')| / |y_i - y_j| over these pairs: 1 for the plain map, small for a
        continuous one.
    step : float
        Distance of a close pair.
    torn : float
        Share of the noise whose two best cells are separated by a tear.
    redrawn : float
        Share of draws that were rejected at first.
    plain : float
        Share of draws for which the plain map stepped in after the last attempt.
    draws : int
        Number of draws behind the last three figures.
    """

    kind: str
    pairs: int
    reversed: float
    reversed_interval: tuple[float, float]
    relative_jump: float
    step: float
    torn: float
    redrawn: float
    plain: float
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)


def report_map(
    map_: ExtendedMap,
    source: Source,
    *,
    draws: int = 2**13,
    tear: float = 3.0,
    step: float | None = None,
    labels: Tensor | None = None,
    seed: int = 0,
) -> MapReport:
    r"""Measure an extended map where its cells meet.

    Each draw x in cell i with second-best cell j is moved along :math:`n = (y_j - y_i)/|y_j - y_i|`
    to the point p where both score the same, and T is compared at :math:`p \pm \epsilon n / 2`,
    if i and j are the cells of these two points. A Brenier map never reverses such a pair:
    :math:`\langle T(x) - T(x'), x - x'\rangle \ge 0`. The figures are estimates from draws.

    Parameters
    ----------
    map_ : ExtendedMap
        The map.
    source : Source
        The noise.
    draws : int, default=8192
        Number of draws.
    tear : float, default=3.0
        Relative jump above which a facet counts as torn and is left out.
    step : float, optional
        Distance of a close pair; by default a fifth of the rms distance of noise from the
        centroid of its cell.
    labels : Tensor of shape (N,), optional
        Integers; facets between two labels count as torn.
    seed : int, default=0
        Seed of the draws.

    Returns
    -------
    MapReport
        The figures.

    Raises
    ------
    ValueError
        If `step` is not positive where it is needed: a map without centroids knows no scale.
    """
    u = map_.potential
    points = u.points
    x = source.sample(
        draws, seed=seed, stream=Stream.EVALUATION, dtype=points.dtype, device=points.device
    )
    values, cells = best_scores(x, points, u.heights, min(2, len(points)))
    attempts = map_.place(x, cells[:, 0], seed=seed).attempts
    rule = TearRule(points, tear, labels)
    torn = rule(cells) if cells.shape[1] > 1 else cells[:0, 0] > 0
    step = STEP * map_.within_scale * math.sqrt(u.dim) if step is None else step
    check_positive(step, "step")
    found = _close_pairs(u, x, values, cells, torn, step) if len(points) > 1 else None
    moved, across, jumps = (x[:0], x[:0], x[:0, 0]) if found is None else found
    ends = [map_(moved + sign * step / 2 * across, seed=seed) for sign in (-1, 1)]
    change = ends[1] - ends[0]
    back = int(((change * across).sum(dim=1) < 0).sum())
    share, interval = wilson(back, len(moved))
    relative = (change.norm(dim=1) / jumps).median() if len(moved) else math.nan
    return MapReport(
        map_.kind, len(moved), share, interval, float(relative), float(step),
        float(torn.sum()) / draws, float((attempts != 0).sum()) / draws,
        float((attempts < 0).sum()) / draws, draws,
    )  # fmt: skip


def _close_pairs(
    u: BrenierPotential, x: Tensor, values: Tensor, cells: Tensor, torn: Tensor, step: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return points on untorn facets, the direction across, and the distance of the codes."""
    first, second = u.points[cells].unbind(dim=1)
    jumps = (second - first).norm(dim=1)
    across = (second - first) / jumps[:, None]
    spot = x + ((values[:, 0] - values[:, 1]) / jumps)[:, None] * across
    sides = [u.cell_index(spot + sign * step / 2 * across) for sign in (-1, 1)]
    kept = (sides[0] == cells[:, 0]) & (sides[1] == cells[:, 1]) & ~torn
    return spot[kept], across[kept], jumps[kept]
