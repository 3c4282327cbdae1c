"""DampedNewton: hard targets, domains, every status, resumption, agreement with sampling."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from transport.clouds import NAMES, cloud
from transport.oracles import box_halfspaces, brute, brute_grid

from ot_latent._validation import DataError
from ot_latent.transport.domains import GridDensity, UniformPolytope
from ot_latent.transport.measures import DiscreteMeasure, DuplicatePointsWarning
from ot_latent.transport.newton import DampedNewton
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.power_diagram import PowerDiagram
from ot_latent.transport.solution import ConvergenceWarning, SolverError, Status
from ot_latent.transport.sources import UniformBall, UniformBox
from ot_latent.transport.stochastic import StochasticNewton


def uniform_target(name, d, seed=0, n=None):
    return DiscreteMeasure.uniform(np.unique(cloud(name, d, seed, n)[0], axis=0))


def brute_error(potential, target, halfspaces):
    """Largest relative error of the masses by brute force."""
    found = brute(potential.points.numpy(), potential.heights.numpy(), *halfspaces)
    masses = found.volumes / found.volumes.sum()
    return np.abs(masses / target.weights.numpy() - 1).max()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "one"])
@pytest.mark.parametrize("d", [2, 3])
def test_hard_targets_converge(d, name):
    target = uniform_target(name, d)
    found = DampedNewton().solve(UniformBox.unit(d), target)
    assert found.status is Status.CONVERGED
    assert found.steps <= 40
    assert found.mass_error <= 1e-6
    error = brute_error(found.potential, target, box_halfspaces([0] * d, [1] * d))
    size = float(target.points.abs().max())
    assert error <= 1e-6 + 1e-9 * size


@given(st.sampled_from([1, 2, 2, 3]), st.integers(2, 25), st.integers(0, 10**6))
@settings(max_examples=40)
def test_any_lattice_cloud_converges(d, n, seed):
    """Grids with holes, lines, planes, circles, twins that are merged, unequal masses."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, (n, d)) / 2.0
    points[:2] = [[0.0] * d, [1.5] * d]  # two targets at least
    weights = rng.integers(1, 5, n) * 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicatePointsWarning)
        target = DiscreteMeasure(points, weights / weights.sum())
    found = DampedNewton().solve(UniformBox.centered(d), target)
    assert found.converged
    x = UniformBox.centered(d).sample(4000, seed=seed)
    shares = torch.bincount(found.potential.cell_index(x), minlength=len(target)) / 4000
    deviation = (target.weights * (1 - target.weights) / 4000).sqrt() + 1e-3
    assert float(((shares - target.weights).abs() / deviation).max()) < 5


def test_twins_are_merged_and_carry_both_masses():
    points = np.random.default_rng(0).random((20, 2))
    with pytest.warns(DuplicatePointsWarning):
        target = DiscreteMeasure.uniform(np.concatenate([points, points[:5]]))
    found = DampedNewton().solve(UniformBox.unit(2), target)
    masses = PowerDiagram(UniformBox.unit(2), found.potential).masses.numpy()
    np.testing.assert_allclose(masses[:5], 2 / 25, rtol=2e-6)
    np.testing.assert_allclose(masses[5:], 1 / 25, rtol=2e-6)


@pytest.mark.parametrize(("d", "n"), [(1, 1000), (2, 1000), (3, 150)])
def test_masses_of_ratio_one_million(d, n):
    rng = np.random.default_rng(d)
    weights = 10 ** rng.uniform(-6, 0, n)
    weights[:2] = 1e-6, 1.0
    target = DiscreteMeasure(rng.random((n, d)), weights / weights.sum())
    found = DampedNewton().solve(UniformBox.unit(d), target)
    assert found.status is Status.CONVERGED
    assert found.mass_error <= 1e-6
    if d > 1:  # the lightest cells too, seen without the package
        error = brute_error(found.potential, target, box_halfspaces([0] * d, [1] * d))
        assert error == pytest.approx(found.mass_error, abs=1e-8)


def test_an_interval_given_by_half_spaces():
    target = uniform_target("random", 1, n=30)
    half_spaces = UniformPolytope([[-2.0], [1.0]], [2.0, 3.0])  # [-1, 3]
    found = DampedNewton(tolerance=1e-12).solve(half_spaces, target)
    same = DampedNewton(tolerance=1e-12).solve(UniformBox([-1.0], [3.0]), target)
    torch.testing.assert_close(found.potential.heights, same.potential.heights)
    assert found.cost == pytest.approx(same.cost)


@pytest.mark.parametrize("d", [2, 3])
def test_polytopes(d):
    rng = np.random.default_rng(d)
    normals = np.concatenate([rng.standard_normal((6, d)), box_halfspaces([0] * d, [0] * d)[0]])
    offsets = np.concatenate([np.full(6, 1.0), np.full(2 * d, 2.0)])
    target = uniform_target("random", d, n=25)
    found = DampedNewton().solve(UniformPolytope(normals, offsets), target)
    assert found.converged
    assert brute_error(found.potential, target, (normals, offsets)) <= 1.1e-6


@pytest.mark.parametrize(("d", "shape"), [(2, (4, 3)), (3, (2, 2, 3))])
def test_grid_densities(d, shape):
    rng = np.random.default_rng(d)
    values = 10 ** rng.uniform(-1.5, 0.5, shape)
    low, high = [0.0] * d, [1.0] * (d - 1) + [1.5]
    target = uniform_target("random", d, n=12)
    found = DampedNewton().solve(GridDensity(values, low, high), target)
    assert found.converged
    potential = found.potential
    masses = brute_grid(potential.points, potential.heights, values, low, high).volumes
    np.testing.assert_allclose(masses, target.weights.numpy(), rtol=1.1e-6)


PICTURES = {
    "bump": lambda x, y: np.maximum(0, np.sin(7 * x) * np.cos(5 * y) + 0.1),
    "disc": lambda x, y: ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1) * 1.0,
    "spot": lambda x, y: np.exp(-((x - 0.3) ** 2 + (y - 0.4) ** 2) / 0.01),
}


@pytest.mark.parametrize("name", list(PICTURES))
def test_pictures_with_black_parts_converge(name):
    y, x = np.mgrid[0:32, 0:32] / 32
    with pytest.warns(UserWarning, match="floor"):
        source = GridDensity(PICTURES[name](x, y), [0, 0], [1, 1])
    target = uniform_target("random", 2, n=300)
    found = DampedNewton().solve(source, target)
    assert found.converged
    samples = source.sample(50_000, seed=0)
    shares = np.bincount(found.potential.cell_index(samples), minlength=300) / 50_000
    assert np.abs(shares * 300 - 1).max() < 5 * np.sqrt(300 / 50_000)
    assert found.steps < found.history["diagrams"][-1]


@pytest.mark.parametrize("d", [2, 3])
def test_ten_heavy_targets_among_many_light_ones(d):
    rng = np.random.default_rng(d)
    weights = np.where(np.arange(300) < 10, 1e6, 1.0)
    target = DiscreteMeasure(rng.random((300, d)), weights / weights.sum())
    found = DampedNewton().solve(UniformBox.unit(d), target)
    assert found.converged


@pytest.mark.parametrize("d", [2, 3])
def test_solution_is_exact_and_complete(d):
    target = uniform_target("random", d, n=40)
    source = UniformBox.unit(d)
    found = DampedNewton(tolerance=1e-9).solve(source, target)
    diagram = PowerDiagram(source, found.potential)
    assert found.solver == "DampedNewton"
    assert found.error_norm == "max relative"
    assert found.mass_error_interval == (found.mass_error, found.mass_error)
    assert found.cost_interval == (found.cost, found.cost)
    assert found.samples == found.evaluation_samples == 0
    assert found.cost == pytest.approx(diagram.cost(), abs=1e-14)
    assert float(found.potential.heights.mean()) == pytest.approx(0, abs=1e-14)
    residual = found.mass_residual
    torch.testing.assert_close(residual, diagram.masses - target.weights, atol=1e-14, rtol=0)
    assert found.mass_error == pytest.approx(
        float((residual / target.weights).abs().max()), abs=1e-14
    )
    torch.testing.assert_close(found.centroids, diagram.centroids, atol=1e-12, rtol=0)
    inner = float(diagram.second_moments.sum()) / d
    assert found.within_scale == pytest.approx(np.sqrt(inner))
    errors = found.history["error"]
    assert len(errors) == found.steps + 1
    assert errors[-1] == pytest.approx(found.mass_error)
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))
    for key in ("step_length", "smallest_mass", "diagrams"):
        assert key in found.history
    assert min(found.history["smallest_mass"]) > 0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_closed_forms_of_the_cost(d):
    rng = np.random.default_rng(d)
    target = uniform_target("random", d, n=30)
    base = DampedNewton(tolerance=1e-10).solve(UniformBox.unit(d), target).cost
    shift = rng.standard_normal(d)
    moved = DiscreteMeasure.uniform(target.points + torch.from_numpy(shift))
    mean = target.points.mean(0).numpy()
    # W2^2(mu, nu + b) = W2^2(mu, nu) + |b|^2 + 2 <b, mean(nu) - mean(mu)>
    expected = base + shift @ shift + 2 * shift @ (mean - 0.5)
    cost = DampedNewton(tolerance=1e-10).solve(UniformBox.unit(d), moved).cost
    assert cost == pytest.approx(expected, abs=1e-10)
    scaled = DiscreteMeasure.uniform(2 * target.points)
    twice = DampedNewton(tolerance=1e-10).solve(UniformBox([0.0] * d, [2.0] * d), scaled).cost
    assert twice == pytest.approx(4 * base, abs=1e-10)


# -- starts, statuses, interruption ----------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3])
def test_warm_start_saves_steps(d):
    target = uniform_target("random", d, n=100)
    solver, source = DampedNewton(), UniformBox.unit(d)
    cold = solver.solve(source, target)
    same = solver.solve(source, target, initial_heights=cold.potential.heights)
    assert same.steps == 0
    weights = target.weights * torch.linspace(0.98, 1.02, len(target))
    near = DiscreteMeasure(target.points, weights / weights.sum())
    warm = solver.solve(source, near, initial_heights=cold.potential.heights)
    assert warm.steps < solver.solve(source, near).steps
    float32 = solver.solve(source, target, initial_heights=cold.potential.heights.float().tolist())
    assert float32.converged


@pytest.mark.parametrize("d", [1, 2, 3])
def test_float32_targets_are_solved_in_double_precision(d):
    target = DiscreteMeasure.uniform(uniform_target("random", d, n=40).points.float())
    found = DampedNewton().solve(UniformBox.unit(d), target)
    assert found.converged
    exact = BrenierPotential(found.potential.points.double(), found.potential.heights.double())
    if d > 1:
        masses = PowerDiagram(UniformBox.unit(d), exact).masses
        assert float((masses / target.weights - 1).abs().max()) < 1e-3


def test_max_steps_warns_and_returns_what_it_has():
    target = uniform_target("random", 2, n=100)
    with pytest.warns(ConvergenceWarning, match="MAX_STEPS"):
        found = DampedNewton(max_steps=1, tolerance=1e-10).solve(UniformBox.unit(2), target)
    assert found.status is Status.MAX_STEPS
    assert found.steps == 1
    heights = found.potential.heights
    again = DampedNewton(tolerance=1e-10).solve(UniformBox.unit(2), target, initial_heights=heights)
    assert again.converged


def test_stalled_at_rounding_warns():
    target = uniform_target("random", 2, n=100)
    with pytest.warns(ConvergenceWarning, match="STALLED"):
        found = DampedNewton(tolerance=1e-18).solve(UniformBox.unit(2), target)
    assert found.status is Status.STALLED
    assert found.mass_error < 1e-11


def test_initial_heights_that_empty_a_cell():
    target = uniform_target("random", 2, n=50)
    heights = torch.zeros(50)
    heights[3] = -100.0
    with pytest.raises(SolverError, match="EMPTY_CELL") as caught:
        DampedNewton().solve(UniformBox.unit(2), target, initial_heights=heights)
    assert caught.value.solution.status is Status.EMPTY_CELL


def test_a_linear_solve_that_overflows_is_nonfinite(monkeypatch):
    monkeypatch.setattr(
        "ot_latent.transport.newton.solve_laplacian", lambda *_, **__: np.full(50, np.nan)
    )
    with pytest.raises(SolverError, match="NONFINITE"):
        DampedNewton().solve(UniformBox.unit(2), uniform_target("random", 2, n=50))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_units_far_from_one(d):
    """Targets and domains of any size, targets far from the origin."""
    target = uniform_target("random", d, n=20)
    for scale in (1e-100, 1e-8, 1e8, 1e100):
        found = DampedNewton().solve(
            UniformBox.unit(d), DiscreteMeasure.uniform(target.points * scale)
        )
        assert found.converged
        assert DampedNewton().solve(UniformBox([0.0] * d, [scale] * d), target).converged
    assert (
        DampedNewton()
        .solve(UniformBox.unit(d), DiscreteMeasure.uniform(target.points + 1e8))
        .converged
    )
    assert DampedNewton().solve(UniformBox([1e6] * d, [1e6 + 1] * d), target).converged


@pytest.mark.parametrize("d", [1, 2, 3])
def test_interrupted_and_resumed_is_bit_equal(d):
    target = uniform_target("clustered", d, n=60)
    solver, source = DampedNewton(tolerance=1e-9), UniformBox.unit(d)
    seen = []

    def watch(state):
        seen.append((state.step, float(state.heights.sum())))

    whole = solver.solve(source, target, callback=watch)
    if d == 1:  # nothing to interrupt: the closed form is one step at most
        assert whole.converged
        return
    assert len(seen) == whole.steps >= 2
    with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
        part = solver.solve(source, target, callback=lambda state: state.step >= 1)
    assert part.status is Status.INTERRUPTED
    assert part.steps == 1
    rest = solver.solve(source, target, state=part.state)
    assert rest.converged
    assert rest.steps == whole.steps
    assert torch.equal(rest.potential.heights, whole.potential.heights)
    assert rest.history == whole.history


def test_states_show_their_diagram():
    diagrams = []
    target = uniform_target("random", 2, n=50)
    DampedNewton().solve(
        UniformBox.unit(2), target, callback=lambda state: diagrams.append(state.diagram)
    )
    errors = [float((d.masses / target.weights - 1).abs().max()) for d in diagrams]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] <= 1e-6


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "weights", "message"),
    [
        ([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0], "positive"),
        ([[0.0, 0.0], [1.0, 1.0]], [-0.5, 1.5], "positive"),
        ([[0.0, 0.0], [1.0, 1.0]], [0.5, 0.6], "sum to 1"),
        ([[0.0, float("nan")], [1.0, 1.0]], [0.5, 0.5], "finite"),
        (np.zeros((0, 2)), np.zeros(0), "at least one row"),
    ],
)
def test_targets_that_are_none(points, weights, message):
    with pytest.raises(DataError, match=message):
        DiscreteMeasure(points, weights)


def test_refusals():
    target = uniform_target("random", 2, n=5)
    solver = DampedNewton()
    with pytest.raises(ValueError, match="StochasticNewton"):
        solver.solve(UniformBox.unit(4), DiscreteMeasure.uniform(np.eye(4)))
    with pytest.raises(DataError, match="at least two distinct points"):
        solver.solve(UniformBox.unit(2), DiscreteMeasure.uniform([[0.3, 0.3]]))
    for scale in (1e-300, 1e200):
        with pytest.raises(DataError, match="divide it by its rms"):
            solver.solve(UniformBox.unit(2), DiscreteMeasure.uniform(target.points * scale))
    with pytest.raises(ValueError, match="dimension"):
        solver.solve(UniformBox.unit(3), target)
    with pytest.raises((ValueError, TypeError), match="StochasticNewton|UniformBox"):
        solver.solve(UniformBall(2), target)
    with pytest.raises(ValueError, match="initial_heights"):
        solver.solve(UniformBox.unit(2), target, initial_heights=[0.0])
    with pytest.raises(ValueError, match="finite"):
        solver.solve(UniformBox.unit(2), target, initial_heights=[float("nan")] * 5)
    with pytest.raises(ValueError, match="tolerance"):
        DampedNewton(tolerance=0.0)
    with pytest.raises(ValueError, match="max_steps"):
        DampedNewton(max_steps=0)
    with pytest.raises(ValueError, match="linear_solver"):
        DampedNewton(linear_solver="magic")
    other = solver.solve(UniformBox.unit(2), uniform_target("random", 2, n=6)).state
    with pytest.raises(ValueError, match="state"):
        solver.solve(UniformBox.unit(2), target, state=other)


# -- against the sampled solver --------------------------------------------------------------------


def distances_to_exact(d, n, decades, seeds, batch_size=256):
    """Return sample numbers, distances of averaged heights, and the efficiency at the end.

    Draws are independent: crossed ones, whose blocks are stratified, get there faster in the plane.

    The distance is the norm of the exact Hessian, which does not see the gauge; rms over seeds.
    """
    source, target = UniformBox.unit(d), uniform_target("random", d, n=n)
    exact = DampedNewton(tolerance=1e-10).solve(source, target)
    hessian = torch.from_numpy(PowerDiagram(source, exact.potential).hessian().toarray())
    marks = np.round(16 * 10 ** np.linspace(0, decades, 4 * decades + 1)).astype(int)
    squares, chi_square = np.zeros(len(marks)), 0.0
    for seed in range(seeds):
        solver = StochasticNewton(
            seed=seed, batch_size=batch_size, max_samples=10**12, sampling="independent"
        )
        state = replace(solver.init(source, target), goal=10**12)  # no verdict on the way
        for i, mark in enumerate(marks):
            while state.step < mark:
                state = solver.step(state, source, target)
            off = state.average - exact.potential.heights
            squares[i] += float(off @ hessian @ off) / seeds
        masses = PowerDiagram(source, BrenierPotential(target.points, state.average)).masses
        chi_square += float(((masses - target.weights).square() / target.weights).sum()) / seeds
    efficiency = np.sqrt(chi_square * state.samples / (n - 1))
    return batch_size * marks, np.sqrt(squares), efficiency


def report_slope(d, n, samples, errors, efficiency):
    slope = np.polyfit(np.log(samples), np.log(errors), 1)[0]
    print(f"d = {d}, N = {n}: slope {slope:.2f}, efficiency {efficiency:.2f}")  # noqa: T201
    return slope


@pytest.mark.parametrize("d", [2, 3])
def test_sampled_heights_approach_the_exact_ones(d):
    measured = distances_to_exact(d, 20, decades=1, seeds=4)
    assert report_slope(d, 20, *measured) == pytest.approx(-0.5, abs=0.25)
    assert measured[2] < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 3])
def test_sampled_heights_fall_with_slope_one_half_over_three_decades(d):
    measured = distances_to_exact(d, 50, decades=3, seeds=5)
    assert report_slope(d, 50, *measured) == pytest.approx(-0.5, abs=0.1)
    assert measured[2] < 1.5
