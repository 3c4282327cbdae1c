"""The semi-discrete solvers of other libraries: POT (NumPy backend) and OTT-JAX.

Both maximise the semi-dual of the cost |x - y|^2; their potential g gives the heights
h_j = (g_j - |y_j|^2) / 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.problem import Fit, Problem


def pot(
    problem: Problem,
    samples: int,
    *,
    batch: int = 32,
    lr0: float | None = None,
    regularised: bool = True,
    max_cost: float | None = None,
    seed: int = 0,
) -> Fit:
    """`ot.semidiscrete`: projected averaged SGD, by default with decreasing regularisation."""
    from ot.semidiscrete import solve_semidiscrete

    points = problem.target.points.double().numpy()
    rng = np.random.default_rng(seed)
    steps = samples // batch
    potential = solve_semidiscrete(
        points,
        lambda n: rng.random((n, problem.dim)),
        max_iter=steps,
        batch_size=batch,
        lr0=lr0,
        decreasing_reg=regularised,
        max_cost=max_cost,
    )
    return Fit(_heights(potential, points), steps * batch)


class OttSolver:
    """OTT-JAX's `SemidiscreteSolver`, compiled before the clock starts."""

    def __init__(
        self,
        problem: Problem,
        samples: int,
        *,
        batch: int,
        optimizer: str,
        lr: float,
        ema: float,
        seed: int = 0,
    ) -> None:
        import jax
        import jax.numpy as jnp
        import optax
        from ott.geometry.semidiscrete_pointcloud import SemidiscretePointCloud
        from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem
        from ott.solvers.linear.semidiscrete import SemidiscreteSolver

        self.points = problem.target.points.double().numpy()
        self.steps, self.batch = samples // batch, batch
        geometry = SemidiscretePointCloud(
            jax.random.uniform, jnp.asarray(self.points, jnp.float32), epsilon=0.0
        )
        self.problem = SemidiscreteLinearProblem(geometry)
        solver = SemidiscreteSolver(
            num_iterations=self.steps,
            batch_size=batch,
            optimizer=getattr(optax, optimizer)(lr),
            error_eval_every=self.steps,  # its own error test costs draws and time: once, at the end
            error_num_repeats=1,
            threshold=0.0,
            potential_ema=ema,
        )
        self.key = jax.random.key(seed)
        run: Any = jax.jit(lambda key, task: solver(key, task).g)
        self.compiled = run.lower(self.key, self.problem).compile()

    def __call__(self) -> Fit:
        """Solve."""
        potential = np.asarray(self.compiled(self.key, self.problem), dtype=np.float64)
        return Fit(_heights(potential, self.points), self.steps * self.batch)


def _heights(potential: np.ndarray, points: np.ndarray) -> torch.Tensor:
    """Turn the potential of |x - y|^2 into heights of mean zero."""
    heights = torch.from_numpy((np.asarray(potential) - (points**2).sum(1)) / 2)
    return heights - heights.mean()
