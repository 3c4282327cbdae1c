"""Intervals: coverage of the truth, repeatability, and figures whose bias repeats raise."""

import numpy as np
import pytest
import torch

from ot_latent.metrics.bootstrap import bootstrap_interval, frechet_interval
from ot_latent.metrics.fidelity import frechet_distance
from ot_latent.metrics.modes import mode_kl


def test_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    hits = 0
    for i in range(200):
        x = np.random.default_rng(i).standard_normal(60)
        _, low, high = bootstrap_interval(np.mean, x, seed=i, resamples=100, level=0.9)
        hits += low <= 0.0 <= high
    assert 0.8 < hits / 200 < 0.97


def test_same_seed_same_interval():
    x = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert bootstrap_interval(np.median, x, seed=3) == bootstrap_interval(np.median, x, seed=3)
    assert bootstrap_interval(np.median, x, seed=3) != bootstrap_interval(np.median, x, seed=4)


def test_pairs_stay_together():
    x = np.random.default_rng(0).standard_normal(40)

    def gap(a, b):
        return float(np.abs(a - b).max())

    assert bootstrap_interval(gap, x, x, seed=0, paired=True).high == 0.0
    assert bootstrap_interval(gap, x, x, seed=0).low > 0.0
    with pytest.raises(ValueError, match="same number of rows"):
        bootstrap_interval(gap, x, x[:9], seed=0, paired=True)


def test_frechet_interval_holds_the_value_and_shrinks_with_items():
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((2000, 8)), rng.standard_normal((2000, 8)) + 0.3
    wide = frechet_interval(real=real[:200], generated=generated[:200], seed=0, resamples=50)
    narrow = frechet_interval(real=real, generated=generated, seed=0, resamples=50)
    for found, n in ((wide, 200), (narrow, 2000)):
        assert found.low <= found.value <= found.high
        assert found.value == frechet_distance(real=real[:n], generated=generated[:n])
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    assert narrow.low < 8 * 0.3**2 < narrow.high


def test_resampled_moments_give_the_frechet_distance_of_the_resample(monkeypatch):
    from ot_latent.metrics import bootstrap

    class Identity:
        def integers(self, low, high, size):
            return np.arange(size)

    monkeypatch.setattr(bootstrap, "generator", lambda *key: Identity())
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((30, 4)), rng.standard_normal((40, 4)) * 2
    value, low, high = frechet_interval(real=real, generated=generated, seed=0, resamples=3)
    assert (low, high) == (pytest.approx(value), pytest.approx(value))


def test_recentring_takes_out_the_rise_from_repeats():
    y, z = np.random.default_rng(0).integers(0, 10, (2, 400))

    def divergence(a, b):
        return mode_kl(real=a, generated=b).value

    plain = bootstrap_interval(divergence, y, z, seed=0)
    moved = bootstrap_interval(divergence, y, z, seed=0, recentre=True)
    assert moved.low < plain.low
    assert moved.low <= moved.value <= moved.high


def test_refusals():
    with pytest.raises(ValueError, match="resamples must be a positive integer"):
        bootstrap_interval(np.mean, np.ones(3), seed=0, resamples=0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        bootstrap_interval(np.mean, np.ones(3), seed=0, level=95)
