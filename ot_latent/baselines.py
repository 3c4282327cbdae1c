"""Rivals of the transport on the same codes: what it does not improve is not credited to it.

All have the face ``fit(Z, y=None)`` and ``sample(n, random_state)``: codes in, codes out, row i of
a sample a function of (seed, i) alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from ot_latent._codes import check_codes
from ot_latent._random import BLOCK_ROWS, Stream, generator, rows, seed_from
from ot_latent._validation import check_positive

if TYPE_CHECKING:
    from ot_latent.estimators import OTSampler


class Baseline(BaseEstimator):
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

    def _fit(self, codes: np.ndarray) -> None:
        raise NotImplementedError

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        raise NotImplementedError


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
    """Gaussian mixture with full covariances, fitted by scikit-learn.

    Parameters
    ----------
    components : int, default=10
        Number of components; at most the number of codes is used.
    random_state : int, default=0
        Seed of the fit.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> MixtureSampler(2).fit(Z).sample(5, random_state=0).shape
    (5, 3)
    """

    _number = 1

    def __init__(self, components: int = 10, random_state: int = 0) -> None:
        self.components = components
        self.random_state = random_state

    def _fit(self, codes: np.ndarray) -> None:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        check_positive(self.components, "components", integer=True)
        mixture = GaussianMixture(
            min(self.components, len(codes)),
            random_state=seed_from(self.random_state),
            reg_covar=1e-6 * float(codes.var()) + 1e-12,
        )
        with warnings.catch_warnings():  # a baseline may stop early; its table tells its quality
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(codes)
        self.weights_, self.means_ = mixture.weights_, mixture.means_
        self.roots_ = np.linalg.cholesky(mixture.covariances_)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        edges = np.cumsum(self.weights_)
        part = np.searchsorted(edges[:-1], rng.random(n), side="right")
        noise = rng.standard_normal((n, self.means_.shape[1]))
        return self.means_[part] + np.einsum("nij,nj->ni", self.roots_[part], noise)


class KernelDensitySampler(Baseline):
    """A code drawn at random plus isotropic normal noise.

    Parameters
    ----------
    bandwidth : float, default=0.3
        Standard deviation of the noise, in units of the codes' rms per coordinate.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(100, 3))
    >>> KernelDensitySampler().fit(Z).sample(5, random_state=0).shape
    (5, 3)
    """

    _number = 2

    def __init__(self, bandwidth: float = 0.3) -> None:
        self.bandwidth = bandwidth

    def _fit(self, codes: np.ndarray) -> None:
        check_positive(self.bandwidth, "bandwidth")
        self.codes_ = codes
        self.scale_ = float(np.sqrt(codes.var(axis=0).mean()))

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        atom = rng.integers(len(self.codes_), size=n)
        noise = rng.standard_normal((n, self.codes_.shape[1]))
        return self.codes_[atom] + self.bandwidth * self.scale_ * noise


class PlainMapSampler(Baseline):
    """The transport without its extension: covers the codes and copies them.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose noise and cells are used.
    """

    def __init__(self, sampler: OTSampler) -> None:
        self.sampler = sampler
        self.n_features_in_ = sampler.n_features_in_

    def fit(self, Z: Any = None, y: Any = None) -> PlainMapSampler:
        """Return self: the sampler is fitted already.

        Parameters
        ----------
        Z, y : ignored
            For the sake of the common face.

        Returns
        -------
        PlainMapSampler
            This object.
        """
        return self

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes of the fit.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; the same seed gives the cells of ``sampler.sample``.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.
        """
        _, cells = self.sampler.draw(n, seed_from(random_state))
        return self.sampler.codes(self.sampler.transport_.potential.points[cells])[:n]


class ControlSampler(PlainMapSampler):
    r"""The same extension without transport.

    A code is drawn with its mass :math:`\nu_j`, whatever the noise; the local law of its cell
    is applied to the residual :math:`(x - c_i)/s` of a fresh noise point in *its own* cell i. The
    residuals thus have exactly the law that they have under the transport, pooled over cells, and
    only the bond between noise and code is cut. (With normal residuals this would be the
    manifold Parzen windows of Vincent and Bengio, 2002; normal residuals have longer tails than
    those of a bounded noise, which would blur the comparison.)

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose noise, local laws and masses are used.
    """

    _number = 3

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes with their local spread, independently of the noise's cell.

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
        seed, sampler = seed_from(random_state), self.sampler
        x, own_cells = sampler.draw(n, seed)
        edges = np.cumsum(sampler.weights_.cpu().numpy())[:-1]
        uniform = np.concatenate(
            [
                generator(seed, Stream.BASELINE, block, self._number).random(BLOCK_ROWS)
                for block in range(len(x) // BLOCK_ROWS)
            ]
        )
        atoms = torch.from_numpy(np.searchsorted(edges, uniform, side="right")).to(x.device)
        residuals = sampler.map_.residual(x, own_cells, seed=seed)
        return sampler.codes(sampler.map_.local_law(atoms, residuals))[:n]
