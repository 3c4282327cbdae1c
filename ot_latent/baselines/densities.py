"""Densities fitted to codes: one normal law, mixtures of normal laws, and a kernel at every code."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from ot_latent._random import Stream, generator, seed_from
from ot_latent._validation import check_positive
from ot_latent.baselines.base import Baseline

# Tried in this order by "bic", until six in a row are worse than the best.
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 36, 42, 50, 64, 80, 100)
_PATIENCE = 6
_HELD_OUT, _CENTRES = (
    1000,
    10_000,
)  # rows that choose a bandwidth, and kernels that they choose it for
_BANDWIDTHS = np.geomspace(0.001, 2.0, 30)
_CHUNK = 128
_SPLIT_KEY = 4  # this draw within the split stream


class GaussianSampler(Baseline):
    """Normal distribution with the mean and covariance of the codes.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> GaussianSampler().fit(Z).sample(5, random_state=0).shape
    (5, 3)
    """

    def _fit(self, codes: np.ndarray) -> None:
        self.mean_ = codes.mean(axis=0)
        covariance = np.atleast_2d(np.cov(codes, rowvar=False))
        values, vectors = np.linalg.eigh(covariance)
        self.root_ = vectors * np.sqrt(values.clip(min=0))  # covariance = root @ root.T

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.mean_ + rng.standard_normal((n, len(self.mean_))) @ self.root_.T


class MixtureSampler(Baseline):
    r"""Gaussian mixture with full covariances, fitted by scikit-learn.

    With ``components="bic"`` the number of components is that of the least

    .. math:: \mathrm{BIC}(K) = -2 \log L + p_K \log n, \qquad p_K = K - 1 + K d + K d (d + 1) / 2,

    among 1 to 100, tried from below until six numbers in a row are worse than the best.

    Parameters
    ----------
    components : int or "bic", default=10
        Number of components; at most the number of codes is used.
    random_state : int, default=0
        Seed of the fit.
    starts : int, default=1
        Number of starts of the fit, of which the likeliest counts.

    Attributes
    ----------
    components_ : int
        Number of components used.
    bic_ : dict of int to float
        Criterion of each number tried; empty where the number was given.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> MixtureSampler(2).fit(Z).sample(5, random_state=0).shape
    (5, 3)
    >>> Z[:50] += 9
    >>> MixtureSampler("bic").fit(Z).components_
    2
    """

    _number = 1

    def __init__(
        self, components: int | Literal["bic"] = 10, random_state: int = 0, starts: int = 1
    ) -> None:
        self.components = components
        self.random_state = random_state
        self.starts = starts

    def _fit(self, codes: np.ndarray) -> None:
        check_positive(self.starts, "starts", integer=True)
        self.bic_: dict[int, float] = {}
        if isinstance(self.components, str):
            mixture = self._chosen(codes)
        else:
            check_positive(self.components, "components", integer=True)
            mixture = self._fitted(codes, min(self.components, len(codes)))
        self.components_ = int(mixture.n_components)
        self.weights_, self.means_ = mixture.weights_, mixture.means_
        self.roots_ = np.linalg.cholesky(mixture.covariances_)

    def _chosen(self, codes: np.ndarray) -> Any:
        """Return the mixture of the least criterion."""
        if self.components != "bic":
            raise ValueError(
                f"components must be a positive integer or 'bic', got {self.components!r}; pass 10."
            )
        best, worse = None, 0
        for number in (k for k in NUMBERS if k <= max(1, len(codes) // 4)):
            found = self._fitted(codes, number)
            self.bic_[number] = float(found.bic(codes))
            better = best is None or self.bic_[number] < self.bic_[best.n_components]
            best, worse = (found, 0) if better else (best, worse + 1)
            if worse == _PATIENCE:
                break
        return best

    def _fitted(self, codes: np.ndarray, number: int) -> Any:
        """Return a mixture of so many components."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(
            number,
            n_init=self.starts,
            random_state=seed_from(self.random_state),
            reg_covar=1e-6 * float(codes.var()) + 1e-12,
        )
        with warnings.catch_warnings():  # a baseline may stop early; its table tells its quality
            warnings.simplefilter("ignore", ConvergenceWarning)
            return mixture.fit(codes)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        edges = np.cumsum(self.weights_)
        part = np.searchsorted(edges[:-1], rng.random(n), side="right")
        noise = rng.standard_normal((n, self.means_.shape[1]))
        return self.means_[part] + np.einsum("nij,nj->ni", self.roots_[part], noise)


class KernelDensitySampler(Baseline):
    """A code drawn at random plus isotropic normal noise.

    With ``bandwidth="likelihood"`` the deviation of the noise is the one between 0.001 and 2 under
    which a held-out fifth of the codes (at most 1,000) is likeliest given the others (at most
    10,000); it is then used with all codes.

    Parameters
    ----------
    bandwidth : float or "likelihood", default="likelihood"
        Standard deviation of the noise, in units of the codes' rms per coordinate.
    random_state : int, default=0
        Seed of the held-out part.

    Attributes
    ----------
    bandwidth_ : float
        Bandwidth used.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> KernelDensitySampler(0.3).fit(Z).sample(5, random_state=0).shape
    (5, 3)
    """

    _number = 2

    def __init__(
        self, bandwidth: float | Literal["likelihood"] = "likelihood", random_state: int = 0
    ) -> None:
        self.bandwidth = bandwidth
        self.random_state = random_state

    def _fit(self, codes: np.ndarray) -> None:
        self.codes_ = codes
        self.scale_ = float(np.sqrt(codes.var(axis=0).mean()))
        if isinstance(self.bandwidth, str):
            if self.bandwidth != "likelihood":
                raise ValueError(
                    f"bandwidth must be a positive number or 'likelihood', got {self.bandwidth!r}; "
                    "pass 0.3."
                )
            order = generator(seed_from(self.random_state), Stream.SPLIT, _SPLIT_KEY).permutation(
                len(codes)
            )
            cut = min(max(1, len(codes) // 5), _HELD_OUT)
            self.bandwidth_ = likeliest_bandwidth(
                codes[order[cut:]][:_CENTRES] / (self.scale_ or 1.0),
                codes[order[:cut]] / (self.scale_ or 1.0),
            )
        else:
            check_positive(self.bandwidth, "bandwidth")
            self.bandwidth_ = float(self.bandwidth)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        atom = rng.integers(len(self.codes_), size=n)
        noise = rng.standard_normal((n, self.codes_.shape[1]))
        return self.codes_[atom] + self.bandwidth_ * self.scale_ * noise


def likeliest_bandwidth(centres: np.ndarray, points: np.ndarray) -> float:
    """Return the bandwidth of a kernel density at `centres` under which `points` are likeliest.

    Parameters
    ----------
    centres : ndarray of shape (n, d)
        Centres of the normal kernels.
    points : ndarray of shape (m, d)
        Held-out rows.

    Returns
    -------
    float
        The best of 30 bandwidths between 0.001 and 2, moved to the top of the parabola through its
        neighbours on a logarithmic scale.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> 0.2 < likeliest_bandwidth(rng.normal(size=(200, 1)), rng.normal(size=(200, 1))) < 0.6
    True
    """
    import torch

    known, fresh = torch.from_numpy(centres), torch.from_numpy(points)
    totals = np.zeros(len(_BANDWIDTHS))
    for part in fresh.split(_CHUNK):
        squares = part.square().sum(1)[:, None] + known.square().sum(1) - 2.0 * part @ known.T
        squares = squares.clamp_min_(0.0).float()
        for place, width in enumerate(_BANDWIDTHS):
            totals[place] += float((squares / (-2.0 * width**2)).logsumexp(1).double().sum())
    totals -= len(points) * centres.shape[1] * np.log(_BANDWIDTHS)
    top = int(totals.argmax().clip(1, len(totals) - 2))
    left, middle, right = totals[top - 1 : top + 2]
    curvature = left - 2 * middle + right
    move = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    ratio = _BANDWIDTHS[1] / _BANDWIDTHS[0]
    return float(_BANDWIDTHS[top] * ratio ** np.clip(move, -1.0, 1.0))
