"""The common face of the baselines: fit to codes, sample codes, row by row addressable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from ot_latent._codes import check_codes
from ot_latent._random import Stream, rows, seed_from
from ot_latent._validation import check_positive

if TYPE_CHECKING:
    from ot_latent.estimators import OTSampler


class Baseline(BaseEstimator, ABC):
    """Common face of the baselines; subclasses fit in `_fit` and draw blocks in `_draw`."""

    n_features_in_: int

    def fit(self, Z: Any, y: Any = None) -> Baseline:
        """Fit the baseline to codes.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Codes.
        y : ignored
            For the sake of the common face.

        Returns
        -------
        Baseline
            The fitted baseline.
        """
        codes = check_codes(self, Z, reset=True)
        self.dtype_ = str(codes.dtype)
        self._fit(codes.astype(np.float64))
        return self

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes; row i depends on (seed, i) only.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; None asks the operating system.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.

        Raises
        ------
        ValueError
            If the baseline is not fitted or `n` is not a positive integer.
        """
        if not hasattr(self, "n_features_in_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                f"{type(self).__name__} must be fitted before it samples; call fit(Z) first."
            )
        check_positive(n, "n", integer=True)
        seed = seed_from(random_state)
        drawn = rows(seed, Stream.BASELINE, 0, n, self._draw, self._number)
        return drawn.astype(self.dtype_)

    _number = 0  # keeps the draws of two baselines apart

    @abstractmethod
    def _fit(self, codes: np.ndarray) -> None:
        """Fit to codes (n, d), float64."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw n codes, all from `rng`."""


class Borrowed(BaseEstimator, ABC):
    """Face of the baselines that take their parts from a fitted sampler, and fit nothing.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler.
    """

    def __init__(self, sampler: OTSampler) -> None:
        self.sampler = sampler

    @property
    def n_features_in_(self) -> int:
        """Dimension of the codes."""
        return self.sampler.n_features_in_

    def fit(self, Z: Any = None, y: Any = None) -> Borrowed:
        """Return self: the sampler is fitted already.

        Parameters
        ----------
        Z, y : ignored
            For the sake of the common face.

        Returns
        -------
        Borrowed
            This object.
        """
        return self

    @abstractmethod
    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes; row i depends on (seed, i) only.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.
        """
