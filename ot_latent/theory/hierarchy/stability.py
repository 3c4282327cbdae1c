"""Relative stability: how much a smooth deformation changes layers, against noise as large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, rows, seed_from
from ot_latent._validation import as_float_tensor
from ot_latent.theory.hierarchy.deformations import deform, max_entropy_deformation, temperature
from ot_latent.theory.hierarchy.rules import NOISE
from ot_latent.theory.hierarchy.sensitivity import (
    Ratio,
    activations,
    distance_ratio,
    jackknife_error,
)


@dataclass(frozen=True)
class Stability:
    """How one layer answers to deformations and to noise of the same size."""

    deformation: Ratio
    """D: mean squared change under deformations, over that between two images."""
    noise: Ratio
    """G: the same under isotropic noise that is as long, image by image."""
    relative: Ratio
    """R = D / G; below 1 the layer is more stable to deformations than to noise."""


def relative_stability(
    model: Callable[[Tensor], Tensor],
    images: Any,
    *,
    delta: float = 1.0,
    cut: float = 3,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Stability]:
    r"""Measure the relative stability of every layer to smooth deformations (Petrini et al., 2021).

    .. math:: R_f = \frac{\langle |f(\tau x) - f(x)|^2 \rangle}{\langle |f(x + \eta) - f(x)|^2 \rangle},

    with :math:`\tau` of largest entropy and :math:`\eta` isotropic of length
    :math:`|\tau x - x|` for each image. A random isotropic linear map has R = 1 on average (exact);
    that R falls with the test error is an observation. Means over images, not medians; standard
    errors by the jackknife.

    Parameters
    ----------
    model : torch.nn.Module or callable
        The network.
    images : array-like of shape (n, c, h, w) or (n, h, w)
        100 to 500 images as the network takes them, on its device.
    delta : float, default=1
        Nominal length of the displacement in pixels.
    cut : float, default=3
        Highest frequency c.
    layers : sequence of str, optional
        Names of sub-modules; all without sub-modules of their own by default.
    seed : int, default=0
        Seed of deformations and noise.

    Returns
    -------
    dict of Stability
        By layer, from "input" (where R is 1) to "output".
    """
    x = as_float_tensor(images, "images")
    height, width = x.shape[-2:]
    heat = temperature(delta, side=max(height, width), cut=cut)
    seed = seed_from(seed)
    field = max_entropy_deformation(len(x), (height, width), heat, cut=cut, seed=seed)
    moved = deform(x, field)
    versions = (x, moved, x + _noise_like(moved - x, seed))
    own, moved_own, noisy = (activations(model, rows, layers) for rows in versions)
    return {name: _stability(own[name], moved_own[name], noisy[name]) for name in own}


def _noise_like(change: Tensor, seed: int) -> Tensor:
    """Return isotropic noise whose rows are as long as those of `change`."""
    size = change[0].numel()
    normals = rows(
        seed,
        Stream.HIERARCHY,
        0,
        len(change),
        lambda rng, n: rng.standard_normal((n, size), dtype=np.float32),
        NOISE,
    )
    noise = torch.from_numpy(normals).to(change)
    length = change.flatten(1).norm(dim=1, keepdim=True)
    return (noise / noise.norm(dim=1, keepdim=True) * length).view_as(change)


def _stability(own: np.ndarray, moved: np.ndarray, noisy: np.ndarray) -> Stability:
    """Return D, G and their quotient for one layer."""
    top, bottom = (((other - own) ** 2).sum(axis=1) for other in (moved, noisy))
    if bottom.sum() == 0:
        relative = Ratio(float("nan"), float("nan"))
    else:
        without = (top.sum() - top) / (bottom.sum() - bottom)
        relative = Ratio(float(top.sum() / bottom.sum()), jackknife_error(without))
    return Stability(distance_ratio(own, moved), distance_ratio(own, noisy), relative)
