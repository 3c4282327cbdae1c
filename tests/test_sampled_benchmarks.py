"""The race of sampled solvers: its clock, its judge, its peers and its table mean what they say."""

import json
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.fft import dct

from benchmarks import (
    block_judge,
    race,
    sampled,
    sampled_growth,
    sampled_map,
    sampled_memory,
    sampled_peers,
    sampled_trend,
    tables,
)
from benchmarks.gauss_newton import InverseSum, assignment, gauss_newton
from benchmarks.problem import (
    Fit,
    Problem,
    Row as EfficiencyRow,
    chi_square,
    judge as judge_efficiency,
)
from benchmarks.race import Judged, Row, Watch, judge, time_to
from benchmarks.sampled_libraries import OttChunks, heights_of, pot
from benchmarks.sampled_problems import NAMES, SampledProblem, power_law
from benchmarks.sgd import averaged_sgd
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.warm_start import gaussian_heights, voronoi_heights

TINY = "mixture-50-4"


def watched(limit_s=10.0, goal=0.0, verdict=None, **options):
    """Return a watch and its row."""
    row = Row("any", 50, 4, "any", "default")
    said = verdict or (lambda heights: Judged(1.0, 0.9, 1.1, 100))
    given = {"first_s": 1.0, "limit_s": limit_s, "goal": goal} | options
    return Watch(row, said, **given), row


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by hand."""
    hands = SimpleNamespace(cpu=100.0, wall=500.0)
    monkeypatch.setattr(race.time, "process_time", lambda: hands.cpu)
    monkeypatch.setattr(race.time, "perf_counter", lambda: hands.wall)
    return hands


@pytest.fixture
def first_settings(monkeypatch):
    """Hold every peer to its first setting."""
    for name, peer in sampled_peers.PEERS.items():
        monkeypatch.setitem(sampled.PEERS, name, replace(peer, settings=peer.settings[:1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_what_the_problem_is(name):
    problem = SampledProblem.named(name)
    assert problem.name == name
    assert problem.small().n == 1000
    assert problem.goal in problem.levels
    if problem.dim < 1000:  # the largest Gaussian factorises a large matrix
        assert problem.source.dim == problem.dim


def test_large_problems_stop_peers_at_ten_times_our_time():
    assert SampledProblem.named("mixture-10000-32").stop == (0.1, 20.0)
    assert SampledProblem.named("mixture-60000-64").stop == (0.2, 10.0)
    assert SampledProblem.named("mixture-1000000-32").stop == (0.5, 10.0)


@pytest.mark.parametrize("name", ["ring-10-2", "mixture-10", "mixture-a-2"])
def test_an_unknown_problem_is_refused(name):
    with pytest.raises(ValueError, match="KIND-N-D"):
        SampledProblem.named(name)


def test_codes_come_from_a_file(tmp_path):
    with pytest.raises(ValueError, match="give --codes FILE"):
        _ = SampledProblem.named("codes-20-3").target
    path = tmp_path / "codes.npy"
    np.save(path, np.random.default_rng(0).standard_normal((30, 3)))
    assert SampledProblem.named("codes-20-3", path).target.points.shape == (20, 3)
    with pytest.raises(ValueError, match="more rows"):
        _ = SampledProblem.named("codes-40-3", path).target


@pytest.mark.data
def test_pixels_lie_between_minus_one_and_one(data_dir):
    points = SampledProblem.named("pixels-300-784").target.points
    assert points.shape == (300, 784)
    assert (float(points.min()), float(points.max())) == (-1.0, 1.0)


@pytest.mark.parametrize("contrast", [0.0, 0.3])
def test_the_power_law_has_its_spectrum(contrast):
    points = power_law(4000, 64, contrast)
    variance = dct(points.astype(float), axis=1, norm="ortho").var(axis=0)
    assert variance.mean() == pytest.approx(0.25 * math.exp(2 * contrast**2), rel=0.1)
    slope = np.polyfit(np.log(np.arange(1, 65)), np.log(variance), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("kind", ["power", "contrast"])
def test_pictures_of_differing_contrast_differ_in_length(kind):
    points = SampledProblem.named(f"{kind}-500-64").target.points
    lengths = points.norm(dim=1).log()
    assert (float(lengths.std()) > 0.3) == (kind == "contrast")


def test_the_judge_agrees_with_that_of_the_other_benchmark():
    problem = SampledProblem.named("mixture-200-6")
    heights = voronoi_heights(problem.target)
    row = EfficiencyRow("any", "any", 6, 200, 0)
    judge_efficiency(row, Problem(200, 6), Fit(heights, 1), 100_000, seed=5)
    found = judge(problem, heights)
    assert found.low < row.rms < found.high
    assert found.draws % 1024 == 0


def test_the_judge_draws_until_it_knows():
    problem = SampledProblem.named("mixture-200-6")
    rough, fine = (
        voronoi_heights(problem.target),
        averaged_sgd(problem, 200_000, gain=0.03, batch=512).heights,
    )
    far, near = judge(problem, rough), judge(problem, fine)
    assert near.rms < 0.15 < far.rms
    assert far.draws < near.draws
    for found in (far, near):
        deviation = (found.high**2 - found.rms**2) / 1.96
        assert deviation <= 0.15 * max(found.rms, race.FINEST) ** 2


def test_crossed_draws_judge_like_independent_ones(monkeypatch):
    problem = SampledProblem.named("mixture-150-8")
    heights = voronoi_heights(problem.target)
    plain = judge(problem, heights, finest=0.05)
    monkeypatch.setattr(race, "CROSSED", 8)
    found = [judge(problem, heights, seed=seed) for seed in range(6)]
    mean = np.mean([one.rms**2 for one in found])
    error = np.mean([one.high**2 - one.rms**2 for one in found]) / 6**0.5
    assert abs(mean - plain.rms**2) < error + plain.high**2 - plain.rms**2
    assert all(one.low < plain.rms < one.high for one in found[:3])


def test_the_crossed_estimate_is_unbiased_where_the_usual_one_is_not():
    problem = SampledProblem.named("mixture-60-8")
    heights = averaged_sgd(problem, 50_000, gain=0.03, batch=512).heights
    true = judge(problem, heights, finest=0.03).rms ** 2
    cells = torch.cat([block_judge.block_cells(problem, heights, read, 3) for read in range(6)])
    square, deviation = block_judge.block_chi_square(cells, problem.target.weights)
    counts = torch.bincount(cells.flatten(), minlength=60)
    usual = chi_square(counts, problem.target.weights)[0]
    assert abs(square - true) < 3 * deviation
    assert usual - true > 0  # draws of one block agree too often


def test_the_jackknife_leaves_out_each_block_in_turn():
    problem = SampledProblem.named("mixture-60-8")
    weights, heights = problem.target.weights, voronoi_heights(problem.target)
    cells = block_judge.block_cells(problem, heights, 0, 3)[:9]
    without = np.array(
        [
            block_judge.block_chi_square(torch.cat([cells[:b], cells[b + 1 :]]), weights)[0]
            for b in range(9)
        ]
    )
    expected = math.sqrt(8 / 9 * ((without - without.mean()) ** 2).sum())
    assert block_judge.block_chi_square(cells, weights)[1] == pytest.approx(expected)


def test_the_clock_stands_still_while_heights_are_judged(clock):
    def slow(heights):
        clock.cpu += 50
        clock.wall += 60
        return Judged(0.5, 0.4, 0.6, 10)

    watch, row = watched(verdict=slow, ratio=2.0)
    clock.wall += 7  # preparation
    watch.start()
    watch.verdict_s = 0.25
    heights = torch.zeros(3)
    for step in range(1, 100):
        clock.cpu += 0.5
        clock.wall += 0.25
        if watch(lambda: heights, step):
            break
    assert row.prepare_s == 7
    assert [p["fit_s"] for p in row.checkpoints] == [0.75, 1.75, 3.75, 7.75, 9.75]
    assert [p["cpu_s"] for p in row.checkpoints] == [1, 2, 4, 8, 10]
    assert [p["wall_s"] for p in row.checkpoints] == [0.5, 1, 2, 4, 5]
    assert row.checkpoints[-1]["samples"] == step == 20
    watch.finish(lambda: heights, 20)  # nothing new
    assert len(row.checkpoints) == 5


def test_a_run_ends_at_its_goal(clock):
    watch, row = watched(goal=0.25, verdict=lambda h: Judged(float(h[0]), 0.0, 1.0, 10))
    watch.start()
    clock.cpu += 1
    assert not watch(lambda: torch.tensor([0.4]), 1)
    clock.cpu += 1
    assert watch(lambda: torch.tensor([0.25]), 2)
    assert row.failure is None


def test_heights_that_are_not_finite_end_a_run(clock):
    watch, row = watched()
    watch.start()
    clock.cpu += 1
    assert watch(lambda: torch.tensor([math.nan]), 1)
    assert row.checkpoints == []
    assert "not finite" in row.failure


def test_times_are_interpolated_logarithmically():
    points = [{"cpu_s": 1.0, "rms": 1.0}, {"cpu_s": 100.0, "rms": 0.1}]
    assert time_to(points, 0.1, "cpu_s") == pytest.approx(100)
    assert time_to(points, 10**-0.5, "cpu_s") == pytest.approx(10)
    assert time_to(points, 2.0, "cpu_s") == 1.0  # not later than the first look
    assert time_to(points, 0.05, "cpu_s") is None
    assert time_to([points[0], {"cpu_s": 2.0, "rms": 0.0}], 0.5, "cpu_s") < 2


def test_the_inverse_follows_the_sum():
    rng = np.random.default_rng(0)
    direct, total = 2 * np.eye(6), InverseSum(6, 2.0)
    for place in range(6):
        vector, unit = rng.standard_normal(6), np.eye(6)[place]
        total.add(total.solve(vector), float(vector @ total.solve(vector)))
        column = total.column(place)
        total.add(column, float(column[place]), 0.3)
        direct += np.outer(vector, vector) + 0.3 * np.outer(unit, unit)
    upper = np.triu(total.inverse)
    assert np.allclose(upper + np.triu(upper, 1).T, np.linalg.inv(direct), atol=1e-12)
    assert np.allclose(total.solve(vector), np.linalg.solve(direct, vector))


def test_soft_assignments_tend_to_hard_ones():
    scores, weights = np.array([0.1, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    assert assignment(scores, weights, 0.0).tolist() == [0, 1, 0]
    assert assignment(scores, weights, 1e-3) == pytest.approx([0, 1, 0], abs=1e-12)
    assert assignment(scores, weights, 1e3) == pytest.approx(weights, abs=1e-3)


def test_the_gauss_newton_method_converges():
    problem = SampledProblem.named("mixture-40-3")
    watch, row = watched(limit_s=100, first_s=50)
    options = {"alpha": 0.25, "epsilon": 0.005, "unit": 0.1, "start": "voronoi"}
    heights = torch.from_numpy(gauss_newton(problem, watch, max_steps=10_000, **options))
    before = judge(problem, voronoi_heights(problem.target))
    after = judge(problem, heights)
    assert float(heights.mean()) == pytest.approx(0, abs=1e-12)
    assert before.low > 0.7
    assert after.rms < 0.15
    assert row.checkpoints[-1]["samples"] == 10_000


@pytest.fixture
def ott_problem():
    pytest.importorskip("ott", reason="OTT-JAX is not installed: pip install '.[bench]'")
    return SampledProblem.named("mixture-16-3")


@pytest.mark.slow
def test_chunks_of_ott_are_its_own_solve(ott_problem, recwarn):
    import jax
    import optax
    from ott.geometry.semidiscrete_pointcloud import SemidiscretePointCloud
    from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem
    from ott.solvers.linear.semidiscrete import SemidiscreteSolver

    points = ott_problem.target.points
    cloud = SemidiscretePointCloud(jax.random.uniform, jax.numpy.asarray(points.numpy()), epsilon=0)
    solver = SemidiscreteSolver(
        num_iterations=40, batch_size=32, optimizer=optax.adam(0.01), threshold=0.0,
        error_eval_every=20, potential_ema=0.1,
    )  # fmt: skip
    whole = solver(jax.random.key(3), SemidiscreteLinearProblem(cloud)).g
    chunks = OttChunks(ott_problem, batch=32, optimizer="adam", lr=0.01, ema=0.1, seed=3)
    for steps in (1, 7, 32):
        chunks.advance(steps)
    assert chunks.samples == 40 * 32
    assert torch.allclose(chunks.heights(), heights_of(whole, points), atol=1e-6)


def test_pot_is_stopped_in_its_own_loop():
    from ot.semidiscrete import solve_semidiscrete

    problem, kept = SampledProblem.named(TINY), []
    row = Row("any", 50, 4, "pot", "default")

    class Third:
        """Stops at the third step."""

        row = None

        def start(self):
            pass

        def __call__(self, heights, samples):
            if samples == 3 * 16:
                kept.append(heights())
            return samples == 3 * 16

    pot(problem, Third(), batch=16, gain=0.5, dtype="float64", seed=4)
    rng, points = np.random.default_rng(4), problem.target.points.double().numpy()
    direct = solve_semidiscrete(
        points,
        lambda n: rng.random((n, 4)),
        max_iter=3,
        batch_size=16,
        lr0=0.5 * math.sqrt(50 * 16),
    )
    assert torch.allclose(kept[0], heights_of(direct, problem.target.points))
    assert row.failure is None


@pytest.mark.parametrize(
    "peer",
    [pytest.param(p, marks=[pytest.mark.slow] * (p == "ott")) for p in sampled_peers.PEERS],
)
def test_a_peer_races_and_is_merged(peer, tmp_path, capsys, first_settings, recwarn):
    if peer == "ott":
        pytest.importorskip("ott", reason="OTT-JAX is not installed: pip install '.[bench]'")
    out = tmp_path / "sampled.json"
    command = ["--problem", TINY, "--peer", peer, "--limit-s", "0.2", "--tune-s", "0.1"]
    for _ in range(2):  # the second sitting does not tune again
        assert sampled.main([*command, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert len({tuple(row[k] for k in sampled.KEY) for row in rows}) == len(rows)
    assert all(row["failure"] is None and row["checkpoints"] for row in rows)
    last = [row["checkpoints"][-1] for row in rows]
    assert all(point["low"] <= point["rms"] <= point["high"] for point in last)
    assert all(point["samples"] > 0 for point in last)
    assert capsys.readouterr().out.count(f"{TINY} {peer}") == (
        6 * 2 if peer == "ours-solve" else 9 * 2 if peer == "ours" else 3
    )


def row_of(peer, arrival, *, seed=0, tuning=False, setting="default", problem=TINY, rms=0.05):
    """A row that falls to 0.2 at `arrival` and to 0.1 at twice that."""
    points = [
        {"cpu_s": arrival * k, "wall_s": 2 * arrival * k, "fit_s": 0.5 * arrival * k, "effective": 80 * k, "samples": 100 * k, "rms": max(0.2 / k, rms),
         "low": 0.1 / k, "high": 0.3 / k, "draws": 9, "load": 1.0}
        for k in (0.5, 1, 2)
    ]  # fmt: skip
    row = Row(problem, 50, 4, peer, setting, seed, tuning, points, 0.5, load=1.0)
    return row.to_dict()


def test_a_peer_is_stopped_at_a_multiple_of_our_time(tmp_path):
    out = tmp_path / "sampled.json"
    problem, given = SampledProblem.named(TINY), SimpleNamespace(out=out, limit_s=600.0)
    assert sampled.limit_of(problem, given) == 600
    ours = [row_of("ours", t, seed=seed) for seed, t in enumerate((1.0, 2.0, 9.0))]
    sampled.results.merge(out, ours, sampled.KEY)
    assert sampled.limit_of(problem, given) == pytest.approx(20 * 2 * 2.0)
    given.limit_s = 30.0
    assert sampled.limit_of(problem, given) == 30


def test_the_best_setting_is_taken_from_the_small_problem(tmp_path, monkeypatch):
    out = tmp_path / "sampled.json"
    peer = replace(sampled.PEERS["ott"], settings=({"lr": 1.0, "optimizer": "sgd"}, {"lr": 2.0}))
    monkeypatch.setitem(sampled.PEERS, "ott", peer)
    rows = [
        row_of("ott", 3.0, tuning=True, setting="lr=1 optimizer=sgd", problem="mixture-1000-4"),
        row_of("ott", 4.0, tuning=True, setting="lr=2", problem="mixture-1000-4"),
    ]
    sampled.results.merge(out, rows, sampled.KEY)
    given = SimpleNamespace(out=out)
    found = sampled.chosen(SampledProblem.named("mixture-5000-4"), "ott", given)
    assert [options["lr"] for options in found] == [1.0, 5.0]  # as tuned, and carried with N


def test_the_table_says_who_did_not_arrive():
    late = row_of("ott", 40.0, rms=0.15)
    text = sampled.markdown({"rows": [row_of("ours", 1.0), late, row_of("pot", 5.0)]})
    alone = next(line for line in text.splitlines() if line.startswith("| ours, verdicts apart"))
    assert alone.startswith("| ours, verdicts apart | 0.5 | 0.5 | 1 | 0.5 |")
    line = next(line for line in text.splitlines() if line.startswith("| ott"))
    assert "**40** (40)" in line
    assert "**> 40** (> 40)" in line
    assert "**5** (5)" in next(line for line in text.splitlines() if line.startswith("| pot"))


def test_one_thread_is_compared_with_one_thread():
    two = row_of("ours", 3.0) | {"threads": "2"}
    one = row_of("ours", 1.0) | {"threads": "1"}
    assert sampled.of([two], TINY, "ours") == [two]
    assert sampled.of([two, one], TINY, "ours") == [one]


def test_a_dense_method_is_left_out_where_it_cannot_run(capsys):
    problem = SampledProblem.named("mixture-10000-32")
    sampled.run(problem, "gauss-newton", SimpleNamespace())
    assert "left out" in capsys.readouterr().out


def test_curves_are_drawn(tmp_path):
    out, picture = tmp_path / "sampled.json", tmp_path / "sampled.png"
    rows = [row_of("ours", 1.0), row_of("ott", 40.0), row_of("ours", 1.0, problem="codes-60-4")]
    sampled.results.merge(out, rows, sampled.KEY)
    assert sampled.main(["--out", str(out), "--figure", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", list(sampled_growth.PATHS))
def test_growth_is_measured_on_both_paths(path):
    row = sampled_growth.measure(path, 600, 8, batch=1024, steps=2)
    assert row["cpu_s"] > 0
    assert row["setting"] == path
    assert (row["rows"] > 1) == (path == "factorised")


def test_growth_is_fitted(tmp_path, monkeypatch):
    def linear(path, n, dim):
        row = {"problem": f"growth-{n}-{dim}", "peer": "ours", "setting": path, "seed": 0}
        return row | {
            "tuning": False,
            "threads": "1",
            "kind": "growth",
            "n": n,
            "dim": dim,
            "cpu_s": 1e-9 * n * dim,
        }

    monkeypatch.setattr(sampled_growth, "measure", linear)
    out = tmp_path / "sampled.json"
    assert sampled.main(["--growth", "--out", str(out)]) == 0
    filled = tables.fill("<!-- sampled -->\n<!-- /sampled -->", tmp_path)
    assert "plain N^1.00" in filled
    assert "plain d^1.00" in filled


def test_our_plain_solve_tells_its_peak_memory(tmp_path):
    out = tmp_path / "sampled.json"
    assert sampled.main(["--problem", TINY, "--peer", "ours-solve", "--out", str(out)]) == 0
    peaks = [row["notes"]["peak_mb"] for row in json.loads(out.read_text())["rows"]]
    assert all(peak is None or peak > 50 for peak in peaks)  # the interpreter alone takes more
    assert sampled.solves(SampledProblem.named("mixture-1000000-32")) == [
        {"tolerance": 0.5, "centroids": False}
    ]


@pytest.mark.skipif(not sampled_memory.STATUS.is_file(), reason="the system tells no such figures")
def test_private_memory_is_watched_while_a_block_runs():
    before = sampled_memory.megabytes("RssAnon")
    with sampled_memory.PrivatePeak() as peak:
        array = np.ones(20_000_000)  # 160 MB
        time.sleep(0.1)
        del array
    assert before + 140 < peak.most
    sampled_memory.reset_peak()
    assert sampled_memory.megabytes("VmHWM") < before + 1000
    assert sampled_memory.megabytes("no such figure") is None


def test_a_map_is_written_measured_and_deleted(tmp_path, capsys):
    out = tmp_path / "map.json"
    size = ["--n", "4000", "--dim", "32", "--memory-budget", "60KB"]
    assert sampled_map.main([*size, "--folder", str(tmp_path), "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert list(tmp_path.iterdir()) == [out]
    assert row["rows"] > 1
    assert row["draws"] == -(-500 // row["rows"] ** 2) * row["rows"] ** 2
    assert "| 4,000 | 32 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        sampled_map.main([])


def test_a_map_starts_at_the_gaussian_coupling():
    rng = np.random.default_rng(3)
    points = (
        np.linalg.qr(rng.standard_normal((400, 6)))[0] * 20
    )  # equal variances, mean nearly zero
    target = DiscreteMeasure.uniform(torch.from_numpy(points - points.mean(axis=0)))
    ours = sampled_map.gaussian_start(target, 1 / 3)
    full = gaussian_heights(UniformBox.centered(6), target)
    apart = ours - full
    near = (apart - apart.median()).abs().quantile(0.75)  # targets far outside are raised there
    assert float(near) < 0.01 * float(full.std())


def test_tenths_tell_noise_from_bias(tmp_path, capsys):
    problem = SampledProblem.named("mixture-400-6")
    target, draws = problem.target, 10**7
    rng = np.random.default_rng(0)
    fair = torch.from_numpy(rng.multinomial(draws, target.weights))
    lines = sampled_trend.tenths(problem, fair)
    assert all(line["rms"] < 0.01 for line in lines)
    assert all(abs(line["error"]) < 4 * line["deviation"] for line in lines)
    distance = torch.linalg.norm(target.points.double() - target.mean(), dim=1)
    biased = target.weights * (1 + 0.1 * (distance > distance.median()))
    lines = sampled_trend.tenths(problem, (draws * biased / biased.sum()).long())
    value, deviation = sampled_trend.slope(lines)
    assert value > 5 * deviation > 0
    assert lines[-1]["error"] == pytest.approx(0.05 / 1.05, rel=1e-2)
    assert lines[-1]["rms"] == pytest.approx(0.05 / 1.05, rel=1e-2)
    out = tmp_path / "trend.json"
    small = ["--problem", "mixture-200-8", "--tolerance", "0.3", "--draws", "20000"]
    assert sampled_trend.main([*small, "--out", str(out)]) == 0
    assert "slope from tenth to tenth" in capsys.readouterr().out


def test_a_trend_goes_on_where_an_earlier_sitting_stopped(tmp_path, capsys):
    small = ["--problem", "mixture-200-8", "--tolerance", "0.2", "--draws", "20000", "--out"]
    assert sampled_trend.main([*small, str(tmp_path / "whole.json")]) == 0
    out, kept = tmp_path / "parts.json", tmp_path / "kept.npz"
    sittings = 0
    while not out.exists():
        limits = ["--kept", str(kept), "--limit-s", "0"]
        assert sampled_trend.main([*small, str(out), *limits]) == 0
        sittings += 1
        assert kept.exists() or out.exists()
    assert sittings > 2
    assert not kept.exists()
    assert "to be continued" in capsys.readouterr().out
    whole, parts = (json.loads(p.read_text())["rows"] for p in (tmp_path / "whole.json", out))
    assert whole[0]["tenths"] == parts[0]["tenths"]
