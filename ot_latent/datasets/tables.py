"""Tables: the numeric columns of .csv, .tsv and .parquet files as rows of features."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ot_latent._validation import DataError
from ot_latent.datasets.arrays import read_bytes, unreadable
from ot_latent.datasets.record import DatasetWarning, Raw

_MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}
_SNIFF_ROWS = 20


def read_csv(path: Path, label_column: str | None = None) -> Raw:
    """Read a text table, plain or gzip: comma, semicolon, tab or blank between fields.

    A first line with a word where the second has a number is the header. Columns that hold text are
    left out with a `DatasetWarning`; missing entries in a numeric column are refused.

    Parameters
    ----------
    path : Path
        The file.
    label_column : str, optional
        Name of the column of labels, or its number from 0 (negative from the end).

    Returns
    -------
    Raw
        float64 features, their names, and labels.

    Raises
    ------
    DataError
        If rows differ in length, no column is numeric, a value is missing, or there is no such
        label column.
    """
    text = read_bytes(path).decode("utf-8-sig", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise unreadable(path, "a table", "no rows")
    delimiter = max(",;\t ", key=lines[min(1, len(lines) - 1)].count)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    records = [[field.strip() for field in record] for record in reader]
    width = len(records[0])
    bad = next((i for i, record in enumerate(records) if len(record) != width), None)
    if bad is not None:
        raise unreadable(
            path, f"a table of {width} columns", f"{len(records[bad])} fields in row {bad + 1}"
        )
    names = records.pop(0) if _has_header(records) else [str(i) for i in range(width)]
    if len(set(names)) < width:
        raise unreadable(path, "a table whose columns have different names", ", ".join(names))
    columns = dict(zip(names, map(list, zip(*records, strict=True)), strict=True))
    return from_columns(columns, label_column, path)


def read_parquet(path: Path, label_column: str | None = None) -> Raw:
    """Read a Parquet table through pandas.

    Parameters
    ----------
    path : Path
        The file.
    label_column : str, optional
        As in `read_csv`.

    Returns
    -------
    Raw
        As in `read_csv`.

    Raises
    ------
    ModuleNotFoundError
        If pandas or pyarrow is not installed.
    DataError
        If the file is broken, or its columns are refused.
    """
    try:
        import pandas
        import pyarrow
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading {path} must have pandas and pyarrow, got no {error.name}; run "
            "pip install 'ot-latent[tabular]', or save the table as .csv."
        ) from error
    try:
        table = pandas.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise unreadable(path, "a Parquet table", error) from error
    columns = {str(name): table[name].tolist() for name in table.columns}
    return from_columns(columns, label_column, path)


def from_columns(columns: dict[str, list[Any]], label_column: str | None, path: Path) -> Raw:
    """Sort named columns into features and labels.

    Parameters
    ----------
    columns : dict of str to list
        Equally long columns of numbers or text.
    label_column : str, optional
        Name or number of the column of labels.
    path : Path
        The file, used in refusals.

    Returns
    -------
    Raw
        Features, names and labels.

    Raises
    ------
    DataError
        As in `read_csv`.
    """
    label = _label_name(list(columns), label_column, path)
    y = None
    if label is not None:
        y = _label_values(columns.pop(label), label, path)
    numeric = {name: _as_numbers(values) for name, values in columns.items()}
    kept = {name: values for name, values in numeric.items() if values is not None}
    dropped = [name for name in columns if name not in kept]
    if not kept or not len(next(iter(kept.values()))):
        raise DataError(
            f"{path} must have at least one numeric column with rows, got {len(dropped)} columns "
            "of text; encode categories as numbers first."
        )
    gaps = {name: int(np.isnan(v).sum()) for name, v in kept.items() if np.isnan(v).any()}
    if gaps:
        name, count = next(iter(gaps.items()))
        raise DataError(
            f"{path} must have no missing values, got {count} in column {name!r} and gaps in "
            f"{len(gaps)} of {len(kept)} columns; drop or impute these rows."
        )
    if dropped:
        warnings.warn(
            f"{path}: columns of text are left out: {', '.join(dropped)}; encode them as numbers "
            "to keep them.",
            DatasetWarning,
            stacklevel=5,
        )
    return Raw(np.stack(list(kept.values()), axis=1), y, feature_names=tuple(kept))


def _has_header(records: list[list[str]]) -> bool:
    """Whether the first record names the columns of those below."""
    body = records[1 : 1 + _SNIFF_ROWS]
    if not body:
        return False
    return any(
        _as_numbers([records[0][i]]) is None and _as_numbers([r[i] for r in body]) is not None
        for i in range(len(records[0]))
    )


def _label_name(names: list[str], wanted: str | None, path: Path) -> str | None:
    """Resolve a column given by name or number."""
    if wanted is None or wanted in names:
        return wanted
    digits = str(wanted).removeprefix("-")
    if digits.isdigit() and -len(names) <= int(wanted) < len(names):
        return names[int(wanted)]
    raise DataError(
        f"the label column of {path} must be one of {', '.join(names)}, got {wanted!r}; pass one of "
        "these names, or a number from 0."
    )


def _label_values(values: list[Any], label: str, path: Path) -> np.ndarray:
    """Labels as numbers where all are numbers, else as text; none may be missing."""
    numbers = _as_numbers(values)
    missing = sum(str(v).strip().lower() in _MISSING for v in values)
    if missing:
        raise DataError(
            f"the label column {label!r} of {path} must have no missing values, got {missing}; drop "
            "these rows."
        )
    return np.array([str(v) for v in values]) if numbers is None else numbers


def _as_numbers(values: list[Any]) -> np.ndarray | None:
    """Column of float64 with NaN for missing entries, or None where it holds text."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        pass  # text, or gaps written as words: look at each
    try:
        return np.array(
            [np.nan if str(v).strip().lower() in _MISSING else float(v) for v in values]
        )
    except (TypeError, ValueError):
        return None
