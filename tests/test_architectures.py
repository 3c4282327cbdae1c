"""Depth and gain from theory: numbers that the laws name, defaults untouched to the bit."""

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import nn

from ot_latent import LatentGenerator, cli
from ot_latent.architectures import initial_gain, new_autoencoder, resolve_depth
from ot_latent.config import AutoencoderConfig, ConfigError, RunConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.theory import depth as theory

IMAGE, ROW = (1, 28, 28), (7,)


def settings(**values):
    return AutoencoderConfig.from_dict({"latent_dim": 3, "width": 8} | values)


def hidden(net, kind=nn.Linear):
    """Return the hidden layers of a stack: those before an activation."""
    return [m for m in net.encoder.curved if isinstance(m, kind)][:-1]


@pytest.mark.parametrize(
    ("model", "shape", "digest"),
    [
        ("mlp", (7,), "44bc0c5e4802412c1574dc4f"),
        ("mlp", (1, 12, 12), "da9953a9aa69489379b99446"),
        ("conv", (1, 28, 28), "2b29e56d6ce0a218ea8a124f"),
        ("residual", (3, 13, 9), "3a54674f69d86c2572354add"),
    ],
)
def test_defaults_are_what_they_were(model, shape, digest):
    """Names, shapes and values of all parameters are those of before there were options."""
    net = new_autoencoder(settings(model=model), shape, seed=5)
    told = hashlib.sha256()
    for name, value in net.state_dict().items():
        told.update(name.encode() + value.numpy().tobytes())
    assert told.hexdigest()[:24] == digest
    given = build_autoencoder(settings(model=model), shape, seed=5)
    for one, other in zip(net.parameters(), given.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_depth_counts_hidden_layers(count):
    net = new_autoencoder(settings(depth=count), ROW, seed=0)
    assert len(hidden(net)) == count
    assert len([m for m in net.decoder.curved if isinstance(m, nn.SiLU)]) == count
    assert tuple(net.decode(net.encode(torch.randn(4, *ROW))).shape) == (4, *ROW)


@pytest.mark.parametrize(("model", "base"), [("conv", 0), ("residual", 1)])
def test_depth_adds_layers_to_every_scale(model, base):
    default, same, more = (
        new_autoencoder(settings(model=model, depth=d), IMAGE, seed=0)
        for d in (None, base or None, base + 1)
    )
    kinds = [type(m).__name__ for m in default.modules()]
    assert kinds == [type(m).__name__ for m in same.modules()]
    added = len([m for m in more.modules() if isinstance(m, nn.Conv2d)]) - kinds.count("Conv2d")
    assert added == 6 * (2 if model == "residual" else 1)  # three scales, there and back
    x = torch.rand(2, *IMAGE)
    assert more.decode(more.encode(x)).shape == x.shape


def test_auto_is_half_of_what_theory_suggests():
    for activation, norms in (("relu", False), ("silu", True)):
        for start, name in (("default", "he"), ("critical", "critical")):
            config = settings(depth="auto", activation=activation, initialisation=start)
            told = theory.suggest_depth(name, 64, activation=activation, norms=norms).depth
            found = resolve_depth(config, ROW)
            assert found.depth == max(1, told // 2)
            assert found.model_copy(update={"depth": "auto"}) == config
    assert resolve_depth(settings(depth="auto", model="conv"), IMAGE).depth == 1
    assert resolve_depth(settings(depth=4), ROW).depth == 4


def test_auto_follows_width_and_precision():
    wide = [resolve_depth(settings(depth="auto", width=w), ROW).depth for w in (4, 16, 64)]
    assert wide == sorted(set(wide))
    plain = settings(depth="auto", activation="relu", width=256)
    assert resolve_depth(plain, ROW, "bf16").depth <= resolve_depth(plain, ROW).depth


def test_critical_gain_of_rectifiers_is_the_closed_form():
    config = settings(activation="relu", initialisation="critical", width=32)
    net = new_autoencoder(config, (40,), seed=0)
    for layer in hidden(net):
        n = layer.in_features
        expected = theory.critical_gain(n, "relu") / math.sqrt(n)
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.02)


def test_critical_gain_of_silu_keeps_unit_lengths():
    gain = initial_gain(settings(initialisation="critical"), ROW)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal(200_000))
    assert gain(64) ** 2 * float(nn.functional.silu(z).square().mean()) == pytest.approx(
        1, abs=0.01
    )
    assert initial_gain(settings(), ROW) is None


def test_critical_start_differs_in_scale_alone():
    plain, critical = (
        new_autoencoder(settings(initialisation=start, model="conv"), IMAGE, seed=1)
        for start in ("default", "critical")
    )
    ratio = theory.length_gain("silu") / math.sqrt(2)
    for one, other in zip(plain.parameters(), critical.parameters(), strict=True):
        scaled = torch.allclose(ratio * one, other, rtol=1e-5)
        assert scaled or torch.equal(one, other)  # layers with a gain of their own keep it


def test_deep_signals_live_at_the_critical_gain():
    """Forty plain layers of width 16: the default start loses what the critical one keeps."""
    logs = []
    for start in ("default", "critical"):
        config = settings(activation="relu", skip=False, width=2, depth=40, initialisation=start)
        net = new_autoencoder(config, (16,), seed=0)
        with torch.no_grad():
            x = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
            logs.append(float(net.encoder.curved[:-1](x).norm().log()))
    lost = -40 * theory.log_norm_walk(16, math.sqrt(2), "relu").drift
    assert logs[1] - logs[0] == pytest.approx(lost, rel=1e-5)  # the same draws, another scale


def test_generators_keep_their_depth_in_files(tmp_path):
    X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    gen = LatentGenerator(
        latent_dim=2, width=4, depth="auto", initialisation="critical", epochs=1, random_state=0
    ).fit(X)
    assert gen.coder_.model.config.depth == 1
    gen.save_pretrained(tmp_path / "model")
    again = LatentGenerator.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.encode(X), gen.encode(X))


@pytest.mark.parametrize("value", [0, -1, 2.5, "deep", True])
def test_refusals_of_depth(value):
    with pytest.raises(ConfigError, match="depth must be a positive integer or 'auto', got"):
        AutoencoderConfig.from_dict({"depth": value})


def test_networks_do_not_know_theory():
    for values in ({"depth": "auto"}, {"initialisation": "critical"}):
        with pytest.raises(ValueError, match="config must name a depth and come with a gain, got"):
            build_autoencoder(settings(**values), ROW, seed=0)


def test_the_command_line_asks_for_both(capsys):
    asked = ["train", "--data", "digits", "--depth", "auto", "--initialisation", "critical"]
    assert cli.run([*asked, "--print-config"]) == 0
    shown = RunConfig.from_yaml(capsys.readouterr().out).autoencoder
    assert (shown.depth, shown.initialisation) == ("auto", "critical")
    assert cli.run(["train", "--data", "digits", "--depth", "5", "--print-config"]) == 0
    assert RunConfig.from_yaml(capsys.readouterr().out).autoencoder.depth == 5
