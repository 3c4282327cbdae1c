"""A small classifier whose penultimate layer serves as a feature space."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_positive, check_same_length
from ot_latent.latent.layers import Patches, Residual, in_blocks, linear, norm, pyramid, seeded
from ot_latent.latent.threads import threads_for

SALT = 1
FEATURES = 64
PEAK_LR = 3e-3
SMOOTHING = 0.05


class Classifier(nn.Module):
    """Convolutions (images) or dense layers (vectors), one hidden layer of features, logits.

    Parameters
    ----------
    shape : tuple of int
        (c, h, w) or (features,).
    classes : tuple
        Label of every output.
    width : int, default=32
        Channels of the first level.

    Attributes
    ----------
    shape, classes, width
        As given.
    """

    def __init__(self, shape: tuple[int, ...], classes: tuple[Any, ...], width: int = 32) -> None:
        super().__init__()
        self.shape, self.classes, self.width = tuple(shape), tuple(classes), width
        self.body = (
            _image_body(cast(tuple[int, int, int], self.shape), width)
            if len(shape) == 3
            else _vector_body(self.shape[0], 4 * width)
        )
        self.head = linear(FEATURES, len(classes), gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits with gradients.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Encoded rows.

        Returns
        -------
        Tensor of shape (n, classes)
            Logits.
        """
        return self.head(self.body(x))

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate layer.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Encoded rows (see `DataCodec.encode`).

        Returns
        -------
        Tensor of shape (n, 64)
            Features, without gradients.
        """
        return in_blocks(self.body, x)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Encoded rows.

        Returns
        -------
        Tensor of shape (n, classes)
            Logits, without gradients.
        """
        return in_blocks(self, x)

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the class probabilities.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Encoded rows.

        Returns
        -------
        Tensor of shape (n, classes)
            Rows sum to one.
        """
        return self.logits(x).softmax(1)

    def predict(self, x: Tensor) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Encoded rows.

        Returns
        -------
        numpy.ndarray of shape (n,)
            Labels as they were given to `train_classifier`.
        """
        return np.asarray(self.classes)[self.logits(x).argmax(1).cpu().numpy()]

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the parameters on the CPU.

        Returns
        -------
        dict of Tensor
            State of the module.
        """
        return {k: v.detach().to("cpu", copy=True) for k, v in self.state_dict().items()}

    def to_config(self) -> dict[str, Any]:
        """Return what is needed besides the parameters, as JSON can hold it.

        Returns
        -------
        dict
            Keys shape, classes, width.
        """
        return {"shape": list(self.shape), "classes": list(self.classes), "width": self.width}

    @classmethod
    def from_parts(cls, tensors: dict[str, Tensor], config: dict[str, Any]) -> Classifier:
        """Put a saved classifier together again.

        Parameters
        ----------
        tensors : dict of Tensor
            Output of `to_tensors`.
        config : dict
            Output of `to_config`.

        Returns
        -------
        Classifier
            On the CPU, ready to use.
        """
        model = _build(tuple(config["shape"]), tuple(config["classes"]), config["width"], 0)
        model.load_state_dict(tensors)
        return model.eval()


def train_classifier(
    x: Tensor, y: Any, *, seed: int, epochs: int | None = None, width: int = 32
) -> Classifier:
    """Train a classifier by AdamW with one cycle of the learning rate.

    Cross-entropy with a little label smoothing; the order of the rows and the parameters are
    functions of the seed.

    Parameters
    ----------
    x : Tensor of shape (n, *shape)
        Encoded rows, on the device where the training shall run.
    y : array-like of shape (n,)
        Labels: at least two different ones.
    seed : int
        Non-negative seed.
    epochs : int, optional
        Passes over the data; default: about 60,000 + 3 n rows in all, at most 20 passes.
    width : int, default=32
        Channels of the first level.

    Returns
    -------
    Classifier
        On the device of `x`.

    Raises
    ------
    DataError
        If the labels are fewer than two, or not one per row.
    ValueError
        If `epochs` is not a positive integer.

    Examples
    --------
    >>> x = torch.cat([torch.zeros(20, 2), torch.ones(20, 2)])
    >>> net = train_classifier(x, ["a"] * 20 + ["b"] * 20, seed=0, epochs=20)
    >>> [str(label) for label in net.predict(x[[0, -1]])]
    ['a', 'b']
    """
    labels = np.asarray(y)
    check_same_length(x, labels, ("x", "y"))
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"y must hold at least two different labels, got {len(classes)}; a classifier "
            "needs something to tell apart."
        )
    if epochs is None:
        epochs = min(20, max(3, round((60_000 + 3 * len(x)) / len(x))))
    check_positive(epochs, "epochs", integer=True)
    model = _build(tuple(x.shape[1:]), tuple(classes.tolist()), width, seed).to(x.device)
    with threads_for(model.shape):
        _fit(model, x, torch.from_numpy(index.reshape(-1)).to(x.device), seed, epochs)
    return model.eval()


def _fit(model: Classifier, x: Tensor, target: Tensor, seed: int, epochs: int) -> None:
    """Run the epochs."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=1e-2)
    steps = -(-len(x) // (64 if len(x) >= 4_000 else 32))
    for epoch in range(epochs):
        # block numbers from 2^31 on: never the order of an autoencoder's epoch
        order = generator(seed, Stream.TRAINING_ORDER, 2**31 + epoch).permutation(len(x))
        for step, rows in enumerate(np.array_split(order, steps)):
            share = (epoch * steps + step + 0.5) / (epochs * steps)
            rate = share / 0.2 if share < 0.2 else math.cos((share - 0.2) / 0.8 * math.pi / 2) ** 2
            optimizer.param_groups[0]["lr"] = PEAK_LR * rate
            batch = torch.from_numpy(rows).to(x.device)
            loss = nn.functional.cross_entropy(
                model(x[batch]), target[batch], label_smoothing=SMOOTHING
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()


def _build(shape: tuple[int, ...], classes: tuple[Any, ...], width: int, seed: int) -> Classifier:
    """Return an untrained classifier."""
    return cast(Classifier, seeded(lambda: Classifier(shape, classes, width), seed, SALT))


def _image_body(shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """Patches, two levels with a residual block each, mean over the map, features."""
    side, sizes = pyramid(shape)
    parts: list[nn.Module] = [
        Patches(shape, side),
        nn.Conv2d(shape[0] * side**2, width, 3, padding=1),
    ]
    channels = width
    for _ in range(max(1, len(sizes) - 2)):
        parts += [norm(channels), nn.SiLU(), nn.Conv2d(channels, 2 * width, 3, 2, 1)]
        channels = 2 * width
    parts += [Residual(channels), norm(channels), nn.SiLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*parts, linear(16 * channels, FEATURES), nn.SiLU())


def _vector_body(values: int, hidden: int) -> nn.Sequential:
    """Two hidden layers, then features."""
    return nn.Sequential(
        linear(values, hidden),
        nn.SiLU(),
        linear(hidden, hidden),
        nn.LayerNorm(hidden),
        nn.SiLU(),
        linear(hidden, FEATURES),
        nn.SiLU(),
    )
