"""Push affine functions of a few parameters through a network, splitting their domain at kinks.

On a convex piece of the parameter space every value of the network is an affine function
``z(t) = A t + c``; affine layers act on (A, c) row by row, so that convolutions stay convolutions,
and a kink splits the piece along the lines ``z_i(t) = 0``. How pieces are kept and split is the
business of a `Domain`: intervals, polygons, polytopes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent.theory.layers import Affine, Layer
from ot_latent.theory.networks import Network, read_network

ROUNDING = 64 * np.finfo(np.float64).eps
"""A value below this share of the terms that it is the sum of counts as zero."""

BUDGET = 2**23
"""Numbers held per value at once; more pieces are pushed on in groups, depth first."""


class Domain(ABC):
    """Convex pieces of a parameter space that can be split."""

    units_at_once = 0
    """How many units cut before the pieces are counted again; 0 for a whole layer."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pieces."""

    @abstractmethod
    def split(self, z: np.ndarray) -> tuple[Domain, np.ndarray, np.ndarray]:
        """Cut every piece by the zeros of its affine functions.

        Parameters
        ----------
        z : numpy.ndarray of shape (pieces, p + 1, units)
            Coefficients of the p parameters, then the constant.

        Returns
        -------
        domain : Domain
            The new pieces; those of one old piece stay together.
        parents : numpy.ndarray of shape (new pieces,)
            Number of the old piece.
        positive : numpy.ndarray of shape (new pieces, units)
            Whether the function is positive on the new piece; one that vanishes there is not.
        """

    @abstractmethod
    def take(self, start: int, stop: int) -> Domain:
        """Return some of the pieces.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Domain
            The pieces.
        """

    def apply(self, layer: Affine, inputs: list[Tensor]) -> Tensor:
        """Return an affine layer of affine functions.

        Parameters
        ----------
        layer : Affine
            The layer.
        inputs : list of Tensor of shape (pieces, p + 1, ...)
            Coefficients of what it reads.

        Returns
        -------
        Tensor of shape (pieces, p + 1, *shape)
            Coefficients of what it yields.
        """
        rows = inputs[0].shape[:2]
        out = layer.linear(*(x.flatten(0, 1) for x in inputs)).reshape(*rows, *layer.shape)
        if bool(layer.bias.any()):
            out = out.clone() if out.data_ptr() == inputs[0].data_ptr() else out
            out[:, -1] += layer.bias
        return out


@dataclass
class Front:
    """Pieces on their way through a network."""

    domain: Any
    """The pieces."""
    values: dict[int, Tensor]
    """For each value that is still needed its coefficients: (pieces, p + 1, *shape)."""
    patterns: list[Tensor]
    """For each kink so far which units are positive: (pieces, units)."""
    signs: list[Tensor]
    """The same for the units of the present kink that were cut already."""

    def take(self, start: int, stop: int) -> Front:
        """Return some of the pieces.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Front
            The pieces with what belongs to them.
        """
        values = {number: value[start:stop] for number, value in self.values.items()}
        patterns = [pattern[start:stop] for pattern in self.patterns]
        signs = [sign[start:stop] for sign in self.signs]
        return Front(self.domain.take(start, stop), values, patterns, signs)


def as_network(model: nn.Module | Network, size: int | None = None) -> Network:
    """Return a model read as affine maps and kinks, maxima as comparisons.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A model whose first layer is Linear or that takes flat rows; or what `read_network` gave.
    size : int, optional
        How many numbers the points that go in have.

    Returns
    -------
    Network
        The elementary network.

    Raises
    ------
    ValueError
        If the points do not fit the network.
    """
    network = model if isinstance(model, Network) else read_network(model)
    expected = int(np.prod(network.input_shape, dtype=int))
    if size is not None and size != expected:
        raise ValueError(
            f"points must have {expected} coordinates for this network, got {size}; pass points "
            "of its input space, flattened."
        )
    return network.elementary


def push(network: Network, domain: Any, start: Tensor, group: int | None = None) -> Iterator[Front]:
    """Push pieces through a network and yield them, group by group, at its end.

    Parameters
    ----------
    network : Network
        Affine layers and kinks only.
    domain : Domain
        The pieces at the start.
    start : Tensor of shape (pieces, p + 1, *input_shape)
        The input as an affine function of the parameters on each piece.
    group : int, optional
        Largest number of pieces pushed at once. Default: by memory.

    Yields
    ------
    Front
        Pieces at the output, in the order of the domain.
    """
    widest = max(layer.size for layer in network.layers) if network.layers else 1
    group = group or max(1, BUDGET // (widest * start.shape[1]))
    yield from _advance(network, 0, 0, Front(domain, {0: start}, [], []), group)


def _advance(network: Network, at: int, unit: int, front: Front, group: int) -> Iterator[Front]:
    """Carry a front from a unit of a layer to the end; one that grew too large goes on in groups."""
    if len(front.domain) > group:
        for first in range(0, len(front.domain), group):
            part = front.take(first, min(first + group, len(front.domain)))
            yield from _advance(network, at, unit, part, group)
        return
    while at < len(network.layers):
        layer = network.layers[at]
        if isinstance(layer, Affine):
            front.values[at + 1] = front.domain.apply(
                layer, [front.values[v] for v in layer.inputs]
            )
            _forget(network, front, at, layer)
            at += 1
            continue
        stop = min(layer.size, unit + (front.domain.units_at_once or layer.size))
        front = _cut(front, layer, unit, stop)
        unit = stop
        if stop == layer.size:
            _bend(network, front, at, layer)
            at, unit = at + 1, 0
        if len(front.domain) > group:
            yield from _advance(network, at, unit, front, group)
            return
    yield front


def _cut(front: Front, layer: Layer, first: int, stop: int) -> Front:
    """Split the pieces of a front by some units of a kink."""
    z = front.values[layer.inputs[0]].flatten(2)[..., first:stop].numpy()
    domain, parents, positive = front.domain.split(z)
    signs = torch.from_numpy(positive)
    if len(parents) == len(front.domain):
        return Front(domain, dict(front.values), front.patterns, [*front.signs, signs])
    index = torch.from_numpy(parents)
    values = {number: value[index] for number, value in front.values.items()}
    patterns = [pattern[index] for pattern in front.patterns]
    return Front(domain, values, patterns, [*(s[index] for s in front.signs), signs])


def _bend(network: Network, front: Front, i: int, layer: Any) -> None:
    """Apply a kink whose units have all been cut."""
    on = front.signs[0] if len(front.signs) == 1 else torch.cat(front.signs, dim=1)
    shaped = on.reshape(len(on), 1, *layer.shape)
    slopes = torch.where(shaped, layer.positive, layer.negative)
    front.values[i + 1] = front.values[layer.inputs[0]] * slopes
    front.patterns, front.signs = [*front.patterns, on], []
    _forget(network, front, i, layer)


def _forget(network: Network, front: Front, i: int, layer: Layer) -> None:
    """Drop the values that no later layer reads."""
    for v in set(layer.inputs):
        if network.last_reader[v] == i:
            del front.values[v]
