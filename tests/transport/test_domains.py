"""Polytopes and pixel densities as sources: moments, draws, descriptions, refusals."""

import numpy as np
import pytest
import torch
from transport.oracles import box_halfspaces, cell_2d, polygon_integrals

from ot_latent._validation import DataError
from ot_latent.transport.domains import DensityFloorWarning, GridDensity, UniformPolytope
from ot_latent.transport.source_kinds import source_from_dict
from ot_latent.transport.sources import UniformBox

PENTAGON = [[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(5) / 5]


def sources():
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((9, 3))
    box = box_halfspaces([-1, -1, -2], [1, 1.5, 1])
    blunt = np.concatenate([normals, box[0]]), np.concatenate([np.ones(9), box[1]])
    return {
        "interval": UniformPolytope([[2.0], [-1.0], [1.0]], [6.0, 1.0, 9.0]),
        "pentagon": UniformPolytope.from_vertices(PENTAGON),
        "solid": UniformPolytope(*blunt),
        "picture": GridDensity(rng.uniform(0.2, 2, (3, 4)), [-1, 0], [1, 3]),
        "voxels": GridDensity(rng.uniform(0.2, 2, (3, 2, 4)), [0, 0, 0], [1, 2, 3]),
    }


@pytest.mark.parametrize("name", list(sources()))
def test_draws_have_the_moments_and_stay_inside(name):
    source = sources()[name]
    x = source.sample(100_000, seed=1)
    assert x.shape == (100_000, source.dim)
    error = x.std(0) / np.sqrt(len(x))
    assert ((x.mean(0) - source.mean).abs() < 4.5 * error).all()
    spread = source.covariance.diagonal().max()
    torch.testing.assert_close(
        x.T.cov().view(source.dim, -1), source.covariance, atol=0.02 * float(spread), rtol=0
    )
    if isinstance(source, UniformPolytope):
        assert float((x @ source.normals.T - source.offsets).max()) <= 1e-12
    assert torch.equal(source.sample(10, seed=1, start=500), x[500:510])


@pytest.mark.parametrize("name", list(sources()))
def test_description_returns(name):
    source = sources()[name]
    again = source_from_dict(source.to_dict())
    assert type(again) is type(source)
    torch.testing.assert_close(again.covariance, source.covariance)
    assert torch.equal(again.sample(5, seed=3), source.sample(5, seed=3))


def test_polytopes_have_closed_forms():
    interval = sources()["interval"]
    assert interval.volume == pytest.approx(4)
    assert interval.mean.tolist() == pytest.approx([1.0])
    pentagon = sources()["pentagon"]
    assert pentagon.volume == pytest.approx(2.5 * np.sin(2 * np.pi / 5))
    np.testing.assert_allclose(pentagon.mean.numpy(), 0, atol=1e-14)
    for d in (1, 2, 3):
        box = UniformBox([-1.0] * d, [2.0] * d)
        same = UniformPolytope(*box_halfspaces([-1] * d, [2] * d))
        assert same.volume == pytest.approx(3.0**d)
        torch.testing.assert_close(same.mean, box.mean)
        torch.testing.assert_close(same.covariance, box.covariance, atol=1e-12, rtol=0)
    rng = np.random.default_rng(2)
    normals = np.concatenate([rng.standard_normal((6, 2)), box_halfspaces([0, 0], [1, 1])[0]])
    offsets = np.concatenate([np.ones(6), [1, 1, 1, 1.0]])
    corners, _ = cell_2d(0, np.zeros((1, 2)), np.zeros(1), normals, offsets)
    area, first, second = polygon_integrals(corners)
    cut = UniformPolytope(normals, offsets)
    assert cut.volume == pytest.approx(area)
    np.testing.assert_allclose(cut.mean.numpy(), first / area)
    trace = second / area - (first @ first) / area**2
    assert float(cut.covariance.trace()) == pytest.approx(trace)


def test_redundant_and_long_normals_change_nothing():
    normals, offsets = box_halfspaces([0, 0], [1, 1])
    more = UniformPolytope(
        np.concatenate([5 * normals, [[1, 1], [1, 0], [1, 1]]]),
        np.concatenate([5 * offsets, [9.0, 1.0, 2.0]]),
    )
    assert more.volume == pytest.approx(1)
    torch.testing.assert_close(more.covariance, UniformBox.unit(2).covariance)


def test_pixels_grow_with_their_index_and_are_raised_to_the_floor():
    density = GridDensity([[1.0, 3.0]], [0, 0], [1, 1])
    assert density.mean.tolist() == pytest.approx([0.5, 0.625])
    box = GridDensity(np.full((4, 3), 7.0), [0, 0], [2, 1])
    torch.testing.assert_close(box.covariance, UniformBox([0.0, 0.0], [2.0, 1.0]).covariance)
    values = np.ones((4, 4))
    values[0, 0] = 0
    with pytest.warns(DensityFloorWarning, match="1 of 16 pixels"):
        raised = GridDensity(values, [0, 0], [1, 1], floor=0.01)
    values[0, 0] = 0.01 * values.mean()
    expected = GridDensity(values, [0, 0], [1, 1])
    torch.testing.assert_close(raised.mean, expected.mean)


@pytest.mark.parametrize(
    ("normals", "offsets", "message"),
    [
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, -1, 1, 0], "interior"),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0, 1, 0], "flat"),
        ([[1], [-1]], [0, 0], "flat"),
        ([[1, 0], [-1, 0], [0, 1]], [1, 0, 1], "bounded"),
        ([[1, 0], [-1, 0], [0, 1], [0, 0]], [1, 0, 1, 0], "normals must not be zero"),
        ([[1, 0], [-1, 0], [0, 1], [0, float("nan")]], [1, 0, 1, 0], "finite"),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [1, 0, 1], "one offset per row"),
        (np.eye(4), np.ones(4), "d <= 3"),
    ],
)
def test_domains_that_are_none(normals, offsets, message):
    with pytest.raises(DataError, match=message):
        UniformPolytope(normals, offsets)


@pytest.mark.parametrize(
    ("values", "low", "high", "message"),
    [
        (np.zeros((2, 2)), [0, 0], [1, 1], "non-negative"),
        (-np.ones((2, 2)), [0, 0], [1, 1], "non-negative"),
        (np.full((2, 2), np.nan), [0, 0], [1, 1], "finite"),
        (np.ones((2, 2)), [0, 0], [0, 1], "low must be below high"),
        (np.ones((2, 2, 2)), [0, 0], [1, 1], "grid of 2 or 3 axes"),
        (np.ones((0, 2)), [0, 0], [1, 1], "grid of 2 or 3 axes"),
        (np.ones(3), [0], [1], "grid of 2 or 3 axes"),
    ],
)
def test_densities_that_are_none(values, low, high, message):
    with pytest.raises(DataError, match=message):
        GridDensity(values, low, high)


def test_other_refusals():
    with pytest.raises(ValueError, match="floor must be a positive number"):
        GridDensity(np.ones((2, 2)), [0, 0], [1, 1], floor=0.0)
    for flat in ([[0, 0], [1, 1], [2, 2]], [[0.0], [1.0]]):
        with pytest.raises(DataError, match="vertices must span"):
            UniformPolytope.from_vertices(flat)
