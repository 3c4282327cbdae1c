"""Few neurons, same fit: a basic solution of a linear program (Carathéodory for networks).

Among all non-negative multiples of a network's neurons that have the same values at N points, one
of least path norm uses at most N neurons, and N - (d + 1) beside an affine skip in d dimensions
(theorem: basic solutions of a linear program; the finite form of the representer theorem).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from ot_latent._validation import check_array
from ot_latent.theory.sparsity.radon import merge_duplicates
from ot_latent.theory.sparsity.shallow import ShallowNetwork, as_shallow

RANK = 1e-11
"""Singular values below this share of the largest are rounding."""


def sparsify_neurons(
    network: nn.Module | ShallowNetwork, x: Any, *, skip: bool = True
) -> ShallowNetwork:
    """Return a network of few neurons with the same values at given points and no larger path norm.

    Merges duplicates, then solves ``min sum_k c_k t_k`` over ``t >= 0`` with the values kept, where t
    multiplies output vectors and c_k = |w_k| |v_k|; t = 1 is feasible, so the path norm
    cannot grow (theorem, up to rounding). A basic solution has at most N D neurons, at most
    (N - (d + 1)) D where the affine skip is free and the points span an affine space of dimension d.
    Away from the points the function may change.

    Parameters
    ----------
    network : torch.nn.Module or ShallowNetwork
        One hidden layer of ReLU or leaky ReLU, with or without an affine skip.
    x : array-like of shape (N, d)
        Points whose values are kept.
    skip : bool, default=True
        Whether the affine skip may change; else it stays, and duplicates that look opposite ways
        are not merged.

    Returns
    -------
    ShallowNetwork
        The smaller network.

    Raises
    ------
    DataError
        If the points are not finite or of another dimension than the network.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> arrays = rng.normal(size=(60, 2)), rng.normal(size=60), rng.normal(size=(60, 1))
    >>> wide, x = ShallowNetwork.build(*arrays), rng.normal(size=(12, 2))
    >>> few = sparsify_neurons(wide, x)
    >>> few.neurons <= 12 - 3, bool(np.abs(few(x) - wide(x)).max() < 1e-9)
    (True, True)
    """
    net = as_shallow(network)
    points = check_array(x, "x", ndim=2).astype(np.float64)
    values = net(points)
    if skip:
        net = merge_duplicates(net)
    affine = np.column_stack([points, np.ones(len(points))])
    free = _complement(affine) if skip else np.eye(len(points))
    costs = net.unit_norms()
    alive = costs > 0
    w, b, v, costs = net.incoming[alive], net.bias[alive], net.outgoing[alive], costs[alive]
    features = np.maximum(points @ w.T + b, 0.0)
    bent = free.T @ features
    affine_there = np.linalg.norm(bent, axis=0) <= RANK * np.linalg.norm(features, axis=0)
    bent[:, affine_there] = 0.0  # no kink among the points
    columns = bent[:, None, :] * (v / costs[:, None]).T[None]
    shares = basic_solution(columns.reshape(-1, len(costs)), costs)
    kept = shares > 0
    w, b, v = w[kept], b[kept], v[kept] * (shares / costs)[kept, None]
    small = ShallowNetwork(w, b, v, net.skip, net.offset)
    if not skip:
        return small
    rest = np.linalg.lstsq(affine, values - small(points), rcond=None)[0]
    return ShallowNetwork(w, b, v, net.skip + rest[:-1].T, net.offset + rest[-1])


def basic_solution(columns: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return non-negative t of least sum with ``columns @ t = columns @ start``, few of them positive.

    Linear programming (HiGHS) finds the least sum; the vertex is then made exact by least squares
    on its support, and steps along the null space of the support remove what is more than the rank.

    Parameters
    ----------
    columns : ndarray of shape (m, K)
        The constraints.
    start : ndarray of shape (K,)
        A feasible point with positive entries.

    Returns
    -------
    ndarray of shape (K,)
        The solution; at most rank(columns) entries are positive, and its sum is at most that of `start`.
    """
    from scipy.optimize import linprog

    if not columns.any():
        return np.zeros_like(start)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    rank = int((sizes > RANK * sizes[0]).sum())
    rows = left[:, :rank].T @ columns / sizes[0]  # orthonormal rows of constraints: well scaled
    unit = start.sum()
    target = rows @ (start / unit)
    found = linprog(
        np.ones(len(start)),
        A_eq=rows,
        b_eq=target,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    shares = start / unit
    if found.status == 0:
        vertex = _polish(rows, target, np.maximum(found.x, 0.0))
        better = vertex.sum() <= shares.sum() * (1 + 1e-12)
        exact = np.abs(rows @ vertex - target).max() <= 1e-10
        shares = vertex if better and exact else shares
    return unit * _reduce(rows, shares)


def _polish(rows: np.ndarray, target: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Make a vertex exact by least squares on its support, where that keeps it non-negative."""
    support = np.flatnonzero(t > RANK)
    better = np.zeros_like(t)
    step = np.linalg.lstsq(rows[:, support], target - rows[:, support] @ t[support], rcond=None)[0]
    better[support] = t[support] + step
    return np.maximum(better, 0.0)


def _reduce(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Walk along null vectors of the support, never raising the sum, until its columns are independent."""
    t = t.copy()
    support = np.flatnonzero(t > 0)
    while len(support):
        _, sizes, right = np.linalg.svd(rows[:, support])
        independent = int((sizes > RANK * sizes[0]).sum())
        if independent == len(support):
            break
        direction = right[-1] if right[-1].sum() <= 0 else -right[-1]
        falling = direction < 0
        steps = t[support][falling] / -direction[falling]
        t[support] += steps.min() * direction
        t[support[falling][steps == steps.min()]] = 0.0
        t[t < 0] = 0.0
        support = np.flatnonzero(t > 0)
    return t


def _complement(affine: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the values that no affine function has."""
    left, sizes, _ = np.linalg.svd(affine, full_matrices=True)
    rank = int((sizes > RANK * sizes[0]).sum())
    return left[:, rank:]
