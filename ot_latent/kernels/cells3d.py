"""Power cells in space, clipped one by one: the compiled kernel behind `transport.PowerDiagram`.

What is cut by which sites is as in `cells2d`; `polyhedra` says how.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ot_latent.kernels.grid3d import grid_moments, workspace
from ot_latent.kernels.polyhedra import buffers, clip, polyhedron_moments
from ot_latent.kernels.site_tree import better_site

SLACK = 1.0 + 1e-9  # of a ball around a cell, for rounding
FULL = -2  # a polyhedron ran out of room
PLANES = 64  # room for the planes of a cell at first
FACETS_PER_CELL = 18  # room for the facets of all cells at first; it grows on demand


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def try_site(k, j, n, m, y, h, v, tri, edge, plane):
    """Cut the cell of ``j`` by site ``k``; return the numbers of vertices and planes."""
    if m >= len(plane):
        return FULL, m
    dx, dy, dz = y[k, 0] - y[j, 0], y[k, 1] - y[j, 1], y[k, 2] - y[j, 2]
    left = clip(n, m, v, tri, edge, dx, dy, dz, h[k] - h[j])
    if left < 0:
        return n, m
    plane[m] = k
    return left, m + 1


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def try_neighbours(a, j, n, m, y, h, indptr, indices, v, tri, edge, plane, seen, ball):
    """Cut the cell of ``j`` by the guessed neighbours of ``a`` that were not tried yet."""
    for q in range(indptr[a], indptr[a + 1]):
        k = indices[q]
        if k < 0 or seen[k] == j + 1:
            continue
        seen[k] = j + 1
        if may_cut(k, j, y, h, ball):
            n, m = try_site(k, j, n, m, y, h, v, tri, edge, plane)
            if n <= 0:
                return n, m
    return n, m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def enclose(n, v, ball):
    """Set ``ball`` to the mean of the vertices and the square of the largest distance from it."""
    ball[:] = 0.0
    for i in range(n):
        for x in range(3):
            ball[x] += v[x, i] / n
    for i in range(n):
        square = (v[0, i] - ball[0]) ** 2 + (v[1, i] - ball[1]) ** 2 + (v[2, i] - ball[2]) ** 2
        ball[3] = max(ball[3], square)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def may_cut(k, j, y, h, ball):
    """Tell whether site ``k`` beats ``j`` anywhere in the ball."""
    dx, dy, dz = y[k, 0] - y[j, 0], y[k, 1] - y[j, 1], y[k, 2] - y[j, 2]
    level = ball[0] * dx + ball[1] * dy + ball[2] * dz + h[k] - h[j]
    return level > 0.0 or level * level <= ball[3] * (dx * dx + dy * dy + dz * dz) * SLACK


@nb.njit(cache=True, nogil=True, error_model="numpy")
def carve(j, y, h, domain, indptr, indices, ring, v, tri, edge, plane, seen, grown):
    """Return the numbers of vertices and planes of the cell of ``j``; FULL if the room is too small.

    ``domain`` is the uncut polyhedron: vertices (3, n), triples (n, 3), and names of the planes.
    """
    corners, triples, names = domain
    n, m, ball = corners.shape[1], len(names), np.array([0.0, 0.0, 0.0, np.inf])
    for i in range(n):
        v[0, i], v[1, i], v[2, i], v[4, i] = corners[0, i], corners[1, i], corners[2, i], 0.0
        for c in range(3):
            tri[i, c] = triples[i, c]
            edge[triples[i, c], triples[i, (c + 1) % 3]] = i
    for p in range(m):
        plane[p] = names[p]
    seen[j] = j + 1
    n, m = try_neighbours(j, j, n, m, y, h, indptr, indices, v, tri, edge, plane, seen, ball)
    if not ring:
        return n, m
    enclose(n, v, ball)
    i = 0
    while i < 3 * n:
        a = plane[tri[i // 3, i % 3]]
        i += 1
        if a >= 0 and grown[a] != j + 1:
            grown[a] = j + 1
            before = m
            n, m = try_neighbours(
                a, j, n, m, y, h, indptr, indices, v, tri, edge, plane, seen, ball
            )
            i = i if m == before else 0
    return n, m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def certify_cell(j, n, m, y, h, tree, v, tri, edge, plane, seen, stack):
    """Look every vertex up among all sites and cut where another site is better."""
    x = np.empty(3)
    i = 0
    while i < n:
        if v[4, i] > 0.0:
            i += 1
            continue
        x[0], x[1], x[2] = v[0, i], v[1, i], v[2, i]
        k = better_site(tree, y, h, x, j, seen, j + 1, stack)
        if k < 0:
            v[4, i] = 1.0
            i += 1
            continue
        seen[k] = j + 1
        n, m = try_site(k, j, n, m, y, h, v, tri, edge, plane)
        i = 0
    return n, m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def carve_rows(rows, y, h, domain, grid, indptr, indices, ring, tree, certify):
    """Carve the cells of some sites, trying neighbours' neighbours where ``ring`` is set.

    ``grid`` is a density with its corner and voxel size; an empty one means a uniform density.
    Returns sizes; neighbours across the facets, their areas and measures; then volumes, masses,
    centroids and second moments of the cells.
    """
    count, room = len(rows), PLANES + 2 * len(domain[2])
    sizes, volumes, moments = np.zeros(count, np.int64), np.zeros(count), np.zeros((count, 2))
    facets, centroids = np.empty(FACETS_PER_CELL * count + room, np.int32), np.empty((count, 3))
    flat = np.empty((len(facets), 2))
    v, tri, edge, plane, first, vector = buffers(room)
    work, measures = workspace(room if grid[0].size > 0 else 1), np.empty(room)
    seen, grown = np.zeros(len(y), np.int32), np.zeros(len(y), np.int32)
    stack, fill, r = np.empty(64, np.int64), 0, 0
    while r < count:
        j = rows[r]
        n, m = carve(j, y, h, domain, indptr, indices, ring, v, tri, edge, plane, seen, grown)
        if certify and n > 0:
            n, m = certify_cell(j, n, m, y, h, tree, v, tri, edge, plane, seen, stack)
        if n == FULL:
            room *= 2
            v, tri, edge, plane, first, vector = buffers(room)
            work, measures = workspace(room if grid[0].size > 0 else 1), np.empty(room)
            seen[:], grown[:] = 0, 0
            continue
        volumes[r], moments[r, 1] = polyhedron_moments(
            n, m, v, tri, edge, first, vector, centroids[r]
        )
        moments[r, 0] = volumes[r]
        if grid[0].size > 0 and volumes[r] > 0.0:
            cell = (v, tri, edge)
            moments[r, 0], moments[r, 1] = grid_moments(
                n, m, cell, grid, work, vector, measures, centroids[r]
            )
        if fill + m > len(facets):
            facets = np.concatenate((facets, np.empty(len(facets) + m, np.int32)))
            flat = np.concatenate((flat, np.empty((len(facets) - len(flat), 2))))
        begin, uniform = fill, grid[0].size == 0
        fill = emit(m, plane, first, vector, measures, uniform, facets, flat, fill)
        sizes[r] = fill - begin
        r += 1
    return sizes, facets[:fill], flat[:fill], volumes, moments[:, 0], centroids, moments[:, 1]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def emit(m, plane, first, vector, measures, uniform, facets, flat, fill):
    """Append the facets of a cell to the list of all; return its new length."""
    for p in range(m):
        area = np.sqrt(vector[p, 0] ** 2 + vector[p, 1] ** 2 + vector[p, 2] ** 2)
        if first[p] >= 0 and area > 0.0:
            facets[fill], flat[fill, 0] = plane[p], area
            flat[fill, 1] = area if uniform else measures[p]
            fill += 1
    return fill


@nb.njit(cache=True)
def carve_one(j, y, h, domain, indptr, indices):
    """Return vertices (3, n), triples (n, 3), the edge table and names of the planes of one cell."""
    room = 2 * (PLANES + 2 * len(domain[2]) + len(indices))
    v, tri, edge, plane, _, _ = buffers(room)
    seen, grown = np.zeros(len(y), np.int32), np.zeros(len(y), np.int32)
    n, m = carve(j, y, h, domain, indptr, indices, False, v, tri, edge, plane, seen, grown)
    return v[:3, :n].copy(), tri[:n].copy(), edge[:m, :m].copy(), plane[:m].copy()
