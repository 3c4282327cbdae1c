"""Crossed draws: the same cells as independent ones, with the right error and at less cost."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch

from ot_latent._random import Stream
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.dispatch import best_scores
from ot_latent.kernels.latin import latin_blocks
from ot_latent.kernels.triton_crossed import cross_triton
from ot_latent.transport.block_survey import survey_blocks
from ot_latent.transport.chi_square import BlockCounts, chi_square
from ot_latent.transport.crossing import Crossing, _road
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.product import product_form
from ot_latent.transport.samplers import GROWTH, Samplers, best_rows
from ot_latent.transport.sampling import CrossedSampler
from ot_latent.transport.sources import Gaussian, UniformBall, UniformBox
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.survey import survey_cells

SKEWED = torch.tensor([[1.0, 0.6, 0.1], [0.6, 2.0, 0.3], [0.1, 0.3, 0.5]])
SOURCES = {
    "box": UniformBox(torch.tensor([-1.0, 2.0, 0.0]), torch.tensor([0.5, 3.0, 4.0])),
    "standard": Gaussian.standard(3),
    "gaussian": Gaussian([1.0, -2.0, 0.5], SKEWED),
}


def cloud(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, d, generator=generator) ** 2


def crossing_of(source, target):
    return Crossing(source, target, product_form(source, target))


@pytest.mark.parametrize("name", SOURCES)
def test_coordinates_go_back_and_halves_are_independent(name):
    source = SOURCES[name]
    form = product_form(source, DiscreteMeasure.uniform(cloud(50, 3)))
    uniform = UniformBox.unit(3).sample(100_000, seed=0)
    z = form.coordinates(uniform)
    x, drawn = form.points(z), source.sample(100_000, seed=1)
    for k in range(
        3
    ):  # the law of every coordinate, by the largest distance of two samples' shares
        assert scipy.stats.ks_2samp(x[:, k], drawn[:, k]).pvalue > 1e-3
    torch.testing.assert_close(torch.cov(x.T), source.covariance, atol=0.05, rtol=0.02)
    y = cloud(5, 3).double()
    torch.testing.assert_close(z @ form.pulled(y).T, (x - source.mean) @ y.T)
    correlation = torch.corrcoef(z.T)[: form.split, form.split :]
    assert correlation.abs().max() < 5 / math.sqrt(len(z))
    assert torch.isfinite(form.coordinates(torch.zeros(1, 3).double())).all()


def test_blocks_are_latin_hypercubes_whose_points_are_uniform():
    rng = np.random.default_rng(0)
    blocks = latin_blocks(rng.random((80_000, 3)), rng.random((80_000, 3)), 8).reshape(-1, 8, 3)
    strata = np.sort((blocks * 8).astype(int), axis=1)
    assert (strata == np.arange(8)[:, None]).all()
    flat = blocks.reshape(-1, 3)
    assert all(scipy.stats.kstest(flat[:, k], "uniform").pvalue > 1e-3 for k in range(3))
    # the two halves of a crossed draw are independent: strata of row a and of row b
    pairs = (blocks[:, 2, 0] * 8).astype(int) * 8 + (blocks[:, 5, 1] * 8).astype(int)
    assert scipy.stats.chisquare(np.bincount(pairs, minlength=64)).pvalue > 1e-3


def test_halves_share_the_spread_of_the_targets():
    widths = torch.tensor([8.0, 4.0, 4.0, 1.0, 1.0, 0.5, 0.2, 0.1])
    target = DiscreteMeasure.uniform(cloud(4000, 8) * widths)
    for source in (UniformBox.unit(8), Gaussian.standard(8)):
        form = product_form(source, target)
        spread = form.pulled(target.points.double()).var(dim=0)
        first, second = spread[: form.split].sum(), spread[form.split :].sum()
        ratio = float(first / second)
        assert ratio == pytest.approx(1, abs=0.05) or isinstance(source, UniformBox)
        assert 0.3 < ratio < 3


def test_no_product_no_form():
    assert product_form(UniformBox.unit(1), DiscreteMeasure.uniform(cloud(20, 1))) is None
    target = DiscreteMeasure.uniform(cloud(20, 2))
    assert product_form(UniformBall(2), target) is None
    with pytest.raises(ValueError, match="must be a UniformBox or a Gaussian .* sampling='auto'"):
        StochasticNewton(sampling="crossed").solve(UniformBall(2), target)
    with pytest.raises(ValueError, match="sampling must be one of auto, crossed, independent"):
        StochasticNewton(sampling="quasi")


@pytest.mark.parametrize("name", SOURCES)
def test_crossed_draws_fall_into_the_cells_of_the_potential(name):
    source, target = SOURCES[name], DiscreteMeasure.uniform(cloud(300, 3).double())
    heights = -0.5 * target.points.square().sum(dim=1)
    crossing = crossing_of(source, target)
    z, rows, split = crossing.rows(3, Stream.FIT, 1008, 48, 16), 16, crossing.form.split
    met = crossing.meet(z, rows, heights)
    for block in range(3):
        part = z[block * rows : (block + 1) * rows].double()
        u = part[:, :split].repeat_interleave(rows, dim=0)
        x = crossing.form.points(torch.cat([u, part[:, split:].repeat(rows, 1)], dim=1))
        scores, cells = best_scores(x, target.points, heights, 2)
        same = cells[:, 0] == met.cells[block]
        gaps = scores[:, 0] - scores[:, 1]
        assert gaps[~same].max() < 1e-5 if not same.all() else True
        centred = scores[:, 0] - x @ crossing.centre
        torch.testing.assert_close(met.scores[block], centred, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(met.gaps[block].double(), gaps, atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_the_request():
    crossing = crossing_of(UniformBox.unit(4), DiscreteMeasure.uniform(cloud(30, 4)))
    whole = crossing.rows(0, Stream.FIT, 0, 3000, 8)
    for start, count in ((0, 8), (1016, 16), (504, 2000), (2040, 16)):
        part = crossing.rows(0, Stream.FIT, start, count, 8)
        assert torch.equal(part, whole[start : start + count])
    with pytest.raises(ValueError, match="start must be a multiple of 8 rows, got 12; round it up"):
        crossing.rows(0, Stream.FIT, 12, 8, 8)


def test_masses_are_unbiased_and_intervals_cover():
    source, target = UniformBox.unit(5), DiscreteMeasure.uniform(cloud(60, 5))
    crossing = crossing_of(source, target)
    heights = -0.5 * target.points.double().square().sum(dim=1)
    potential = BrenierPotential(target.points, heights)
    truth = survey_cells(potential, source, 400_000, seed=99)
    square = truth.mean_square_error(target.weights)[0]
    surveys = [survey_blocks(crossing, heights, 30, 16, seed=s) for s in range(300)]
    found = [s.mean_square_error(target.weights) for s in surveys]
    estimates, errors = torch.tensor(found).double().T
    deviation = float(estimates.std()) / math.sqrt(len(surveys))
    assert abs(float(estimates.mean()) - square) < 4 * deviation
    inside = ((estimates - square).abs() < 1.96 * errors).double().mean()
    assert inside > 0.9
    masses = torch.stack([s.masses() for s in surveys])
    score = (masses.mean(dim=0) - truth.masses()) / (masses.std(dim=0) / math.sqrt(len(surveys)))
    assert score.abs().max() < 5


def test_survey_of_blocks_agrees_with_independent_draws():
    source, target = SOURCES["gaussian"], DiscreteMeasure.uniform(cloud(40, 3))
    heights = -0.5 * target.points.double().square().sum(dim=1)
    crossed = survey_blocks(crossing_of(source, target), heights, 4000, 8, seed=1)
    plain = survey_cells(BrenierPotential(target.points, heights), source, 400_000, seed=2)
    (cost, (low, high)), (other, _) = crossed.cost(), plain.cost()
    assert low - (high - low) < other < high + (high - low)
    assert crossed.within_scale() == pytest.approx(plain.within_scale(), rel=0.02)
    often = plain.counts > 2000
    fallback = target.points.double()
    torch.testing.assert_close(
        crossed.centroids(fallback)[often], plain.centroids(fallback)[often], atol=0.15, rtol=0
    )
    assert cost > 0


def test_inflation_is_one_for_independent_blocks_and_measured_for_crossed_ones():
    rng = np.random.default_rng(0)
    weights = torch.full((50,), 0.02, dtype=torch.float64)
    cells = torch.from_numpy(rng.integers(0, 50, (400, 64)))
    single = torch.stack([torch.bincount(block, minlength=50) for block in cells])
    independent = BlockCounts(single.sum(0), single.square().sum(0), cells)
    assert independent.inflation(weights) == pytest.approx(1, abs=0.03)
    assert independent.chi_square(weights)[0] == pytest.approx(
        chi_square(single.sum(0), weights)[0], abs=2e-3
    )
    few = BlockCounts(single[:2].sum(0), single[:2].square().sum(0), cells[:2])
    assert few.inflation(weights) == 1.0
    assert few.chi_square(weights) == (math.inf, math.inf)
    assert BlockCounts(single[0], single[0].square(), cells[:1]).estimate(weights) == math.inf
    target = DiscreteMeasure.uniform(cloud(500, 8))
    solved = StochasticNewton(tolerance=0.2).solve(UniformBox.unit(8), target)
    v = {}
    for rows in (8, 16, 32):
        crossing = crossing_of(UniformBox.unit(8), target)
        survey = survey_blocks(crossing, solved.potential.heights, 300, rows, seed=5)
        v[rows] = survey.inflation(target.weights)
        # taking dependent draws for independent ones would overstate the error by as much
        naive = chi_square(survey.counts, target.weights)[0]
        bias = naive - survey.mean_square_error(target.weights)[0]
        assert bias == pytest.approx((v[rows] - 1) * 499 / survey.draws, rel=0.05)
    assert 1 < v[8] < v[16] < v[32]
    predicted = 1 + (v[8] - 1) * (31 / 7) ** GROWTH
    assert v[32] == pytest.approx(predicted, rel=0.25)


def test_crossed_and_independent_draws_reach_the_same_heights():
    source, target = UniformBox.unit(6), DiscreteMeasure.uniform(cloud(200, 6))
    found = {
        kind: StochasticNewton(tolerance=0.05, sampling=kind).solve(source, target)
        for kind in ("crossed", "independent")
    }
    for solution in found.values():
        assert solution.converged
        fresh = survey_cells(solution.potential, source, 300_000, seed=77)
        low, high = solution.mass_error_interval
        assert low - 0.02 < fresh.mass_error(target.weights)[0] < high + 0.02
    crossed = found["crossed"]
    assert crossed.effective_samples < crossed.samples
    assert found["independent"].effective_samples == found["independent"].samples
    apart = crossed.potential.heights - found["independent"].potential.heights
    assert float(apart.std()) < 0.02 * float(crossed.potential.heights.std())


@pytest.mark.parametrize("kind", ["crossed", "independent"])
def test_a_first_look_counts_what_a_tally_counts_and_is_the_first_step(kind):
    source, target = UniformBox.unit(4), DiscreteMeasure.uniform(cloud(200, 4))
    sampler = Samplers(source, target, 0, kind, None).trial()
    heights = -0.5 * target.points.double().square().sum(dim=1)
    look, draws = sampler.look(heights, 4096), 4096
    width = float(look.gaps.median())
    mine, told = look.tally(len(target), width), sampler.tally(heights, 0, draws, width)
    assert torch.equal(mine.counts, told.counts)
    assert int(mine.close.sum()) == int(told.close.sum())
    assert mine.square == pytest.approx(told.square, rel=1e-9)
    state = StochasticNewton(sampling=kind).init(source, target)
    assert (state.step, len(state.batch_rms)) == (1, 1)
    assert state.row * state.rows >= state.samples
    given = StochasticNewton(sampling=kind).init(source, target, initial_heights=state.heights)
    assert given.step == 0
    torch.testing.assert_close(given.heights, state.heights)


def test_blocks_are_as_large_as_pays():
    assert best_rows(1.0, 16, 4000, 10**6) == 256
    assert best_rows(1.9, 16, 8, 10**6) == 8
    assert best_rows(4.0, 16, 8, 10**6) == 1  # crossed draws say too little
    assert best_rows(3.0, 8, 4096, 10**5) == 8  # products cost more than dependence
    assert best_rows(3.0, 8, 256, 10**5) == 1
    assert best_rows(1.1, 16, 64, 1000) < best_rows(1.1, 16, 64, 10**6)  # many steps
    samplers = Samplers(UniformBox.unit(6), DiscreteMeasure.uniform(cloud(90, 6)), 0, "auto", None)
    assert isinstance(samplers.trial(), CrossedSampler)
    assert samplers.of(1).rows == 1


def test_blocks_met_on_a_device_fall_into_the_same_cells():
    source, target = SOURCES["gaussian"], DiscreteMeasure.uniform(cloud(200, 3))
    crossing = crossing_of(source, target)
    split = crossing.form.split
    pulled = crossing.form.pulled(target.points.double() - crossing.centre).float()
    object.__setattr__(crossing, "halves", pulled.tensor_split([split], dim=1))
    blocks = crossing.rows(0, Stream.FIT, 0, 32, 16).reshape(2, 16, 3)
    given = blocks[:, :, :split], blocks[:, :, split:], crossing.chunks.lift.float()
    for ours, eager in zip(crossing._in_threads(*given), crossing._on_device(*given), strict=True):
        torch.testing.assert_close(ours.double(), eager.double(), atol=1e-5, rtol=1e-5)


def test_a_gpu_has_a_fused_kernel_where_it_passes_its_trial(monkeypatch):
    works = {"cuda": True}
    monkeypatch.setattr("ot_latent.kernels.triton_crossed.works", lambda device: works[device.type])
    assert _road(torch.device("cuda")) is cross_triton
    works["cuda"] = False
    assert _road(torch.device("cuda")) is _road(torch.device("mps")) is cross_eager


def test_targets_beyond_the_budget_are_packed_anew_and_change_nothing(tmp_path):
    points = cloud(3000, 6).numpy()
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    source, target = UniformBox.unit(6), DiscreteMeasure.distinct(mapped)
    held = StochasticNewton(tolerance=0.3).solve(source, DiscreteMeasure.uniform(points))
    streamed = StochasticNewton(tolerance=0.3, memory_budget="30KB").solve(source, target)
    assert torch.equal(held.potential.heights, streamed.potential.heights)
    assert torch.equal(held.centroids, streamed.centroids)
    crossing = Crossing(source, target, product_form(source, target), "30KB")
    assert not crossing.chunks.fits
    assert len(list(crossing.chunks)) == 3  # no fewer than 1,024 rows at a time


def test_held_targets_are_packed_in_chunks_that_do_not_grow_with_the_dimension(monkeypatch):
    source, target = UniformBox.unit(6), DiscreteMeasure.uniform(cloud(3000, 6))
    form = product_form(source, target)
    whole = Crossing(source, target, form)
    monkeypatch.setattr("ot_latent.transport.target_chunks.HELD_NUMBERS", 6 * 1024)
    parts = Crossing(source, target, form)
    assert (len(list(whole.chunks)), len(list(parts.chunks))) == (1, 3)
    z = whole.rows(0, Stream.FIT, 0, 64, 16)
    heights = torch.zeros(3000, dtype=torch.float64)
    for ours, theirs in zip(parts.meet(z, 16, heights), whole.meet(z, 16, heights), strict=True):
        assert torch.equal(ours, theirs)


def test_distinct_points_are_taken_as_they_are():
    points = cloud(50, 3).double()
    target = DiscreteMeasure.distinct(points)
    assert target.points.data_ptr() == points.data_ptr()
    torch.testing.assert_close(target.mean(), points.mean(dim=0))
    torch.testing.assert_close(target.covariance(), torch.cov(points.T, correction=0))
    torch.testing.assert_close(target.variances(), target.covariance().diagonal())
    weighted = DiscreteMeasure.distinct(points, torch.linspace(1, 2, 50).double() / 75)
    torch.testing.assert_close(weighted.mean(), weighted.weights @ points)
    with pytest.raises(ValueError, match="points must be floating-point numbers of shape"):
        DiscreteMeasure.distinct(np.arange(6).reshape(2, 3))


@pytest.mark.gpu
def test_a_gpu_solves_like_a_cpu():
    source, target = UniformBox.unit(8), DiscreteMeasure.uniform(cloud(500, 8))
    moved = DiscreteMeasure.uniform(target.points.to("cuda"))
    for kind in ("crossed", "independent"):
        solver = StochasticNewton(tolerance=0.2, sampling=kind)
        here, there = solver.solve(source, target), solver.solve(source, moved)
        assert there.converged
        assert there.potential.heights.device.type == "cuda"
        apart = here.potential.heights - there.potential.heights.cpu()
        assert float(apart.abs().max()) < 1e-2 * float(here.potential.heights.std())


def test_a_verdict_without_centroids_asks_for_masses_alone():
    source, target = UniformBox.unit(16), DiscreteMeasure.uniform(cloud(12_000, 16))
    whole, bare = (
        StochasticNewton(tolerance=0.5, centroids=wanted).solve(source, target)
        for wanted in (True, False)
    )
    assert whole.converged
    assert bare.converged
    assert bare.evaluation_samples < 8 * len(target) < 16 * len(target) <= whole.evaluation_samples
    assert torch.equal(whole.potential.heights, bare.potential.heights)
    low, high = bare.mass_error_interval
    assert low < whole.mass_error < high


MEASURE = """
import pathlib, sys, threading, time, warnings
import numpy as np, torch
from ot_latent.transport import DiscreteMeasure, StochasticNewton, UniformBox

warnings.simplefilter("ignore")
torch.set_num_threads(1)

def private():
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def solve(points):
    target, source = DiscreteMeasure.distinct(points), UniformBox.centered(points.shape[1])
    solver = StochasticNewton(max_steps=1, memory_budget="8MB", centroids=False)
    return solver.solve(source, target)

mapped = np.load(sys.argv[1], mmap_mode="r")
solve(np.ascontiguousarray(mapped[:500]))  # imports, threads, compiled code
before = most = private()
over = threading.Event()

def watch():
    global most
    while not over.is_set():
        most = max(most, private())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
found = solve(mapped)
over.set()
watcher.join()
print(most - before, found.centroids, found.within_scale)
"""


@pytest.mark.slow
def test_the_memory_of_a_solve_is_not_that_of_its_targets(tmp_path):
    points = np.random.default_rng(0).standard_normal((50_000, 1024), dtype=np.float32)
    np.save(tmp_path / "points.npy", points)  # 205 MB
    said = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "points.npy")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert float(said[0]) < 350  # megabytes beside the map; one float64 copy would take 410
    assert said[1:] == ["None", "None"]
