"""Heights that somebody gives to start from: checked, and taken for the draws that they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ot_latent._validation import as_float_tensor
from ot_latent.transport.diagonal_step import head_start
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
    """Give heights of measured error the age and the weight of the draws that they stand for.

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
        With ages and weights, see `diagonal_step.head_start`.
    """
    error = max(state.verdict_rms[-1], tolerance / 4)
    age, weight = head_start(error**2, state.inflation * (n - 1), batch)
    ages = torch.full_like(state.age, age)
    return replace(state, age=ages, average_weight=torch.full_like(ages, weight))
