"""The simple alternative: power diagrams by one convex hull in scipy, with damped Newton on top.

The cells of the scores <x, y_j> + h_j are dual to the lower hull of the points (y_j, -h_j). A cell
that leaves the box through a face is cut there by a mirror image of its site with the same power:
the bisector of the two is that face. So at most two hulls give all cells clipped to the box, without
clipping one, and everything after the hulls is array arithmetic. Sites must lie in the unit box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg, splu
from scipy.spatial import ConvexHull

INSIDE = 1e-10  # how far a vertex may lie outside the box by rounding
HALVINGS = 40


@dataclass
class Cells:
    """Masses of the cells and the facets between them; `outside` (N, 2 d): which faces cut a cell."""

    masses: np.ndarray
    pairs: np.ndarray
    areas: np.ndarray
    outside: np.ndarray


@dataclass
class Newton:
    """What the damped Newton method found."""

    heights: np.ndarray
    error: float
    steps: int = 0
    diagrams: int = 1
    errors: list[float] = field(default_factory=list)


def mirrored(
    points: np.ndarray, heights: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sites followed by their images across the faces that cut their cells."""
    powers = 2 * heights + (points**2).sum(axis=1)
    sites, values = [points], [powers]
    for axis in range(points.shape[1]):
        for side in (0, 1):
            cut = outside[:, 2 * axis + side]
            image = points[cut].copy()
            image[:, axis] = 2 * side - image[:, axis]
            sites.append(image)
            values.append(powers[cut])
    every = np.concatenate(sites)
    return every, (np.concatenate(values) - (every**2).sum(axis=1)) / 2


def lower_hull(
    points: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return simplices of the lower hull of (y, -h), their dual vertices, and their neighbours.

    The neighbour across the facet opposite corner k is in column k; -1 where the hull turns upwards.
    """
    hull = ConvexHull(np.column_stack([points, -heights]))
    normals = hull.equations[:, :-1]
    lower = normals[:, -1] < -1e-14
    number = np.where(lower, np.cumsum(lower) - 1, -1)
    vertices = -normals[lower, :-1] / normals[lower, -1:]
    return hull.simplices[lower], vertices, number[hull.neighbors[lower]]


def leaving(
    simplices: np.ndarray, vertices: np.ndarray, neighbours: np.ndarray, n: int
) -> np.ndarray:
    """Return (n, 2 d): through which faces of the box a cell leaves; an unbounded one by all."""
    dim = vertices.shape[1]
    found = np.zeros((n, 2 * dim), dtype=bool)
    for axis in range(dim):
        for side, beyond in enumerate(
            (vertices[:, axis] < -INSIDE, vertices[:, axis] > 1 + INSIDE)
        ):
            corners = simplices[beyond].ravel()
            found[corners[corners < n], 2 * axis + side] = True
    for corner in range(dim + 1):
        rim = np.delete(simplices[neighbours[:, corner] < 0], corner, axis=1).ravel()
        found[rim[rim < n]] = True
    return found


def cells(points: np.ndarray, heights: np.ndarray, outside: np.ndarray | None = None) -> Cells:
    """Return the cells clipped to the unit box; `outside` is a guess from an earlier diagram."""
    n, dim = points.shape
    cut = np.zeros((n, 2 * dim), dtype=bool) if outside is None else outside
    hull = lower_hull(*mirrored(points, heights, cut))
    found = leaving(*hull, n)
    while (found & ~cut).any():
        cut = cut | found
        hull = lower_hull(*mirrored(points, heights, cut))
        found = leaving(*hull, n)
    sites = mirrored(points, heights, cut)[0]
    pairs, areas, distances = facets(sites, *hull)
    return _assemble(n, sites, pairs, areas, distances, cut)


def facets(
    sites: np.ndarray, simplices: np.ndarray, vertices: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs (F, 2) of sites, the areas of their facets, and the cones' heights (F, 2)."""
    dim = vertices.shape[1]
    apex = np.zeros((len(sites), dim))
    apex[simplices.ravel()] = np.repeat(vertices, dim + 1, axis=0)  # some vertex of each cell
    ends, keys = _segments(simplices, neighbours, len(sites))
    unique, inverse = np.unique(keys, return_inverse=True)
    pairs = np.column_stack([unique // len(sites), unique % len(sites)])
    start, stop = vertices[ends[0]], vertices[ends[1]]
    corner = np.zeros((len(pairs), dim))
    corner[inverse] = start  # in space, a facet is a fan of triangles from one of its vertices
    if dim == 2:
        pieces = np.linalg.norm(stop - start, axis=1)
    else:
        fans = np.cross(start - corner[inverse], stop - corner[inverse])
        pieces = np.linalg.norm(fans, axis=1) / 2
    areas = np.bincount(inverse, pieces, len(pairs))
    normals = sites[pairs[:, 1]] - sites[pairs[:, 0]]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    ahead = ((corner - apex[pairs[:, 0]]) * normals).sum(axis=1)
    behind = ((apex[pairs[:, 1]] - corner) * normals).sum(axis=1)
    return pairs, areas, np.column_stack([ahead, behind])


def _segments(
    simplices: np.ndarray, neighbours: np.ndarray, n: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the edges of all facets (as two simplices each) and the key of the facet's pair."""
    width = simplices.shape[1]
    first, second, keys = [], [], []
    for corner in range(width):
        other = neighbours[:, corner]
        here = np.flatnonzero(other > np.arange(len(simplices)))
        shared = np.sort(np.delete(simplices[here], corner, axis=1), axis=1)
        for a, b in combinations(range(width - 1), 2):
            first.append(here)
            second.append(other[here])
            keys.append(shared[:, a].astype(np.int64) * n + shared[:, b])
    return (np.concatenate(first), np.concatenate(second)), np.concatenate(keys)


def _assemble(
    n: int,
    sites: np.ndarray,
    pairs: np.ndarray,
    areas: np.ndarray,
    distances: np.ndarray,
    outside: np.ndarray,
) -> Cells:
    """Sum the cones of each cell; keep the facets between two sites."""
    cones = areas[:, None] * distances / sites.shape[1]
    masses = np.bincount(pairs.ravel(), cones.ravel(), len(sites))
    inner = (pairs < n).all(axis=1)
    return Cells(masses[:n], pairs[inner], areas[inner], outside)


def start_heights(points: np.ndarray) -> np.ndarray:
    """Return heights whose cells are Voronoi cells of sites spread over the box: none is empty.

    y' = L (y - mean) + 1/2 with L proportional to Cov_y^(-1/2), scaled to fit, and
    h = -(1/2) y'^T L^(-1) y'.
    """
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    spread = (vectors / np.sqrt(values)) @ vectors.T
    moved = centred @ spread
    low, high = moved.min(axis=0), moved.max(axis=0)
    scale = (1 - 1e-3) / (high - low).max()
    moved = (moved - (low + high) / 2) * scale + 0.5
    return -0.5 * ((moved @ np.linalg.inv(scale * spread)) * moved).sum(axis=1)


def direction(diagram: Cells, points: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return the Newton step: a sparse factorisation in the plane, conjugate gradients in space."""
    n, pairs = len(points), diagram.pairs
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    graph = sparse.coo_matrix((diagram.areas / lengths, (pairs[:, 0], pairs[:, 1])), (n, n))
    graph = (graph + graph.T).tocsc()
    laplacian = (sparse.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph).tocsc()
    inner = laplacian[:-1, :-1]
    if points.shape[1] == 2:
        options = {"SymmetricMode": True}
        factor = splu(inner, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        return np.append(factor.solve(residual[:-1]), 0.0)
    inverse = 1 / inner.diagonal()
    jacobi = LinearOperator(inner.shape, matvec=lambda v: inverse * v)
    return np.append(cg(inner, residual[:-1], rtol=1e-10, maxiter=10 * n, M=jacobi)[0], 0.0)


def damped_newton(points: np.ndarray, tolerance: float, max_steps: int = 100) -> Newton:
    """Solve for equal masses; steps are halved until no cell is small and the residual shrinks."""
    wanted = np.full(len(points), 1 / len(points))
    heights = start_heights(points)
    diagram = cells(points, heights)
    floor = 0.5 * min(diagram.masses.min(), wanted.min())
    norm = np.linalg.norm(diagram.masses - wanted)
    found = Newton(heights, float(np.abs(diagram.masses / wanted - 1).max()))
    while found.error > tolerance and found.steps < max_steps:
        step = direction(diagram, points, wanted - diagram.masses)
        for halving in range(HALVINGS):
            length = 0.5**halving
            trial = cells(points, found.heights + length * step, diagram.outside)
            found.diagrams += 1
            shrunk = np.linalg.norm(trial.masses - wanted)
            if trial.masses.min() >= floor and shrunk <= (1 - length / 2) * norm:
                break
        else:
            return found
        diagram, norm = trial, shrunk
        found.heights = found.heights + length * step
        found.error = float(np.abs(diagram.masses / wanted - 1).max())
        found.errors.append(found.error)
        found.steps += 1
    return found
