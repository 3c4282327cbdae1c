r"""How deep a plain network may start: before precision or chance takes its signals away.

A heuristic made of two laws of the log-norm walk, whose step has drift :math:`-\gamma` and variance
:math:`\sigma^2`. What an input contributes to the change that training makes goes forth and back
through the same weights and shrinks like :math:`e^{-2 \gamma t}`: below the precision nothing of
it is left (the cut-off), and some bits of it must be. And its logarithm has the variance
:math:`4 \sigma^2 t`: beyond log 2 its standard deviation exceeds its mean, and networks of one law
differ by factors (depth over width, Hanin and Nica).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ot_latent._validation import check_positive
from ot_latent.theory.depth.gains import ACTIVATIONS, Walk, critical_gain, log_norm_walk
from ot_latent.theory.depth.mean_field import chi, length_gain, wide_walk
from ot_latent.theory.depth.transition import PredictedCutoff, first_passage

GAINS = {"pytorch": 1.0 / math.sqrt(3.0), "xavier": 1.0, "he": math.sqrt(2.0)}
SURVIVAL = 0.95
RESOLUTION = 256.0
"""How many times the precision what is left of an input must be: eight bits of it."""


@dataclass(frozen=True)
class DepthSuggestion:
    """A depth, and the two limits that it stays below."""

    depth: int
    """Number of hidden layers, at least 1."""
    gain: float
    """Gain A of the initialisation: weights have the standard deviation A / sqrt(N)."""
    walk: Walk
    """Steps of the log-norm: drift, variance, death."""
    cutoff: PredictedCutoff | None
    """Where the round trip of a signal meets the precision; None at the critical gain."""
    fluctuation: float
    """Depth at which a round trip's standard deviation is its mean: log 2 / (4 sigma^2)."""


def suggest_depth(
    initialisation: str | float,
    width: int,
    precision: torch.dtype | float = torch.float32,
    activation: str = "tanh",
    *,
    norms: bool = False,
) -> DepthSuggestion:
    r"""Suggest how many hidden layers a plain network of one width can be given.

    The smaller of (1) the depth t after which a signal's round trip, a normal walk of mean
    :math:`-2 \gamma t` and variance :math:`4 \sigma^2 t`, lies above :math:`\log 256 \epsilon` (eight
    bits are left then) with probability 0.95, and (2) :math:`\log 2 / 4 \sigma^2`:
    about 0.35 N for tanh, 0.14 N for ReLU. Above the critical gain :math:`\gamma` is the rate at which signals (ReLU) or differences
    (tanh, :math:`\frac12 \log \chi`) explode. A heuristic about the start of training: norms, skip
    connections or long training reach further.

    Parameters
    ----------
    initialisation : {"pytorch", "xavier", "he", "critical"} or float
        Law of the weights, or its gain A: 1 / sqrt(3), 1, sqrt(2), `critical_gain`, A.
    width : int
        Width N of the hidden layers.
    precision : torch.dtype or float, default=torch.float32
        Relative precision epsilon: that of a floating-point type, or a number below 1.
    activation : {"tanh", "linear", "relu", "silu", "gelu"}, default="tanh"
        Function after the weights. For the last two gains and walk are those of wide layers at
        unit length, "critical" is `length_gain`.
    norms : bool, default=False
        Whether norms hold the lengths of signals, so that only chance remains.

    Returns
    -------
    DepthSuggestion
        Depth and what limits it.

    Raises
    ------
    ValueError
        If the initialisation is unknown, or a number is out of range.

    Examples
    --------
    >>> suggest_depth("pytorch", 64).depth, suggest_depth("critical", 64).depth
    (8, 21)
    >>> suggest_depth("pytorch", 64, torch.bfloat16).depth
    1
    """
    gain = _gain(initialisation, width, activation)
    closed = activation in ACTIVATIONS
    walk = (log_norm_walk if closed else wide_walk)(width, gain, activation)
    fluctuation = math.log(2.0) / (4.0 * walk.variance)
    rate = 0.0 if norms else _rate(walk, gain, activation)
    if rate < 1e-9:
        return DepthSuggestion(max(1, int(fluctuation)), gain, walk, None, fluctuation)
    epsilon, steps = _epsilon(precision), (-2.0 * rate, 4.0 * walk.variance)
    found = first_passage(*steps, -math.log(epsilon), death=walk.death)
    depth = _kept(*steps, max(0.0, -math.log(RESOLUTION * epsilon)))
    return DepthSuggestion(max(1, int(min(depth, fluctuation))), gain, walk, found, fluctuation)


def _kept(drift: float, variance: float, distance: float) -> float:
    """Return the depth t at which N(drift t, variance t) is above -distance with probability 0.95.

    The root of a quadratic in sqrt(t), finite where the drift vanishes; the normal law of the
    passage time, right for a drift that is large against the fluctuation, is not.
    """
    from scipy.special import ndtri

    spread = float(ndtri(SURVIVAL)) * math.sqrt(variance)
    root = 2.0 * distance / (spread + math.sqrt(spread**2 - 4.0 * drift * distance))
    return root**2


def _gain(initialisation: str | float, width: int, activation: str) -> float:
    if initialisation == "critical":
        closed = activation in ACTIVATIONS
        return critical_gain(width, activation) if closed else length_gain(activation)
    if isinstance(initialisation, str):
        if initialisation not in GAINS:
            raise ValueError(
                f"initialisation must be one of {', '.join(GAINS)}, critical or a gain, got "
                f"{initialisation!r}; try 'critical'."
            )
        return GAINS[initialisation]
    check_positive(initialisation, "initialisation")
    return float(initialisation)


def _rate(walk: Walk, gain: float, activation: str) -> float:
    """Return how fast the logarithm of a signal leaves its start."""
    if walk.drift <= 0.0 or activation != "tanh":
        return abs(walk.drift)
    return max(0.0, 0.5 * math.log(chi("tanh", gain)))


def _epsilon(precision: torch.dtype | float) -> float:
    if isinstance(precision, torch.dtype):
        if not precision.is_floating_point:
            raise ValueError(
                f"precision must be a floating-point type, got {precision}; try torch.float32."
            )
        return torch.finfo(precision).eps
    check_positive(precision, "precision")
    if precision >= 1.0:
        raise ValueError(f"precision must be below 1, got {precision}; try 1e-7.")
    return float(precision)
