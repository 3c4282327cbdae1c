r"""Random layers in closed form: Lyapunov exponents, critical gains, death and length of signals.

Layers are :math:`x \mapsto \varphi(Wx)` with independent weights :math:`N(0, A^2 / N)`, width N,
gain A, no bias. Every figure is exact for its model (rotation invariance makes the log-norm of a
linear or ReLU network a random walk with independent steps); tanh is its linearisation at 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ot_latent._validation import check_positive

ACTIVATIONS = ("tanh", "linear", "relu")


class Walk(NamedTuple):
    """The steps of the random walk that the logarithm of a signal's norm performs.

    Attributes
    ----------
    drift : float
        Mean of a step: the Lyapunov exponent (given survival, for ReLU).
    variance : float
        Its variance.
    death : float
        Probability that a layer maps the signal to zero.
    """

    drift: float
    variance: float
    death: float


def log_norm_walk(width: int, gain: float, activation: str = "tanh") -> Walk:
    r"""Return mean and variance per layer of the logarithm of a signal's norm.

    Linear, and tanh near 0: :math:`\log (A / \sqrt N) \chi_N` has mean
    :math:`\log A - \frac12 \log \frac N2 + \frac12 \psi(\frac N2)` and variance
    :math:`\frac14 \psi_1(\frac N2)`. ReLU: :math:`\lVert h' \rVert^2 / \lVert h \rVert^2` is
    :math:`(A^2 / N) \chi^2_K` with :math:`K \sim \mathrm{Bin}(N, \frac12)`, given :math:`K \ge 1`;
    the signal dies with probability :math:`2^{-N}`.

    Parameters
    ----------
    width : int
        Width N of the layers.
    gain : float
        Gain A: weights have the standard deviation A / sqrt(N).
    activation : {"tanh", "linear", "relu"}, default="tanh"
        Function after the weights.

    Returns
    -------
    Walk
        Drift, variance, death; exact.

    Raises
    ------
    ValueError
        If width or gain is not positive, or the activation is none of these.

    Examples
    --------
    >>> drift, variance, death = log_norm_walk(10, math.sqrt(2), "relu")
    >>> round(drift, 6), round(variance, 6), death
    (-0.153731, 0.216684, 0.0009765625)
    """
    from scipy.special import digamma, polygamma

    check_positive(width, "width", integer=True)
    check_positive(gain, "gain")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)} for a closed form, got "
            f"{activation!r}; simulate others with depth.lyapunov."
        )
    scale = math.log(gain) - 0.5 * math.log(width)
    if activation != "relu":
        drift = scale + 0.5 * math.log(2.0) + 0.5 * float(digamma(width / 2.0))
        return Walk(drift, 0.25 * float(polygamma(1, width / 2.0)), 0.0)
    counts, probability = _alive_units(width)
    means = 0.5 * (digamma(counts / 2.0) + math.log(2.0))
    mean = float(probability @ means)
    spread = float(probability @ (means - mean) ** 2)
    inside = 0.25 * float(probability @ polygamma(1, counts / 2.0))
    return Walk(scale + mean, inside + spread, 2.0**-width)


def critical_gain(width: int, activation: str = "tanh") -> float:
    r"""Return the gain at which signals neither grow nor shrink: the drift of the log-norm is zero.

    Linear and tanh: :math:`A_c(N) = \sqrt{N / 2}\, e^{-\psi(N / 2) / 2}`, just above 1. ReLU:
    :math:`\sqrt 2\, e^{-\lambda_N(\sqrt 2)}`, just above He's :math:`\sqrt 2`. Exact.

    Parameters
    ----------
    width : int
        Width N of the layers.
    activation : {"tanh", "linear", "relu"}, default="tanh"
        Function after the weights.

    Returns
    -------
    float
        The gain A_c; weights then have the standard deviation A_c / sqrt(N).

    Raises
    ------
    ValueError
        If width is not positive, or the activation is none of these.

    Examples
    --------
    >>> round(critical_gain(10), 6), round(critical_gain(10, "relu"), 6)
    (1.053018, 1.649223)
    """
    return math.exp(-log_norm_walk(width, 1.0, activation).drift)


def death_probability(width: int, depth: int) -> float:
    """Return the probability that a bias-free ReLU network maps a given input to zero.

    1 - (1 - 2^-N)^t: in every layer all N units are off with probability 2^-N. Exact for every
    law of the weights that is symmetric and has no atom at zero.

    Parameters
    ----------
    width : int
        Width N of the layers.
    depth : int
        Number of layers t.

    Returns
    -------
    float
        The probability.

    Raises
    ------
    ValueError
        If a number is not a positive integer.

    Examples
    --------
    >>> death_probability(1, 3)
    0.875
    """
    check_positive(width, "width", integer=True)
    check_positive(depth, "depth", integer=True)
    return -math.expm1(depth * math.log1p(-(2.0**-width)))


def expected_length_factor(width: int, gain: float = math.sqrt(2.0)) -> float:
    r"""Return by what factor a ReLU layer changes the length of a curve, on average.

    :math:`f_N = (A / \sqrt N)\, E \sqrt{\chi^2_K}`, :math:`K \sim \mathrm{Bin}(N, \frac12)`; a tangent
    vector has the same law as a signal. At He's gain it is about 1 - 5 / (8 N): lengths shrink
    slightly. Exact.

    Parameters
    ----------
    width : int
        Width N of the layers.
    gain : float, default=sqrt(2)
        Gain A.

    Returns
    -------
    float
        The factor of one layer; L layers have its L-th power.

    Raises
    ------
    ValueError
        If width or gain is not positive.

    Examples
    --------
    >>> round(expected_length_factor(10), 6)
    0.935637
    """
    from scipy.special import gammaln

    check_positive(width, "width", integer=True)
    check_positive(gain, "gain")
    counts, probability = _alive_units(width)
    roots = math.sqrt(2.0) * np.exp(gammaln((counts + 1.0) / 2.0) - gammaln(counts / 2.0))
    return float(gain / math.sqrt(width) * (probability @ roots) * (1.0 - 2.0**-width))


def _alive_units(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers 1..N of active units and their probabilities, given at least one."""
    from scipy.stats import binom

    counts = np.arange(1, width + 1)
    return counts, binom.pmf(counts, width, 0.5) / (1.0 - 2.0**-width)
