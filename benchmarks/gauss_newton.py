"""The stochastic Gauss-Newton method for semi-discrete transport, one draw at a time.

Written from the description of Bercu, Bigot, Gadat and Siviero ("A stochastic Gauss-Newton algorithm
for regularized semi-discrete optimal transport", Information and Inference 12(1), 2023). With the
gradient of a single draw, p_k = nu - pi(x_k, v_(k-1)), where pi are soft assignments of regularity
epsilon (hard ones for epsilon = 0), the ascent is

    v_n = v_(n-1) + n^alpha S_(n-1)^-1 p_n,
    S_n = S_(n-1) + p_n p_n^T + gamma (1 + floor(n / N))^-beta nu_l e_l e_l^T,   l = n mod N,

projected to mean zero; the answer is the average of all v. Both rank-one terms enter the inverse by
the formula of Sherman and Morrison, N^2 operations each: the last term, which visits the coordinates in
turn, keeps the matrix from degenerating. The cost here is -<x, y>, and S starts at the identity
over `unit`, which is the scale of the cost: a step is `unit` times as long.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dsymv, dsyr

from benchmarks.adam import draw, start_heights
from benchmarks.race import Watch
from benchmarks.sampled_problems import SampledProblem

BLOCK = 1024  # draws fetched at a time


class InverseSum:
    """The inverse of a growing sum of rank-one terms; only the upper triangle is kept."""

    def __init__(self, n: int, start: float = 1.0) -> None:
        self.inverse = np.asfortranarray(np.eye(n) / start)

    def solve(self, vector: np.ndarray) -> np.ndarray:
        """Return S^-1 vector."""
        return dsymv(1.0, self.inverse, vector)

    def column(self, place: int) -> np.ndarray:
        """Return a column of S^-1."""
        upper = self.inverse
        return np.concatenate([upper[:place, place], upper[place, place:]])

    def add(self, solved: np.ndarray, product: float, factor: float = 1.0) -> None:
        """Add factor p p^T to S, given S^-1 p and <p, S^-1 p>."""
        scale = -factor / (1.0 + factor * product)
        self.inverse = dsyr(scale, solved, a=self.inverse, overwrite_a=1)


def assignment(scores: np.ndarray, weights: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the share of a draw that each target receives."""
    if epsilon == 0:
        hard = np.zeros_like(scores)
        hard[scores.argmax()] = 1.0
        return hard
    soft = weights * np.exp((scores - scores.max()) / epsilon)
    return soft / soft.sum()


def gauss_newton(
    problem: SampledProblem,
    watch: Watch,
    *,
    alpha: float = 0.25,
    gamma: float = 1.0,
    beta: float = 0.25,
    epsilon: float = 0.01,
    unit: float = 0.1,
    start: str = "voronoi",
    seed: int = 0,
    max_steps: int = 10**12,
) -> np.ndarray:
    """Run until the watch stops it; return the averaged heights."""
    target, n = problem.target, problem.n
    points, weights = target.points.double().numpy(), target.weights.numpy()
    watch.start()
    heights = _start(problem, start, seed)
    average, total = heights.copy(), InverseSum(n)
    x = np.empty((0, problem.dim))
    for step in range(1, max_steps + 1):
        if (step - 1) % BLOCK == 0:
            x = draw(problem, step - 1, BLOCK, seed).double().numpy()
        scores = points @ x[(step - 1) % BLOCK] + heights
        gradient = weights - assignment(scores, weights, epsilon)
        solved = total.solve(gradient)
        heights = heights + unit * step**alpha * solved
        heights -= heights.mean()
        average += (heights - average) / step
        total.add(solved, float(gradient @ solved))
        place = step % n
        column = total.column(place)
        factor = gamma * (1 + step // n) ** -beta * weights[place]
        total.add(column, float(column[place]), factor)
        if watch(partial(torch.from_numpy, average), step):
            break
    watch.finish(partial(torch.from_numpy, average), step)
    return average


def _start(problem: Any, start: str, seed: int) -> np.ndarray:
    """Return Voronoi cells (the potential zero of |x - y|^2) or our start."""
    if start == "voronoi":
        heights = -0.5 * problem.target.points.double().square().sum(dim=1)
        return (heights - heights.mean()).numpy()
    return start_heights(problem, start, seed).numpy().copy()
