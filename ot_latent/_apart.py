"""Holding rows out: single rows, or whole groups of rows that are variants of one another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_same_length


def apart(
    count: int, most: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out at most so many rows, no group in part.

    Groups are gone through in random order, and held out where they still fit. Where none fits,
    single rows are held out, as without groups.

    Parameters
    ----------
    count : int
        Number of rows.
    most : int
        How many are held out at most; without groups, exactly.
    rng : numpy.random.Generator
        Source of the order.
    groups : numpy.ndarray of shape (count,), optional
        Group of each row.

    Returns
    -------
    held, kept : numpy.ndarray of int64
        Row numbers, each in random order.

    Examples
    --------
    >>> held, kept = apart(6, 3, np.random.default_rng(0), np.array([0, 0, 1, 1, 2, 2]))
    >>> sorted(held.tolist()), sorted(kept.tolist())
    ([0, 1], [2, 3, 4, 5])
    """
    order = rng.permutation(count)
    if groups is None:
        return order[:most], order[most:]
    numbers = np.unique(groups, return_inverse=True)[1]
    taken = np.zeros(numbers.max(initial=-1) + 1, dtype=bool)
    sizes, left = np.bincount(numbers), most
    for group in rng.permutation(len(sizes)).tolist():
        if sizes[group] <= left:
            taken[group], left = True, left - sizes[group]
    if not taken.any():
        return order[:most], order[most:]
    inside = taken[numbers[order]]
    return order[inside], order[~inside]


def check_groups(groups: Any, n: int) -> np.ndarray | None:
    """Return groups as integers counted from 0, None where there are none.

    Parameters
    ----------
    groups : array-like of shape (n,) or None
        Group of each row: integers or strings.
    n : int
        Number of rows.

    Returns
    -------
    numpy.ndarray of shape (n,), int64, or None
        Number of each row's group.

    Raises
    ------
    DataError
        If there is not one per row.
    """
    if groups is None:
        return None
    array = np.asarray(groups.detach().cpu() if hasattr(groups, "detach") else groups)
    if array.ndim != 1:
        raise DataError(
            f"groups must hold one entry per row, got shape {array.shape}; pass a vector."
        )
    check_same_length(array, range(n), ("groups", "the data"))
    return np.unique(array, return_inverse=True)[1]
