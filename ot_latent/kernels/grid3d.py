"""Integrals of a density on voxels over the polyhedra of `cells3d`: each is cut along the voxels."""

from __future__ import annotations

import numba as nb
import numpy as np

from ot_latent.kernels.polygons import pixel_range
from ot_latent.kernels.polyhedra import buffers, clip, polyhedron_moments


@nb.njit(cache=True, nogil=True, error_model="numpy")
def copy_cell(n, m, old, new):
    """Copy a polyhedron into other buffers."""
    for i in range(n):
        for x in range(3):
            new[0][x, i] = old[0][x, i]
            new[1][i, x] = old[1][i, x]
            new[2][old[1][i, x], old[1][i, (x + 1) % 3]] = i
        new[0][4, i] = 0.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def slab(n, m, cell, axis, low, high):
    """Cut a polyhedron to ``low <= x_axis <= high``; return its vertices and planes."""
    v, tri, edge = cell[0], cell[1], cell[2]
    d = np.zeros(3)
    for sign, bound in ((-1.0, low), (1.0, -high)):
        d[axis] = sign
        left = clip(n, m, v, tri, edge, d[0], d[1], d[2], bound)
        if left >= 0:
            n, m = left, m + 1
    return n, m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def grid_moments(n, m, cell, grid, work, vector, measures, centroid):
    """Return mass and second moment about the mean; fill the mean and the facets' measures.

    ``cell`` holds the polyhedron's buffers and ``work`` those for its slab, column and voxel.
    """
    density, low, step = grid
    total, piece, middle = np.zeros(5), np.zeros((len(vector) + 8, 3)), np.empty(3)
    ref, first = cell[0][:3, 0].copy(), np.empty(len(vector) + 8, np.int64)
    measures[:m] = 0.0
    v = cell[0]
    i0, i1 = pixel_range(v[0, :n].min(), v[0, :n].max(), low[0], step[0], density.shape[0])
    for i in range(i0, i1):
        copy_cell(n, m, cell, work[0])
        n0, m0 = slab(n, m, work[0], 0, low[0] + i * step[0], low[0] + (i + 1) * step[0])
        if n0 == 0:
            continue
        v = work[0][0]
        j0, j1 = pixel_range(v[1, :n0].min(), v[1, :n0].max(), low[1], step[1], density.shape[1])
        for j in range(j0, j1):
            copy_cell(n0, m0, work[0], work[1])
            n1, m1 = slab(n0, m0, work[1], 1, low[1] + j * step[1], low[1] + (j + 1) * step[1])
            if n1 > 0:
                _column(n1, m1, m, work, density[i, j], low[2], step[2], ref, first, piece, middle, measures, total)  # fmt: skip
    mass = total[0]
    if mass <= 0.0:
        centroid[:] = np.nan
        return 0.0, 0.0
    shift = 0.0
    for x in range(3):
        centroid[x] = ref[x] + total[1 + x] / mass
        shift += (total[1 + x] / mass) ** 2
    return mass, max(0.0, total[4] - mass * shift)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _column(n, m, planes, work, density, low, step, ref, first, piece, middle, measures, total):
    """Add the voxels of one column: mass, first and second moments about ``ref``, facets."""
    v = work[1][0]
    k0, k1 = pixel_range(v[2, :n].min(), v[2, :n].max(), low, step, len(density))
    for k in range(k0, k1):
        copy_cell(n, m, work[1], work[2])
        n2, m2 = slab(n, m, work[2], 2, low + k * step, low + (k + 1) * step)
        cell = work[2]
        volume, second = polyhedron_moments(n2, m2, cell[0], cell[1], cell[2], first, piece, middle)
        if volume <= 0.0:
            continue
        rho, square = density[k], 0.0
        for p in range(planes):
            measures[p] += rho * np.sqrt(piece[p, 0] ** 2 + piece[p, 1] ** 2 + piece[p, 2] ** 2)
        for x in range(3):
            total[1 + x] += rho * volume * (middle[x] - ref[x])
            square += (middle[x] - ref[x]) ** 2
        total[0] += rho * volume
        total[4] += rho * (second + volume * square)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def workspace(room):
    """Return buffers for a slab, a column and a voxel of cells of at most ``room`` planes."""
    one, two, three = buffers(room + 8), buffers(room + 8), buffers(room + 8)
    return one[:3], two[:3], three[:3]
