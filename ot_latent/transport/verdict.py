"""Judge a sampled solve on draws it never used, and decide whether it has converged.

A quick look costs about one draw per target; only where it does not exclude the tolerance are
the draws doubled until the error is known to a quarter of the tolerance.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution, Status
from ot_latent.transport.sources import Source
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.survey import CellSurvey, survey_cells

SURVEY_PER_TARGET = 16  # draws per target behind a verdict, the centroids and the cost
STALL_VERDICTS, STALL_RATIO = 3, 0.97  # so many verdicts in a row not 3 % below the best
EMPTY_EXPECTATION = 50.0  # an empty cell that expects so many draws is no accident


class Terms(NamedTuple):
    """What a verdict needs to know of the solver."""

    tolerance: float
    """Wanted rms cell error."""
    seed: int
    """Seed of the evaluation's draws."""
    memory_budget: int | str | None
    """Bytes that a tile of scores may take."""


def judge(
    state: StochasticNewtonState,
    source: Source,
    target: DiscreteMeasure,
    terms: Terms,
    *,
    planned: int,
    exhausted: Status | None,
) -> StochasticNewtonState:
    """Measure the averaged heights on fresh draws, and set the status or the next goal.

    Parameters
    ----------
    state : StochasticNewtonState
        Its average is judged.
    source, target : Source, DiscreteMeasure
        The problem.
    terms : Terms
        Tolerance, seed and memory budget.
    planned : int
        Fitting draws of the first verdict that counts; goals double up to it, then grow
        by what the error says is missing.
    exhausted : Status or None
        The budget that is spent; this verdict is then the last.

    Returns
    -------
    StochasticNewtonState
        With the verdict recorded.
    """
    survey = _certain_survey(state, source, target, terms, final=exhausted is not None)
    error, (low, high) = survey.mass_error(target.weights)
    if error <= terms.tolerance and high - low <= terms.tolerance / 2:
        return replace(_recorded(state, survey, error, planned), status=Status.CONVERGED)
    after = _recorded(state, survey, error, planned)
    if exhausted is not None:
        status = Status.EMPTY_CELL if _starved(survey, target) else exhausted
        return replace(after, status=status)
    if after.stalls >= STALL_VERDICTS:
        return replace(after, status=Status.STALLED)
    if state.goal < planned:
        return replace(after, goal=min(2 * state.goal, planned))
    needed = 1.1 * (error / terms.tolerance) ** 2  # the error falls like 1 / sqrt(draws)
    return replace(after, goal=math.ceil(state.goal * min(2.0, max(1.1, needed))))


def measured_solution(
    state: StochasticNewtonState, source: Source, target: DiscreteMeasure, terms: Terms
) -> SemiDiscreteSolution:
    """Assemble what the last verdict measured; after a resumption its draws are repeated.

    Parameters
    ----------
    state : StochasticNewtonState
        A state whose status is set.
    source, target : Source, DiscreteMeasure
        The problem.
    terms : Terms
        Tolerance, seed and memory budget.

    Returns
    -------
    SemiDiscreteSolution
        Potential, error with interval, centroids, cost, curves.
    """
    draws = state.last_evaluation or SURVEY_PER_TARGET * len(target)
    start = state.evaluated - state.last_evaluation
    survey = state.survey or _survey(state, source, target, terms, start, draws)
    error, interval = survey.mass_error(target.weights)
    cost, cost_interval = survey.cost()
    potential = averaged_potential(state, target)
    return SemiDiscreteSolution(
        potential=potential,
        status=state.status or Status.INTERRUPTED,
        solver="StochasticNewton",
        tolerance=terms.tolerance,
        mass_error=error,
        mass_error_interval=interval,
        error_norm="rms",
        mass_residual=survey.masses() - target.weights,
        samples=state.samples,
        effective_samples=float(state.samples),
        evaluation_samples=state.evaluated or draws,
        steps=state.step,
        cost=cost,
        cost_interval=cost_interval,
        history=state.history(len(target)),
        state=replace(state, survey=None),
        centroids=survey.centroids(source.mean.to(potential.points).expand_as(potential.points)),
        within_scale=survey.within_scale(),
    )


def averaged_potential(state: StochasticNewtonState, target: DiscreteMeasure) -> BrenierPotential:
    """Return the potential of the averaged heights, gauge mean zero, in the targets' dtype.

    Parameters
    ----------
    state : StochasticNewtonState
        Holds the average.
    target : DiscreteMeasure
        Holds the points.

    Returns
    -------
    BrenierPotential
        The potential.
    """
    average = state.average - state.average.mean()
    return BrenierPotential(target.points, average.to(target.points.dtype))


def _survey(
    state: StochasticNewtonState,
    source: Source,
    target: DiscreteMeasure,
    terms: Terms,
    start: int,
    draws: int,
) -> CellSurvey:
    """Survey the averaged heights on rows of the evaluation stream."""
    potential = averaged_potential(state, target)
    budget = terms.memory_budget
    return survey_cells(
        potential, source, draws, seed=terms.seed, start=start, memory_budget=budget
    )


def _certain_survey(
    state: StochasticNewtonState,
    source: Source,
    target: DiscreteMeasure,
    terms: Terms,
    *,
    final: bool,
) -> CellSurvey:
    """Double the draws until they exclude the tolerance or tell the error to a quarter of it."""
    n = len(target)
    draws = n + 100 * math.isqrt(n)
    survey = _survey(state, source, target, terms, state.evaluated, draws)
    # near rms = 0 and near rms = tolerance / 2 the interval is at its widest
    enough = max(SURVEY_PER_TARGET * n, math.ceil((64 * math.sqrt(n) + 1000) / terms.tolerance**2))
    while survey.draws < enough:
        low, high = survey.mass_error(target.weights)[1]
        excluded, certain = low > terms.tolerance, high - low <= terms.tolerance / 2
        if excluded and not final:
            break
        if (excluded or certain) and survey.draws >= SURVEY_PER_TARGET * n:
            break
        start, rest = state.evaluated + survey.draws, min(survey.draws, enough - survey.draws)
        survey = survey.merged(_survey(state, source, target, terms, start, rest))
    return survey


def _recorded(
    state: StochasticNewtonState, survey: CellSurvey, error: float, planned: int
) -> StochasticNewtonState:
    """Append a verdict to the curves; verdicts before the plan do not count as stalls."""
    best = min(state.verdict_rms, default=math.inf)
    stalled = state.goal >= planned and error > STALL_RATIO * best
    return replace(
        state,
        evaluated=state.evaluated + survey.draws,
        last_evaluation=survey.draws,
        survey=survey,
        stalls=state.stalls + 1 if stalled else 0,
        verdict_samples=(*state.verdict_samples, float(state.samples)),
        verdict_rms=(*state.verdict_rms, error),
    )


def _starved(survey: CellSurvey, target: DiscreteMeasure) -> bool:
    """Whether a cell stayed empty that expected many draws."""
    expected = survey.draws * target.weights
    return bool(((survey.counts == 0) & (expected > EMPTY_EXPECTATION)).any())
