r"""Metrics of cones: Hilbert's on rays, Thompson's on points, and the oscillation of logits.

A map between cones that keeps the order and never gains from scaling its argument shrinks one of
them, however large its weights are (Birkhoff, Nussbaum). All figures here are exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor

Metric = Callable[[Tensor, Tensor], Tensor]


def oscillation(x: Any, y: Any) -> Tensor:
    r"""Return how far two vectors are apart up to a common shift.

    :math:`\max_i (x_i - y_i) - \min_i (x_i - y_i)`. For logits it is the Hilbert distance of
    their softmax, exactly.

    Parameters
    ----------
    x, y : array-like of shape (..., n)
        Vectors of one shape, or of shapes that broadcast.

    Returns
    -------
    Tensor of shape (...)
        The oscillation, in the wider dtype of the two.

    Raises
    ------
    DataError
        If a value is not finite, or the vectors differ in length.

    Examples
    --------
    >>> float(oscillation([1.0, 2.0, 3.0], [0.0, 0.0, 5.0]))
    4.0
    """
    a, b = _pair(x, y)
    gap = a - b
    return gap.amax(-1) - gap.amin(-1)


def hilbert_distance(x: Any, y: Any) -> Tensor:
    r"""Return Hilbert's projective distance of vectors of the closed positive cone.

    :math:`d_H(x, y) = \max_i \log(x_i / y_i) - \min_i \log(x_i / y_i)`, blind to scale:
    :math:`d_H(\lambda x, \mu y) = d_H(x, y)`. Coordinates that vanish in both vectors do not count;
    one that vanishes in one of them alone makes the distance infinite.

    Parameters
    ----------
    x, y : array-like of shape (..., n)
        Vectors without negative entries, of one shape or of shapes that broadcast.

    Returns
    -------
    Tensor of shape (...)
        The distance, in the wider dtype of the two.

    Raises
    ------
    DataError
        If an entry is negative or not finite, or the vectors differ in length.

    Examples
    --------
    >>> round(float(hilbert_distance([2.0, 1.0], [1.0, 2.0])), 6)  # 2 log 2
    1.386294
    """
    high, low, same = _log_ratios(x, y)
    return torch.where(same, high - low, torch.inf)


def thompson_distance(x: Any, y: Any) -> Tensor:
    r"""Return Thompson's distance of vectors of the closed positive cone.

    :math:`d_T(x, y) = \max_i \lvert\log x_i - \log y_i\rvert`, and
    :math:`d_H \le 2 d_T`. Coordinates that vanish in both vectors do not count; one that vanishes
    in one of them alone makes the distance infinite.

    Parameters
    ----------
    x, y : array-like of shape (..., n)
        Vectors without negative entries, of one shape or of shapes that broadcast.

    Returns
    -------
    Tensor of shape (...)
        The distance, in the wider dtype of the two.

    Raises
    ------
    DataError
        If an entry is negative or not finite, or the vectors differ in length.

    Examples
    --------
    >>> round(float(thompson_distance([2.0, 1.0], [1.0, 2.0])), 6)  # log 2
    0.693147
    """
    high, low, same = _log_ratios(x, y)
    return torch.where(same, torch.maximum(high, -low), torch.inf)


def resolve_metric(metric: str | Metric) -> Metric:
    """Return the distance function that a name stands for.

    Parameters
    ----------
    metric : {"l1", "l2", "linf", "hilbert", "thompson", "oscillation"} or callable
        A name, or a function of two tensors of shape (..., n) itself.

    Returns
    -------
    callable
        The function.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> float(resolve_metric("l1")(torch.ones(2), torch.zeros(2)))
    2.0
    """
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {', '.join(METRICS)} or a function, got {metric!r}; try 'l2'."
        )
    return METRICS[metric]


def _norm(order: float) -> Metric:
    def distance(x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, ord=order, dim=-1)

    return distance


METRICS: dict[str, Metric] = {
    "l1": _norm(1),
    "l2": _norm(2),
    "linf": _norm(float("inf")),
    "hilbert": hilbert_distance,
    "thompson": thompson_distance,
    "oscillation": oscillation,
}


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return two tensors of one dtype and device whose last axes agree."""
    a, b = as_float_tensor(x, "x"), as_float_tensor(y, "y")
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1] or a.shape[-1] == 0:
        raise DataError(
            f"x and y must be vectors of one length, got shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}; pass the same coordinates for both."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(a.device, dtype)


def _log_ratios(x: Any, y: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest and the smallest log ratio, and whether the zeros are in the same places."""
    a, b = torch.broadcast_tensors(*_pair(x, y))
    for name, values in (("x", a), ("y", b)):
        if bool((values < 0).any()):
            raise DataError(
                f"{name} must lie in the positive cone, got a negative entry "
                f"{float(values.min()):.3g}; pass positive vectors or use a norm."
            )
    positive = a > 0
    same = (positive == (b > 0)).all(-1)
    both = positive & (b > 0)
    ratio = torch.where(both, a, 1.0).log() - torch.where(both, b, 1.0).log()
    some = both.any(-1)  # two zero vectors are equal
    high = torch.where(both, ratio, -torch.inf).amax(-1)
    low = torch.where(both, ratio, torch.inf).amin(-1)
    return torch.where(some, high, 0.0), torch.where(some, low, 0.0), same
