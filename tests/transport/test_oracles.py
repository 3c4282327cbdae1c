"""The oracles themselves, against closed forms: what judges must be right first."""

import numpy as np
import pytest
from transport.oracles import (
    box_halfspaces,
    brute,
    brute_grid,
    polygon_integrals,
    polyhedron_integrals,
)


def test_integrals_of_known_bodies():
    square = np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]])
    area, first, second = polygon_integrals(square)
    assert area == pytest.approx(2)
    np.testing.assert_allclose(first, [4.0, 1.0])
    assert second == pytest.approx((27 - 1) / 3 + 2 / 3)
    cube = np.stack(np.meshgrid([0.0, 1], [0.0, 1], [0.0, 2]), -1).reshape(-1, 3)
    volume, first, second = polyhedron_integrals(cube)
    assert volume == pytest.approx(2)
    np.testing.assert_allclose(first, [1.0, 1.0, 2.0])
    assert second == pytest.approx(2 / 3 + 2 / 3 + 8 / 3)


@pytest.mark.parametrize("d", [2, 3])
def test_cells_of_a_grid_are_boxes(d):
    k = 3
    side = (np.arange(k) + 0.5) / k
    points = np.stack(np.meshgrid(*[side] * d, indexing="ij"), -1).reshape(-1, d)
    found = brute(points, -0.5 * (points**2).sum(1), *box_halfspaces([0] * d, [1] * d))
    np.testing.assert_allclose(found.volumes, k**-d)
    np.testing.assert_allclose(found.centroids, points)
    np.testing.assert_allclose(found.second_moments, k**-d * d / (12 * k * k), atol=1e-14)
    real = {pair: size for pair, size in found.facets.items() if size > 1e-9}
    assert len(real) == d * (k - 1) * k ** (d - 1)
    np.testing.assert_allclose(list(real.values()), k ** (1 - d))


@pytest.mark.parametrize("d", [2, 3])
def test_cells_tile_the_domain_and_hold_their_points(d):
    rng = np.random.default_rng(d)
    points, heights = rng.random((15, d)), 0.05 * rng.random(15)
    found = brute(points, heights, *box_halfspaces([0] * d, [1] * d))
    assert found.volumes.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(found.first.sum(0), 0.5)
    assert found.second.sum() == pytest.approx(d / 3)
    x = rng.random((20_000, d))
    counts = np.bincount((x @ points.T + heights).argmax(1), minlength=15)
    error = counts / len(x) - found.volumes
    assert np.abs(error / np.sqrt(found.volumes / len(x) + 1e-9)).max() < 5


def test_pixels_of_one_density_are_one_box():
    rng = np.random.default_rng(4)
    points, heights = rng.random((6, 2)), 0.05 * rng.random(6)
    whole = brute(points, heights, *box_halfspaces([0, 0], [1, 2])) * 0.5
    split = brute_grid(points, heights, np.full((2, 3), 7.0), [0, 0], [1, 2])
    np.testing.assert_allclose(split.volumes, whole.volumes, atol=1e-14)
    np.testing.assert_allclose(split.second_moments, whole.second_moments, atol=1e-14)
    for pair, size in whole.facets.items():
        assert split.facets[pair] == pytest.approx(size)
