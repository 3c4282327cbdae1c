"""From a name or a path to arrays: one function for named sets and for the user's own files."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_same_length
from ot_latent.datasets import arrays, tables
from ot_latent.datasets.images import read_image_folder
from ot_latent.datasets.named import LOADERS
from ot_latent.datasets.record import Dataset, Raw, describe_file
from ot_latent.datasets.registry import FILES, find_files
from ot_latent.datasets.splits import SPLITS, split_rows

NAMED = tuple(LOADERS)
_FORMATS = ".npy, .npz, IDX, .csv, .parquet, CIFAR-10's binary .tar.gz, or a folder of images"


def load(
    name_or_path: str | Path,
    *,
    split: str = "train",
    data_dir: str | Path | None = None,
    labels: Any = None,
    label_column: str | None = None,
    download: bool = False,
) -> Dataset:
    """Load one part of a named set, or of files of your own.

    Named sets: digits (comes with scikit-learn), mnist, fashion-mnist, twemoji, twemoji72, wine
    (red and white together), adult. Own files: .npy; .npz with keys x and y; IDX, plain or gzip;
    .csv, .tsv, .txt and .parquet tables (numeric columns); CIFAR-10's binary archive; a folder of
    images with sub-folders as labels.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a set, else a file or folder.
    split : {"train", "test", "all"}, default="train"
        Which part. Sets without an official test part hold out one row in five by a fixed hash of
        the row number (twemoji: of the emoji without skin tone and gender), never by a seed.
    data_dir : path-like, optional
        Folder of the named sets; else the variable OT_LATENT_DATA, else the user's cache.
    labels : path-like or array-like, optional
        One label per row of the whole file, in place of the file's own.
    label_column : str, optional
        Column of a table that holds the labels, by name or number.
    download : bool, default=False
        Fetch missing files of a named set, checked by sha256.

    Returns
    -------
    Dataset
        Items, integer labels where there are any, names, and the sources with their sha256.

    Raises
    ------
    DataError
        If there is no such set or file, a file is missing or broken, values are not finite, labels
        do not fit, or the part is empty.
    ValueError
        If `split` is unknown, or `label_column` is given for what is not a table.
    ModuleNotFoundError
        If an optional package is needed (pooch for downloads, pandas for .parquet).

    Examples
    --------
    >>> part = load("digits", split="test")
    >>> part.x.shape, part.y.shape, part.sources[0]["path"]
    ((373, 8, 8), (373,), 'scikit-learn:digits')
    """
    if split not in SPLITS:
        raise ValueError(
            f"split must be one of {', '.join(SPLITS)}, got {split!r}; pass one of these."
        )
    name = str(name_or_path)
    paths = locate(name_or_path, data_dir=data_dir, download=download)
    raw = LOADERS[name](paths) if name in LOADERS else _read_own(paths[0], label_column)
    if label_column is not None and not (name not in LOADERS and _is_table(paths[0])):
        raise ValueError(
            f"label_column must be given for a table only, got {label_column!r} for {name}; pass "
            "labels= instead."
        )
    check_array(raw.x, f"the data of {name}")
    if raw.x.ndim < 2:
        raise DataError(
            f"the data of {name} must have items along the first axis and at least one more axis, "
            f"got shape {raw.x.shape}; reshape them to (n, features)."
        )
    sources = [describe_file(path) for path in paths] or [_bundled(name, raw.x)]
    if labels is not None:
        raw.y, raw.label_names = _own_labels(labels), None
        if isinstance(labels, str | Path):
            sources.append(describe_file(Path(labels)))
    y, label_names = _encode_labels(raw, name)
    chosen = split_rows(raw, split, name)
    return Dataset(
        x=raw.x[chosen],
        y=None if y is None else y[chosen],
        name=name,
        feature_names=raw.feature_names,
        label_names=label_names,
        sources=sources,
        groups=None if raw.groups is None else raw.groups[chosen],
    )


def locate(
    name_or_path: str | Path, *, data_dir: str | Path | None = None, download: bool = False
) -> list[Path]:
    """Return the files that `load` would read, without reading them.

    Parameters
    ----------
    name_or_path : str or Path
        As for `load`.
    data_dir : path-like, optional
        As for `load`.
    download : bool, default=False
        As for `load`.

    Returns
    -------
    list of Path
        Existing files, or one folder; empty for a set that comes with a package.

    Raises
    ------
    DataError
        If there is no such set or file.
    """
    name = str(name_or_path)
    if name in LOADERS:
        return find_files(name, data_dir, download=download) if name in FILES else []
    path = Path(name_or_path).expanduser()
    if path.exists():
        return [path]
    close = difflib.get_close_matches(name.lower(), NAMED, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "check the spelling."
    raise DataError(
        f"data must be a named set ({', '.join(NAMED)}) or an existing file or folder, got "
        f"{name!r}; {hint}"
    )


def _bundled(name: str, x: np.ndarray) -> dict[str, str | int]:
    """Return the source record of a set that comes with scikit-learn: the digest is the array's."""
    digest = hashlib.sha256(x.tobytes()).hexdigest()
    return {"path": f"scikit-learn:{name}", "bytes": x.nbytes, "sha256": digest}


def _is_table(path: Path) -> bool:
    """Whether the file is read as a table."""
    return _kind(path) in {"csv", "parquet"}


def _kind(path: Path) -> str:
    """Format of a file or folder by its name, or by its first bytes."""
    title = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        return "cifar" if any(path.rglob("data_batch*.bin")) else "images"
    if title.endswith((".tar", ".tgz", ".bin")):
        return "cifar"
    for ending, kind in {
        ".npy": "npy",
        ".npz": "npz",
        ".csv": "csv",
        ".tsv": "csv",
        ".txt": "csv",
        ".data": "csv",
        ".parquet": "parquet",
        ".idx": "idx",
    }.items():
        if title.endswith(ending):
            return kind
    return "idx" if "-ubyte" in title or arrays.read_bytes(path)[:2] == b"\0\0" else "unknown"


def _read_own(path: Path, label_column: str | None) -> Raw:
    """Read a file or folder of the user's."""
    kind = _kind(path)
    if kind == "csv":
        return tables.read_csv(path, label_column)
    if kind == "parquet":
        return tables.read_parquet(path, label_column)
    readers = {
        "npy": arrays.read_npy,
        "npz": arrays.read_npz,
        "idx": arrays.read_idx,
        "cifar": arrays.read_cifar,
        "images": read_image_folder,
    }
    if kind not in readers:
        raise DataError(f"{path} must be {_FORMATS}, got another format; convert it to .npz.")
    return readers[kind](path)


def _own_labels(labels: Any) -> np.ndarray:
    """Labels given as an array, or as a file of any array format or one label per line."""
    if not isinstance(labels, str | Path):
        return np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    path = Path(labels).expanduser()
    if not path.is_file():
        raise DataError(f"labels must be an existing file, got {labels}; check the path.")
    kind = _kind(path)
    if kind == "csv":
        text = arrays.read_bytes(path).decode("utf-8-sig", "replace")
        return np.array([line.strip() for line in text.splitlines() if line.strip()])
    raw = _read_own(path, None)
    return raw.x if raw.y is None else raw.y


def _encode_labels(raw: Raw, name: str) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Labels as integers: whole numbers stay, text becomes its rank among the sorted names."""
    if raw.y is None:
        return None, None
    y = np.asarray(raw.y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    check_same_length(raw.x, y, (f"the data of {name}", "labels"))
    if y.dtype.kind in "US":
        text = np.char.strip(y.astype(str))
        try:
            y = text.astype(np.float64)
        except ValueError:
            names, ranks = np.unique(text, return_inverse=True)
            return ranks.astype(np.int64), tuple(str(n) for n in names)
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
    if y.ndim != 1 or not whole:
        raise DataError(
            f"labels of {name} must be one whole number or word per row, got dtype {y.dtype} and "
            f"shape {y.shape}; bin continuous targets into classes, or leave the labels out."
        )
    return y.astype(np.int64), raw.label_names
