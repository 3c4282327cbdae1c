"""Which solver answers a sampler, to which tolerance, and what it tells on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ot_latent._validation import DataError
from ot_latent.transport.domains import half_spaces
from ot_latent.transport.newton import DampedNewton, DampedNewtonState
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution, SolverError, Status
from ot_latent.transport.stand_in import (
    TOLERANCE as STAND_IN_TOLERANCE,
    has_stand_in,
    stand_in_heights,
)
from ot_latent.transport.stochastic import StochasticNewton

if TYPE_CHECKING:
    from torch import Tensor

    from ot_latent.transport.measures import DiscreteMeasure
    from ot_latent.transport.sources import Source

Callback = Callable[[dict[str, Any]], bool | None]
SOLVERS = ("auto", "exact", "sampled", "pot")
TOLERANCES = {"exact": 1e-6, "sampled": 0.1, "pot": 0.1}  # each in the norm of its solver
EXACT_DIM = 3


def check_solver(name: str) -> None:
    """Refuse an unknown name of a solver.

    Parameters
    ----------
    name : str
        What was asked for.

    Raises
    ------
    ValueError
        If it is none of `SOLVERS`.
    """
    if name not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {name!r}; pass 'auto'.")


def chosen(name: str, source: Source) -> str:
    """Return the solver that a name stands for.

    Parameters
    ----------
    name : str
        One of `SOLVERS`.
    source : Source
        The noise.

    Returns
    -------
    str
        "exact", "sampled" or "pot"; "auto" is exact where the source allows it.

    Raises
    ------
    ValueError
        If the name is unknown, or the exact solver cannot serve this source.

    Examples
    --------
    >>> from ot_latent.transport import Gaussian, UniformBox
    >>> chosen("auto", UniformBox.centered(2)), chosen("auto", Gaussian.standard(2))
    ('exact', 'sampled')
    """
    check_solver(name)
    if name in ("sampled", "pot"):
        return name
    possible = source.dim <= EXACT_DIM and _has_facets(source)
    if name == "exact" and not possible:
        raise ValueError(
            f"solver 'exact' must have a box, a polytope or a grid of at most {EXACT_DIM} "
            f"dimensions as its source, got {type(source).__name__} of dimension {source.dim}; "
            "use solver='sampled'."
        )
    return "exact" if possible else "sampled"


def from_draws(name: str, source: Source) -> bool:
    """Return whether heights come from draws alone.

    Parameters
    ----------
    name : str
        One of `SOLVERS`.
    source : Source
        The noise.

    Returns
    -------
    bool
        False for the exact and for POT's solver, and where "auto" starts at the heights of a stand-in.

    Examples
    --------
    >>> from ot_latent.transport import Gaussian
    >>> from_draws("auto", Gaussian.standard(2)), from_draws("auto", Gaussian.standard(3))
    (False, True)
    """
    return chosen(name, source) == "sampled" and not (name == "auto" and has_stand_in(source))


def _has_facets(source: Source) -> bool:
    """Whether the source's domain is a bounded polytope."""
    try:
        half_spaces(source)
    except DataError:
        return False
    return True


def planned_tolerance(name: str, source: Source, tolerance: float | None) -> float:
    """Return the tolerance that a solver will stop at.

    Parameters
    ----------
    name : str
        One of `SOLVERS`.
    source : Source
        The noise.
    tolerance : float or None
        What the user asked for; None leaves it to the solver.

    Returns
    -------
    float
        In the solver's own norm: largest relative error (exact) or rms (sampled).
    """
    return TOLERANCES[chosen(name, source)] if tolerance is None else tolerance


def solve(
    name: str,
    source: Source,
    target: DiscreteMeasure,
    *,
    tolerance: float | None = None,
    seed: int = 0,
    heights: Tensor | None = None,
    earlier: SemiDiscreteSolution | None = None,
    state: Any = None,
    callback: Callback | None = None,
    **options: Any,
) -> SemiDiscreteSolution:
    """Solve with the solver of a name.

    Parameters
    ----------
    name : str
        One of `SOLVERS`.
    source, target
        The problem.
    tolerance : float, optional
        Error at which the solver stops, in its own norm.
    seed : int, default=0
        Seed of the draws.
    heights : Tensor of shape (N,), optional
        Heights of a similar problem. The exact solver begins elsewhere where they leave a cell
        empty.
    earlier : SemiDiscreteSolution, optional
        Solution of the same targets with slightly other masses, whose heights keep their weight
        in the average of the sampled solver; POT begins anew.
    state : object, optional
        State of an interrupted solve; the exact solver leaves states of others aside.
    callback : callable, optional
        Called with a dictionary: stage, progress in [0, 1], state and numbers; returning True
        stops, but for the stage "stand-in". The exact solver, which takes seconds, hands out no state.
    **options
        Further parameters of the sampled solvers; those that are None are left to them.

    Returns
    -------
    SemiDiscreteSolution
        The solution, all of it on the device of the targets.
    """
    kind = chosen(name, source)
    level = TOLERANCES[kind] if tolerance is None else tolerance
    options = {key: value for key, value in options.items() if value is not None}
    options |= {"tolerance": level, "seed": seed}
    if len(target) < 2:
        found = single_target(source, target, level)
    elif kind == "exact":
        start = heights if earlier is None else earlier.potential.heights
        found = _exactly(source, target, level, heights=start, state=state, callback=callback)
    elif kind == "pot":
        from ot_latent.transport.pot import PotSolver

        found = PotSolver(**options).solve(source, target)
    else:
        if not from_draws(name, source) and state is None and earlier is None:
            heard = callback and _told_exactly(callback, STAND_IN_TOLERANCE, "stand-in")
            begun = stand_in_heights(source, target, heights, heard)
            heights = heights if begun is None else begun
        solver = StochasticNewton(**options)
        told = callback and _told(callback, solver.planned_samples(len(target)))
        found = solver.solve(
            source, target, initial_heights=heights, earlier=earlier, state=state, callback=told
        )
    if callback is not None:
        kept = None if kind == "exact" else found.state
        event = {"stage": "transport", "progress": 1.0, "state": kept}
        callback(event | {"mass_error": found.mass_error})
    return found


def single_target(
    source: Source, target: DiscreteMeasure, tolerance: float
) -> SemiDiscreteSolution:
    """Return the transport onto one target, which takes all noise.

    Parameters
    ----------
    source : Source
        The noise.
    target : DiscreteMeasure
        One point.
    tolerance : float
        What was asked for.

    Returns
    -------
    SemiDiscreteSolution
        Exact; nothing is drawn.
    """
    point, mean = target.points[0].cpu().double(), source.mean
    spread = float(source.covariance.trace())
    cost = spread + float((point - mean).square().sum())
    heights = target.weights.new_zeros(1)
    return SemiDiscreteSolution(
        potential=BrenierPotential(target.points, heights),
        status=Status.CONVERGED,
        solver="closed form",
        tolerance=tolerance,
        mass_error=0.0,
        mass_error_interval=(0.0, 0.0),
        error_norm="max relative",
        mass_residual=heights,
        samples=0,
        effective_samples=0.0,
        evaluation_samples=0,
        steps=0,
        cost=cost,
        cost_interval=(cost, cost),
        centroids=mean[None].to(target.points),
        within_scale=math.sqrt(spread / source.dim),
    )


def _exactly(
    source: Source,
    target: DiscreteMeasure,
    tolerance: float,
    *,
    heights: Tensor | None,
    state: Any,
    callback: Callback | None,
) -> SemiDiscreteSolution:
    """Solve exactly, from given heights if no cell of theirs is empty."""
    solver = DampedNewton(tolerance=tolerance)
    told = callback and _told_exactly(callback, tolerance)
    known = state if isinstance(state, DampedNewtonState) else None
    try:
        found = solver.solve(source, target, initial_heights=heights, state=known, callback=told)
    except SolverError as error:
        if heights is None or error.solution.status is not Status.EMPTY_CELL:
            raise
        found = solver.solve(source, target, callback=told)

    def moved(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.to(target.points.device)

    centroids, residual = moved(found.centroids), moved(found.mass_residual)
    return replace(found, centroids=centroids, mass_residual=residual)


def _told(callback: Callback, planned: int) -> Callable[[Any], bool | None]:
    """Return the sampled solver's callback that turns its state into an event."""

    def tell(state: Any) -> bool | None:
        progress = min(0.99, state.samples / max(planned, 1))
        event = {"stage": "transport", "progress": progress, "samples": state.samples}
        return callback(event | {"state": state})

    return tell


def _told_exactly(
    callback: Callback, tolerance: float, stage: str = "transport"
) -> Callable[[Any], bool | None]:
    """Return the exact solver's callback: how much of the way the error's logarithm has gone."""

    def tell(state: DampedNewtonState) -> bool | None:
        first, last = state.errors[0], max(state.errors[-1], 1e-300)
        way = math.log(max(first / tolerance, 1.0 + 1e-9))
        progress = min(0.99, max(0.0, math.log(first / last) / way))
        event = {"stage": stage, "progress": progress, "step": state.step}
        return callback(event | {"error": state.errors[-1], "state": None})

    return tell
