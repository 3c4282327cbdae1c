"""Baselines: their moments, their rows, and what the control shares with the transport."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from ot_latent.baselines import (
    ControlSampler,
    GaussianSampler,
    KernelDensitySampler,
    MixtureSampler,
    PlainMapSampler,
)
from ot_latent.estimators import OTSampler


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(0)
    return 5 * rng.integers(2, size=(300, 1)) + rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))


@pytest.fixture(scope="module")
def sampler(codes):
    return OTSampler(tolerance=0.1, random_state=0).fit(codes)


@pytest.fixture(scope="module")
def baselines(codes, sampler):
    fresh = [GaussianSampler(), MixtureSampler(3), KernelDensitySampler()]
    return [b.fit(codes) for b in fresh] + [PlainMapSampler(sampler), ControlSampler(sampler)]


def test_rows_depend_on_seed_and_number_alone(baselines):
    for baseline in baselines:
        whole = baseline.sample(2000, random_state=5)
        assert whole.shape == (2000, 4)
        for n in (1, 7, 1030):
            assert np.array_equal(baseline.sample(n, random_state=5), whole[:n])
        assert not np.array_equal(baseline.sample(5, random_state=6), whole[:5])


def test_moments(codes, baselines):
    gaussian, mixture, density, _, control = (b.sample(60_000, random_state=1) for b in baselines)
    covariance = np.cov(codes, rowvar=False)
    for new in (gaussian, mixture):
        np.testing.assert_allclose(new.mean(0), codes.mean(0), atol=0.1)
        np.testing.assert_allclose(np.cov(new, rowvar=False), covariance, atol=0.3)
    noise = 0.3**2 * codes.var(axis=0).mean() * np.eye(4)
    np.testing.assert_allclose(np.cov(density, rowvar=False), covariance + noise, atol=0.4)
    np.testing.assert_allclose(control.mean(0), codes.mean(0), atol=0.2)


def test_plain_map_copies_and_shares_cells(codes, sampler, baselines):
    plain = baselines[3].sample(500, random_state=2)
    distance = np.linalg.norm(plain[:, None] - codes, axis=2).min(1)
    assert distance.max() < 1e-5
    _, cells = sampler.draw(500, 2)
    np.testing.assert_allclose(plain, codes[cells[:500]], atol=1e-5)
    assert baselines[3].fit(codes) is baselines[3]


def test_control_has_the_local_laws_of_the_transport_but_not_its_bond(sampler, baselines):
    new, control = sampler.sample(20_000, random_state=3), baselines[4].sample(20_000, 3)
    np.testing.assert_allclose(new.var(0), control.var(0), rtol=0.06)
    noise = sampler.source_.sample(20_000, seed=3).numpy()
    bond = [abs(np.corrcoef(z @ np.ones(4), noise @ np.ones(4))[0, 1]) for z in (new, control)]
    assert bond[0] > 0.3
    assert bond[1] < bond[0] / 2


def test_refusals(codes):
    with pytest.raises(NotFittedError, match="GaussianSampler must be fitted"):
        GaussianSampler().sample(3)
    with pytest.raises(ValueError, match="components must be"):
        MixtureSampler(0).fit(codes)
    with pytest.raises(ValueError, match="bandwidth must be"):
        KernelDensitySampler(-1.0).fit(codes)
    with pytest.raises(ValueError, match="n must be"):
        GaussianSampler().fit(codes).sample(0)
