"""What loading returns: arrays, their names, and where every byte came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_CHUNK_BYTES = 1 << 20


class DatasetWarning(UserWarning):
    """The data were usable after a change that the reader should know of."""


@dataclass(frozen=True)
class Dataset:
    """One part of a data set.

    Attributes
    ----------
    x : numpy.ndarray
        Items, first axis n: images (n, h, w) or (n, h, w, c), or rows (n, features).
    y : numpy.ndarray or None
        Integer labels, shape (n,).
    name : str
        Name of the set, or the path it was read from.
    feature_names : tuple of str, optional
        Names of the columns of rows.
    label_names : tuple of str, optional
        ``label_names[k]`` is the meaning of label k.
    sources : list of dict
        Where the bytes came from: path, bytes, sha256.
    groups : numpy.ndarray, optional
        Integers, shape (n,): rows of one group are variants of one thing, near-duplicates. Parts
        do not cut through groups; who holds rows out holds whole groups out.
    """

    x: np.ndarray
    y: np.ndarray | None
    name: str
    feature_names: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None
    sources: list[dict[str, str | int]] = field(default_factory=list)
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.x)


@dataclass
class Raw:
    """What a reader found in a file, before labels are encoded and parts are split.

    Attributes
    ----------
    x : numpy.ndarray
        Items.
    y : numpy.ndarray or None
        Labels of any dtype.
    feature_names, label_names : tuple of str, optional
        As in `Dataset`.
    test : numpy.ndarray or None
        True where a row belongs to the official test part; None where there is none.
    groups : numpy.ndarray or None
        As in `Dataset`; they take the place of the row number in the hash that splits.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None
    test: np.ndarray | None = None
    groups: np.ndarray | None = None


def describe_file(path: Path) -> dict[str, str | int]:
    """Return path, size and sha256 of a file, or of all files below a folder.

    Parameters
    ----------
    path : Path
        File or folder; a folder's digest runs over relative names and contents in sorted order.

    Returns
    -------
    dict
        Keys ``path``, ``bytes``, ``sha256``.
    """
    digest, size = hashlib.sha256(), 0
    members = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for member in members:
        if path.is_dir():
            digest.update(member.relative_to(path).as_posix().encode() + b"\0")
        with member.open("rb") as stream:
            while block := stream.read(_CHUNK_BYTES):
                digest.update(block)
                size += len(block)
    return {"path": str(path.resolve()), "bytes": size, "sha256": digest.hexdigest()}
