"""The potential against geometry: cells, conversions, Legendre duality."""

import numpy as np
import pytest
import torch

from ot_latent.transport.potential import BrenierPotential


@pytest.fixture
def potential():
    rng = np.random.default_rng(0)
    return BrenierPotential(rng.standard_normal((40, 3)), 0.1 * rng.standard_normal(40))


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(1).standard_normal((200, 3)))


def test_value_map_and_cell_belong_together(potential, x):
    cell = potential.cell_index(x)
    assert torch.equal(potential.transport(x), potential.points[cell])
    value = (x * potential.points[cell]).sum(1) + potential.heights[cell]
    torch.testing.assert_close(potential(x), value)
    assert (potential(x)[:, None] >= x @ potential.points.T + potential.heights - 1e-12).all()


def test_map_is_the_gradient(potential, x):
    step = 1e-6
    for axis in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[axis] = step
        slope = (potential(x + shift) - potential(x - shift)) / (2 * step)
        torch.testing.assert_close(slope, potential.transport(x)[:, axis], atol=1e-7, rtol=0)


def test_cells_are_power_cells(potential, x):
    power = torch.cdist(x, potential.points).square() - potential.power_weights()
    assert torch.equal(power.argmin(1), potential.cell_index(x))


def test_conversions_return(potential):
    for again in (
        BrenierPotential.from_power_weights(potential.points, potential.power_weights()),
        BrenierPotential.from_kantorovich(potential.points, potential.kantorovich()),
    ):
        torch.testing.assert_close(again.heights, potential.heights)
    torch.testing.assert_close(potential.power_weights(), 2 * potential.kantorovich())


def test_translation_and_scaling_keep_the_cells(potential, x):
    moved = potential.rescaled(2.5, [1.0, -2.0, 3.0])
    assert torch.equal(moved.cell_index(x), potential.cell_index(x))
    torch.testing.assert_close(moved.heights, 2.5 * potential.heights)
    expected = 2.5 * potential.transport(x) + torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(moved.transport(x), expected)


def test_conjugate_at_targets_fenchel_young_and_hull(potential, x):
    occupied = torch.unique(
        potential.cell_index(torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * 5)
    )
    at_targets = potential.conjugate(potential.points[occupied])
    torch.testing.assert_close(at_targets, -potential.heights[occupied], atol=1e-8, rtol=0)
    weights = torch.rand(10, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    inside = (weights / weights.sum(1, keepdim=True)) @ potential.points
    gap = potential(x)[:, None] + potential.conjugate(inside) - x @ inside.T
    assert float(gap.min()) >= -1e-8  # Fenchel-Young
    outside = torch.full((1, 3), 100.0, dtype=torch.float64)
    assert torch.isinf(potential.conjugate(outside)).all()


def test_conjugate_in_one_dimension_interpolates_linearly():
    u = BrenierPotential([[0.0], [1.0], [3.0]], [0.0, -0.2, -1.5])
    got = u.conjugate([[0.5], [2.0], [3.0], [-0.01]])
    torch.testing.assert_close(got[:3], torch.tensor([0.1, 0.85, 1.5], dtype=torch.float64))
    assert torch.isinf(got[3])


def test_one_target_is_affine():
    u = BrenierPotential([[2.0, 0.0]], [0.5])
    assert u([[1.0, 7.0]]).item() == 2.5
    assert u.conjugate([[2.0, 0.0]]).item() == -0.5


def test_ties_go_to_the_smallest_index():
    u = BrenierPotential([[1.0], [-1.0], [1.0]], [0.0, 0.0, 0.0])
    assert u.cell_index([[0.0], [2.0], [-2.0]]).tolist() == [0, 0, 1]


def test_refusals(potential):
    with pytest.raises(ValueError, match="one entry per point"):
        BrenierPotential([[0.0], [1.0]], [0.0])
    with pytest.raises(ValueError, match="finite"):
        BrenierPotential([[0.0]], [float("nan")])
    with pytest.raises(ValueError, match="x must have 3 columns"):
        potential([[0.0, 1.0]])
    with pytest.raises(ValueError, match="y must have 3 columns"):
        potential.conjugate([[0.0, 1.0]])
