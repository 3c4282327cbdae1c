"""The benchmarks of generation: their laws, their judge, and a quick run."""

import json

import numpy as np
import pytest

from benchmarks import generation, generation_samplers, generation_toys
from benchmarks.generation_toys import TOYS, judge


@pytest.mark.parametrize("name", list(TOYS))
def test_fresh_points_score_like_the_law(name):
    toy = TOYS[name]()
    found = judge(toy, toy.draw(10_000, 1), toy.draw(2000, 2), seed=3)
    assert found["modes"] == found["mode_count"]
    assert found["mixture_rate"] < 0.001
    assert found["variance_ratio"] == pytest.approx(1, abs=0.05)
    assert found["novelty_ratio"] == pytest.approx(1, abs=0.06)
    assert abs(found["data_copying"]) < 4


def test_points_of_the_ring_are_those_of_the_literature():
    points = generation_toys.ring().draw(20_000, 0)
    assert np.linalg.norm(points, axis=1).mean() == pytest.approx(1, abs=1e-3)
    grid = generation_toys.grid()
    assert sorted({tuple(c) for c in grid.centres})[0] == (-4, -4)
    assert len(grid.centres) == 25


def test_spirals_are_even_by_length_and_mirror_each_other():
    toy = generation_toys.spirals()
    points = toy.draw(40_000, 0)
    assert np.abs(points.mean(0)).max() < 0.02
    pieces = np.bincount(toy.modes(points), minlength=40)
    assert pieces.min() > 0


def test_faults_are_seen():
    toy = generation_toys.ring()
    train = toy.draw(2000, 2)
    lost = toy.draw(10_000, 1)
    lost = lost[toy.modes(lost) > 0]
    assert judge(toy, lost, train, 3)["modes"] == 7
    copies = judge(toy, np.repeat(train, 5, axis=0), train, 3)
    assert copies["copy_rate"] == 1
    assert copies["data_copying"] < -20
    bridge = np.concatenate([toy.draw(9000, 1), np.zeros((1000, 2))])
    assert judge(toy, bridge, train, 3)["mixture_rate"] == pytest.approx(0.1, abs=0.002)
    spirals = generation_toys.spirals()
    off = np.concatenate([spirals.draw(900, 1), np.full((100, 2), 9.0)])
    assert judge(spirals, off, train, 3)["mixture_rate"] == pytest.approx(0.1, abs=0.005)


def test_rows_are_measured_merged_and_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(generation, "TRAIN", 200)
    for module in (generation, generation_toys):
        monkeypatch.setattr(module, "FRESH", 500)
    out = tmp_path / "generation_toy.json"
    methods = ["fresh data", "ours, affine", "control of affine", "Gaussian"]
    quick = ["--toys", "ring", "--methods", *methods, "--out", str(out)]
    for seeds in (["0"], ["0", "1"]):
        assert generation.main([*quick, "--seeds", *seeds]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 2 * len(methods)
    assert all(row["failure"] is None for row in rows)
    assert "| Gaussian | 2 |" in capsys.readouterr().out
    assert generation.main(["--show", "--out", str(out)]) == 0
    assert "± " in capsys.readouterr().out


def test_a_refusal_is_a_row(monkeypatch):
    def refuse(fits):
        raise ImportError("zuko is missing")

    monkeypatch.setitem(generation_samplers.METHODS, "normalising flow", refuse)
    monkeypatch.setattr(generation, "TRAIN", 200)
    (row,) = generation.run_toy("ring", ["normalising flow"], 0)
    assert row["failure"] == "zuko is missing"


def test_intervals_are_those_of_student():
    mean, low, high = generation.interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx(
        (2.0, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3
    )
