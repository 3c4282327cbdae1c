r"""Random layers to simulate: many independent chains at once, rows of a block-addressable stream.

A layer is drawn afresh for every chain and every depth. With Gaussian weights its images of k
vectors are :math:`(A / \sqrt N)\, G R` with a standard normal N x k matrix G and the triangular
factor R of the vectors: the exact law at k normals per unit instead of N.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS
from ot_latent._validation import check_positive
from ot_latent.theory.depth.activations import HOMOGENEOUS, function

Law = Literal["gaussian", "uniform"]
SampleLayer = Callable[[Tensor, np.random.Generator], Tensor]
"""Draws one layer per chain and applies it: signals (chains, N) and a source of randomness in,
signals (chains, N') out. Draw row by row, so that a chain does not depend on how many there are."""

CHAINS = BLOCK_ROWS
"""Chains of a block: they share one source of randomness per layer."""
DRAWS = 2**22
"""Weights drawn at once."""


def block_sizes(chains: int) -> list[int]:
    """Return the numbers of chains of the blocks that make up a request.

    Parameters
    ----------
    chains : int
        Number of chains asked for.

    Returns
    -------
    list of int
        Full blocks and the rest.

    Examples
    --------
    >>> block_sizes(2500)
    [1024, 1024, 452]
    """
    return [min(CHAINS, chains - start) for start in range(0, chains, CHAINS)]


@dataclass(frozen=True)
class RandomLayer:
    r"""A random square layer :math:`x \mapsto \varphi(Wx)` without bias, drawn anew at each call.

    Parameters
    ----------
    width : int
        Width N.
    gain : float, default=1/sqrt(3)
        Gain A: weights have the standard deviation A / sqrt(N). The default is PyTorch's.
    activation : {"tanh", "relu", "linear", "silu", "gelu"}, default="tanh"
        Function after the weights.
    law : {"gaussian", "uniform"}, default="gaussian"
        Law of a weight. Uniform with the default gain is what ``torch.nn.Linear`` starts with:
        U[-1 / sqrt(N), 1 / sqrt(N)].

    Examples
    --------
    >>> layer = RandomLayer(3, 1.0)
    >>> tuple(layer(torch.ones(5, 3, dtype=torch.float64), np.random.default_rng(0)).shape)
    (5, 3)
    """

    width: int
    gain: float = 1.0 / math.sqrt(3.0)
    activation: str = "tanh"
    law: Law = "gaussian"

    def __post_init__(self) -> None:
        check_positive(self.width, "width", integer=True)
        check_positive(self.gain, "gain")
        function(self.activation)
        if self.law not in ("gaussian", "uniform"):
            raise ValueError(f"law must be gaussian or uniform, got {self.law!r}; try 'gaussian'.")

    @property
    def homogeneous(self) -> bool:
        """Whether the layer commutes with positive factors."""
        return self.activation in HOMOGENEOUS

    def linearised(self) -> RandomLayer:
        """Return the layer without its activation: of tanh the derivative at zero.

        Returns
        -------
        RandomLayer
            The linear layer.
        """
        return replace(self, activation="linear")

    def __call__(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the images of signals, each under a layer of its own.

        Parameters
        ----------
        x : Tensor of shape (chains, N) or (chains, N, k)
            Signals; with three axes, k signals that pass the same layer.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        Tensor of the shape of `x`
            The images.
        """
        several = x if x.ndim == 3 else x[..., None]
        if several.shape[1] != self.width:
            raise ValueError(
                f"x must have {self.width} entries per chain, the width, got {several.shape[1]}; "
                "pass signals of the layer's width."
            )
        images = function(self.activation)(self._weigh(several, rng))
        return images if x.ndim == 3 else images[..., 0]

    def _weigh(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return Wx, one W per chain."""
        chains, width, k = x.shape
        scale = self.gain / math.sqrt(width)
        if self.law == "uniform":
            parts = x.split(max(1, DRAWS // width**2))
            return torch.cat([self._weigh_uniformly(part, rng) for part in parts])
        largest = x.abs().amax((1, 2), keepdim=True)  # squares of tiny signals would underflow
        safe = torch.where(largest > 0, largest, 1.0)
        unit = x / safe
        factor = _triangle(unit) if k > 1 else torch.linalg.vector_norm(unit, dim=1, keepdim=True)
        normals = torch.from_numpy(rng.standard_normal((chains, width, k))).to(x)
        return torch.bmm(normals, factor) * (scale * safe)

    def _weigh_uniformly(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return Wx for uniform weights, which have no shorter law than themselves."""
        draws = torch.from_numpy(rng.random((len(x), self.width, self.width))).to(x)
        largest = self.gain * math.sqrt(3.0 / self.width)
        return torch.bmm(draws.mul_(2.0).sub_(1.0), x) * largest


def _triangle(x: Tensor) -> Tensor:
    """Return R with R^T R = x^T x, of shape (chains, k, k)."""
    missing = max(0, x.shape[2] - x.shape[1])  # more vectors than entries
    padded = torch.nn.functional.pad(x, (0, 0, 0, missing))
    return torch.linalg.qr(padded, mode="r").R
