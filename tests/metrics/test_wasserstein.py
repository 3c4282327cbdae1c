"""Wasserstein distances against closed forms."""

import numpy as np
import pytest

from ot_latent._validation import DataError
from ot_latent.metrics.wasserstein import exact_wasserstein, sliced_wasserstein


@pytest.fixture
def cloud():
    return np.random.default_rng(0).standard_normal((300, 4))


def test_translation_moves_everything_by_its_length(cloud):
    shift = np.array([1.0, -2.0, 0.5, 3.0])
    length = np.linalg.norm(shift)
    assert exact_wasserstein(real=cloud, generated=cloud + shift) == pytest.approx(length)
    sliced = sliced_wasserstein(real=cloud, generated=cloud + shift, projections=2000)
    assert sliced == pytest.approx(length / 2, rel=0.05)  # sqrt(d) = 2


def test_one_dimension_is_the_distance_of_quantiles():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(200), rng.exponential(size=200)
    truth = np.sqrt(np.mean((np.sort(a) - np.sort(b)) ** 2))
    assert exact_wasserstein(real=a[:, None], generated=b[:, None]) == pytest.approx(truth)
    assert sliced_wasserstein(real=a[:, None], generated=b[:, None]) == pytest.approx(truth)


def test_zero_for_the_same_cloud_and_symmetric(cloud):
    other = 2 * cloud[::-1] + 1
    for distance in (exact_wasserstein, sliced_wasserstein):
        assert distance(real=cloud, generated=cloud[::-1]) == pytest.approx(0, abs=1e-6)
        forth, back = distance(real=cloud, generated=other), distance(real=other, generated=cloud)
        assert forth == pytest.approx(back)


def test_thinning_is_seeded_and_refusals(cloud):
    few = [exact_wasserstein(real=cloud, generated=cloud + 1, rows=50, seed=s) for s in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    with pytest.raises(DataError, match="same number of features"):
        exact_wasserstein(real=cloud, generated=cloud[:, :2])
    with pytest.raises(ValueError, match="projections must be a positive integer"):
        sliced_wasserstein(real=cloud, generated=cloud, projections=0)
    with pytest.raises(ValueError, match="rows must be a positive integer"):
        exact_wasserstein(real=cloud, generated=cloud, rows=0)
