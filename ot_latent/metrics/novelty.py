"""New items or copies: the distance to the closest training record, against held-out data.

A generator that repeats its training set has perfect precision and recall. What tells is how far its
items lie from the closest training record, compared with real items that were not trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ot_latent._validation import DataError
from ot_latent.kernels.dispatch import nearest
from ot_latent.metrics._inputs import as_row_pair

_COPY_SHARE = 0.1


def distance_to_closest(*, train: Any, points: Any) -> np.ndarray:
    """Return the Euclidean distance of each point to the closest training record.

    Parameters
    ----------
    train : array-like of shape (n, d)
        Training records, as codes, features or pixels.
    points : array-like of shape (m, d)
        Items to judge, in the same space.

    Returns
    -------
    numpy.ndarray
        Shape (m,), float64.

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.

    Examples
    --------
    >>> distance_to_closest(train=[[0.0], [4.0]], points=[[1.0], [4.0]]).tolist()
    [1.0, 0.0]
    """
    train, points = as_row_pair(train, points, ("train", "points"), exact=False)
    distances, _ = nearest(points, train, 1)
    return distances[:, 0].to(torch.float64).cpu().numpy()


def novelty_ratio(*, train: Any, holdout: Any, generated: Any) -> float:
    """Return how new generated items are: 1 as new as held-out data, 0 copies.

    Median distance of generated items to the closest training record, over the same for held-out
    items. Above 1 the items may be new, or off the data altogether: read it beside precision.

    Parameters
    ----------
    train, holdout, generated : array-like of shape (n, d)
        Records in one space of codes, features or pixels.

    Returns
    -------
    float
        Ratio.

    Raises
    ------
    DataError
        If half of the held-out items equal a training record, or `distance_to_closest` refuses.

    Examples
    --------
    >>> train = [[0.0], [10.0]]
    >>> novelty_ratio(train=train, holdout=[[1.0], [8.0], [2.0]], generated=[[0.0], [10.0], [9.0]])
    0.0
    """
    level = _level(distance_to_closest(train=train, points=holdout))
    return novelty_from_distances(level, distance_to_closest(train=train, points=generated))


def copy_rate(*, train: Any, holdout: Any, generated: Any) -> float:
    """Return the share of items closer to a training record than a tenth of the held-out median.

    Parameters
    ----------
    train, holdout, generated : array-like of shape (n, d)
        Records in one space of codes, features or pixels.

    Returns
    -------
    float
        Share in [0, 1].

    Raises
    ------
    DataError
        If half of the held-out items equal a training record, or `distance_to_closest` refuses.

    Examples
    --------
    >>> train = [[0.0], [10.0]]
    >>> copy_rate(train=train, holdout=[[1.0], [8.0], [2.0]], generated=[[0.0], [10.0], [9.0], [4.0]])
    0.5
    """
    level = _level(distance_to_closest(train=train, points=holdout))
    return copies_from_distances(level, distance_to_closest(train=train, points=generated))


def novelty_from_distances(level: float, distances: np.ndarray) -> float:
    """Return `novelty_ratio` from distances that are at hand, as a bootstrap needs it.

    Parameters
    ----------
    level : float
        Median distance of held-out items to the closest training record.
    distances : numpy.ndarray of shape (m,)
        Distances of generated items.

    Returns
    -------
    float
        Ratio.
    """
    return float(np.median(distances) / level)


def copies_from_distances(level: float, distances: np.ndarray) -> float:
    """Return `copy_rate` from distances that are at hand, as a bootstrap needs it.

    Parameters
    ----------
    level : float
        Median distance of held-out items to the closest training record.
    distances : numpy.ndarray of shape (m,)
        Distances of generated items.

    Returns
    -------
    float
        Share in [0, 1].
    """
    return float((distances < _COPY_SHARE * level).mean())


def _level(distances: np.ndarray) -> float:
    """Median distance of held-out items, refused where it is zero."""
    level = float(np.median(distances))
    if level == 0.0:
        raise DataError(
            "holdout must hold items that differ from the training records, got at least half that "
            "equal one; remove duplicates before splitting."
        )
    return level
