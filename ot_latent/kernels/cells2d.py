"""Power cells in the plane, clipped one by one: the compiled kernel behind `transport.PowerDiagram`.

The cell of site j starts as the convex domain and is cut by the half-planes
``<x, y_k - y_j> + h_k - h_j <= 0`` of candidate sites k: its guessed neighbours, then the guessed
neighbours of every site that bounds what is left, until no candidate is new. Cells are
independent, so threads share them; each result depends on its own candidates alone.

With a tree of the sites every corner of the cell is then looked up among all sites, and the cell
is cut again where another site is better: it is exact whatever was guessed.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ot_latent.kernels.grid2d import grid_moments
from ot_latent.kernels.polygons import clip, polygon_moments
from ot_latent.kernels.site_tree import better_site

SLACK = 1.0 + 1e-9  # of a ball around a cell, for rounding
FULL = -2  # a polygon ran out of room
EDGES_PER_CELL = 7  # room for the edges of all cells at first; it grows on demand


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def try_site(k, j, n, at, y, h, v, gen, ok):
    """Cut the cell of ``j`` by site ``k``; return its size and which buffer holds it."""
    m = clip(n, at, v, gen, ok, y[k, 0] - y[j, 0], y[k, 1] - y[j, 1], h[k] - h[j], k)
    return (n, at) if m < 0 else (m, 1 - at)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def try_neighbours(a, j, n, at, y, h, indptr, indices, v, gen, ok, seen, ball):
    """Cut the cell of ``j`` by the guessed neighbours of ``a`` that were not tried yet."""
    for q in range(indptr[a], indptr[a + 1]):
        k = indices[q]
        if k < 0 or seen[k] == j + 1:
            continue
        seen[k] = j + 1
        if may_cut(k, j, y, h, ball):
            n, at = try_site(k, j, n, at, y, h, v, gen, ok)
            if n > gen.shape[1] - 2:
                return FULL, at
    return n, at


@nb.njit(cache=True, nogil=True, error_model="numpy")
def enclose(n, at, v, ball):
    """Set ``ball`` to the mean of the corners and the square of the largest distance from it."""
    x, y, square = 0.0, 0.0, 0.0
    for i in range(n):
        x += v[at, 0, i]
        y += v[at, 1, i]
    x, y = x / n, y / n
    for i in range(n):
        square = max(square, (v[at, 0, i] - x) ** 2 + (v[at, 1, i] - y) ** 2)
    ball[0], ball[1], ball[2] = x, y, square


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def may_cut(k, j, y, h, ball):
    """Tell whether site ``k`` beats ``j`` anywhere in the ball."""
    dx, dy = y[k, 0] - y[j, 0], y[k, 1] - y[j, 1]
    level = ball[0] * dx + ball[1] * dy + h[k] - h[j]
    return level > 0.0 or level * level <= ball[2] * (dx * dx + dy * dy) * SLACK


@nb.njit(cache=True, nogil=True, error_model="numpy")
def carve(j, y, h, domain, indptr, indices, ring, v, gen, ok, seen, grown, ball):
    """Return size and buffer of the cell of ``j``; the size is FULL if the buffers are too small."""
    n, at = len(domain), 0
    ball[0], ball[1], ball[2] = 0.0, 0.0, np.inf
    for i in range(n):
        v[0, 0, i], v[0, 1, i], gen[0, i], ok[0, i] = domain[i, 0], domain[i, 1], -1 - i, False
    seen[j] = j + 1
    n, at = try_neighbours(j, j, n, at, y, h, indptr, indices, v, gen, ok, seen, ball)
    if not ring:
        return n, at
    enclose(n, at, v, ball)
    i = 0
    while i < n:
        a = gen[at, i]
        i += 1
        if a >= 0 and grown[a] != j + 1:
            grown[a] = j + 1
            n, at = try_neighbours(a, j, n, at, y, h, indptr, indices, v, gen, ok, seen, ball)
            i = 0
    return n, at


@nb.njit(cache=True, nogil=True, error_model="numpy")
def certify_cell(j, n, at, y, h, tree, v, gen, ok, seen, stack):
    """Look every corner up among all sites and cut where another site is better."""
    room, mark = gen.shape[1] - 2, j + 1
    x = np.empty(2)
    i = 0
    while i < n:
        if ok[at, i]:
            i += 1
            continue
        x[0], x[1] = v[at, 0, i], v[at, 1, i]
        k = better_site(tree, y, h, x, j, seen, mark, stack)
        if k < 0:
            ok[at, i] = True
            i += 1
            continue
        seen[k] = mark
        n, at = try_site(k, j, n, at, y, h, v, gen, ok)
        if n > room:
            return FULL, at
        i = 0
    return n, at


@nb.njit(cache=True, nogil=True, error_model="numpy")
def carve_rows(rows, y, h, domain, grid, indptr, indices, ring, tree, certify):
    """Carve the cells of some sites, trying neighbours' neighbours where ``ring`` is set.

    ``grid`` is a density with its corner and pixel size; an empty one means a uniform density.
    Returns sizes; neighbours across the edges, their lengths and measures, their first corners;
    then areas, masses, centroids and second moments of the cells.
    """
    count, room = len(rows), 64 + 2 * len(domain)
    sizes, areas, moments = np.zeros(count, np.int64), np.zeros(count), np.zeros((count, 2))
    edges = np.empty(EDGES_PER_CELL * count + room, np.int32)
    flat, centroids = np.empty((len(edges), 4)), np.empty((count, 2))
    lengths, measures = np.empty(room), np.empty(room)
    v, gen, ok = buffers(room)
    seen, grown = np.zeros(len(y), np.int32), np.zeros(len(y), np.int32)
    stack, ball, fill, r = np.empty(64, np.int64), np.empty(3), 0, 0
    while r < count:
        j = rows[r]
        n, at = carve(j, y, h, domain, indptr, indices, ring, v, gen, ok, seen, grown, ball)
        if certify and n != FULL:
            n, at = certify_cell(j, n, at, y, h, tree, v, gen, ok, seen, stack)
        if n == FULL:
            room *= 2
            v, gen, ok = buffers(room)
            lengths, measures = np.empty(room), np.empty(room)
            seen[:], grown[:] = 0, 0
            continue
        if fill + n > len(edges):
            edges = np.concatenate((edges, np.empty(len(edges) + n, np.int32)))
            flat = np.concatenate((flat, np.empty((len(edges) - len(flat), 4))))
        areas[r], moments[r, 1] = polygon_moments(n, at, v, lengths, 0, centroids[r])
        moments[r, 0], measures[:n] = areas[r], lengths[:n]
        if grid[0].size > 0 and areas[r] > 0.0:
            moments[r, 0], moments[r, 1] = grid_moments(
                n, at, v, grid, 2 * room, measures, centroids[r]
            )
        for i in range(n):
            edges[fill + i], flat[fill + i, 0], flat[fill + i, 1] = (
                gen[at, i],
                lengths[i],
                measures[i],
            )
            flat[fill + i, 2], flat[fill + i, 3] = v[at, 0, i], v[at, 1, i]
        sizes[r] = n
        fill += n
        r += 1
    return sizes, edges[:fill], flat[:fill], areas, moments[:, 0], centroids, moments[:, 1]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def buffers(room):
    """Return working space for polygons of at most ``room`` corners."""
    return np.empty((2, 3, room)), np.empty((2, room), np.int32), np.zeros((2, room), np.bool_)
