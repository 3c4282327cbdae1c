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

from ot_latent.kernels.site_tree import better_site

FULL = -2  # a polygon ran out of room
EDGES_PER_CELL = 7  # room for the edges of all cells at first; it grows on demand


@nb.njit(cache=True, nogil=True)
def clip(n, at, v, gen, ok, dx, dy, dh, new):
    """Cut polygon ``at`` of two by ``<v, (dx, dy)> + dh <= 0`` into the other one.

    Returns the new size, or -1 if nothing is cut. Edge i goes from vertex i to the next and lies
    on the line of generator ``gen[at, i]``; ``ok`` marks vertices that were looked up already.
    """
    outside = False
    for i in range(n):
        value = v[at, 0, i] * dx + v[at, 1, i] * dy + dh
        v[at, 2, i] = value
        outside |= value > 0.0
    if not outside:
        return -1
    to = 1 - at
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        a, b = v[at, 2, i], v[at, 2, j]
        if a <= 0.0:
            v[to, 0, m], v[to, 1, m] = v[at, 0, i], v[at, 1, i]
            gen[to, m], ok[to, m] = gen[at, i], ok[at, i]
            m += 1
        if (a <= 0.0) != (b <= 0.0):
            t = a / (a - b)
            v[to, 0, m] = v[at, 0, i] + t * (v[at, 0, j] - v[at, 0, i])
            v[to, 1, m] = v[at, 1, i] + t * (v[at, 1, j] - v[at, 1, i])
            gen[to, m], ok[to, m] = new if a <= 0.0 else gen[at, i], False
            m += 1
    return m


@nb.njit(cache=True, nogil=True)
def try_site(k, j, n, at, y, h, v, gen, ok):
    """Cut the cell of ``j`` by site ``k``; return its size and which buffer holds it."""
    m = clip(n, at, v, gen, ok, y[k, 0] - y[j, 0], y[k, 1] - y[j, 1], h[k] - h[j], k)
    return (n, at) if m < 0 else (m, 1 - at)


@nb.njit(cache=True, nogil=True)
def try_neighbours(a, j, n, at, y, h, indptr, indices, v, gen, ok, seen):
    """Cut the cell of ``j`` by the guessed neighbours of ``a`` that were not tried yet."""
    for q in range(indptr[a], indptr[a + 1]):
        k = indices[q]
        if seen[k] != j + 1:
            seen[k] = j + 1
            n, at = try_site(k, j, n, at, y, h, v, gen, ok)
            if n > gen.shape[1] - 2:
                return FULL, at
    return n, at


@nb.njit(cache=True, nogil=True)
def carve(j, y, h, domain, indptr, indices, v, gen, ok, seen, grown):
    """Return size and buffer of the cell of ``j``; the size is FULL if the buffers are too small."""
    n, at = len(domain), 0
    for i in range(n):
        v[0, 0, i], v[0, 1, i], gen[0, i], ok[0, i] = domain[i, 0], domain[i, 1], -1 - i, False
    seen[j] = j + 1
    n, at = try_neighbours(j, j, n, at, y, h, indptr, indices, v, gen, ok, seen)
    i = 0
    while i < n:
        a = gen[at, i]
        i += 1
        if a >= 0 and grown[a] != j + 1:
            grown[a] = j + 1
            n, at = try_neighbours(a, j, n, at, y, h, indptr, indices, v, gen, ok, seen)
            i = 0
    return n, at


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
def polygon_moments(n, at, v, lengths, begin, centroid):
    """Return area and second moment about the centroid; fill the centroid and the edges' lengths."""
    area, sx, sy, sq = 0.0, 0.0, 0.0, 0.0
    x0, y0 = v[at, 0, 0], v[at, 1, 0]
    for i in range(n):
        k = i + 1 if i + 1 < n else 0
        ax, ay = v[at, 0, i] - x0, v[at, 1, i] - y0
        bx, by = v[at, 0, k] - x0, v[at, 1, k] - y0
        lengths[begin + i] = np.hypot(bx - ax, by - ay)
        twice = ax * by - ay * bx
        area += twice / 2
        sx += twice * (ax + bx) / 6
        sy += twice * (ay + by) / 6
        sq += twice * (ax * ax + ay * ay + ax * bx + ay * by + bx * bx + by * by) / 12
    if area <= 0.0:
        centroid[:] = np.nan
        return 0.0, 0.0
    sx, sy = sx / area, sy / area
    centroid[0], centroid[1] = x0 + sx, y0 + sy
    return area, max(0.0, sq - area * (sx * sx + sy * sy))


@nb.njit(cache=True, nogil=True)
def carve_rows(rows, y, h, domain, indptr, indices, tree, certify):
    """Carve the cells of some sites.

    Returns sizes, neighbours across the edges, their lengths and first corners, then areas,
    centroids and second moments of the cells.
    """
    count, room = len(rows), 64 + 2 * len(domain)
    sizes = np.zeros(count, np.int64)
    areas, seconds, centroids = np.zeros(count), np.zeros(count), np.empty((count, 2))
    edges = np.empty(EDGES_PER_CELL * count + room, np.int32)
    lengths, corners = np.empty(len(edges)), np.empty((len(edges), 2))
    v, gen, ok = (
        np.empty((2, 3, room)),
        np.empty((2, room), np.int32),
        np.zeros((2, room), np.bool_),
    )
    seen, grown = np.zeros(len(y), np.int32), np.zeros(len(y), np.int32)
    stack, fill, r = np.empty(64, np.int64), 0, 0
    while r < count:
        j = rows[r]
        n, at = carve(j, y, h, domain, indptr, indices, v, gen, ok, seen, grown)
        if certify and n != FULL:
            n, at = certify_cell(j, n, at, y, h, tree, v, gen, ok, seen, stack)
        if n == FULL:
            room *= 2
            v, gen = np.empty((2, 3, room)), np.empty((2, room), np.int32)
            ok = np.zeros((2, room), np.bool_)
            seen[:], grown[:] = 0, 0
            continue
        if fill + n > len(edges):
            more = len(edges) + n
            edges = np.concatenate((edges, np.empty(more, np.int32)))
            lengths = np.concatenate((lengths, np.empty(more)))
            corners = np.concatenate((corners, np.empty((more, 2))))
        for i in range(n):
            edges[fill + i] = gen[at, i]
            corners[fill + i, 0], corners[fill + i, 1] = v[at, 0, i], v[at, 1, i]
        areas[r], seconds[r] = polygon_moments(n, at, v, lengths, fill, centroids[r])
        sizes[r] = n
        fill += n
        r += 1
    return sizes, edges[:fill], lengths[:fill], corners[:fill], areas, centroids, seconds
