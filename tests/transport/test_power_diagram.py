"""PowerDiagram against brute force, Monte Carlo, duality and its own identities."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from transport.clouds import NAMES, cloud, voronoi
from transport.oracles import box_halfspaces, brute, brute_grid

from ot_latent._validation import DataError
from ot_latent.transport.domains import GridDensity, UniformPolytope
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.power_diagram import PowerDiagram
from ot_latent.transport.sources import UniformBall, UniformBox
from ot_latent.transport.triangulation import RegularTriangulation

SMALL = 1e-9  # a facet below this size may or may not be there


def polytope(d, sides=7, seed=0):
    """Normals and offsets of a bounded polytope around the middle of the unit cube."""
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((sides, d))
    offsets = normals.sum(1) / 2 + np.linalg.norm(normals, axis=1) * rng.uniform(0.3, 0.6, sides)
    box = box_halfspaces([-0.2] * d, [1.1] * d)
    return np.concatenate([normals, box[0]]), np.concatenate([offsets, box[1]])


def check_against(diagram, expected, *, mass=1.0, atol=1e-12):
    """Compare all integrals; `mass` is the density of the source, `atol` relative to volume one."""
    masses = expected.volumes * mass
    np.testing.assert_allclose(diagram.masses.numpy(), masses, atol=atol)
    assert float(diagram.masses.sum()) == pytest.approx(1, abs=1e-12)
    full = masses > SMALL
    assert not diagram.empty.numpy()[full].any()
    first = diagram.masses[full, None].numpy() * diagram.centroids[full].numpy()
    np.testing.assert_allclose(first, expected.first[full] * mass, atol=atol)
    got = diagram.second_moments.numpy()
    np.testing.assert_allclose(got, expected.second_moments * mass, atol=10 * atol)
    check_facets(diagram.facets, expected.facets, mass, atol)


def check_facets(facets, expected, mass, atol):
    pairs = [tuple(pair) for pair in facets.pairs.tolist()]
    assert all(i < j for i, j in pairs)
    assert len(set(pairs)) == len(pairs)
    found = dict(zip(pairs, facets.measures.tolist(), strict=True))
    wanted = {pair: size * mass for pair, size in expected.items()}
    for pair in found.keys() | {p for p, size in wanted.items() if size > SMALL}:
        assert found.get(pair, 0.0) == pytest.approx(
            wanted.get(pair, 0.0), abs=max(1e4 * atol, SMALL)
        )


def tolerance(points):
    return 1e-12 * max(1.0, np.abs(points).max() ** 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("d", [2, 3])
def test_box_against_brute_force(d, name):
    points, heights = cloud(name, d)
    low, high = [-0.25] + [0.0] * (d - 1), [1.0] * (d - 1) + [1.5]
    diagram = PowerDiagram(UniformBox(low, high), BrenierPotential(points, heights))
    expected = brute(points, heights, *box_halfspaces(low, high))
    volume = 1.25 * 1.5
    check_against(diagram, expected, mass=1 / volume, atol=tolerance(points))
    np.testing.assert_allclose(
        diagram.volumes.numpy(), expected.volumes, atol=2 * tolerance(points)
    )


@pytest.mark.parametrize("d", [2, 3])
def test_polytope_against_brute_force(d):
    for seed in range(4):
        points, heights = cloud("random", d, seed, n=15)
        normals, offsets = polytope(d, seed=seed)
        source = UniformPolytope(normals, offsets)
        diagram = PowerDiagram(source, BrenierPotential(points, heights))
        expected = brute(points, heights, normals, offsets)
        check_against(diagram, expected, mass=1 / expected.volumes.sum())


@pytest.mark.parametrize("d", [2, 3])
def test_polytope_that_is_a_box_is_the_box(d):
    potential = BrenierPotential(*cloud("random", d))
    box = PowerDiagram(UniformBox.unit(d), potential)
    same = PowerDiagram(UniformPolytope(*box_halfspaces([0] * d, [1] * d)), potential)
    torch.testing.assert_close(same.masses, box.masses, atol=1e-14, rtol=0)
    torch.testing.assert_close(same.centroids, box.centroids, atol=1e-12, rtol=0, equal_nan=True)
    assert same.facets.pairs.tolist() == box.facets.pairs.tolist()


@given(st.sampled_from([2, 2, 2, 3]), st.integers(1, 30), st.integers(0, 10**6))
def test_masses_of_any_lattice_cloud_sum_to_one(d, n, seed):
    """Twins, lines, planes, circles and ties at once."""
    rng = np.random.default_rng(seed)
    points = np.unique(rng.integers(0, 4, (n, d)) / 4, axis=0)
    heights = voronoi(points) + rng.integers(0, 3, len(points)) / 16
    diagram = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights))
    assert float(diagram.masses.sum()) == pytest.approx(1, abs=1e-12)
    expected = brute(points, heights, *box_halfspaces([0] * d, [1] * d))
    np.testing.assert_allclose(diagram.masses.numpy(), expected.volumes, atol=1e-12)


@given(st.sampled_from([2, 3]), st.integers(0, 10**6), st.floats(-8, 1), st.floats(-8, 0))
@settings(max_examples=30)
def test_masses_of_any_scale_sum_to_one(d, seed, log_spread, log_noise):
    """Tight clusters to sites far outside, heights from Voronoi to wild."""
    rng = np.random.default_rng(seed)
    points = 0.5 + 10**log_spread * rng.standard_normal((40, d))
    heights = voronoi(points) + 10**log_noise * rng.standard_normal(40)
    diagram = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights))
    assert float(diagram.masses.sum()) == pytest.approx(1, abs=1e-12)
    centre = diagram.masses[~diagram.empty] @ diagram.centroids[~diagram.empty]
    torch.testing.assert_close(centre, torch.full((d,), 0.5).double(), atol=1e-11, rtol=0)
    cell = BrenierPotential(points, heights).cell_index(rng.random((300, d)))
    assert not diagram.empty[cell].any()


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("hub", [False, True])
def test_hundreds_of_cells_meet_in_one_point_or_around_one_cell(d, hub):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        points = rng.standard_normal((300, d))
        points = 0.5 + 0.4 * points / np.linalg.norm(points, axis=1, keepdims=True)
        points = np.concatenate([points, np.full((int(hub), d), 0.5)])
        potential = BrenierPotential(points, voronoi(points))
        diagram = PowerDiagram(UniformBox.unit(d), potential)
        assert float(diagram.masses.sum()) == pytest.approx(1, abs=1e-12)
        x = rng.random((20_000, d))
        masses = diagram.masses.numpy()
        counts = np.bincount(potential.cell_index(x), minlength=len(points)) / len(x)
        assert (np.abs(counts - masses) / np.sqrt(masses / len(x) + 1e-9)).max() < 5.5
        if hub:
            touching = (diagram.facets.pairs == 300).any(1)
            assert int(touching.sum()) == 300


@pytest.mark.parametrize("d", [2, 3])
def test_small_cells_are_exact_relative_to_their_own_size(d):
    """Cells of a cluster of size 1e-4 or 1e-6 are no rounding error of the large ones."""
    rng = np.random.default_rng(90 + d)
    for size in (1e-4, 1e-6):
        points = np.concatenate([rng.random((6, d)), 0.4 + size * rng.random((9, d))])
        heights = voronoi(points)
        diagram = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights))
        expected = brute(points, heights, *box_halfspaces([0] * d, [1] * d))
        loss = 2e-14 / size**2  # a rounding of the heights moves facets by eps / |y_i - y_j|
        np.testing.assert_allclose(diagram.masses.numpy(), expected.volumes, rtol=loss)


def test_twins_share_one_cell():
    points, heights = cloud("random", 2, n=10)
    twice = np.concatenate([points, points[:3]])
    raised = np.concatenate([heights, heights[:3] + np.array([-0.1, 0.0, 0.001])])
    diagram = PowerDiagram(UniformBox.unit(2), BrenierPotential(twice, raised))
    assert float(diagram.masses.sum()) == pytest.approx(1, abs=1e-12)
    assert bool(diagram.empty[10])
    assert bool(diagram.empty[2])
    assert diagram.empty[[1, 11]].sum() >= 1


@pytest.mark.parametrize("d", [2, 3])
def test_a_hundred_thousand_points_agree_on_their_cells(d):
    rng = np.random.default_rng(d)
    points = rng.random((300, d))
    potential = BrenierPotential(points, voronoi(points) + 0.01 * rng.random(300))
    diagram = PowerDiagram(UniformBox.unit(d), potential)
    x = rng.random((100_000, d))
    cell = potential.cell_index(x).numpy()
    masses = diagram.masses.numpy()
    counts = np.bincount(cell, minlength=300)
    deviation = np.sqrt(100_000 * masses * (1 - masses)) + 1
    assert (np.abs(counts - 100_000 * masses) / deviation).max() < 5
    centre = np.array([np.bincount(cell, x[:, a], 300) for a in range(d)]).T
    often = counts > 30
    error = centre[often] / counts[often, None] - diagram.centroids.numpy()[often]
    assert np.abs(error * np.sqrt(counts[often, None])).max() < 0.5
    if d == 2:
        assert_points_lie_in_polygons(x, cell, diagram)


def assert_points_lie_in_polygons(x, cell, diagram):
    vertices, offsets, _ = diagram.polygons()
    for j in range(len(offsets) - 1):
        corners = vertices[offsets[j] : offsets[j + 1]]
        edges = np.roll(corners, -1, axis=0) - corners
        inside = np.ones(len(x), dtype=bool)
        deep = np.ones(len(x), dtype=bool)
        for corner, edge in zip(corners, edges, strict=True):
            side = edge[0] * (x[:, 1] - corner[1]) - edge[1] * (x[:, 0] - corner[0])
            inside &= side >= -1e-12
            deep &= side > 1e-12
        assert inside[cell == j].all()
        assert (cell[deep & (len(corners) > 0)] == j).all()


def test_polygons_fit_together():
    points, heights = cloud("some very low", 2, n=80)
    diagram = PowerDiagram(UniformBox.unit(2), BrenierPotential(points, heights))
    vertices, offsets, across = diagram.polygons()
    assert len(offsets) == 81
    assert len(across) == len(vertices) == offsets[-1]
    lengths = {}
    for j in range(80):
        corners = vertices[offsets[j] : offsets[j + 1]]
        assert (len(corners) == 0) == bool(diagram.empty[j])
        after = np.roll(corners, -1, axis=0)
        area = 0.5 * (corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]).sum()
        assert area == pytest.approx(float(diagram.volumes[j]), abs=1e-13)
        size = np.linalg.norm(after - corners, axis=1)
        for k, length in zip(across[offsets[j] : offsets[j + 1]].tolist(), size, strict=True):
            lengths[j, k] = lengths.get((j, k), 0.0) + length
    for (j, k), length in lengths.items():
        if k >= 0 and length > SMALL:
            assert lengths[k, j] == pytest.approx(length, abs=1e-12)
    outer = sum(length for (_, k), length in lengths.items() if k < 0)
    assert outer == pytest.approx(4)
    inner = {(j, k): size for (j, k), size in lengths.items() if 0 <= j < k}
    check_facets(diagram.facets, inner, 1.0, 1e-13)
    assert {k for _, k in lengths if k < 0} == {-1, -2, -3, -4}


def test_polyhedra_close_and_fit_together():
    points, heights = cloud("random", 3, n=30)
    diagram = PowerDiagram(UniformBox.unit(3), BrenierPotential(points, heights))
    areas, outer = {}, 0.0
    for j in range(30):
        faces = diagram.polyhedron(j)
        volume, flux = 0.0, np.zeros(3)
        for corners, k in faces:
            normal = np.cross(corners - corners[0], np.roll(corners, -1, axis=0) - corners[0])
            normal = normal.sum(0) / 2
            outwards = normal @ (corners[0] - diagram.centroids[j].numpy())
            normal = normal * np.sign(outwards)
            flux += normal
            volume += normal @ corners[0] / 3
            areas[j, k] = areas.get((j, k), 0.0) + float(np.linalg.norm(normal))
            outer += float(np.linalg.norm(normal)) * (k < 0)
        assert np.abs(flux).max() < 1e-12
        assert volume == pytest.approx(float(diagram.volumes[j]), abs=1e-12)
    assert outer == pytest.approx(6)
    inner = {(j, k): size for (j, k), size in areas.items() if 0 <= j < k}
    check_facets(diagram.facets, inner, 1.0, 1e-13)


@pytest.mark.parametrize("d", [2, 3])
def test_facets_of_a_large_domain_are_the_edges_of_the_dual(d):
    """In general position the adjacency is the edge graph of the regular triangulation."""
    rng = np.random.default_rng(50 + d)
    for _ in range(20):
        points = rng.standard_normal((12, d))
        potential = BrenierPotential(points, 0.3 * rng.standard_normal(12))
        dual = RegularTriangulation(potential)
        reach = 3 * float(dual.vertices.abs().max()) + 1
        box = UniformBox([-reach] * d, [reach] * d)
        diagram = PowerDiagram(box, potential)
        assert diagram.facets.pairs.tolist() == dual.edges.tolist()
        assert torch.equal(diagram.empty, dual.hidden)
        edges = dual.edges.numpy()
        indptr, indices = diagram.neighbours
        found = {(i, int(j)) for i in range(12) for j in indices[indptr[i] : indptr[i + 1]]}
        assert found == {tuple(p) for p in edges.tolist()} | {
            tuple(p) for p in edges[:, ::-1].tolist()
        }


@pytest.mark.parametrize("d", [2, 3])
def test_a_guess_of_the_neighbours_changes_nothing(d):
    points, heights = cloud("random", d, n=40)
    potential = BrenierPotential(points, heights)
    plain = PowerDiagram(UniformBox.unit(d), potential)
    moved = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights[::-1].copy()))
    nobody = (np.zeros(41, dtype=np.int64), np.zeros(0, dtype=np.int64))
    for guess in (plain.neighbours, moved.neighbours, nobody):
        guess = tuple(np.asarray(part) for part in guess)
        same = PowerDiagram(UniformBox.unit(d), potential, neighbours=guess)
        torch.testing.assert_close(same.masses, plain.masses, atol=1e-14, rtol=0)
        torch.testing.assert_close(
            same.centroids, plain.centroids, atol=1e-12, rtol=0, equal_nan=True
        )
        assert same.facets.pairs.tolist() == plain.facets.pairs.tolist()


@pytest.mark.parametrize("d", [2, 3])
def test_order_and_precision_of_the_targets_do_not_matter(d):
    points, heights = cloud("random", d, n=40)
    base = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights))
    order = np.random.default_rng(0).permutation(40)
    mixed = PowerDiagram(UniformBox.unit(d), BrenierPotential(points[order], heights[order]))
    torch.testing.assert_close(
        mixed.masses, base.masses[torch.from_numpy(order)], atol=1e-13, rtol=0
    )
    single = BrenierPotential(points.astype(np.float32), heights.astype(np.float32))
    again = PowerDiagram(UniformBox.unit(d), single)
    assert again.masses.dtype == torch.float64
    double = BrenierPotential(single.points.double(), single.heights.double())
    torch.testing.assert_close(again.masses, PowerDiagram(UniformBox.unit(d), double).masses)


@pytest.mark.parametrize("d", [2, 3])
def test_hessian_is_a_laplacian(d):
    points = cloud("random", d, n=40)[0]
    heights = voronoi(points)
    diagram = PowerDiagram(UniformBox.unit(d), BrenierPotential(points, heights))
    hessian = diagram.hessian()
    assert hessian.shape == (40, 40)
    dense = hessian.toarray()
    np.testing.assert_allclose(dense, dense.T, atol=0)
    np.testing.assert_allclose(dense.sum(1), 0, atol=1e-12)
    assert (dense[~np.eye(40, dtype=bool)] <= 0).all()
    values = np.linalg.eigvalsh(dense)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[1] > 1e-3


@pytest.mark.parametrize("d", [2, 3])
def test_cost_is_the_integral_of_the_squared_displacement(d):
    points, heights = cloud("random", d, n=40)
    potential = BrenierPotential(points, heights)
    diagram = PowerDiagram(UniformBox.unit(d), potential)
    x = UniformBox.unit(d).sample(200_000, seed=0)
    squares = (x - potential.transport(x)).square().sum(1)
    error = float(squares.std()) / np.sqrt(len(squares))
    assert diagram.cost() == pytest.approx(float(squares.mean()), abs=4 * error)
    total = float(diagram.masses.numpy() @ (points**2).sum(1))
    value = float(potential(x).mean())  # int u = int <x, T(x)> + h
    inner = 0.5 * (d / 3 + total - diagram.cost()) + float(diagram.masses.numpy() @ heights)
    assert value == pytest.approx(inner, abs=0.01)


# -- pixel densities -------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "shape"), [(2, (3, 4)), (3, (2, 3, 2))])
def test_grid_density_against_brute_force(d, shape):
    rng = np.random.default_rng(60 + d)
    points, heights = cloud("random", d, n=12)
    values = rng.uniform(0.2, 3.0, shape)
    low, high = [-0.5] + [0.0] * (d - 1), [1.0] * (d - 1) + [1.3]
    diagram = PowerDiagram(GridDensity(values, low, high), BrenierPotential(points, heights))
    check_against(diagram, brute_grid(points, heights, values, low, high), atol=1e-12)
    uniform = PowerDiagram(UniformBox(low, high), BrenierPotential(points, heights))
    torch.testing.assert_close(diagram.volumes, uniform.volumes, atol=1e-12, rtol=0)
    torch.testing.assert_close(diagram.facets.areas, uniform.facets.areas, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("d", "shape"), [(2, (5, 3)), (3, (3, 2, 2))])
def test_constant_grid_density_is_the_box(d, shape):
    low, high = [0.0] * d, [1.0] * (d - 1) + [2.0]
    potential = BrenierPotential(*cloud("random", d))
    grid = PowerDiagram(GridDensity(np.full(shape, 3.0), low, high), potential)
    box = PowerDiagram(UniformBox(low, high), potential)
    torch.testing.assert_close(grid.masses, box.masses, atol=1e-13, rtol=0)
    torch.testing.assert_close(grid.centroids, box.centroids, atol=1e-11, rtol=0, equal_nan=True)
    torch.testing.assert_close(grid.second_moments, box.second_moments, atol=1e-13, rtol=0)
    torch.testing.assert_close(grid.facets.measures, box.facets.measures, atol=1e-11, rtol=0)
    assert grid.cost() == pytest.approx(box.cost(), abs=1e-12)


@pytest.mark.parametrize(("d", "shape"), [(2, (4, 5)), (3, (2, 3, 2))])
def test_splitting_pixels_changes_nothing(d, shape):
    rng = np.random.default_rng(70 + d)
    values = rng.uniform(0.5, 2.0, shape)
    split = values
    for axis in range(d):
        split = np.repeat(split, 2 + (axis == 0), axis=axis)
    potential = BrenierPotential(*cloud("random", d))
    coarse = PowerDiagram(GridDensity(values, [0.0] * d, [1.0] * d), potential)
    fine = PowerDiagram(GridDensity(split, [0.0] * d, [1.0] * d), potential)
    torch.testing.assert_close(fine.masses, coarse.masses, atol=1e-13, rtol=0)
    torch.testing.assert_close(fine.centroids, coarse.centroids, atol=1e-11, rtol=0, equal_nan=True)
    torch.testing.assert_close(fine.facets.measures, coarse.facets.measures, atol=1e-11, rtol=0)


@pytest.mark.parametrize(("d", "shape"), [(2, (6, 4)), (3, (3, 4, 2))])
def test_grid_density_against_its_own_samples(d, shape):
    rng = np.random.default_rng(80 + d)
    source = GridDensity(rng.uniform(0.1, 2.0, shape), [0.0] * d, [2.0] + [1.0] * (d - 1))
    potential = BrenierPotential(*cloud("random", d))
    diagram = PowerDiagram(source, potential)
    x = source.sample(100_000, seed=3)
    masses = diagram.masses.numpy()
    counts = np.bincount(potential.cell_index(x), minlength=len(masses))
    deviation = np.sqrt(100_000 * masses * (1 - masses)) + 1
    assert (np.abs(counts - 100_000 * masses) / deviation).max() < 5
    mean = (diagram.masses[:, None] * diagram.centroids).nansum(0)
    torch.testing.assert_close(mean, source.mean, atol=1e-12, rtol=0)
    trace = float(diagram.second_moments.sum()) + float(
        (diagram.masses * (diagram.centroids - source.mean).square().sum(1)).nansum()
    )
    assert trace == pytest.approx(float(source.covariance.trace()), abs=1e-12)
    squares = (x - potential.transport(x)).square().sum(1)
    assert diagram.cost() == pytest.approx(float(squares.mean()), rel=0.02)


def test_zeros_of_a_grid_density_are_raised_with_a_warning():
    values = np.ones((4, 4))
    values[0, 0] = 0
    potential = BrenierPotential(*cloud("random", 2))
    with pytest.warns(UserWarning, match="floor"):
        source = GridDensity(values, [0, 0], [1, 1], floor=0.01)
    raised = values.copy()
    raised[0, 0] = 0.01 * values.mean()
    expected = PowerDiagram(GridDensity(raised, [0, 0], [1, 1]), potential)
    torch.testing.assert_close(
        PowerDiagram(source, potential).masses, expected.masses, atol=1e-13, rtol=0
    )


# -- refusals --------------------------------------------------------------------------------------


def test_refusals():
    with pytest.raises(ValueError, match="dimension"):
        PowerDiagram(UniformBox.unit(3), BrenierPotential(np.eye(2), np.zeros(2)))
    with pytest.raises(ValueError, match="StochasticNewton|2 or 3"):
        PowerDiagram(UniformBox.unit(4), BrenierPotential(np.eye(4), np.zeros(4)))
    with pytest.raises((ValueError, TypeError), match="UniformBall"):
        PowerDiagram(UniformBall(2), BrenierPotential(np.eye(2), np.zeros(2)))
    with pytest.raises(DataError, match="finite"):
        PowerDiagram(UniformBox.unit(2), BrenierPotential([[np.nan, 0.0]], [0.0]))
    flat = PowerDiagram(UniformBox.unit(2), BrenierPotential(np.eye(2), np.zeros(2)))
    with pytest.raises(ValueError, match="use polygons"):
        flat.polyhedron(0)
    solid = PowerDiagram(UniformBox.unit(3), BrenierPotential(np.eye(3), np.zeros(3)))
    with pytest.raises(ValueError, match="use polyhedron"):
        solid.polygons()
    with pytest.raises(DataError, match="graph on 2 sites"):
        PowerDiagram(UniformBox.unit(2), flat.potential, neighbours=solid.neighbours)
    with pytest.raises(DataError, match="DampedNewton in one dimension"):
        PowerDiagram(UniformBox.unit(1), BrenierPotential([[0.0], [1.0]], np.zeros(2)))
