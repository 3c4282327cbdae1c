r"""Cut-off: the depth at which signals die, how sharply, and what theory says of both.

A family of survival curves has a cut-off where they fall from one to zero within a window that is
small against the depth of the fall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.theory.depth.gains import log_norm_walk

UPPER, LOWER = 0.95, 0.05


@dataclass(frozen=True)
class Cutoff:
    """Where a survival curve falls: mixing times t(e), the first depth at which it is at most e."""

    centre: int
    """t(1/2)."""
    window: int
    """t(0.05) - t(0.95)."""
    sharpness: float
    """Window over centre: a family of curves has a cut-off where it tends to zero."""
    start: int
    """t(0.95): at least 95 % survive before it."""
    end: int
    """t(0.05): at most 5 % survive from it on."""


def mixing_time(curve: Any, level: float) -> int | None:
    """Return the first depth at which a survival curve is at most a level.

    Parameters
    ----------
    curve : SurvivalCurve or array-like of shape (depth + 1,)
        Probability of survival after 0, 1, 2, ... layers.
    level : float
        The level in (0, 1).

    Returns
    -------
    int or None
        The depth; None where the curve stays above.

    Raises
    ------
    DataError
        If the curve is not a finite vector of probabilities.

    Examples
    --------
    >>> mixing_time([1.0, 0.9, 0.4, 0.0], 0.5), mixing_time([1.0, 0.9], 0.5)
    (2, None)
    """
    below = np.flatnonzero(_probabilities(curve) <= level)
    return int(below[0]) if len(below) else None


def cutoff(curve: Any) -> Cutoff:
    """Return where a survival curve falls, and how sharply.

    Parameters
    ----------
    curve : SurvivalCurve or array-like of shape (depth + 1,)
        Probability of survival after 0, 1, 2, ... layers.

    Returns
    -------
    Cutoff
        Centre, window and sharpness of this curve, as measured.

    Raises
    ------
    DataError
        If the curve is not a vector of probabilities, or does not fall to 0.05: go deeper then.

    Examples
    --------
    >>> cutoff([1.0] * 7 + [0.0])
    Cutoff(centre=7, window=0, sharpness=0.0, start=7, end=7)
    """
    values = _probabilities(curve)
    start, centre, end = (mixing_time(values, level) for level in (UPPER, 0.5, LOWER))
    if start is None or centre is None or end is None:
        raise DataError(
            f"curve must fall to {LOWER}, got {values[-1]:.3g} after {len(values) - 1} layers; "
            "raise depth, or there is no cut-off to be seen."
        )
    return Cutoff(centre, end - start, (end - start) / max(centre, 1), start, end)


@dataclass(frozen=True)
class PredictedCutoff:
    r"""The fall of a survival curve as a first passage: a theorem in the limit of fine rounding.

    A random walk of drift -gamma and variance v per layer, started at distance L from the floor,
    passes it after :math:`L / \gamma` layers, give or take :math:`\sqrt{v L / \gamma^3}`.
    """

    centre: float
    """L / gamma."""
    window: float
    """One standard deviation of the passage time; `Cutoff.window` spans about 3.29 of them."""
    death: float = 0.0
    """Probability per layer of dying by other means (all ReLU units off)."""

    def profile(self, depth: Any) -> np.ndarray:
        r"""Return the predicted probability of survival.

        :math:`\Phi(-(t - t^*) / w)`, times :math:`(1 - p)^t` where layers also kill directly.

        Parameters
        ----------
        depth : array-like
            Numbers of layers t.

        Returns
        -------
        ndarray
            Probabilities, of the shape of `depth`.
        """
        from scipy.special import ndtr

        t = np.asarray(depth, dtype=np.float64)
        return ndtr((self.centre - t) / self.window) * np.exp(t * math.log1p(-self.death))

    def quantile(self, survival: float) -> float:
        """Return the depth at which a share of the signals survives (passage alone).

        Parameters
        ----------
        survival : float
            The share in (0, 1).

        Returns
        -------
        float
            The depth; zero where it would be negative.
        """
        from scipy.special import ndtri

        return max(0.0, self.centre - float(ndtri(survival)) * self.window)


def first_passage(
    exponent: float, variance: float, distance: float, *, death: float = 0.0
) -> PredictedCutoff:
    """Return the cut-off of a random walk that drifts towards a floor.

    Parameters
    ----------
    exponent : float
        Mean of a step; must be negative.
    variance : float
        Variance of a step; of dependent steps their long-run variance.
    distance : float
        Distance L from the start to the floor, in the same units.
    death : float, default=0.0
        Probability per layer of dying by other means.

    Returns
    -------
    PredictedCutoff
        Centre, window, profile.

    Raises
    ------
    ValueError
        If the walk does not drift to the floor, or a number is not positive.

    Examples
    --------
    >>> found = first_passage(-0.5, 0.04, 50.0)
    >>> found.centre, found.window
    (100.0, 4.0)
    """
    check_positive(variance, "variance")
    check_positive(distance, "distance")
    if not exponent < 0.0:
        raise ValueError(
            f"exponent must be negative for a cut-off, got {exponent:.6g}; at or above the critical "
            "gain signals do not die."
        )
    centre = distance / -exponent
    window = math.sqrt(variance * distance / -(exponent**3))
    return PredictedCutoff(centre, window, death)


def predicted_cutoff(
    width: int, gain: float, rho: float, x0: Any, activation: str = "tanh"
) -> PredictedCutoff:
    r"""Return the cut-off of a random network whose signals are rounded to a grid.

    With :math:`L = \log(\lVert x_0 \rVert / \rho)` the absorption time is asymptotically normal with
    mean :math:`L / \gamma` and standard deviation :math:`\sigma \gamma^{-3/2} \sqrt L`. A theorem for
    tanh and Gaussian weights as the grid gets fine (Avelin 2026, after Avelin and Karlsson 2022);
    the same renewal argument gives ReLU, killed with probability 2^-N per layer. At finite
    rounding the centre is a few layers late: an estimate to within a window.

    Parameters
    ----------
    width : int
        Width N of the layers.
    gain : float
        Gain A below the critical one: weights have the standard deviation A / sqrt(N).
    rho : float
        Mesh of the grid that signals are rounded to, such as `precision_floor`.
    x0 : float or array-like of shape (N,)
        Input, or its Euclidean norm.
    activation : {"tanh", "linear", "relu"}, default="tanh"
        Function after the weights.

    Returns
    -------
    PredictedCutoff
        Centre, window, profile.

    Raises
    ------
    ValueError
        If the gain is not below `critical_gain`, or the input does not exceed the grid.

    Examples
    --------
    >>> found = predicted_cutoff(2, 0.8, 1e-30, [0.5, 0.5])
    >>> round(found.centre, 1), round(found.window, 1)
    (134.3, 14.5)
    """
    check_positive(rho, "rho")
    norm = float(np.linalg.norm(check_array(np.atleast_1d(np.asarray(x0, np.float64)), "x0")))
    if norm <= rho:
        raise ValueError(
            f"x0 must exceed the grid, got norm {norm:.3g} and mesh {rho:.3g}; it is zero already."
        )
    walk = log_norm_walk(width, gain, activation)
    distance = math.log(norm) - math.log(rho)
    return first_passage(walk.drift, walk.variance, distance, death=walk.death)


def _probabilities(curve: Any) -> np.ndarray:
    """Return the values of a curve, refused unless they are probabilities."""
    values = check_array(getattr(curve, "probability", curve), "curve", ndim=1).astype(np.float64)
    if values.min() < 0.0 or values.max() > 1.0:
        raise DataError(
            f"curve must hold probabilities, got values from {values.min():.3g} to "
            f"{values.max():.3g}; pass a survival curve."
        )
    return values
