"""Pixels, cells and tears of known configurations in the plane."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ot_latent import raster
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Gaussian, UniformBall, UniformBox

UNIT = UniformBox.unit(2)


def potential(points, heights=None):
    points = torch.as_tensor(points, dtype=torch.float64)
    heights = torch.zeros(len(points)) if heights is None else torch.as_tensor(heights)
    return BrenierPotential(points, heights.to(torch.float64))


def test_two_codes_cut_the_square_in_halves():
    # scores x and 1/2: the left half goes to the second code
    found = raster.rasterise_cells(potential([[1, 0], [0, 0]], [0.0, 0.5]), UNIT, resolution=40)
    assert found.extent == (0.0, 1.0, 0.0, 1.0)
    assert (found.index[:, :20] == 1).all()
    assert (found.index[:, 20:] == 0).all()


def test_the_first_row_is_the_top():
    found = raster.rasterise_cells(potential([[0, 1], [0, 0]], [0.0, 0.5]), UNIT, resolution=10)
    assert (found.index[:5] == 0).all()
    assert (found.index[5:] == 1).all()


@pytest.mark.parametrize("side", [1, 2, 16, 17, 33, 100])
def test_asking_at_boundaries_alone_finds_every_cell(side):
    rng = np.random.default_rng(side)
    u = potential(rng.normal(size=(60, 2)), rng.normal(size=60) * 0.05)
    low, high = np.zeros(2), np.ones(2)
    centres = torch.from_numpy(raster.pixel_centres(low, high, side))
    whole = u.cell_index(centres).numpy().reshape(side, side)
    assert (raster.cells_on_grid(u, low, high, side) == whole).all()


def test_few_pixels_are_asked_for():
    u = potential([[1, 0], [0, 0]], [0.0, 0.5])
    asked = []

    class Counting:
        points = u.points

        def cell_index(self, x):
            asked.append(len(x))
            return u.cell_index(x)

    raster.cells_on_grid(Counting(), np.zeros(2), np.ones(2), 512)
    assert sum(asked) < 512**2 / 20


def test_only_far_codes_are_torn_apart():
    # a row of eight codes, one step apart, but for a gap of fifty in the middle; a parabola
    # through the codes' order makes the cells strips of one width
    x = np.r_[0, 1, 2, 3, 53, 54, 55, 56].astype(float)
    edges = np.arange(1, 8) / 8
    heights = np.r_[0.0, np.cumsum(-np.diff(x) * edges)]
    u = potential(np.stack([x, np.zeros(8)], axis=1), heights)
    found = raster.rasterise_cells(u, UNIT, resolution=80)
    assert (np.diff(found.index[0]).nonzero()[0] == np.arange(9, 79, 10)).all()
    assert found.torn.any(axis=0).nonzero()[0].tolist() == [39, 40]
    assert found.torn[:, 39:41].all()


def test_one_cell_has_no_tears():
    assert not raster.rasterise_cells(potential([[0.0, 0.0]]), UNIT, resolution=8).torn.any()


def test_pixels_outside_a_ball_have_no_cell():
    found = raster.rasterise_cells(potential([[0.0, 0.0]]), UniformBall(2), resolution=50)
    assert found.index[0, 0] == -1
    assert found.index[25, 25] == 0
    assert abs((found.index == 0).mean() - np.pi / 4) < 0.01


@pytest.mark.parametrize(
    "source",
    [
        UniformBox([-1.0, 2.0], [3.0, 3.0]),
        UniformBall(2, radius=1.5),
        Gaussian([1.0, -1.0], [[2.0, 0.6], [0.6, 1.0]]),
    ],
)
def test_the_noise_grid_has_the_moments_of_the_source(source):
    grid = raster.noise_grid(source, 60)
    assert grid.shape == (3600, 2)
    np.testing.assert_allclose(grid.mean(axis=0), np.asarray(source.mean), atol=1e-9)
    np.testing.assert_allclose(np.cov(grid.T), np.asarray(source.covariance), rtol=0.02, atol=0.01)


def test_the_grid_of_a_ball_fills_it_evenly():
    radius = np.linalg.norm(raster.noise_grid(UniformBall(2), 64), axis=1)
    assert radius.max() < 1
    for r in (0.25, 0.5, 0.75):
        assert abs((radius <= r).mean() - r**2) < 0.01


def test_the_gaussian_grid_has_the_moments_of_the_codes():
    codes = np.random.default_rng(0).normal(size=(500, 2)) @ [[2.0, 1.0], [0.0, 0.3]] + 5
    grid = raster.gaussian_grid(codes, 80)
    np.testing.assert_allclose(grid.mean(axis=0), codes.mean(axis=0))
    np.testing.assert_allclose(np.cov(grid.T), np.cov(codes.T), rtol=0.02)


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="source must be two-dimensional .* got dimension 3"):
        raster.source_square(UniformBox.unit(3))
