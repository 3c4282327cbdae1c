"""Averaged stochastic gradient descent on the heights: one gain to choose, Polyak's average."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.adam import Stop, draw, mass_gradient, start_heights
from benchmarks.problem import Fit

EXPONENT = 2.0 / 3.0


def averaged_sgd(
    problem: Any,
    samples: int,
    *,
    gain: float,
    batch: int,
    start: str = "ours",
    weighted: bool = False,
    seed: int = 0,
    stop: Stop | None = None,
) -> Fit:
    """h <- h - gain N t^(-2/3) (w - nu) on fresh draws; the plain (or t-weighted) mean of all h."""
    target = problem.target
    heights = start_heights(problem, start, seed)
    total, weights = torch.zeros_like(heights), 0.0
    steps = samples // batch
    for step in range(1, steps + 1):
        x = draw(problem, (step - 1) * batch, batch, seed)
        rate = gain * len(target) * step**-EXPONENT
        heights = heights - rate * mass_gradient(x, target, heights)
        weight = float(step) if weighted else 1.0
        total, weights = total + weight * heights, weights + weight
        if stop is not None and stop(partial(torch.div, total, weights), step * batch):
            break
    return Fit(total / weights, step * batch)
