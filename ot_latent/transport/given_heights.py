"""Heights that somebody gives to start from: checked, and taken for the draws that they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ot_latent._validation import as_float_tensor
from ot_latent.transport.diagonal_step import AVERAGE_EXPONENT
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.stochastic_state import StochasticNewtonState


def given_heights(given: Any, target: DiscreteMeasure) -> Tensor:
    """Return given heights where the targets are.

    Parameters
    ----------
    given : array-like of shape (N,)
        Heights.
    target : DiscreteMeasure
        The targets.

    Returns
    -------
    Tensor of shape (N,), float64
        Heights.

    Raises
    ------
    ValueError
        If there is not one finite number per target.
    """
    heights = as_float_tensor(given, "initial_heights", ndim=1)
    if len(heights) != len(target):
        raise ValueError(
            f"initial_heights must have {len(target)} entries, one per distinct target, got "
            f"{len(heights)}; drop them or match the targets."
        )
    return heights.to(target.points.device, torch.float64)


def worth_of_start(
    state: StochasticNewtonState, n: int, tolerance: float, batch: Callable[[int], int]
) -> StochasticNewtonState:
    r"""Give heights of measured error the age and the weight of the draws that they stand for.

    With T independent draws no method passes the error :math:`\sqrt{(N-1)/T}`, so heights of error
    e are taken for the average after :math:`T_0 = (N-1)\,v/e^2` draws: steps are as small as they
    would be by then, and :math:`T_0` draws weigh as much in the average as any others. An average
    of two independent errors is best with these weights (theorem); that the error of given heights
    is like that of draws is a heuristic, and the verdict does not rest on it.

    Parameters
    ----------
    state : StochasticNewtonState
        State after the verdict on its start.
    n : int
        Number of targets.
    tolerance : float
        Wanted error; the one that was measured counts for a quarter of it at least.
    batch : callable
        Draws of a step after so many draws.

    Returns
    -------
    StochasticNewtonState
        With ages and weights.
    """
    error = max(state.verdict_rms[-1], tolerance / 4)
    worth, drawn, steps, weight = state.inflation * (n - 1) / error**2, 0, 0, 0.0
    while drawn + batch(drawn) <= worth:
        steps, drawn = steps + 1, drawn + batch(drawn)
        weight += batch(drawn) * (steps + 1) ** AVERAGE_EXPONENT
    age = torch.full_like(state.age, float(steps))
    return replace(state, age=age, average_weight=torch.full_like(age, weight))
