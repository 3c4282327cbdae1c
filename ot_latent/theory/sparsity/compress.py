"""Fewer neurons in a layer at a small price: the group lasso that weight decay solves there.

Given a layer's features Phi (K, N) and the outputs Psi (D, N) that the next layer makes of them, weight
decay on that layer is ``min sum_k |V_k|_2`` subject to ``V Phi = Psi`` (Shenouda, Parhi, Lee, Nowak
2024). Here its penalised form is solved, with a certificate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ot_latent._validation import check_array, check_positive

GAP_EVERY = 20


class CompressedLayer(NamedTuple):
    """A solution of the group lasso.

    Attributes
    ----------
    weight : ndarray of shape (D, K)
        The new matrix; columns of neurons that are not needed are exactly zero.
    active : ndarray of shape (k,)
        Numbers of the neurons that are kept.
    objective : float
        Value of the objective.
    gap : float
        Duality gap: the objective is at most this far above the minimum (theorem).
    iterations : int
        Steps taken.
    """

    weight: np.ndarray
    active: np.ndarray
    objective: float
    gap: float
    iterations: int


def compress_layer(
    features: Any,
    outputs: Any,
    strength: float,
    *,
    costs: Any = None,
    tolerance: float = 1e-6,
    max_iterations: int = 100_000,
) -> CompressedLayer:
    r"""Minimise ``|V Phi - Psi|^2 / 2 + strength * sum_k c_k |V_k|_2`` over matrices V.

    Accelerated proximal gradients (FISTA; Beck and Teboulle 2009) that start anew where the objective
    rises (O'Donoghue and Candès 2015). The residual, scaled into the dual ball
    ``|Theta Phi_k| <= strength * c_k``, gives a lower bound of the minimum.

    Parameters
    ----------
    features : array-like of shape (K, N)
        Phi: what the K neurons say on N rows of data.
    outputs : array-like of shape (D, N)
        Psi: what the layer shall make of it, such as ``weight @ features``.
    strength : float
        Weight of the penalty. At ``max_k |Psi Phi_k| / c_k`` and above, V is zero.
    costs : array-like of shape (K,), optional
        c_k, such as the norms of the neurons' input vectors (default: ones).
    tolerance : float, default=1e-6
        Duality gap to reach, as a share of ``|Psi|^2 / 2``.
    max_iterations : int, default=100000
        Largest number of steps; the gap that is returned says how far they led.

    Returns
    -------
    CompressedLayer
        Matrix, neurons kept, objective and certificate.

    Raises
    ------
    DataError
        If the arrays are not finite.
    ValueError
        If their numbers of columns differ, or `strength` or a cost is not positive.

    Examples
    --------
    >>> found = compress_layer(np.eye(2), [[3.0, 0.1]], 1.0)
    >>> found.weight.round(6).tolist(), found.active.tolist()
    ([[2.0, 0.0]], [0])
    """
    phi = check_array(features, "features", ndim=2).astype(np.float64)
    psi = check_array(outputs, "outputs", ndim=2).astype(np.float64)
    check_positive(strength, "strength")
    if phi.shape[1] != psi.shape[1]:
        raise ValueError(
            f"features and outputs must have a column per row of data, got {phi.shape[1]} and "
            f"{psi.shape[1]}; evaluate both on the same data."
        )
    c = np.ones(len(phi)) if costs is None else check_array(costs, "costs", ndim=1)
    if c.shape != (len(phi),) or not (c > 0).all():
        raise ValueError(
            f"costs must be {len(phi)} positive numbers, got shape {c.shape} with least "
            f"{c.min():g}; leave out neurons without input."
        )
    problem = _GroupLasso(phi @ phi.T, psi @ phi.T, float((psi**2).sum()), strength * c)
    return problem.solve(tolerance * 0.5 * problem.square, max_iterations)


class _GroupLasso(NamedTuple):
    """The problem by its Gram matrix: ``<V G, V> / 2 - <V, cross> + square / 2 + sum weights |V_k|``."""

    gram: np.ndarray
    cross: np.ndarray
    square: float
    weights: np.ndarray

    def solve(self, tolerance: float, max_iterations: int) -> CompressedLayer:
        """Iterate until the gap is small enough."""
        step = 1.0 / max(float(np.linalg.eigvalsh(self.gram)[-1]), np.finfo(float).tiny)
        v = ahead = np.zeros_like(self.cross)
        momentum, value, count = 1.0, self.objective(v), 0
        gap = self.gap(v, value)
        while gap > tolerance and count < max_iterations:
            count += 1
            new = self.shrink(ahead - step * (ahead @ self.gram - self.cross), step)
            reached = self.objective(new)
            if reached > value and momentum > 1.0:  # overshot: again from v, without momentum
                ahead, momentum = v, 1.0
                continue
            faster = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            ahead = new + (momentum - 1) / faster * (new - v)
            v, momentum, value = new, faster, reached
            if count % GAP_EVERY == 0 or count == max_iterations:
                gap = self.gap(v, value)
        active = np.flatnonzero(np.linalg.norm(v, axis=0))
        return CompressedLayer(v, active, value, gap, count)

    def shrink(self, v: np.ndarray, step: float) -> np.ndarray:
        """Shorten every column by its threshold."""
        sizes = np.linalg.norm(v, axis=0)
        factor = 1 - step * self.weights / np.maximum(sizes, np.finfo(float).tiny)
        return v * np.maximum(factor, 0.0)

    def objective(self, v: np.ndarray) -> float:
        """Return the value of the objective."""
        smooth = 0.5 * float(((v @ self.gram) * v).sum()) - float((v * self.cross).sum())
        return smooth + 0.5 * self.square + float(self.weights @ np.linalg.norm(v, axis=0))

    def gap(self, v: np.ndarray, value: float) -> float:
        """Return objective minus dual value at the scaled residual Theta = s (Psi - V Phi)."""
        image = v @ self.gram
        correlation = np.linalg.norm(self.cross - image, axis=0)  # |residual Phi_k|
        inner = self.square - float((v * self.cross).sum())  # <Psi, residual>
        norm = inner - float((v * self.cross).sum()) + float((image * v).sum())  # |residual|^2
        scale = min(1.0, float((self.weights / np.maximum(correlation, 1e-300)).min()))
        if norm > 0:
            scale = min(scale, max(inner / norm, 0.0))
        return max(value - scale * inner + 0.5 * scale**2 * norm, 0.0)
