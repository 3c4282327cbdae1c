"""The schema: defaults, YAML there and back, and refusals that name the setting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from ot_latent.config import (
    AutoencoderConfig,
    ConfigError,
    RunConfig,
    TrainingConfig,
    TransportConfig,
    suggestion,
)


def test_defaults_are_valid_and_survive_yaml():
    config = RunConfig()
    assert RunConfig.from_yaml(config.to_yaml()) == config
    assert RunConfig.from_yaml("") == config


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    lr=st.floats(1e-12, 1e3),
    tolerance=st.none() | st.floats(1e-9, 10),
    name=st.none() | st.text(min_size=1, max_size=20),
)
def test_yaml_keeps_every_bit(seed, lr, tolerance, name):
    config = RunConfig.from_dict(
        {
            "seed": seed,
            "training": {"lr": lr},
            "transport": {"tolerance": tolerance},
            "data": {"data": name, "sources": [{"path": "a", "sha256": "b", "bytes": 3}]},
        }
    )
    assert RunConfig.from_yaml(config.to_yaml()) == config


def test_yaml_spellings_that_are_no_strings():
    config = RunConfig.from_yaml("training: {mixed_precision: no, lr: 2e-3}")
    assert config.training == TrainingConfig(mixed_precision="no", lr=0.002)


def test_configurations_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 3
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().transport.tolerance = 3.0


def test_updated_keeps_what_is_not_named():
    base = RunConfig.from_dict({"seed": 5, "transport": {"source": "ball", "tolerance": 0.2}})
    changed = base.updated({"transport": {"tolerance": 0.1}, "device": "cpu"})
    assert changed.transport == TransportConfig(source="ball", tolerance=0.1)
    assert (changed.seed, changed.device) == (5, "cpu")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, "sed is not a setting; did you mean 'seed'?"),
        ({"zzzz": 1}, "zzzz is not a setting; use one of data, autoencoder"),
        (
            {"training": {"lrr": 1}, "seed": -1},
            "training.lrr is not a setting; did you mean 'lr'? (1 more such.)",
        ),
        ({"data": {"sources": [{"pth": "a", "sha256": "b"}]}}, "did you mean 'path'?"),
        ({"data": {"sources": [{"path": "a"}]}}, "data.sources.0.sha256 must be given; add it."),
        ({"seed": -1}, "seed must be greater than or equal to 0, got -1"),
        ({"seed": "1.5"}, "seed must be a valid integer"),
        ({"training": {"lr": "fast"}}, "training.lr must be a valid number"),
        ({"training": {"lr": float("nan")}}, "training.lr must be a finite number"),
        ({"training": {"validation_fraction": 1.0}}, "must be less than 1, got 1.0"),
        ({"transport": {"source": "bx"}}, "must be 'box', 'ball' or 'gaussian', got 'bx'"),
        ({"transport": {"tolerance": 0.0}}, "must be greater than 0"),
        ({"autoencoder": {"latent_dim": 0}}, "must be greater than or equal to 1, got 0"),
        ({"autoencoder": 3}, "autoencoder must be a valid dictionary"),
        ([1, 2], "must be a mapping of settings, got list"),
    ],
)
def test_refusals_name_the_setting(values, message):
    with pytest.raises(ConfigError) as refusal:
        RunConfig.from_dict(values)
    assert message in str(refusal.value)


def test_text_that_is_not_yaml():
    with pytest.raises(ConfigError, match="must be YAML, got text that is not .*; check the"):
        RunConfig.from_yaml("seed: [1\nx: {")


def test_a_section_alone():
    assert AutoencoderConfig.from_dict({"latent_dim": 3}).latent_dim == 3
    with pytest.raises(
        ConfigError, match="latent_dimm is not a setting; did you mean 'latent_dim'"
    ):
        AutoencoderConfig.from_dict({"latent_dimm": 3})


def test_suggestion_names_the_nearest_or_all():
    assert suggestion("tolerence", ["tolerance", "source"]) == "did you mean 'tolerance'?"
    assert suggestion("q", ["a", "b"]) == "use one of a, b."
