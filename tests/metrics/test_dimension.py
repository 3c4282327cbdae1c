"""Intrinsic dimension: right on the known manifolds, with noise and without."""

import numpy as np
import pytest

from ot_latent import DataError
from ot_latent.metrics.dimension import intrinsic_dimension
from ot_latent.metrics.manifolds import KNOWN_MANIFOLDS, ArchimedeanSpiral


def plane(n=1500, d=2, ambient=32, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)) @ np.eye(d, ambient)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("name", list(KNOWN_MANIFOLDS))
def test_dimension_of_the_known_manifolds_rounds_to_the_truth(name, noise):
    manifold = KNOWN_MANIFOLDS[name]()
    points = manifold.sample(4000, seed=1, noise=noise).points
    assert round(intrinsic_dimension(points)) == manifold.dimension


def test_dimension_of_a_spiral_and_of_flat_clouds():
    assert intrinsic_dimension(plane(600, 5), anchors=40) == pytest.approx(5.0, abs=0.2)
    noisy = ArchimedeanSpiral().sample(2000, seed=0, noise=0.02).points
    assert round(intrinsic_dimension(noisy, anchors=40)) == 1
    clean = ArchimedeanSpiral().sample(800, seed=0).points
    for method in ("two_nn", "mle"):
        assert intrinsic_dimension(clean, method=method) == pytest.approx(1.0, abs=0.15)
    assert intrinsic_dimension(np.arange(40.0)[:, None]) == 1.0


def test_it_is_the_local_analysis_of_scikit_dimension():
    import skdim

    for width in (6, 40):  # fewer and more columns than neighbours
        cloud = np.random.default_rng(0).standard_normal((21, width)) * np.geomspace(1, 0.1, width)
        oracle = skdim.id.lPCA(ver="FO", alphaFO=0.2).fit_transform(cloud[:20])
        found = intrinsic_dimension(
            np.concatenate([cloud[:20], cloud[:1] + 1e3]), neighbours=20, anchors=21
        )
        assert found == pytest.approx((20 * oracle + 1) / 21)  # the stray point sees one direction


def test_copies_of_one_point_have_dimension_zero():
    assert intrinsic_dimension(np.ones((30, 3))) == 0.0


def test_refusals():
    x = plane(100)
    with pytest.raises(ValueError, match="method must be one of lpca, two_nn, mle"):
        intrinsic_dimension(x, method="pca")
    with pytest.raises(DataError, match="points must have at least 101 rows"):
        intrinsic_dimension(x, neighbours=100)
    with pytest.raises(ValueError, match="neighbours must be a positive integer"):
        intrinsic_dimension(x, neighbours=0)
    with pytest.raises(ValueError, match="anchors must be a positive integer"):
        intrinsic_dimension(x, anchors=0)
