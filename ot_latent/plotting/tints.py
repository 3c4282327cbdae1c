"""Colours for cells: of places, so that close targets look alike; of classes; of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_array
from ot_latent.plotting.style import label_colours

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable

LIGHTNESS, CHROMA = 0.86, 0.115  # of the palest tints, in the space Oklab
DEPTH = 0.3  # how much darker the third coordinate makes a place
LIMIT = 0.9  # share of the places that keep clear of the rim of the colour disc
VALUES = "RdYlBu_r"

# Oklab to linear sRGB (B. Ottosson, 2020).
TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab(lab: np.ndarray) -> np.ndarray:
    """Return colours of the perceptual space Oklab as RGB.

    Parameters
    ----------
    lab : ndarray of shape (n, 3)
        Lightness in [0, 1], and the axes green to red and blue to yellow.

    Returns
    -------
    ndarray of shape (n, 3)
        sRGB in [0, 1]; what lies outside is clipped.

    Examples
    --------
    >>> oklab(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])).round(3)
    array([[1., 1., 1.],
           [0., 0., 0.]])
    """
    linear = np.clip((lab @ TO_LMS.T) ** 3 @ TO_RGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def place_colours(
    points: Any, *, lightness: float = LIGHTNESS, chroma: float = CHROMA
) -> np.ndarray:
    """Give each point a colour that changes smoothly with its place.

    The direction from the centre is the hue and the distance the strength; a third coordinate
    darkens. Across a cell boundary the colour jumps where the targets do.

    Parameters
    ----------
    points : array-like of shape (n, 2) or (n, 3)
        Places.
    lightness, chroma : float
        Lightness in [0, 1], and strength of the colour at the rim.

    Returns
    -------
    ndarray of shape (n, 3)
        RGB in [0, 1].

    Examples
    --------
    >>> place_colours([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).shape
    (3, 3)
    """
    places = np.asarray(points, dtype=np.float64)
    centred = places - places.mean(axis=0)
    flat = centred[:, :2]
    radius = np.linalg.norm(flat, axis=1)
    reach = float(np.quantile(radius, LIMIT)) or 1.0
    strength = np.tanh(1.2 * radius / reach)[:, None]
    plane = chroma * strength * flat / np.maximum(radius, 1e-300)[:, None]
    level = np.full(len(places), lightness)
    if places.shape[1] > 2:
        spread = float(np.ptp(places[:, 2])) or 1.0
        level = lightness + 0.06 - DEPTH * (places[:, 2].max() - places[:, 2]) / spread
    return oklab(np.c_[level, plane])


def cell_colours(
    color: Any, points: np.ndarray, limits: tuple[float, float] | None = None
) -> tuple[np.ndarray, ScalarMappable | None]:
    """Return one colour per cell, and the scale where the colours mean numbers.

    Parameters
    ----------
    color : None, colour, or array-like with a row per cell
        None colours by the place of the target; integers and strings are classes, floats are
        values, three or four columns are the colours themselves.
    points : ndarray of shape (N, d)
        Targets.
    limits : tuple of float, optional
        Values at the two ends of the scale.

    Returns
    -------
    colours : ndarray of shape (N, 4)
        RGBA.
    scale : matplotlib.cm.ScalarMappable or None
        For a colour bar.

    Raises
    ------
    DataError
        If the number of rows is not that of the cells, or rows are no colours.
    """
    from matplotlib.colors import is_color_like, to_rgba, to_rgba_array

    n = len(points)
    if color is None:
        return to_rgba_array(place_colours(points)), None
    if is_color_like(color) and np.ndim(color) <= 1 and not (n == np.size(color) > 1):
        return np.tile(to_rgba(color), (n, 1)), None
    rows = np.asarray(color)
    if len(rows) != n or rows.ndim > 2 or (rows.ndim == 2 and rows.shape[1] not in (3, 4)):
        raise DataError(
            f"color must be one colour, or have one label, value or RGB row for each of the {n} "
            f"cells, got shape {rows.shape}; pass an array in the order of the targets."
        )
    if rows.ndim == 2:
        return to_rgba_array(rows), None
    if rows.dtype.kind == "f":
        return _scaled(check_array(rows, "color"), limits)
    return to_rgba_array(label_colours(rows, n)), None


def _scaled(
    values: np.ndarray, limits: tuple[float, float] | None
) -> tuple[np.ndarray, ScalarMappable]:
    """Return the colours of numbers and their scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    low, high = limits if limits is not None else (float(values.min()), float(values.max()))
    scale = ScalarMappable(Normalize(low, high), VALUES)
    return np.asarray(scale.to_rgba(values)), scale
