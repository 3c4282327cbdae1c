"""The benchmark of options from theory, at a quick size."""

import json

import numpy as np
import torch
from torch import nn

from benchmarks import theory_on_autoencoder as bench
from ot_latent.coders import TrainedCoder
from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.preprocessing import DataCodec


def test_variants_are_trained_judged_and_told(tmp_path, monkeypatch):
    monkeypatch.setitem(bench.ROWS, "digits", 200)
    bench.task.cache_clear()
    out, page = tmp_path / "theory.json", tmp_path / "page.md"
    page.write_text("before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n")
    asked = ["--seed", "0", "--epochs", "1", "--out", str(out), "--page", str(page)]
    chosen = ["default", "plain ReLU, depth auto, critical"]
    assert bench.main([*asked, "--variant", *chosen]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["variant"] for row in rows] == chosen
    assert rows[0]["depth"] is None
    assert rows[1]["depth"] > 3
    assert all(row["sampled_frechet"] is None for row in rows)
    images = [*asked, "--variant", "convolutions, ReLU"]
    assert bench.main(images) == 0
    assert json.loads(out.read_text())["rows"][2]["sampled_frechet"] > 0
    assert "### digits, convolutions\n" in page.read_text()
    bench.task.cache_clear()
    assert all(0 < row["active"] <= row["units"] and row["held_out"] < 1.5 for row in rows)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| default | default | " in text


def test_quiet_units_are_not_active():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    codec = DataCodec.fit(x)
    config = AutoencoderConfig(activation="relu", skip=False, width=2, latent_dim=2)
    model = build_autoencoder(config, codec.shape, seed=0)
    first = next(m for m in model.encoder.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        first.bias[:] = 3.0  # all sixteen are on somewhere ...
        first.bias[:7] = -100.0  # ... but seven, which never are
    active, units = bench.active_neurons(TrainedCoder(codec, model), x)
    assert units == 6 * 16
    assert active <= units - 7
    watched = bench.active_neurons(TrainedCoder(codec, model), x)
    assert watched == (active, units)  # the hooks are gone


def test_variants_differ_from_the_base_in_what_they_name():
    for settings in bench.ALL.values():
        own = {key: value for key, value in settings.items() if key != "training"}
        built = AutoencoderConfig.from_dict(bench.BASE | own)
        assert all(getattr(built, key) == value for key, value in (bench.BASE | own).items())
