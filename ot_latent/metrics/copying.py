r"""The three-sample test of data-copying: do items crowd the training set more than fresh data do.

Overall medians can look right while one region is copied and another blurred. The test of Meehan,
Chaudhuri and Dasgupta [1]_ therefore compares within cells of a partition of the space.

References
----------
.. [1] C. Meehan, K. Chaudhuri, S. Dasgupta, A non-parametric test to detect data-copying in generative
   models, AISTATS 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_positive
from ot_latent.metrics._inputs import as_row_pair
from ot_latent.metrics.novelty import closest_record, distance_to_closest

ITEMS_PER_CELL = 100  # held-out items that a cell should hold: its score has unit variance there
MOST_CELLS = 20
LEAST_SHARE = 0.2  # of a cell's expected share of generated items, below which it is left out
_FITTED_ROWS = 5_000  # training records that the partition is fitted to at most
_CELL_KEY = 3  # draws of this module within the bootstrap stream


def data_copying(
    *, train: Any, holdout: Any, generated: Any, cells: int | None = None, seed: int = 0
) -> float:
    r"""Return the statistic :math:`C_T` of data-copying: far below 0 copies, far above 0 blurs.

    The space is cut into cells by k-means on the training records. Within cell :math:`\pi` the
    distances L of generated and of held-out items to the closest training record are compared by
    the Mann-Whitney score

    .. math:: Z_\pi = \frac{U_\pi - n_\pi m_\pi / 2}
                     {\sqrt{n_\pi m_\pi (n_\pi + m_\pi + 1) / 12}}, \qquad
              C_T = \frac{\sum_\pi P_n(\pi) Z_\pi}{\sum_\pi P_n(\pi)},

    with :math:`U_\pi` the number of pairs whose generated distance is the larger one (ties count
    half, and lower the variance) and :math:`P_n(\pi)` the share of held-out items. Cells that hold
    less than a fifth of the generated items expected there are left out: nothing can be said of
    them. For items of the data's law each :math:`Z_\pi` is asymptotically standard normal, so
    :math:`C_T` has mean 0 and a standard deviation of at most 1; as every test statistic it
    grows with the number of items.

    Parameters
    ----------
    train, holdout, generated : array-like of shape (n, d)
        Records in one space of codes, features or pixels.
    cells : int, optional
        Number of cells; by default one per 100 held-out items, at most 20.
    seed : int, default=0
        Seed of the partition.

    Returns
    -------
    float
        The statistic.

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.
    ValueError
        If `cells` is not a positive integer, or there are fewer training records.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> train, holdout = rng.normal(size=(2, 500, 2))
    >>> copies = train + 1e-3
    >>> data_copying(train=train, holdout=holdout, generated=copies) < -10
    True
    """
    partition = Partition.fit(train, holdout, cells=cells, seed=seed)
    return partition.statistic(*partition.measure(holdout), *partition.measure(generated))


class Partition:
    """Training records and the cells around them, from which `data_copying` is computed.

    Parameters
    ----------
    train : numpy.ndarray of shape (n, d)
        Training records.
    centres : numpy.ndarray of shape (cells, d)
        Centres of the cells.
    """

    def __init__(self, train: np.ndarray, centres: np.ndarray) -> None:
        self.train, self.centres = train, centres

    @classmethod
    def fit(cls, train: Any, holdout: Any, *, cells: int | None = None, seed: int = 0) -> Partition:
        """Cut the space by k-means on at most 5,000 training records.

        Parameters
        ----------
        train, holdout, cells, seed
            As in `data_copying`.

        Returns
        -------
        Partition
            The cells.
        """
        known, fresh = as_row_pair(train, holdout, ("train", "holdout"), exact=False)
        count = min(MOST_CELLS, max(1, len(fresh) // ITEMS_PER_CELL)) if cells is None else cells
        check_positive(count, "cells", integer=True)
        if count > len(known):
            raise ValueError(
                f"cells must be at most the number of training records, got {count} cells for "
                f"{len(known)} records; pass fewer."
            )
        records = known.cpu().numpy()
        rng = generator(seed, Stream.BOOTSTRAP, 0, _CELL_KEY)
        return cls(records, _centres(records, count, rng))

    def measure(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what the statistic sees of items, so that a bootstrap searches only once.

        Parameters
        ----------
        points : array-like of shape (m, d)
            Items.

        Returns
        -------
        distances : numpy.ndarray of shape (m,)
            To the closest training record.
        cells : numpy.ndarray of shape (m,)
            Number of the cell.
        """
        return distance_to_closest(train=self.train, points=points), self.cells(points)

    def cells(self, points: Any) -> np.ndarray:
        """Return the number of the cell of each item.

        Parameters
        ----------
        points : array-like of shape (m, d)
            Items.

        Returns
        -------
        numpy.ndarray of shape (m,)
            Numbers.
        """
        return closest_record(train=self.centres, points=points)[1]

    def statistic(
        self,
        fresh: np.ndarray,
        fresh_cells: np.ndarray,
        new: np.ndarray,
        new_cells: np.ndarray,
    ) -> float:
        """Return the statistic from distances and cells.

        Parameters
        ----------
        fresh, fresh_cells : numpy.ndarray of shape (n,)
            Of held-out items, from `measure`.
        new, new_cells : numpy.ndarray of shape (m,)
            Of generated items, from `measure`.

        Returns
        -------
        float
            The statistic.

        Raises
        ------
        DataError
            If no cell holds enough items of both kinds.
        """
        total = weight = 0.0
        for cell in np.unique(fresh_cells):
            held, made = fresh[fresh_cells == cell], new[new_cells == cell]
            share = len(held) / len(fresh)
            if len(made) > LEAST_SHARE * share * len(new):
                total += share * rank_score(held, made)
                weight += share
        if weight == 0.0:
            raise DataError(
                "generated must reach a cell that held-out items reach, got none; check that both are "
                "in one space."
            )
        return total / weight


def rank_score(fresh: np.ndarray, new: np.ndarray) -> float:
    """Return the standardised Mann-Whitney score: positive where `new` tends to be larger.

    Parameters
    ----------
    fresh, new : numpy.ndarray of shape (n,), (m,)
        Two samples of numbers.

    Returns
    -------
    float
        Asymptotically standard normal where both have one law; 0 where all numbers are equal.

    Examples
    --------
    >>> rank_score(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    0.0
    """
    from scipy.stats import rankdata

    n, m = len(fresh), len(new)
    ranks = rankdata(np.concatenate([new, fresh]))
    larger = ranks[:m].sum() - m * (m + 1) / 2
    _, ties = np.unique(ranks, return_counts=True)
    tied = float((ties**3 - ties).sum()) / ((n + m) * max(n + m - 1, 1))
    variance = n * m / 12 * (n + m + 1 - tied)
    return float((larger - n * m / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def _centres(records: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Centres of k-means on some of the records."""
    if count == 1:
        return records.mean(axis=0, keepdims=True)
    from sklearn.cluster import KMeans

    some = records[rng.permutation(len(records))[:_FITTED_ROWS]]
    seed = int(rng.integers(2**31))
    return KMeans(count, n_init=1, random_state=seed).fit(some).cluster_centers_
