"""`evaluate`: what each score must say of samplers whose faults are known, and its record."""

import json

import numpy as np
import pytest

from ot_latent._validation import DataError
from ot_latent.estimators import OTSampler
from ot_latent.evaluation import OTHERS, evaluate
from ot_latent.generator import LatentGenerator
from ot_latent.scores import KEYS, Items, Judge


def mixture(n, seed, d=6):
    centres = 8 * np.random.default_rng(99).standard_normal((3, d))
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return centres[labels] + rng.standard_normal((n, d)), labels


@pytest.fixture(scope="module")
def record():
    Z, y = mixture(600, 0)
    sampler = OTSampler(tolerance=0.1, random_state=0).fit(Z, y)
    return evaluate(sampler, *mixture(800, 1), seed=0)


def test_record_has_every_key_and_is_json(record):
    assert json.loads(json.dumps(record)) == record
    for scores in (record, *record["baselines"].values()):
        assert set(KEYS) <= set(scores)
        for key in KEYS:
            entry = scores[key]
            assert set(entry) == {"value", "low", "high", "features", "n"}
            if entry["value"] is not None and key != "kernel_distance":
                assert entry["low"] - 1e-9 <= entry["value"] <= entry["high"] + 1e-9
    assert set(record["baselines"]) == {"gaussian", "gmm10", "plain", "control", "heldout", "real"}
    assert "manifold" not in record  # codes have no decoder
    assert record["mixture_rate"]["value"] is None  # nor class probabilities


def test_every_baseline_is_one_name_away():
    Z, _ = mixture(300, 0, d=3)
    sampler = OTSampler(tolerance=0.2, extension="none", random_state=0).fit(Z)
    names = ["gmm", "kde", "reference_rule", "copula"]  # the others take longer, or need libraries
    assert set(names) < set(OTHERS)
    found = evaluate(sampler, mixture(200, 1, d=3)[0], baselines=names, resamples=5)["baselines"]
    assert set(found) == set(names)
    least = {name: 0.1 if name == "reference_rule" else 0.5 for name in names}
    assert all(found[name]["novelty_ratio"]["value"] > least[name] for name in names)
    assert found["gmm"]["precision"]["value"] > 0.6


def test_copies_are_found(record):
    plain = record["baselines"]["plain"]
    assert plain["novelty_ratio"]["value"] < 1e-3
    assert plain["copy_rate"]["value"] == 1
    assert plain["authenticity"]["value"] == 0
    assert plain["data_copying"]["high"] < -10
    assert plain["likelihood_divergence"]["low"] > 1000
    assert record["novelty_ratio"]["value"] > 0.8
    assert record["copy_rate"]["value"] < 0.01


def test_fresh_data_are_the_floor_of_the_tests_for_copying(record):
    real = record["baselines"]["real"]
    assert real["data_copying"]["low"] < 2 < real["data_copying"]["high"] + 4
    assert abs(real["data_copying"]["value"]) < 3
    assert abs(real["likelihood_divergence"]["value"]) < 5
    assert record["authenticity"]["value"] > real["authenticity"]["value"] - 0.2
    gaussian = record["baselines"]["gaussian"]
    assert gaussian["data_copying"]["low"] > 3  # blurred: farther from the training set than data
    assert gaussian["likelihood_divergence"]["low"] > real["likelihood_divergence"]["high"]


def test_a_gaussian_blurs_the_modes(record):
    gaussian = record["baselines"]["gaussian"]
    assert gaussian["precision"]["value"] < record["precision"]["value"] - 0.3
    assert gaussian["frechet"]["value"] < 5  # its moments are right: one score is not enough
    assert gaussian["variance_ratio"]["value"] > 2


def test_the_transport_is_between_gaussian_and_fresh_data(record):
    real = record["baselines"]["real"]
    assert record["modes"]["value"] == 3
    assert 0.7 < record["variance_ratio"]["value"] < 1.3
    assert record["precision"]["value"] > real["precision"]["value"] - 0.15
    assert record["recall"]["value"] > real["recall"]["value"] - 0.2
    assert real["novelty_ratio"]["value"] == pytest.approx(1, abs=0.1)


def test_a_lost_mode_and_a_shrunk_one_are_seen():
    train, _ = mixture(500, 0)
    fresh, modes = mixture(500, 1)
    judge = Judge(Items(fresh, fresh, modes), train, "codes")
    other, labels = mixture(500, 2)
    kept = labels > 0
    lost = judge.score(Items(other[kept], other[kept], labels[kept]))
    assert lost["modes"]["value"] == 2
    assert lost["mode_kl"]["low"] > 0.2
    centres = np.stack([other[labels == c].mean(0) for c in range(3)])[labels]
    small = centres + 0.5 * (other - centres)
    shrunk = judge.score(Items(small, small, labels))
    assert shrunk["variance_ratio"]["value"] == pytest.approx(0.25, rel=0.1)
    assert shrunk["recall"]["high"] < lost["recall"]["value"]
    unsure = judge.score(Items(other, other, labels, confidence=np.full(500, 0.5)))
    assert unsure["mixture_rate"]["value"] is None  # the reference has no confidence


def test_spread_is_left_open_where_no_class_has_two_items():
    fresh, alone = np.random.default_rng(0).standard_normal((60, 4)), np.arange(60)
    judge = Judge(Items(fresh, fresh, alone), fresh + 1e-3, "codes", resamples=5)
    found = judge.score(Items(fresh[::-1], fresh[::-1], alone[::-1]))
    assert found["variance_ratio"]["value"] is None
    assert found["modes"]["value"] == 60
    pairs = Judge(Items(fresh, fresh, alone // 30), fresh + 1e-3, "codes", resamples=5)
    assert pairs.score(Items(fresh, fresh, alone // 30))["variance_ratio"]["value"] == 1


def test_few_classes_between_modes_are_counted():
    fresh, modes = mixture(200, 1)
    sure = np.linspace(0.9, 1.0, 200)
    judge = Judge(Items(fresh, fresh, modes, sure), fresh + 1e-3, "codes")
    mixed = np.where(np.arange(200) < 50, 0.5, 1.0)
    scores = judge.score(Items(fresh, fresh, modes, mixed))
    assert scores["mixture_rate"]["value"] == 0.25


@pytest.fixture(scope="module")
def generator():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 60, size=(160, 8, 8))
    y = np.arange(160) % 2
    X[y == 0, :4] += 150
    X[y == 1, 4:] += 150
    X = X.astype(np.uint8)
    fast = LatentGenerator(latent_dim=3, epochs=1, width=4, tolerance=0.3, random_state=0)
    return fast.fit(X[:100], y[:100]), X, y


def test_generator_is_judged_on_classifier_features(generator):
    gen, X, y = generator
    report = gen.evaluate(X[100:], y[100:], baselines=["heldout"], X_other=255 - X[:50])
    assert report["frechet"]["features"] == "classifier"
    assert report["novelty_ratio"]["features"] == "codes"
    assert report["modes"]["value"] == 2
    assert set(report["baselines"]) == {"heldout", "real"}
    evidence = report["manifold"]
    assert set(evidence["projection_ratio"]) == {"0.1", "0.2", "0.4"}
    assert evidence["reconstruction_error"]["train"] == gen.train_error_ > 0
    assert 0 <= evidence["off_manifold_auc"] <= 1
    assert evidence["n"] == 30
    assert json.loads(json.dumps(report)) == report


def test_features_of_your_own(generator):
    gen, X, _ = generator

    def halves(rows):
        return rows.reshape(len(rows), 2, -1).mean(2)

    report = gen.evaluate(X[100:], baselines=(), features=halves, manifold=False)
    assert report["frechet"]["features"] == "halves"
    assert report["baselines"] == {}


def test_refusals(generator):
    gen, X, y = generator
    with pytest.raises(DataError, match="at least 40 rows"):
        gen.evaluate(X[:20])
    with pytest.raises(DataError, match="same number of rows"):
        gen.evaluate(X[100:], y[:3])
    with pytest.raises(ValueError, match="baselines must be among"):
        gen.evaluate(X[100:], baselines=["magic"])
