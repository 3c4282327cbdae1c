"""One diagonal Newton step of the sampled solver: from counts to new heights and their average."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ot_latent.transport.sampling import Sampler, Tally
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.tiles import coarse_inverse, coarse_shift, tile_sums, tiles_of

STEP_EXPONENT = 0.4  # a_t = t^-0.4; with 0.6 slow modes of 60,000 real codes lag (efficiency 1.6)
AVERAGE_EXPONENT = 0.5  # weight (t + 1)^0.5 of the heights of step t in the average
CLIP = 12.0  # largest relative error that moves a height; trust region of far starts
LEAST_COUNT = 0.25  # draws expected of a cell per batch; under it its mass does not scale its step
FORGET = 0.02  # per step, of the close draws behind a cell's own scale
LEAST_SCALE = 0.7  # of a cell, relative to the common one: an empty cell has no close draws
PRIOR = 5.0  # close draws that the common scale counts for
GAP_SHARE = 0.1  # share of draws whose gap to the second-best score reads off the Hessian
MOST_AGE = 10_000.0  # of a start
LOOKS = (0, 4, 16)  # draws per target after which facets between tiles are looked at
LEAST_TARGETS = 1500  # fewer are balanced by many steps sooner than looked at
MOST_FACETS, FACETS = 4096, 1 / 8  # draws near to one that are asked for both cells; of the targets


def head_start(square: float, limit: float, batch: Callable[[int], int]) -> tuple[float, float]:
    r"""Return the age of starting heights and their weight in the average.

    With T draws no method passes the squared error :math:`v (N-1)/T`, so heights of squared error
    :math:`r^2` are taken for the average after the :math:`v (N-1)/r^2` draws that would have brought
    them there: steps are as small as they would be by then, and these draws weigh as much in the
    average as any others. An average of two independent errors is best with these weights
    (theorem); that the error of a start is like that of draws is a heuristic, and the verdict does
    not rest on it.

    Parameters
    ----------
    square : float
        Squared rms cell error of the heights.
    limit : float
        :math:`v (N-1)`, the squared error that one draw stands for.
    batch : callable
        Draws of a step after so many draws.

    Returns
    -------
    age : float
        Steps that the heights count for.
    weight : float
        Sum of the weights of those steps.

    Examples
    --------
    >>> age, weight = head_start(0.25, 1000.0, lambda drawn: 1000)
    >>> age, round(weight)
    (4.0, 7382)
    """
    left, drawn, age, weight = limit / square if square > 0 else math.inf, 0, 0.0, 0.0
    while left > 0 and age < MOST_AGE:
        n = batch(drawn)
        share = min(1.0, left / n)
        left, drawn, age = left - n, drawn + n, age + share
        weight += share * n * (age + 1) ** AVERAGE_EXPONENT
    return age, weight


def newton_step(
    state: StochasticNewtonState, weights: Tensor, tally: Tally, n: int, *, least_width: float
) -> StochasticNewtonState:
    """Move the heights by what n draws said of them.

    Parameters
    ----------
    state : StochasticNewtonState
        Heights, average and scales so far.
    weights : Tensor of shape (N,), float64
        Masses of the targets.
    tally : Tally
        What the draws counted, at the heights and the gap width of the state.
    n : int
        Number of draws.
    least_width : float
        Under which the gap width must not fall: rounding errors of scores.

    Returns
    -------
    StochasticNewtonState
        One step later.
    """
    t = state.step + 1
    share, trace = int(tally.close.sum()) / (2 * n), state.trace
    if share:
        trace += (share / state.gap_width - trace) * max(0.1, 1 / t)
    keep = 1 - max(FORGET, 1 / t)
    close = (state.close * keep).add_(tally.close)
    expected = state.expected_close * keep + 2 * n * state.gap_width * trace
    relative = (close + PRIOR).div_((expected * weights).add_(PRIOR)).clamp_min_(LEAST_SCALE)
    masses = tally.counts.double().div_(n)
    error = (masses - weights).div_(weights.clamp_min(LEAST_COUNT / n)).clamp_(-CLIP, CLIP)
    age = state.age + t  # of each height; older ones move less and weigh more
    move = error.div_(relative)
    if state.tiles is not None and state.tile_inverse is not None:
        scales = relative.mul_(weights.clamp_min(LEAST_COUNT / n))
        move = move - coarse_shift(state.tile_inverse, state.tiles, weights, masses, scales, n)
    heights = state.heights - (age**-STEP_EXPONENT).div_(trace).mul_(move)
    heights.sub_(heights.mean())
    weight = (age + 1) ** AVERAGE_EXPONENT * n
    total = state.average_weight + weight
    return replace(
        state,
        step=t,
        heights=heights,
        average=(heights - state.average).mul_(weight / total).add_(state.average),
        close=close,
        expected_close=expected,
        survey=None,  # it spoke of the former average
        average_weight=total,
        samples=state.samples + n,
        row=state.row + n // state.rows,
        gap_width=max(_next_width(state.gap_width, share), least_width),
        trace=trace,
        batch_samples=(*state.batch_samples, float(state.samples + n)),
        batch_rms=(*state.batch_rms, math.sqrt(max(0.0, tally.square))),
    )


def look_at_tiles(state: StochasticNewtonState, sampler: Sampler) -> StochasticNewtonState:
    """Look at the facets between tiles of targets, up to three times in a solve of many targets.

    By then the tiles of a fresh solve have about their masses, which they had not in the steps that
    are averaged already: of these, the fine differences inside tiles are kept, and every tile takes
    the mean that it has now. One number per tile is known well from the steps to come.

    Parameters
    ----------
    state : StochasticNewtonState
        State before a step.
    sampler : Sampler
        Makes the draws: those that the next steps count.

    Returns
    -------
    StochasticNewtonState
        The same state where no look is due.
    """
    target = sampler.target
    due = state.looks < len(LOOKS) and state.samples >= LOOKS[state.looks] * len(target)
    if len(target) < LEAST_TARGETS or not due:
        return state
    tiles = tiles_of(target) if state.tiles is None else state.tiles
    most = min(MOST_FACETS, int(FACETS * len(target)))
    draws = sampler.whole(most / GAP_SHARE)
    pairs = sampler.facets(state.heights, state.row, draws, state.gap_width, most)
    average = state.average
    if state.looks and not state.warm:
        count = tiles.bincount().cpu()
        moved = tile_sums(state.heights - average, tiles) / count
        average = average + moved.to(average.device)[tiles]
    return replace(
        state,
        tiles=tiles,
        tile_inverse=coarse_inverse(pairs, tiles, target.weights),
        looks=state.looks + 1,
        average=average,
    )


def _next_width(width: float, share: float) -> float:
    """Move the width towards the wanted share of gaps."""
    return width * min(2.0, max(0.5, math.sqrt(GAP_SHARE / max(share, 1e-3))))
