"""Integrals of a density on pixels over the polygons of `cells2d`: each is cut along the pixels."""

from __future__ import annotations

import numba as nb
import numpy as np

from ot_latent.kernels.polygons import clip, pixel_range, polygon_moments


@nb.njit(cache=True, nogil=True, error_model="numpy")
def strip(n, at, v, gen, ok, axis, low, high):
    """Cut a polygon to ``low <= x_axis <= high``."""
    dx, dy = (1.0, 0.0) if axis == 0 else (0.0, 1.0)
    m = clip(n, at, v, gen, ok, -dx, -dy, low, -1)
    n, at = (n, at) if m < 0 else (m, 1 - at)
    m = clip(n, at, v, gen, ok, dx, dy, -high, -1)
    return (n, at) if m < 0 else (m, 1 - at)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def grid_moments(n, at, v, grid, room, measures, centroid):
    """Return mass and second moment about the mean; fill the mean and the edges' measures."""
    density, low, step = grid
    row, row_gen = np.empty((2, 3, room)), np.empty((2, room), np.int32)
    pixel, gen = np.empty((2, 3, room)), np.empty((2, room), np.int32)
    ok, total, ref = np.zeros((2, room), np.bool_), np.zeros(4), v[at, :2, 0]
    measures[:n] = 0.0
    x = v[at, 0, :n]
    first, last = pixel_range(x.min(), x.max(), low[0], step[0], density.shape[0])
    for i in range(first, last):
        row[0, :, :n] = v[at, :, :n]
        row_gen[0, :n] = np.arange(n)
        k, here = strip(n, 0, row, row_gen, ok, 0, low[0] + i * step[0], low[0] + (i + 1) * step[0])
        if k == 0:
            continue
        y = row[here, 1, :k]
        begin, end = pixel_range(y.min(), y.max(), low[1], step[1], density.shape[1])
        for j in range(begin, end):
            pixel[0, :, :k] = row[here, :, :k]
            gen[0, :k] = row_gen[here, :k]
            a, b = low[1] + j * step[1], low[1] + (j + 1) * step[1]
            q, on = strip(k, 0, pixel, gen, ok, 1, a, b)
            add_piece(q, on, pixel, gen, density[i, j], ref, measures, total)
    mass, sx, sy, sq = total
    if mass <= 0.0:
        centroid[:] = np.nan
        return 0.0, 0.0
    centroid[0], centroid[1] = ref[0] + sx / mass, ref[1] + sy / mass
    return mass, max(0.0, sq - (sx * sx + sy * sy) / mass)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def add_piece(n, at, v, gen, density, ref, measures, total):
    """Add the part of a polygon in one pixel: mass, first and second moments about ``ref``, edges."""
    lengths, middle = np.empty(v.shape[2]), np.empty(2)
    area, second = polygon_moments(n, at, v, lengths, 0, middle)
    if area <= 0.0:
        return
    for e in range(n):
        if gen[at, e] >= 0:
            measures[gen[at, e]] += density * lengths[e]
    x, y = middle[0] - ref[0], middle[1] - ref[1]
    total[0] += density * area
    total[1] += density * area * x
    total[2] += density * area * y
    total[3] += density * (second + area * (x * x + y * y))
