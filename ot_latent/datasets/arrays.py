"""Array files: .npy, .npz, IDX and CIFAR's binary records. No pickle is ever opened."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ot_latent._validation import DataError
from ot_latent.datasets.record import Raw

ITEM_KEYS = ("x", "X", "data", "images", "features", "codes", "arr_0")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "arr_1")
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CIFAR_RECORD = 1 + 3 * 32 * 32
_BAD_FILE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def unreadable(path: Path, kind: str, reason: object) -> DataError:
    """Return the refusal of a broken file.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it must be, such as "a .npy file".
    reason : object
        What came instead.

    Returns
    -------
    DataError
        One sentence; the caller raises it.
    """
    return DataError(
        f"{path} must be {kind} that can be read, got {reason}; it may be truncated or of another "
        "format: write or fetch it again."
    )


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unpacked where it is gzip.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
        Content.

    Raises
    ------
    DataError
        If the file cannot be opened or its compressed stream is broken.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        return gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except _BAD_FILE as error:
        raise unreadable(path, "a plain or gzip file", error) from error


def read_npy(path: Path) -> Raw:
    """Read one array.

    Parameters
    ----------
    path : Path
        A .npy file.

    Returns
    -------
    Raw
        The array, without labels.

    Raises
    ------
    DataError
        If the file is broken or holds Python objects.
    """
    try:
        return Raw(np.load(path, allow_pickle=False))
    except _BAD_FILE as error:
        raise unreadable(path, "a .npy file of plain numbers", error) from error


def read_npz(path: Path) -> Raw:
    """Read items and labels of an archive.

    Parameters
    ----------
    path : Path
        A .npz file with items under x, X, data, images, features or codes (or its only array) and
        labels under y, labels or targets; or with x_train, y_train, x_test, y_test.

    Returns
    -------
    Raw
        Items, labels, and the official test part where the archive has one.

    Raises
    ------
    DataError
        If the file is broken, holds Python objects, or no key says which array is meant.
    """
    try:
        # opened here: np.load leaves the file open where the archive is broken
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return _from_archive(path, archive)
    except DataError:
        raise
    except _BAD_FILE as error:
        raise unreadable(path, "a .npz file of plain numbers", error) from error


def _from_archive(path: Path, archive: np.lib.npyio.NpzFile) -> Raw:
    """Choose the arrays of an open archive by their names."""
    keys = list(archive.files)
    if "x_train" in keys and "x_test" in keys:
        parts = [archive["x_train"], archive["x_test"]]
        test = np.repeat([False, True], [len(p) for p in parts])
        labelled = "y_train" in keys and "y_test" in keys
        labels = [archive["y_train"], archive["y_test"]] if labelled else None
        y = np.concatenate(labels).reshape(-1) if labels else None
        return Raw(np.concatenate(parts), y, test=test)
    item = next((k for k in ITEM_KEYS if k in keys), keys[0] if len(keys) == 1 else None)
    if item is None:
        raise DataError(
            f"{path} must hold its items under one of {', '.join(ITEM_KEYS[:-1])}, got keys "
            f"{', '.join(keys) or '(none)'}; save with np.savez(path, x=..., y=...)."
        )
    label = next((k for k in LABEL_KEYS if k in keys), None)
    return Raw(archive[item], archive[label] if label else None)


def read_idx(path: Path) -> Raw:
    """Read an IDX file (the format of MNIST), plain or gzip.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Raw
        The array in native byte order.

    Raises
    ------
    DataError
        If the header is not IDX or the content is shorter or longer than it says.
    """
    content = read_bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise unreadable(path, "an IDX file", "another header")
    dtype, axes = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise unreadable(path, "an IDX file", "a header that ends early")
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist())
    wanted = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(content) != wanted:
        raise unreadable(path, f"an IDX file of {wanted} bytes", f"{len(content)} bytes")
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return Raw(array.astype(dtype.newbyteorder("=")))


def read_cifar(path: Path) -> Raw:
    """Read CIFAR-10's binary version: the .tar.gz archive, its folder, or one .bin file.

    Parameters
    ----------
    path : Path
        The archive, the unpacked folder, or one batch.

    Returns
    -------
    Raw
        Images (n, 32, 32, 3) uint8 and labels; the test batch is the official test part.

    Raises
    ------
    DataError
        If there is no batch, or a batch is not a whole number of records.
    """
    members = _cifar_members(path)
    names = sorted(n for n in members if n.startswith(("data_batch", "test_batch")))
    names = names or sorted(n for n in members if n.endswith(".bin"))
    if not names:
        raise DataError(
            f"{path} must hold CIFAR-10's binary batches (data_batch_1.bin, ...), got none; fetch "
            "cifar-10-binary.tar.gz (the Python version is made of pickles, which are not opened)."
        )
    batches = []
    for name in names:
        content = members[name]
        if not content or len(content) % _CIFAR_RECORD:
            wanted = f"records of {_CIFAR_RECORD} bytes"
            batch = path / name if path.is_dir() else path
            raise unreadable(batch, wanted, f"{len(content)} bytes in {name}")
        batches.append(np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD))
    records = np.concatenate(batches)
    official = np.repeat([n.startswith("test") for n in names], [len(b) for b in batches])
    images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    words = members.get("batches.meta.txt", b"").decode("utf-8", "replace").split()
    whole = official.any() and not official.all()
    return Raw(
        images,
        records[:, 0].astype(np.int64),
        label_names=tuple(words) or None,
        test=official if whole else None,
    )


def _cifar_members(path: Path) -> dict[str, bytes]:
    """Contents of the batches and of the list of class names, by file name."""
    if path.is_dir():
        files = [*path.rglob("*.bin"), *path.rglob("batches.meta.txt")]
        return {f.name: f.read_bytes() for f in files}
    if path.suffix == ".bin":
        return {path.name: path.read_bytes()}
    try:
        with tarfile.open(path) as archive:
            wanted = [m for m in archive if m.isfile() and m.name.endswith((".bin", "meta.txt"))]
            streams = {Path(m.name).name: archive.extractfile(m) for m in wanted}
            return {name: stream.read() for name, stream in streams.items() if stream}
    except (*_BAD_FILE, tarfile.TarError) as error:
        raise unreadable(path, "CIFAR-10's binary archive", error) from error
