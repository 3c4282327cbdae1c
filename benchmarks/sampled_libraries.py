"""OTT-JAX and POT in a race: both are stopped at checkpoints and go on where they stood.

Both maximise the semi-dual of the cost |x - y|^2 from potential zero (Voronoi cells); heights are
h_j = (g_j - |y_j|^2) / 2.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.race import Stopped, Watch
from benchmarks.sampled_problems import SampledProblem
from ot_latent.transport.sources import Gaussian

CHUNK_S = 0.05  # seconds between two looks at the clock, where an iteration is shorter


def heights_of(potential: Any, points: Tensor) -> Tensor:
    """Turn the potential of |x - y|^2 into heights of mean zero."""
    g = torch.from_numpy(np.array(potential, dtype=np.float64))
    heights = (g - points.double().square().sum(dim=1)) / 2
    return heights - heights.mean()


class OttChunks:
    """OTT-JAX's `SemidiscreteSolver` in chunks of its own `step`; optimiser and average carry on.

    Its call runs to the end and returns the average only, so the loop around `step` is ours: the
    same keys (`fold_in` of the first half of the split key), the same state, built as its call
    does, and no marginal errors computed. `num_iterations` sizes the record of losses, which is held
    at one entry: writes beyond it are dropped. The number of steps of a chunk is an argument, so one
    compilation, before the clock, serves all.
    """

    def __init__(
        self,
        problem: SampledProblem,
        *,
        batch: int,
        optimizer: str,
        lr: float,
        ema: float,
        seed: int = 0,
    ) -> None:
        _limit_threads()
        import jax
        import jax.numpy as jnp
        import optax
        from ott.geometry.semidiscrete_pointcloud import SemidiscretePointCloud
        from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem
        from ott.solvers.linear import semidiscrete

        self.points, self.batch = problem.target.points, batch
        geometry = SemidiscretePointCloud(
            _ott_sampler(problem), jnp.asarray(self.points.numpy(), jnp.float32), epsilon=0.0
        )
        self.solver = semidiscrete.SemidiscreteSolver(
            num_iterations=1,
            batch_size=batch,
            optimizer=getattr(optax, optimizer)(lr),
            error_eval_every=2**30,
            potential_ema=ema,
        )
        task = SemidiscreteLinearProblem(geometry)
        key = jax.random.split(jax.random.key(seed), 2)[0]
        zeros, inf = jnp.zeros(problem.n, jnp.float32), jnp.full(1, jnp.inf, jnp.float32)
        self.state = semidiscrete.SemidiscreteState(
            it=jnp.array(0),
            epsilon=jnp.array(jnp.nan, jnp.float32),
            g=zeros,
            g_ema=zeros,
            opt_state=self.solver.optimizer.init(zeros),
            losses=inf,
            grad_norms=inf,
            errors=inf,
        )

        def chunk(state: Any, steps: Any, task: Any) -> Any:
            def body(_: Any, state: Any) -> Any:
                return self.solver.step(jax.random.fold_in(key, state.it), state, task)

            return jax.lax.fori_loop(0, steps, body, state)

        self.task, self.wait = task, jax.block_until_ready
        self.compiled: Any = jax.jit(chunk).lower(self.state, 1, task).compile()

    def advance(self, steps: int) -> None:
        """Take some steps."""
        self.state = self.wait(self.compiled(self.state, steps, self.task))

    @property
    def samples(self) -> int:
        """Draws so far."""
        return int(self.state.it) * self.batch

    def heights(self) -> Tensor:
        """Return the heights of the averaged potential."""
        return heights_of(np.asarray(self.state.g_ema), self.points)


def ott(problem: SampledProblem, watch: Watch, *, seed: int = 0, **options: Any) -> None:
    """Race OTT-JAX; compiled before the clock starts."""
    run, steps = OttChunks(problem, seed=seed, **options), 1
    watch.start()
    while True:
        began = time.perf_counter()
        run.advance(steps)
        took = time.perf_counter() - began
        if watch(run.heights, run.samples):
            return
        if took < CHUNK_S / 2:
            steps *= 2


def _limit_threads() -> None:
    """Hold JAX to one thread where the others are: it does not read OMP_NUM_THREADS."""
    if os.environ.get("OMP_NUM_THREADS") == "1":
        one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ.setdefault("XLA_FLAGS", one)


def _ott_sampler(problem: SampledProblem) -> Any:
    """Return a function of key, shape and dtype that draws from the source."""
    import jax

    if isinstance(problem.source, Gaussian):
        return jax.random.normal
    low, high = float(problem.source.low[0]), float(problem.source.high[0])

    def uniform(key: Any, shape: Any, dtype: Any) -> Any:
        return jax.random.uniform(key, shape, dtype, low, high)

    return uniform


def pot(
    problem: SampledProblem,
    watch: Watch,
    *,
    batch: int = 32,
    gain: float = 1.0,
    dtype: str = "float32",
    regularised: bool = True,
    seed: int = 0,
) -> None:
    """Race `ot.semidiscrete`, NumPy backend; `gain` multiplies its default step sqrt(N batch).

    It has no callback and cannot continue, but it asks for its draws in every iteration: the sampler
    reads the running average from the frame that called it, and stops the run by an exception.
    """
    from ot.semidiscrete import solve_semidiscrete

    points = problem.target.points.numpy().astype(dtype)
    sampler, drawn = _pot_sampler(problem, dtype, seed), 0

    def hook(n: int) -> np.ndarray:
        nonlocal drawn
        frame = sys._getframe(1)
        if drawn and watch(
            lambda: heights_of(frame.f_locals["g_avg"], problem.target.points), drawn
        ):
            raise Stopped
        drawn += n
        return sampler(n)

    watch.start()
    try:
        solve_semidiscrete(
            points,
            hook,
            max_iter=10**12,
            batch_size=batch,
            lr0=gain * (problem.n * batch) ** 0.5,
            decreasing_reg=regularised,
        )
    except Stopped:
        return


def _pot_sampler(problem: SampledProblem, dtype: str, seed: int) -> Any:
    """Return a function of the number of rows."""
    rng = np.random.default_rng(seed)
    if isinstance(problem.source, Gaussian):
        return lambda n: rng.standard_normal((n, problem.dim), dtype=dtype)
    low, high = float(problem.source.low[0]), float(problem.source.high[0])
    span, low = np.dtype(dtype).type(high - low), np.dtype(dtype).type(low)
    return lambda n: low + span * rng.random((n, problem.dim), dtype=dtype)
