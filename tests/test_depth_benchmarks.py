"""The benchmark of trainability against depth, at a quick size."""

import json

import pytest
import torch

from benchmarks import depth
from ot_latent.theory import depth as theory


def test_networks_are_trained_merged_drawn_and_told(tmp_path, capsys):
    out, picture = tmp_path / "depth.json", tmp_path / "depth.png"
    quick = ["--activation", "tanh", "--seed", "0", "--epochs", "1", "--width"]
    for depths in (["1", "12"], ["12"]):  # the second sitting replaces its own rows
        asked = ["--depth", *depths, "--out", str(out), "--picture", str(picture)]
        assert depth.main([*quick, *asked]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(r["initialisation"], r["depth"]) for r in rows] == [
        ("pytorch", 1), ("pytorch", 12), ("critical", 1), ("critical", 12),
    ]  # fmt: skip
    assert rows[2]["accuracy"] > 0.5
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| tanh | pytorch | 64 | -0.5" in capsys.readouterr().out


def test_networks_start_as_they_say():
    default = depth.network("tanh", "pytorch", 2, 300, seed=0)
    bound = 1 / 300**0.5
    assert float(default[2].weight.detach().abs().max()) == pytest.approx(bound, rel=1e-3)
    critical = depth.network("relu", "critical", 2, 300, seed=0)
    expected = theory.critical_gain(300, "relu") * bound
    assert float(critical[2].weight.detach().std()) == pytest.approx(expected, rel=0.02)
    assert not critical[2].bias.detach().any()
    again = depth.network("relu", "critical", 2, 300, seed=0)
    assert torch.equal(again[2].weight, critical[2].weight)


def test_plan_adds_three_depths_at_other_widths():
    class Options:
        activation, depth, width, seed = ["relu"], [4], [32], [0]

    told = depth.prediction("relu", "pytorch", 32)
    assert told["end"] == pytest.approx(2 * told["begin"])
    assert depth.plan(Options) == [
        ("relu", "pytorch", 4, 64, 0),
        ("relu", "pytorch", 2, 32, 0),
        ("relu", "pytorch", told["suggested"], 32, 0),
        ("relu", "pytorch", round(told["end"]), 32, 0),
        ("relu", "critical", 4, 64, 0),
        ("relu", "critical", 2, 32, 0),
        ("relu", "critical", depth.prediction("relu", "critical", 32)["suggested"], 32, 0),
    ]
