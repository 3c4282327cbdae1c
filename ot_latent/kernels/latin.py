"""Latin hypercubes: blocks of points of which every coordinate has one in each stratum."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def latin_blocks(shuffle, jitter, rows):
    """Return points in the unit cube, in blocks of ``rows`` that are Latin hypercubes.

    In every block and coordinate a random permutation, drawn from ``shuffle`` by Fisher and Yates,
    gives the stratum of each point, and ``jitter`` its place inside. Both hold independent uniform
    numbers, (points, d). Each point is uniform; points of a block are not independent.
    """
    points, d = shuffle.shape
    out, order = np.empty((points, d)), np.empty(rows, np.int64)
    for start in range(0, points, rows):
        for k in range(d):
            for i in range(rows):  # the inside-out shuffle
                j = int(shuffle[start + i, k] * (i + 1))
                order[i] = order[j]
                order[j] = i
            for i in range(rows):
                out[start + i, k] = (order[i] + jitter[start + i, k]) / rows
    return out
