"""What every metric accepts: tensors or arrays, one row per item, refused in one kind of sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor


def as_rows(value: Any, name: str, *, min_rows: int = 1, exact: bool = True) -> Tensor:
    """Return `value` as a finite tensor of shape (n, d); images become rows.

    Parameters
    ----------
    value : array-like
        First axis counts the items.
    name : str
        Name used in the refusal.
    min_rows : int, default=1
        Smallest number of items.
    exact : bool, default=True
        Convert to float64; otherwise a floating-point dtype is kept.

    Returns
    -------
    Tensor
        Shape (n, d).

    Raises
    ------
    DataError
        If there are too few items, no columns, or values that are not finite numbers.
    """
    tensor = as_float_tensor(value, name)
    if tensor.ndim == 0 or len(tensor) < min_rows or tensor.numel() == 0:
        raise DataError(
            f"{name} must have at least {min_rows} row{'s' * (min_rows > 1)}, got shape "
            f"{tuple(tensor.shape)}; pass more items."
        )
    tensor = tensor.reshape(len(tensor), -1)
    return tensor.double() if exact or tensor.dtype.itemsize < 4 else tensor


def as_row_pair(
    first: Any, second: Any, names: tuple[str, str], *, min_rows: int = 1, exact: bool = True
) -> tuple[Tensor, Tensor]:
    """Return two clouds of rows in one space, of one dtype and on one device.

    Parameters
    ----------
    first, second : array-like
        The clouds.
    names : tuple of str
        Their names, used in the refusal.
    min_rows : int, default=1
        Smallest number of items in each.
    exact : bool, default=True
        Convert to float64; otherwise the wider dtype of the two is kept.

    Returns
    -------
    tuple of Tensor
        Shapes (n, d) and (m, d).

    Raises
    ------
    DataError
        If the dimensions differ, or `as_rows` refuses one of them.
    """
    a = as_rows(first, names[0], min_rows=min_rows, exact=exact)
    b = as_rows(second, names[1], min_rows=min_rows, exact=exact)
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"{names[0]} and {names[1]} must have the same number of features, got {a.shape[1]} "
            f"and {b.shape[1]}; compute both with the same feature map."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(a.device, dtype)


def as_labels(value: Any, name: str) -> np.ndarray:
    """Return class labels as a vector of integers.

    Parameters
    ----------
    value : array-like
        Integer labels of shape (n,), or class probabilities of shape (n, classes) whose largest
        entry is taken.
    name : str
        Name used in the refusal.

    Returns
    -------
    numpy.ndarray
        Shape (n,), int64, non-negative.

    Raises
    ------
    DataError
        If the array is empty, of another rank, or its labels are not whole and non-negative.
    """
    array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f":
        array = array.argmax(axis=1)
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool((array == np.floor(array)).all())
    )
    if array.ndim != 1 or array.size == 0 or not whole or array.min() < 0:
        raise DataError(
            f"{name} must be labels 0, 1, 2, ... of shape (n,) or probabilities of shape "
            f"(n, classes), got dtype {array.dtype} and shape {array.shape}; encode the classes."
        )
    return array.astype(np.int64)
