r"""Copulas: the law of the ranks of codes, with the law of each coordinate put back afterwards.

The empirical beta copula [1]_ smooths the ranks of the data: it draws a code, with ranks
:math:`r_1, \dots, r_d`, and then independent :math:`U_k \sim \mathrm{Beta}(r_k, n + 1 - r_k)`. Over all
codes each :math:`U_k` is exactly uniform. Vine copulas [2]_ build the law of the ranks from pairs.

References
----------
.. [1] J. Segers, M. Sibuya, H. Tsukahara, The empirical beta copula, J. Multivariate Analysis 155, 2017.
.. [2] K. Aas et al., Pair-copula constructions of multiple dependence, Insurance: Mathematics and
   Economics 44, 2009.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._validation import check_positive
from ot_latent.baselines.base import Baseline


class BetaCopulaSampler(Baseline):
    r"""Empirical beta copula with the empirical margins, or with interpolated ones.

    Parameters
    ----------
    margins : {"linear", "step"}, default="linear"
        ``"step"``: each coordinate takes each of its n values with probability 1/n exactly;
        ``"linear"``: its distribution function is the polygon through
        :math:`(x_{(i)}, (i - 1/2)/n)`, so values are new, within the range of the codes.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> BetaCopulaSampler().fit(Z).sample(5, random_state=0).shape
    (5, 3)
    """

    _number = 4

    def __init__(self, margins: str = "linear") -> None:
        self.margins = margins

    def _fit(self, codes: np.ndarray) -> None:
        if self.margins not in ("linear", "step"):
            raise ValueError(
                f"margins must be 'linear' or 'step', got {self.margins!r}; pass 'linear'."
            )
        self.sorted_ = np.sort(codes, axis=0)
        self.ranks_ = codes.argsort(axis=0, kind="stable").argsort(axis=0) + 1

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self._quantiles(self.draw_uniforms(rng, n))

    def draw_uniforms(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw from the copula itself: every column is uniform on [0, 1].

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.
        n : int
            How many rows.

        Returns
        -------
        ndarray of shape (n, d)
            Uniforms, dependent as the codes' ranks are.
        """
        ranks = self.ranks_[rng.integers(len(self.ranks_), size=n)]
        return rng.beta(ranks, len(self.ranks_) + 1 - ranks)

    def _quantiles(self, uniforms: np.ndarray) -> np.ndarray:
        """Put the margins back."""
        return quantiles(self.sorted_, uniforms, step=self.margins == "step")


class VineCopulaSampler(Baseline):
    """Vine copula, its structure and pairs chosen by pyvinecopulib, with interpolated margins.

    Parameters
    ----------
    truncation : int, default=5
        Number of trees whose pairs are fitted; beyond them pairs count as independent.

    Raises
    ------
    ImportError
        In `fit`, if pyvinecopulib is not installed.
    """

    _number = 5

    def __init__(self, truncation: int = 5) -> None:
        self.truncation = truncation

    def _fit(self, codes: np.ndarray) -> None:
        check_positive(self.truncation, "truncation", integer=True)
        library = _pyvinecopulib()
        self.sorted_ = np.sort(codes, axis=0)
        ranks = codes.argsort(axis=0, kind="stable").argsort(axis=0) + 1
        kinds = library.BicopFamily
        families = [kinds.indep, kinds.gaussian, kinds.tll]
        controls = library.FitControlsVinecop(family_set=families, trunc_lvl=self.truncation)
        self.vine_ = library.Vinecop.from_data(ranks / (len(codes) + 1), controls=controls)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        uniforms = rng.random((n, self.sorted_.shape[1]))
        return quantiles(self.sorted_, self.vine_.inverse_rosenblatt(uniforms))


def quantiles(ordered: np.ndarray, uniforms: np.ndarray, *, step: bool = False) -> np.ndarray:
    """Return, column by column, the empirical quantiles at given levels.

    Parameters
    ----------
    ordered : ndarray of shape (n, d)
        Codes, every column sorted.
    uniforms : ndarray of shape (m, d)
        Levels in [0, 1].
    step : bool, default=False
        Whether quantiles are values of the codes themselves, or interpolated between them.

    Returns
    -------
    ndarray of shape (m, d)
        Quantiles.

    Examples
    --------
    >>> quantiles(np.array([[0.0], [1.0]]), np.array([[0.1], [0.5], [0.9]])).ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    n, columns = ordered.shape
    if step:
        places = np.minimum((uniforms * n).astype(int), n - 1)
        return np.take_along_axis(ordered, places, axis=0)
    levels = (np.arange(n) + 0.5) / n
    found = [np.interp(uniforms[:, k], levels, ordered[:, k]) for k in range(columns)]
    return np.stack(found, axis=1)


def _pyvinecopulib() -> Any:
    """Return the library, refused in one sentence where it is missing."""
    try:
        import pyvinecopulib
    except ImportError as error:
        raise ImportError(
            f"VineCopulaSampler must have pyvinecopulib, got none that imports ({error}); "
            "pip install pyvinecopulib, or take BetaCopulaSampler."
        ) from error
    return pyvinecopulib
