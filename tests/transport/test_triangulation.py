"""The regular triangulation against linear programmes, Delaunay, brute force, and its diagram."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.spatial import Delaunay

from ot_latent.transport.hull import LowerHull, lowest_combination
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.triangulation import RegularTriangulation


def random_potential(rng, n, d, spread=0.3):
    return BrenierPotential(
        rng.standard_normal((n, d)),
        spread * rng.standard_normal(n) - 0.5 * rng.random(),
    )


def scores(potential, x):
    return x @ potential.points.numpy().T + potential.heights.numpy()


def volumes(dual):
    """Volumes of the simplices, up to the factor d!."""
    corners = dual.potential.points.numpy()[dual.simplices.numpy()]
    return np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))


def test_voronoi_heights_give_delaunay():
    rng = np.random.default_rng(0)
    for d in (2, 3):
        points = rng.random((60, d))
        dual = RegularTriangulation(BrenierPotential(points, -0.5 * (points**2).sum(1)))
        expected = np.sort(Delaunay(points).simplices, axis=1)
        assert set(map(tuple, dual.simplices.tolist())) == set(map(tuple, expected.tolist()))
        assert not dual.hidden.any()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_conjugate_is_the_linear_programme(d):
    rng = np.random.default_rng(d)
    for _ in range(20):
        u = random_potential(rng, int(rng.integers(1, 30)), d, rng.choice([0.0, 0.1, 1.0]))
        inside = rng.dirichlet(np.full(len(u.points), 0.5), 4) @ u.points.numpy()
        y = np.concatenate([inside, 2 * rng.standard_normal((4, d)), u.points.numpy()[:2]])
        points, values = u.points.numpy(), -u.heights.numpy()
        expected = np.array([lowest_combination(points, values, row) for row in y])
        got = RegularTriangulation(u).conjugate(y)
        np.testing.assert_allclose(got, expected, atol=1e-8)
        np.testing.assert_allclose(u.conjugate(y), expected, atol=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_duality_of_a_thousand_random_configurations(d):
    """u(x) + u*(y) >= <x, y>, and for a target equality exactly where its cell is."""
    rng = np.random.default_rng(10 + d)
    for _ in range(334):
        n = int(rng.integers(1, 15))
        u = random_potential(rng, n, d)
        dual = RegularTriangulation(u)
        x = np.concatenate([rng.standard_normal((20, d)), 30 * rng.standard_normal((10, d))])
        value, cell = scores(u, x).max(1), scores(u, x).argmax(1)
        y = rng.dirichlet(np.ones(n), 10) @ u.points.numpy()
        gap = value[:, None] + dual.conjugate(y).numpy() - x @ y.T
        assert gap.min() >= -1e-9
        at_targets = value[:, None] + dual.conjugate(u.points).numpy() - x @ u.points.numpy().T
        assert np.abs(at_targets[np.arange(len(x)), cell]).max() < 1e-9
        behind = value[:, None] - scores(u, x)  # how far each target is from winning at x
        assert (at_targets >= -1e-9).all()
        visible = ~dual.hidden.numpy()
        np.testing.assert_allclose(at_targets[:, visible], behind[:, visible], atol=1e-9)
        assert not dual.hidden[cell].any()
    np.testing.assert_allclose(u(x).numpy(), value, rtol=1e-12)
    assert np.array_equal(u.cell_index(x).numpy(), cell)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_simplices_meet_in_the_vertices_of_the_diagram(d):
    rng = np.random.default_rng(20 + d)
    for _ in range(100):
        u = random_potential(rng, int(rng.integers(d + 1, 20)), d)
        dual = RegularTriangulation(u)
        vertices = dual.vertices.numpy()
        at_vertices = scores(u, vertices)
        own = np.take_along_axis(at_vertices, dual.simplices.numpy(), axis=1)
        size = 1 + np.abs(vertices).max()
        assert np.ptp(own, axis=1).max() < 1e-8 * size
        assert (at_vertices.max(1) - own[:, 0]).max() < 1e-8 * size


@pytest.mark.parametrize("d", [1, 2, 3])
def test_facets_of_the_diagram_of_the_whole_space_are_edges(d):
    """Two cells touch in a facet iff an edge joins them; brute force over all pairs.

    Cells i and j share a facet iff at the largest margin t some x has s_i = s_j >= s_k + t for
    all k with t > 0.
    """
    from scipy.optimize import linprog

    rng = np.random.default_rng(30 + d)
    for _ in range(6):
        n = int(rng.integers(2, 9))
        u = random_potential(rng, n, d)
        points, heights = u.points.numpy(), u.heights.numpy()
        found = set()
        for i in range(n):
            for j in range(i + 1, n):
                others = [k for k in range(n) if k not in (i, j)]
                upper = np.c_[points[others] - points[i], np.ones(len(others))]
                program = linprog(
                    np.append(np.zeros(d), -1.0),
                    A_ub=upper if others else None,
                    b_ub=heights[i] - heights[others] if others else None,
                    A_eq=np.append(points[i] - points[j], 0.0)[None],
                    b_eq=[heights[j] - heights[i]],
                    bounds=[(-1e6, 1e6)] * d + [(-1, 1)],
                )
                if program.status == 0 and -program.fun > 1e-9:
                    found.add((i, j))
        assert set(map(tuple, RegularTriangulation(u).edges.tolist())) == found


@pytest.mark.parametrize("d", [2, 3])
def test_simplices_tile_the_hull(d):
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng(40 + d)
    side = np.stack(np.meshgrid(*[np.arange(4.0)] * d), -1).reshape(-1, d)
    angle = np.arange(12) * np.pi / 6
    clouds = [rng.random((50, d)), side, np.concatenate([side, 1e-4 * rng.random((40, d))])]
    if d == 2:
        clouds.append(np.stack([np.cos(angle), np.sin(angle)], 1))  # cocircular
    for points in clouds:
        for heights in (-0.5 * (points**2).sum(1), np.zeros(len(points)), rng.random(len(points))):
            dual = RegularTriangulation(BrenierPotential(points, heights))
            factorial = 2 if d == 2 else 6
            total = factorial * ConvexHull(points).volume
            assert volumes(dual).sum() == pytest.approx(total, rel=1e-9)
            assert volumes(dual).min() > 0


def test_affine_heights_hide_all_but_the_corners():
    side = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0)), -1).reshape(-1, 2)
    dual = RegularTriangulation(BrenierPotential(side, side @ [2.0, -1.0] + 5))
    assert (~dual.hidden).nonzero().flatten().tolist() == [0, 2, 6, 8]
    assert len(dual.simplices) == 2
    torch.testing.assert_close(dual.vertices, torch.tensor([[-2.0, 1.0]] * 2).double())


def test_points_on_a_line_and_in_a_plane_reduce_the_dimension():
    rng = np.random.default_rng(5)
    t = rng.random(20)
    line = BrenierPotential(np.outer(t, [1.0, 2.0, -1.0]) + 3, -(t**2))
    dual = RegularTriangulation(line)
    order = np.argsort(t)
    expected = np.sort(np.stack([order[:-1], order[1:]], 1), axis=1)
    assert set(map(tuple, dual.edges.tolist())) == set(map(tuple, expected.tolist()))
    y = np.array([[3.5, 4.0, 2.5], [3.5, 4.0, 2.6]])
    assert dual.locate(y).tolist()[1] == -1
    np.testing.assert_allclose(dual.conjugate(y)[:1], line.conjugate(y)[:1], atol=1e-9)
    assert torch.isinf(dual.conjugate(y)[1])
    flat = rng.random((30, 2))
    heights = rng.random(30)
    plane = RegularTriangulation(BrenierPotential(flat @ [[1, 0, 1], [0, 1, 1.0]], heights))
    plain = RegularTriangulation(BrenierPotential(flat, heights))
    assert plane.edges.tolist() == plain.edges.tolist()
    assert plane.simplices.shape[1] == 3


def test_few_and_equal_points():
    one = RegularTriangulation(BrenierPotential([[2.0, 1.0]], [0.5]))
    assert one.simplices.tolist() == [[0]]
    assert len(one.edges) == 0
    assert one.conjugate([[2.0, 1.0], [2.0, 1.1]]).tolist() == [-0.5, float("inf")]
    twice = RegularTriangulation(BrenierPotential([[2.0], [2.0]], [0.5, 0.75]))
    assert twice.hidden.tolist() == [True, False]
    three = RegularTriangulation(BrenierPotential([[0.0], [1.0], [1.0]], [0.0, 0.5, 0.75]))
    assert three.edges.tolist() == [[0, 2]]


def test_very_low_targets_are_hidden_and_change_nothing_else():
    rng = np.random.default_rng(6)
    points = rng.random((200, 2))
    heights = -0.5 * (points**2).sum(1)
    middle = np.abs(points - 0.5).max(1) < 0.2
    low = np.where(middle, heights - 1e6, heights)
    dual = RegularTriangulation(BrenierPotential(points, low))
    assert np.array_equal(dual.hidden.numpy(), middle)
    alone = RegularTriangulation(BrenierPotential(points[~middle], heights[~middle]))
    kept = np.flatnonzero(~middle)
    assert set(map(tuple, dual.edges.tolist())) == {
        tuple(pair) for pair in kept[alone.edges.numpy()].tolist()
    }


def test_locate_finds_the_simplex_that_holds_a_point():
    rng = np.random.default_rng(7)
    for d in (1, 2, 3):
        u = random_potential(rng, 100, d, 0.05)
        dual = RegularTriangulation(u)
        shares = rng.dirichlet(np.full(d + 1, 5.0), len(dual.simplices))
        corners = u.points.numpy()[dual.simplices.numpy()]
        inside = (shares[..., None] * corners).sum(1)
        assert dual.locate(inside).tolist() == list(range(len(inside)))
        assert dual.locate(np.full((1, d), 50.0)).tolist() == [-1]


def test_scale_of_the_targets_does_not_matter():
    rng = np.random.default_rng(8)
    points, heights = rng.random((80, 2)), rng.random(80) * 0.05
    base = RegularTriangulation(BrenierPotential(points, heights))
    for scale, shift in ((1e-9, 0.0), (1e9, 0.0), (1.0, 1e5)):
        moved = BrenierPotential(points * scale + shift, heights * scale)
        assert RegularTriangulation(moved).edges.tolist() == base.edges.tolist()
    strip = RegularTriangulation(BrenierPotential(points * [1.0, 1e-7], heights))
    assert strip.edges.tolist() == base.edges.tolist()


@given(st.integers(1, 3), st.integers(1, 25), st.integers(0, 10**6))
def test_any_lattice_cloud_is_valid(d, n, seed):
    """Coincident, collinear, coplanar and cospherical targets, heights full of ties."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, (n, d)).astype(float)
    u = BrenierPotential(points, rng.integers(0, 3, n) - 0.5 * (points**2).sum(1))
    dual = RegularTriangulation(u)
    y = rng.dirichlet(np.ones(n), 5) @ points
    expected = [lowest_combination(points, -u.heights.numpy(), row) for row in y]
    np.testing.assert_allclose(dual.conjugate(y), expected, atol=1e-8)
    winners = scores(u, 10 * rng.standard_normal((200, d))).argmax(1)
    seen = points[~dual.hidden.numpy()]
    assert len(np.unique(seen, axis=0)) == len(seen)  # of twins one at most
    for j in np.unique(winners):
        assert (np.abs(seen - points[j]).max(1) == 0).any()  # itself, or its twin


def test_refusals():
    with pytest.raises(ValueError, match="dimension 1, 2 or 3, got 4"):
        RegularTriangulation(BrenierPotential(np.eye(4), np.zeros(4)))
    with pytest.raises(ValueError, match="dimension 1, 2 or 3, got 4"):
        LowerHull(np.eye(4), np.zeros(4))
    dual = RegularTriangulation(BrenierPotential(np.eye(2), np.zeros(2)))
    with pytest.raises(ValueError, match="y must have 2 columns"):
        dual.conjugate([[0.0]])
