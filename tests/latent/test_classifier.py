"""The classifier: right on held-out data, a function of its seed, saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.latent.classifier import Classifier, train_classifier
from ot_latent.latent.preprocessing import DataCodec


def digits() -> tuple[torch.Tensor, np.ndarray]:
    """Return the bundled digits, encoded."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return DataCodec.fit(data.images).encode(data.images), data.target


def test_digits_are_read_and_the_same_seed_gives_the_same_bits() -> None:
    x, y = digits()
    before = torch.get_rng_state()
    held = np.arange(len(x)) % 5 == 0
    net = train_classifier(x[~held], y[~held], seed=0, epochs=8)
    assert (net.predict(x[held]) == y[held]).mean() > 0.97
    few = [train_classifier(x[:200], y[:200], seed=s, epochs=2).to_tensors() for s in (0, 0, 1)]
    assert all(torch.equal(few[0][k], few[1][k]) for k in few[0])
    assert not all(torch.equal(few[0][k], few[2][k]) for k in few[0])
    assert torch.equal(before, torch.get_rng_state())


def test_features_are_the_layer_below_the_logits() -> None:
    net = train_classifier(torch.rand(30, 3, 16, 12), np.arange(30) % 3, seed=0, epochs=1)
    x = torch.rand(70, 3, 16, 12)
    with torch.no_grad():
        torch.testing.assert_close(net.head(net.features(x)), net.logits(x))
    assert net.features(x).shape == (70, 64)
    torch.testing.assert_close(net.probabilities(x).sum(1), torch.ones(70))
    assert torch.equal(net.features(x)[:7], net.features(x[:7]))


def test_vectors_with_words_as_labels_are_saved_and_loaded() -> None:
    x = torch.randn(300, 5)
    y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
    net = train_classifier(x, y, seed=1, epochs=30)
    assert (net.predict(x) == y).mean() > 0.95
    config = json.loads(json.dumps(net.to_config()))
    again = Classifier.from_parts(net.to_tensors(), config)
    assert torch.equal(again.logits(x), net.logits(x))
    assert (again.predict(x) == net.predict(x)).all()


def test_labels_that_say_nothing_are_refused() -> None:
    x = torch.rand(6, 2)
    with pytest.raises(DataError, match="at least two different labels, got 1"):
        train_classifier(x, np.zeros(6), seed=0)
    with pytest.raises(DataError, match="same number of rows"):
        train_classifier(x, np.zeros(5), seed=0)
    with pytest.raises(ValueError, match="epochs must be a positive integer"):
        train_classifier(x, np.arange(6), seed=0, epochs=0)


@pytest.mark.slow
@pytest.mark.data
def test_fashion_is_told_apart(data_dir: Path) -> None:
    from ot_latent.datasets import load

    train = load("fashion-mnist", split="train", data_dir=data_dir)
    test = load("fashion-mnist", split="test", data_dir=data_dir)
    codec = DataCodec.fit(train.x)
    net = train_classifier(codec.encode(train.x), train.y, seed=0)
    assert (net.predict(codec.encode(test.x)) == test.y).mean() > 0.90
