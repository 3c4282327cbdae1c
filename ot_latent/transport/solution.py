"""What every solver returns: the potential, why it stopped, how far it got, how certain that is."""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ot_latent.transport.potential import BrenierPotential


class Status(enum.Enum):
    """Why a solver stopped; the value is the advice."""

    CONVERGED = "The tolerance was met, by exact cells or on samples that the solver never used."
    MAX_STEPS = "The step budget ran out before the tolerance was met; raise max_steps."
    SAMPLE_BUDGET = (
        "The sample budget ran out before the tolerance was met; raise max_samples or accept a "
        "larger tolerance."
    )
    STALLED = (
        "No further step or sample lowers the error; centre the targets and divide them by their rms, "
        "use float64 points, or accept a larger tolerance."
    )
    EMPTY_CELL = (
        "A target has no mass at all; drop the initial heights, raise max_samples, or look for "
        "targets that nearly coincide."
    )
    NONFINITE = "Scores became NaN or infinite; divide the targets by their rms before solving."
    INTERRUPTED = "The callback asked to stop; hand solution.state back to solve to continue."


class ConvergenceWarning(UserWarning):
    """A solver stopped before its tolerance was met; the message says why and what to try."""


class SolverError(RuntimeError):
    """A solver could not produce a usable potential.

    Parameters
    ----------
    message : str
        What happened and what to try.
    solution : SemiDiscreteSolution
        The last state reached, for inspection.
    """

    def __init__(self, message: str, solution: SemiDiscreteSolution) -> None:
        super().__init__(message)
        self.solution = solution


@dataclass(frozen=True, kw_only=True, eq=False)
class SemiDiscreteSolution:
    r"""Result of a semi-discrete solve.

    Attributes
    ----------
    potential : BrenierPotential
        The convex potential whose gradient is the map; heights have mean zero.
    status : Status
        Why the solver stopped; its value is the advice.
    solver : str
        Name of the solver.
    tolerance : float
        What was asked for, in the units of `mass_error`.
    mass_error : float
        Error of the cell masses: :math:`\sqrt{\sum_j (w_j - \nu_j)^2 / \nu_j}` for
        ``error_norm == "rms"``, :math:`\max_j |w_j - \nu_j| / \nu_j` for ``"max relative"``.
    mass_error_interval : tuple of float
        95 % interval of `mass_error`; equal ends where it is exact.
    error_norm : {"rms", "max relative"}
        Which of the two.
    mass_residual : Tensor of shape (N,) or None
        :math:`w - \nu`, estimated on evaluation samples or exact.
    samples : int
        Draws that moved the heights or chose anything.
    effective_samples : float
        Independent draws of the same variance.
    evaluation_samples : int
        Draws behind `mass_error`, never used for fitting.
    steps : int
        Steps taken.
    cost : float
        Transport cost :math:`\int |x - T(x)|^2 d\mu`, the squared Wasserstein distance W2.
    cost_interval : tuple of float
        95 % interval of `cost`.
    history : mapping of str to tuple of float
        Curves, one entry per step or evaluation.
    state : object
        Hand it back to ``solve(..., state=)`` to continue.
    centroids : Tensor of shape (N, d) or None
        Mean of the source in each cell.
    within_scale : float or None
        Root mean square per coordinate of x - centroid inside the cells.
    """

    potential: BrenierPotential
    status: Status
    solver: str
    tolerance: float
    mass_error: float
    mass_error_interval: tuple[float, float]
    error_norm: str
    mass_residual: Tensor | None
    samples: int
    effective_samples: float
    evaluation_samples: int
    steps: int
    cost: float
    cost_interval: tuple[float, float]
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    state: Any = None
    centroids: Tensor | None = None
    within_scale: float | None = None

    @property
    def converged(self) -> bool:
        """Whether the tolerance was met."""
        return self.status is Status.CONVERGED

    @property
    def efficiency(self) -> float:
        """Return rms over its statistical limit sqrt((N - 1) / T_eff); 1 is perfect."""
        n = len(self.potential.points)
        if n < 2 or not self.effective_samples:
            return float("nan")
        return self.mass_error / math.sqrt((n - 1) / self.effective_samples)


def conclude(solution: SemiDiscreteSolution) -> SemiDiscreteSolution:
    """Return a solution, warn that it did not converge, or raise that it is unusable.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        What the solver reached.

    Returns
    -------
    SemiDiscreteSolution
        The same object.

    Raises
    ------
    SolverError
        If the status is EMPTY_CELL or NONFINITE.

    Warns
    -----
    ConvergenceWarning
        If the status is any other than CONVERGED.
    """
    low, high = solution.mass_error_interval
    message = (
        f"{solution.solver} stopped with status {solution.status.name} at {solution.error_norm} "
        f"cell error {solution.mass_error:.3g} (95 % interval {low:.3g} to {high:.3g}, tolerance "
        f"{solution.tolerance:g}). {solution.status.value}"
    )
    if solution.status in (Status.EMPTY_CELL, Status.NONFINITE):
        raise SolverError(message, solution)
    if not solution.converged:
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    return solution
