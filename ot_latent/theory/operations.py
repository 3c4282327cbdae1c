"""Which PyTorch modules and functions are affine, which bend or compare, and which cannot be read."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ot_latent.theory.convolutions import linear_part
from ot_latent.theory.layers import Builder, Elementwise, Maximum
from ot_latent.theory.pooling import ADAPTIVE_MAX_POOLS, MAX_POOLS, pooling_windows

F = nn.functional

WEIGHTED: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHTED += (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Affine modules with a weight and an optional bias."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

PLAIN: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
)
PLAIN += (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
PLAIN += (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.ChannelShuffle)
PLAIN += (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
PLAIN += (nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d)
PLAIN += (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d)
PLAIN += (nn.CircularPad1d, nn.CircularPad2d)
"""Affine modules without parameters (dropout as it is in evaluation)."""

SMOOTH: tuple[type[nn.Module], ...] = (
    nn.Sigmoid,
    nn.Tanh,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.Softplus,
    nn.Mish,
)
SMOOTH += (nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Hardswish)
"""Functions of one number that are not piecewise linear."""

SMOOTH_FUNCTIONS = {torch.sigmoid, torch.tanh, F.sigmoid, F.tanh, F.gelu, F.silu, F.elu, F.selu}
SMOOTH_FUNCTIONS |= {F.celu, F.softplus, F.mish, F.softsign, F.logsigmoid, F.hardswish}
SMOOTH_FUNCTIONS |= {torch.exp, torch.sin, torch.cos, torch.square}

SHAPING: set[Callable[..., Any]] = {torch.flatten, torch.reshape, torch.permute, torch.transpose}
SHAPING |= {torch.squeeze, torch.unsqueeze, torch.unflatten, torch.clone, torch.cat, torch.stack}
SHAPING |= {torch.concat, torch.movedim, F.pad, F.pixel_shuffle, F.pixel_unshuffle, F.interpolate}
SHAPING |= {F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.dropout}
SHAPING |= {torch.neg, operator.neg, torch.mean, torch.sum, operator.getitem, torch.detach}
SHAPING |= {Tensor.view, Tensor.contiguous}
"""Affine functions of their tensors whatever their other arguments."""

SUMS = {torch.add, torch.sub, operator.add, operator.sub, operator.iadd, operator.isub}
SCALINGS = {torch.mul, operator.mul, operator.imul, torch.matmul, operator.matmul}
QUOTIENTS = {torch.div, torch.true_divide, operator.truediv}
WEIGHTED_FUNCTIONS = {F.linear, F.conv1d, F.conv2d, F.conv_transpose1d, F.conv_transpose2d}
RECTIFIERS = {torch.relu, F.relu, torch.relu_}
ABSOLUTES = {torch.abs, operator.abs, abs}
METHODS: dict[str, Callable[..., Any]] = {"view": Tensor.view, "contiguous": Tensor.contiguous}


def method(name: str) -> Callable[..., Any] | None:
    """Return the function that a method of tensors stands for.

    Parameters
    ----------
    name : str
        Name of the method.

    Returns
    -------
    callable or None
        None where it is not known.
    """
    return METHODS.get(name, getattr(torch, name, None))


def read_module(build: Builder, name: str, module: nn.Module, twin: Any, at: int) -> int:
    """Append what a module does.

    Parameters
    ----------
    build : Builder
        The layers so far.
    name : str
        Dotted name of the module.
    module : torch.nn.Module
        The model's own module, to be remembered.
    twin : torch.nn.Module
        Its copy in float64 and in evaluation mode.
    at : int
        Number of the value that it reads.

    Returns
    -------
    int
        Number of the value that it yields, or -1 if the module cannot be read.
    """
    zeros = torch.zeros(1, *build.shapes[at], dtype=torch.float64)
    if isinstance(twin, WEIGHTED):
        weight: Any = twin.weight.detach()  # type: ignore[operator]
        bias = None if twin.bias is None else twin(zeros)[0].detach()
        linear = linear_part(twin)
        return build.affine(name, (at,), linear, bias, module=module, weight=weight)
    if isinstance(twin, BATCH_NORMS):
        return _batch_norm(build, name, module, twin, at)
    if isinstance(twin, PLAIN) or (isinstance(twin, nn.Upsample) and _linear_upsampling(twin.mode)):
        offset = twin(zeros)
        whole = (lambda x: twin(x) - offset) if bool(offset.any()) else twin
        return build.affine(name, (at,), whole, offset[0], module=module)
    if isinstance(twin, MAX_POOLS + ADAPTIVE_MAX_POOLS) and not twin.return_indices:
        windows = pooling_windows(twin, build.shapes[at])
        shape = tuple(twin(zeros).shape[1:])
        return build.add(Maximum(name, (at,), shape, module, windows))
    if isinstance(twin, SMOOTH):
        return build.add(Elementwise(name, (at,), build.shapes[at], module, twin))
    return _bend(build, name, module, twin, at)


def _bend(build: Builder, name: str, module: nn.Module, twin: Any, at: int) -> int:
    """Append a piecewise-linear activation, or return -1."""
    if isinstance(twin, nn.ReLU):
        return build.kink(name, at, 0.0, module=module)
    if isinstance(twin, nn.LeakyReLU):
        return build.kink(name, at, twin.negative_slope, module=module)
    if isinstance(twin, nn.RReLU):
        return build.kink(name, at, (twin.lower + twin.upper) / 2, module=module)
    if isinstance(twin, nn.PReLU):
        slopes = twin.weight.detach().reshape(-1, *[1] * (len(build.shapes[at]) - 1))
        return build.kink(name, at, slopes, module=module)
    if isinstance(twin, nn.Hardtanh):  # and ReLU6
        return clamp(build, name, at, twin.min_val, twin.max_val)
    return -1


def read_function(build: Builder, name: str, function: Any, args: tuple, kwargs: dict) -> int:
    """Append what a function of values does.

    Parameters
    ----------
    build : Builder
        The layers so far.
    name : str
        Name of the function.
    function : callable
        The function.
    args, kwargs : tuple, dict
        Its arguments, in which a `Value` stands for the number of a value.

    Returns
    -------
    int
        Number of the value that it yields, or -1 if it cannot be read.
    """
    reads = tuple(v.number for v in values_in((args, kwargs)))
    if function in SHAPING:
        call = calling(function, args, kwargs)
    elif function in SUMS:
        call = calling(function, args, kwargs)
        silent = calling(function, without_constants(args), kwargs)
        zeros = [torch.zeros(1, *build.shapes[i], dtype=torch.float64) for i in reads]
        return build.affine(name, reads, silent, call(*zeros)[0])
    elif len(reads) == 1 and _scales(function, args):
        call = calling(function, args, kwargs)
    elif function in WEIGHTED_FUNCTIONS and len(reads) == 1:
        return _weighted(build, name, function, args, kwargs)
    elif function in (torch.maximum, torch.max) and len(reads) == 2:
        return build.greater(name, *reads)
    else:
        return _bend_function(build, name, function, args, kwargs)
    zeros = [torch.zeros(1, *build.shapes[i], dtype=torch.float64) for i in reads]
    offset = call(*zeros)
    if not isinstance(offset, Tensor):
        return -1
    linear = (lambda *x: call(*x) - offset) if bool(offset.any()) else call
    return build.affine(name, reads, linear, offset[0])


def _bend_function(build: Builder, name: str, function: Any, args: tuple, kwargs: dict) -> int:
    """Append a piecewise-linear or smooth function of one value, or return -1."""
    at = args[0].number if args and isinstance(args[0], Value) else -1
    if at < 0:
        return -1
    shape = build.shapes[at]
    if function in RECTIFIERS:
        return build.kink(name, at, 0.0)
    if function in ABSOLUTES:
        return build.kink(name, at, -1.0)
    if function is F.leaky_relu:
        slope = args[1] if len(args) > 1 else kwargs.get("negative_slope", 0.01)
        return build.kink(name, at, slope)
    if function in (torch.clamp, torch.clip, F.hardtanh, F.relu6):
        low, high = _limits(function, args[1:], kwargs)
        return clamp(build, name, at, low, high)
    if function in (F.max_pool1d, F.max_pool2d):
        pool = nn.MaxPool1d if function is F.max_pool1d else nn.MaxPool2d
        windows = pooling_windows(pool(*args[1:], **kwargs), shape)
        trial = function(torch.zeros(1, *shape), *args[1:], **kwargs)
        return build.add(Maximum(name, (at,), tuple(trial.shape[1:]), None, windows))
    if function in SMOOTH_FUNCTIONS:
        return build.add(
            Elementwise(name, (at,), shape, None, lambda x: function(x, *args[1:], **kwargs))
        )
    return -1


def _scales(function: Any, args: tuple) -> bool:
    """Whether a function of one value and constants multiplies or divides by the constants."""
    divides = function in QUOTIENTS and isinstance(args[0], Value)
    return function in SCALINGS or divides


def _limits(function: Any, args: tuple, kwargs: dict) -> tuple[float | None, float | None]:
    """Return the two limits of a clamping function."""
    if function is F.relu6:
        return 0.0, 6.0
    names = ("min_val", "max_val") if function is F.hardtanh else ("min", "max")
    defaults: tuple = (-1.0, 1.0) if function is F.hardtanh else (None, None)
    given = [kwargs.get(n, d) for n, d in zip(names, defaults, strict=True)]
    given[: len(args)] = args[:2]
    return given[0], given[1]


def clamp(build: Builder, name: str, at: int, low: float | None, high: float | None) -> int:
    """Append a clamp to [low, high] as two rectifiers between shifts.

    Parameters
    ----------
    build : Builder
        The layers so far.
    name : str
        Name of the module or function.
    at : int
        Number of the value that it reads.
    low, high : float or None
        The limits; None for none.

    Returns
    -------
    int
        Number of the value that it yields.
    """
    for limit, sign in ((low, 1.0), (high, -1.0)):
        if limit is None:
            continue
        moved = build.affine(name, (at,), _scaling(sign), torch.tensor(-sign * limit))
        bent = build.kink(name, moved, 0.0)
        at = build.affine(name, (bent,), _scaling(sign), torch.tensor(limit))
    return at


def _scaling(factor: float) -> Callable[[Tensor], Tensor]:
    """Return the multiplication by a number."""
    return lambda x: factor * x


def _linear_upsampling(mode: str) -> bool:
    """Whether an interpolation is linear in the image (all of PyTorch's are)."""
    return mode in {"nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"}


def _batch_norm(build: Builder, name: str, module: nn.Module, twin: Any, at: int) -> int:
    """Append a batch norm as it is in evaluation: a scale and a shift per channel."""
    if twin.running_mean is None:
        return -1
    scale = (twin.running_var + twin.eps).rsqrt()
    scale = scale if twin.weight is None else scale * twin.weight
    shift = -twin.running_mean * scale
    shift = shift if twin.bias is None else shift + twin.bias
    axes = [1] * (len(build.shapes[at]) - 1)
    scale, shift = (v.detach().reshape(-1, *axes) for v in (scale, shift))
    return build.affine(name, (at,), lambda x: x * scale, shift, module=module, weight=scale)


def _weighted(build: Builder, name: str, function: Any, args: tuple, kwargs: dict) -> int:
    """Append a functional linear layer or convolution whose weight is a constant."""
    names = ("input", "weight", "bias")
    given = {**dict(zip(names, args[:3], strict=False)), **kwargs}
    value, weight, bias = (given.pop(n, None) for n in names)
    if not isinstance(value, Value) or values_in((weight, bias)):
        return -1

    def linear(x: Tensor) -> Tensor:
        return function(x, weight, None, *args[3:], **given)

    zeros = torch.zeros(1, *build.shapes[value.number], dtype=torch.float64)
    offset = function(zeros, weight, bias, *args[3:], **given)[0]
    return build.affine(name, (value.number,), linear, offset, weight=weight)


class Value:
    """Stands for a value of the network among the arguments of a function.

    Parameters
    ----------
    number : int
        Number of the value.
    shape : tuple of int
        Its shape, without the batch axis.
    """

    def __init__(self, number: int, shape: tuple[int, ...]) -> None:
        self.number, self.shape = number, shape


class Rows:
    """Stands for the number of rows among the arguments of a function."""


def values_in(thing: Any) -> list[Value]:
    """Return the values among nested arguments, in order.

    Parameters
    ----------
    thing : object
        Nested tuples, lists and dictionaries.

    Returns
    -------
    list of Value
        The values.
    """
    if isinstance(thing, Value):
        return [thing]
    if isinstance(thing, dict):
        thing = tuple(thing.values())
    if isinstance(thing, list | tuple):
        return [v for part in thing for v in values_in(part)]
    return []


def without_constants(args: tuple) -> tuple:
    """Return the terms of a sum with zeros in place of constants.

    Parameters
    ----------
    args : tuple
        Values and constants.

    Returns
    -------
    tuple
        The values, and zeros that still broadcast as the constants did.
    """
    return tuple(a if isinstance(a, Value) else a * 0 for a in args)


def calling(function: Any, args: tuple, kwargs: dict) -> Callable[..., Any]:
    """Return a function of tensors from a call in which values stand for them.

    Parameters
    ----------
    function : callable
        The function.
    args, kwargs : tuple, dict
        Its arguments, with `Value` and `Rows` inside.

    Returns
    -------
    callable
        Takes one tensor per value, in order.
    """

    def fill(thing: Any, tensors: list[Tensor], rows: int) -> Any:
        if isinstance(thing, Value):
            return tensors.pop(0)
        if isinstance(thing, Rows):
            return rows
        if isinstance(thing, dict):
            return {k: fill(v, tensors, rows) for k, v in thing.items()}
        if isinstance(thing, list | tuple):
            return type(thing)(fill(v, tensors, rows) for v in thing)
        return thing

    def call(*x: Tensor) -> Any:
        tensors = list(x)
        filled = fill(args, tensors, len(x[0])), fill(kwargs, tensors, len(x[0]))
        return function(*filled[0], **filled[1])

    return call
