"""How many chords follow the image of a segment: for smooth networks, beside the exact pieces of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_positive

LEAST_TOLERANCE = 1e-6
"""Below it differences of squares drown in the rounding of float64."""


@dataclass(frozen=True)
class SegmentChords:
    """The image of a segment under any function, followed by chords: estimates from a grid."""

    breakpoints: np.ndarray
    """Places on the segment, in [0, 1], at which one chord ends and the next begins."""
    turning: float
    """Sum of the angles between successive steps of the grid, in radians; 0 for a straight image."""
    length: float
    """Length of the image, step by step."""
    span: float
    """Distance of the images of both ends."""
    tolerance: float
    """Largest distance from the chords that was allowed, as a share of the length."""

    @property
    def n_chords(self) -> int:
        """How many chords there are."""
        return len(self.breakpoints) + 1


def segment_chords(
    function: Callable[[np.ndarray], Any],
    start: Any,
    end: Any,
    *,
    tolerance: float = 0.01,
    steps: int = 256,
) -> SegmentChords:
    r"""Return the fewest chords that follow a function along a segment. An estimate.

    The function is replaced on each interval of the segment by the affine map that agrees with it
    at both ends. Among all divisions at points of a uniform grid, one with the fewest intervals is
    found such that no grid point is further than the tolerance from its value. For a smooth
    function f and a small tolerance :math:`\varepsilon` the number is about
    :math:`\int \sqrt{\lVert f''(t) \rVert / 8 \varepsilon}\, dt`: it measures curvature. For a
    piecewise-linear one it is at most that of its pieces, of which those that hardly bend count
    for nothing; `line_regions` counts these exactly.

    Parameters
    ----------
    function : callable
        From points of shape (n, d) to values of shape (n, ...), such as a decoder.
    start, end : array-like of shape (d,)
        The ends of the segment.
    tolerance : float, default=0.01
        Largest distance allowed, as a share of the length of the image; at least 1e-6.
    steps : int, default=256
        Steps of the grid, at least 2. What happens between its points is not seen. Time grows like
        their cube (256: a tenth of a second).

    Returns
    -------
    SegmentChords
        Chords, turning, length.

    Raises
    ------
    ValueError
        If the tolerance or the number of steps is too small.
    DataError
        If the function does not return one finite row per point.

    Examples
    --------
    >>> tent = lambda t: np.abs(t)
    >>> found = segment_chords(tent, [-1.0], [1.0], tolerance=1e-4)
    >>> found.n_chords, found.breakpoints.tolist(), found.length
    (2, [0.5], 2.0)
    """
    check_positive(tolerance, "tolerance")
    check_positive(steps, "steps", integer=True)
    if tolerance < LEAST_TOLERANCE or steps < 2:
        raise ValueError(
            f"tolerance and steps must be at least {LEAST_TOLERANCE} and 2, got {tolerance} and "
            f"{steps}; try 0.01 and 256."
        )
    values = _values(function, start, end, steps)
    moves = np.diff(values, axis=0)
    lengths = np.linalg.norm(moves, axis=1)
    length = float(lengths.sum())
    knots = _knots(_follows(values - values.mean(axis=0), tolerance * length))
    return SegmentChords(
        breakpoints=knots[1:-1] / steps,
        turning=_turning(moves, lengths),
        length=length,
        span=float(np.linalg.norm(values[-1] - values[0])),
        tolerance=tolerance,
    )


def _values(function: Callable[[np.ndarray], Any], start: Any, end: Any, steps: int) -> np.ndarray:
    """Return the function on the grid, flattened."""
    ends = [
        np.ravel(check_array(point, "end of a segment")).astype(float) for point in (start, end)
    ]
    if len(ends[0]) != len(ends[1]):
        raise DataError(
            f"ends of a segment must have equally many coordinates, got {len(ends[0])} and "
            f"{len(ends[1])}; pass two points of one space."
        )
    t = np.linspace(0.0, 1.0, steps + 1)[:, None]
    values = check_array(function((1.0 - t) * ends[0] + t * ends[1]), "value of function")
    if len(values) != len(t):
        raise DataError(
            f"function must return one row per point, got {len(values)} for {len(t)}; let it keep "
            "the first axis."
        )
    return values.reshape(len(t), -1).astype(np.float64)


def _turning(moves: np.ndarray, lengths: np.ndarray) -> float:
    """Return the sum of the angles between successive steps; steps of length zero are left out."""
    going = lengths > 0.0
    towards = moves[going] / lengths[going, None]
    gaps = np.linalg.norm(np.diff(towards, axis=0), axis=1)  # exact for small angles, too
    return float(2.0 * np.arcsin(np.minimum(gaps / 2.0, 1.0)).sum())


def _follows(values: np.ndarray, distance: float) -> np.ndarray:
    """Say for all i < j whether the chord from i to j stays within a distance of what lies between.

    From inner products alone, all intervals of one length at once.
    """
    count = len(values)
    inner = values @ values.T
    near = np.zeros((count, count), dtype=bool)
    for gap in range(1, count):
        i = np.arange(count - gap)[:, None]
        j, k = i + gap, i + np.arange(1, gap)
        b = (k - i) / gap
        a = 1.0 - b
        ends = a * a * inner[i, i] + b * b * inner[j, j] + 2.0 * a * b * inner[i, j]
        squares = inner[k, k] + ends - 2.0 * (a * inner[k, i] + b * inner[k, j])
        near[i[:, 0], j[:, 0]] = (squares <= distance**2).all(axis=1)
    return near


def _knots(near: np.ndarray) -> np.ndarray:
    """Return the ends of the fewest intervals, by dynamic programming from the left."""
    count = len(near)
    fewest, before = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    for j in range(1, count):
        allowed = np.flatnonzero(near[:j, j])
        before[j] = allowed[fewest[allowed].argmin()]
        fewest[j] = fewest[before[j]] + 1
    knots = [count - 1]
    while knots[-1]:
        knots.append(int(before[knots[-1]]))
    return np.array(knots[::-1])
