"""Adam on the cell masses, as published for autoencoders with optimal transport, and on fresh draws.

Written from the description of the method: unscrambled Sobol points, the sequence started anew in
every step, so that all steps see the same points; Adam with (0.9, 0.999), 1e-8 outside the root, no
bias correction, a constant learning rate; mean of the heights removed; the points doubled when
the norm of the gradient has not improved 31 times running; the last heights are the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.problem import Fit, Problem
from ot_latent._random import Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Source, UniformBox
from ot_latent.transport.stochastic import StochasticNewton

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
PATIENCE = 31

Stop = Callable[[Callable[[], Tensor], int], bool]  # told of heights and draws after each step


class Adam:
    """The update, without bias correction."""

    def __init__(self, n: int, lr: float) -> None:
        self.lr = lr
        self.mean = torch.zeros(n, dtype=torch.float64)
        self.square = torch.zeros(n, dtype=torch.float64)

    def step(self, heights: Tensor, gradient: Tensor) -> Tensor:
        """Return the next heights, of mean zero."""
        self.mean = BETA_1 * self.mean + (1 - BETA_1) * gradient
        self.square = BETA_2 * self.square + (1 - BETA_2) * gradient.square()
        heights = heights - self.lr * self.mean / (self.square.sqrt() + EPSILON)
        return heights - heights.mean()


def mass_gradient(x: Tensor, target: DiscreteMeasure, heights: Tensor) -> Tensor:
    """Return the share of the rows of x in every cell, less its mass."""
    cells = best_scores(x, target.points, heights.to(target.points.dtype))[1][:, 0]
    return torch.bincount(cells, minlength=len(target)).double() / len(x) - target.weights


def start_heights(problem: Any, start: str, seed: int = 0) -> Tensor:
    """Return where to begin: "zero" as published (box centred at 0), or "ours"."""
    target = problem.target
    if start == "zero":  # <x - m, y> + 0 in the frame of the centred box
        return -(target.points.double() @ problem.source.mean.double())
    return StochasticNewton(seed=seed).init(problem.source, target).heights


def adam_fixed(
    problem: Any,
    samples: int,
    *,
    lr: float,
    points: int,
    start: str = "zero",
    seed: int = 0,
    stop: Stop | None = None,
) -> Fit:
    """Adam on one set of Sobol points; every evaluation of a point counts as a sample."""
    target = problem.target
    heights = start_heights(problem, start, seed)
    adam, best, waited, used = Adam(len(target), lr), float("inf"), 0, 0
    x = _sobol(problem.source, points)
    while used + len(x) <= samples:
        gradient = mass_gradient(x, target, heights)
        used += len(x)
        heights = adam.step(heights, gradient)
        norm = float(gradient.norm())
        best, waited = (norm, 0) if norm < best else (best, waited + 1)
        if waited == PATIENCE:
            x, best, waited = _sobol(problem.source, 2 * len(x)), float("inf"), 0
        if stop is not None and stop(partial(_same, heights), used):
            break
    return Fit(heights, used, len(x))


def adam_fresh(
    problem: Problem,
    samples: int,
    *,
    lr: float,
    batch: int,
    start: str = "zero",
    average: bool = False,
    seed: int = 0,
) -> Fit:
    """Adam on fresh draws in every step; with `average`, the mean heights of the second half."""
    target = problem.target
    heights = start_heights(problem, start, seed)
    adam, steps = Adam(len(target), lr), samples // batch
    total = torch.zeros_like(heights)
    for step in range(steps):
        x = draw(problem, step * batch, batch, seed)
        heights = adam.step(heights, mass_gradient(x, target, heights))
        if step >= steps // 2:
            total += heights
    return Fit(total / (steps - steps // 2) if average else heights, steps * batch)


def draw(problem: Any, start: int, n: int, seed: int) -> Tensor:
    """Return rows of the fitting stream."""
    return problem.source.sample(n, seed=seed, stream=Stream.FIT, start=start, dtype=torch.float32)


def _same(heights: Tensor) -> Tensor:
    """Return what a race judges: the last heights."""
    return heights


def _sobol(source: Source, n: int) -> Tensor:
    """Return the first n unscrambled Sobol points, carried to the box or the Gaussian."""
    unit = torch.quasirandom.SobolEngine(source.dim, scramble=False).draw(n)
    if isinstance(source, UniformBox):
        low, high = source.low.to(unit.dtype), source.high.to(unit.dtype)
        return low + (high - low) * unit
    factor = torch.linalg.cholesky(source.covariance).to(unit.dtype)
    inside = unit.clamp(0.5 / n, 1 - 0.5 / n)  # the first point is the corner 0
    return source.mean.to(unit.dtype) + torch.special.ndtri(inside) @ factor.T
