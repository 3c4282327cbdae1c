"""Nearest neighbours of evenly spread points, by sorting them into buckets."""

from __future__ import annotations

import numba as nb
import numpy as np

PER_BUCKET = 2.0  # points of a bucket, on average
CROWDED = 24  # points of a bucket from which on a tree is the better way


@nb.njit(cache=True, nogil=True, error_model="numpy")
def fill_buckets(points, side):
    """Return the bucket of each point, where each bucket begins, and the points by bucket."""
    n, d = points.shape
    bucket, counts = np.zeros(n, np.int64), np.zeros(side**d + 1, np.int64)
    for i in range(n):
        for x in range(d):
            bucket[i] = bucket[i] * side + min(side - 1, int(points[i, x] * side))
        counts[bucket[i] + 1] += 1
    starts = np.cumsum(counts)
    fill, members = starts.copy(), np.empty(n, np.int64)
    for i in range(n):
        members[fill[bucket[i]]] = i
        fill[bucket[i]] += 1
    return bucket, starts, members


@nb.njit(cache=True, nogil=True, error_model="numpy")
def insert(i, members, points, found, square, held):
    """Put points into the sorted list of the nearest to ``i``; return how many it holds."""
    for k in members:
        distance = 0.0
        for x in range(points.shape[1]):
            distance += (points[i, x] - points[k, x]) ** 2
        if k == i or (held == len(found) and distance >= square[held - 1]):
            continue
        at = min(held, len(found) - 1)
        while at > 0 and square[at - 1] > distance:
            found[at], square[at] = found[at - 1], square[at - 1]
            at -= 1
        found[at], square[at] = k, distance
        held = min(held + 1, len(found))
    return held


@nb.njit(cache=True, nogil=True, error_model="numpy")
def near_graph(points, most):
    """Return up to ``most`` near points of each, nearest first, as (indptr, indices).

    Points lie in the unit cube. They are sought in the bucket of each point and the ones around,
    which holds all of the nearest where points are spread evenly. Returns no indices if they
    are not.
    """
    n, d = points.shape
    side = max(1, int((n / PER_BUCKET) ** (1.0 / d)))
    bucket, starts, members = fill_buckets(points, side)
    if np.diff(starts).max() > CROWDED:
        return np.zeros(n + 1, np.int64), np.zeros(0, np.int32)
    indptr, indices = np.zeros(n + 1, np.int64), np.empty(n * most, np.int32)
    found, square, fill = np.empty(most, np.int64), np.empty(most), 0
    for i in range(n):
        held = 0
        for near in range(3**d):
            other = bucket_beside(bucket[i], near, side, d)
            if other >= 0:
                near_ones = members[starts[other] : starts[other + 1]]
                held = insert(i, near_ones, points, found, square, held)
        indices[fill : fill + held] = found[:held]
        fill += held
        indptr[i + 1] = fill
    return indptr, indices[:fill]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def bucket_beside(own, near, side, d):
    """Return the bucket one step from another in direction ``near`` (digits base 3), or -1."""
    other, factor = 0, 1
    for _ in range(d):
        place = own % side + near % 3 - 1
        if place < 0 or place >= side:
            return -1
        other += place * factor
        own, near, factor = own // side, near // 3, factor * side
    return other
