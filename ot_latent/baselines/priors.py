"""Autoencoders that generate by themselves: variational and Wasserstein, from our own networks.

Data in, data out: the codes are drawn from a normal law and decoded. The networks, the loss, the
optimiser and the schedule are those of the generator; only the prior's term is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ot_latent._codes import resolve_device
from ot_latent._random import Stream, rows, seed_from
from ot_latent._validation import check_positive
from ot_latent.baselines.base import Baseline

_NUMBER = 7  # keeps these draws apart from those of other baselines


class PriorSampler(Baseline):
    """Standard normal codes, for the decoder of an autoencoder trained with a prior.

    It takes nothing but their dimension from the codes of the fit. What it lacks beside a sampler that was
    fitted to the same codes is what the prior loses, on one decoder.

    Examples
    --------
    >>> codes = np.zeros((5, 2), dtype=np.float32)
    >>> PriorSampler().fit(codes).sample(3, random_state=0).shape
    (3, 2)
    """

    _number = _NUMBER

    def _fit(self, codes: np.ndarray) -> None:
        """Learn nothing."""

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return _normal(rng, n, self.n_features_in_)


class PriorAutoencoder(BaseEstimator):
    """An autoencoder with normal codes, whose samples are decoded normal noise.

    Its codes serve every sampler of codes as well: ``OTSampler().fit(rival.encode(X))`` beside
    ``rival.sample(n)`` tells what the prior loses on one and the same decoder.

    Parameters
    ----------
    prior : {"vae", "wae"}, default="vae"
        Variational (divergence of each code's normal law) or Wasserstein (kernel discrepancy of
        the codes of a batch).
    prior_weight : float, default=1.0
        Weight of the prior's term over the number of values of a row. With ``loss="bce"`` and "vae"
        1 is the evidence bound; with ``"mse"`` it is that of normal pixels of variance
        ``prior_weight / 2``.
    architecture : dict, optional
        Fields of `config.AutoencoderConfig`: latent_dim, width, loss, model, ...
    training : dict, optional
        Fields of `config.TrainingConfig`: epochs, lr, batch_size, ...
    device : str, default="auto"
        Where to train.
    random_state : int, default=0
        Seed of the fit.

    Attributes
    ----------
    coder_ : TrainedCoder
        Encoder (means, for "vae") and decoder.
    history_ : list of dict
        One entry per epoch.
    """

    def __init__(
        self,
        prior: str = "vae",
        prior_weight: float = 1.0,
        *,
        architecture: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.prior = prior
        self.prior_weight = prior_weight
        self.architecture = architecture
        self.training = training
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> PriorAutoencoder:
        """Train the autoencoder with its prior.

        Parameters
        ----------
        X : array-like
            Images or vectors, as for `LatentGenerator.fit`.
        y : ignored
            For the sake of the common face.

        Returns
        -------
        PriorAutoencoder
            The fitted rival.

        Raises
        ------
        ConfigError
            If a setting is unknown or has a value that cannot be.
        """
        from ot_latent.coders import TrainedCoder
        from ot_latent.config import PriorAutoencoderConfig, TrainingConfig
        from ot_latent.latent.autoencoder import build_autoencoder
        from ot_latent.latent.preprocessing import DataCodec
        from ot_latent.latent.training import train_autoencoder

        own = {"prior": self.prior, "prior_weight": self.prior_weight}
        config = PriorAutoencoderConfig.from_dict((self.architecture or {}) | own)
        settings = TrainingConfig.from_dict(self.training or {})
        seed = seed_from(self.random_state)
        codec = DataCodec.fit(X)
        network = build_autoencoder(config, codec.shape, seed)
        result = train_autoencoder(
            network, codec.encode(X), settings, seed=seed, device=resolve_device(self.device)
        )
        self.coder_, self.history_ = TrainedCoder(codec, result.model), result.history
        return self

    def encode(self, X: Any) -> np.ndarray:
        """Return codes.

        Parameters
        ----------
        X : array-like
            Rows like those of the fit.

        Returns
        -------
        ndarray of shape (n, latent_dim)
            Codes.
        """
        return self._fitted().encode(X)

    def decode(self, codes: Any) -> np.ndarray:
        """Return the data of codes.

        Parameters
        ----------
        codes : array-like of shape (n, latent_dim)
            Codes.

        Returns
        -------
        ndarray
            Rows like those of the fit.
        """
        return self._fitted().decode(codes)

    def sample_codes(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes from the prior; row i depends on (seed, i) only.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; None asks the operating system.

        Returns
        -------
        ndarray of shape (n, latent_dim), float32
            Standard normal codes, those that `PriorSampler` draws.
        """
        check_positive(n, "n", integer=True)
        dim = self._fitted().model.config.latent_dim

        def draw(rng: np.random.Generator, m: int) -> np.ndarray:
            return _normal(rng, m, dim)

        return rows(seed_from(random_state), Stream.BASELINE, 0, n, draw, _NUMBER)

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Generate data; row i depends on (seed, i) only.

        Parameters
        ----------
        n, random_state
            As in `sample_codes`.

        Returns
        -------
        ndarray
            Rows like those of the fit.
        """
        return self.decode(self.sample_codes(n, random_state))

    def _fitted(self) -> Any:
        """Return the coder, refused before the fit."""
        if not hasattr(self, "coder_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "PriorAutoencoder must be fitted before it is used; call fit(X) first."
            )
        return self.coder_


def _normal(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Return standard normal codes."""
    return rng.standard_normal((n, dim), dtype=np.float32)
