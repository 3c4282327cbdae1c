"""Eleven theorems of semi-discrete transport, each on the exact solver."""

import numpy as np
import pytest
import torch
from transport.clouds import voronoi

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.newton import DampedNewton
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.power_diagram import PowerDiagram
from ot_latent.transport.sources import UniformBox


def random_target(n, d, seed=0, ratio=1.0):
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.uniform(0, np.log(ratio), n)) if ratio > 1 else np.ones(n)
    return DiscreteMeasure(rng.random((n, d)), weights / weights.sum())


def gauge_free(heights):
    return heights - heights.mean()


def test_theorem_1_two_points():
    target = DiscreteMeasure([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.75])
    found = DampedNewton(tolerance=1e-12).solve(UniformBox.unit(2), target)
    np.testing.assert_allclose(found.potential.heights, [1 / 16, -1 / 16], atol=1e-12)
    assert found.cost == pytest.approx(2 * 13 / 192, abs=1e-12)


@pytest.mark.parametrize(("d", "k"), [(2, 2), (2, 7), (3, 2), (3, 4)])
def test_theorem_2_grid(d, k):
    side = (np.arange(k) + 0.5) / k
    points = np.stack(np.meshgrid(*[side] * d), -1).reshape(-1, d)
    found = DampedNewton(tolerance=1e-10).solve(UniformBox.unit(d), DiscreteMeasure.uniform(points))
    kantorovich = found.potential.kantorovich()
    assert float(kantorovich.max() - kantorovich.min()) < 1e-10
    assert found.cost == pytest.approx(d / (12 * k * k), abs=1e-12)  # 1 / (6 k^2) in the plane


@pytest.mark.parametrize("d", [1, 2, 3])
def test_theorem_3_translation_keeps_the_heights(d):
    target = random_target(30, d)
    moved = DiscreteMeasure(target.points + torch.tensor([5.0, -3.0, 2.0][:d]), target.weights)
    solver = DampedNewton(tolerance=1e-10)
    heights = solver.solve(UniformBox.unit(d), target).potential.heights
    again = solver.solve(UniformBox.unit(d), moved).potential
    # <x, y + b> + h: the cells stay, the heights too.
    torch.testing.assert_close(again.heights, heights, atol=1e-10, rtol=0)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_theorem_4_scaling_scales_the_heights(d):
    target = random_target(30, d)
    scaled = DiscreteMeasure(7.5 * target.points, target.weights)
    solver = DampedNewton(tolerance=1e-10)
    heights = solver.solve(UniformBox.unit(d), target).potential.heights
    again = solver.solve(UniformBox.unit(d), scaled).potential.heights
    torch.testing.assert_close(again, 7.5 * heights, atol=1e-9, rtol=0)


@pytest.mark.parametrize("d", [2, 3])
def test_theorem_5_gradient_and_hessian_are_finite_differences(d):
    rng = np.random.default_rng(d)
    target = random_target(12, d)
    heights = voronoi(target.points.numpy()) + 0.02 * rng.random(12)
    box = UniformBox([0.0] * d, [1.0] * (d - 1) + [1.5])

    def diagram(h):
        return PowerDiagram(box, BrenierPotential(target.points, h))

    def energy(h):
        found = diagram(h)
        inner = (found.centroids * target.points).sum(1) + torch.from_numpy(h)
        return float((found.masses * inner).sum() - target.weights @ torch.from_numpy(h))

    here = diagram(heights)
    gradient = (here.masses - target.weights).numpy()
    hessian = here.hessian().toarray()
    step = 1e-6
    for j in range(12):
        up, down = heights + step * np.eye(12)[j], heights - step * np.eye(12)[j]
        slope = (energy(up) - energy(down)) / (2 * step)
        assert slope == pytest.approx(gradient[j], abs=1e-9)
        column = (diagram(up).masses - diagram(down).masses).numpy() / (2 * step)
        np.testing.assert_allclose(hessian[:, j], column, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, atol=0)
    np.testing.assert_allclose(hessian @ np.ones(12), 0, atol=1e-13)
    assert np.linalg.eigvalsh(hessian)[1] > 1e-3


@pytest.mark.parametrize(("d", "n"), [(2, 12), (2, 100), (2, 400), (3, 12), (3, 60)])
def test_theorem_6_last_steps_have_order_two(d, n):
    found = DampedNewton(tolerance=1e-11).solve(UniformBox.unit(d), random_target(n, d, seed=n))
    errors = np.array(found.history["error"])
    orders = local_orders(errors[errors > 1e-13 * n / 10])  # above rounding
    assert orders[-2:].max() >= 1.8, errors


def local_orders(errors):
    drops = np.diff(np.log(errors))
    return drops[1:] / drops[:-1]


@pytest.mark.parametrize("d", [1, 2, 3])
def test_theorem_7_cells_of_scores_are_power_cells(d):
    found = DampedNewton().solve(UniformBox.unit(d), random_target(40, d))
    x = UniformBox.unit(d).sample(5000, seed=0)
    power = torch.cdist(x, found.potential.points).square() - found.potential.power_weights()
    assert torch.equal(power.argmin(1), found.potential.cell_index(x))


@pytest.mark.parametrize("d", [2, 3])
def test_theorem_8_a_start_with_no_empty_cell(d):
    rng = np.random.default_rng(8)
    target = DiscreteMeasure.uniform(4 + 0.2 * rng.standard_normal((10, d)))
    source = UniformBox.unit(d)
    naive = PowerDiagram(source, BrenierPotential(target.points, voronoi(target.points.numpy())))
    assert int(naive.empty.sum()) >= 7
    start = DampedNewton().init(source, target)
    at_start = PowerDiagram(source, BrenierPotential(target.points, start.heights))
    assert not at_start.empty.any()
    found = DampedNewton().solve(source, target)
    assert found.converged
    assert found.history["diagrams"][-1] <= 15


@pytest.mark.parametrize("d", [2, 3])
def test_theorem_9_counts_approach_the_exact_masses(d):
    target = random_target(20, d)
    heights = voronoi(target.points.numpy())
    potential = BrenierPotential(target.points, heights)
    masses = PowerDiagram(UniformBox.unit(d), potential).masses.numpy()
    sizes = 2 ** np.arange(8, 17)
    errors = np.zeros((20, len(sizes)))
    for seed in range(20):
        cells = potential.cell_index(UniformBox.unit(d).sample(int(sizes[-1]), seed=seed)).numpy()
        for i, size in enumerate(sizes):
            counts = np.bincount(cells[:size], minlength=20) / size
            errors[seed, i] = np.linalg.norm(counts - masses)
    slope = np.polyfit(np.log(sizes), np.log(np.sqrt((errors**2).mean(0))), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_theorem_10_one_dimension_by_a_cumulative_sum():
    target = random_target(50, 1, seed=10, ratio=100)
    found = DampedNewton(tolerance=1e-10).solve(UniformBox([-1.0], [3.0]), target)
    points, weights = target.points[:, 0].numpy(), target.weights.numpy()
    order = np.argsort(points)
    ends = -1 + 4 * np.cumsum(weights[order])[:-1]
    heights = np.zeros(50)
    heights[order[1:]] = -np.cumsum(ends * np.diff(points[order]))
    np.testing.assert_allclose(
        found.potential.heights.numpy(), heights - heights.mean(), atol=1e-12
    )
    starts, stops = np.r_[-1, ends], np.r_[ends, 3]
    cubes = (stops - points[order]) ** 3 - (starts - points[order]) ** 3
    assert found.cost == pytest.approx(cubes.sum() / 12, abs=1e-12)
    assert found.mass_error <= 1e-10


@pytest.mark.parametrize("d", [2, 3])
def test_theorem_11_discrete_transport_from_samples_approaches_the_cost(d):
    ot = pytest.importorskip("ot")
    target = random_target(20, d, seed=11)
    source = UniformBox.unit(d)
    exact = DampedNewton(tolerance=1e-9).solve(source, target).cost
    sizes = 2 ** np.arange(6, 12)
    errors = np.zeros((12, len(sizes)))
    for seed in range(12):
        for i, size in enumerate(sizes):
            x = source.sample(int(size), seed=seed, start=100_000 * i)
            costs = torch.cdist(x, target.points).square().numpy()
            uniform = np.full(size, 1 / size)
            errors[seed, i] = ot.emd2(uniform, target.weights.numpy(), costs) - exact
    spread = np.sqrt((errors**2).mean(0))
    slope = np.polyfit(np.log(sizes), np.log(spread), 1)[0]
    print(f"d = {d}: emd2 - exact falls with slope {slope:.2f}")  # noqa: T201
    assert -0.8 < slope < -0.4
    assert spread[-1] < 0.05 * exact
