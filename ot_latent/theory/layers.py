"""The parts that a network is read into: affine maps, kinks, maxima, and other functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One step of a network: reads earlier values, yields one value.

    Value 0 is the input of the network, and layer i of `Network.layers` yields value i + 1.
    Values carry a batch axis in front; shapes are told without it.
    """

    name: str
    """Dotted name of the module in the model, or the name of the function at work."""
    inputs: tuple[int, ...]
    """Numbers of the values that it reads."""
    shape: tuple[int, ...]
    """Shape of the value that it yields, without the batch axis."""
    module: nn.Module | None
    """The model's own module (not a copy), where the layer is one."""

    @property
    def size(self) -> int:
        """How many numbers the layer yields per row."""
        return prod(self.shape)

    @property
    def homogeneous(self) -> bool:
        """Whether the layer is free of parameters and commutes with positive factors."""
        return False


@dataclass(frozen=True)
class Affine(Layer):
    """``y = sum_i L_i x_i + b`` over the values it reads; the matrices are never formed unasked."""

    linear: Callable[..., Tensor]
    """The linear part: tensors (n, ...) in, one per value that is read; (n, *shape) out."""
    bias: Tensor
    """What the layer yields for zeros; float64 of shape `shape`."""
    weight: Tensor | None = None
    """The layer's own weights in float64: of a Linear or Conv; of a BatchNorm the folded scale."""

    @property
    def homogeneous(self) -> bool:
        """Whether the layer is free of parameters and commutes with positive factors."""
        return self.weight is None and not bool(self.bias.any())

    def __call__(self, *values: Tensor) -> Tensor:
        """Return the layer's value.

        Parameters
        ----------
        *values : Tensor of shape (n, ...)
            The values that are read.

        Returns
        -------
        Tensor of shape (n, *shape)
            The layer's value.
        """
        return self.linear(*values) + self.bias

    def matrix(self, shape: tuple[int, ...]) -> Tensor:
        """Return the linear part of a layer that reads one value, as a matrix.

        Parameters
        ----------
        shape : tuple of int
            Shape of the value that it reads.

        Returns
        -------
        Tensor of shape (size, prod(shape))
            In float64.
        """
        unit = torch.eye(prod(shape), dtype=torch.float64)
        return self.linear(unit.reshape(-1, *shape)).reshape(len(unit), -1).T


@dataclass(frozen=True)
class Kink(Layer):
    """``y = positive * x`` where x > 0 and ``negative * x`` elsewhere, number by number."""

    negative: Tensor
    """Slope on the left; broadcasts to `shape`. ReLU 0, Abs -1."""
    positive: Tensor
    """Slope on the right; broadcasts to `shape`."""

    @property
    def homogeneous(self) -> bool:
        """Whether the layer is free of parameters and commutes with positive factors."""
        return True

    @property
    def rectifies(self) -> bool:
        """Whether a unit that is switched off is constant: the left slope is 0 everywhere."""
        return not bool(self.negative.any())

    def __call__(self, value: Tensor) -> Tensor:
        """Return the layer's value.

        Parameters
        ----------
        value : Tensor of shape (n, *shape)
            The value that is read.

        Returns
        -------
        Tensor of shape (n, *shape)
            The layer's value.
        """
        return torch.where(value > 0, self.positive * value, self.negative * value)


@dataclass(frozen=True)
class Maximum(Layer):
    """``y_j = max over i in windows[j] of x_i``: max-pooling."""

    windows: Tensor
    """Integers (size, k): places in the flattened value that is read; short windows repeat one."""

    @property
    def homogeneous(self) -> bool:
        """Whether the layer is free of parameters and commutes with positive factors."""
        return True

    def __call__(self, value: Tensor) -> Tensor:
        """Return the layer's value.

        Parameters
        ----------
        value : Tensor of shape (n, ...)
            The value that is read.

        Returns
        -------
        Tensor of shape (n, *shape)
            The layer's value.
        """
        return value.flatten(1)[:, self.windows].amax(-1).reshape(-1, *self.shape)


@dataclass(frozen=True)
class Elementwise(Layer):
    """Another function of one number, applied to each: tanh, GELU, ... Not piecewise linear."""

    function: Callable[[Tensor], Tensor]
    """The function on float64 tensors."""

    @property
    def kind(self) -> str:
        """The name of the function, such as "Tanh" or "gelu"."""
        if self.module is not None:
            return type(self.module).__name__
        return self.name

    def __call__(self, value: Tensor) -> Tensor:
        """Return the layer's value.

        Parameters
        ----------
        value : Tensor of shape (n, *shape)
            The value that is read.

        Returns
        -------
        Tensor of shape (n, *shape)
            The layer's value.
        """
        return self.function(value)


class Builder:
    """Layers under construction, one after the other.

    Parameters
    ----------
    shape : tuple of int
        Shape of the network's input.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.layers: list[Layer] = []
        self.shapes = [tuple(shape)]

    def add(self, layer: Layer) -> int:
        """Append a layer.

        Parameters
        ----------
        layer : Layer
            Reads values that exist already.

        Returns
        -------
        int
            Number of the value that it yields.
        """
        self.layers.append(layer)
        self.shapes.append(layer.shape)
        return len(self.layers)

    def affine(
        self,
        name: str,
        reads: tuple[int, ...],
        linear: Callable[..., Tensor],
        bias: Tensor | None = None,
        *,
        module: nn.Module | None = None,
        weight: Tensor | None = None,
    ) -> int:
        """Append an affine layer; its shape is found by a trial.

        Parameters
        ----------
        name : str
            Name of the module or function.
        reads : tuple of int
            Numbers of the values that it reads.
        linear : callable
            The linear part.
        bias : Tensor, optional
            Default: zeros. Broadcasts to the shape.
        module : torch.nn.Module, optional
            The model's own module.
        weight : Tensor, optional
            The layer's own weights.

        Returns
        -------
        int
            Number of the value that it yields.
        """
        trial = linear(*(torch.zeros(1, *self.shapes[i], dtype=torch.float64) for i in reads))
        shape = tuple(trial.shape[1:])
        full = torch.zeros(shape, dtype=torch.float64)
        full = full if bias is None else full + bias
        return self.add(Affine(name, reads, shape, module, linear, full, weight))

    def kink(
        self,
        name: str,
        read: int,
        negative: float | Tensor,
        positive: float | Tensor = 1.0,
        module: nn.Module | None = None,
    ) -> int:
        """Append a kink.

        Parameters
        ----------
        name : str
            Name of the module or function.
        read : int
            Number of the value that it reads.
        negative, positive : float or Tensor
            Slopes on the left and on the right.
        module : torch.nn.Module, optional
            The model's own module.

        Returns
        -------
        int
            Number of the value that it yields.
        """
        slopes = [torch.as_tensor(s, dtype=torch.float64) for s in (negative, positive)]
        return self.add(Kink(name, (read,), self.shapes[read], module, *slopes))

    def greater(self, name: str, first: int, second: int) -> int:
        """Append the greater of two values, number by number, as a comparison by a rectifier.

        Parameters
        ----------
        name : str
            Name of the module or function.
        first, second : int
            Numbers of the values that are compared.

        Returns
        -------
        int
            Number of the value ``second + relu(first - second)``.
        """
        gap = self.affine(name, (first, second), torch.sub)
        return self.affine(name, (second, self.kink(name, gap, 0.0)), torch.add)

    def comparisons(self, layer: Maximum, read: int) -> int:
        """Append a maximum as comparisons by rectifiers, one contender after the other.

        Parameters
        ----------
        layer : Maximum
            The maximum; its place and what it reads are not used.
        read : int
            Number of the value that it reads.

        Returns
        -------
        int
            Number of the value that equals the maximum.
        """
        best = self.affine(layer.name, (read,), _picking(layer.windows[:, 0]))
        for contender in layer.windows.T[1:]:
            other = self.affine(layer.name, (read,), _picking(contender))
            best = self.greater(layer.name, other, best)
        return self.affine(layer.name, (best,), lambda x: x.reshape(-1, *layer.shape))


def _picking(places: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map that picks places of a flattened value."""
    return lambda x: x.flatten(1)[:, places]
