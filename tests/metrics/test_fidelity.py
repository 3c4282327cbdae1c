"""Distances between clouds: closed forms, independent implementations, symmetries."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics.fidelity import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    kernel_distance_blocks,
    membership,
    precision_recall,
)


def cloud(n, d, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) * scale + shift


def whitened(n, d, seed):
    """A cloud whose sample mean is 0 and whose sample covariance is the identity."""
    x = cloud(n, d, seed)
    q, _ = np.linalg.qr(x - x.mean(0))
    return q * np.sqrt(n - 1)


def test_frechet_equals_the_closed_form_of_two_gaussians():
    a, b = np.diag([1.0, 2.0, 3.0]), np.diag([2.0, 2.0, 0.5])
    real = whitened(40, 3, 1) @ a
    generated = whitened(50, 3, 2) @ b + np.array([1.0, 0.0, -2.0])
    # commuting covariances: |m|^2 + sum (s_i - t_i)^2
    assert frechet_distance(real=real, generated=generated) == pytest.approx(
        5.0 + 1.0 + 2.5**2, rel=1e-12
    )


def test_frechet_equals_the_matrix_square_root_of_scipy():
    from scipy.linalg import sqrtm

    real, generated = cloud(200, 6, 1) @ cloud(6, 6, 3), cloud(150, 6, 2) @ cloud(6, 6, 4)
    s, t = np.cov(real.T), np.cov(generated.T)
    gap = real.mean(0) - generated.mean(0)
    oracle = gap @ gap + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet_distance(real=real, generated=generated) == pytest.approx(oracle, rel=1e-9)


@pytest.mark.slow
def test_frechet_and_kernel_distance_agree_with_torchmetrics():
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import poly_mmd

    real, generated = torch.from_numpy(cloud(60, 8, 1)), torch.from_numpy(cloud(60, 8, 2)) ** 2
    net = torch.nn.Identity()
    net.num_features = 8
    fid = FrechetInceptionDistance(feature=net).set_dtype(torch.float64)
    fid.update(real, real=True)
    fid.update(generated, real=False)
    assert frechet_distance(real=real, generated=generated) == pytest.approx(
        float(fid.compute()), rel=1e-6
    )
    assert kernel_distance(real=real, generated=generated) == pytest.approx(
        float(poly_mmd(real, generated)), rel=1e-9
    )


@pytest.mark.parametrize("n", [5, 300])
def test_identical_clouds_have_no_distance_even_with_fewer_items_than_features(n):
    x = cloud(n, 20) * 100.0
    assert frechet_distance(real=x, generated=x) < 1e-8
    assert precision_recall(real=x, generated=x) == (1.0, 1.0)
    assert density_coverage(real=x, generated=x, neighbours=2).coverage == 1.0


def test_frechet_of_few_samples_equals_the_dense_formula():
    from scipy.linalg import sqrtm

    real, generated = cloud(6, 9, 1), cloud(7, 9, 2)
    s = np.cov(real.T) + 1e-12 * np.eye(9)  # the oracle needs full rank, ours does not
    t = np.cov(generated.T) + 1e-12 * np.eye(9)
    gap = real.mean(0) - generated.mean(0)
    oracle = gap @ gap + np.trace(s + t) - 2 * np.trace(np.real(sqrtm(s @ t)))
    assert frechet_distance(real=real, generated=generated) == pytest.approx(oracle, rel=1e-4)


def test_membership_equals_prdc():
    prdc = pytest.importorskip("prdc")
    real, generated = cloud(1500, 5, 1), cloud(1300, 5, 2, scale=0.8, shift=0.2)
    oracle = prdc.compute_prdc(real, generated, nearest_k=4)
    assert precision_recall(real=real, generated=generated, neighbours=4) == pytest.approx(
        (oracle["precision"], oracle["recall"]), abs=1e-12
    )
    assert density_coverage(real=real, generated=generated, neighbours=4) == pytest.approx(
        (oracle["density"], oracle["coverage"]), abs=1e-12
    )


def test_collapse_is_precise_and_forgets():
    real = np.concatenate([cloud(300, 3, 1), cloud(300, 3, 2, shift=20.0)])
    collapsed = cloud(600, 3, 3, scale=0.3)
    shares = precision_recall(real=real, generated=collapsed)
    assert shares.precision > 0.95
    assert shares.recall < 0.2
    assert density_coverage(real=real, generated=collapsed).coverage < 0.5


def test_bridges_are_imprecise_and_lose_nothing():
    modes = np.concatenate([cloud(300, 3, 1), cloud(300, 3, 2, shift=20.0)])
    mixed = np.concatenate(
        [cloud(300, 3, 4), cloud(300, 3, 5, shift=20.0), cloud(300, 3, 6, shift=10.0)]
    )
    shares = precision_recall(real=modes, generated=mixed)
    assert shares.precision < 0.75
    assert shares.recall > 0.9


def test_the_order_of_rows_changes_nothing():
    real, generated = cloud(90, 4, 1), cloud(80, 4, 2)
    order = np.random.default_rng(0).permutation(80)
    for metric in (frechet_distance, kernel_distance):
        assert metric(real=real, generated=generated[order]) == pytest.approx(
            metric(real=real, generated=generated), rel=1e-9
        )
    assert precision_recall(real=real, generated=generated[order]) == precision_recall(
        real=real, generated=generated
    )


def test_kernel_distance_has_mean_zero_on_equal_laws():
    values = [
        kernel_distance(real=cloud(30, 4, 2 * i), generated=cloud(25, 4, 2 * i + 1))
        for i in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
    assert min(values) < 0


def test_kernel_distance_equals_the_dense_double_sum():
    x, y = cloud(7, 3, 1), cloud(5, 3, 2)
    k = lambda a, b: (a @ b.T / 3 + 1) ** 3  # noqa: E731
    off = lambda m: (m.sum() - np.trace(m)) / (len(m) * (len(m) - 1))  # noqa: E731
    oracle = off(k(x, x)) + off(k(y, y)) - 2 * k(x, y).mean()
    assert kernel_distance(real=x, generated=y) == pytest.approx(oracle, rel=1e-12)
    assert kernel_distance_blocks(real=x, generated=y).tolist() == pytest.approx([oracle])


def test_chunks_change_nothing(monkeypatch):
    from ot_latent.metrics import fidelity

    real, generated = cloud(70, 3, 1), cloud(50, 3, 2)
    whole = membership(real=real, generated=generated, neighbours=3)
    kernel = kernel_distance(real=real, generated=generated)
    monkeypatch.setattr(fidelity, "_CHUNK", 7)
    parts = membership(real=real, generated=generated, neighbours=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert kernel_distance(real=real, generated=generated) == pytest.approx(kernel, rel=1e-12)


def test_images_and_dtypes_are_features_too():
    x = (np.random.default_rng(0).random((40, 4, 4)) * 255).astype(np.uint8)
    flat = torch.from_numpy(x.reshape(40, 16)).float()
    assert frechet_distance(real=x, generated=flat) < 1e-8


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, precision_recall])
def test_refusals(metric):
    good = cloud(10, 3)
    with pytest.raises(DataError, match="same number of features, got 3 and 2"):
        metric(real=good, generated=good[:, :2])
    with pytest.raises(DataError, match="at least"):
        metric(real=good, generated=good[:1])
    bad = good.copy()
    bad[4, 1] = np.nan
    with pytest.raises(DataError, match="generated must be finite"):
        metric(real=good, generated=bad)


def test_refuses_impossible_neighbours_and_blocks():
    with pytest.raises(ValueError, match="neighbours must be a positive integer"):
        precision_recall(real=cloud(9, 2), generated=cloud(9, 2), neighbours=0)
    with pytest.raises(ValueError, match="size must be a positive integer"):
        kernel_distance_blocks(real=cloud(9, 2), generated=cloud(9, 2), size=0.5)
