"""The benchmark of coarse modes: its groups, its judge and its way without tiles mean what they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from benchmarks import sampled_tiles as bench
from ot_latent.transport.diagonal_step import LOOKS


@pytest.fixture
def small(monkeypatch):
    """Few draws of two clusters that are just large enough for tiles."""
    monkeypatch.setattr(bench, "CLUSTERS", ((4096, 4),))
    monkeypatch.setattr(bench, "TAILS", ((2000, 8),))
    monkeypatch.setattr(bench, "CLUSTER_DRAWS", 4)
    monkeypatch.setattr(bench, "LEAST_JUDGED", 2**18)
    monkeypatch.setattr(bench, "JUDGE_DRAWS", 1)


def test_groups_of_codes_are_cells_of_centres():
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((600, 3)).astype(np.float32))
    groups = bench.around(points, 12)
    assert groups.bincount().min() > 0
    assert int(groups.max()) == 11
    means = torch.stack([points[groups == g].mean(dim=0) for g in range(12)])
    own = torch.cdist(points, means).argmin(dim=1)
    assert float((own == groups).float().mean()) > 0.9  # Lloyd's rounds are few


@pytest.mark.parametrize(("off", "near"), [(0.0, 0.0), (0.3, 0.3 * math.sqrt(3 / 7))])
def test_the_judge_finds_the_error_that_draws_were_made_with(off, near):
    """The smaller of two clusters has (1 + off) of its mass: rms and sign are known."""
    case = bench.clusters(1000, 4, 0)
    label = case.groups["clusters"]
    share = float(label.double().mean())
    assert share == pytest.approx(bench.SHARE, abs=0.05)
    rest = (1 - (1 + off) * share) / (1 - share)
    weights = np.where(label == 1, 1 + off, rest) / 1000
    cells = torch.from_numpy(np.random.default_rng(1).choice(1000, (4000, 64), p=weights))
    found = bench.judged(case, label, cells, 8)
    assert found["count"] == 2
    expected = off * math.sqrt(share / (1 - share))
    assert found["square"] == pytest.approx(expected**2, abs=4 * found["square_deviation"])
    assert found["v"] == pytest.approx(1.0, abs=0.1)
    assert found["largest"] == pytest.approx(off, abs=4 * found["largest_deviation"] + 1e-12)
    assert found["rarest"] == pytest.approx(off, abs=4 * found["largest_deviation"] + 1e-12)
    assert expected == pytest.approx(near, abs=0.02)


def test_without_tiles_no_tile_is_looked_at(small):
    case = bench.clusters(4096, 4, 0)
    for tiles in (True, False):
        state, cpu, _ = bench.solved(case, tiles, 0)
        assert (state.tiles is not None) == (state.tile_inverse is not None) == tiles
        assert state.looks >= (1 if tiles else len(LOOKS))
        assert 4 * 4096 <= state.samples < 5 * 4096
        assert cpu > 0


def test_a_tail_falls_to_a_hundredth():
    case = bench.tail(4000, 3, 0)
    masses, label = case.target.weights, case.groups["classes"]
    assert float(masses[label == 0][0] / masses[label == 9][0]) == pytest.approx(100.0)
    assert float(case.target.points.mean(dim=0).abs().max()) < 1e-5
    assert float(case.target.points.std()) == pytest.approx(1.0, rel=1e-3)


def test_clusters_and_codes_become_rows_and_tables(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "CODE_DRAWS", 4)
    monkeypatch.setattr(bench, "COUNTS", (10, 10_000))
    out, path = tmp_path / "tiles.json", tmp_path / "codes.npy"
    for sampling in ("auto", "independent"):
        own = ["--steps", "both" if sampling == "auto" else "tiles", "--sampling", sampling]
        assert bench.main([*own, "--seeds", "0", "--out", str(out)]) == 0
    codes = np.random.default_rng(0).standard_normal((600, 8))
    np.save(path, codes)
    labels = np.arange(600) % 3
    data = type("Data", (), {"y": labels})
    monkeypatch.setattr(bench, "load", lambda name, data_dir: data)
    given = ["--codes", str(path), "--seeds", "1", "--steps", "diagonal", "--out", str(out)]
    assert bench.main([*given, "--labels-of", "any"]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["problem"], row["tiles"], row["sampling"], row["seed"]) for row in rows] == [
        ("clusters-4096-4", True, "auto", 0),
        ("clusters-4096-4", False, "auto", 0),
        ("tail-2000-8", True, "auto", 0),
        ("tail-2000-8", False, "auto", 0),
        ("clusters-4096-4", True, "independent", 0),
        ("tail-2000-8", True, "independent", 0),
        ("codes-600-8", False, "auto", 1),
    ]
    assert list(rows[6]["groups"]) == ["cells", "10 groups", "classes"]
    assert str(tmp_path) not in out.read_text()
    limit, rms, low, high = bench.beside_limit(rows[6], "cells")
    assert limit == pytest.approx(math.sqrt(599 * rows[6]["v"] / rows[6]["samples"]))
    assert low <= rms <= high
    capsys.readouterr()
    assert bench.main(["--table", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "clusters-4096-4 | with tiles | independent | 1" in told
    assert "clusters-4096-4 | diagonal alone |" in told
    assert "tail-2000-8 | with tiles | independent | 1 |" in told
    assert "codes-600-8 | diagonal alone | 1 | 3 classes" in told
