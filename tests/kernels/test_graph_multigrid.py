"""Aggregation and multigrid: partitions, Galerkin products, and solutions against factorisations."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve
from scipy.spatial import Delaunay

from ot_latent.kernels.aggregation import (
    graph_of,
    inverse_degrees,
    pairs,
    pairs_of_groups,
    quotient,
)
from ot_latent.kernels.graph_multigrid import COARSEST, build, cycle, solve
from ot_latent.transport.laplacian import laplacian, solve_laplacian


def planar(n, seed=0, spread=0.0):
    """Return the Laplacian of a Delaunay triangulation of random points, sorted along x.

    Weights are log-uniform over `spread` decades.
    """
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2))
    points = points[np.argsort(points[:, 0])]
    simplices = Delaunay(points).simplices
    edges = np.unique(np.sort(simplices[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    weights = 10 ** rng.uniform(-spread / 2, spread / 2, len(edges))
    both = np.concatenate([edges, edges[:, ::-1]])
    return laplacian(n, *both.T, np.tile(weights, 2))


def line(n, weight=1.0):
    """Return the Laplacian of a path."""
    left = np.arange(n - 1)
    ends = np.concatenate([left, left + 1]), np.concatenate([left + 1, left])
    return laplacian(n, *ends, np.full(2 * (n - 1), weight))


def star(n):
    """Return the Laplacian of one vertex joined to all others."""
    hub, leaf = np.zeros(n - 1, int), np.arange(1, n)
    ends = np.concatenate([hub, leaf]), np.concatenate([leaf, hub])
    return laplacian(n, *ends, np.ones(2 * (n - 1)))


def arrays(matrix):
    return matrix.indptr, matrix.indices, matrix.data


def right_side(n, seed=1):
    rhs = np.random.default_rng(seed).standard_normal(n)
    return rhs - rhs.mean()


def dense(graph):
    """Return a graph as its matrix of weights."""
    starts, _, columns, weights = graph
    return csr_array((weights, columns, starts), shape=(len(starts) - 1,) * 2).toarray()


# -- aggregation -----------------------------------------------------------------------------------


def test_graphs_keep_weights_and_put_smaller_neighbours_first():
    matrix = planar(200, spread=2)
    graph = graph_of(*arrays(matrix), 3.0)
    off = -3.0 * (matrix.toarray() - np.diag(matrix.diagonal()))
    np.testing.assert_allclose(dense(graph), off, rtol=1e-6)
    starts, middles, columns, _ = graph
    for i in range(200):
        assert (columns[starts[i] : middles[i]] < i).all()
        assert (columns[middles[i] : starts[i + 1]] > i).all()
    np.testing.assert_allclose(inverse_degrees(graph), 1 / (3 * matrix.diagonal()), rtol=1e-5)


def test_pairs_on_a_path_are_neighbours_and_pairs_of_pairs_are_fours():
    graph = graph_of(*arrays(line(8)), 1.0)
    group, count = pairs(graph)
    assert group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    group, count = pairs_of_groups(graph, group, count)
    assert (group.tolist(), count) == ([0] * 4 + [1] * 4, 2)


def test_the_strongest_neighbour_is_joined():
    ends = np.array([0, 1, 1, 2, 2, 3]), np.array([1, 0, 2, 1, 3, 2])
    graph = graph_of(*arrays(laplacian(4, *ends, np.array([1.0, 1, 1, 1, 5, 5]))), 1.0)
    assert pairs(graph)[0].tolist() == [0, 0, 1, 1]
    heavy = np.array([1.0, 1, 9, 9, 5, 5])
    group, count = pairs(graph_of(*arrays(laplacian(4, *ends, heavy)), 1.0))
    assert (group.tolist(), count) == ([0, 0, 1, 1], 2)  # 0 is asked first and has no other
    group, count = pairs(graph_of(*arrays(laplacian(4, ends[0][::-1], ends[1][::-1], heavy)), 1.0))
    assert count == 2


@pytest.mark.parametrize("matrix", [planar(500, spread=6), star(50), line(101)], ids=str)
def test_groups_partition_and_the_quotient_is_the_galerkin_product(matrix):
    graph = graph_of(*arrays(matrix), 1.0)
    n = matrix.shape[0]
    group, count = pairs_of_groups(graph, *pairs(graph))
    assert count <= n / 2
    assert sorted(set(group.tolist())) == list(range(count))
    first = [int(np.argmax(group == g)) for g in range(count)]
    assert first == sorted(first) or matrix.shape[0] == 50  # the hub collects all leaves
    joins = np.zeros((n, count))
    joins[np.arange(n), group] = 1
    expected = joins.T @ dense(graph) @ joins
    np.fill_diagonal(expected, 0)
    coarse = quotient(graph, group, count)
    np.testing.assert_allclose(dense(coarse), expected, rtol=1e-5)
    starts, middles, columns, _ = coarse
    for g in range(count):
        assert (columns[starts[g] : middles[g]] < g).all()
        assert (columns[middles[g] : starts[g + 1]] > g).all()


# -- multigrid -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, COARSEST, COARSEST + 1, 300, 5_000])
@pytest.mark.parametrize(("spread", "most"), [(0.0, 70), (6.0, 300)])
def test_equals_a_factorisation_on_planar_graphs(n, spread, most):
    matrix = planar(max(n, 4), spread=spread) if n > 2 else line(2)
    rhs = right_side(matrix.shape[0])
    found, count = solve(*arrays(matrix), rhs, 1e-12, 500)
    exact = np.append(spsolve(matrix[:-1, :-1].tocsc(), rhs[:-1]), 0.0)
    off = (found - found.mean()) - (exact - exact.mean())
    assert np.abs(off).max() <= 1e-8 * np.abs(exact - exact.mean()).max()
    assert np.linalg.norm(matrix @ found - rhs) <= 1e-11 * np.linalg.norm(rhs)
    assert count < most


@pytest.mark.parametrize("matrix", [line(3_000), star(3_000), line(500, 1e-90), line(500, 1e90)])
def test_paths_stars_and_units_far_from_one(matrix):
    n, scale = matrix.shape[0], matrix.data.max()
    rhs = right_side(n)
    found, _ = solve(*arrays(matrix), scale * rhs, 1e-9, 500)
    assert np.linalg.norm(matrix @ found - scale * rhs) <= 1e-8 * scale * np.linalg.norm(rhs)


def test_weights_below_single_precision_do_not_tear_the_graph():
    left = np.arange(199)
    ends = np.concatenate([left, left + 1]), np.concatenate([left + 1, left])
    weights = np.where(left == 100, 1e-60, 1.0)
    matrix = laplacian(200, *ends, np.tile(weights, 2))
    rhs = right_side(200)
    assert np.isfinite(solve(*arrays(matrix), rhs, 1e-2, 50)[0]).all()


def test_many_parts_are_not_a_number():
    matrix = laplacian(100, *(np.zeros(0, int),) * 2, np.zeros(0))
    assert np.isnan(solve(*arrays(matrix), right_side(100), 1e-6, 50)[0]).all()


def test_iterations_hardly_grow_with_the_graph():
    counts = [solve(*arrays(planar(n)), right_side(n), 1e-6, 500)[1] for n in (500, 4_000, 32_000)]
    assert max(counts) <= 20
    assert counts[2] <= counts[0] + 8


def test_all_levels_cost_less_than_twice_the_first():
    matrix = planar(20_000)
    hierarchy = build(*arrays(matrix), 1.0)
    sizes = np.diff(hierarchy.rows)
    assert sizes[0] == 20_000
    assert sizes[-1] <= COARSEST
    assert len(hierarchy.weights) < 1.5 * hierarchy.entries[1]
    assert hierarchy.rows[-1] < 1.5 * sizes[0]


def test_the_cycle_is_nearly_an_inverse():
    matrix = planar(3_000)
    hierarchy = build(*arrays(matrix), 1.0)
    work = np.empty((6, hierarchy.rows[-1]), np.float32)
    rhs, z = right_side(3_000).astype(np.float32), np.empty(3_000, np.float32)
    cycle(hierarchy, work, rhs, z)
    exact = np.append(spsolve(matrix[:-1, :-1].tocsc(), rhs[:-1].astype(float)), 0.0)
    off = (z - z.mean()) - (exact - exact.mean())
    energy = (off @ (matrix @ off)) / (exact @ (matrix @ exact))
    assert energy < 0.5**2


def test_methods_agree_and_leave_mean_zero():
    matrix, rhs = planar(2_000, spread=3), right_side(2_000)
    found = [
        solve_laplacian(arrays(matrix), rhs, dim=2, method=method, rtol=1e-11)
        for method in ("direct", "multigrid", "cg")
    ]
    for x in found:
        assert abs(x.mean()) < 1e-12 * np.abs(x).max()
        np.testing.assert_allclose(x, found[0], atol=1e-7 * np.abs(found[0]).max())
