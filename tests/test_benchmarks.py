"""The benchmarks run at a quick size, their numbers mean what they say, and their JSON is valid."""

import json
import math

import pytest
import torch

from benchmarks import __main__ as entry, atlas, efficiency, full_run, manifolds, results, tables
from benchmarks.adam import adam_fixed, mass_gradient
from benchmarks.problem import Fit, Problem, Row, judge


def test_the_limit_has_efficiency_one_by_construction():
    problem = Problem(64, 4)
    row = Row("any", "any", 4, 64, 0)
    judge(row, problem, Fit(torch.zeros(64), 64 * 16), 4096)
    assert row.limit == math.sqrt(63 / (64 * 16))
    assert row.efficiency == row.rms / row.limit
    assert row.efficiency_interval[0] < row.efficiency < row.efficiency_interval[1]


def test_the_mixture_is_the_published_one():
    points = Problem(2000, 10).target.points
    assert points.shape == (2000, 10)
    assert points.dtype == torch.float32
    assert 0.15 < float(points.mean()) < 0.85


def test_samples_are_what_was_drawn():
    problem = Problem(32, 3)
    assert 5000 - 8**2 < efficiency.ours(problem, 5000, 0).samples <= 5000  # in whole blocks
    fixed = adam_fixed(problem, 1000, lr=1e-3, points=300)
    assert (fixed.samples, fixed.distinct) == (900, 300)


def test_the_gradient_sums_to_zero():
    problem = Problem(16, 2)
    x = problem.source.sample(512, seed=0, dtype=torch.float32)
    gradient = mass_gradient(x, problem.target, torch.zeros(16))
    assert float(gradient.sum()) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("peer", ["ours", "averaged-sgd", "adam-fresh", "pot"])
def test_a_peer_is_measured_and_merged(peer, tmp_path, capsys):
    out = tmp_path / "efficiency.json"
    for _ in range(2):  # the second sitting replaces its own rows
        code = efficiency.main(
            ["--peer", peer, "--dim", "4", "--n", "32", "--budget", "64", "--out", str(out)]
        )
    assert code == 0
    record = json.loads(out.read_text())
    keys = [tuple(row[k] for k in efficiency.KEY) for row in record["rows"]]
    assert len(keys) == len(set(keys)) > 0
    assert all(row["rms"] >= 0 for row in record["rows"] if row["failure"] is None)
    assert peer in capsys.readouterr().out


def test_ott_is_measured(tmp_path, recwarn):
    pytest.importorskip("ott", reason="OTT-JAX is not installed: pip install '.[bench]'")
    out = tmp_path / "efficiency.json"
    command = [
        "--peer",
        "ott",
        "--dim",
        "3",
        "--n",
        "16",
        "--budget",
        "64",
        "--only",
        "lr=0.1 ema=0.99",
    ]
    assert efficiency.main([*command, "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["failure"] is None
    assert row["samples"] == 1024


def test_a_failing_peer_is_a_row(tmp_path, monkeypatch, capsys):
    def broken(problem, samples):
        def solve():
            raise MemoryError("too large")

        yield "broken", 0, lambda: solve

    monkeypatch.setitem(efficiency.JOBS, "pot", broken)
    out = tmp_path / "efficiency.json"
    efficiency.main(["--peer", "pot", "--dim", "2", "--n", "8", "--out", str(out)])
    assert "MemoryError: too large" in capsys.readouterr().out


def test_our_solver_is_nearer_to_the_limit_than_its_peers():
    problem, samples = Problem(200, 10), 200 * 64
    found = {}
    for name, fit in {
        "ours": efficiency.ours(problem, samples, 0),
        "adam": adam_fixed(problem, samples, lr=1e-3, points=3200),
    }.items():
        row = Row(name, "", 10, 200, samples)
        judge(row, problem, fit, 200 * 256)
        found[name] = row.efficiency
    assert found["ours"] < 1.4 < found["adam"]


def test_manifolds_write_their_table(tmp_path, capsys):
    out = tmp_path / "manifolds.json"
    command = ["--manifold", "torus_patch", "--n", "300", "--width", "2", "--epochs", "1"]
    assert manifolds.main([*command, "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["noise_level"] == pytest.approx(0.02 * math.sqrt(48), rel=0.1)
    assert "torus_patch" in capsys.readouterr().out


@pytest.mark.slow
def test_a_full_run_is_collected(tmp_path):
    out = tmp_path / "digits.json"
    train = ["--latent-dim", "4", "--epochs", "1", "--tolerance", "0.5"]
    command = ["--data", "digits", "--run", str(tmp_path / "run"), "--out", str(out)]
    full_run.main([*command, "--", *train])
    record = json.loads(out.read_text())
    assert record["commands"]["train"]["exit"] == 0
    assert record["commands"]["evaluate"]["exit"] == 0
    assert 0.05 < record["peak_memory_gb"] < 8
    assert record["transport"]["efficiency"] > 0
    assert "0.2" in record["manifold"]["projection_ratio"]


def test_stages_take_the_time_between_their_entries():
    log = [
        {"time": 1.0, "event": "start"},
        {"time": 3.0, "stage": "autoencoder"},
        {"time": 4.0, "stage": "autoencoder"},
        {"time": 9.0, "stage": "transport"},
    ]
    assert full_run.stage_seconds(log) == {"autoencoder": 3.0, "transport": 5.0}


def test_the_list_names_every_benchmark(capsys):
    assert entry.main(["--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in entry.BENCHMARKS | entry.ON_REQUEST)
    assert entry.main(["no-such-benchmark"]) == 2


def test_the_page_is_filled_from_results(tmp_path):
    out = tmp_path / "efficiency.json"
    row = Row("ours", "default", 4, 64, 64 * 16, cpu_s=1.0, wall_s=1.0)
    judge(row, Problem(64, 4), Fit(torch.zeros(64), row.samples), 4096)
    results.merge(out, [row.to_dict()], efficiency.KEY)
    page = "<!-- efficiency -->\nold\n<!-- /efficiency -->\n<!-- mnist -->\n<!-- /mnist -->"
    filled = tables.fill(page, tmp_path)
    assert "old" not in filled
    assert f"**{row.efficiency:.2f}**" in filled
    assert tables.NOT_YET in filled
    assert tables.fill(filled, tmp_path) == filled


def test_tables_are_markdown():
    assert results.table(("a", "b"), [(None, 1234), (0.5, "x")]).splitlines() == [
        "| a | b |",
        "|---|---|",
        "| - | 1,234 |",
        "| 0.5 | x |",
    ]


OUTS = {"out": "atlas.png", "page": "atlas.html", "json": "atlas.json"}


def test_the_atlas_is_made_in_one_go(tmp_path):
    small = ["--data", "digits", "--rows", "300", "--targets", "200", "--epochs", "1"]
    outs = {key: tmp_path / name for key, name in OUTS.items()}
    places = [str(word) for key, path in outs.items() for word in (f"--{key}", path)]
    assert atlas.main([*small, "--classifier-epochs", "1", *places]) == 0
    record = json.loads(outs["json"].read_text())
    assert record["targets"] == 200
    assert record["largest_mass_error"] <= 1e-6
    assert record["transport"]["solver"] == "DampedNewton"
    assert outs["out"].read_bytes().startswith(b"\x89PNG")
    assert "200 cells, largest relative mass error" in outs["page"].read_text()
