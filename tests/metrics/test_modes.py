"""Modes: shares, what lies between them, and how wide they are."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics.modes import (
    mixture_rate,
    mixture_threshold,
    mode_histogram,
    mode_kl,
    modes_covered,
    variance_ratio,
)


def test_histogram_from_labels_and_from_probabilities():
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.4, 0.0]])
    assert mode_histogram(probabilities).tolist() == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert mode_histogram(torch.tensor([0, 1, 0]), classes=3).tolist() == pytest.approx(
        [2 / 3, 1 / 3, 0]
    )


def test_divergence_of_equal_shares_is_zero_and_of_a_lost_mode_its_log():
    real = np.repeat([0, 1, 2, 3], 25)
    assert mode_kl(real=real, generated=real).value == 0.0
    assert mode_kl(real=real, generated=np.repeat([0, 1, 2], 10)).value == pytest.approx(
        np.log(4 / 3)
    )
    assert modes_covered(real=real, generated=np.repeat([0, 1, 2], 10)) == 3


def test_divergence_equals_scipy_and_stays_finite_on_an_invented_mode():
    from scipy.stats import entropy

    rng = np.random.default_rng(0)
    real, generated = rng.integers(0, 5, 400), rng.integers(0, 5, 300)
    oracle = entropy(mode_histogram(generated), mode_histogram(real))
    assert mode_kl(real=real, generated=generated).value == pytest.approx(oracle)
    assert np.isfinite(mode_kl(real=[0, 1], generated=[0, 7]).value)


def test_bias_is_what_a_perfect_sampler_shows():
    rng = np.random.default_rng(1)
    values = [
        mode_kl(real=rng.integers(0, 10, 2000), generated=rng.integers(0, 10, 500))
        for _ in range(300)
    ]
    assert np.mean([v.value for v in values]) == pytest.approx(values[0].bias, rel=0.15)


def test_mixture_rate_of_the_data_is_the_quantile_and_of_bridges_one():
    rng = np.random.default_rng(0)
    sure, unsure = rng.uniform(0.8, 1, 10_000), rng.uniform(0.3, 0.7, 50)
    assert mixture_rate(real=sure, generated=sure) == pytest.approx(0.01, abs=1e-3)
    assert mixture_rate(real=sure, generated=unsure) == 1.0
    assert mixture_rate(real=np.ones(9), generated=np.ones(9)) == 0.0
    probabilities = np.stack([sure, 1 - sure], axis=1)
    assert mixture_threshold(probabilities) == mixture_threshold(sure)
    with pytest.raises(ValueError, match="quantile must lie between 0 and 1"):
        mixture_rate(real=sure, generated=sure, quantile=1.0)


def test_variance_ratio_is_the_square_of_a_scale_within_modes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    centres = rng.normal(size=(3, 4)) * 50
    noise = rng.normal(size=(600, 4))
    real, shrunk = centres[labels] + noise, centres[labels] + 0.5 * noise
    options = {"real_labels": labels, "generated_labels": labels}
    assert variance_ratio(real=real, generated=shrunk, **options) == pytest.approx(0.25)
    assert variance_ratio(real=real, generated=real, **options) == 1.0
    assert variance_ratio(real=real, generated=shrunk) > 0.9  # modes far apart hide the shrinking
    order = rng.permutation(600)
    assert variance_ratio(
        real=real, generated=shrunk[order], real_labels=labels, generated_labels=labels[order]
    ) == pytest.approx(0.25)


def test_variance_ratio_does_not_depend_on_the_shares():
    rng = np.random.default_rng(0)
    y, z = np.repeat([0, 1], [500, 500]), np.repeat([0, 1], [900, 100])
    width = np.array([1.0, 10.0])
    real, generated = (
        rng.normal(size=(1000, 2)) * width[y][:, None],
        rng.normal(size=(1000, 2)) * width[z][:, None],
    )
    ratio = variance_ratio(real=real, generated=generated, real_labels=y, generated_labels=z)
    assert ratio == pytest.approx(1.0, abs=0.25)


def test_refusals():
    with pytest.raises(DataError, match="labels 0, 1, 2"):
        mode_histogram([0.5, 1.0])
    with pytest.raises(DataError, match="less than classes = 2, got 3"):
        mode_histogram([0, 3], classes=2)
    with pytest.raises(ValueError, match="classes must be a positive integer"):
        mode_histogram([0, 3], classes=0)
    x = np.eye(4)
    with pytest.raises(ValueError, match="must come together"):
        variance_ratio(real=x, generated=x, real_labels=[0, 0, 1, 1])
    with pytest.raises(DataError, match="same number of rows"):
        variance_ratio(real=x, generated=x, real_labels=[0, 1], generated_labels=[0, 1])
    with pytest.raises(DataError, match="share a mode"):
        variance_ratio(real=x, generated=x, real_labels=[0, 0, 0, 0], generated_labels=[1, 1, 1, 1])
