"""Laws that are known: mixtures with given centres, and curves. What lies off them can be counted.

Toy problems of generation have what real data lack: the truth. An item of a mixture belongs to the
nearest centre, or to none where it is farther than some deviations from all; an item of a spiral has a
distance to the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.metrics._inputs import as_row_pair
from ot_latent.metrics.novelty import closest_record

_CHUNK = 2**22  # pairs of a point and a segment held at once


class ModeVerdict(NamedTuple):
    """The mode of each item, and how far off it is.

    Attributes
    ----------
    modes : numpy.ndarray
        Number of the nearest centre, shape (n,).
    distances : numpy.ndarray
        Distance to it in standard deviations, shape (n,).
    """

    modes: np.ndarray
    distances: np.ndarray


def nearest_modes(*, points: Any, centres: Any, deviation: float) -> ModeVerdict:
    """Return the nearest centre of each point, and the distance in deviations.

    Parameters
    ----------
    points : array-like of shape (n, d)
        Items.
    centres : array-like of shape (modes, d)
        Centres of the mixture.
    deviation : float
        Standard deviation per coordinate of every mode.

    Returns
    -------
    ModeVerdict
        Modes and distances.

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.
    ValueError
        If `deviation` is not positive.

    Examples
    --------
    >>> verdict = nearest_modes(points=[[0.1], [2.5]], centres=[[0.0], [2.0]], deviation=0.1)
    >>> verdict.modes.tolist(), verdict.distances.round(9).tolist()
    ([0, 1], [1.0, 5.0])
    """
    check_positive(deviation, "deviation")
    points, centres = as_row_pair(points, centres, ("points", "centres"))
    distances, modes = closest_record(train=centres, points=points)
    return ModeVerdict(modes, distances / deviation)


def off_mode_rate(*, points: Any, centres: Any, deviation: float, reach: float = 4.0) -> float:
    r"""Return the share of points farther than `reach` deviations from every centre.

    Fresh points of the mixture have the rate of the chi law, in the plane
    :math:`e^{-\mathrm{reach}^2/2}`, which is 0.034 % at 4.

    Parameters
    ----------
    points, centres, deviation
        As in `nearest_modes`.
    reach : float, default=4
        Radius of a mode, in deviations.

    Returns
    -------
    float
        Share in [0, 1].

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.
    ValueError
        If `deviation` or `reach` is not positive.

    Examples
    --------
    >>> off_mode_rate(points=[[0.1], [1.0]], centres=[[0.0], [2.0]], deviation=0.1)
    0.5
    """
    check_positive(reach, "reach")
    verdict = nearest_modes(points=points, centres=centres, deviation=deviation)
    return float((verdict.distances > reach).mean())


def distance_to_curve(points: Any, curve: Any) -> np.ndarray:
    """Return the Euclidean distance of each point to a polygonal curve, or to several.

    Exact for the polygon. A smooth curve of curvature at most K, sampled in steps of length s, lies
    within about K s^2 / 8 of its polygon; `metrics.manifolds` holds smooth curves with exact distances.

    Parameters
    ----------
    points : array-like of shape (n, d)
        Items.
    curve : array-like of shape (m, d), or a sequence of them
        Vertices of one curve in their order, or of several curves.

    Returns
    -------
    numpy.ndarray
        Shape (n,), float64.

    Raises
    ------
    DataError
        If an array is empty or not finite, a curve has one vertex, or the dimensions differ.

    Examples
    --------
    >>> distance_to_curve([[0.5, 1.0], [3.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]).tolist()
    [1.0, 2.0]
    """
    x = check_array(points, "points", ndim=2).astype(np.float64)
    several = isinstance(curve, Sequence) and len(curve) > 0 and np.ndim(curve[0]) == 2
    lines = [
        check_array(line, "curve", ndim=2, min_rows=2) for line in (curve if several else [curve])
    ]
    if any(line.shape[1] != x.shape[1] for line in lines):
        raise DataError(
            f"curve must have {x.shape[1]} columns as the points, got "
            f"{[line.shape[1] for line in lines]}; pass vertices of the same space."
        )
    starts = np.concatenate([line[:-1] for line in lines]).astype(np.float64)
    edges = np.concatenate([np.diff(line.astype(np.float64), axis=0) for line in lines])
    size = max(1, _CHUNK // len(starts))
    parts = [_to_segments(x[i : i + size], starts, edges) for i in range(0, len(x), size)]
    return np.concatenate(parts)


def _to_segments(x: np.ndarray, starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest segment: found by products, then measured anew."""
    squares = (edges**2).sum(1)
    along = x @ edges.T - (starts * edges).sum(1)
    places = np.clip(along / np.where(squares > 0, squares, 1.0), 0.0, 1.0)
    offset = (x**2).sum(1)[:, None] - 2 * x @ starts.T + (starts**2).sum(1)
    nearest = (offset - 2 * places * along + places**2 * squares).argmin(1)
    row = np.arange(len(x))
    foot = starts[nearest] + places[row, nearest, None] * edges[nearest]
    return np.linalg.norm(x - foot, axis=1)
