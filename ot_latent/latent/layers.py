"""Blocks that the networks share: seeded parameters, scale changes, fixed-size batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator

BLOCK = 64
"""Rows per block: networks always see blocks of this many rows, so a row's bits depend on the
row and its place in the block alone."""

STEM_LIMIT = 48
"""Images with a longer side start with 4 x 4 patches instead of 2 x 2."""


Gain = Callable[[int], float]
"""Gain of a layer's initial weights as a function of its number of inputs."""


def he_gain(inputs: int) -> float:
    """Return the gain that keeps lengths before a rectifier, whatever the number of inputs.

    Parameters
    ----------
    inputs : int
        Number of inputs of the layer.

    Returns
    -------
    float
        The root of two.
    """
    return math.sqrt(2.0)


def seeded(
    build: Callable[[], nn.Module], seed: int, salt: int = 0, gain: Gain | None = None
) -> nn.Module:
    """Build a module whose parameters are a function of (architecture, seed, salt, gain) alone.

    The module is made on the meta device, so no global generator is touched; then weights are
    drawn as N(0, gain^2 / fan_in), biases are 0 and norm scales are 1.

    Parameters
    ----------
    build : callable
        Returns the module.
    seed : int
        Non-negative seed.
    salt : int, default=0
        Tells apart modules of one seed.
    gain : callable, optional
        Gain of the layers that do not have one of their own, from their number of inputs; by
        default `he_gain`.

    Returns
    -------
    torch.nn.Module
        The module on the CPU.

    Examples
    --------
    >>> a, b = (seeded(lambda: nn.Linear(3, 2), seed=5) for _ in range(2))
    >>> bool((a.weight == b.weight).all())
    True
    """
    with torch.device("meta"):
        module = build()
    module = module.to_empty(device="cpu")
    for index, part in enumerate(module.modules()):
        _fill(part, generator(seed, Stream.INITIALISATION, index, salt), gain or he_gain)
    return module


@torch.no_grad()
def _fill(part: nn.Module, rng: np.random.Generator, gain: Gain) -> None:
    """Fill the parameters that `part` owns itself."""
    bias = getattr(part, "bias", None)
    if isinstance(bias, Tensor):
        bias.zero_()
    weight = getattr(part, "weight", None)
    if not isinstance(weight, Tensor):
        return
    if weight.ndim < 2:
        weight.fill_(1.0)
        return
    fan_in = weight[0].numel()
    if isinstance(part, nn.ConvTranspose2d):  # weight is (in, out, k, k); stride s: k / s taps
        taps = math.prod(k // s for k, s in zip(part.kernel_size, part.stride, strict=True))
        fan_in = weight.shape[0] * taps
    own = cast(float | None, getattr(part, "gain", None))
    scale = (gain(fan_in) if own is None else own) / math.sqrt(fan_in)
    draws = rng.standard_normal(tuple(weight.shape), dtype=np.float32)
    weight.copy_(torch.from_numpy(draws * np.float32(scale)))


def linear(inputs: int, outputs: int, *, gain: float | None = None) -> nn.Linear:
    """Return a linear layer that remembers the gain of its initial weights.

    Parameters
    ----------
    inputs, outputs : int
        Sizes.
    gain : float, optional
        1 where the output is used as it is; by default that of `seeded`, for layers before an
        activation.

    Returns
    -------
    torch.nn.Linear
        The layer.
    """
    layer = nn.Linear(inputs, outputs)
    if gain is not None:
        layer.gain = gain  # type: ignore[assignment]
    return layer


def norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of groups of about 8 channels: rows never see one another.

    Parameters
    ----------
    channels : int
        Number of channels.

    Returns
    -------
    torch.nn.GroupNorm
        The layer.
    """
    groups = max(1, channels // 8)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), channels unchanged.

    Parameters
    ----------
    channels : int
        Number of channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        second = nn.Conv2d(channels, channels, 3, padding=1)
        second.gain = 0.5  # type: ignore[assignment]  # the sum starts close to the identity
        self.body = nn.Sequential(
            norm(channels), nn.SiLU(), first, norm(channels), nn.SiLU(), second
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum.

        Parameters
        ----------
        x : Tensor of shape (n, channels, h, w)
            Input.

        Returns
        -------
        Tensor of shape (n, channels, h, w)
            Output.
        """
        return x + self.body(x)


class Patches(nn.Module):
    """Pad an image to a multiple of `side` and cut it into patches: (n,c,h,w) to (n,c s^2,h/s,w/s).

    Parameters
    ----------
    shape : tuple of int
        Shape (c, h, w) of the images.
    side : int
        Side of a patch.
    """

    def __init__(self, shape: tuple[int, int, int], side: int) -> None:
        super().__init__()
        self.side = side
        self.padding = (0, -shape[2] % side, 0, -shape[1] % side)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches as channels.

        Parameters
        ----------
        x : Tensor of shape (n, c, h, w)
            Images.

        Returns
        -------
        Tensor of shape (n, c side^2, ceil(h / side), ceil(w / side))
            Patches.
        """
        if any(self.padding):
            x = nn.functional.pad(x, self.padding, mode="replicate")
        return nn.functional.pixel_unshuffle(x, self.side)


class Unpatches(nn.Module):
    """Put patches together again and crop to the image: the inverse of `Patches`.

    Parameters
    ----------
    shape : tuple of int
        Shape (c, h, w) of the images.
    side : int
        Side of a patch.
    """

    def __init__(self, shape: tuple[int, int, int], side: int) -> None:
        super().__init__()
        self.side, self.height, self.width = side, shape[1], shape[2]

    def forward(self, x: Tensor) -> Tensor:
        """Return the images.

        Parameters
        ----------
        x : Tensor of shape (n, c side^2, ceil(h / side), ceil(w / side))
            Patches.

        Returns
        -------
        Tensor of shape (n, c, h, w)
            Images.
        """
        return nn.functional.pixel_shuffle(x, self.side)[..., : self.height, : self.width]


class Upscale(nn.Module):
    """Double the sides by a transposed convolution and crop to the wanted size.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : tuple of int
        Height and width of the result (at most twice those of the input).
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.up = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the larger map.

        Parameters
        ----------
        x : Tensor of shape (n, inputs, h, w)
            Input.

        Returns
        -------
        Tensor of shape (n, outputs, size[0], size[1])
            Output.
        """
        return self.up(x)[..., : self.size[0], : self.size[1]]


def pyramid(shape: tuple[int, int, int]) -> tuple[int, list[tuple[int, int]]]:
    """Choose the patch side and the sizes of the maps: halved until the longer side is <= 4.

    Parameters
    ----------
    shape : tuple of int
        Shape (c, h, w) of the images.

    Returns
    -------
    side : int
        Side of the first patches.
    sizes : list of tuple of int
        Height and width of every level, the finest first.

    Examples
    --------
    >>> pyramid((1, 28, 28))
    (2, [(14, 14), (7, 7), (4, 4)])
    >>> pyramid((3, 128, 96))
    (4, [(32, 24), (16, 12), (8, 6), (4, 3)])
    """
    side = 2 if max(shape[1:]) <= STEM_LIMIT else 4
    sizes = [(-(-shape[1] // side), -(-shape[2] // side))]
    while max(sizes[-1]) > 4:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return side, sizes


def in_blocks(
    function: Callable[[Tensor], Tensor], x: Tensor, *, start: int = 0, block: int = BLOCK
) -> Tensor:
    """Apply a network to padded blocks of one fixed size, so that a row never depends on its request.

    Row i sits at place (start + i) mod `block` of its block, whatever else is asked for.

    Parameters
    ----------
    function : callable
        Maps (block, ...) to (block, ...), row by row.
    x : Tensor of shape (n, ...)
        Input rows.
    start : int, default=0
        Number of the first row in the request that these rows are a slice of.
    block : int, default=64
        Rows per block.

    Returns
    -------
    Tensor of shape (n, ...)
        Output rows, without gradients.

    Examples
    --------
    >>> in_blocks(lambda t: 2 * t, torch.arange(5.0)[:, None], start=3, block=4).ravel().tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    lead = start % block
    parts = []
    with torch.no_grad():
        for first in range(-lead, max(len(x), 1), block):
            rows = x[max(first, 0) : first + block]
            before = max(-first, 0)
            padded = x.new_zeros((block, *x.shape[1:]))
            padded[before : before + len(rows)] = rows
            parts.append(function(padded)[before : before + len(rows)])
    return parts[0] if len(parts) == 1 else torch.cat(parts)
