"""Arrays to files: a grid of pictures, a folder of pictures, .npy or .npz, whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ot_latent import _files
from ot_latent.config import ConfigError

ARRAYS = (".npy", ".npz")
SMALLEST_TILE = 56  # pixels; smaller pictures are enlarged by whole factors in a grid


def check_target(path: str | os.PathLike[str], *, arrays: bool = False) -> None:
    """Refuse a target that cannot be written, before anything is computed.

    Parameters
    ----------
    path : path
        Where the arrays are to go.
    arrays : bool, default=False
        Whether pictures are out of the question.

    Raises
    ------
    ConfigError
        If the ending is of another kind, or the path's folder is a file.
    """
    path = Path(path)
    known = ARRAYS if arrays else (".png", "", *ARRAYS)
    if path.suffix.lower() not in known:
        kinds = ", ".join(ARRAYS) if arrays else ".png, .npy, .npz, or a folder's name"
        raise ConfigError(f"--out must end in {kinds}, got {str(path)!r}; change its ending.")
    if path.suffix == "" and path.is_file():
        raise ConfigError(f"--out must be a folder, got the file {str(path)!r}; choose another.")
    if path.suffix and path.is_dir():
        raise ConfigError(f"--out must be a file, got the folder {str(path)!r}; choose another.")


def write(
    path: str | os.PathLike[str], rows: np.ndarray, *, columns: int | None = None, label: Any = None
) -> None:
    """Write rows in the form that the path's ending asks for.

    Parameters
    ----------
    path : path
        Ending in .npy, .npz (key ``x``, and ``y`` where a label is given) or .png (one grid); a
        path without an ending becomes a folder with one .png per row.
    rows : ndarray of shape (n, ...)
        Data or codes.
    columns : int, optional
        Pictures per line of a grid (default: about square).
    label : optional
        Label that all rows carry.

    Raises
    ------
    DataError
        If pictures are asked for and the rows are none.
    SaveError
        If the file cannot be written; what was there is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/x.npy", np.zeros((3, 8, 8)))
    ...     np.load(f"{folder}/x.npy").shape
    (3, 8, 8)
    """
    path = Path(path)
    _files.make_folder(path if path.suffix == "" else path.parent)
    kind = path.suffix.lower()
    if kind == ".png":
        _files.write_bytes(path, _picture(rows, columns))
    elif kind == ".npy":
        _files.write_bytes(path, to_bytes(np.save, rows))
    elif kind == ".npz":
        named = {"x": rows} if label is None else {"x": rows, "y": np.full(len(rows), label)}
        _files.write_bytes(path, to_bytes(np.savez, **named))
    else:
        width = len(str(len(rows) - 1))
        for i, row in enumerate(rows):
            _files.write_bytes(path / f"{i:0{width}d}.png", _picture(row[None], 1, enlarge=False))


def to_bytes(save: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
    """Return what a function writes to a file object given first.

    Parameters
    ----------
    save : callable
        Such as ``numpy.save``.
    *args, **kwargs
        Further arguments.

    Returns
    -------
    bytes
        The file's content.
    """
    buffer = io.BytesIO()
    save(buffer, *args, **kwargs)
    return buffer.getvalue()


def _picture(rows: np.ndarray, columns: int | None, enlarge: bool = True) -> bytes:
    """PNG bytes of a grid of pictures."""
    from ot_latent import plotting

    sheet = plotting.mosaic(rows, columns=columns, padding=int(enlarge))
    height = sorted(rows.shape[1:])[-2]  # the colour axis, wherever it is, is the shortest
    scale = -(-SMALLEST_TILE // height) if enlarge else 1
    return to_bytes(plotting.save_image, sheet, scale=scale)
