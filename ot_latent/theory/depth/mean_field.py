r"""Infinitely wide networks: maps of length and correlation, order and chaos, scales of depth.

Layers :math:`x \mapsto \varphi(Wx + b)` with weights :math:`N(0, \sigma_w^2 / N)` and biases
:math:`N(0, \sigma_b^2)`; lengths are mean squares of pre-activations. Exact for infinite width, up to
Gauss-Hermite quadrature with 200 nodes; at finite width an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import check_positive
from ot_latent.theory.depth.activations import HOMOGENEOUS, function, slope
from ot_latent.theory.depth.gains import Walk

NODES = 200
STEPS = 20_000  # of a map towards its fixed point


def length_map(q: float, activation: str, gain: float, bias: float = 0.0) -> float:
    r"""Return the mean square of the next layer's pre-activations.

    :math:`q' = \sigma_w^2\, E\, \varphi(\sqrt q\, z)^2 + \sigma_b^2`.

    Parameters
    ----------
    q : float
        Mean square of this layer's pre-activations.
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    bias : float, default=0.0
        Standard deviation of the biases.

    Returns
    -------
    float
        The next mean square.

    Raises
    ------
    ValueError
        If q or bias is negative, the gain not positive, or the activation unknown.

    Examples
    --------
    >>> round(length_map(3.0, "relu", math.sqrt(2)), 12)
    3.0
    """
    _check(q, gain, bias)
    f = function(activation)
    return gain**2 * gaussian_mean(lambda z: f(math.sqrt(q) * z).square(), activation) + bias**2


def fixed_length(activation: str, gain: float, bias: float = 0.0, q0: float = 1.0) -> float:
    """Return the length that the length map leads to.

    Parameters
    ----------
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    bias : float, default=0.0
        Standard deviation of the biases.
    q0 : float, default=1.0
        Where to start.

    Returns
    -------
    float
        The fixed point; 0 where lengths die, infinite where they explode.

    Raises
    ------
    ValueError
        If a number is out of range, or the activation unknown.

    Examples
    --------
    >>> round(fixed_length("tanh", 1.5), 6), fixed_length("tanh", 0.9)
    (0.793354, 0.0)
    """
    if activation in HOMOGENEOUS:  # the map is affine
        rate = length_map(1.0, activation, gain)
        if math.isclose(rate, 1.0, rel_tol=1e-12):
            return q0 if bias == 0.0 else math.inf
        return bias**2 / (1.0 - rate) if rate < 1.0 else math.inf
    if activation == "tanh" and gain <= 1.0 and bias == 0.0:
        return 0.0  # at the edge like 1 / depth, slower than iterations can tell
    q = q0
    for _ in range(STEPS):
        following = length_map(q, activation, gain, bias)
        if not 1e-12 < following < 1e12:
            return 0.0 if following < 1.0 else math.inf
        if abs(following - q) <= 1e-15 * q:
            break
        q = following
    return q


def correlation_map(
    c: float, activation: str, gain: float, bias: float = 0.0, q: float = 1.0
) -> float:
    r"""Return the correlation of two signals after one more layer.

    :math:`c' = (\sigma_w^2\, E\, \varphi(u) \varphi(v) + \sigma_b^2) / q'` for jointly normal u, v of
    mean square q and correlation c. ReLU in closed form:
    :math:`E\,\varphi(u)\varphi(v) = q (\sqrt{1 - c^2} + c (\pi - \arccos c)) / 2 \pi`.

    Parameters
    ----------
    c : float
        Correlation in [-1, 1].
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    bias : float, default=0.0
        Standard deviation of the biases.
    q : float, default=1.0
        Mean square of both signals' pre-activations.

    Returns
    -------
    float
        The next correlation.

    Raises
    ------
    ValueError
        If a number is out of range, or the activation unknown.

    Examples
    --------
    >>> round(correlation_map(0.0, "relu", math.sqrt(2)), 6)  # 1 / pi
    0.31831
    """
    _check(q, gain, bias)
    if not -1.0 <= c <= 1.0:
        raise ValueError(f"c must be a correlation in [-1, 1], got {c}; pass a cosine.")
    if activation == "relu":
        product = q * (math.sqrt(1.0 - c * c) + c * (math.pi - math.acos(c))) / (2.0 * math.pi)
    else:
        f, (z, weight) = function(activation), _nodes()
        u = math.sqrt(q) * z[:, None]
        v = math.sqrt(q) * (c * z[:, None] + math.sqrt(1.0 - c * c) * z[None, :])
        product = float(weight @ (f(u) * f(v)) @ weight)
    total = gain**2 * product + bias**2
    return min(1.0, total / length_map(q, activation, gain, bias))


def chi(activation: str, gain: float, bias: float = 0.0, q: float | None = None) -> float:
    r"""Return by what factor the squared distance of nearby inputs grows per layer.

    :math:`\chi = \sigma_w^2\, E\, \varphi'(\sqrt{q^*} z)^2`: ordered phase below one, chaos above,
    the edge at one (ReLU: gain sqrt 2; tanh: gain 1, no bias).

    Parameters
    ----------
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    bias : float, default=0.0
        Standard deviation of the biases.
    q : float, optional
        Mean square of the pre-activations; by default their fixed point.

    Returns
    -------
    float
        The factor chi.

    Raises
    ------
    ValueError
        If a number is out of range, the activation unknown, or lengths explode.

    Examples
    --------
    >>> round(chi("tanh", 1.5), 6), round(chi("relu", math.sqrt(2)), 12)
    (1.139323, 1.0)
    """
    if q is None:
        q = 1.0 if activation in HOMOGENEOUS else fixed_length(activation, gain, bias)
    if not math.isfinite(q):
        raise ValueError(
            f"gain must keep lengths finite, got {gain} for {activation!r}; pass q or lower the gain."
        )
    _check(q, gain, bias)
    f = slope(activation)
    return gain**2 * gaussian_mean(lambda z: f(math.sqrt(q) * z).square(), activation)


def length_gain(activation: str, q: float = 1.0) -> float:
    r"""Return the gain that keeps the length of signals, at a given length.

    :math:`\sigma_w = (q / E\, \varphi(\sqrt q\, z)^2)^{1/2}`. He's gain sqrt 2 for ReLU, at every
    length; of smooth functions the length must be told, or held by norms.

    Parameters
    ----------
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    q : float, default=1.0
        Mean square of the pre-activations.

    Returns
    -------
    float
        Standard deviation of the weights times sqrt(N); exact for infinite width.

    Raises
    ------
    ValueError
        If q is not positive, or the activation unknown.

    Examples
    --------
    >>> round(length_gain("relu"), 6), round(length_gain("silu"), 4)
    (1.414214, 1.6765)
    """
    check_positive(q, "q")
    return math.sqrt(q / length_map(q, activation, 1.0))


def wide_walk(width: int, gain: float, activation: str, q: float = 1.0) -> Walk:
    r"""Return drift and variance of the log-norm per layer, for wide layers.

    Drift :math:`\frac12 \log(q' / q)` and variance
    :math:`(E \varphi^4 / (E \varphi^2)^2 - 1) / 4 N` at mean square q: an estimate to first order in
    1 / N of what `log_norm_walk` knows exactly for linear and ReLU layers.

    Parameters
    ----------
    width : int
        Width N of the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    q : float, default=1.0
        Mean square of the pre-activations.

    Returns
    -------
    Walk
        Drift, variance, and no deaths.

    Raises
    ------
    ValueError
        If a number is not positive, or the activation unknown.

    Examples
    --------
    >>> drift, variance, _ = wide_walk(100, math.sqrt(2), "relu")
    >>> round(abs(drift), 12), round(variance, 6)  # 5 / 4N
    (0.0, 0.0125)
    """
    check_positive(width, "width", integer=True)
    check_positive(q, "q")
    f, root = function(activation), math.sqrt(q)
    second = gaussian_mean(lambda z: f(root * z).square(), activation)
    fourth = gaussian_mean(lambda z: f(root * z).pow(4), activation, degree=4)
    drift = 0.5 * math.log(length_map(q, activation, gain) / q)
    return Walk(drift, (fourth / second**2 - 1.0) / (4.0 * width), 0.0)


def depth_scale(activation: str, gain: float, bias: float = 0.0) -> float:
    r"""Return over how many layers inputs become indistinguishable: the scale of order.

    :math:`\xi = -1 / \log \chi`: correlations approach 1 like :math:`e^{-l / \xi}` in the ordered
    phase. Infinite at the edge and in the chaotic phase, where they do not.

    Parameters
    ----------
    activation : {"tanh", "relu", "linear", "silu", "gelu"}
        Function between the layers.
    gain : float
        Standard deviation of the weights times sqrt(N).
    bias : float, default=0.0
        Standard deviation of the biases.

    Returns
    -------
    float
        Number of layers.

    Raises
    ------
    ValueError
        If a number is out of range, or the activation unknown.

    Examples
    --------
    >>> round(depth_scale("tanh", 1 / math.sqrt(3)), 6)  # PyTorch's default: 1 / log 3
    0.910239
    """
    rate = chi(activation, gain, bias)
    return -1.0 / math.log(rate) if rate < 1.0 - 1e-12 else math.inf


@cache
def _nodes() -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the standard normal law."""
    z, weight = np.polynomial.hermite_e.hermegauss(NODES)
    return torch.from_numpy(z), torch.from_numpy(weight / weight.sum())


def gaussian_mean(
    value: Callable[[Tensor], Tensor], activation: str, *, degree: int | None = None
) -> float:
    """Return E value(z) for a standard normal z; exact for the rectifier, whose kink no quadrature likes.

    Parameters
    ----------
    value : callable
        Function of a tensor of numbers.
    activation : str
        The activation that it is made of; with "relu" it must vanish for z < 0.
    degree : int, optional
        With "relu" its degree of homogeneity on z > 0; by default 0 or 2, whose moments agree.

    Returns
    -------
    float
        The mean.
    """
    if activation == "relu":
        moment = 3.0 if degree == 4 else 1.0  # of z^4; of z^2 and of 1
        return 0.5 * moment * float(value(torch.ones(1, dtype=torch.float64)))
    z, weight = _nodes()
    return float(weight @ value(z))


def _check(q: float, gain: float, bias: float) -> None:
    check_positive(gain, "gain")
    for name, value in (("q", q), ("bias", bias)):
        if not 0.0 <= value < math.inf:
            raise ValueError(
                f"{name} must be finite and not negative, got {value}; pass 0 or more."
            )
