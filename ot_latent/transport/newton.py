"""DampedNewton: the exact semi-discrete solver in one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.transport.carving import Carver
from ot_latent.transport.laplacian import METHODS, solve_laplacian
from ot_latent.transport.line import solve_line
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.newton_start import convex_start, softened
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.power_diagram import PowerDiagram
from ot_latent.transport.solution import SemiDiscreteSolution, Status, conclude
from ot_latent.transport.sources import Source

FAR = 1e140  # squares of larger numbers overflow
SMALLEST_STEP = 2.0**-40  # the first step of clusters a millionth as wide as their distance
BOLD_STEP = 2.0**-4  # a step towards clipped masses that must be shorter is not taken
LARGEST_CHANGE = 4.0  # factor by which a bold step wants to change any cell, at most
LEAST_CHANGE = 1.02  # below this, bold steps are given up
BISECTIONS = 24  # of the factor that makes clipped masses sum to one
LEAST_LEFT = 0.1  # of the smallest mass, that a bold step must leave every cell
NEAR = 1.0  # largest relative error from which a step hardly changes who touches whom
LAST = 0.05  # of the tolerance, that the last linear solve may leave
ROUGH = 0.3  # relative error up to which softened densities are solved
EVEN = 0.1  # of the smallest mass, that a solve may be wrong by in the mean cell
LOOSEST = 0.02  # relative residual of the linear solve while far from the solution


@dataclass(frozen=True, eq=False)
class DampedNewtonState:
    """Heights between two steps, and how the solver came there.

    Attributes
    ----------
    diagram : PowerDiagram
        The cells of these heights; none is empty.
    weights : ndarray of shape (N,)
        Target masses.
    floor : float
        No cell may have less mass on the way.
    change : float
        Factor by which the next step may want to change a cell; one where only steps of the
        published algorithm are taken from here on.
    status : Status or None
        Set once the solver has stopped.
    errors, step_lengths, smallest_masses, diagrams : tuple of float
        Curves, one entry per accepted state: largest relative error, damping of the step that led
        there (1 for the start), smallest w_j / nu_j, diagrams computed so far.
    """

    diagram: PowerDiagram
    weights: np.ndarray
    floor: float
    change: float = LARGEST_CHANGE
    status: Status | None = None
    errors: tuple[float, ...] = ()
    step_lengths: tuple[float, ...] = ()
    smallest_masses: tuple[float, ...] = ()
    diagrams: tuple[float, ...] = ()

    @property
    def step(self) -> int:
        """Newton steps taken."""
        return len(self.errors) - 1

    @property
    def heights(self) -> Tensor:
        """Heights, mean zero."""
        return self.diagram.potential.heights


@dataclass(frozen=True, kw_only=True)
class DampedNewton:
    r"""Exact semi-discrete optimal transport by damped Newton steps on power diagrams, d <= 3.

    Solves :math:`w_j(h) = \nu_j`, where :math:`w_j(h)` is the mass of the power cell of target j,
    by :math:`h \leftarrow h + t\,H(h)^{-1}(\nu - w(h))` with the Hessian of `PowerDiagram.hessian`.
    The step t is halved until no cell has less than half of the smallest mass of start and target,
    and the residual falls by the factor :math:`1 - t/2`; from any start without an empty cell this
    converges, at the end quadratically [1]_.

    Three things are added. The start (`newton_start.convex_start`) spreads clustered targets over
    the domain. While some cell is off by more than a factor of four, steps go towards masses that
    are at most four times nearer than what is there; where such a step has to be cut below 1/16,
    they aim nearer still, and at last the published algorithm takes over for good, and with it its
    guarantee. And a density on pixels is reached through softened ones (`newton_start.softened`).

    In one dimension the cells are intervals between cumulated masses, in closed form.

    Parameters
    ----------
    tolerance : float, default=1e-6
        Largest relative error :math:`\max_j |w_j - \nu_j| / \nu_j` at which the solver stops.
    max_steps : int, default=100
        Most Newton steps.
    linear_solver : {"auto", "direct", "multigrid", "cg"}, default="auto"
        How a step is computed (`laplacian.solve_laplacian`); far from the solution the iterative
        ones stop early.

    References
    ----------
    .. [1] Kitagawa, Merigot and Thibert. "Convergence of a Newton algorithm for semi-discrete
       optimal transport." J. Eur. Math. Soc. 21(9), 2019.

    Examples
    --------
    >>> from ot_latent.transport import UniformBox
    >>> target = DiscreteMeasure([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.75])
    >>> found = DampedNewton().solve(UniformBox.unit(2), target)
    >>> found.status.name, found.potential.heights, round(found.cost, 6)
    ('CONVERGED', tensor([ 0.0625, -0.0625], dtype=torch.float64), 0.135417)
    """

    tolerance: float = 1e-6
    max_steps: int = 100
    linear_solver: str = "auto"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive(self.tolerance, "tolerance")
        check_positive(self.max_steps, "max_steps", integer=True)
        if self.linear_solver not in METHODS:
            raise ValueError(
                f"linear_solver must be one of {', '.join(METHODS)}, got "
                f"{self.linear_solver!r}; pass 'auto'."
            )

    def solve(
        self,
        source: Source,
        target: DiscreteMeasure,
        *,
        initial_heights: Any = None,
        state: DampedNewtonState | None = None,
        callback: Callable[[DampedNewtonState], bool | None] | None = None,
    ) -> SemiDiscreteSolution:
        """Find heights whose cells carry the target masses.

        Parameters
        ----------
        source : UniformBox, UniformPolytope or GridDensity
            Noise, d <= 3 (d = 1: any box or interval).
        target : DiscreteMeasure
            Targets and masses.
        initial_heights : array-like of shape (N,), optional
            Heights of a similar problem, none of whose cells may be empty.
        state : DampedNewtonState, optional
            State of an interrupted solve, which continues bit for bit.
        callback : callable, optional
            Called with the state after every accepted step; returning True stops.

        Returns
        -------
        SemiDiscreteSolution
            Masses, centroids and cost are exact; intervals have equal ends.

        Raises
        ------
        DataError
            If the dimension is above three, or the source has no bounded domain.
        SolverError
            With EMPTY_CELL if a cell of the initial heights is empty, with NONFINITE if numbers
            overflow.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not met: MAX_STEPS, STALLED or INTERRUPTED.
        """
        _check(source, target, state)
        if target.dim == 1:
            return conclude(solve_line(source, target, self.tolerance))
        state = (
            self.init(source, target, initial_heights=initial_heights) if state is None else state
        )
        state = replace(state, status=None) if state.status is Status.INTERRUPTED else state
        state = self._judged(state)
        while state.status is None:
            state = self._judged(self.step(state))
            if callback is not None and callback(state) and state.status is None:
                state = replace(state, status=Status.INTERRUPTED)
        return conclude(self._solution(state))

    def init(
        self, source: Source, target: DiscreteMeasure, *, initial_heights: Any = None
    ) -> DampedNewtonState:
        """Return the state at the start.

        Parameters
        ----------
        source, target, initial_heights
            As in `solve`.

        Returns
        -------
        DampedNewtonState
            No cell is empty, unless the initial heights leave one so.
        """
        points = target.points.detach().cpu().double()
        carver = Carver(source, points.numpy())
        guess, tried = None, 0.0
        if initial_heights is None:
            initial_heights, tried = self._through_softer(source, target)
        if initial_heights is None:
            start, inner = convex_start(source, target)
            heights = torch.from_numpy(start)
            guess = carver.guess(inner[carver.order])
        else:
            heights = as_float_tensor(initial_heights, "initial_heights", ndim=1).cpu().double()
            if len(heights) != len(points):
                raise ValueError(
                    f"initial_heights must have {len(points)} entries, one per target, got "
                    f"{len(heights)}; pass the heights of the same targets."
                )
        weights = target.weights.cpu().numpy()
        cells = carver.cells(heights.numpy()[carver.order], guess)
        potential = BrenierPotential(points, heights - heights.mean())
        diagram = PowerDiagram._of(source, potential, carver, cells)
        floor = 0.5 * min(float(cells.masses.min()), float(weights.min()))
        state = DampedNewtonState(diagram, weights, floor)
        return _recorded(state, diagram, 1.0, tried + 1.0)

    def _through_softer(self, source: Source, target: DiscreteMeasure) -> tuple[Any, float]:
        """Return heights that roughly solve softened densities, None without, and diagrams used."""
        rough, heights, tried = replace(self, tolerance=ROUGH), None, 0.0
        for density in softened(source):
            state = rough.init(density, target, initial_heights=heights)
            while (state := rough._judged(state)).status is None:
                state = rough.step(state)
            heights, tried = state.heights, tried + state.diagrams[-1]
        return heights, tried

    def step(self, state: DampedNewtonState) -> DampedNewtonState:
        """Take one damped Newton step.

        Parameters
        ----------
        state : DampedNewtonState
            Where to step from.

        Returns
        -------
        DampedNewtonState
            The next state, or the same one with status STALLED if no step helps.
        """
        diagram = state.diagram
        masses, nu = diagram._cells.masses, state.weights[diagram._carver.order]
        least = LEAST_LEFT * min(float(masses.min()), float(nu.min()))
        change, ratio = state.change, nu / masses
        while change > LEAST_CHANGE and max(ratio.max(), 1 / ratio.min()) > change:
            moved = self._towards(state, _nearer(masses, nu, change), least, BOLD_STEP)
            if moved.status is None:
                return replace(moved, change=min(LARGEST_CHANGE, change * change))
            state, change = replace(moved, status=None), math.sqrt(change)
        if change <= LEAST_CHANGE < state.change:
            least = 0.5 * min(float(masses.min()), float(nu.min()))
            state = replace(state, change=1.0, floor=least)
        return self._towards(state, nu, state.floor, SMALLEST_STEP)

    def _towards(
        self, state: DampedNewtonState, goal: np.ndarray, least: float, shortest: float
    ) -> DampedNewtonState:
        """Step towards some masses, halving until no cell gets too small and the residual falls."""
        diagram = state.diagram
        carver, cells = diagram._carver, diagram._cells
        residual = goal - cells.masses
        norm, smallest = np.linalg.norm(residual), min(goal.min(), cells.masses.min())
        direction = solve_laplacian(
            cells.laplacian(carver.points),
            residual,
            dim=carver.dim,
            method=self.linear_solver,
            rtol=self._accuracy(state.errors[-1], smallest * math.sqrt(len(goal)) / norm),
        )
        if not np.isfinite(direction).all():
            return replace(state, status=Status.NONFINITE)
        heights = state.heights.cpu().numpy()[carver.order]
        length, tried = min(1.0, 2 * state.step_lengths[-1]), state.diagrams[-1]
        graph = cells.graph()
        while length >= shortest:
            moved = heights + length * direction
            new = carver.cells(moved, graph, near=state.errors[-1] < NEAR)
            tried += 1
            left = np.linalg.norm(goal - new.masses)
            if new.masses.min() >= least and left <= (1 - length / 2) * norm:
                return _recorded(state, diagram.moved(moved, new), length, tried)
            length /= 2
        return replace(state, status=Status.STALLED, diagrams=(*state.diagrams[:-1], tried))

    def _accuracy(self, error: float, even: float) -> float:
        """Return the relative residual of a solve that spoils no cell, neither order nor last step."""
        return min(LOOSEST, EVEN * even, max(0.1 * error, LAST * self.tolerance / error, 1e-12))

    def _judged(self, state: DampedNewtonState) -> DampedNewtonState:
        """Return the state with the status that its last diagram gives it."""
        if state.status is not None:
            return state
        if not math.isfinite(state.errors[-1]):
            return replace(state, status=Status.NONFINITE)
        if state.errors[-1] <= self.tolerance:
            return replace(state, status=Status.CONVERGED)
        if state.smallest_masses[-1] <= 0:
            return replace(state, status=Status.EMPTY_CELL)
        return replace(state, status=Status.MAX_STEPS) if state.step >= self.max_steps else state

    def _solution(self, state: DampedNewtonState) -> SemiDiscreteSolution:
        """Return what the state amounts to."""
        diagram, error = state.diagram, state.errors[-1]
        cost, d = diagram.cost(), diagram.dim
        spread = float(diagram.second_moments.sum())
        return SemiDiscreteSolution(
            potential=diagram.potential,
            status=state.status or Status.MAX_STEPS,
            solver="DampedNewton",
            tolerance=self.tolerance,
            mass_error=error,
            mass_error_interval=(error, error),
            error_norm="max relative",
            mass_residual=diagram.masses - torch.from_numpy(state.weights),
            samples=0,
            effective_samples=0.0,
            evaluation_samples=0,
            steps=state.step,
            cost=cost,
            cost_interval=(cost, cost),
            history={
                "error": state.errors,
                "step_length": state.step_lengths,
                "smallest_mass": state.smallest_masses,
                "diagrams": state.diagrams,
            },
            state=state,
            centroids=diagram.centroids,
            within_scale=math.sqrt(spread / d),
        )


def _check(source: Source, target: DiscreteMeasure, state: DampedNewtonState | None) -> None:
    """Refuse what does not fit together."""
    if target.dim > 3:
        raise DataError(
            f"target must have dimension 1, 2 or 3 for DampedNewton, got {target.dim}; use "
            "StochasticNewton, which works in any dimension."
        )
    if source.dim != target.dim:
        raise DataError(
            f"source and target must have one dimension, got {source.dim} and {target.dim}; "
            "build the source with the target's dimension."
        )
    if len(target) < 2:
        raise DataError(
            "target must have at least two distinct points, got one; all noise goes there, so "
            "there is nothing to solve."
        )
    spread = float((target.points.double() - target.points[0].double()).abs().max())
    if not 1 / FAR < spread < FAR:
        raise DataError(
            f"target must spread over {1 / FAR:g} to {FAR:g}, got {spread:g}; divide it by its rms."
        )
    if state is not None and len(state.weights) != len(target):
        raise DataError(
            f"state must come from a solve with {len(target)} targets, got one with "
            f"{len(state.weights)}; start without state."
        )


def _nearer(masses: np.ndarray, nu: np.ndarray, change: float) -> np.ndarray:
    """Return masses of sum one towards `nu`, each within a factor of what is there."""
    ratio = nu / masses
    low, high = -math.log(change * float(ratio.max())), math.log(change / float(ratio.min()))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        goal = masses * np.minimum(np.maximum(math.exp(middle) * ratio, 1 / change), change)
        low, high = (middle, high) if goal.sum() < 1 else (low, middle)
    return goal / goal.sum()


def _recorded(
    state: DampedNewtonState, diagram: PowerDiagram, length: float, tried: float
) -> DampedNewtonState:
    """Return the state at a new diagram with its curves one entry longer."""
    ratio = diagram._cells.masses / state.weights[diagram._carver.order]
    return replace(
        state,
        diagram=diagram,
        errors=(*state.errors, float(np.abs(ratio - 1).max())),
        step_lengths=(*state.step_lengths, length),
        smallest_masses=(*state.smallest_masses, float(ratio.min())),
        diagrams=(*state.diagrams, tried),
    )
