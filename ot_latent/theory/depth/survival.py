r"""Survival of signals in random networks at finite precision: the curve whose fall is the cut-off.

Signals are rounded to a grid after every layer, so zero absorbs. The total variation distance of the
law of the signal to the unit mass at zero is the probability of not being absorbed yet, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.theory.depth.random_layers import SampleLayer, block_sizes

_SURVIVAL = 1  # counters that keep the uses of the stream apart


def precision_floor(dtype: torch.dtype, *, flush: bool = False) -> float:
    """Return the smallest positive number of a floating-point type: the mesh of its grid near zero.

    Parameters
    ----------
    dtype : torch.dtype
        float16, bfloat16, float32 or float64.
    flush : bool, default=False
        Whether the hardware flushes subnormal numbers to zero, as GPUs may: then the smallest
        normal one.

    Returns
    -------
    float
        The number.

    Raises
    ------
    TypeError
        If it is not a floating-point type.

    Examples
    --------
    >>> precision_floor(torch.float32) == 2.0**-149, precision_floor(torch.bfloat16) == 2.0**-133
    (True, True)
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(
            f"dtype must be a floating-point type of torch, got {dtype!r}; try torch.float32."
        )
    info = torch.finfo(dtype)
    return info.tiny if flush else math.ldexp(info.tiny, round(math.log2(info.eps)))


def round_to_grid(x: Any, rho: float) -> Tensor:
    r"""Round to the nearest multiple of a mesh, ties towards zero.

    :math:`Q_\rho(x) = \rho\, \mathrm{sign}(u) \lceil \lvert u \rvert - \frac12 \rceil` with
    :math:`u = x / \rho`. Numbers of more than 2^52 meshes are multiples already, as far as their
    type can tell.

    Parameters
    ----------
    x : array-like
        Numbers.
    rho : float
        Mesh of the grid.

    Returns
    -------
    Tensor
        Rounded numbers, in the shape and dtype of `x`.

    Raises
    ------
    ValueError
        If the mesh is not positive.

    Examples
    --------
    >>> round_to_grid([0.5, -1.5, 1.6, 0.4], 1.0).tolist()
    [0.0, -1.0, 2.0, 0.0]
    """
    check_positive(rho, "rho")
    values = as_float_tensor(x, "x")
    near = values.abs() < rho * 2.0**52
    u = torch.where(near, values, 0.0) / rho
    rounded = u.sign() * (u.abs() - 0.5).ceil().clamp_min(0.0) * rho + 0.0  # no minus zero
    return torch.where(near, rounded, values)


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Share of chains whose signal is not yet zero after 0, 1, 2, ... layers."""

    times: np.ndarray
    """Absorption time of every chain; depth + 1 for those that survive all layers."""
    depth: int
    """Number of layers that were simulated."""
    rho: float
    """Mesh of the grid."""

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self.times)

    @property
    def depths(self) -> np.ndarray:
        """The numbers of layers 0, 1, ..., depth."""
        return np.arange(self.depth + 1)

    @property
    def probability(self) -> np.ndarray:
        """P(tau > t) for every depth: the total variation distance to the unit mass at zero."""
        ordered = np.sort(self.times)
        return 1.0 - np.searchsorted(ordered, self.depths, side="right") / self.chains

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return a confidence interval of every probability (Wilson's, an approximation).

        Parameters
        ----------
        level : float, default=0.95
            Probability that an interval covers its truth.

        Returns
        -------
        low, high : ndarray of shape (depth + 1,)
            Ends of the intervals.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        from scipy.special import ndtri

        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1, got {level}; pass 0.95.")
        z2 = float(ndtri(0.5 + level / 2.0)) ** 2 / self.chains
        p = self.probability
        middle = (p + z2 / 2.0) / (1.0 + z2)
        half = np.sqrt(z2 * (p * (1.0 - p) + z2 / 4.0)) / (1.0 + z2)
        return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def survival_curve(
    sample_layer: SampleLayer,
    x0: Any,
    *,
    rho: float | None = None,
    dtype: torch.dtype | None = None,
    depth: int,
    chains: int = 1000,
    seed: int = 0,
) -> SurvivalCurve:
    """Simulate random networks at finite precision and return how long their signals live.

    All chains start at the same input and draw layers of their own; after each layer signals are
    rounded to the grid, by arithmetic and not by the hardware, whose flushing of small numbers
    would decide the result. An estimate, with a binomial error at every depth.

    Parameters
    ----------
    sample_layer : callable
        ``sample_layer(x, rng)`` draws one layer per chain and applies it to the signals x of shape
        (chains, N), row by row; such as a `RandomLayer`. Zero must stay zero.
    x0 : array-like of shape (N,)
        Input; computations run in its dtype and on its device (lists: float64).
    rho : float, optional
        Mesh of the grid.
    dtype : torch.dtype, optional
        Type whose `precision_floor` is the mesh, in place of `rho`.
    depth : int
        Largest number of layers.
    chains : int, default=1000
        Number of independent networks. The first chains do not depend on how many there are.
    seed : int, default=0
        Seed of the layers.

    Returns
    -------
    SurvivalCurve
        Absorption times and their survival function.

    Raises
    ------
    ValueError
        If not exactly one of `rho` and `dtype` is given, or a number is not positive.
    DataError
        If a signal is not finite.

    Examples
    --------
    >>> from ot_latent.theory.depth import RandomLayer
    >>> layer = RandomLayer(1, law="uniform")
    >>> curve = survival_curve(layer, [0.5], dtype=torch.float32, depth=200, chains=100)
    >>> int((curve.probability > 0.5).sum()) in range(100, 110)
    True
    """
    if (rho is None) == (dtype is None):
        raise ValueError("rho or dtype must be given, and not both; pass rho=1e-8, for instance.")
    mesh = precision_floor(dtype) if dtype is not None else rho
    check_positive(mesh, "rho")  # type: ignore[arg-type]
    check_positive(depth, "depth", integer=True)
    check_positive(chains, "chains", integer=True)
    start = as_float_tensor(x0, "x0", ndim=1)
    blocks = [
        _absorption(sample_layer, start.expand(size, -1), mesh, depth, seed, block)  # type: ignore[arg-type]
        for block, size in enumerate(block_sizes(chains))
    ]
    return SurvivalCurve(np.concatenate(blocks), depth, mesh)  # type: ignore[arg-type]


def _absorption(
    sample_layer: SampleLayer, start: Tensor, rho: float, depth: int, seed: int, block: int
) -> np.ndarray:
    """Return the absorption times of one block of chains."""
    times = np.full(len(start), depth + 1)
    x = round_to_grid(start, rho)
    alive = torch.ones(len(start), dtype=torch.bool, device=start.device)
    for layer in range(depth + 1):
        if layer:
            images = sample_layer(x, generator(seed, Stream.DEPTH, block, _SURVIVAL, layer))
            if not bool(torch.isfinite(images).all()):
                raise DataError(
                    f"signals must stay finite, got NaN or infinity after layer {layer}; lower the "
                    "gain or the depth."
                )
            x = round_to_grid(images, rho)
        still = alive & (x != 0).any(1)
        times[(alive & ~still).cpu().numpy()] = layer
        alive = still
        if not bool(alive.any()):
            break
    return times
