"""StochasticNewton: closed forms, the statistical limit, every status, bit-equal resumption."""

import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from ot_latent._random import Stream
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import ConvergenceWarning, SolverError, Status
from ot_latent.transport.sources import Gaussian, UniformBall, UniformBox
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.survey import survey_cells


def mixture(n, d, seed=7):
    rng = np.random.default_rng(seed)
    centres = 0.2 + 0.6 * rng.random((10, d))
    points = centres[rng.integers(10, size=n)] + 0.1 * rng.standard_normal((n, d))
    return DiscreteMeasure.uniform(points.astype(np.float32))


def test_two_points_have_the_closed_form():
    target = DiscreteMeasure([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.75])
    found = StochasticNewton(tolerance=0.01).solve(UniformBox.unit(2), target)
    assert found.status is Status.CONVERGED
    expected = torch.tensor([1 / 16, -1 / 16], dtype=torch.float64)
    torch.testing.assert_close(found.potential.heights, expected, atol=3e-3, rtol=0)
    assert found.cost == pytest.approx(13 / 96, abs=3e-3)


def test_one_dimension_has_cells_between_cumulated_weights():
    rng = np.random.default_rng(0)
    points, weights = np.sort(rng.random(5)), rng.dirichlet(np.full(5, 4.0))
    target = DiscreteMeasure(points[:, None], weights)
    found = StochasticNewton(tolerance=0.04).solve(UniformBox.unit(1), target)
    ends = np.cumsum(weights)[:-1]  # <x, y_j> + h_j = <x, y_{j+1}> + h_{j+1} there
    heights = np.concatenate([[0.0], -np.cumsum(ends * np.diff(points))])
    difference = found.potential.heights.numpy() - (heights - heights.mean())
    assert np.abs(difference).max() < 1e-2


def test_grid_keeps_voronoi_heights():
    side = (np.arange(4) + 0.5) / 4
    points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    found = StochasticNewton(tolerance=0.05).solve(
        UniformBox.unit(2), DiscreteMeasure.uniform(points)
    )
    kantorovich = found.potential.kantorovich()
    assert float(kantorovich.max() - kantorovich.min()) < 5e-3
    assert found.cost == pytest.approx(1 / (6 * 16), rel=0.05)


def test_translation_keeps_heights_and_scaling_scales_them():
    target = mixture(60, 4)
    base = StochasticNewton(tolerance=0.2).solve(UniformBox.unit(4), target).potential.heights
    moved = DiscreteMeasure.uniform(2 * target.points + 1)
    twice = StochasticNewton(tolerance=0.2).solve(UniformBox.unit(4), moved).potential.heights
    torch.testing.assert_close(twice, 2 * base, atol=5e-3, rtol=0)  # float32 rounding moves ties


@pytest.mark.parametrize("source", [UniformBox.centered(6), UniformBall(6), Gaussian.standard(6)])
def test_every_source_and_unequal_masses(source):
    rng = np.random.default_rng(3)
    weights = np.exp(rng.uniform(np.log(1), np.log(50), 150))
    target = DiscreteMeasure(rng.standard_normal((150, 6)), weights / weights.sum())
    found = StochasticNewton(tolerance=0.1, seed=1).solve(source, target)
    assert found.status is Status.CONVERGED
    fresh = survey_cells(found.potential, source, 100_000, seed=9, stream=Stream.BASELINE)
    error, (low, high) = fresh.mass_error(target.weights)
    assert low <= 0.105
    assert error == pytest.approx(found.mass_error, abs=0.03)
    assert found.mass_error_interval[0] <= high
    assert abs(float(found.potential.heights.mean())) < 1e-12
    assert abs(float(found.mass_residual.sum())) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["crossed", "independent"])
@pytest.mark.parametrize("d", [10, 32, 64])
def test_efficiency_stays_at_the_statistical_limit(d, sampling):
    target = mixture(1000, d)
    draws = 128 * 1000
    solver = StochasticNewton(tolerance=1e-3, max_samples=draws, sampling=sampling)
    with pytest.warns(ConvergenceWarning):
        found = solver.solve(UniformBox.unit(d), target)
    fresh = survey_cells(found.potential, UniformBox.unit(d), 500_000, seed=5)
    efficiency = fresh.mass_error(target.weights)[0] / math.sqrt(999 / found.effective_samples)
    assert draws - found.state.rows**2 < found.samples <= draws
    assert efficiency < 1.25


def test_error_is_honest_on_draws_never_used():
    """The reported interval must cover what independent draws say, over many seeds."""
    target, source = mixture(100, 5), UniformBox.unit(5)
    hits = 0
    for seed in range(20):
        found = StochasticNewton(tolerance=0.25, seed=seed).solve(source, target)
        fresh = survey_cells(found.potential, source, 100_000, seed=1000 + seed)
        low, high = found.mass_error_interval
        hits += low - 0.01 <= fresh.mass_error(target.weights)[0] <= high + 0.01
    assert hits >= 17


def test_interrupted_and_resumed_is_bit_equal():
    target, source, solver = mixture(300, 4), UniformBox.unit(4), StochasticNewton(tolerance=0.15)
    whole = solver.solve(source, target)
    for stop in (1, 7, 20):
        with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
            part = solver.solve(source, target, callback=lambda s, stop=stop: s.step >= stop)
        assert part.status is Status.INTERRUPTED
        metadata = json.loads(json.dumps(part.state.to_metadata()))
        state = StochasticNewtonState.from_parts(part.state.to_tensors(), metadata)
        again = solver.solve(source, target, state=state)
        assert torch.equal(again.potential.heights, whole.potential.heights)
        assert torch.equal(again.centroids, whole.centroids)
        assert again.mass_error == whole.mass_error
        assert again.history == whole.history
        assert again.state.to_metadata() == whole.state.to_metadata()


def test_finished_state_returns_at_once():
    target, source, solver = mixture(50, 3), UniformBox.unit(3), StochasticNewton(tolerance=0.3)
    whole = solver.solve(source, target)
    calls = []
    again = solver.solve(source, target, state=whole.state, callback=calls.append)
    assert calls == []
    assert again.mass_error == whole.mass_error


def test_good_heights_converge_without_a_step():
    target, source = mixture(100, 5), UniformBox.unit(5)
    tight = StochasticNewton(tolerance=0.08).solve(source, target)
    again = StochasticNewton(tolerance=0.2, seed=3).solve(
        source, target, initial_heights=tight.potential.heights
    )
    assert again.converged
    assert again.steps == 0


def test_budgets_end_with_a_warning():
    target, source = mixture(200, 5), UniformBox.unit(5)
    with pytest.warns(ConvergenceWarning, match=r"SAMPLE_BUDGET .* raise max_samples"):
        found = StochasticNewton(tolerance=0.01, max_samples=3000, sampling="independent").solve(
            source, target
        )
    assert found.status is Status.SAMPLE_BUDGET
    assert found.samples == 3000
    with pytest.warns(ConvergenceWarning, match=r"SAMPLE_BUDGET .* raise max_samples"):
        found = StochasticNewton(tolerance=0.01, max_samples=3000).solve(source, target)
    assert 3000 - found.state.rows**2 < found.samples <= 3000
    assert not found.converged
    with pytest.warns(ConvergenceWarning, match=r"MAX_STEPS .* raise max_steps"):
        found = StochasticNewton(tolerance=0.01, max_steps=4).solve(source, target)
    assert (found.status, found.steps) == (Status.MAX_STEPS, 4)


def test_rounding_stalls():
    points = mixture(60, 2).points + 2.0**23  # float32 keeps whole numbers there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rounding makes duplicates
        target = DiscreteMeasure.uniform(points)
    with pytest.warns(ConvergenceWarning, match="STALLED .* float64"):
        found = StochasticNewton(tolerance=0.02, seed=0).solve(UniformBox.unit(2), target)
    assert found.status is Status.STALLED


def test_a_curve_without_thickness_is_slow_and_said_to_be():
    t, frame = torch.rand(300, generator=torch.Generator().manual_seed(0)) * 4 * math.pi, 16
    turn = torch.linalg.qr(torch.randn(frame, frame, generator=torch.Generator().manual_seed(1)))[0]
    helix = torch.stack([t.cos(), t.sin(), t / 6], dim=1).double() @ turn[:3].double()
    rough = torch.randn(300, frame, generator=torch.Generator().manual_seed(2)).double()
    solver, box = StochasticNewton(tolerance=0.1, seed=0), UniformBox.centered(frame)
    with pytest.warns(ConvergenceWarning, match="sample budget"):
        bare = solver.solve(box, DiscreteMeasure.uniform(helix))
    assert bare.efficiency > 10
    thick = solver.solve(box, DiscreteMeasure.uniform(helix + 0.02 * rough))
    assert thick.status is Status.CONVERGED
    assert thick.efficiency < 2


def test_empty_cell_and_nonfinite_raise_with_the_solution():
    target = DiscreteMeasure([[0.0], [1.0], [50.0]], [0.49, 0.02, 0.49])
    solver = StochasticNewton(tolerance=0.1, max_samples=100, sampling="independent")
    nearly = [0.0, -0.8, -25.0]  # but the second cell is empty, and the draws are few
    with pytest.raises(SolverError, match="EMPTY_CELL") as caught:
        solver.solve(UniformBox.unit(1), target, initial_heights=nearly)
    assert caught.value.solution.status is Status.EMPTY_CELL
    huge = DiscreteMeasure.uniform(torch.tensor([[3e38, 3e38], [-1e38, 1e38], [1e38, -2e38]]))
    with pytest.raises(SolverError, match="NONFINITE"):
        StochasticNewton().solve(UniformBox.centered(2), huge, initial_heights=[0.0, 0.0, 0.0])


def test_one_target_takes_everything():
    found = StochasticNewton().solve(UniformBox.unit(3), DiscreteMeasure.uniform([[1.0, 2.0, 3.0]]))
    assert found.converged
    assert found.mass_error == 0.0
    assert math.isnan(found.efficiency)
    torch.testing.assert_close(found.centroids, torch.full((1, 3), 0.5).double(), atol=0.2, rtol=0)


def test_callback_sees_every_step_and_changes_nothing():
    target, source, solver = mixture(50, 3), UniformBox.unit(3), StochasticNewton(tolerance=0.3)
    steps = []
    found = solver.solve(source, target, callback=lambda state: steps.append(state.step))
    assert max(steps) == found.steps
    assert torch.equal(found.potential.heights, solver.solve(source, target).potential.heights)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from ot_latent.transport import diagonal_step
diagonal_step.LEAST_TARGETS = 1000  # so that tiles are moved, too
from ot_latent.transport import DiscreteMeasure, StochasticNewton, UniformBox
rank, world, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if world > 1:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
points = torch.rand(1500, 6, generator=torch.Generator().manual_seed(0))
results = []
for how in ({"sampling": "crossed"}, {"sharded": True}, {"sampling": "independent"}):
    solver = StochasticNewton(tolerance=0.3, **how)
    found = solver.solve(UniformBox.unit(6), DiscreteMeasure.uniform(points))
    results += [found.potential.heights, found.centroids, found.state.tile_inverse]
if rank == 0:
    torch.save(results, out)
if world > 1:  # threads of the group that outlive the interpreter abort it
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize("many", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_give_the_same_bits(tmp_path, many):
    for world in (1, many):
        commands = [
            [
                sys.executable,
                "-c",
                SCRIPT,
                str(r),
                str(world),
                str(tmp_path / "store"),
                str(tmp_path / f"{world}.pt"),
            ]
            for r in range(world)
        ]
        running = [subprocess.Popen(command) for command in commands]
        assert [process.wait(timeout=120) for process in running] == [0] * world
    one, all_ = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, many))
    assert all(torch.equal(a, b) for a, b in zip(one, all_, strict=True))
    crossed, sharded, independent = one[:3], one[3:6], one[6:]
    assert all(torch.equal(a, b) for a, b in zip(crossed, sharded, strict=True))
    assert not torch.equal(crossed[0], independent[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StochasticNewton(tolerance=0.0), "tolerance must be a positive number"),
        (lambda: StochasticNewton(max_steps=0), "max_steps must be a positive integer"),
        (lambda: StochasticNewton(batch_size=1.5), "batch_size must be a positive integer"),
        (lambda: StochasticNewton(seed=-1), "seed must be a non-negative integer"),
        (lambda: StochasticNewton().solve(UniformBox.unit(2), mixture(5, 3)), "one dimension"),
        (
            lambda: StochasticNewton().solve(
                UniformBox.unit(3), mixture(5, 3), initial_heights=[0.0]
            ),
            "initial_heights must have 5 entries",
        ),
        (
            lambda: StochasticNewton().solve(
                UniformBox.unit(3),
                mixture(5, 3),
                state=StochasticNewton().init(UniformBox.unit(3), mixture(6, 3)),
            ),
            "state must come from a solve with 5 targets",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_potential_is_the_average_not_the_iterate():
    target, source = mixture(50, 3), UniformBox.unit(3)
    found = StochasticNewton(tolerance=0.3).solve(source, target)
    average = found.state.average - found.state.average.mean()
    assert torch.equal(found.potential.heights, average.to(torch.float32))
    assert isinstance(found.potential, BrenierPotential)
