"""Which rows are held out: a fixed hash of the row number, never the seed of a run.

So every run, model and seed on one data set leaves out the same rows, and nobody tests on rows that
another run has trained on.
"""

from __future__ import annotations

import numpy as np

from ot_latent._validation import DataError
from ot_latent.datasets.record import Raw

TEST_SHARE = 0.2
SPLITS = ("train", "test", "all")


def hash_uniform(keys: np.ndarray) -> np.ndarray:
    """Return a fixed number in [0, 1) for each integer: the splitmix64 finaliser over 2^64.

    Parameters
    ----------
    keys : numpy.ndarray
        Integers.

    Returns
    -------
    numpy.ndarray
        float64, same shape.

    Examples
    --------
    >>> hash_uniform(np.arange(3)).round(4).tolist()
    [0.8833, 0.5666, 0.5912]
    """
    z = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * 2.0**-53


def split_rows(raw: Raw, split: str, name: str) -> np.ndarray:
    """Return the row numbers of one part.

    Parameters
    ----------
    raw : Raw
        The whole set; its official test part counts where there is one, else one row in five is
        held out by the hash of its row number (or of its group).
    split : {"train", "test", "all"}
        Which part.
    name : str
        Name of the set, used in the refusal.

    Returns
    -------
    numpy.ndarray
        Rising row numbers.

    Raises
    ------
    DataError
        If the part is empty.
    """
    if split == "all":
        return np.arange(len(raw.x))
    test = raw.test
    if test is None:
        keys = np.arange(len(raw.x)) if raw.groups is None else raw.groups
        test = hash_uniform(keys) < TEST_SHARE
    chosen = np.flatnonzero(test if split == "test" else ~test)
    if chosen.size == 0:
        raise DataError(
            f"the {split} part of {name} must not be empty, got 0 of {len(raw.x)} rows; pass more "
            'data, or split="all".'
        )
    return chosen
