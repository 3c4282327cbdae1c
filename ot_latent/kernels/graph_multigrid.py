"""Conjugate gradients for graph Laplacians, preconditioned by multigrid on joined neighbours.

The hierarchy is that of `kernels.aggregation`. Interpolation by constants alone would make a cycle
worse with every level; two steps of conjugate gradients at every coarse level, themselves
preconditioned by the next one (the K-cycle [1]_), keep it nearly as good as two levels, so that the
iterations hardly grow with N. Groups of at least four vertices keep the work of all levels below
twice that of the first.

The preconditioner is kept in single precision, which halves what moves through memory; the outer
iteration corrects its rounding.

.. [1] Notay and Vassilevski. "Recursive Krylov-based multigrid cycles." Numer. Linear Algebra
   Appl. 15(5), 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from ot_latent.kernels.aggregation import (
    graph_of,
    inverse_degrees,
    pairs,
    pairs_of_groups,
    quotient,
)

COARSEST = 40  # vertices from which on a dense inverse takes over
PAIRINGS = (2, 3)  # rounds of joining: at the first level, where they cost most, and below
ENOUGH = 0.25  # a coarse residual reduced to this needs no second step
NEW = 1e-5  # of its energy, that a second direction must add to the first; less is rounding


class Hierarchy(NamedTuple):
    """Graphs of all levels end to end, as in `kernels.aggregation`.

    Attributes
    ----------
    rows : ndarray of shape (L + 1,)
        Vertices of level l are ``rows[l] : rows[l + 1]`` in `middles`, `inverse` and `group`.
    entries : ndarray of shape (L + 1,)
        The same for `columns` and `weights`.
    starts, middles, columns, weights : ndarray
        Graphs; `starts` of level l begins at ``rows[l] + l``.
    inverse : ndarray
        One over the degree.
    group : ndarray
        Which vertex of the next level a vertex belongs to.
    bottom : ndarray of shape (n, n)
        Inverse at the last level.
    """

    rows: np.ndarray
    entries: np.ndarray
    starts: np.ndarray
    middles: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    inverse: np.ndarray
    group: np.ndarray
    bottom: np.ndarray


def build(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, scale: float) -> Hierarchy:
    """Return the hierarchy of ``scale`` times a Laplacian.

    Parameters
    ----------
    indptr, indices, data : ndarray
        Graph Laplacian in CSR form.
    scale : float
        Factor of the Laplacian.

    Returns
    -------
    Hierarchy
        All levels. A graph without edges between many parts cannot be coarsened; its inverse at
        the last level is NaN.
    """
    graphs = [graph_of(indptr, indices, data, scale)]
    groups: list[np.ndarray] = []
    while (size := len(graphs[-1][1])) > COARSEST:
        group, count = pairs(graphs[-1])
        for _ in range(PAIRINGS[min(len(groups), 1)] - 1):
            group, count = pairs_of_groups(graphs[-1], group, count)
        if count == size:
            break
        graphs.append(quotient(graphs[-1], group, count))
        groups.append(group)
    starts, middles, columns, weights = (
        np.concatenate(parts) for parts in zip(*graphs, strict=True)
    )
    groups.append(np.zeros(size, np.int32))
    return Hierarchy(
        rows=_bounds([len(graph[1]) for graph in graphs]),
        entries=_bounds([len(graph[2]) for graph in graphs]),
        starts=starts,
        middles=middles,
        columns=columns,
        weights=weights,
        inverse=np.concatenate([inverse_degrees(graph) for graph in graphs]),
        group=np.concatenate(groups),
        bottom=_inverse(graphs[-1]),
    )


def _bounds(sizes: list[int]) -> np.ndarray:
    """Return where parts of some sizes begin, end to end, with the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)])


def _inverse(graph: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the inverse of a small Laplacian on vectors of mean zero; NaN of a large one."""
    starts, _, columns, weights = graph
    size = len(starts) - 1
    if size > COARSEST:
        return np.full((1, 1), np.nan, np.float32)
    matrix = np.zeros((size, size))
    np.subtract.at(matrix, (np.repeat(np.arange(size), np.diff(starts)), columns), weights)
    degrees = -matrix.sum(axis=1)
    matrix[np.diag_indices(size)] += degrees
    return np.linalg.pinv(matrix, hermitian=True).astype(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def level_of(h, level):
    """Return starts, middles, columns, weights, inverse degrees and groups of a level."""
    a, b, c, d = h.rows[level], h.rows[level + 1], h.entries[level], h.entries[level + 1]
    return (
        h.starts[a + level : b + level + 1],
        h.middles[a:b],
        h.columns[c:d],
        h.weights[c:d],
        h.inverse[a:b],
        h.group[a:b],
    )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def smooth_down(fine, r, z, coarse):
    """Set z by a forward Gauss-Seidel sweep from zero, ``coarse`` to the sums of what is left.

    After the sweep, row i lacks its part above the diagonal; by symmetry that is scattered while
    the part below is at hand.
    """
    starts, middles, columns, weights, inverse, group = fine
    coarse[:] = 0.0
    for i in range(len(r)):
        value = r[i]
        for q in range(starts[i], middles[i]):
            value += weights[q] * z[columns[q]]
        z[i] = value * inverse[i]
        for q in range(starts[i], middles[i]):
            coarse[group[columns[q]]] += weights[q] * z[i]
    centre(coarse)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def centre(x):
    """Take the mean off: rounding must not feed what a Laplacian cannot yield."""
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    mean = np.float32(total / len(x))
    for i in range(len(x)):
        x[i] -= mean


@nb.njit(cache=True, nogil=True, error_model="numpy")
def smooth_up(fine, r, z, coarse):
    """Correct z by the coarse solution and a backward Gauss-Seidel sweep."""
    starts, _, columns, weights, inverse, group = fine
    for i in range(len(r)):
        z[i] += coarse[group[i]]
    for i in range(len(r) - 1, -1, -1):
        value = r[i]
        for q in range(starts[i], starts[i + 1]):
            value += weights[q] * z[columns[q]]
        z[i] = value * inverse[i]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def multiply(graph, x, out):
    """Set ``out`` to the Laplacian times x, and return <x, out>."""
    starts, _, columns, weights, inverse, _ = graph
    total = 0.0
    for i in range(len(x)):
        value = x[i] / inverse[i]
        for q in range(starts[i], starts[i + 1]):
            value -= weights[q] * x[columns[q]]
        out[i] = value
        total += x[i] * value
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def dot(a, b):
    """Return the inner product, added up in double precision."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def first_step(coarse, room):
    """Take the first step of conjugate gradients; return its energy and whether it is enough."""
    left, found, first, image, _, _ = room
    before, energy = dot(left, left), multiply(coarse, first, image)
    share = dot(first, left) / energy if energy > 0.0 else 0.0
    for i in range(len(left)):
        left[i] -= share * image[i]
        found[i] = share * first[i]
    return energy, not (energy > 0.0 and dot(left, left) > ENOUGH * ENOUGH * before)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def second_step(coarse, room, energy):
    """Take the second step, along what is new in its direction."""
    left, found, first, image, second, other = room
    common = dot(second, image) / energy
    whole = multiply(coarse, second, other)
    own = whole - common * common * energy
    share = dot(second, left) / own if own > NEW * whole else 0.0
    for i in range(len(left)):
        found[i] += share * (second[i] - common * first[i])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cycle(h, work, r, z):
    """Set z to about the inverse times r; ``work`` has shape (6, all rows).

    Its six vectors at a level: right-hand side or residual, solution, first direction and its
    image, second direction and its image. (A loop, because compiled recursion cannot be cached.)
    """
    last = len(h.rows) - 2
    second, energy = np.zeros(last + 1, np.bool_), np.zeros(last + 1)
    level = 0
    while True:
        rhs, out = vectors(h, work, level, second[level], r, z)
        if level < last:
            level += 1
            second[level] = False
            smooth_down(level_of(h, level - 1), rhs, out, room_of(h, work, level)[0])
            continue
        for i in range(len(out)):
            out[i] = dot(h.bottom[i % len(h.bottom)], rhs[: len(h.bottom)])
        while level > 0:
            coarse, room, enough = level_of(h, level), room_of(h, work, level), True
            if second[level]:
                second_step(coarse, room, energy[level])
            else:
                energy[level], enough = first_step(coarse, room)
            if not enough:
                second[level] = True
                break
            level -= 1
            rhs, out = vectors(h, work, level, second[level], r, z)
            smooth_up(level_of(h, level), rhs, out, room[1])
        if level == 0:
            return


@nb.njit(cache=True, nogil=True, error_model="numpy")
def room_of(h, work, level):
    """Return the working vectors of a level."""
    a, b = h.rows[level], h.rows[level + 1]
    return work[0, a:b], work[1, a:b], work[2, a:b], work[3, a:b], work[4, a:b], work[5, a:b]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def vectors(h, work, level, second, r, z):
    """Return the right-hand side of a level and where its approximate solution goes."""
    if level == 0:
        return r, z
    room = room_of(h, work, level)
    return room[0], room[4] if second else room[2]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def preconditioned(indptr, indices, data, h, rhs, rtol, most):
    """Solve ``A x = rhs`` by flexible conjugate gradients; return x and the iterations."""
    n = len(rhs)
    x, r, p, q = np.zeros(n), rhs.copy(), np.zeros(n), np.zeros(n)
    z, unit = np.empty(n, np.float32), np.empty(n, np.float32)
    work = np.empty((6, h.rows[-1]), np.float32)
    square, energy, count = dot(r, r), 1.0, 0
    goal = rtol * rtol * square
    while count < most and square > goal:
        size = np.sqrt(square)
        for i in range(n):
            unit[i] = r[i] / size
        cycle(h, work, unit, z)
        back = -dot(z, q) / energy
        for i in range(n):
            p[i] = z[i] + back * p[i]
        energy = 0.0
        for i in range(n):
            value = 0.0
            for k in range(indptr[i], indptr[i + 1]):
                value += data[k] * p[indices[k]]
            q[i] = value
            energy += p[i] * value
        step, square = dot(p, r) / energy, 0.0
        for i in range(n):
            x[i] += step * p[i]
            r[i] -= step * q[i]
            square += r[i] * r[i]
        count += 1
    return x, count


def solve(
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    rhs: np.ndarray,
    rtol: float,
    most: int,
) -> tuple[np.ndarray, int]:
    """Solve ``A x = rhs`` for a graph Laplacian in CSR form and a right-hand side of mean zero.

    Parameters
    ----------
    indptr, indices, data : ndarray
        The Laplacian.
    rhs : ndarray of shape (N,)
        Right-hand side.
    rtol : float
        Stops where the residual has fallen by this factor.
    most : int
        Iterations after which it gives up.

    Returns
    -------
    x : ndarray of shape (N,)
        Solution, NaN where the graph falls into many parts.
    iterations : int
        How many were taken.
    """
    degrees = np.abs(data).sum() / 2.0
    if degrees == 0.0:
        return np.full(len(rhs), np.nan), 0
    hierarchy = build(indptr, indices, data, len(rhs) / degrees)
    return preconditioned(indptr, indices, data, hierarchy, rhs, rtol, most)
