"""Compiled passes over the facets of all cells: which disagree with their neighbours, and splices.

A facet between cells j and k is computed twice, once from each side. Where the two sides differ,
one of the cells is still too large: a neighbour that should cut it was not among its guesses.
"""

from __future__ import annotations

import numba as nb
import numpy as np

AGREE = 1e-9  # relative difference of a facet's two sides that rounding explains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def disagreeing(offsets, neighbours, areas, scale):
    """Return the cells with a facet that its other side lacks or sees in another size.

    Then the cells that lack a neighbour, and that neighbour. ``scale`` is the size of a typical
    facet: differences far below it are rounding.
    """
    count, m = len(offsets) - 1, 0
    wrong, met = np.zeros(count, np.bool_), np.zeros(len(areas), np.bool_)
    owners, lacking = np.empty(len(areas), np.int32), np.empty(len(areas), np.int32)
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            k = neighbours[q]
            if k < 0 or met[q]:
                continue
            other = _other_side(offsets, neighbours, areas, k, j, met)
            if abs(other - areas[q]) > AGREE * (areas[q] + other + scale):
                wrong[j] = True
                wrong[k] = True
                owners[m], lacking[m] = k, j
                m += other == 0.0
    return np.flatnonzero(wrong), owners[:m].copy(), lacking[:m].copy()


@nb.njit(cache=True, nogil=True, error_model="numpy")
def extended(offsets, neighbours, owners, lacking):
    """Return the graph (indptr, indices) of a list of neighbours with some added to some cells."""
    count = len(offsets) - 1
    indptr = np.zeros(count + 1, np.int64)
    for k in owners:
        indptr[k + 1] += 1
    for j in range(count):
        indptr[j + 1] += indptr[j] + offsets[j + 1] - offsets[j]
    indices, fill = np.empty(indptr[-1], np.int32), indptr[:-1].copy()
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            indices[fill[j]] = neighbours[q]
            fill[j] += 1
    for m in range(len(owners)):
        indices[fill[owners[m]]] = lacking[m]
        fill[owners[m]] += 1
    return indptr, indices


@nb.njit(cache=True, nogil=True, error_model="numpy")
def both_ways(offsets, neighbours):
    """Return the graph (indptr, indices) that joins j and k if either has the other as a facet."""
    count = len(offsets) - 1
    degree = np.zeros(count, np.int64)
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            k = neighbours[q]
            if k >= 0 and not _lists(offsets[j], q, neighbours, k):
                degree[j] += 1
                degree[k] += not _lists(offsets[k], offsets[k + 1], neighbours, j)
    indptr = np.zeros(count + 1, np.int64)
    for j in range(count):
        indptr[j + 1] = indptr[j] + degree[j]
    indices, fill = np.empty(indptr[-1], np.int32), indptr[:-1].copy()
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            k = neighbours[q]
            if k < 0 or _lists(offsets[j], q, neighbours, k):
                continue  # a side of the domain, or a facet that rounding has split
            indices[fill[j]] = k
            fill[j] += 1
            if not _lists(offsets[k], offsets[k + 1], neighbours, j):
                indices[fill[k]] = j
                fill[k] += 1
    return indptr, indices


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _lists(begin, end, neighbours, k):
    """Tell whether ``k`` stands in a part of the list."""
    for q in range(begin, end):
        if neighbours[q] == k:
            return True
    return False


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _other_side(offsets, neighbours, areas, j, k, met):
    """Return the area of cell j's facets with k, and mark them as met."""
    total = 0.0
    for q in range(offsets[j], offsets[j + 1]):
        if neighbours[q] == k:
            total += areas[q]
            met[q] = True
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def facet_weights(offsets, neighbours, measures, unit, points):
    """Return the Laplacian of the cell graph in CSR form, symmetric to the last bit.

    A facet is taken from its cell of smaller index: both sides see it alike but for slivers.
    Measures are divided by ``unit``.
    """
    count = len(offsets) - 1
    indptr = np.ones(count + 1, np.int32)
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            if neighbours[q] > j:
                indptr[j + 1] += 1
                indptr[neighbours[q] + 1] += 1
    indptr[0] = 0
    indptr = np.cumsum(indptr).astype(np.int32)
    columns, data = np.empty(indptr[-1], np.int32), np.zeros(indptr[-1])
    fill = indptr[:-1] + 1
    columns[indptr[:-1]] = np.arange(count)
    for j in range(count):
        for q in range(offsets[j], offsets[j + 1]):
            k, square = neighbours[q], 0.0
            if k <= j:
                continue
            for i in range(points.shape[1]):
                square += (points[j, i] - points[k, i]) ** 2
            weight = measures[q] / unit / np.sqrt(square)
            columns[fill[j]], columns[fill[k]] = k, j
            data[fill[j]], data[fill[k]] = -weight, -weight
            data[indptr[j]] += weight
            data[indptr[k]] += weight
            fill[j] += 1
            fill[k] += 1
    return indptr, columns, data


@nb.njit(cache=True, nogil=True, error_model="numpy")
def splice(offsets, values, rows, sizes, new):
    """Replace the entries of some cells, in increasing order, in an array of all cells end to end."""
    length = len(values)
    for r in range(len(rows)):
        length += sizes[r] - (offsets[rows[r] + 1] - offsets[rows[r]])
    out = np.empty((length, values.shape[1]), values.dtype)
    done, fill, begin = 0, 0, 0
    for r in range(len(rows) + 1):
        upto = offsets[rows[r]] if r < len(rows) else len(values)
        out[fill : fill + upto - done] = values[done:upto]
        fill += upto - done
        if r < len(rows):
            out[fill : fill + sizes[r]] = new[begin : begin + sizes[r]]
            fill += sizes[r]
            begin += sizes[r]
            done = offsets[rows[r] + 1]
    return out
