"""Refusals at the door: one kind of sentence for shapes, dtypes, finiteness and weights.

Each says who must be what, what came, and what to try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

FINITE_NUMBERS = 2**22  # looked at in one go, so that no mask of all numbers is made


class DataError(ValueError):
    """The data cannot be used as they are; the message says why and what to try."""


def check_array(value: Any, name: str, *, ndim: int | None = None, min_rows: int = 1) -> np.ndarray:
    """Return `value` as a real, finite numpy array of the wanted rank.

    Parameters
    ----------
    value : array-like
        Numpy array, torch tensor, nested list.
    name : str
        Name used in the refusal.
    ndim : int, optional
        Required number of axes.
    min_rows : int, default=1
        Smallest length of the first axis.

    Returns
    -------
    numpy.ndarray
        The array, without a copy where none is needed.

    Raises
    ------
    DataError
        If the array is empty, not numeric, complex, of another rank, or holds NaN or infinity.

    Examples
    --------
    >>> check_array([[1.0, float("nan")]], "X", ndim=2)
    Traceback (most recent call last):
        ...
    ot_latent._validation.DataError: X must be finite, got 1 NaN or infinite value in 1 of 1 rows (first: row 0); drop or impute these rows.
    """
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{name} must be real numbers, got dtype {array.dtype}; convert it to float32 or uint8."
        )
    if ndim is not None and array.ndim != ndim:
        raise DataError(
            f"{name} must have {ndim} axes, got shape {array.shape}; reshape it to {ndim} axes."
        )
    rows = array.shape[0] if array.ndim else 0
    if rows < min_rows or array.size == 0:
        raise DataError(
            f"{name} must have at least {min_rows} row{'s' * (min_rows > 1)}, got shape "
            f"{array.shape}; pass more data."
        )
    check_finite(array, name)
    return array


def check_finite(array: np.ndarray, name: str) -> None:
    """Refuse NaN and infinity, naming how many and where.

    Parameters
    ----------
    array : numpy.ndarray
        Array with at least one axis.
    name : str
        Name used in the refusal.

    Raises
    ------
    DataError
        If a value is NaN or infinite.
    """
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):  # one pass, no array of booleans
        if np.isfinite(array.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if count == 0:  # the sum overflowed, the values did not
        return
    hit = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
    raise DataError(
        f"{name} must be finite, got {count} NaN or infinite value{'s' * (count > 1)} in "
        f"{len(hit)} of {len(array)} rows (first: row {hit[0]}); drop or impute these rows."
    )


def check_same_length(a: Any, b: Any, names: tuple[str, str]) -> None:
    """Refuse two arrays whose first axes differ.

    Parameters
    ----------
    a, b : sized
        The two arrays.
    names : tuple of str
        Their names, used in the refusal.

    Raises
    ------
    DataError
        If the lengths differ.
    """
    if len(a) != len(b):
        raise DataError(
            f"{names[0]} and {names[1]} must have the same number of rows, got {len(a)} and "
            f"{len(b)}; pass one entry per row."
        )


def check_positive(value: float, name: str, *, integer: bool = False) -> None:
    """Refuse a number that is not positive (or not a positive integer).

    Parameters
    ----------
    value : float
        The number.
    name : str
        Name used in the refusal.
    integer : bool, default=False
        Whether a whole number is wanted.

    Raises
    ------
    ValueError
        If the number is not finite and positive, or not whole where it must be.
    """
    kind = "a positive integer" if integer else "a positive number"
    whole = not integer or (isinstance(value, int | np.integer) and not isinstance(value, bool))
    if not whole or isinstance(value, str) or not np.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be {kind}, got {value!r}; pass {kind}.")


def as_float_tensor(value: Any, name: str, *, ndim: int | None = None) -> torch.Tensor:
    """Return `value` as a finite floating-point tensor, keeping its dtype and device.

    Parameters
    ----------
    value : array-like
        Tensor, numpy array or nested list; integers become the default float dtype of numpy.
    name : str
        Name used in the refusal.
    ndim : int, optional
        Required number of axes.

    Returns
    -------
    torch.Tensor
        The tensor; float32 and float64 keep their precision.

    Raises
    ------
    DataError
        If the rank differs or a value is NaN or infinite.
    """
    import torch

    tensor = (
        value.detach()
        if isinstance(value, torch.Tensor)
        else torch.as_tensor(np.ascontiguousarray(value))
    )
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise DataError(
            f"{name} must be real numbers, got dtype {tensor.dtype}; convert it to float32."
        )
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.float64)
    if ndim is not None and tensor.ndim != ndim:
        raise DataError(
            f"{name} must have {ndim} axes, got shape {tuple(tensor.shape)}; reshape it to {ndim} axes."
        )
    step = max(1, FINITE_NUMBERS * len(tensor) // max(1, tensor.numel())) if tensor.ndim else 1
    parts = tensor.split(step) if tensor.ndim else [tensor]
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        check_finite(tensor.cpu().numpy(), name)
    return tensor
