"""Smooth displacement fields from sine modes, and images read along them: what both rooms share."""

from __future__ import annotations

from math import pi

import numpy as np
import torch
from torch import Tensor


def sine_modes(cut: float) -> np.ndarray:
    """Return the modes i^2 + j^2 < (c + 1/2)^2 with i, j >= 1 of a square that is held at its border.

    Parameters
    ----------
    cut : float
        Highest frequency c.

    Returns
    -------
    numpy.ndarray of shape (modes, 2)
        The pairs (i, j).

    Examples
    --------
    >>> sine_modes(2).tolist()
    [[1, 1], [1, 2], [2, 1]]
    """
    grid = np.stack(np.meshgrid(*[np.arange(1, int(cut) + 1)] * 2, indexing="ij"), axis=-1)
    every = grid.reshape(-1, 2)
    return every[(every**2).sum(axis=1) < (cut + 0.5) ** 2]


def displacement_fields(
    normals: np.ndarray, shape: tuple[int, int], cut: float, scale: float
) -> Tensor:
    r"""Turn standard normal numbers into displacement fields: amplitudes fall like 1 / frequency.

    .. math:: \tau(u, v) = \sum_{ij} \frac{g_{ij}}{\sqrt{i^2 + j^2}} \sin(i \pi u) \sin(j \pi v)

    Parameters
    ----------
    normals : numpy.ndarray of shape (n, 2, modes)
        The g, for both components.
    shape : tuple of int
        Height and width of the images, at least 2 each.
    cut : float
        Highest frequency c; `sine_modes` tells the number of modes.
    scale : float
        Multiplies the sum.

    Returns
    -------
    Tensor of shape (n, 2, h, w), float32
        To the right, then downwards; zero on the border to the last bit.
    """
    modes = sine_modes(cut)
    across, down = (_sines(modes[:, k], side) for k, side in ((0, shape[1]), (1, shape[0])))
    amplitudes = normals * (scale / np.sqrt((modes**2).sum(axis=1)))
    fields = np.einsum("nam,mh,mw->nahw", amplitudes, down, across, optimize=True)
    return torch.from_numpy(fields.astype(np.float32))


def _sines(frequencies: np.ndarray, side: int) -> np.ndarray:
    """Return sin(i pi u) on the pixels, zero at both ends."""
    values = np.sin(pi * frequencies[:, None] * np.linspace(0.0, 1.0, side))
    values[:, [0, -1]] = 0.0
    return values


def remap(pixels: Tensor, field: Tensor) -> Tensor:
    """Read images at p - displacement(p), bilinearly, outside the frame at its border.

    Parameters
    ----------
    pixels : Tensor of shape (n, c, h, w)
        Images, at least 2 pixels a side.
    field : Tensor of shape (n, 2, h, w)
        To the right and downwards, in pixels, on the device and in the dtype of the images.

    Returns
    -------
    Tensor of shape (n, c, h, w)
        Images; bit-equal where nothing moves.
    """
    height, width = pixels.shape[-2:]
    x = (torch.arange(width).to(field) - field[:, 0]).clamp(0, width - 1)
    y = (torch.arange(height).to(field)[:, None] - field[:, 1]).clamp(0, height - 1)
    left, top = (v.floor().clamp(max=n - 2) for v, n in ((x, width), (y, height)))
    across, down = (x - left)[:, None], (y - top)[:, None]  # (n, 1, h, w)
    corner = (top * width + left).long().flatten(1)
    flat = pixels.flatten(2)

    def at(offset: int) -> Tensor:
        index = (corner + offset)[:, None].expand(-1, pixels.shape[1], -1)
        return flat.gather(2, index).view_as(pixels)

    upper = at(0) * (1 - across) + at(1) * across
    lower = at(width) * (1 - across) + at(width + 1) * across
    return upper * (1 - down) + lower * down
