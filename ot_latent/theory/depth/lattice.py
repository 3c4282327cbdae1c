r"""Wide tanh networks on a grid: below a threshold gain rounding kills every signal, and when.

Signals are rounded to :math:`\rho \mathbb Z` after each layer :math:`x \mapsto \tanh(Wx)`, weights
:math:`N(0, A^2 / N)`. As the width grows at a fixed mesh the mean square follows a deterministic map
(Avelin 2026); the figures of this module belong to that limit and are exact up to quadrature.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ot_latent._validation import check_array, check_positive


def rounded_second_moment(alpha: float, rho: float | None = None) -> float:
    r"""Return the second moment of a rounded Gaussian, in units of the mesh.

    :math:`E[Q_1(\alpha G)^2] = 2 \sum_{k \ge 1} (2k - 1)\, P(G > (k - \frac12) / \alpha)` where
    :math:`Q_1` rounds to the nearest integer, ties towards zero. With a mesh rho the value is
    squashed first: :math:`E[Q_1(\rho^{-1} \tanh(\rho \alpha G))^2]`.

    Parameters
    ----------
    alpha : float
        Standard deviation before rounding, in units of the mesh.
    rho : float, optional
        Mesh of the grid, below 1; by default nothing is squashed (the limit of a fine mesh).

    Returns
    -------
    float
        The second moment.

    Raises
    ------
    ValueError
        If a number is not positive, or the mesh not below 1.

    Examples
    --------
    >>> round(rounded_second_moment(1.0), 6)
    1.083333
    """
    from scipy.special import ndtr

    check_positive(alpha, "alpha")
    if rho is None:
        steps = np.arange(1, math.ceil(40.0 * alpha) + 2)  # P(G > 40) is zero in float64
        edges = steps - 0.5
    else:
        _check_mesh(rho)
        last = int(min(math.ceil(40.0 * alpha) + 1.0, math.ceil(1.0 / rho - 0.5)))
        steps = np.arange(1, last + 1)
        inside = rho * (steps - 0.5)
        steps, inside = steps[inside < 1.0], inside[inside < 1.0]
        edges = np.arctanh(inside) / rho
    return float(2.0 * ((2.0 * steps - 1.0) * ndtr(-edges / alpha)).sum())


@cache
def lattice_threshold(rho: float | None = None) -> float:
    r"""Return the gain below which rounding alone kills the signals of wide tanh networks.

    :math:`A^2 = \inf_\alpha \alpha^2 / E[Q(\alpha G)^2]`. Without a mesh it is the universal lattice
    threshold 0.866303: below it every grid absorbs within O(log log N) layers. With a mesh it is
    the gain above which signals outlive e^(cN) layers on that grid.

    Parameters
    ----------
    rho : float, optional
        Mesh of the grid, below 1; by default the limit of a fine mesh.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        If the mesh is not a positive number below 1.

    Examples
    --------
    >>> round(lattice_threshold(), 6), round(lattice_threshold(0.5), 6)
    (0.866303, 0.887276)
    """
    from scipy.optimize import minimize_scalar

    if rho is not None:
        _check_mesh(rho)

    def ratio(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        moment = rounded_second_moment(alpha, rho)
        return 2.0 * log_alpha - math.log(moment) if moment > 0.0 else math.inf

    # the infimum lies near 0.43; a scan finds the basin, the search its bottom
    grid = np.linspace(math.log(0.1), math.log(3.0), 60)
    best = int(np.argmin([ratio(g) for g in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(ratio, bounds=around, method="bounded", options={"xatol": 1e-12})
    return math.exp(0.5 * float(found.fun))


def rounded_length_map(q: float, gain: float, rho: float) -> float:
    r"""Return the mean square after one rounded layer of a wide tanh network.

    :math:`V_{A,\rho}(h) = E[Q_1(\rho^{-1} \tanh(\rho A \sqrt h\, G))^2]`, mean squares in units of
    the squared mesh.

    Parameters
    ----------
    q : float
        Mean square h of the signal, in units of rho^2.
    gain : float
        Gain A.
    rho : float
        Mesh of the grid, below 1.

    Returns
    -------
    float
        Mean square of the next signal, in units of rho^2.

    Raises
    ------
    ValueError
        If q is negative, or gain or mesh is out of range.

    Examples
    --------
    >>> round(rounded_length_map(4.0, 0.7, 0.5), 4)
    1.2088
    """
    check_positive(gain, "gain")
    _check_mesh(rho)
    if not q >= 0.0:
        raise ValueError(f"q must be a mean square, got {q}; pass a number that is not negative.")
    return rounded_second_moment(gain * math.sqrt(q), rho) if q > 0.0 else 0.0


def absorption_depth(width: int, gain: float, rho: float, x0: Any) -> int:
    r"""Return the depth at which a wide tanh network on a coarse grid forgets its input.

    The first t with :math:`\bar h_t \le 1 / \log N`, where :math:`\bar h_0 = \lVert Q_\rho x_0
    \rVert^2 / (N \rho^2)` and :math:`\bar h_{t+1} = V_{A,\rho}(\bar h_t)`. As the width grows
    survival tends to one at t - 1 and to zero at t + 2 (theorem, gains below
    `lattice_threshold`): the window is three layers.

    Parameters
    ----------
    width : int
        Width N, at least 3.
    gain : float
        Gain A below the threshold.
    rho : float
        Mesh of the grid, below 1.
    x0 : array-like of shape (N,) or float
        Input, or the value of all its entries.

    Returns
    -------
    int
        The depth.

    Raises
    ------
    ValueError
        If the gain is not below the threshold of this grid, or a number is out of range.

    Examples
    --------
    >>> absorption_depth(1000, 0.7, 0.5, 1.0)
    5
    """
    check_positive(width, "width", integer=True)
    if width < 3:
        raise ValueError(
            f"width must be at least 3, got {width}; the statement is about wide nets."
        )
    if gain >= lattice_threshold(rho):
        raise ValueError(
            f"gain must be below the threshold {lattice_threshold(rho):.6f} of this grid, got {gain}; "
            "above it signals survive for times exponential in the width."
        )
    values = check_array(np.atleast_1d(np.asarray(x0, np.float64)), "x0", ndim=1)
    q = float(np.mean(np.square(np.ceil(np.abs(values) / rho - 0.5))))
    depth = 0
    while q > 1.0 / math.log(width):
        q = rounded_length_map(q, gain, rho)
        depth += 1
    return depth


def _check_mesh(rho: float) -> None:
    check_positive(rho, "rho")
    if rho >= 1.0:
        raise ValueError(f"rho must be below 1, the bound of tanh, got {rho}; pass a finer mesh.")
