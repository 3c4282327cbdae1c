"""From a solved transport to its extended map: which rule, which numbers, and their way into files."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent._validation import check_positive
from ot_latent.calibration.judge import HELD_OUT
from ot_latent.calibration.local import LEAST, calibrate_local, settled_spread, width_of_table
from ot_latent.calibration.record import Calibration, Fixed
from ot_latent.calibration.simplex import LOW_LEAST, calibrate_simplex, settled_slope
from ot_latent.transport.extension import ANGLE, SIMPLEX_DIM, ExtendedMap, Kind, check_kind
from ot_latent.transport.neighbours import neighbour_table, one_sided_table
from ot_latent.transport.simplex_map import SimplexMap
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.sources import Source

AUTO = "auto"


@dataclass(frozen=True)
class Rule:
    """The rule of an extended map with all its numbers.

    Attributes
    ----------
    kind : str
        As in `transport.ExtendedMap`.
    a, b, neighbours, tear, angle : float, float, int, float, float
        As there.
    """

    kind: Kind
    a: float
    b: float
    neighbours: int
    tear: float
    angle: float = ANGLE

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)


def check_rule(kind: str, fixed: Fixed) -> None:
    """Refuse a rule that is unknown or whose numbers are out of range.

    Parameters
    ----------
    kind : str
        "auto" or a kind of `transport.ExtendedMap`.
    fixed : Fixed
        The numbers that are given.

    Raises
    ------
    ValueError
        If one cannot be what it is.
    """
    if kind != AUTO:
        check_kind(kind)
    if fixed.neighbours is not None:
        check_positive(fixed.neighbours, "neighbours", integer=True)
    if fixed.tear is not None and fixed.tear != math.inf:
        check_positive(fixed.tear, "tear")


def extend(
    solution: SemiDiscreteSolution,
    source: Source,
    kind: str,
    fixed: Fixed,
    *,
    weights: Tensor,
    groups: Tensor | None,
    families: np.ndarray | None = None,
    seed: int,
    memory_budget: int | str | None,
) -> tuple[ExtendedMap, Rule, Calibration | None]:
    """Settle the rule of a solved transport and build its map.

    Numbers that are not given are calibrated where there are codes enough
    (`ot_latent.calibration`), else set to what served elsewhere; the spread of local laws is
    settled for any number of codes (`calibration.local.settled_spread`).

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The transport.
    source : Source
        The noise.
    kind : str
        "auto": simplices up to three dimensions, affine local laws above.
    fixed : Fixed
        The numbers that are given.
    weights : Tensor of shape (N,)
        Masses of the targets.
    groups : Tensor of shape (N,) or None
        Labels as integers.
    families : numpy.ndarray of shape (N,), optional
        Codes that the calibration holds out together.
    seed : int
        Seed of the calibration.
    memory_budget : int or str or None
        Working memory.

    Returns
    -------
    map_ : ExtendedMap
        The map.
    rule : Rule
        What it is.
    calibration : Calibration or None
        Why, where there was a choice.
    """
    kind = resolved_kind(kind, solution)
    rule = Rule(kind, **fixed.settings(low=kind == "simplex"))
    kinds: dict[str, Any] = {"groups": groups, "families": families}
    found, table = None, None
    open_ = None in (fixed.b, fixed.neighbours, fixed.tear)  # simplices do not choose a
    if kind == "simplex" and len(weights) >= LOW_LEAST and open_:
        points = solution.potential.points
        found = calibrate_simplex(points, source, weights=weights, fixed=fixed, seed=seed, **kinds)
        rule = _with(rule, found)
        if fixed.b is None:
            slope = settled_slope(solution, source, found.chosen, groups=groups, seed=seed)
            rule = replace(rule, b=slope)
    elif kind in ("affine", "noise") and len(weights) > 1 and None in fixed:
        rule, found, table = _local(rule, solution, source, fixed, kinds, seed, memory_budget)
    return map_of(rule, solution, groups, memory_budget, table=table), rule, found


def _local(
    rule: Rule,
    solution: SemiDiscreteSolution,
    source: Source,
    fixed: Fixed,
    kinds: dict[str, Any],
    seed: int,
    memory_budget: int | str | None,
) -> tuple[Rule, Calibration | None, Tensor]:
    """Settle the numbers of local laws; return the table of neighbours, too."""
    points, found = solution.potential.points, None
    width = width_of_table(len(points), fixed, kinds["families"] is not None)
    table = neighbour_table(points, width, kinds["groups"], memory_budget)
    drawn = _residuals(solution, source, rule.kind, seed)
    room = _room(solution, source, rule.kind)
    if len(points) >= LEAST:
        found = calibrate_local(points, table, *drawn, fixed=fixed, room=room, seed=seed, **kinds)
        rule = _with(rule, found)
    if fixed.b is None:
        spread = settled_spread(
            points, table, *drawn, a=rule.a, neighbours=rule.neighbours, tear=rule.tear,
            room=room, **kinds,
        )  # fmt: skip
        rule = replace(rule, b=spread)
    return rule, found, table


def _with(rule: Rule, found: Calibration) -> Rule:
    """Return the rule with the numbers of a calibration."""
    best = found.chosen
    return replace(rule, a=best.a, b=best.b, neighbours=best.neighbours, tear=best.tear)


def resolved_kind(kind: str, solution: SemiDiscreteSolution) -> Kind:
    """Return the kind of map that "auto" stands for.

    Parameters
    ----------
    kind : str
        "auto" or a kind.
    solution : SemiDiscreteSolution
        The transport; without centroids the local law is drawn.

    Returns
    -------
    str
        A kind.
    """
    if kind != AUTO:
        return kind  # type: ignore[return-value]
    if solution.centroids is None or not solution.within_scale:
        return "noise"
    return "simplex" if solution.potential.dim <= SIMPLEX_DIM else "affine"


def map_of(
    rule: Rule,
    solution: SemiDiscreteSolution,
    groups: Tensor | None,
    memory_budget: int | str | None,
    *,
    table: Tensor | None = None,
) -> ExtendedMap:
    """Build the map of a settled rule.

    Parameters
    ----------
    rule : Rule
        The rule.
    solution : SemiDiscreteSolution
        The transport: the joint one, or that of a class.
    groups : Tensor of shape (N,) or None
        Labels as integers.
    memory_budget : int or str or None
        Working memory.
    table : Tensor of shape (N, K), optional
        Neighbours found earlier, at least as many as the rule has.

    Returns
    -------
    ExtendedMap
        The map.
    """
    u, scale = solution.potential, solution.within_scale or 0.0
    numbers = rule.to_dict()
    if table is not None:
        own = one_sided_table(u.points, rule.neighbours, rule.tear, groups, memory_budget, table)
        del numbers["neighbours"]
        return ExtendedMap(u, solution.centroids, own.to(torch.int32), scale, **numbers)
    return ExtendedMap.build(
        u, solution.centroids, scale, groups=groups, memory_budget=memory_budget, **numbers
    )


def map_to_tensors(map_: ExtendedMap) -> dict[str, Tensor]:
    """Return what of a map is large and not in its solution.

    Parameters
    ----------
    map_ : ExtendedMap
        The map.

    Returns
    -------
    dict of str to Tensor
        neighbours; simplices, anchors and slopes where there are some.
    """
    own, simplex = {"neighbours": map_.neighbours}, map_.simplex
    if simplex is None:
        return own
    own |= {"simplices": simplex.simplices, "anchors": simplex.points}
    return own if simplex.slopes is None else own | {"slopes": simplex.slopes}


def map_from_parts(
    solution: SemiDiscreteSolution, tensors: dict[str, Tensor], rule: Rule
) -> ExtendedMap:
    """Rebuild a map from its solution, its tensors and its rule.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The transport.
    tensors : dict of str to Tensor
        As from `map_to_tensors`.
    rule : Rule
        The rule.

    Returns
    -------
    ExtendedMap
        A map that does the same.
    """
    u, simplex = solution.potential, None
    if rule.kind == "simplex" and solution.centroids is not None:
        middles = solution.centroids.to(u.points).double()
        slopes, anchors = tensors.get("slopes"), tensors.get("anchors", u.points.double())
        overhang = rule.b if slopes is None else 1.0  # slopes hold b; earlier maps have none
        simplex = SimplexMap(middles, anchors, tensors["simplices"], overhang, slopes=slopes)
    numbers = rule.to_dict()
    del numbers["neighbours"]
    return ExtendedMap(
        u, solution.centroids, tensors["neighbours"], solution.within_scale or 0.0,
        simplex=simplex, **numbers,
    )  # fmt: skip


def _room(solution: SemiDiscreteSolution, source: Source, kind: str) -> float:
    """Return the scale of the noise within cells over that of all noise."""
    whole = math.sqrt(float(source.covariance.trace()) / source.dim)
    return math.inf if kind == "noise" else (solution.within_scale or 0.0) / whole


def _residuals(
    solution: SemiDiscreteSolution, source: Source, kind: str, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the cells of noise and its residuals within them, for the calibration."""
    u, rows = solution.potential, -(-2 * HELD_OUT // BLOCK_ROWS) * BLOCK_ROWS
    points = u.points
    x = source.sample(
        rows, seed=seed, stream=Stream.SPLIT, dtype=points.dtype, device=points.device
    )
    probe = ExtendedMap(
        u, solution.centroids, points.new_zeros((len(points), u.dim), dtype=torch.int32),
        solution.within_scale or 0.0, kind,  # type: ignore[arg-type]
    )  # fmt: skip
    cells = probe.cell_index(x)
    return cells, probe.residual(x, cells, seed=seed)
