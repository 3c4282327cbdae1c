"""Least variation in one dimension: the total variation of f', and the networks that reach it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_same_length
from ot_latent.theory.sparsity.shallow import ShallowNetwork

COLLINEAR = 1e-12
"""Jumps of the slope below this share of the largest slope are rounding."""


def rtv2_1d(x: Any, y: Any) -> float:
    """Return the total variation of f' for the broken line through points: sum |s_{i+1} - s_i|.

    Exact. It is the least second-order variation of any function through these points, and so the
    least path norm of any ReLU network with an affine skip that interpolates them (theorem; Parhi
    and Nowak 2021).

    Parameters
    ----------
    x : array-like of shape (n,)
        Distinct places, in any order.
    y : array-like of shape (n,)
        Values.

    Returns
    -------
    float
        The variation; 0 for fewer than three points.

    Raises
    ------
    DataError
        If two places are equal, lengths differ, or values are not finite.

    Examples
    --------
    >>> rtv2_1d([0, 1, 2], [0, 1, 0]), rtv2_1d([0, 1, 2, 3, 4], [0, 0, 1, 3, 6])
    (2.0, 3.0)
    """
    _, _, slopes = _broken_line(x, y)
    return float(np.abs(np.diff(slopes)).sum())


def min_rtv2_interpolant_1d(x: Any, y: Any, *, sparsest: bool = False) -> ShallowNetwork:
    """Return a network of least second-order variation through points on a line.

    By default the broken line, with a neuron at every inner point where the slope changes: at most
    n - 2. All minimisers agree on the intervals next to a change of the sign of curvature; inside a
    run of m kinks of one sign the line may be any convex (concave) function through the points, and
    ``sparsest=True`` takes the one with ceil(m / 2) kinks (theorem; Debarre, Denoyelle, Unser,
    Fageot 2022). Both have the variation `rtv2_1d`.

    Parameters
    ----------
    x : array-like of shape (n,)
        At least two distinct places, in any order.
    y : array-like of shape (n,)
        Values.
    sparsest : bool, default=False
        Whether to use as few neurons as can be.

    Returns
    -------
    ShallowNetwork
        One input, one output, all neurons look to the right.

    Raises
    ------
    DataError
        If there are fewer than two points, or two places are equal.

    Examples
    --------
    >>> x, y = [0, 1, 2, 3, 4], [0, 0, 1, 3, 6]
    >>> [min_rtv2_interpolant_1d(x, y, sparsest=s).neurons for s in (False, True)]
    [3, 2]
    """
    x, y, slopes = _broken_line(x, y)
    if sparsest:
        lines = _fewest_lines(slopes)
        knots = np.array([_crossing(x, y, slopes, a, b) for a, b in pairwise(lines)])
        jumps = np.diff(slopes[lines])
    else:
        knots, jumps = x[1:-1], np.diff(slopes)
        kinked = np.abs(jumps) > COLLINEAR * np.abs(slopes).max(initial=0.0)
        knots, jumps = knots[kinked], jumps[kinked]
    ones = np.ones((len(knots), 1))
    skip, offset = slopes[:1, None], np.array([y[0] - slopes[0] * x[0]])
    return ShallowNetwork(ones, -knots.reshape(-1), jumps[:, None], skip, offset)


def _broken_line(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points in order and the slopes between them."""
    x = check_array(x, "x", ndim=1, min_rows=2).astype(np.float64)
    y = check_array(y, "y", ndim=1, min_rows=2).astype(np.float64)
    check_same_length(x, y, ("x", "y"))
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    gaps = np.diff(x)
    if not (gaps > 0).all():
        where = x[1:][gaps <= 0][0]
        raise DataError(f"x must be distinct places, got {where:g} twice; average their values.")
    return x, y, np.diff(y) / gaps


def _fewest_lines(slopes: np.ndarray) -> np.ndarray:
    """Return which chords to keep: every second one in a run of kinks of one sign."""
    jumps = np.diff(slopes)
    small = np.abs(jumps) <= COLLINEAR * np.abs(slopes).max(initial=0.0)
    signs = np.where(small, 0.0, np.sign(jumps))
    lines = [0]
    n = 0
    while n < len(signs):
        if signs[n] == 0:
            n += 1
            lines[-1] = n if lines[-1] == n - 1 else lines[-1]
            continue
        last = n
        while last + 1 < len(signs) and signs[last + 1] == signs[n]:
            last += 1
        lines += [*range(n + 2, last + 1, 2), last + 1]
        n = last + 1
    return np.array(lines)


def _crossing(x: np.ndarray, y: np.ndarray, slopes: np.ndarray, a: int, b: int) -> float:
    """Return where the lines of two chords cross."""
    if b == a + 1:
        return float(x[b])
    gap = y[b] - slopes[b] * x[b] - (y[a] - slopes[a] * x[a])
    return float(gap / (slopes[a] - slopes[b]))
