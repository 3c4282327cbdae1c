"""The benchmark of trainability against depth, at a quick size."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import depth, depth_unseen, results
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


def test_other_activations_and_inputs_start_at_their_own_gain():
    model = depth.network("silu", "critical", 2, 400, seed=0, inputs=90)
    assert (model[0].in_features, type(model[1])) == (90, nn.SiLU)
    expected = theory.length_gain("silu") / 20
    assert float(model[2].weight.detach().std()) == pytest.approx(expected, rel=0.02)
    chaotic = depth.network("tanh", 2.0, 2, 400, seed=0)
    assert float(chaotic[2].weight.detach().std()) == pytest.approx(0.1, rel=0.02)


def test_unseen_settings_are_trained_once_and_judged(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(depth_unseen.SETTINGS, "digits", [("tanh", 2.0, 8)])
    out = tmp_path / "unseen.json"
    quick = ["--data", "digits", "--epochs", "1", "--out", str(out), "--seed"]
    for seeds in (["3"], ["3", "4"]):  # the second sitting finds the first one's rows there
        assert depth_unseen.main([*quick, *seeds]) == 0
    rows = json.loads(out.read_text())["rows"]
    told = depth_unseen.depths("tanh", 2.0, 8)
    assert told[1:] == (told[1], 2 * told[1])
    assert len(rows) == 2 * 2 * len(set(told))
    assert "| digits | tanh | gain 2 | 8 | " in capsys.readouterr().out


def test_the_good_side_is_nine_tenths_of_what_is_learnt_above_chance():
    shallow = np.array([0.9, 0.9])
    assert depth_unseen.share(np.array([0.82, 0.82]), shallow) == pytest.approx(0.9)
    assert results.interval([0.5, 0.7]) == "0.600 ± 1.271"
    assert results.interval([0.5], ".1f") == "0.5"
    assert results.interval([]) == "-"


@pytest.mark.data
def test_unseen_images_are_standardised_and_apart(data_dir, monkeypatch):
    monkeypatch.setenv("OT_LATENT_DATA", str(data_dir))
    x, y, x_test, y_test = depth_unseen.task.__wrapped__("fashion-mnist")
    assert (x.shape, x_test.shape) == ((1348, 784), (1000, 784))
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std()) == pytest.approx(1, abs=1e-5)
    assert len(y) == 1348
    assert len(y_test) == 1000


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
