"""A tree over affine functions of the source point: which site beats a given score, exactly.

Site k has the score ``<x, y_k> + h_k``. A node of the tree keeps the box of its sites and, for a
reference point r of the source, the best score at r; then every site of the node scores at x at
most

    top + sum_i max((x - r)_i low_i, (x - r)_i high_i),

which is tight where x is near r. The reference is minus the slope of the regression of heights on
sites: for heights of an optimal transport that is where the node's cells lie, so the bound prunes
even where the sites are clustered and their cells are not.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

LEAF = 8  # sites of a leaf, at most
RIDGE = 1e-9  # keeps the regression of a degenerate node (collinear sites) finite


class SiteTree(NamedTuple):
    """Nodes of a binary tree in preorder; a leaf has no right child.

    Attributes
    ----------
    order : ndarray of shape (N,)
        Sites, those of a node consecutive.
    first, last, right : ndarray of shape (M,)
        Slice of `order` of each node, and its right child (the left one follows it), or -1.
    low, high, reference : ndarray of shape (M, d)
        Box of the sites, and reference point of the source.
    top : ndarray of shape (M,)
        Best score at the reference point.
    """

    order: np.ndarray
    first: np.ndarray
    last: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    reference: np.ndarray
    top: np.ndarray


@nb.njit(cache=True, nogil=True, error_model="numpy")
def build_tree(y, h):
    """Build the tree of sites ``y`` of shape (N, d) with heights ``h``."""
    n, d = y.shape
    capacity = 4 * (n // LEAF + 1)
    order = np.arange(n)
    first = np.zeros(capacity, np.int64)
    last = np.zeros(capacity, np.int64)
    right = np.full(capacity, -1)
    low, high = np.empty((capacity, d)), np.empty((capacity, d))
    reference, top = np.empty((capacity, d)), np.empty(capacity)
    waiting = [(0, n, -1)]
    nodes = 0
    while len(waiting) > 0:
        begin, end, parent = waiting.pop()
        node = nodes
        nodes += 1
        if parent >= 0:
            right[parent] = node
        first[node], last[node] = begin, end
        _summarise(y, h, order[begin:end], low[node], high[node], reference[node])
        top[node] = _best_at(y, h, order[begin:end], reference[node])
        if end - begin > LEAF:
            axis = np.argmax(high[node] - low[node])
            piece = order[begin:end].copy()
            order[begin:end] = piece[np.argsort(y[piece, axis])]
            middle = (begin + end) // 2
            waiting.append((middle, end, node))
            waiting.append((begin, middle, -1))
    cut = slice(0, nodes)
    return SiteTree(
        order, first[cut], last[cut], right[cut], low[cut], high[cut], reference[cut], top[cut]
    )


def no_tree(dim: int) -> SiteTree:
    """Return a tree without nodes, where a kernel wants one that it will not use.

    Parameters
    ----------
    dim : int
        Dimension of the sites.

    Returns
    -------
    SiteTree
        Of the type that `build_tree` returns.
    """
    whole, real = np.zeros(0, np.int64), np.zeros((0, dim))
    return SiteTree(whole, whole, whole, whole, real, real, real, np.zeros(0))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _summarise(y, h, rows, low, high, reference):
    """Fill the box of some sites and minus the slope of their heights."""
    d = y.shape[1]
    mean, level = np.zeros(d), 0.0
    low[:], high[:] = np.inf, -np.inf
    for k in rows:
        level += h[k] / len(rows)
        for i in range(d):
            mean[i] += y[k, i] / len(rows)
            low[i], high[i] = min(low[i], y[k, i]), max(high[i], y[k, i])
    normal, side = np.zeros((d, d)), np.zeros(d)
    for k in rows:
        for i in range(d):
            side[i] -= (y[k, i] - mean[i]) * (h[k] - level)
            for j in range(d):
                normal[i, j] += (y[k, i] - mean[i]) * (y[k, j] - mean[j])
    ridge = RIDGE * np.trace(normal) + 1e-300
    for i in range(d):
        normal[i, i] += ridge
    reference[:] = np.linalg.solve(normal, side)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _best_at(y, h, rows, x):
    """Return the best score of some sites at a point."""
    best = -np.inf
    for k in rows:
        score = h[k]
        for i in range(y.shape[1]):
            score += x[i] * y[k, i]
        best = max(best, score)
    return best


@nb.njit(cache=True, nogil=True, error_model="numpy")
def better_site(tree, y, h, x, j, seen, mark, stack):
    """Return the site that scores highest at ``x`` above site ``j``, or -1 if none does.

    Sites k with ``seen[k] == mark`` are passed over; ``stack`` is room for 64 nodes.
    """
    d = y.shape[1]
    best, found = 0.0, -1  # scores relative to that of site j, which loses the fewest digits
    own = h[j]
    for i in range(d):
        own += x[i] * y[j, i]
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _bound(tree, node, x) - own <= best:
            continue
        right = tree.right[node]
        if right >= 0:  # the more promising child is looked at first
            swap = _bound(tree, right, x) > _bound(tree, node + 1, x)
            stack[depth] = node + 1 if swap else right
            stack[depth + 1] = right if swap else node + 1
            depth += 2
            continue
        for q in range(tree.first[node], tree.last[node]):
            k = tree.order[q]
            score = h[k] - h[j]
            for i in range(d):
                score += x[i] * (y[k, i] - y[j, i])
            if score > best and seen[k] != mark:
                best, found = score, k
    return found


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _bound(tree, node, x):
    """Return what no site of the node can exceed at ``x``."""
    bound = tree.top[node]
    for i in range(len(x)):
        step = x[i] - tree.reference[node, i]
        bound += step * (tree.high[node, i] if step > 0.0 else tree.low[node, i])
    return bound
