"""What a fitted generator does: sample, encode, decode, interpolate, be judged, be saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ot_latent import persistence
from ot_latent._codes import resolve_device
from ot_latent._validation import check_positive
from ot_latent.coders import OwnCoder, TrainedCoder
from ot_latent.estimators import OTSampler
from ot_latent.evaluation import evaluate
from ot_latent.features import ClassFeatures
from ot_latent.transport.solution import SemiDiscreteSolution

NETWORKS = ("encoder", "decoder")  # parameters that cannot be saved by value


class FittedGenerator(BaseEstimator):
    """The half of `generator.LatentGenerator` that needs no training data.

    Attributes
    ----------
    sampler_, coder_, classifier_, seed_, history_, train_error_
        As in `generator.LatentGenerator`.
    """

    encoder: Callable[..., Any] | None
    decoder: Callable[..., Any] | None
    sampler_: OTSampler
    coder_: TrainedCoder | OwnCoder
    classifier_: ClassFeatures | None
    seed_: int
    history_: list[dict[str, Any]]
    train_error_: float

    @property
    def transport_(self) -> SemiDiscreteSolution:
        """The solved transport."""
        check_is_fitted(self, "sampler_")
        return self.sampler_.transport_

    def sample(
        self,
        n: int = 1,
        random_state: Any = None,
        *,
        label: Any = None,
        noise: Any = None,
        stratified: bool = False,
    ) -> np.ndarray:
        """Generate data; row i depends on (seed, i) only.

        Parameters
        ----------
        n, random_state, label, noise, stratified
            As in `OTSampler.sample`.

        Returns
        -------
        ndarray of shape (n, ...)
            Rows in layout, dtype and range of X.
        """
        check_is_fitted(self)
        codes = self.sampler_.sample(
            n, random_state, label=label, noise=noise, stratified=stratified
        )
        return self.coder_.decode(codes)

    def encode(self, X: Any) -> np.ndarray:
        """Return the codes of data.

        Parameters
        ----------
        X : array-like
            Rows like those of the fit.

        Returns
        -------
        ndarray of shape (n, latent_dim)
            Codes.
        """
        check_is_fitted(self)
        return self.coder_.encode(X)

    def decode(self, codes: Any) -> np.ndarray:
        """Return the data of codes.

        Parameters
        ----------
        codes : array-like of shape (n, latent_dim)
            Codes.

        Returns
        -------
        ndarray
            Rows in layout, dtype and range of X.
        """
        check_is_fitted(self)
        return self.coder_.decode(codes)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return what encoder and decoder make of data.

        Parameters
        ----------
        X : array-like
            Rows like those of the fit.

        Returns
        -------
        ndarray
            Rows in layout, dtype and range of X.
        """
        return self.decode(self.encode(X))

    def noise(self, codes: Any) -> np.ndarray:
        """Return noise that the map sends near codes: the centroid of the nearest target's cell.

        Parameters
        ----------
        codes : array-like of shape (n, latent_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n, latent_dim)
            Noise.
        """
        check_is_fitted(self)
        return self.sampler_.transform(codes)

    def interpolate(self, a: Any, b: Any, steps: int = 9) -> np.ndarray:
        """Walk from a to b: a straight line in noise, mapped and decoded.

        Parameters
        ----------
        a, b : array-like
            One row of data each, or two arrays of rows of the same length.
        steps : int, default=9
            Points of each path, the two ends among them.

        Returns
        -------
        ndarray of shape (steps, ...) or (n, steps, ...)
            Paths. Their ends are near a and b, not equal to them: they pass through the map.

        Raises
        ------
        ValueError
            If the two shapes differ or `steps` is not a positive integer.
        """
        check_is_fitted(self)
        check_positive(steps, "steps", integer=True)
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            raise ValueError(
                f"a and b must have the same shape, got {a.shape} and {b.shape}; pass pairs of rows."
            )
        one = a.ndim == self._row_ndim()
        ends = self.noise(self.encode(np.stack([a, b]) if one else np.concatenate([a, b])))
        first, last = np.split(ends, 2)
        t = np.linspace(0.0, 1.0, steps)[:, None]
        lines = first[:, None] * (1 - t) + last[:, None] * t
        rows = self.sample(noise=lines.reshape(-1, lines.shape[-1]))
        paths = rows.reshape(len(first), steps, *rows.shape[1:])
        return paths[0] if one else paths

    def evaluate(
        self,
        X_test: Any,
        y: Any = None,
        *,
        baselines: Iterable[str] = ("gaussian", "gmm10", "plain", "control", "heldout"),
        features: Callable[[np.ndarray], Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Judge the samples against held-out data and against baselines.

        Parameters
        ----------
        X_test : array-like
            Held-out rows like those of the fit.
        y : array-like of shape (n,), optional
            Their labels.
        baselines : iterable of str
            Any of "gaussian", "gmm10", "plain", "control", "heldout".
        features : callable, optional
            Takes rows of data, returns (n, f) features; by default the classifier of the fit,
            else the codes.
        **options
            Further options of `evaluation.evaluate`.

        Returns
        -------
        dict
            The report record, ready for JSON.
        """
        check_is_fitted(self)
        return evaluate(self, X_test, y, baselines=baselines, features=features, **options)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save everything that sampling needs in one folder, all or nothing.

        Networks of your own cannot be saved by value: then all but them is saved, and
        `from_pretrained` takes them back.

        Parameters
        ----------
        folder : path
            Where to; a model saved there before is replaced.
        """
        check_is_fitted(self)
        tensors = self.coder_.to_tensors() | {"transport": self.sampler_.to_tensors()}
        if self.classifier_ is not None:
            tensors["classifier"] = self.classifier_.to_tensors()
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in NETWORKS}
        params |= {"random_state": self.seed_, "source": self.sampler_.source_.to_dict()}
        config = {
            "class": "LatentGenerator",
            "params": params,
            "seed": self.seed_,
            "coder": self.coder_.to_config(),
            "sampler": self.sampler_.to_config(),
            "classifier": None if self.classifier_ is None else self.classifier_.to_config(),
            "history": self.history_,
            "train_error": self.train_error_,
            "versions": {"torch": str(torch.__version__), "numpy": np.__version__},
        }
        persistence.save_folder(folder, tensors=tensors, config=config)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device: str = "cpu",
        *,
        encoder: Callable[..., Any] | None = None,
        decoder: Callable[..., Any] | None = None,
    ) -> Self:
        """Load what `save_pretrained` saved.

        Parameters
        ----------
        folder : path
            The folder.
        device : str, default="cpu"
            Where to compute, whatever device the model was made on.
        encoder, decoder : callable, optional
            The networks of your own that the model was fitted with.

        Returns
        -------
        Self
            A fitted generator that draws the same samples.

        Raises
        ------
        ValueError
            If the model needs networks of your own that were not given.
        """
        device = resolve_device(device)
        tensors, config = persistence.load_folder(folder, device)
        generator = cls(**(config["params"] | {"device": device}))
        generator.set_params(encoder=encoder, decoder=decoder)
        generator.seed_, generator.history_ = config["seed"], config["history"]
        generator.train_error_ = config["train_error"]
        generator.sampler_ = OTSampler.from_parts(tensors["transport"], config["sampler"], device)
        coder, generator.classifier_ = config["coder"], None
        if coder.get("own"):
            networks = generator._networks(needed=f"the model in {folder}")
            shape = tuple(coder["shape"])
            generator.coder_ = OwnCoder(*networks, shape, coder["dtype"], device)
            return generator
        generator.coder_ = trained = TrainedCoder.from_parts(tensors, coder, device)
        if config["classifier"] is not None:
            generator.classifier_ = ClassFeatures.from_parts(
                tensors["classifier"], config["classifier"], trained.codec, device
            )
        return generator

    def _networks(self, needed: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return encoder and decoder of the user's, refused unless both can be called."""
        if callable(self.encoder) and callable(self.decoder):
            return self.encoder, self.decoder
        raise ValueError(
            f"{needed} must be given both encoder and decoder as functions, got "
            f"{self.encoder!r} and {self.decoder!r}; pass encoder=net.encode, decoder=net.decode."
        )

    def _row_ndim(self) -> int:
        """Return the number of axes of one row of the user's data."""
        if isinstance(self.coder_, OwnCoder):
            return len(self.coder_.shape)
        return {"vector": 1, "hw": 2}.get(self.coder_.codec.layout, 3)
