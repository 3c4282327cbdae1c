r"""Birkhoff's contraction coefficient: how much a positive matrix shrinks Hilbert's metric."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor


def projective_diameter(matrix: Any) -> float:
    r"""Return the Hilbert diameter of the image of the positive cone.

    .. math:: \Delta(A) = \max_{i,j,k,l} \log \frac{a_{ik} a_{jl}}{a_{jk} a_{il}}

    Rows and columns of zeros are left out: they carry nothing. A zero among what remains makes the
    diameter infinite.

    Parameters
    ----------
    matrix : array-like of shape (m, n)
        Without negative entries, and not zero.

    Returns
    -------
    float
        The diameter, exact up to rounding; computed in float64 in O(m^2 n) steps (m the smaller
        side).

    Raises
    ------
    DataError
        If the matrix has negative entries or nothing else than zeros.

    Examples
    --------
    >>> round(projective_diameter([[2.0, 1.0], [1.0, 2.0]]), 6)  # log 4
    1.386294
    """
    a = _kept(matrix)
    if bool((a == 0).any()):
        return math.inf
    logs = (a if a.shape[0] <= a.shape[1] else a.T).log()  # the diameter of the transpose is equal
    widest = 0.0
    for i in range(len(logs) - 1):
        gap = logs[i] - logs[i + 1 :]  # (m - i - 1, n)
        widest = max(widest, float((gap.amax(1) - gap.amin(1)).max()))
    return widest


def birkhoff_coefficient(matrix: Any) -> float:
    r"""Return the Lipschitz constant of a non-negative matrix in Hilbert's metric.

    :math:`\kappa(A) = \tanh(\Delta(A) / 4)`, a theorem of Birkhoff: the supremum of
    :math:`d_H(Ax, Ay) / d_H(x, y)`, approached by pairs that are close to one another. It is
    below one exactly if the entries left after zero rows and columns are positive.

    Parameters
    ----------
    matrix : array-like of shape (m, n)
        Without negative entries, and not zero.

    Returns
    -------
    float
        The coefficient in [0, 1].

    Raises
    ------
    DataError
        If the matrix has negative entries or nothing else than zeros.

    Examples
    --------
    >>> round(birkhoff_coefficient([[2.0, 1.0], [1.0, 2.0]]), 12)
    0.333333333333
    """
    return math.tanh(projective_diameter(matrix) / 4.0)


def _kept(matrix: Any) -> Tensor:
    """Return the rows and columns that are not zero, in float64."""
    a = as_float_tensor(matrix, "matrix", ndim=2).double()
    if bool((a < 0).any()):
        raise DataError(
            f"matrix must not have negative entries, got {float(a.min()):.3g}; Birkhoff's "
            "coefficient is about positive maps, use the spectral norm for others."
        )
    positive = a > 0
    if not bool(positive.any()):
        raise DataError(
            f"matrix must have a positive entry, got {tuple(a.shape)} zeros; it maps the cone to 0."
        )
    return a[positive.any(1)][:, positive.any(0)]
