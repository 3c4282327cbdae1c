"""Whole files or none: atomic writes, readable refusals, JSON that keeps NaN and infinities."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ot_latent._validation import DataError

_NONFINITE_KEY = "__float__"


class FormatError(DataError):
    """A saved file or folder cannot be read: missing, truncated, damaged or not ours."""


class MissingFileError(FormatError, FileNotFoundError):
    """A file or folder that should be read is not there."""


class SaveError(OSError):
    """Nothing could be written, and what was there is unchanged."""


def write_json_atomic(path: str | os.PathLike[str], value: Any) -> None:
    """Write strict JSON for readers of any language; NaN and infinities become null.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    value : object
        What JSON can hold.

    Raises
    ------
    SaveError
        If the file cannot be written; an older file at `path` is unchanged.
    TypeError
        If something in `value` is not JSON.
    """
    write_bytes(Path(path), to_json(encode(value, "value", nonfinite=lambda _: None)))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    object
        Its content.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not JSON.
    """
    data = read_bytes(Path(path))
    try:
        return json.loads(data)
    except ValueError as error:
        raise FormatError(
            f"{path} must be JSON, got {len(data)} bytes that are not ({error}); "
            "restore it from a copy or write it again."
        ) from error


def encode(value: Any, where: str, nonfinite: Any = lambda x: {_NONFINITE_KEY: str(x)}) -> Any:
    """Return `value` as plain JSON types; arrays become lists."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"{where} must have strings as keys, got {key!r}; convert it with str()."
                )
        return {key: encode(part, f"{where}.{key}", nonfinite) for key, part in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [encode(part, f"{where}[{i}]", nonfinite) for i, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return nonfinite(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(
        f"{where} must be JSON (numbers, strings, lists, dictionaries), got "
        f"{type(value).__name__}; convert it first."
    )


def decode(value: Any) -> Any:
    """Undo `encode`."""
    if isinstance(value, dict):
        if value.keys() == {_NONFINITE_KEY}:
            return float(value[_NONFINITE_KEY])
        return {key: decode(part) for key, part in value.items()}
    if isinstance(value, list):
        return [decode(part) for part in value]
    return value


def to_json(value: Any) -> bytes:
    """Return strict, readable JSON of what `encode` returned."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_bytes(path: Path) -> bytes:
    """Return a file's content, or refuse in a sentence."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{path} must be a file, got nothing there; check the path or write it again."
        ) from error
    except OSError as error:
        raise FormatError(
            f"{path} must be a readable file, got '{error.strerror}'; check its kind and permissions."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`: all of it, or nothing and the old file."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _save_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, or refuse in a sentence."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _save_error(folder, error) from error


def _save_error(path: Path, error: OSError) -> SaveError:
    refusal = SaveError(
        f"{path} must be writable, got '{error.strerror}' and left what was there unchanged; "
        "free space or choose another folder."
    )
    refusal.errno = error.errno  # with a filename, str() would hide the sentence
    return refusal
