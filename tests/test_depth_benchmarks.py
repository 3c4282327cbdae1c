"""The benchmark of trainability against depth, at a quick size."""

import json

import pytest
import torch

from benchmarks import depth
from ot_latent.theory import depth as theory


def test_networks_are_trained_merged_drawn_and_told(tmp_path, capsys):
    out, picture = tmp_path / "depth.json", tmp_path / "depth.png"
    quick = ["--activation", "tanh", "--seed", "0", "--epochs", "1", "--width"]
    for depths in (["1", "12"], ["12"]):  # the second sitting finds its rows there
        asked = ["--depth", *depths, "--out", str(out), "--picture", str(picture)]
        assert depth.main([*quick, *asked]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(r["initialisation"], r["depth"], r["rate"]) for r in rows] == [
        (start, layers, rate)
        for start in depth.INITIALISATIONS
        for layers in (1, 12)
        for rate in depth.RATES
    ]
    assert rows[4]["accuracy"] > 0.5
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
    critical = depth.prediction("relu", "critical", 32)["suggested"]
    assert depth.plan(Options) == [
        ("relu", start, layers, width, rate, 0)
        for start, layers, width in [
            ("pytorch", 4, 64),
            ("pytorch", 2, 32),
            ("pytorch", told["suggested"], 32),
            ("pytorch", round(told["end"]), 32),
            ("critical", 4, 64),
            ("critical", 2, 32),
            ("critical", critical, 32),
        ]
        for rate in depth.RATES
    ]


def test_the_better_rate_counts():
    rows = [
        {"activation": "tanh", "initialisation": "critical", "width": 64, "depth": 9}
        | {"rate": rate, "seed": seed, "accuracy": accuracy}
        for rate, seed, accuracy in [(1e-3, 0, 0.9), (1e-3, 1, 0.1), (3e-4, 0, 0.7), (3e-4, 1, 0.8)]
    ]
    assert depth.curves({"rows": rows}, "tanh") == {"critical": {9: [0.7, 0.8]}}
    assert depth.curves({"rows": rows}, "relu") == {}
