"""Tiles of targets: what their Laplacian says in closed form, and what it is worth in solves."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
import torch

from ot_latent.transport import diagonal_step
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.solution import ConvergenceWarning
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.survey import survey_cells
from ot_latent.transport.tiles import DIAGONAL, coarse_inverse, coarse_shift, tile_sums, tiles_of
from ot_latent.transport.verdict import averaged_potential


def clusters(n, d, apart, share=0.3):
    """Two Gaussian clusters of unequal mass, standardised."""
    rng = np.random.default_rng(3)
    label = rng.random(n) < share
    points = rng.standard_normal((n, d))
    points[:, 0] += apart * label
    points = (points - points.mean(axis=0)) / points.std()
    return DiscreteMeasure.uniform(points.astype(np.float32)), torch.from_numpy(label)


def test_every_target_lies_in_the_tile_of_its_centre():
    target, label = clusters(3000, 5, 12)
    tiles = tiles_of(target)
    count = int(tiles.max()) + 1
    assert 15 <= count <= 3000 // 128
    assert bool((tiles.bincount(minlength=count) > 0).all())
    inside = tile_sums(label.double(), tiles) / tiles.bincount()
    assert bool(((inside == 0) | (inside == 1)).all())  # no tile has targets of both clusters


def test_few_targets_are_one_tile_and_far_ones_are_told_apart():
    assert not tiles_of(clusters(100, 3, 2)[0]).any()
    target, _ = clusters(2000, 3, 4)
    moved = DiscreteMeasure.uniform(target.points.double() + 1e6)
    assert torch.equal(tiles_of(moved), tiles_of(DiscreteMeasure.uniform(target.points.double())))


def test_nothing_is_added_where_all_tiles_border_on_all():
    """L = D - nu nu^T: its inverse is that of D, but for a constant that moves no cell."""
    tiles = torch.arange(4).repeat_interleave(8)
    every = torch.cartesian_prod(torch.arange(32), torch.arange(32))
    weights = torch.full((32,), 1 / 32, dtype=torch.float64)
    inverse = coarse_inverse(every, tiles, weights)
    lacking = torch.tensor([0.3, -0.1, -0.15, -0.05], dtype=torch.float64)
    moved = inverse @ lacking - 4 * lacking
    assert float((moved - moved.mean()).abs().max()) < 1e-4


def test_a_thin_bridge_moves_tiles_as_far_as_its_laplacian_says():
    """Two tiles, a share p of near draws between them: the shift for a mass m is 2 m / p."""
    tiles = torch.tensor([0, 0, 1, 1])
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    inside, across = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[1, 2], [2, 1]])
    pairs = torch.cat([inside.repeat(9000, 1), across.repeat(1000, 1)])  # p = 0.1
    inverse = coarse_inverse(pairs, tiles, weights)
    lacking = torch.tensor([0.1, -0.1], dtype=torch.float64)
    whole = inverse @ lacking
    # L_rho = (1 - rho) L: eigenvalue p on (1, -1), beside rho D with rho / 2
    expected = 0.1 / (0.1 * (1 - DIAGONAL) + DIAGONAL / 2)
    assert whole.tolist() == pytest.approx([expected, -expected], rel=1e-4)
    found = torch.tensor([0.15, 0.25, 0.3, 0.3]).double()
    shift = coarse_shift(inverse, tiles, weights, found, weights, 1000)
    assert shift.tolist() == pytest.approx((whole - lacking / 0.5)[tiles].tolist(), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_a_tile_moves_by_its_inverse_however_slow_its_cells_are(scale):
    """What diagonal steps do not do for cells of few draws, the tile does: together it is the whole."""
    tiles, every = torch.arange(4).repeat_interleave(8), torch.arange(32)
    weights = torch.ones(32, dtype=torch.float64)
    weights[:8] /= 50  # a rare tile
    weights /= weights.sum()
    inverse = coarse_inverse(torch.cartesian_prod(every, every), tiles, weights)
    scales = weights * torch.where(every < 8, scale, 1.0)
    found = weights * (1 + 0.1 * torch.where(every < 8, -1.0, 0.02))
    lacking = weights - found
    shift = coarse_shift(inverse, tiles, weights, found, scales, 10**6)
    whole = shift + lacking / scales
    expected = inverse @ tile_sums(lacking, tiles)
    assert whole.tolist() == pytest.approx(expected[tiles].tolist())
    assert whole[0] > whole[8]  # the rare tile, which lacks mass, is raised


def test_a_step_never_makes_the_lack_of_a_dense_tile_larger():
    """Its cells move by less than others, as they have more facets; the inverse knows that, too."""
    tiles, every = torch.arange(4).repeat_interleave(8), torch.arange(32)
    weights = torch.full((32,), 1 / 32, dtype=torch.float64)
    pairs = torch.cartesian_prod(every, every)
    dense = (pairs[:, 0] < 8) != (pairs[:, 1] < 8)
    inverse = coarse_inverse(torch.cat([pairs, pairs[dense].repeat(8, 1)]), tiles, weights)
    scales = weights * torch.where(every < 8, 4.0, 1.0)
    found = weights * (1 - 0.1 * torch.where(every < 8, 1.0, -1 / 3))
    shift = coarse_shift(inverse, tiles, weights, found, scales, 10**6)
    assert 0 < float((shift + (weights - found) / scales)[0]) < 0.1
    as_others = coarse_shift(inverse, tiles, weights, found, weights, 10**6)
    whole = float((as_others + (weights - found) / scales)[0])
    assert whole < 0  # more would be taken off than the step does


@pytest.mark.parametrize("expected", [0.5, 5.0])
def test_chance_does_not_move_a_tile_of_few_draws(expected):
    """Counts of the right mean move it by nothing in the mean; a bound at its mass would raise it."""
    tiles, n = torch.tensor([0, 1, 1]), 1000
    weights = torch.tensor([expected / n, 0.5, 0.5 - expected / n], dtype=torch.float64)
    inverse = torch.diag(1 / tile_sums(weights, tiles))
    scales = torch.tensor([1.0, 0.5, 0.5 - expected / n], dtype=torch.float64)
    counts = np.random.default_rng(0).binomial(n, expected / n, size=4000)
    moves = []
    for count in counts:
        masses = torch.tensor([count / n, 0.5, 0.5 - count / n], dtype=torch.float64)
        moves.append(float(coarse_shift(inverse, tiles, weights, masses, scales, n)[0]))
    assert abs(np.mean(moves)) < 4 * np.std(moves) / math.sqrt(len(moves))


def test_tiles_that_no_draw_was_near_to_move_as_their_cells():
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    none = coarse_inverse(torch.zeros(0, 2, dtype=torch.int64), torch.tensor([0, 0, 1, 1]), weights)
    assert torch.equal(none, 2 * torch.eye(2, dtype=torch.float64))


def test_inverse_is_in_fixed_point_and_does_not_see_rounding():
    pairs = torch.randint(3000, (2000, 2), generator=torch.Generator().manual_seed(0))
    target = clusters(3000, 5, 12)[0]
    tiles = tiles_of(target)
    inverse = coarse_inverse(pairs, tiles, target.weights)
    again = coarse_inverse(pairs, tiles, target.weights * (1 + 1e-14))
    assert torch.equal(inverse, again)


def after(target, looks, monkeypatch, *, draws=30):
    """Return the averaged heights after some draws per target."""
    monkeypatch.setattr(diagonal_step, "LOOKS", looks)
    source, n = UniformBox.centered(target.dim), len(target)
    solver = StochasticNewton(tolerance=1e-3, max_samples=draws * n, sampling="independent")
    with pytest.warns(ConvergenceWarning, match="SAMPLE_BUDGET"):
        return solver.solve(source, target)


def mass_of(found, target, label):
    survey = survey_cells(found.potential, UniformBox.centered(target.dim), 100_000, seed=77)
    return float(survey.masses()[label].sum()), float(target.weights[label].sum())


@pytest.mark.slow
def test_far_clusters_come_near_their_masses(monkeypatch):
    """A thin bridge: by cells alone the mass of a cluster is far off; by tiles it is near."""
    without, beside = [], []
    for n in (4500, 5000, 5500):
        target, label = clusters(n, 8, 40)
        for looks, errors in (((), without), (diagonal_step.LOOKS, beside)):
            found = after(target, looks, monkeypatch)
            mass, wanted = mass_of(found, target, label)
            chance = math.sqrt(wanted * (1 - wanted) * (1 / found.effective_samples + 1 / 100_000))
            errors.append(abs(mass - wanted) / chance)
    assert statistics.median(beside) < 6
    assert max(beside) < min(without) / 3


@pytest.mark.slow
@pytest.mark.parametrize(("d", "bound"), [(8, 0.5), (32, 0.15)])
def test_a_rare_cluster_has_about_its_share(d, bound):
    """A hundredth of the others' masses: too little for an rms over cells to tell."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((10, d))
    label = rng.integers(10, size=20_000)
    points = centres[label] + rng.standard_normal((20_000, d))
    points = ((points - points.mean(axis=0)) / points.std()).astype(np.float32)
    masses = np.where(label == 0, 0.01, 1.0)
    target = DiscreteMeasure(points, masses / masses.sum())
    found = StochasticNewton(tolerance=0.1, seed=1).solve(UniformBox.centered(d), target)
    assert found.converged
    rare = torch.from_numpy(label == 0)
    survey = survey_cells(found.potential, UniformBox.centered(d), 500_000, seed=77)
    assert abs(float(survey.masses()[rare].sum() / target.weights[rare].sum()) - 1) < bound


def test_clusters_in_many_dimensions_stay_at_the_limit():
    """Where more was taken off than a diagonal step does, one cluster ran away."""
    rng = np.random.default_rng(7)
    centres = 0.2 + 0.6 * rng.random((10, 32))
    points = centres[rng.integers(10, size=2000)] + 0.1 * rng.standard_normal((2000, 32))
    target, source = DiscreteMeasure.uniform(points.astype(np.float32)), UniformBox.unit(32)
    solver = StochasticNewton(tolerance=1e-3, max_samples=64 * 2000, sampling="independent")
    with pytest.warns(ConvergenceWarning, match="SAMPLE_BUDGET"):
        found = solver.solve(source, target)
    assert found.mass_error < 1.15 * math.sqrt(1999 / found.samples)


def test_interrupted_with_tiles_and_resumed_is_bit_equal(monkeypatch):
    monkeypatch.setattr(diagonal_step, "LEAST_TARGETS", 500)
    target, source = clusters(600, 4, 6)[0], UniformBox.centered(4)
    solver = StochasticNewton(tolerance=0.2)
    whole = solver.solve(source, target)
    assert whole.state.looks == len(diagonal_step.LOOKS)
    for stop in (1, 6, 14):
        with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
            part = solver.solve(source, target, callback=lambda s, stop=stop: s.step >= stop)
        metadata = json.loads(json.dumps(part.state.to_metadata()))
        state = StochasticNewtonState.from_parts(part.state.to_tensors(), metadata)
        again = solver.solve(source, target, state=state)
        assert torch.equal(again.potential.heights, whole.potential.heights)


def test_a_state_that_knows_no_tiles_goes_on(monkeypatch):
    monkeypatch.setattr(diagonal_step, "LEAST_TARGETS", 500)
    target, source = clusters(600, 4, 6)[0], UniformBox.centered(4)
    solver = StochasticNewton(tolerance=0.3)
    state = solver.init(source, target)
    tensors, metadata = state.to_tensors(), state.to_metadata()
    assert "tiles" not in tensors
    metadata.pop("looks")
    found = solver.solve(source, target, state=StochasticNewtonState.from_parts(tensors, metadata))
    assert found.converged
    assert found.state.tile_inverse is not None
    assert averaged_potential(found.state, target).heights.isfinite().all()


def test_few_targets_are_not_looked_at():
    target = clusters(600, 4, 6)[0]
    found = StochasticNewton(tolerance=0.3).solve(UniformBox.centered(4), target)
    assert (found.state.looks, found.state.tiles) == (0, None)


@pytest.mark.parametrize("sampling", ["crossed", "independent"])
def test_facets_are_between_the_best_two_cells(sampling):
    target, source = clusters(300, 4, 2)[0], UniformBox.centered(4)
    sampler = StochasticNewton(sampling=sampling)._samplers(source, target).of(8)
    heights = -0.5 * target.points.double().square().sum(dim=1)
    pairs = sampler.facets(heights, 0, 1024, 0.05, 40)
    assert 20 <= len(pairs) <= 40
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    tally = sampler.tally(heights, 0, 1024, 0.05)
    assert bool((tally.close[pairs[:, 0]] > 0).all())
    assert sampler.facets(heights, 0, 1024, 0.0, 40).shape == (0, 2)
