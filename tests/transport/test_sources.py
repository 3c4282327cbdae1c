"""Sources: moments, row-addressable draws, exact passage through dictionaries."""

import pytest
import torch
from hypothesis import given, strategies as st

from ot_latent._random import Stream
from ot_latent.transport.source_kinds import source_from_dict
from ot_latent.transport.sources import (
    Gaussian,
    UniformBall,
    UniformBox,
    default_source,
)

COVARIANCE = [[2.0, 0.5], [0.5, 1.0]]
SOURCES = [
    UniformBox.unit(3),
    UniformBox.centered(2),
    UniformBox([0.0, -2.0], [1.0, 5.0]),
    UniformBall(2),
    UniformBall(7, 3.0),
    Gaussian.standard(3),
    Gaussian([1.0, -2.0], COVARIANCE),
]
each = pytest.mark.parametrize("source", SOURCES, ids=lambda s: f"{type(s).__name__}{s.dim}")


@each
def test_draws_have_the_stated_moments(source):
    x = source.sample(200_000, seed=1)
    deviation = source.covariance.diagonal().sqrt()
    assert ((x.mean(0) - source.mean).abs() < 5 * deviation / 200_000**0.5).all()
    scale = deviation[:, None] * deviation
    assert ((torch.cov(x.T) - source.covariance).abs() / scale < 0.02).all()


@each
def test_description_round_trips(source):
    again = source_from_dict(source.to_dict())
    assert torch.equal(again.sample(10, seed=3), source.sample(10, seed=3))


@given(start=st.integers(0, 3000), n=st.integers(0, 1500))
def test_row_depends_on_seed_and_row_alone(start, n):
    for source in (SOURCES[0], SOURCES[3], SOURCES[6]):
        whole = source.sample(4500, seed=5)
        assert torch.equal(source.sample(n, seed=5, start=start), whole[start : start + n])


def test_streams_attempts_and_seeds_do_not_share_draws():
    source = UniformBox.unit(2)
    draws = [
        source.sample(5, seed=0),
        source.sample(5, seed=1),
        source.sample(5, seed=0, attempt=1),
        source.sample(5, seed=0, stream=Stream.FIT),
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert not torch.equal(a, b)


def test_ball_is_uniform_and_inside():
    x = UniformBall(3, 2.0).sample(100_000, seed=0)
    radius = x.norm(dim=1)
    assert float(radius.max()) <= 2
    inner = float((radius < 1).double().mean())  # (1/2)^3 of the volume
    assert inner == pytest.approx(1 / 8, abs=5 * (1 / 8 * 7 / 8 / 100_000) ** 0.5)


def test_defaults_have_unit_scale():
    assert float(default_source("ball", 5).covariance[0, 0]) == pytest.approx(1)
    assert isinstance(default_source("box", 2), UniformBox)
    assert isinstance(default_source("gaussian", 2), Gaussian)
    assert UniformBox.unit(2).sample(1, seed=0, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformBox([0.0], [0.0]), "low < high"),
        (lambda: UniformBox([0.0], [1.0, 2.0]), "one length"),
        (lambda: UniformBox.unit(0), "dim must be a positive integer"),
        (lambda: UniformBall(2.5), "d must be a positive integer"),
        (lambda: UniformBall(2, -1.0), "radius must be a positive number"),
        (lambda: Gaussian([0.0], [[1.0, 0.0]]), "symmetric matrix"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (lambda: source_from_dict({"kind": "cube"}), "source kind must be one of"),
        (lambda: default_source("cube", 2), "'box', 'ball' or 'gaussian'"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
