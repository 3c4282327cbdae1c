"""Give a network the best chance to encode a curve: train it to increase along the curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_array, check_positive

RISE = 30.0


def straighten(
    curve: Any, hidden: Sequence[int] = (6,), *, seed: int = 0, steps: int = 1500
) -> nn.Sequential:
    """Train a ReLU network to the line to be injective on a curve. A heuristic.

    An encoder of a curve is one that is strictly monotone along it. The loss is the mean of
    ``max(0, 1 - slope)^2`` over steps of equal length along the curve: zero where the code rises
    fast enough, whatever code that is. No decoder has to follow, so that a failure is a failure to
    encode. Full batches, Adam with a falling step.

    Parameters
    ----------
    curve : array-like of shape (m, d)
        Corners of a polyline.
    hidden : sequence of int, default=(6,)
        Units of the hidden layers.
    seed : int, default=0
        Seed of the initial parameters.
    steps : int, default=1500
        Steps of the optimiser.

    Returns
    -------
    torch.nn.Sequential
        The network R^d to R, in float64; its input is centred and scaled inside.

    Raises
    ------
    DataError
        If the curve has fewer than two distinct points.
    ValueError
        If a number is not a positive integer.

    Examples
    --------
    >>> net = straighten([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], (4,), steps=200)
    >>> from ot_latent.theory.rectified_linear import encodes
    >>> encodes(net, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]).injective
    True
    """
    check_positive(steps, "steps", integer=True)
    for width in hidden:
        check_positive(width, "hidden", integer=True)
    points = _evenly(check_array(curve, "curve", ndim=2).astype(np.float64))
    net = _network((points.shape[1], *hidden, 1), points, seed)
    x = torch.from_numpy(points)
    optimiser = torch.optim.Adam(net[1:].parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = _shortfall(net(x).squeeze(1))
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.requires_grad_(False)


def _shortfall(code: Tensor) -> Tensor:
    """Return how far the slopes fall short of those of a code that rises by `RISE` in all."""
    slopes = (code[1:] - code[:-1]) * ((len(code) - 1) / RISE)
    return torch.relu(1.0 - slopes).square().mean()


def _evenly(points: np.ndarray, count: int = 1024) -> np.ndarray:
    """Return points at equal arc length along a polyline."""
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    if length[-1] == 0:
        raise DataError("curve must hold two distinct points, got none; pass a longer curve.")
    at = np.linspace(0.0, length[-1], max(count, len(points)))
    return np.column_stack([np.interp(at, length, column) for column in points.T])


def _network(widths: tuple[int, ...], points: np.ndarray, seed: int) -> nn.Sequential:
    """Return a network whose first layer brings the points to mean zero and unit spread."""
    scale = nn.Linear(widths[0], widths[0], dtype=torch.float64)
    spread = float(points.std(axis=0).max())
    scale.weight.data = torch.eye(widths[0], dtype=torch.float64) / spread
    scale.bias.data = torch.from_numpy(-points.mean(axis=0) / spread)
    parts: list[nn.Module] = [scale]
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        rng = generator(seed, Stream.INITIALISATION, index)
        layer.weight.data = torch.from_numpy(
            rng.standard_normal((outputs, inputs)) * (2 / inputs) ** 0.5
        )
        layer.bias.data = torch.from_numpy(0.5 * rng.standard_normal(outputs))
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])
