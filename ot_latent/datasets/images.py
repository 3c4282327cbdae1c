"""A folder of images: any sizes, grey or colour, sub-folders as labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ot_latent._validation import DataError
from ot_latent.datasets.record import DatasetWarning, Raw

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
LARGEST_SIDE = 128
_GREY_MODES = frozenset({"1", "L", "I", "I;16", "F"})


def read_image_folder(folder: Path) -> Raw:
    """Read every image below a folder, in the order of the file names.

    Images of one size up to 128 pixels stay as they are. Otherwise all are cropped to the central
    square and resized (Lanczos) to one side, the median of the shorter sides or 128, with one
    `DatasetWarning`. Transparent pixels are laid on white. Grey stays grey where every file is grey.

    Parameters
    ----------
    folder : Path
        Images, or sub-folders of images whose names are the labels. Sub-folders train and test are
        the official parts, each with images or labels below.

    Returns
    -------
    Raw
        uint8 images (n, h, w) or (n, h, w, 3), labels as text, the official test part if there is
        one.

    Raises
    ------
    DataError
        If there is no image, a file cannot be read, or loose images lie beside labelled ones.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise DataError(
            f"{folder} must hold images ({', '.join(sorted(SUFFIXES))}), got none; name the folder "
            "that the images or their label folders lie in."
        )
    parts = [p.relative_to(folder).parts[:-1] for p in paths]
    test = None
    if {p[0] if p else "" for p in parts} == {"train", "test"}:
        test = np.array([p[0] == "test" for p in parts])
        parts = [p[1:] for p in parts]
    labels = [p[0] if p else "" for p in parts]
    if "" in labels and any(labels):
        loose = paths[labels.index("")]
        raise DataError(
            f"{folder} must hold images either loose or in label folders, got both ({loose.name} is "
            "loose); move the loose ones into a folder."
        )
    x = _read_images(paths, folder)
    return Raw(x, np.array(labels) if labels[0] else None, test=test)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Lay images with an alpha channel on white.

    Parameters
    ----------
    rgba : numpy.ndarray
        Shape (..., 4), uint8.

    Returns
    -------
    numpy.ndarray
        Shape (..., 3), uint8, rounded to nearest.

    Examples
    --------
    >>> on_white(np.array([[0, 0, 0, 0], [10, 20, 30, 255]], dtype=np.uint8)).tolist()
    [[255, 255, 255], [10, 20, 30]]
    """
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha  # at most 255^2: with the two terms below it still fits 16 bits
    mixed += 255 * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)


def _read_images(paths: list[Path], folder: Path) -> np.ndarray:
    """Two passes: sizes and modes from the headers, then the pixels into one array."""
    headers = [_with_image(path, lambda image: (image.size, image.mode)) for path in paths]
    sizes = {size for size, _ in headers}
    grey = all(mode in _GREY_MODES for _, mode in headers)
    side = None
    width, height = next(iter(sizes))
    if len(sizes) > 1 or max(width, height) > LARGEST_SIDE:
        side = width = height = min(LARGEST_SIDE, int(np.median([min(s) for s, _ in headers])))
        warnings.warn(
            f"{folder}: images of {len(sizes)} size{'s' * (len(sizes) > 1)} are cropped to the "
            f"central square and resized to {side} x {side}; resize them yourself to choose "
            "otherwise.",
            DatasetWarning,
            stacklevel=5,
        )
    x = np.empty((len(paths), height, width) + (() if grey else (3,)), dtype=np.uint8)
    for row, path in enumerate(paths):
        x[row] = _with_image(path, partial(_pixels, grey=grey, side=side))
    return x


def _with_image(path: Path, use: Callable[[Image], _T]) -> _T:
    """Open one image and look at it; a broken one is named, also where its pixels end early."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return use(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} must be an image that can be read, got {error}; remove or replace it."
        ) from error


def _pixels(image: Image, grey: bool, side: int | None) -> np.ndarray:
    """Pixels of one image in the common mode and size."""
    from PIL import Image

    plane = _grey_plane(image) if grey else on_white(np.asarray(image.convert("RGBA")))
    if side is None:
        return plane
    picture = Image.fromarray(plane)
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    square = (left, top, left + edge, top + edge)
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS, box=square))


def _grey_plane(image: Image) -> np.ndarray:
    """8-bit grey; 16-bit and float images are scaled by their type's range, not clipped."""
    if image.mode in {"1", "L"}:
        return np.asarray(image.convert("L"))
    values = np.asarray(image, dtype=np.float64)
    top = 255.0 if values.max() <= 255.0 else 65535.0
    if image.mode == "F" and values.max() <= 1.0:
        top = 1.0
    return np.clip(np.rint(values / top * 255.0), 0, 255).astype(np.uint8)
