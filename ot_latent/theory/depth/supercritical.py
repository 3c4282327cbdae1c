r"""Wide tanh networks above the critical gain: how they forget lengths, and their law near zero.

Layers :math:`x \mapsto \tanh(Wx)` with weights :math:`N(0, A^2 / N)` and no bias, in exact
arithmetic (Avelin 2026). Limits of large width but for `power_law_exponent`; exact up to quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ot_latent._validation import check_positive
from ot_latent.theory.depth.activations import function, slope
from ot_latent.theory.depth.gains import critical_gain
from ot_latent.theory.depth.mean_field import fixed_length, gaussian_mean, length_map


class Relaxation(NamedTuple):
    """How lengths of a supercritical network approach their fixed point.

    Attributes
    ----------
    fixed_point : float
        Mean square q* of the signals.
    rate : float
        Factor mu per layer: the slope of the length map at q*.
    amplitude : float
        C(q0) in V^t(q0) - q* = C mu^t + ...
    """

    fixed_point: float
    rate: float
    amplitude: float


def relaxation(gain: float, q0: float = 1.0) -> Relaxation:
    r"""Return how a wide tanh network with gain above one forgets the length of its input.

    :math:`V_A(q) = E \tanh^2(A \sqrt q\, G)`, lengths being mean squares of signals after tanh.

    Parameters
    ----------
    gain : float
        Gain A above 1.
    q0 : float, default=1.0
        Mean square of the input.

    Returns
    -------
    Relaxation
        Fixed point, rate, amplitude.

    Raises
    ------
    ValueError
        If the gain is not above 1, or q0 not positive.

    Examples
    --------
    >>> [round(value, 4) for value in relaxation(1.5)]
    [0.3526, 0.5047, 0.2552]
    """
    check_positive(q0, "q0")
    if not gain > 1.0:
        raise ValueError(f"gain must be above 1, got {gain}; below it all lengths tend to zero.")
    step = _squashed(gain)
    fixed = fixed_length("tanh", gain, q0=gain**2) / gain**2
    f, df = function("tanh"), slope("tanh")
    scale = gain * math.sqrt(fixed)
    rate = (
        gaussian_mean(lambda z: f(scale * z) * df(scale * z) * z, "tanh") * gain / math.sqrt(fixed)
    )
    q, amplitude, power = q0, q0 - fixed, 1.0
    while abs(q - fixed) > 1e-7:  # the remainder is of second order
        q, power = step(q), power * rate
        amplitude = (q - fixed) / power
    return Relaxation(fixed, rate, amplitude)


def supercritical_depth(width: int, gain: float, q0: float = 1.0) -> float:
    r"""Return the depth at which a wide tanh network with gain above one forgets its input's length.

    :math:`t_N = (\frac12 \log N + \log \lvert C(q_0) \rvert) / \lvert \log \mu \rvert`, a cut-off to
    the invariant law with a window of O(1) layers (theorem as N grows, no rounding).

    Parameters
    ----------
    width : int
        Width N.
    gain : float
        Gain A above 1.
    q0 : float, default=1.0
        Mean square of the input.

    Returns
    -------
    float
        The depth.

    Raises
    ------
    ValueError
        If the gain is not above 1, or a number is not positive.

    Examples
    --------
    >>> round(supercritical_depth(1000, 1.5), 3)
    3.054
    """
    check_positive(width, "width", integer=True)
    _, rate, amplitude = relaxation(gain, q0)
    return (0.5 * math.log(width) + math.log(abs(amplitude))) / -math.log(rate)


def power_law_exponent(width: int, gain: float) -> float:
    r"""Return the exponent of the invariant law near zero above the critical gain.

    :math:`\pi(0 < \lVert x \rVert \le s) \sim c\, s^\beta` with :math:`\beta \in (0, N)` the root of
    :math:`E (A \chi_N / \sqrt N)^{-\beta} = 1`.

    Parameters
    ----------
    width : int
        Width N.
    gain : float
        Gain A above `critical_gain`.

    Returns
    -------
    float
        The exponent beta.

    Raises
    ------
    ValueError
        If the gain is not above the critical one.

    Examples
    --------
    >>> round(power_law_exponent(1, 2.5), 6)
    0.357005
    """
    from scipy.optimize import brentq
    from scipy.special import gammaln

    if not gain > critical_gain(width):
        raise ValueError(
            f"gain must be above the critical {critical_gain(width):.6f}, got {gain}; below it all "
            "mass sits at zero."
        )

    def logarithm(beta: float) -> float:
        moment = gammaln((width - beta) / 2.0) - gammaln(width / 2.0)
        return beta * (0.5 * math.log(width / 2.0) - math.log(gain)) + float(moment)

    return float(brentq(logarithm, 1e-9 * width, width * (1.0 - 1e-12), xtol=1e-13))


def _squashed(gain: float) -> Callable[[float], float]:
    """Return V_A, the map of mean squares after tanh."""
    return lambda q: length_map(gain**2 * q, "tanh", gain) / gain**2
