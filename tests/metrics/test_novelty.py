"""Novelty: copies are found out, fresh data count as new."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics.novelty import (
    authenticity,
    closest_record,
    copy_rate,
    distance_to_closest,
    novelty_ratio,
)


def cloud(n, seed, d=6):
    return np.random.default_rng(seed).standard_normal((n, d))


def test_distance_equals_the_dense_minimum():
    train, points = cloud(300, 0), cloud(70, 1)
    oracle = np.linalg.norm(points[:, None] - train[None], axis=2).min(1)
    assert distance_to_closest(train=train, points=points) == pytest.approx(oracle, rel=1e-12)
    single = distance_to_closest(train=torch.from_numpy(train).float(), points=points.astype("f4"))
    assert single == pytest.approx(oracle, rel=1e-5)


def test_copies_have_no_novelty_and_fresh_data_have_all():
    train, holdout = cloud(2000, 0), cloud(800, 1)
    options = {"train": train, "holdout": holdout}
    assert novelty_ratio(**options, generated=train[:500]) == 0.0
    assert copy_rate(**options, generated=train[:500]) == 1.0
    assert novelty_ratio(**options, generated=cloud(800, 2)) == pytest.approx(1.0, abs=0.05)
    assert copy_rate(**options, generated=cloud(800, 2)) < 0.01
    assert novelty_ratio(**options, generated=holdout) == 1.0
    half = np.concatenate([train[:400], cloud(400, 3)])
    assert copy_rate(**options, generated=half) == pytest.approx(0.5, abs=0.01)


def test_authenticity_equals_the_dense_definition():
    train, points = cloud(150, 0), 0.8 * cloud(90, 1)
    apart = np.linalg.norm(train[:, None] - train[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    across = np.linalg.norm(points[:, None] - train[None], axis=2)
    oracle = (across.min(1) > apart.min(1)[across.argmin(1)]).mean()
    assert authenticity(train=train, generated=points) == pytest.approx(oracle, abs=1e-12)
    assert (closest_record(train=train, points=points)[1] == across.argmin(1)).all()


def test_authenticity_of_copies_is_zero():
    train = cloud(2000, 0)
    assert authenticity(train=train, generated=train[::3]) == 0.0
    assert authenticity(train=np.repeat(train, 2, axis=0), generated=train[:9]) == 0.0
    assert authenticity(train=train, generated=train + 50.0) == 1.0


def test_authenticity_of_fresh_data_is_a_third_on_the_line():
    """On the line: half of a size-biased gap is exponential of rate 2, the next gap of rate 1."""
    rng = np.random.default_rng(0)
    line = authenticity(train=rng.random((20_000, 1)), generated=rng.random((20_000, 1)))
    assert line == pytest.approx(1 / 3, abs=0.015)
    # no figure for all laws: in high dimension the closest record is one that is close to many
    high = authenticity(train=cloud(2000, 0, d=40), generated=cloud(2000, 1, d=40))
    assert 0.7 < high < 0.9


def test_neither_order_nor_unit_matters():
    train, holdout, generated = cloud(200, 0), cloud(90, 1), cloud(80, 2) * 0.7
    ratio = novelty_ratio(train=train, holdout=holdout, generated=generated)
    again = novelty_ratio(
        train=train[::-1] * 100, holdout=holdout[::-1] * 100, generated=generated * 100
    )
    assert again == pytest.approx(ratio, rel=1e-9)


def test_refusals():
    train = cloud(50, 0)
    with pytest.raises(DataError, match="holdout must hold items that differ"):
        novelty_ratio(train=train, holdout=train, generated=train)
    with pytest.raises(DataError, match="same number of features"):
        distance_to_closest(train=train, points=train[:, :2])
    with pytest.raises(DataError, match="points must have at least 1 row"):
        distance_to_closest(train=train, points=train[:0])
    with pytest.raises(DataError, match="train must have at least 2 rows, got 1"):
        authenticity(train=train[:1], generated=train)
