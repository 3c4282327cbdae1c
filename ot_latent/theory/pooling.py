"""Which places of a map a max-pooling compares with one another."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
ADAPTIVE_MAX_POOLS = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)


def pooling_windows(pool: Any, shape: tuple[int, ...]) -> Tensor:
    """Return which places of a flattened map each output of a max-pooling compares.

    Parameters
    ----------
    pool : torch.nn.Module
        MaxPool or AdaptiveMaxPool, of one to three axes.
    shape : tuple of int
        Shape (channels, ...) of the map.

    Returns
    -------
    Tensor of shape (outputs, k)
        Integers; windows that are cut by the border repeat one of their places.

    Examples
    --------
    >>> pooling_windows(nn.MaxPool1d(2), (1, 4)).tolist()
    [[0, 1], [2, 3]]
    """
    sides = shape[1:]
    out = pool(torch.zeros(1, *shape)).shape[2:]
    axes = [_axis_windows(pool, axis, side, out[axis]) for axis, side in enumerate(sides)]
    places = torch.zeros((1, 1), dtype=torch.long)
    for axis, side in zip(axes, sides, strict=True):  # outer sums, row-major
        places = places[:, None, :, None] * side + axis[None, :, None, :]
        places = places.reshape(places.shape[0] * places.shape[1], -1)
    area = int(torch.tensor(sides).prod())
    channels = torch.arange(shape[0]) * area
    return (channels[:, None, None] + places).flatten(0, 1)


def _axis_windows(pool: Any, axis: int, side: int, out: int) -> Tensor:
    """Return the places (out, k) that the windows take along one axis."""
    if isinstance(pool, ADAPTIVE_MAX_POOLS):
        ranges = [range(o * side // out, -(-(o + 1) * side // out)) for o in range(out)]
    else:
        kernel, stride, padding, dilation = (
            v[axis] if isinstance(v, tuple) else v
            for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        )
        starts = [o * stride - padding for o in range(out)]
        ranges = [range(s, s + kernel * dilation, dilation) for s in starts]
    inside = [[i for i in r if 0 <= i < side] for r in ranges]
    longest = max(len(r) for r in inside)
    return torch.tensor([[*r, *itertools.repeat(r[0], longest - len(r))] for r in inside])
