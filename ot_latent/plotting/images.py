"""Pictures of images: grids, reconstructions under their originals, paths through code space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_same_length
from ot_latent.plotting.style import resolve_axes, style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def as_colour(images: Any, name: str = "images") -> np.ndarray:
    """Return images as (n, h, w, 3) numbers in [0, 1], whatever their layout and range.

    Parameters
    ----------
    images : array-like
        (n, h, w), (n, c, h, w) or (n, h, w, c) with c in {1, 3}; unsigned bytes, or floats. Floats
        are read as [0, 1] where they lie there, else stretched from their smallest to their largest.
    name : str
        Name used in the refusal.

    Returns
    -------
    ndarray of shape (n, h, w, 3)
        Colours in [0, 1], float32.

    Raises
    ------
    DataError
        If the array cannot be read as images.

    Examples
    --------
    >>> as_colour(np.full((2, 1, 4, 5), 255, np.uint8)).shape
    (2, 4, 5, 3)
    """
    array = check_array(images, name)
    if array.ndim == 3:
        array = array[..., None]  # (n, h, w, 1)
    elif array.ndim == 4 and array.shape[-1] not in (1, 3) and array.shape[1] in (1, 3):
        array = np.moveaxis(array, 1, -1)  # (n, h, w, c)
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise DataError(
            f"{name} must be images of shape (n, h, w), (n, c, h, w) or (n, h, w, c) with c in "
            f"{{1, 3}}, got shape {array.shape}; reshape the rows to images."
        )
    scaled = _to_unit(array)
    return np.repeat(scaled, 3, axis=-1) if scaled.shape[-1] == 1 else scaled


def _to_unit(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255.0
    values = array.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if low >= 0.0 and high <= 1.0:
        return values
    return (values - low) / max(high - low, 1e-12)


def mosaic(images: Any, *, columns: int | None = None, padding: int = 1) -> np.ndarray:
    """Lay images out row by row on a white sheet.

    Parameters
    ----------
    images : array-like
        See :func:`as_colour`.
    columns : int, optional
        Images in a row; by default the sheet is about square.
    padding : int, default=1
        White pixels between images.

    Returns
    -------
    ndarray of shape (H, W, 3)
        Unsigned bytes.

    Examples
    --------
    >>> mosaic(np.zeros((6, 8, 8)), columns=3).shape
    (17, 26, 3)
    """
    tiles = as_colour(images)
    n, height, width, _ = tiles.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    lines = math.ceil(n / columns)
    step_y, step_x = height + padding, width + padding
    sheet = np.ones((lines * step_y - padding, columns * step_x - padding, 3), np.float32)
    for i, tile in enumerate(tiles):
        y, x = (i // columns) * step_y, (i % columns) * step_x
        sheet[y : y + height, x : x + width] = tile
    return np.round(sheet * 255).astype(np.uint8)


def save_image(path: str | Path, picture: np.ndarray, *, scale: int = 1) -> None:
    """Write an array of pixels as a PNG file.

    Parameters
    ----------
    path : path-like
        Target file, ending in .png.
    picture : ndarray of shape (H, W, 3)
        Unsigned bytes, such as :func:`mosaic` returns.
    scale : int, default=1
        Each pixel becomes a square of this many pixels.
    """
    from matplotlib.image import imsave

    imsave(path, np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1), format="png")


def image_grid(
    images: Any, *, columns: int | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Show images in a grid.

    Parameters
    ----------
    images : array-like
        See :func:`as_colour`.
    columns : int, optional
        Images in a row.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with one picture.
    """
    sheet = mosaic(images, columns=columns)
    with style():
        ax = resolve_axes(ax, (7.0, 7.0 * sheet.shape[0] / sheet.shape[1] + 0.3))
        show(ax, sheet)
        ax.set_title(title)
    return ax


def show(ax: Axes, picture: np.ndarray) -> None:
    """Put a picture into axes without frame and ticks.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to fill.
    picture : ndarray of shape (H, W, 3)
        Pixels.
    """
    ax.imshow(picture, interpolation="nearest" if picture.shape[0] < 400 else "antialiased")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def reconstructions(
    originals: Any, decoded: Any, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Show originals in the upper row and what comes back from their codes in the lower one.

    Parameters
    ----------
    originals, decoded : array-like
        Equal numbers of images, see :func:`as_colour`.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with one picture of two rows.
    """
    check_same_length(originals, decoded, ("originals", "decoded"))
    upper, lower = as_colour(originals, "originals"), as_colour(decoded, "decoded")
    with style():
        ax = resolve_axes(ax, (9.0, 9.0 * 2 / max(len(upper), 2) + 0.5))
        sheet = mosaic(np.concatenate([upper, lower]), columns=len(upper))
        show(ax, sheet)
        height = sheet.shape[0]
        ax.set_yticks([height * 0.25, height * 0.75], ["data", "decoded"])
        ax.tick_params(left=False)
        ax.set_title(title)
    return ax


def interpolation(paths: Any, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Show one path of images per row, from its first image to its last.

    Parameters
    ----------
    paths : array-like
        (steps, ...) for one path, or a sequence of such arrays of equal length; each is read by
        :func:`as_colour`.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with one picture.
    """
    lines = list(paths) if isinstance(paths, list | tuple) else [paths]
    for line in lines[1:]:
        check_same_length(lines[0], line, ("the first path", "a later path"))
    steps = len(lines[0])
    tiles = as_colour(np.concatenate([np.asarray(line) for line in lines]), "paths")
    return image_grid(tiles, columns=steps, title=title, ax=ax)
