"""Feature likelihood divergence: closed forms, the authors' figures, what it must punish."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics.likelihood import (
    feature_likelihood_divergence,
    fitted_variances,
    held_out_surprise,
    reference_surprise,
)


def modes(n, seed, d=4, scale=1.0, count=3):
    rng = np.random.default_rng(seed)
    return 12 * np.eye(count, d)[rng.integers(count, size=n)] + scale * rng.standard_normal((n, d))


TRAIN, HOLDOUT = modes(900, 0), modes(600, 1)


@pytest.mark.parametrize(
    ("generated", "authors"),
    [
        (modes(500, 2), -0.631),
        (modes(500, 2, scale=1.3), 6.249),
        (modes(500, 2, scale=0.7), 4.791),
        (modes(500, 2, count=2), 313.663),
        (TRAIN[:500] + 0.05 * modes(500, 9, count=1), 24.794),
    ],
)
def test_figures_of_the_authors_code(generated, authors):
    """What github.com/marcojira/fld gives on these arrays with the same halves.

    Fifty gradient steps in single precision there, expectation-maximisation here.
    """
    ours = feature_likelihood_divergence(train=TRAIN, holdout=HOLDOUT, generated=generated)
    assert ours == pytest.approx(authors, rel=0.05, abs=0.8)


def test_far_clusters_have_the_normal_laws_of_their_points():
    """The wide density takes no share of clusters this far apart: means of squares remain."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [1e5, 0.0]])
    parts = [rng.standard_normal((300, 2)), centres[1] + 3 * rng.standard_normal((300, 2))]
    train = np.concatenate(parts)
    found = fitted_variances(torch.from_numpy(centres), torch.from_numpy(train))
    oracle = [((p - c) ** 2).mean() for p, c in zip(parts, centres, strict=True)]
    assert found.tolist() == pytest.approx(oracle, rel=1e-4)


def test_surprise_is_that_of_a_normal_law():
    rng = np.random.default_rng(0)
    holdout = rng.standard_normal((500, 3))
    holdout = (holdout - holdout.mean(0)) / holdout.std(0)  # what standardising leaves alone
    centre = np.array([[5.0, 0.0, 0.0]])
    train = centre + np.concatenate([0.1 * np.eye(3), -0.1 * np.eye(3)])  # squares: 0.01 / 3
    train = np.concatenate([train, -1000 * centre.repeat(6, axis=0)])  # what the wide one takes
    variance = 0.01 / 3
    gaps = ((holdout - centre) ** 2).sum(1)
    oracle = 100 / 3 * (1.5 * np.log(2 * np.pi * variance) + gaps / variance / 2)
    found = held_out_surprise(centres=centre, train=train, holdout=holdout)
    assert found == pytest.approx(oracle, rel=1e-3)


def test_every_fault_costs_and_copies_cost_most():
    found = {
        "fresh": modes(500, 2),
        "shrunk": modes(500, 2, scale=0.5),
        "blurred": modes(500, 2, scale=2.0),
        "a mode lost": modes(500, 2, count=2),
        "copies": TRAIN[:500],
    }
    scores = {
        name: feature_likelihood_divergence(train=TRAIN, holdout=HOLDOUT, generated=items)
        for name, items in found.items()
    }
    assert abs(scores.pop("fresh")) < 3
    assert min(scores.values()) > 5
    assert max(scores, key=scores.get) == "copies"
    assert scores["copies"] > 1000


def test_neither_unit_nor_chunks_matter(monkeypatch):
    from ot_latent.metrics import likelihood

    generated = modes(200, 2)
    options = {"train": TRAIN[:300], "holdout": HOLDOUT[:200], "generated": generated}
    whole = feature_likelihood_divergence(**options)
    scaled = {name: 1000 * value + 7 for name, value in options.items()}
    assert feature_likelihood_divergence(**scaled) == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(likelihood, "_CHUNK", 37)
    assert feature_likelihood_divergence(**options) == pytest.approx(whole, abs=1e-6)


def test_a_constant_feature_is_no_obstacle():
    wide = [np.pad(x[:200], ((0, 0), (0, 1))) for x in (TRAIN, HOLDOUT, modes(200, 2))]
    assert np.isfinite(
        feature_likelihood_divergence(train=wide[0], holdout=wide[1], generated=wide[2])
    )


def test_refusals():
    with pytest.raises(DataError, match="train must have at least 4 rows, got 3"):
        reference_surprise(TRAIN[:3], HOLDOUT, 5)
    with pytest.raises(ValueError, match="centres must be a positive integer"):
        reference_surprise(TRAIN, HOLDOUT, 0)
    with pytest.raises(DataError, match="same number of features"):
        feature_likelihood_divergence(train=TRAIN, holdout=HOLDOUT, generated=TRAIN[:, :2])
