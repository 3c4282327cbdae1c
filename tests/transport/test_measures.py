"""Targets: merged duplicates, masses, refusals."""

import numpy as np
import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.transport.measures import DiscreteMeasure, DuplicatePointsWarning


def test_duplicates_merge_and_masses_add():
    points = [[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [-0.0, 1.0]]
    with pytest.warns(DuplicatePointsWarning, match="4 points hold 2 repeated rows"):
        target = DiscreteMeasure(points, [0.1, 0.2, 0.3, 0.4])
    assert target.points.tolist() == [[0.0, 1.0], [2.0, 0.0]]  # order of first appearance
    torch.testing.assert_close(target.weights, torch.tensor([0.8, 0.2], dtype=torch.float64))
    assert target.inverse.tolist() == [0, 1, 0, 0]
    assert torch.equal(target.points[target.inverse], torch.tensor(points, dtype=torch.float64))


def test_uniform_keeps_precision_and_order():
    points = np.random.default_rng(0).random((100, 3), dtype=np.float32)
    target = DiscreteMeasure.uniform(points)
    assert target.points.dtype == torch.float32
    assert target.weights.dtype == torch.float64
    assert np.array_equal(target.points.numpy(), points)
    assert len(target) == 100
    assert target.dim == 3
    assert float(target.weights.sum()) == pytest.approx(1, abs=1e-15)


def test_weights_within_a_millionth_are_renormalised():
    target = DiscreteMeasure([[0.0], [1.0]], [0.5, 0.5 + 5e-7])
    assert float(target.weights.sum()) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("points", "weights", "message"),
    [
        ([[0.0], [1.0]], [0.5, 0.6], "sum to 1"),
        ([[0.0], [1.0]], [-0.5, 1.5], "must be positive, got -0.5 at row 0"),
        ([[0.0], [1.0]], [0.0, 1.0], "must be positive"),
        ([[0.0], [1.0]], [1.0], "one mass per point"),
        ([[0.0], [1.0]], [float("nan"), 1.0], "finite"),
        ([[0.0], [float("inf")]], [0.5, 0.5], "finite"),
        ([0.0, 1.0], [0.5, 0.5], "must have 2 axes"),
        (np.zeros((0, 2)), [], "at least one row"),
        (np.zeros((2, 0)), [0.5, 0.5], "at least one row and one column"),
        ([[1j]], [1.0], "real numbers"),
    ],
)
def test_refusals(points, weights, message):
    with pytest.raises(DataError, match=message):
        DiscreteMeasure(points, weights)
