"""New items or copies: the distance to the closest training record, against held-out data.

A generator that repeats its training set has perfect precision and recall. What tells is how far its
items lie from the closest training record, compared with real items that were not trained on
(novelty ratio, copy rate; `metrics.copying` tests it cell by cell), or with how far training
records lie from one another (authenticity [1]_). Searches run in blocks (`kernels.dispatch.nearest`):
memory is bounded whatever the number of records.

References
----------
.. [1] A. M. Alaa et al., How faithful is your synthetic data? Sample-level metrics for evaluating and
   auditing generative models, ICML 2022.
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
    return closest_record(train=train, points=points)[0]


def closest_record(*, train: Any, points: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each point to the closest training record, and the record's number.

    Parameters
    ----------
    train : array-like of shape (n, d)
        Training records, as codes, features or pixels.
    points : array-like of shape (m, d)
        Items to judge, in the same space.

    Returns
    -------
    distances : numpy.ndarray of shape (m,)
        Euclidean distances, float64.
    records : numpy.ndarray of shape (m,)
        Row of `train` that is closest.

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.

    Examples
    --------
    >>> closest_record(train=[[0.0], [4.0]], points=[[1.0], [4.0]])[1].tolist()
    [0, 1]
    """
    train, points = as_row_pair(train, points, ("train", "points"), exact=False)
    distances, records = nearest(points, train, 1)
    return distances[:, 0].to(torch.float64).cpu().numpy(), records[:, 0].cpu().numpy()


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


def authenticity(*, train: Any, generated: Any) -> float:
    """Return the share of items that are no likely copy of a training record.

    An item is inauthentic if it lies closer to its closest training record than any other training
    record does. Exact copies give 0. Fresh real items give less than 1: a third on the line
    (theorem, for any density), .8 for 2,000 items of a normal law in 40 dimensions (measured;
    there the closest record is one that is close to many). So compare with held-out data.

    Parameters
    ----------
    train : array-like of shape (n, d)
        Training records, at least two.
    generated : array-like of shape (m, d)
        Items to judge, in the same space.

    Returns
    -------
    float
        Share in [0, 1].

    Raises
    ------
    DataError
        If there are fewer than two training records, or `distance_to_closest` refuses.

    Examples
    --------
    >>> authenticity(train=[[0.0], [1.0], [9.0]], generated=[[0.5], [3.0], [9.5], [9.0]])
    0.25
    """
    return float(authentic(train=train, generated=generated).mean())


def authentic(*, train: Any, generated: Any) -> np.ndarray:
    """Return the verdict of each item, whose mean is `authenticity`, as a bootstrap needs it.

    Parameters
    ----------
    train : array-like of shape (n, d)
        Training records, at least two.
    generated : array-like of shape (m, d)
        Items to judge, in the same space.

    Returns
    -------
    numpy.ndarray
        Shape (m,), bool.

    Raises
    ------
    DataError
        If there are fewer than two training records, or `distance_to_closest` refuses.
    """
    names = ("train", "generated")
    known, new = as_row_pair(train, generated, names, exact=False)
    if len(known) < 2:
        raise DataError(
            f"train must have at least 2 rows, got {len(known)}; authenticity compares them with one "
            "another."
        )
    distances, records = closest_record(train=known, points=new)
    own, back = np.unique(records, return_inverse=True)
    spacing, _ = nearest(known[torch.from_numpy(own).to(known.device)], known, 2)
    apart = spacing.max(dim=1).values.to(torch.float64).cpu().numpy()  # the other one is itself
    return distances > apart[back]


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
