"""Convex polygons in two buffers: one is cut into the other. Areas, centroids, second moments."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def clip(n, at, v, gen, ok, dx, dy, dh, new):
    """Cut polygon ``at`` of two by ``<v, (dx, dy)> + dh <= 0`` into the other one.

    Returns the new size, or -1 if nothing is cut. Edge i goes from vertex i to the next and lies
    on the line of generator ``gen[at, i]``; ``ok`` marks vertices that were looked up already.
    """
    outside = 0  # counted, not or-ed: so the loop is vectorised
    for i in range(n):
        value = v[at, 0, i] * dx + v[at, 1, i] * dy + dh
        v[at, 2, i] = value
        outside += value > 0.0
    if outside == 0:
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def polygon_moments(n, at, v, lengths, begin, centroid):
    """Return area and second moment about the centroid; fill the centroid and the edges' lengths."""
    area, sx, sy, sq = 0.0, 0.0, 0.0, 0.0
    x0, y0 = v[at, 0, 0], v[at, 1, 0]
    for i in range(n):
        k = i + 1 if i + 1 < n else 0
        ax, ay = v[at, 0, i] - x0, v[at, 1, i] - y0
        bx, by = v[at, 0, k] - x0, v[at, 1, k] - y0
        lengths[begin + i] = np.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
        twice = ax * by - ay * bx
        area += twice
        sx += twice * (ax + bx)
        sy += twice * (ay + by)
        sq += twice * (ax * ax + ay * ay + ax * bx + ay * by + bx * bx + by * by)
    if area <= 0.0:
        centroid[:] = np.nan
        return 0.0, 0.0
    sx, sy, area = sx / (3 * area), sy / (3 * area), area / 2
    centroid[0], centroid[1] = x0 + sx, y0 + sy
    return area, max(0.0, sq / 12 - area * (sx * sx + sy * sy))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def pixel_range(least, most, low, step, count):
    """Return the first pixel that an interval meets and the one behind the last."""
    first = int(np.floor((least - low) / step))
    last = int(np.floor((most - low) / step)) + 1
    return max(0, min(first, count - 1)), max(1, min(last, count))
