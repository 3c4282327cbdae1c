"""One reading of PyTorch models for all of the theory: affine maps and the kinks between them."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from ot_latent._random import Stream, generator
from ot_latent.theory.layers import Affine, Builder, Elementwise, Kink, Layer, Maximum
from ot_latent.theory.operations import (
    Rows,
    Value,
    calling,
    method,
    read_function,
    read_module,
    values_in,
)
from ot_latent.theory.running import misfit, row_shape


@dataclass(frozen=True)
class Network:
    """A model as layers in the order in which they can be computed, in float64 on the CPU.

    Value 0 is the input, layer i yields value i + 1, the last layer yields the output. A chain
    reads like a list; a skip connection is an affine layer that reads two values. Obtain one by
    `read_network`.
    """

    layers: tuple[Layer, ...]
    """The layers: `Affine`, `Kink`, `Maximum` and, where they were allowed, `Elementwise`."""
    input_shape: tuple[int, ...]
    """Shape of one row of the input."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all values, without the batch axis."""
        return [self.input_shape, *(layer.shape for layer in self.layers)]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of the output."""
        return self.shapes[-1]

    @property
    def kinks(self) -> list[Kink]:
        """The layers that bend, in order."""
        return [layer for layer in self.layers if isinstance(layer, Kink)]

    @cached_property
    def last_reader(self) -> dict[int, int]:
        """For each value the position of the last layer that reads it."""
        return {v: i for i, layer in enumerate(self.layers) for v in layer.inputs}

    @cached_property
    def elementary(self) -> Network:
        """The same function with every maximum as comparisons by rectifiers.

        Raises
        ------
        ValueError
            If the network has other functions than affine maps, kinks and maxima.
        """
        smooth = [layer for layer in self.layers if isinstance(layer, Elementwise)]
        if smooth:
            raise ValueError(
                f"network must be piecewise linear, got {smooth[0].kind} at "
                f"{smooth[0].name!r}; read the model without `elementwise`."
            )
        if not any(isinstance(layer, Maximum) for layer in self.layers):
            return self
        build, numbers = Builder(self.input_shape), [0]
        for layer in self.layers:
            reads = tuple(numbers[i] for i in layer.inputs)
            if isinstance(layer, Maximum):
                numbers.append(build.comparisons(layer, reads[0]))
            else:
                numbers.append(build.add(replace(layer, inputs=reads)))
        return Network(tuple(build.layers), self.input_shape)

    def __call__(self, x: Any) -> Tensor:
        """Return the network's output in float64.

        Parameters
        ----------
        x : array-like of shape (n, *input_shape)
            Rows.

        Returns
        -------
        Tensor of shape (n, *output_shape)
            The model's output, up to rounding.
        """
        values = {0: torch.as_tensor(x, dtype=torch.float64).detach().cpu()}
        for i, layer in enumerate(self.layers):
            values[i + 1] = layer(*(values[v] for v in layer.inputs))  # type: ignore[operator]
            for v in set(layer.inputs):
                if self.last_reader[v] == i:
                    del values[v]
        return values[len(self.layers)]

    @cached_property
    def is_chain(self) -> bool:
        """Whether every layer reads the value before it and no other."""
        return all(layer.inputs == (i,) for i, layer in enumerate(self.layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of the input, of each layer of units (maxima: their comparisons), of the output."""
        units = (kink.size for kink in self.elementary.kinks)
        return (prod(self.input_shape), *units, prod(self.output_shape))

    def matrices(self, limit: int = 2**26) -> list[tuple[Tensor, Tensor]]:
        """Return a chain as matrices and biases: all affine layers between two kinks become one.

        Parameters
        ----------
        limit : int, default=2**26
            Largest number of entries of a matrix; convolutions of whole images exceed it.

        Returns
        -------
        list of (Tensor, Tensor)
            (out, in) and (out,) in float64, one pair before each kink and one after the last.

        Raises
        ------
        ValueError
            If the network is no chain of affine maps and kinks, or a matrix would be too large.
        """
        network = self.elementary
        if not network.is_chain:
            raise ValueError(
                "network must be a chain to be read as matrices, got layers that read several "
                "values; use its layers instead."
            )
        pairs: list[tuple[Tensor, Tensor]] = []
        size, rows, run = prod(self.input_shape), self.input_shape, []
        for layer in [*network.layers, None]:
            if isinstance(layer, Affine):
                run.append(layer)
                continue
            out = run[-1].size if run else prod(rows)
            if size * out > limit:
                raise ValueError(
                    f"network must be small to be read as matrices, got one of {out} x {size} "
                    f"entries; use its layers, or raise the limit of {limit}."
                )
            pairs.append(_composed(run, rows))
            if layer is not None:
                size, rows, run = layer.size, layer.shape, []
        return pairs


def _composed(run: Sequence[Affine], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the matrix and the bias of affine layers one after the other."""
    unit = torch.eye(prod(shape), dtype=torch.float64).reshape(-1, *shape)
    bias = torch.zeros(1, *shape, dtype=torch.float64)
    for layer in run:
        unit, bias = layer.linear(unit), layer(bias)
    return unit.flatten(1).T, bias.flatten()


def read_network(
    model: nn.Module,
    shape: Sequence[int] | None = None,
    *,
    cut_output: bool = False,
    elementwise: bool = False,
) -> Network:
    """Read a PyTorch model as affine maps and the kinks between them.

    Read are: Linear, Conv, ConvTranspose, BatchNorm in evaluation, average and max pooling,
    nearest and linear Upsample, padding, Flatten, Unflatten, PixelShuffle, Dropout in evaluation,
    ReLU, LeakyReLU, PReLU, Abs (``torch.abs``), Hardtanh, ReLU6; sums, skip connections,
    concatenations, slices, reshapes and products with constants in a ``forward`` that torch.fx can
    trace. The reading is compared with the model on random rows before it is returned.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is; it is copied to float64 and read in evaluation mode.
    shape : sequence of int, optional
        Shape of one row of the input. Default: taken from the first layer, if that is Linear.
    cut_output : bool, default=False
        Leave out a Sigmoid, Tanh or other function of one number at the very end.
    elementwise : bool, default=False
        Keep functions that are not piecewise linear (tanh, GELU, ...) as `Elementwise` layers
        instead of refusing them.

    Returns
    -------
    Network
        The layers.

    Raises
    ------
    TypeError
        If `model` is not a module.
    ValueError
        If a layer cannot be read (it is named), the model cannot be traced or does not take rows
        of this shape, or rows influence one another.

    Examples
    --------
    >>> net = read_network(nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)))
    >>> net.widths, [type(layer).__name__ for layer in net.layers]
    ((2, 5, 1), ['Affine', 'Kink', 'Affine'])
    >>> read_network(nn.Sequential(nn.Linear(2, 5), nn.GELU(), nn.Linear(5, 1)))
    Traceback (most recent call last):
        ...
    ValueError: model must consist of affine maps and piecewise-linear activations, got GELU at '1'; use ReLU, LeakyReLU or Abs, and BatchNorm as the only norm.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__}; pass the network itself."
        )
    rows = row_shape(model, shape)
    model = nn.Sequential(model) if _own(model) else model
    twin = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    try:
        network = _Reading(model, twin, rows).network()
    except RuntimeError as error:  # a layer of PyTorch's got rows of another size
        raise misfit(rows, error) from error
    _check(network, twin)
    if cut_output and network.layers and isinstance(network.layers[-1], Elementwise):
        network = replace(network, layers=network.layers[:-1])
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Elementwise) and not elementwise:
            raise _unreadable(layer.kind, layer.name, last=i == len(network.layers) - 1)
    return network


def _unreadable(kind: str, name: str, last: bool = False) -> ValueError:
    """Return the refusal of a layer."""
    advice = "use ReLU, LeakyReLU or Abs, and BatchNorm as the only norm"
    advice = "pass cut_output=True to read the model up to it" if last else advice
    return ValueError(
        "model must consist of affine maps and piecewise-linear activations, got "
        f"{kind} at {name!r}; {advice}."
    )


@torch.no_grad()
def _check(network: Network, twin: nn.Module) -> None:
    """Compare with the model on random rows, all at once and one by one."""
    draws = generator(0, Stream.EVALUATION, 0).standard_normal((3, *network.input_shape))
    x = torch.from_numpy(draws)
    expected, got = twin(x), network(x)
    alone = torch.cat([twin(row[None]) for row in x])
    scale = 1.0 + float(expected.abs().max())
    if float((alone - expected).abs().max()) > 1e-9 * scale:
        raise ValueError(
            "model must treat each row by itself, got other values for a row alone than among "
            "others; replace what mixes rows, such as a norm over the batch."
        )
    if got.shape != expected.shape or float((got - expected).abs().max()) > 1e-9 * scale:
        raise ValueError(
            "model must be a fixed function of its input, got other values from its layers than "
            "from itself; remove hooks and branches from its forward."
        )


def _own(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's own layers, parametrised or not."""
    kind = type(module).__mro__[1] if hasattr(module, "parametrizations") else type(module)
    own = kind.__module__.startswith("torch.nn")
    return own and not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)


class _Tracer(fx.Tracer):
    """Traces down to PyTorch's own modules and leaves every other module open."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one of PyTorch's own layers, parametrised or not."""
        return _own(m)


class _Reading:
    """One pass over the traced graph of a model, which builds the layers."""

    def __init__(self, model: nn.Module, twin: nn.Module, shape: tuple[int, ...]) -> None:
        self.model, self.twin, self.build = model, twin, Builder(shape)
        self.values: dict[fx.Node, Any] = {}

    def network(self) -> Network:
        """Return the network that ends in what the model returns."""
        *nodes, last = self._graph().nodes
        needed = {last}
        for node in reversed(nodes):
            needed |= {node} if needed.intersection(node.users) else set()
        for node in nodes:
            if node in needed:
                self.values[node] = self._read(node)
        end = self._look_up(last.args[0])
        if not isinstance(end, Value):
            raise ValueError(
                f"model must return one tensor, got {type(end).__name__}; pass the part of it "
                "that does, such as its encoder or its decoder."
            )
        return Network(tuple(self.build.layers[: end.number]), self.build.shapes[0])

    def _graph(self) -> fx.Graph:
        """Trace the model with its further arguments at their defaults."""
        parameters = list(inspect.signature(self.twin.forward).parameters.values())
        fixed = {p.name: p.default for p in parameters[1:] if p.default is not p.empty}
        try:
            return _Tracer().trace(self.twin, concrete_args=fixed or None)
        except (fx.proxy.TraceError, TypeError, NotImplementedError, RuntimeError) as error:
            raise ValueError(
                f"model must be traceable by torch.fx, got {type(error).__name__} ({str(error).rstrip('.')}); write its forward without "
                "branches on values, or pass its parts."
            ) from error

    def _look_up(self, argument: Any) -> Any:
        """Return an argument with values and constants in place of nodes."""
        return fx.node.map_arg(argument, lambda node: self.values[node])

    def _read(self, node: fx.Node) -> Any:
        """Return the value or the constant of one node."""
        if node.op == "placeholder":
            return self._input(node)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.twin).detach()
        args, kwargs = self._look_up(node.args), self._look_up(dict(node.kwargs))
        if node.op == "call_module":
            return self._module(str(node.target), args)
        if node.op == "call_method":
            return self._function(node, method(str(node.target)), args, kwargs)
        return self._function(node, node.target, args, kwargs)

    def _input(self, node: fx.Node) -> Any:
        """Return the value of the input; further arguments keep their defaults."""
        if any(isinstance(v, Value) for v in self.values.values()):
            return node.args[0] if node.args else None
        return Value(0, self.build.shapes[0])

    def _module(self, name: str, args: tuple) -> Value:
        """Read one of PyTorch's own modules."""
        own, twin = self.model.get_submodule(name), self.twin.get_submodule(name)
        single = len(args) == 1 and isinstance(args[0], Value)
        number = read_module(self.build, name, own, twin, args[0].number) if single else -1
        if number < 0:
            raise _unreadable(type(own).__name__, name)
        return Value(number, self.build.shapes[number])

    def _function(self, node: fx.Node, function: Any, args: tuple, kwargs: dict) -> Any:
        """Read a function or a method: of values, of their shapes, or of constants."""
        if not values_in((args, kwargs)):
            return calling(function, args, kwargs)(torch.zeros(1))
        if function in (getattr, Tensor.size) or node.target == "size":
            return _shape_of(args)
        number = (
            -1 if function is None else read_function(self.build, node.name, function, args, kwargs)
        )
        if number < 0:
            raise _unreadable(str(getattr(node.target, "__name__", node.target)), node.name)
        return Value(number, self.build.shapes[number])


def _shape_of(args: tuple) -> Any:
    """Return the shape of a value, or one entry of it, with `Rows` for the batch axis."""
    sizes = (Rows(), *args[0].shape)
    return sizes[args[1]] if len(args) > 1 and isinstance(args[1], int) else sizes
