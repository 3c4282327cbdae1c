"""Features of data rows for the evaluation: a small classifier of the labels, trained in the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent.latent.classifier import Classifier, train_classifier
from ot_latent.latent.preprocessing import DataCodec

ROWS = 20_000  # rows that the classifier learns from; more would cost more than they teach
MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class ClassFeatures:
    """A classifier together with the codec of its data.

    Attributes
    ----------
    codec : DataCodec
        Layout, dtype and range of the data.
    model : Classifier
        The trained network; its ``classes`` are the labels.
    """

    codec: DataCodec
    model: Classifier

    @classmethod
    def fit(
        cls,
        codec: DataCodec,
        X: Any,
        labels: np.ndarray,
        *,
        seed: int,
        callback: Callable[[dict[str, Any]], Any],
        device: str = "cpu",
    ) -> ClassFeatures | None:
        """Train a classifier on at most 20,000 rows.

        Parameters
        ----------
        codec : DataCodec
            Codec of the data.
        X : array-like
            Training rows.
        labels : ndarray of shape (n,)
            Their labels.
        seed : int
            Seed of the training.
        callback : callable
            Told of the stage "classifier".
        device : str, default="cpu"
            Where to train.

        Returns
        -------
        ClassFeatures or None
            None where there is only one class, more than 1000, or fewer than five rows a class.
        """
        classes = np.unique(labels)
        if not 2 <= len(classes) <= min(MOST_CLASSES, len(labels) // 5):
            return None
        callback({"stage": "classifier", "progress": 0.0, "state": None})
        chosen = np.arange(len(labels))
        if len(labels) > ROWS:
            chosen = np.sort(generator(seed, Stream.SPLIT, 1).permutation(len(labels))[:ROWS])
        x = codec.encode(np.asarray(X)[chosen]).to(device)
        model = train_classifier(x, labels[chosen], seed=seed)
        callback({"stage": "classifier", "progress": 1.0, "state": None})
        return cls(codec, model)

    def __call__(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return features and class probabilities of rows.

        Parameters
        ----------
        X : array-like
            Rows like those of the fit.

        Returns
        -------
        features : ndarray of shape (n, f)
            Penultimate layer.
        probabilities : ndarray of shape (n, c)
            Class probabilities.
        """
        device = next(self.model.parameters()).device
        features, probabilities = [], []
        with torch.no_grad():
            for part in self.codec.encode(X).split(256):
                part = part.to(device)
                features.append(self.model.features(part).cpu())
                probabilities.append(self.model.probabilities(part).cpu())
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the parameters.

        Returns
        -------
        dict of str to Tensor
            State of the network.
        """
        return self.model.to_tensors()

    def to_config(self) -> dict[str, Any]:
        """Return what builds the network, ready for JSON.

        Returns
        -------
        dict
            Shape, classes, width.
        """
        return self.model.to_config()

    @classmethod
    def from_parts(
        cls, tensors: dict[str, Tensor], config: dict[str, Any], codec: DataCodec, device: str
    ) -> ClassFeatures:
        """Rebuild the classifier.

        Parameters
        ----------
        tensors, config : dict
            As from `to_tensors` and `to_config`.
        codec : DataCodec
            Codec of the data.
        device : str
            Where the network goes.

        Returns
        -------
        ClassFeatures
            The same classifier.
        """
        return cls(codec, Classifier.from_parts(dict(tensors), config).to(device).eval())
