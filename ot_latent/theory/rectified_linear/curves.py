"""How many linear pieces a curve demands of every network that encodes it, and curves that demand many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_positive

OPPOSITE = 1e-12  # directions whose hull comes this close to 0 leave no open half-space


@dataclass(frozen=True)
class CurveComplexity:
    """The least number of arcs of a polyline on each of which some affine function is injective."""

    value: int
    """Number of arcs."""
    starts: tuple[int, ...]
    """The first edge of each arc of the greedy division."""


def curve_complexity(points: Any) -> CurveComplexity:
    """Return the rectified linear complexity of a polyline. Exact.

    An arc is linearly rectifiable if some affine function is injective, hence strictly monotone, on
    it: if its edges lie in an open half-space. Taking the longest such arc again and again uses the
    fewest arcs, because every part of a rectifiable arc is rectifiable.

    If a continuous piecewise-linear map to the line is injective on the curve, it is injective and
    affine on every part of the curve on which it does not bend; so **the number of linear pieces
    that the curve runs through is at least this number** (a theorem, whatever the network). Theorem
    4.12 of Lei, Luo, Yau and Gu (arXiv 1805.10451) states the bound for the pieces of the map on
    the whole space; that needs pieces which meet the curve in one arc each.

    Parameters
    ----------
    points : array-like of shape (m, d)
        Corners of the polyline, any dimension d; repeated points are left out.

    Returns
    -------
    CurveComplexity
        The number of arcs, and where the greedy division starts them.

    Raises
    ------
    DataError
        If the points are not finite or fewer than two are distinct.

    Examples
    --------
    >>> square = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    >>> curve_complexity(square)
    CurveComplexity(value=2, starts=(0, 2))
    """
    edges = np.diff(check_array(points, "points", ndim=2).astype(np.float64), axis=0)
    length = np.linalg.norm(edges, axis=1)
    kept = np.flatnonzero(length > 0)
    if not len(kept):
        raise DataError("points must hold two distinct points, got none; pass a longer curve.")
    directions = edges[kept] / length[kept, None]
    arcs = _plane_arcs(directions) if directions.shape[1] == 2 else _arcs(directions)
    return CurveComplexity(len(arcs), tuple(int(kept[i]) for i in arcs))


def _plane_arcs(directions: np.ndarray) -> list[int]:
    """Return where arcs start in the plane: directions within an open half-plane."""
    angle = np.arctan2(directions[:, 1], directions[:, 0])
    starts, low, high, reference = [0], 0.0, 0.0, angle[0]
    for i in range(1, len(angle)):
        turn = (angle[i] - reference + np.pi) % (2 * np.pi) - np.pi
        # the same direction modulo a full turn, as close to the interval as can be
        turn += 2 * np.pi * np.round(((low + high) / 2 - turn) / (2 * np.pi))
        low, high = min(low, turn), max(high, turn)
        if high - low >= np.pi - OPPOSITE:
            starts.append(i)
            low, high, reference = 0.0, 0.0, angle[i]
    return starts


def _arcs(directions: np.ndarray) -> list[int]:
    """Return where arcs start in any dimension, by doubling and bisection."""
    starts, first, count = [], 0, len(directions)
    while first < count:
        starts.append(first)
        good, step = first + 1, 1
        while good + step <= count and _half_space(directions[first : good + step]):
            good, step = good + step, 2 * step
        while step > 1:
            step //= 2
            if good + step <= count and _half_space(directions[first : good + step]):
                good += step
        first = good
    return starts


def _half_space(directions: np.ndarray) -> bool:
    """Whether unit vectors lie in an open half-space: whether 0 is outside their hull."""
    from scipy.optimize import linprog

    rows, size = directions.shape
    objective = np.append(np.zeros(size), -1.0)  # maximise the least inner product
    sides = np.column_stack([-directions, np.ones(rows)])
    limits = [(-1.0, 1.0)] * size + [(None, 1.0)]
    return -linprog(objective, A_ub=sides, b_ub=np.zeros(rows), bounds=limits).fun > 1e-9


def peano_curve(order: int) -> np.ndarray:
    """Return the Peano-type curve C_n in the unit square: data that small networks cannot encode.

    C_n holds 4^(n+1) U-shaped units, none of which is linearly rectifiable, so that its complexity
    exceeds 4^(n+1) (Theorem 4.14 of Lei, Luo, Yau and Gu has curves with as many units). Here C_n is
    Hilbert's curve of level n + 2; its units are its copies of level 1.

    Parameters
    ----------
    order : int
        n >= 0; C_1 has 16 units.

    Returns
    -------
    numpy.ndarray of shape (4^(n+2), 2)
        Corners, from (0, 0) to (1, 0) scaled to the centres of a grid of cells.

    Raises
    ------
    ValueError
        If the order is not an integer of at least 0.

    Examples
    --------
    >>> curve = peano_curve(1)
    >>> len(curve), curve_complexity(curve).value > 4**2
    (64, True)
    """
    check_positive(order + 1 if isinstance(order, int) else order, "order + 1", integer=True)
    side = 2 ** (order + 2)
    index = np.arange(side**2)
    x = np.zeros_like(index)
    y = np.zeros_like(index)
    cell = 1
    while cell < side:
        right, up = (index // 2) & 1, (index ^ (index // 2)) & 1
        flip = (up == 0) & (right == 1)
        x, y = np.where(flip, cell - 1 - x, x), np.where(flip, cell - 1 - y, y)
        x, y = np.where(up == 0, y, x), np.where(up == 0, x, y)
        x, y = x + cell * right, y + cell * up
        index, cell = index // 4, 2 * cell
    return (np.column_stack([x, y]) + 0.5) / side


def spiral(turns: float, points: int = 400, *, start: float = 0.2) -> np.ndarray:
    """Return an Archimedean spiral (a + b s) e^{2 pi i s}, s in [0, turns], within the unit disk.

    Parameters
    ----------
    turns : float
        How often it goes round.
    points : int, default=400
        Number of corners of the polyline.
    start : float, default=0.2
        Radius a at the start; the radius ends at 1.

    Returns
    -------
    numpy.ndarray of shape (points, 2)
        Corners.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> curve_complexity(spiral(2.0)).value
    5
    """
    check_positive(turns, "turns")
    check_positive(points, "points", integer=True)
    check_positive(start, "start")
    s = np.linspace(0.0, turns, points)
    radius = start + (1.0 - start) * s / turns
    return radius[:, None] * np.column_stack([np.cos(2 * np.pi * s), np.sin(2 * np.pi * s)])


def spiral_turning(turns: float, *, start: float = 0.2) -> float:
    """Return the total turning of the tangent of `spiral`. Exact.

    Parameters
    ----------
    turns : float
        How often it goes round.
    start : float, default=0.2
        Radius at the start.

    Returns
    -------
    float
        w T + arctan(w (a + b T) / b) - arctan(w a / b), with radius a + b s, s <= T, angle w s.
    """
    w, b = 2 * np.pi, (1.0 - start) / turns
    return float(w * turns + np.arctan(w / b) - np.arctan(w * start / b))
