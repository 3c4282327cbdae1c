"""Judge a sampled solve on draws it never used, and decide whether it has converged.

A quick look costs about one draw per target; only where it does not exclude the tolerance are
the draws doubled until the error is known to a quarter of the tolerance. Before the plan is
fulfilled a share of the fitted draws gives a point of the curve; where that is below the tolerance,
other draws decide.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sampling import Sampler
from ot_latent.transport.solution import SemiDiscreteSolution, Status
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.survey import CellSurvey

SURVEY_PER_TARGET = 16  # draws per target behind a last verdict with centroids and within-scale
EARLY, FEW_BLOCKS = 4, 8  # draws of an early verdict: a share of those fitted, at least some blocks
LEAST_BLOCKS = 24  # of crossed draws, behind a jackknife
STALL_VERDICTS, STALL_RATIO = 3, 0.97  # so many verdicts in a row not 3 % below the best
SYSTEMATIC, LEAST_MISSING = 0.65, 1 / 32  # of what lacks to the plan; of the planned draws
KNOWN = 1 / 3  # of an error above the tolerance, which its interval must not exceed
EMPTY_EXPECTATION = 50.0  # an empty cell that expects so many draws is no accident


def judge(
    state: StochasticNewtonState,
    sampler: Sampler,
    tolerance: float,
    *,
    planned: int,
    exhausted: Status | None,
) -> StochasticNewtonState:
    """Measure the averaged heights on fresh draws, and set the status or the next goal.

    Parameters
    ----------
    state : StochasticNewtonState
        Its average is judged.
    sampler : Sampler
        Source, targets, and how draws are made.
    tolerance : float
        Wanted rms cell error.
    planned : int
        Fitting draws of the first verdict that counts; goals grow by factors up to it, then
        by what the error says is missing.
    exhausted : Status or None
        The budget that is spent; this verdict is then the last.

    Returns
    -------
    StochasticNewtonState
        With the verdict recorded.
    """
    target = sampler.target
    early = exhausted is None and state.goal < planned and not state.warm
    if early:  # a point of the curve, on too few draws to be the last
        draws = sampler.whole(max(state.samples // EARLY, FEW_BLOCKS * sampler.rows**2))
        survey = _survey(state, sampler, state.evaluated, draws)
        error, (_, high) = survey.mass_error(target.weights)
        early = error > tolerance or high > 2 * tolerance
        if not early:  # it may be there already: other draws decide
            state = replace(state, evaluated=state.evaluated + draws)
    if not early:
        survey = _certain_survey(state, sampler, tolerance, final=exhausted is not None)
    error, (low, high) = survey.mass_error(target.weights)
    if not early and error <= tolerance and high - low <= tolerance / 2:
        return replace(_recorded(state, survey, target, error, planned), status=Status.CONVERGED)
    after = _recorded(state, survey, target, error, planned)
    if exhausted is not None:
        status = Status.EMPTY_CELL if _starved(survey, target) else exhausted
        return replace(after, status=status)
    if after.stalls >= STALL_VERDICTS:
        return replace(after, status=Status.STALLED)
    if state.warm and bool((state.age == state.age[0]).all()):  # else young targets lack the most
        # steps mend what is systematic in given heights sooner than chance
        missing = planned * max(LEAST_MISSING, SYSTEMATIC * (1 - (tolerance / error) ** 2))
        return replace(after, goal=state.samples + math.ceil(missing))
    if state.goal < planned:
        farther = 2 if state.warm else EARLY  # given heights may be good soon
        return replace(after, goal=min(farther * state.goal, planned))
    needed = 1.1 * (error / tolerance) ** 2  # the error falls like 1 / sqrt(draws)
    return replace(after, goal=math.ceil(state.goal * min(2.0, max(1.1, needed))))


def measured_solution(
    state: StochasticNewtonState, sampler: Sampler, tolerance: float
) -> SemiDiscreteSolution:
    """Assemble what the last verdict measured; after a resumption its draws are repeated.

    Parameters
    ----------
    state : StochasticNewtonState
        A state whose status is set.
    sampler : Sampler
        Source, targets, and how draws are made.
    tolerance : float
        Wanted rms cell error.

    Returns
    -------
    SemiDiscreteSolution
        Potential, error with interval, centroids, cost, curves.
    """
    source, target = sampler.source, sampler.target
    draws = state.last_evaluation or sampler.whole(SURVEY_PER_TARGET * len(target))
    start = state.evaluated - state.last_evaluation
    survey = state.survey or _survey(state, sampler, start, draws)
    error, interval = survey.mass_error(target.weights)
    cost, cost_interval = survey.cost()
    potential = averaged_potential(state, target)
    return SemiDiscreteSolution(
        potential=potential,
        status=state.status or Status.INTERRUPTED,
        solver="StochasticNewton",
        tolerance=tolerance,
        mass_error=error,
        mass_error_interval=interval,
        error_norm="rms",
        mass_residual=survey.masses() - target.weights,
        samples=state.samples,
        effective_samples=state.samples / max(survey.inflation(target.weights), 1.0),
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
    return BrenierPotential(target.points, _averaged_heights(state, target))


def _averaged_heights(state: StochasticNewtonState, target: DiscreteMeasure) -> Tensor:
    """Return the averaged heights, of mean zero, in the targets' dtype: what is judged and kept."""
    return (state.average - state.average.mean()).to(target.points.dtype)


def _survey(state: StochasticNewtonState, sampler: Sampler, start: int, draws: int) -> CellSurvey:
    """Survey the averaged heights by draws of the evaluation stream, from the start-th on."""
    heights = _averaged_heights(state, sampler.target)
    return sampler.survey(heights, start // sampler.rows, draws)


def _certain_survey(
    state: StochasticNewtonState, sampler: Sampler, tolerance: float, *, final: bool
) -> CellSurvey:
    """Double the draws until they exclude the tolerance or tell the error to a quarter of it."""
    n, weights = len(sampler.target), sampler.target.weights
    least = LEAST_BLOCKS * sampler.rows**2 if sampler.rows > 1 else 0
    draws = sampler.whole(max(n + 100 * math.isqrt(n), least))
    survey = _survey(state, sampler, state.evaluated, draws)
    # near rms = 0 and near rms = tolerance / 2 the interval is at its widest; there the jackknife
    # over blocks overstates the variance up to twice
    v = state.inflation * (math.sqrt(2) if sampler.rows > 1 else 1.0)
    wanted = v * (64 * math.sqrt(n) + 1000) / tolerance**2
    behind = n if survey.sums is None else SURVEY_PER_TARGET * n  # none asks for more than masses
    enough = max(behind, math.ceil(wanted))
    while survey.draws < enough:
        low, high = survey.mass_error(weights)[1]
        # an interval below zero, clipped to nothing, is an accident and not certainty
        # the error tells what is missing: before the last verdict no accident of few draws may
        excluded = low > tolerance and (final or high - low <= KNOWN * low)
        certain = 0 < high <= low + tolerance / 2
        if excluded and not final:
            break
        if (excluded or certain) and survey.draws >= behind:
            break
        start, rest = state.evaluated + survey.draws, max(survey.draws, behind - survey.draws)
        rest = min(rest, enough - survey.draws)
        survey = survey.merged(_survey(state, sampler, start, sampler.whole(rest)))
    return survey


def _recorded(
    state: StochasticNewtonState,
    survey: CellSurvey,
    target: DiscreteMeasure,
    error: float,
    planned: int,
) -> StochasticNewtonState:
    """Append a verdict to the curves; verdicts before the plan do not count as stalls."""
    counted = zip(state.verdict_samples, state.verdict_rms, strict=True)
    best = min((rms for samples, rms in counted if samples >= planned), default=math.inf)
    stalled = state.goal >= planned and error > STALL_RATIO * best
    return replace(
        state,
        evaluated=state.evaluated + survey.draws,
        last_evaluation=survey.draws,
        survey=survey,
        inflation=max(survey.inflation(target.weights), 1.0),
        stalls=state.stalls + 1 if stalled else 0,
        verdict_samples=(*state.verdict_samples, float(state.samples)),
        verdict_rms=(*state.verdict_rms, error),
    )


def _starved(survey: CellSurvey, target: DiscreteMeasure) -> bool:
    """Whether a cell stayed empty that expected many draws."""
    expected = survey.draws * target.weights
    return bool(((survey.counts == 0) & (expected > EMPTY_EXPECTATION)).any())
