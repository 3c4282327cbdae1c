"""Coarser and coarser graphs by joining neighbours: the set-up of `kernels.graph_multigrid`.

Every vertex joins its strongest free neighbour, every pair its strongest free pair, and so on [1]_;
what is left over joins its strongest neighbour. The coarse graph adds the weights between groups,
which is the Galerkin product for interpolation by constants. Vertices keep the order of the first
of a group, so that a graph numbered along a space-filling curve stays so on all levels.

A graph is (starts, middles, columns, weights): the neighbours of vertex i stand in
``columns[starts[i] : starts[i + 1]]``, those smaller than i before ``middles[i]``.

.. [1] Notay. "An aggregation-based algebraic multigrid method." Electron. Trans. Numer. Anal. 37,
   2010.
"""

from __future__ import annotations

import numba as nb
import numpy as np

LEAST_WEIGHT = 1e-30  # of the mean degree: single precision must not tear a graph apart


@nb.njit(cache=True, nogil=True, error_model="numpy")
def graph_of(indptr, indices, data, scale):
    """Return the graph of a Laplacian in CSR form, its weights times ``scale`` in single precision."""
    n = len(indptr) - 1
    starts, middles = np.zeros(n + 1, np.int32), np.empty(n, np.int32)
    columns, weights = np.empty(len(indices), np.int32), np.empty(len(indices), np.float32)
    m = 0
    for i in range(n):
        row = range(indptr[i], indptr[i + 1])
        for q in row:
            if indices[q] < i:
                columns[m], weights[m] = indices[q], max(-data[q] * scale, LEAST_WEIGHT)
                m += 1
        middles[i] = m
        for q in row:
            if indices[q] > i:
                columns[m], weights[m] = indices[q], max(-data[q] * scale, LEAST_WEIGHT)
                m += 1
        starts[i + 1] = m
    return starts, middles, columns[:m], weights[:m]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def inverse_degrees(graph):
    """Return one over the sum of the weights at every vertex."""
    starts, _, _, weights = graph
    out = np.empty(len(starts) - 1, np.float32)
    for i in range(len(out)):
        degree = 0.0
        for q in range(starts[i], starts[i + 1]):
            degree += weights[q]
        out[i] = 1.0 / degree
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
def pairs(graph):
    """Return the group of every vertex, a pair or a single, and the number of groups."""
    starts, _, columns, weights = graph
    n = len(starts) - 1
    group, count = np.full(n, -1, np.int32), 0
    for i in range(n):
        if group[i] >= 0:
            continue
        best, most = -1, np.float32(0.0)
        for q in range(starts[i], starts[i + 1]):
            if weights[q] > most and group[columns[q]] < 0:
                best, most = columns[q], weights[q]
        group[i] = count
        if best >= 0:
            group[best] = count
        count += 1
    return group, count


@nb.njit(cache=True, nogil=True, error_model="numpy")
def members(group, count):
    """Return the vertices of all groups end to end, and where each group begins."""
    at, vertices = np.zeros(count + 1, np.int32), np.empty(len(group), np.int32)
    for i in range(len(group)):
        at[group[i] + 1] += 1
    for g in range(count):
        at[g + 1] += at[g]
    fill = at[:-1].copy()
    for i in range(len(group)):
        vertices[fill[group[i]]] = i
        fill[group[i]] += 1
    return at, vertices


@nb.njit(cache=True, nogil=True, error_model="numpy")
def add_weights(graph, group, vertices, g, near, sums):
    """Add up the weights between group ``g`` and others; return how many there are in ``near``."""
    starts, _, columns, weights = graph
    m = 0
    for i in vertices:
        for q in range(starts[i], starts[i + 1]):
            other = group[columns[q]]
            if other == g:
                continue
            if sums[other] == 0.0:
                near[m] = other
                m += 1
            sums[other] += weights[q]
    return m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def pairs_of_groups(graph, group, count):
    """Return new groups, each two of the old ones; a lone one joins its strongest neighbour."""
    at, vertices = members(group, count)
    near, sums = np.empty(count, np.int32), np.zeros(count, np.float32)
    new, total = np.full(count, -1, np.int32), 0
    for g in range(count):
        if new[g] >= 0:
            continue
        m = add_weights(graph, group, vertices[at[g] : at[g + 1]], g, near, sums)
        free, strongest = -1, -1
        for h in near[:m]:
            if new[h] < 0 and (free < 0 or sums[h] > sums[free]):
                free = h
            if strongest < 0 or sums[h] > sums[strongest]:
                strongest = h
        for h in near[:m]:
            sums[h] = 0.0
        if free < 0 and strongest >= 0:
            new[g] = new[strongest]
            continue
        new[g] = total
        if free >= 0:
            new[free] = total
        total += 1
    for i in range(len(group)):
        group[i] = new[group[i]]
    return group, total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def quotient(graph, group, count):
    """Return the graph whose vertices are the groups."""
    at, vertices = members(group, count)
    near, sums = np.empty(count, np.int32), np.zeros(count, np.float32)
    starts, middles = np.zeros(count + 1, np.int32), np.empty(count, np.int32)
    columns, weights = np.empty(len(graph[2]), np.int32), np.empty(len(graph[2]), np.float32)
    fill = 0
    for g in range(count):
        m = add_weights(graph, group, vertices[at[g] : at[g + 1]], g, near, sums)
        low, high = fill, fill + m
        for h in near[:m]:
            if h < g:
                columns[low], weights[low] = h, sums[h]
                low += 1
            else:
                high -= 1
                columns[high], weights[high] = h, sums[h]
            sums[h] = 0.0
        fill += m
        middles[g], starts[g + 1] = low, fill
    return starts, middles, columns[:fill].copy(), weights[:fill].copy()
