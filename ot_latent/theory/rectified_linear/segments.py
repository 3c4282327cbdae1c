"""Distances between segments of polylines: whether a polyline meets itself, and how close it comes."""

from __future__ import annotations

import numpy as np

BLOCK = 256


def segment_distances(a: np.ndarray, u: np.ndarray, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the distances between segments ``a + s u`` and ``b + t v``, s and t in [0, 1].

    Parameters
    ----------
    a, u, b, v : numpy.ndarray of shape (..., d)
        Starts and steps; they broadcast.

    Returns
    -------
    numpy.ndarray of shape (...)
        Distances (exact to rounding): the least of that between the lines, where it is attained
        inside, and of those between each end and the other segment.

    Examples
    --------
    >>> a, u = np.array([0.0, 0.0]), np.array([1.0, 0.0])
    >>> float(segment_distances(a, u, np.array([0.5, 2.0]), np.array([0.0, -1.0])))
    1.0
    """
    w = a - b
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    flat = uu * vv - uv * uv
    inverse = np.where(flat > 1e-14 * uu * vv, 1.0 / np.where(flat > 0, flat, 1.0), 0.0)
    s = np.clip((uv * vw - vv * uw) * inverse, 0.0, 1.0)
    best = np.full(s.shape, np.inf)
    fixed = [(s, None), (0.0, None), (1.0, None), (None, 0.0), (None, 1.0)]
    for first, second in fixed:
        if second is None:
            first = first + np.zeros_like(s)
            second = np.clip((uv * first + vw) / np.where(vv > 0, vv, 1.0), 0.0, 1.0)
        else:
            second = second + np.zeros_like(s)
            first = np.clip((uv * second - uw) / np.where(uu > 0, uu, 1.0), 0.0, 1.0)
        gap = w + first[..., None] * u - second[..., None] * v
        best = np.minimum(best, np.sqrt((gap * gap).sum(-1)))
    return best


def closest_approach(points: np.ndarray, closed: bool = False) -> float:
    """Return the least distance between two edges of a polyline that share no corner.

    Parameters
    ----------
    points : numpy.ndarray of shape (m, d)
        Corners.
    closed : bool, default=False
        Whether the last corner is the first, so that the first and the last edge share it.

    Returns
    -------
    float
        The distance; infinity if all edges share corners.

    Examples
    --------
    >>> closest_approach(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    1.0
    """
    start, step = points[:-1], np.diff(points, axis=0)
    count, best = len(start), float("inf")
    for first in range(0, count, BLOCK):
        i = np.arange(first, min(first + BLOCK, count))
        j = np.arange(first + 2, count)
        if not len(j):
            break
        apart = segment_distances(start[i, None], step[i, None], start[None, j], step[None, j])
        near = j[None] < i[:, None] + 2
        near |= closed & (i[:, None] == 0) & (j[None] == count - 1)
        best = min(best, float(np.where(near, np.inf, apart).min()))
    return best


def crosses_itself(polygon: np.ndarray) -> bool:
    """Return whether a closed polygon meets itself.

    Parameters
    ----------
    polygon : numpy.ndarray of shape (m, d)
        Corners in order, the first not repeated.

    Returns
    -------
    bool
        Whether two edges without a common corner come within 1e-12 of its extent.

    Examples
    --------
    >>> crosses_itself(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    True
    """
    closed = np.vstack([polygon, polygon[:1]])
    return closest_approach(closed, closed=True) <= 1e-12 * float(np.ptp(polygon, axis=0).max())
