"""Potentials of POT and OTT-JAX read and written: same cells, same function, warm starts."""

import numpy as np
import pytest
import torch

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.newton import DampedNewton
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton

N, D = 12, 2


@pytest.fixture(scope="module")
def target():
    rng = torch.Generator().manual_seed(3)
    masses = 0.5 + torch.rand(N, generator=rng, dtype=torch.float64)
    points = 0.4 + torch.rand(
        N, D, generator=rng, dtype=torch.float64
    )  # beside the source's centre
    return DiscreteMeasure(points, masses / masses.sum())


@pytest.fixture(scope="module")
def exact(target):
    return DampedNewton().solve(UniformBox.unit(D), target).potential


def noise(n=2000):
    return UniformBox.unit(D).sample(n, seed=11)


def same_up_to_gauge(a, b, tolerance):
    difference = a - b
    return float((difference - difference.mean()).abs().max()) < tolerance


class TestPot:
    """`ot.semidiscrete`, cost |x - y|^2."""

    def test_its_solution_is_ours(self, target, exact):
        from ot.semidiscrete import semidiscrete_atom_weights, solve_semidiscrete

        points, x = target.points.numpy(), noise()
        rng = np.random.default_rng(0)
        g = solve_semidiscrete(
            points, lambda n: rng.random((n, D)), target.weights.numpy(), max_iter=10_000
        )
        read = BrenierPotential.from_semidual(points, g, "pot")
        theirs = semidiscrete_atom_weights(points, x.numpy(), g).argmax(axis=1)
        assert np.array_equal(read.cell_index(x).numpy(), theirs)
        assert same_up_to_gauge(read.heights, exact.heights, 0.02)

    def test_ours_is_its_solution(self, target, exact):
        from ot.semidiscrete import semidiscrete_atom_weights, semidiscrete_c_transform

        points, x, g = target.points.numpy(), noise(), exact.semidual("pot").numpy()
        theirs = semidiscrete_atom_weights(points, x.numpy(), g).argmax(axis=1)
        assert np.array_equal(exact.cell_index(x).numpy(), theirs)
        transform = torch.from_numpy(semidiscrete_c_transform(points, x.numpy(), g))
        torch.testing.assert_close(transform, x.square().sum(dim=1) - 2 * exact(x))

    def test_it_starts_where_we_stopped(self, target, exact):
        from ot.semidiscrete import solve_semidiscrete

        rng = np.random.default_rng(0)
        g = solve_semidiscrete(
            target.points.numpy(),
            lambda n: rng.random((n, D)),
            target.weights.numpy(),
            max_iter=1,
            lr0=1e-9,
            init_potential=exact.semidual("pot").numpy(),
        )
        read = BrenierPotential.from_semidual(target.points, g, "pot")
        assert same_up_to_gauge(read.heights, exact.heights, 1e-6)


class TestOtt:
    """`SemidiscreteSolver` of OTT-JAX, whose default cost is |x - y|^2 too."""

    @pytest.fixture
    def problem(self, target, recwarn):
        pytest.importorskip("ott", reason="OTT-JAX is not installed: pip install '.[bench]'")
        import jax
        import jax.numpy as jnp
        from ott.geometry.semidiscrete_pointcloud import SemidiscretePointCloud
        from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem

        geometry = SemidiscretePointCloud(
            jax.random.uniform, jnp.asarray(target.points.numpy(), jnp.float32), epsilon=0.0
        )
        masses = jnp.asarray(target.weights.numpy(), jnp.float32)
        return SemidiscreteLinearProblem(geometry, b=masses)

    def solved(self, problem, steps, rate, start=None):
        import jax
        import optax
        from ott.solvers.linear.semidiscrete import SemidiscreteSolver

        solver = SemidiscreteSolver(
            num_iterations=steps,
            batch_size=256,
            optimizer=optax.sgd(rate),
            error_eval_every=steps,
            error_num_repeats=1,
            threshold=0.0,
        )
        return solver(jax.random.key(0), problem, start)

    def test_its_function_is_ours(self, problem, target, exact):
        import jax
        import jax.numpy as jnp

        x, g = noise(), jnp.asarray(exact.semidual("ott").numpy(), jnp.float32)
        transform = jax.vmap(problem.potential_fn_from_dual_vec(g))
        theirs = np.array(transform(jnp.asarray(x.numpy(), jnp.float32)))
        ours = (x.square().sum(dim=1) - 2 * exact(x)).numpy()
        np.testing.assert_allclose(theirs, ours, atol=1e-5)

    def test_it_starts_where_we_stopped(self, problem, target, exact):
        import jax.numpy as jnp

        start = jnp.asarray(exact.semidual("ott").numpy(), jnp.float32)
        found = self.solved(problem, 1, 1e-9, start)
        read = BrenierPotential.from_semidual(target.points, found.g, "ott")
        assert same_up_to_gauge(read.heights, exact.heights, 1e-5)

    @pytest.mark.slow
    def test_its_solution_is_ours(self, problem, target, exact):
        found = self.solved(problem, 2000, 0.3)
        read = BrenierPotential.from_semidual(target.points, found.g, "ott")
        assert same_up_to_gauge(read.heights, exact.heights, 0.02)


@pytest.mark.parametrize("convention", ["pot", "ott", "half"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_written_and_read_again(exact, convention, dtype):
    potential = BrenierPotential(exact.points.to(dtype), exact.heights)
    again = BrenierPotential.from_semidual(
        potential.points, potential.semidual(convention).numpy(), convention
    )
    torch.testing.assert_close(again.heights, potential.heights, atol=1e-6, rtol=1e-6)
    assert again.heights.dtype == dtype
    half = potential.semidual("half")
    torch.testing.assert_close(half, potential.kantorovich().double(), atol=1e-5, rtol=1e-5)


def test_a_foreign_potential_is_a_warm_start(target, exact):
    g = exact.semidual("pot").numpy()
    heights = BrenierPotential.from_semidual(target.points, g, "pot").heights
    solver, source = StochasticNewton(tolerance=0.2), UniformBox.unit(D)
    state = solver.init(source, target, initial_heights=heights)
    assert same_up_to_gauge(state.heights, exact.heights, 1e-12)


def test_refusals():
    with pytest.raises(
        ValueError, match="convention must be one of pot, ott, half, got 'geomloss'"
    ):
        BrenierPotential.from_semidual([[0.0]], [0.0], "geomloss")
    with pytest.raises(ValueError, match="convention must be one of"):
        BrenierPotential([[0.0]], [0.0]).semidual("other")
    with pytest.raises(ValueError, match="semidual must have one entry per point, got 2 for 1"):
        BrenierPotential.from_semidual([[0.0]], [0.0, 1.0])
