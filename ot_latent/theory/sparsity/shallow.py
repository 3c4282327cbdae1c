"""Networks with one hidden layer of ReLU and an affine skip, as plain arrays: what the theory is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator
from ot_latent._validation import check_array
from ot_latent.theory.layers import Affine, Kink
from ot_latent.theory.networks import Network, read_network


@dataclass(frozen=True)
class ShallowNetwork:
    """``f(x) = sum_k v_k max(<w_k, x> + b_k, 0) + C x + c`` in float64.

    The sign of the bias is PyTorch's; the papers write ``<w, x> - b``.

    Attributes
    ----------
    incoming : ndarray of shape (K, d)
        Input vectors w_k, one per row.
    bias : ndarray of shape (K,)
        Biases b_k.
    outgoing : ndarray of shape (K, D)
        Output vectors v_k, one per row.
    skip : ndarray of shape (D, d)
        Linear part C of the skip connection.
    offset : ndarray of shape (D,)
        Constant c.

    Examples
    --------
    >>> tent = ShallowNetwork.build([[1.0], [1.0]], [0.0, -1.0], [[1.0], [-2.0]])
    >>> tent(np.array([[0.0], [1.0], [2.0]])).ravel().tolist()
    [0.0, 1.0, 0.0]
    """

    incoming: np.ndarray
    bias: np.ndarray
    outgoing: np.ndarray
    skip: np.ndarray
    offset: np.ndarray

    @classmethod
    def build(
        cls, incoming: Any, bias: Any, outgoing: Any, skip: Any = None, offset: Any = None
    ) -> ShallowNetwork:
        """Check arrays and make a network of them.

        Parameters
        ----------
        incoming : array-like of shape (K, d)
            Input vectors, one per row.
        bias : array-like of shape (K,)
            Biases.
        outgoing : array-like of shape (K, D)
            Output vectors, one per row.
        skip : array-like of shape (D, d), optional
            Linear part of the skip connection (default: none).
        offset : array-like of shape (D,), optional
            Constant (default: zero).

        Returns
        -------
        ShallowNetwork
            The network.

        Raises
        ------
        DataError
            If an array is not finite or has another rank.
        ValueError
            If the shapes do not fit together.
        """
        w = check_array(incoming, "incoming", ndim=2, min_rows=0 if len(incoming) == 0 else 1)
        v = check_array(outgoing, "outgoing", ndim=2)
        b = check_array(bias, "bias", ndim=1)
        c = np.zeros((v.shape[1], w.shape[1])) if skip is None else check_array(skip, "skip")
        o = np.zeros(v.shape[1]) if offset is None else check_array(offset, "offset")
        wanted = ((len(w),), (len(w), v.shape[1]), (v.shape[1], w.shape[1]), (v.shape[1],))
        got = (b.shape, v.shape, c.shape, o.shape)
        if got != wanted:
            raise ValueError(
                f"bias, outgoing, skip and offset must have the shapes {wanted} that fit "
                f"incoming, got {got}; put one neuron in each row."
            )
        return cls(*(np.array(a, dtype=np.float64) for a in (w, b, v, c, o)))

    @classmethod
    def from_module(cls, model: nn.Module, shape: Sequence[int] | None = None) -> ShallowNetwork:
        """Read a model with one layer of kinks, whatever is affine before, after and beside it.

        Slopes n and p of a kink (leaky ReLU, absolute value) are read as
        ``n z + (p - n) max(z, 0)``, the linear part as skip.

        Parameters
        ----------
        model : torch.nn.Module
            A model that `ot_latent.theory.networks.read_network` reads.
        shape : sequence of int, optional
            Shape of one row of the input. Default: taken from the first layer, if that is Linear.

        Returns
        -------
        ShallowNetwork
            The same function, of flattened rows.

        Raises
        ------
        ValueError
            If the model has not exactly one layer of kinks.
        """
        network = read_network(model, shape).elementary
        if len(network.kinks) != 1:
            raise ValueError(
                f"model must have one layer of kinks, got {len(network.kinks)}; measure deeper "
                "networks block by block with path_norm."
            )
        kink = network.kinks[0]
        inputs = torch.eye(prod(network.input_shape), dtype=torch.float64)
        hidden = torch.eye(kink.size, dtype=torch.float64)
        b, c = _replaced(network, inputs[:1] * 0, hidden[:1] * 0)
        w, skip = _replaced(network, inputs, torch.zeros(len(inputs), kink.size).double())
        v = _replaced(network, torch.zeros(kink.size, len(inputs)).double(), hidden)[1] - c
        w, skip = w - b, skip - c
        n, p = (
            np.broadcast_to(s.numpy(), kink.shape).ravel() for s in (kink.negative, kink.positive)
        )
        return cls(
            w.T,
            b[0],
            (p - n)[:, None] * v,
            skip.T + v.T @ (n[:, None] * w.T),
            c[0] + (n * b[0]) @ v,
        )

    def __call__(self, x: Any) -> np.ndarray:
        """Return the values at points.

        Parameters
        ----------
        x : array-like of shape (n, d)
            Points.

        Returns
        -------
        ndarray of shape (n, D)
            Values.
        """
        points = check_array(x, "x", ndim=2).astype(np.float64)
        return self.features(points) @ self.outgoing + points @ self.skip.T + self.offset

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the hidden layer at points.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            Points.

        Returns
        -------
        ndarray of shape (n, K)
            ``max(<w_k, x> + b_k, 0)``.
        """
        return np.maximum(x @ self.incoming.T + self.bias, 0.0)

    @property
    def neurons(self) -> int:
        """Number of neurons whose input and output vectors are not zero."""
        return int(np.count_nonzero(self.unit_norms()))

    def unit_norms(self, out_norm: int = 2) -> np.ndarray:
        """Return ``|w_k|_2 |v_k|`` of every neuron.

        Parameters
        ----------
        out_norm : {1, 2}, default=2
            Norm of the output vectors.

        Returns
        -------
        ndarray of shape (K,)
            The products, whose sum is the path norm.
        """
        lengths = np.linalg.norm(self.outgoing, ord=out_norm, axis=1)
        return np.linalg.norm(self.incoming, axis=1) * lengths

    def to_module(self, *, dtype: torch.dtype = torch.float64) -> SkipNetwork:
        """Return the network as a PyTorch model, units balanced.

        Parameters
        ----------
        dtype : torch.dtype, default=torch.float64
            Precision of the parameters.

        Returns
        -------
        SkipNetwork
            The model.
        """
        w, v = (np.linalg.norm(a, axis=1) for a in (self.incoming, self.outgoing))
        alive = (w > 0) & (v > 0)
        ratio = np.sqrt(np.where(alive, v, 1.0) / np.where(alive, w, 1.0))[:, None]
        model = SkipNetwork(self.skip.shape[1], len(self.bias), len(self.offset)).to(dtype)
        hidden, out = model.curved[0], model.curved[2]
        filled = (
            (hidden.weight, self.incoming * ratio),
            (hidden.bias, self.bias * ratio[:, 0]),
            (out.weight, (self.outgoing / ratio).T),
            (out.bias, np.zeros_like(self.offset)),
            (model.straight.weight, self.skip),
            (model.straight.bias, self.offset),
        )
        _fill(filled)
        return model


class SkipNetwork(nn.Module):
    """One hidden layer of ReLU beside an affine skip connection: the form of the theory's solutions.

    Starts with unit input vectors in random directions, biases in [-1, 1], output vectors of size
    1 / hidden and no skip.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Sizes.
    seed : int, default=0
        Seed of the initial parameters.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, seed: int = 0) -> None:
        super().__init__()
        with torch.device("meta"):  # no draw from the global generator
            layers = nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
            straight = nn.Linear(inputs, outputs)
        self.curved = nn.Sequential(*layers).to_empty(device="cpu")
        self.straight = straight.to_empty(device="cpu")
        rng = generator(seed, Stream.INITIALISATION, 0)
        w = rng.standard_normal((hidden, inputs))
        start = (
            (layers[0].weight, w / np.linalg.norm(w, axis=1, keepdims=True)),
            (layers[0].bias, rng.uniform(-1, 1, hidden)),
            (layers[2].weight, rng.standard_normal((outputs, hidden)) / hidden),
            (layers[2].bias, np.zeros(outputs)),
            (straight.weight, np.zeros((outputs, inputs))),
            (straight.bias, np.zeros(outputs)),
        )
        _fill(start)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values.

        Parameters
        ----------
        x : Tensor of shape (n, inputs)
            Points.

        Returns
        -------
        Tensor of shape (n, outputs)
            Values.
        """
        return self.curved(x) + self.straight(x)


@torch.no_grad()
def _fill(pairs: Iterable[tuple[Any, np.ndarray]]) -> None:
    """Copy arrays into parameters."""
    for parameter, values in pairs:
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def as_shallow(network: nn.Module | ShallowNetwork) -> ShallowNetwork:
    """Return a shallow network as arrays.

    Parameters
    ----------
    network : torch.nn.Module or ShallowNetwork
        A model is read by `ShallowNetwork.from_module`.

    Returns
    -------
    ShallowNetwork
        The arrays.
    """
    if isinstance(network, ShallowNetwork):
        return network
    return ShallowNetwork.from_module(network)


def _replaced(network: Network, x: Tensor, hidden: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return what goes into the kink at x, and what comes out at x if the kink yields `hidden`."""
    values, before = {0: x.reshape(-1, *network.input_shape)}, x
    for i, layer in enumerate(network.layers):
        read = [values[v] for v in layer.inputs]
        if isinstance(layer, Kink):
            before, values[i + 1] = read[0], hidden.reshape(-1, *layer.shape)
        else:
            values[i + 1] = cast(Affine, layer)(*read)
    return before.flatten(1).numpy(), values[len(network.layers)].flatten(1).numpy()
