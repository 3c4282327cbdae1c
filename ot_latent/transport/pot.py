"""A second opinion on the same problem: the semi-discrete solver of POT, judged by our survey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent._validation import check_positive
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution, Status, conclude
from ot_latent.transport.sources import Source
from ot_latent.transport.survey import survey_cells

BATCH = 32
DRAWS_PER_CELL = 256  # of fitting, where no budget is given
EVALUATION_PER_CELL = 128
FEWEST_DRAWS = 2**18  # 8192 steps; POT takes 10,000 by default


@dataclass(frozen=True)
class PotSolver:
    r"""Projected averaged SGD of `ot.semidiscrete`, with its decreasing regularisation.

    POT maximises the semi-dual for the cost :math:`|x - y|^2`; its potential g gives the heights
    :math:`h_j = (g_j - |y_j|^2) / 2`. It has neither tolerance nor error report, so it runs for a
    fixed number of draws and the masses are measured on fresh noise afterwards. It keeps
    dense (batch, N) matrices, its first steps are too long for a warm start to survive, and it is
    slower than `StochasticNewton`: use it to check.

    Parameters
    ----------
    tolerance : float, default=0.1
        Rms cell error below which the status is CONVERGED.
    seed : int, default=0
        Seed of the draws.
    max_samples : int, optional
        Draws of the fit; 256 per target by default.
    memory_budget : int or str, optional
        Working memory of the survey.

    References
    ----------
    Genans, Godichon-Baggioni, Vialard and Wintenberger. "Decreasing entropic regularization
    averaged gradient for semi-discrete optimal transport." NeurIPS 2025.
    """

    tolerance: float = 0.1
    seed: int = 0
    max_samples: int | None = None
    memory_budget: int | str | None = None

    def solve(
        self,
        source: Source,
        target: DiscreteMeasure,
    ) -> SemiDiscreteSolution:
        """Run POT and measure what it found.

        Parameters
        ----------
        source : Source
            Noise.
        target : DiscreteMeasure
            Targets and masses.

        Returns
        -------
        SemiDiscreteSolution
            With status CONVERGED or SAMPLE_BUDGET.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not met.
        """
        from ot.semidiscrete import solve_semidiscrete

        check_positive(self.tolerance, "tolerance")
        count = len(target.points)
        wanted = self.max_samples or max(FEWEST_DRAWS, DRAWS_PER_CELL * count)
        steps = max(1, wanted // BATCH)
        points = target.points.detach().cpu().double()
        found = solve_semidiscrete(
            points.numpy(),
            _Draws(source, self.seed),
            a_target=target.weights.cpu().numpy(),
            max_iter=steps,
            batch_size=BATCH,
        )
        heights = BrenierPotential.from_semidual(points, found, "pot").heights
        potential = BrenierPotential(target.points, heights - heights.mean())
        return conclude(self._judged(source, target, potential, steps))

    def _judged(
        self, source: Source, target: DiscreteMeasure, potential: BrenierPotential, steps: int
    ) -> SemiDiscreteSolution:
        """Measure the masses, centroids and cost on fresh noise."""
        draws = max(FEWEST_DRAWS, EVALUATION_PER_CELL * len(target.points))
        survey = survey_cells(
            potential, source, draws, seed=self.seed, memory_budget=self.memory_budget
        )
        error, (low, high) = survey.mass_error(target.weights)
        met = error <= self.tolerance and (high - low) / 2 <= self.tolerance / 4
        cost, cost_interval = survey.cost()
        return SemiDiscreteSolution(
            potential=potential,
            status=Status.CONVERGED if met else Status.SAMPLE_BUDGET,
            solver="ot.semidiscrete",
            tolerance=self.tolerance,
            mass_error=error,
            mass_error_interval=(low, high),
            error_norm="rms",
            mass_residual=survey.masses() - target.weights,
            samples=steps * BATCH,
            effective_samples=float(steps * BATCH),
            evaluation_samples=survey.draws,
            steps=steps,
            cost=cost,
            cost_interval=cost_interval,
            centroids=survey.centroids(source.mean.to(target.points).expand_as(target.points)),
            within_scale=survey.within_scale(),
        )


class _Draws:
    """Consecutive rows of the fitting stream, whole blocks drawn at once."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed, self.next = source, seed, 0
        self.rows = np.empty((0, source.dim))

    def __call__(self, n: int) -> np.ndarray:
        while len(self.rows) < n:
            block = self.source.sample(
                BLOCK_ROWS, seed=self.seed, stream=Stream.FIT, start=self.next
            )
            self.next += BLOCK_ROWS
            self.rows = np.concatenate([self.rows, block.numpy()])
        drawn, self.rows = self.rows[:n], self.rows[n:]
        return drawn
