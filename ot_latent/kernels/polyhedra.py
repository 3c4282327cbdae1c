"""Convex polyhedra whose vertices all have three planes: cut, measured, built from half-spaces.

Each vertex is a cyclic triple of planes (p, q, r), and each edge, where planes p and q meet, has
one end whose triple holds (p, q) and one whose triple holds (q, p); ``edge[p, q]`` is the first.
A cut removes the vertices outside and closes the hole: every edge with one end removed gets a new
vertex on the new plane, between the old ones. Four planes through a point make two vertices at
one place, which costs nothing, and however rounding decides the signs the surface stays closed.
"""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def clip(n, m, v, tri, edge, dx, dy, dz, dh):
    """Cut by ``<x, (dx, dy, dz)> + dh <= 0``, the plane number ``m``; return the number of vertices.

    Rows of ``v`` are x, y, z, the value of the cut, and whether the vertex was looked up already.
    Returns -1 if nothing is cut.
    """
    outside = 0  # counted, not or-ed: so the loop is vectorised
    for i in range(n):
        value = v[0, i] * dx + v[1, i] * dy + v[2, i] * dz + dh
        v[3, i] = value
        outside += value > 0.0
    if outside == 0:
        return -1
    end, removed = n, 0
    for i in range(n):
        if v[3, i] > 0.0:
            removed += 1
            end = close_hole(i, end, m, v, tri, edge)
    last = end - 1
    for i in range(n):
        if v[3, i] > 0.0:
            while last > i and last < n and v[3, last] > 0.0:
                last -= 1
            if last <= i:
                break
            v[:, i] = v[:, last]
            for c in range(3):
                tri[i, c] = tri[last, c]
                edge[tri[last, c], tri[last, (c + 1) % 3]] = i
            last -= 1
    return end - removed


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def close_hole(i, end, m, v, tri, edge):
    """Put a vertex of plane ``m`` on every edge from removed vertex ``i`` to one that is kept."""
    for c in range(3):
        p, q = tri[i, c], tri[i, (c + 1) % 3]
        o = edge[q, p]
        if v[3, o] <= 0.0:
            t = v[3, o] / (v[3, o] - v[3, i])
            for x in range(3):
                v[x, end] = v[x, o] + t * (v[x, i] - v[x, o])
            v[3, end], v[4, end] = 0.0, 0.0
            tri[end, 0], tri[end, 1], tri[end, 2] = p, q, m
            edge[p, q], edge[q, m], edge[m, p] = end, end, end
            end += 1
    return end


@nb.njit(cache=True, nogil=True, error_model="numpy")
def polyhedron_moments(n, m, v, tri, edge, first, vector, centroid):
    """Return volume and second moment about the centroid; fill centroid and vector areas.

    The facet of plane p is a fan of triangles from its vertex ``first[p]``, and every triangle the
    base of a tetrahedron whose apex is vertex 0.
    """
    for p in range(m):
        first[p] = -1
        vector[p, 0], vector[p, 1], vector[p, 2] = 0.0, 0.0, 0.0
    for i in range(n):
        for c in range(3):
            first[tri[i, c]] = i
    volume, second, moment = 0.0, 0.0, np.zeros(3)
    a, b, f = np.empty(3), np.empty(3), np.empty(3)
    for i in range(n):
        for c in range(3):
            p = tri[i, c]
            o, r = edge[tri[i, (c + 1) % 3], p], first[p]
            if o == r or i == r:
                continue
            for x in range(3):
                f[x] = v[x, r] - v[x, 0]
                a[x], b[x] = v[x, i] - v[x, r], v[x, o] - v[x, r]
            nx, ny, nz = cross(a, b)
            vector[p, 0] += nx / 2
            vector[p, 1] += ny / 2
            vector[p, 2] += nz / 2
            piece = (f[0] * nx + f[1] * ny + f[2] * nz) / 6
            volume += piece
            square = 0.0
            for x in range(3):
                total = 3 * f[x] + a[x] + b[x]
                moment[x] += piece * total / 4
                square += total**2 + f[x] ** 2 + (f[x] + a[x]) ** 2 + (f[x] + b[x]) ** 2
            second += piece * square / 20
    return _centred(volume, second, moment, v, centroid)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _centred(volume, second, moment, v, centroid):
    """Move moments from vertex 0 to the centroid."""
    if volume <= 0.0:
        centroid[:] = np.nan
        return 0.0, 0.0
    shift = 0.0
    for x in range(3):
        moment[x] /= volume
        centroid[x] = v[x, 0] + moment[x]
        shift += moment[x] ** 2
    return volume, max(0.0, second - volume * shift)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cross(a, b):
    """Return the vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def buffers(room):
    """Return working space for cells of at most ``room`` planes."""
    v, tri = np.empty((5, 4 * room + 16)), np.empty((4 * room + 16, 3), np.int32)
    edge, plane = np.zeros((room + 1, room + 1), np.int32), np.empty(room, np.int64)
    return v, tri, edge, plane, np.empty(room, np.int64), np.empty((room, 3))


@nb.njit(cache=True)
def box(low, high):
    """Return a box as vertices (3, 8), triples (8, 3) and names; planes are x+, y+, z+, x-, y-, z-."""
    corners, triples = np.empty((3, 8)), np.empty((8, 3), np.int32)
    for i in range(8):
        negative = (i & 1) + ((i >> 1) & 1) + ((i >> 2) & 1)
        for x in range(3):
            below = (i >> x) & 1
            corners[x, i] = low[x] if below else high[x]
            triples[i, x] = x + 3 * below
        if negative % 2 == 0:
            triples[i, 1], triples[i, 2] = triples[i, 2], triples[i, 1]
    return corners, triples, -1 - np.arange(6)


@nb.njit(cache=True)
def cut_domain(start, normals, offsets):
    """Cut a polyhedron by half-spaces ``<n, x> <= b``, and name the planes after them."""
    corners, triples, names = start
    n, m = corners.shape[1], len(names)
    v, tri, edge, plane, _, _ = buffers(m + len(offsets) + 2)
    v[:3, :n], tri[:n] = corners, triples
    for i in range(n):
        for c in range(3):
            edge[tri[i, c], tri[i, (c + 1) % 3]] = i
    for f in range(len(offsets)):
        left = clip(n, m, v, tri, edge, normals[f, 0], normals[f, 1], normals[f, 2], -offsets[f])
        if left >= 0:
            n = left
            plane[m] = -1 - f
            m += 1
    number, used = np.full(m, -1), 0
    for i in range(n):
        for c in range(3):
            if number[tri[i, c]] < 0:
                number[tri[i, c]] = used
                used += 1
    kept = np.empty(used, np.int64)
    for p in range(m):
        if number[p] >= 0:
            kept[number[p]] = plane[p]
    for i in range(n):
        for c in range(3):
            tri[i, c] = number[tri[i, c]]
    return v[:3, :n].copy(), tri[:n].copy(), kept
