"""Evidence for a learnt manifold: ideal projections pass, folded and blind ones are found out."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics.manifold import (
    fold_rates,
    judge_known_manifold,
    off_manifold_auc,
    projection_ratio,
    reconstruction_errors,
    trustworthiness_continuity,
)
from ot_latent.metrics.manifolds import TorusPatch


def plane(n=1500, d=2, ambient=32, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)) @ np.eye(d, ambient)


def test_a_projection_leaves_the_noise_along_the_plane():
    ratios = projection_ratio(
        encode=lambda a: a[:, :2], decode=lambda z: z @ np.eye(2, 32), x=plane(4000)
    )
    # |n along| / |n| with 2 of 32 directions: sqrt(2 / 32) up to Jensen
    assert ratios == pytest.approx((0.22,) * 3, abs=0.02)


def test_tensors_stay_tensors_and_blocks_do_not_matter():
    x = torch.from_numpy(plane(1500)).float().reshape(1500, 1, 4, 8)
    seen = []

    def encode(a):
        seen.append(a)
        return a.reshape(len(a), 32)[:, :2]

    def decode(z):
        padded = np.pad(np.asarray(z), ((0, 0), (0, 30)))
        return torch.from_numpy(padded).reshape(-1, 1, 4, 8)

    tensors = projection_ratio(encode=encode, decode=decode, x=x, noise_levels=[0.2], seed=1)
    assert all(isinstance(a, torch.Tensor) and a.dtype == torch.float32 for a in seen)
    assert [len(a) for a in seen] == [1024, 476]
    arrays = projection_ratio(encode=encode, decode=decode, x=x.numpy(), noise_levels=[0.2], seed=1)
    assert all(isinstance(a, np.ndarray) for a in seen[2:])
    assert arrays == pytest.approx(tensors, rel=1e-2)  # the two count their spread differently
    assert reconstruction_errors(encode=encode, decode=decode, x=x).max() < 1e-6


def test_whole_numbers_become_float():
    ratios = projection_ratio(
        encode=lambda a: a, decode=lambda a: a, x=np.arange(60).reshape(20, 3).astype(np.uint8)
    )
    assert ratios == pytest.approx((1.0, 1.0, 1.0), abs=1e-5)


def test_auc_equals_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 80), rng.integers(3, 12, 50)
    oracle = roc_auc_score(np.repeat([0, 1], [80, 50]), np.concatenate([inside, outside]))
    assert off_manifold_auc(inside=inside, outside=outside) == pytest.approx(oracle)
    assert off_manifold_auc(inside=inside, outside=inside) == 0.5


def test_an_isometry_keeps_every_neighbour_and_a_shuffle_none():
    data = plane(600)
    kept = trustworthiness_continuity(data=data, codes=3.0 * data[:, :2])
    assert kept == (1.0, 1.0)
    assert fold_rates(data=data, codes=3.0 * data[:, :2]) == (0.0, 0.0)
    shuffled = data[np.random.default_rng(0).permutation(600), :2]
    lost = trustworthiness_continuity(data=data, codes=shuffled)
    assert max(lost) < 0.6
    assert fold_rates(data=data, codes=shuffled) == pytest.approx((0.9, 0.9), abs=0.05)


def test_a_fold_and_a_tear_are_told_apart():
    data = plane(800, 2)
    folded = np.stack([np.abs(data[:, 0]), data[:, 1]], axis=1)
    torn = data[:, :2] + 10.0 * (data[:, :1] > 0)
    rates = fold_rates(data=data, codes=folded)
    assert rates.folded > 0.25
    assert rates.torn < 0.02
    rates = fold_rates(data=data, codes=torn)
    assert rates.folded == 0.0
    assert rates.torn > 0.01
    assert trustworthiness_continuity(data=data, codes=folded).trustworthiness < 0.95


def test_an_ideal_autoencoder_of_a_known_manifold_passes():
    torus = TorusPatch()

    def encode(points):
        return torus.project(points @ torus.frame)

    def decode(codes):
        return torus.surface(codes) @ torus.frame.T

    found = judge_known_manifold(torus, encode=encode, decode=decode, noise=0.02, n=1200)
    assert found.noise_level == pytest.approx(0.02 * np.sqrt(48), rel=0.03)
    assert found.projection_error < 1e-7
    assert found.trustworthiness > 0.99
    assert found.folded < 0.01
    dimensions = (found.data_dimension, found.code_dimension, found.reconstruction_dimension)
    assert [round(d) for d in dimensions] == [2, 2, 2]


def test_refusals():
    x = plane(100)
    with pytest.raises(DataError, match="same number of rows"):
        fold_rates(data=x, codes=x[:50])
    with pytest.raises(DataError, match="codes must have at least 20 rows"):
        fold_rates(data=x, codes=x[:5])
    with pytest.raises(DataError, match="at least 25 rows"):
        trustworthiness_continuity(data=x[:24], codes=x[:24])
    with pytest.raises(ValueError, match="neighbours must be a positive integer"):
        trustworthiness_continuity(data=x, codes=x, neighbours=0)
    with pytest.raises(ValueError, match="sample must be a positive integer"):
        fold_rates(data=x, codes=x, sample=0.5)
    with pytest.raises(ValueError, match="noise_levels must be a positive number"):
        projection_ratio(encode=abs, decode=abs, x=x, noise_levels=[0.0])
    with pytest.raises(DataError, match="inside must have at least 1 row"):
        off_manifold_auc(inside=[], outside=[1.0])
