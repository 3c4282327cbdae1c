"""StochasticNewton: the sampled semi-discrete solver, for any dimension and any target masses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ot_latent._validation import check_positive
from ot_latent.transport.diagonal_step import GAP_SHARE, head_start, look_at_tiles, newton_step
from ot_latent.transport.given_heights import given_heights, worth_of_start
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.refit import known_targets
from ot_latent.transport.samplers import TRIAL_BLOCKS, Samplers, expected_inflation
from ot_latent.transport.sampling import Look, Sampler
from ot_latent.transport.solution import SemiDiscreteSolution, Status, conclude
from ot_latent.transport.sources import Source
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.verdict import EARLY, judge, measured_solution
from ot_latent.transport.warm_start import gaussian_heights, voronoi_heights

SAMPLING = ("auto", "crossed", "independent")
LEAST_BATCH, FEW_DRAWS = 512, 2048  # of a step; with few targets a step costs more than its draws
STEP_PART = 5  # a step draws one in so many of what was drawn, between its bounds
TRIAL_DRAWS = 90  # times the root of N, at least: rms^2 is known to 1 / 64 then
PLANNED_EFFICIENCY = 1.15  # of the first verdict; a better solve converges at its first one

Callback = Callable[[StochasticNewtonState], bool | None]


@dataclass(frozen=True, kw_only=True)
class StochasticNewton:
    r"""Solve semi-discrete optimal transport by diagonal Newton steps on fresh samples.

    Minimises the convex energy :math:`E(h) = \int \max_j (\langle x, y_j\rangle + h_j)\,d\mu -
    \sum_j \nu_j h_j`, whose gradient is :math:`w - \nu`. In high dimension a cell has very many
    neighbours, so the Hessian, a weighted graph Laplacian, is nearly diagonal,
    :math:`H_{jj} \approx \kappa \nu_j`. Its trace is the density at zero of the gap between best
    and second-best score, :math:`\kappa = \lim P(\mathrm{gap} < \delta) / \delta`, and is read off
    the samples that are drawn anyway; counted cell by cell, close draws correct the scale of a
    cell by a factor :math:`r_j` near one (it matters in low dimension and for unequal masses):

    .. math:: h_j \leftarrow h_j - t^{-0.4}\,(\hat w_j - \nu_j) / (\nu_j \kappa r_j),
        \qquad \bar h = \text{average of } h_t \text{ with weights } (t+1)^{1/2} .

    Where targets are many, tiles of them move as wholes, too, by the Laplacian of their graph
    (`transport.tiles`): else mass would pass slowly between clusters that share few facets.

    There is no learning rate to choose. The first heights are those of a Gaussian problem of the
    same moments and entropy (`warm_start.gaussian_heights`); an rms error of :math:`r_0` counts for
    the :math:`(N-1)/r_0^2` draws that it is worth, in the age t and in the average. With T independent draws no method can pass the limit
    :math:`\mathrm{rms} = \sqrt{(N-1)/T}`; the plan is to draw what reaches the tolerance at an
    efficiency of 1.15, to judge the averaged heights on draws never used before, and to continue
    where the verdict is not yet certain.

    Boxes and Gaussians are product measures: A rows of noise, cut in halves, give :math:`A^2` draws
    at the cost of one addition and one comparison per target (`transport.crossing`). That inflates
    the variance of counts by a factor v, which is measured; the limit is then
    :math:`\sqrt{(N-1)\,v/T}`.

    Averaged stochastic gradients [1]_ and their Gauss-Newton form [2]_ are known; reading the
    Hessian's scale off the score gaps (no matrix, no step size), crossing the halves of draws, the
    start, and stopping at the statistical limit with an unbiased error are what is added here. In two and
    three dimensions the Hessian is far from diagonal and many more samples are needed.

    Parameters
    ----------
    tolerance : float, default=0.1
        Wanted rms cell error :math:`\sqrt{\sum_j (w_j - \nu_j)^2/\nu_j}`. CONVERGED means that
        the unbiased estimate is at most this, with half an interval of at most a quarter of it.
    seed : int, default=0
        Seed of all draws.
    batch_size : int, optional
        Draws per step; by default between N / 8 and N / 4, in whole blocks where they are crossed.
    max_samples : int, optional
        Budget of fitting draws; by default 64 times the planned number.
    max_steps : int, optional
        Budget of steps.
    memory_budget : int or str, optional
        Bytes such as "2GB" for the kernel; where the targets of crossed draws, packed, take more,
        they are packed anew from where they lie (a memory map, say) in every step.
    sampling : {"auto", "crossed", "independent"}, default="auto"
        Crossed draws combine the halves of a product source (box, Gaussian), which costs one
        addition per draw and target; "auto" uses them where they inflate the variance of counts
        less than twice, and chooses the size of their blocks. Independent draws are the reference.
    sharded : bool, default=False
        Under `torch.distributed`, let each process meet a part of the targets with all crossed
        draws, where one cannot hold them all; by default each meets all with a part of the draws.
    centroids : bool, default=True
        Whether the solution tells the centroids of the cells, which takes 8 N d bytes; without
        them a memory map of targets is never held whole (crossed draws).

    References
    ----------
    .. [1] Polyak and Juditsky. "Acceleration of stochastic approximation by averaging." SIAM J.
       Control Optim. 30(4), 1992.
    .. [2] Bercu, Bigot, Gadat and Siviero. "A stochastic Gauss-Newton algorithm for regularized
       semi-discrete optimal transport." Information and Inference 12(1), 2023.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> target = DiscreteMeasure([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.75])
    >>> solution = StochasticNewton(tolerance=0.02).solve(UniformBox.unit(2), target)
    >>> solution.status.name, [round(h, 2) for h in solution.potential.heights.tolist()]
    ('CONVERGED', [0.06, -0.06])
    """

    tolerance: float = 0.1
    seed: int = 0
    batch_size: int | None = None
    max_samples: int | None = None
    max_steps: int | None = None
    memory_budget: int | str | None = None
    sampling: str = "auto"
    sharded: bool = False
    centroids: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.sampling not in SAMPLING:
            raise ValueError(
                f"sampling must be one of {', '.join(SAMPLING)}, got {self.sampling!r}; choose one."
            )
        check_positive(self.tolerance, "tolerance")
        for name in ("batch_size", "max_samples", "max_steps"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name, integer=True)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {self.seed!r}; pass one.")

    def init(
        self, source: Source, target: DiscreteMeasure, *, initial_heights: Any = None
    ) -> StochasticNewtonState:
        """Return the state that a solve begins with.

        One batch of draws reads off the gap scale and, where no heights are given, chooses the
        start of lower energy, the Gaussian of the same moments or Voronoi cells, and moves it once.

        Parameters
        ----------
        source : Source
            Where x comes from.
        target : DiscreteMeasure
            Points and masses.
        initial_heights : array-like of shape (N,), optional
            Heights to start from, see `solve`.

        Returns
        -------
        StochasticNewtonState
            Hand it to `step` or `solve`.
        """
        return self._opened(self._samplers(source, target), initial_heights)

    def _opened(self, samplers: Samplers, given: Any) -> StochasticNewtonState:
        """Begin with given heights, or with the better of two guesses where these are better."""
        guesses = self._starts(samplers.source, samplers.target)
        if given is None:
            return self._first_step(samplers, *self._begin(samplers, guesses))
        heights, dtype = given_heights(given, samplers.target), samplers.target.points.dtype
        others = [guess for guess in guesses if bool(guess.to(dtype).isfinite().all())]
        state, look = self._begin(samplers, [heights, *others])
        if not torch.equal(state.heights, heights - heights.mean()):
            return self._first_step(samplers, state, look)
        none = torch.zeros_like(heights)  # until the first verdict tells what they are worth
        return replace(state, warm=True, age=none, average_weight=none, goal=state.samples)

    def _begin(
        self, samplers: Samplers, starts: list[Tensor]
    ) -> tuple[StochasticNewtonState, Look]:
        """Choose the start of lower energy, the scale of gaps and the size of blocks."""
        sampler, target = samplers.trial(), samplers.target
        n, batch = len(target), self._batch(len(target), 0)
        wanted = max(batch, TRIAL_BLOCKS * sampler.rows**2, TRIAL_DRAWS * math.isqrt(n))
        draws = sampler.whole(min(wanted, self._budget(n, 1.0) // 4))
        looks = [(starts[0], sampler.look(starts[0], draws))]
        if looks[0][1].square > 1:  # hardly a start
            looks += [(heights, sampler.look(heights, draws)) for heights in starts[1:]]
        heights, look = min(looks, key=lambda it: it[1].score - float(target.weights @ it[0]))
        square, limit = look.cautious_square(n), look.inflation * (n - 1)
        far = look.square > (2 * self.tolerance) ** 2  # a verdict would say the same
        first = min(EARLY * draws, self.planned_samples(n, look.inflation)) if far else draws
        age, weight = head_start(square, limit, lambda drawn: self._batch(n, drawn))
        width = float(look.gaps[: 2**20].quantile(GAP_SHARE)) or float(look.gaps.mean()) or 1.0
        heights = heights - heights.mean()
        rows = samplers.chosen_rows(look.inflation)
        state = StochasticNewtonState(
            heights=heights,
            average=heights.clone(),
            close=torch.zeros_like(heights),
            age=torch.full_like(heights, age),
            average_weight=torch.full_like(heights, weight),
            samples=draws,
            rows=rows,
            row=math.ceil(draws / (sampler.rows * rows)) * rows,  # whole blocks
            inflation=expected_inflation(look.inflation, sampler.rows, rows),
            gap_width=width,
            trace=GAP_SHARE / width,
            goal=first,
        )
        return state, look

    def _first_step(
        self, samplers: Samplers, state: StochasticNewtonState, look: Look
    ) -> StochasticNewtonState:
        """Use the draws of the look for a step, too."""
        weights, drawn, width = samplers.target.weights, state.samples, state.gap_width
        tally = look.tally(len(weights), width)
        if not tally.finite:
            return state
        begun = replace(state, samples=0)
        after = newton_step(begun, weights, tally, drawn, least_width=width)
        return replace(after, row=state.row)

    def step(
        self, state: StochasticNewtonState, source: Source, target: DiscreteMeasure
    ) -> StochasticNewtonState:
        """Take one step: one batch of fresh draws, or a verdict where the goal is reached.

        Draws are prepared anew in every call, which `solve` does once; where targets are many,
        follow a solve by its callback instead.

        Parameters
        ----------
        state : StochasticNewtonState
            What `init` or an earlier `step` returned.
        source, target : Source, DiscreteMeasure
            The problem.

        Returns
        -------
        StochasticNewtonState
            The next state; its `status` is set once the solver has stopped.
        """
        return self._advance(state, self._samplers(source, target).of(state.rows))

    def _advance(self, state: StochasticNewtonState, sampler: Sampler) -> StochasticNewtonState:
        """Take one step with a prepared sampler."""
        n = len(sampler.target)
        exhausted = self._exhausted(state, n)
        if state.samples < state.goal and exhausted is None:
            return self._fit(state, sampler)
        planned = self.planned_samples(n, state.inflation)
        judged = judge(state, sampler, self.tolerance, planned=planned, exhausted=exhausted)
        if state.warm and not bool(state.average_weight.any()):
            judged = worth_of_start(judged, n, self.tolerance, lambda drawn: self._batch(n, drawn))
        return judged

    def solve(
        self,
        source: Source,
        target: DiscreteMeasure,
        *,
        initial_heights: Any = None,
        earlier: SemiDiscreteSolution | None = None,
        state: StochasticNewtonState | None = None,
        callback: Callback | None = None,
    ) -> SemiDiscreteSolution:
        """Find heights whose power cells carry the target masses.

        Parameters
        ----------
        source : Source
            Where x comes from.
        target : DiscreteMeasure
            Points and masses.
        initial_heights : array-like of shape (N,), optional
            Heights to start from: of an earlier solve, of other masses, of another library. Their
            error is measured before the first step, on draws that nothing else uses; steps and
            averages go on as after the draws that this error stands for, (N - 1) v / error^2. Where
            their energy is above that of the usual starts, these are taken instead.
        earlier : SemiDiscreteSolution, optional
            Solution of the same source for other targets, most of which are among these. What it
            knows of them is kept: their steps go on where they were, those of new targets begin.
        state : StochasticNewtonState, optional
            Continues bit for bit where an earlier solve of the same problem stopped.
        callback : callable, optional
            Called with the state after each step; returning True stops with INTERRUPTED.

        Returns
        -------
        SemiDiscreteSolution
            Potential of mean-zero heights, status, unbiased error with interval, centroids.

        Raises
        ------
        ValueError
            If dimensions or shapes do not fit.
        SolverError
            If a cell stays empty or scores overflow.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not met.
        """
        self._check(source, target, state)
        samplers = self._samplers(source, target)
        if state is None and earlier is not None:
            known = known_targets(earlier, target)
            state, _ = self._begin(samplers, [known.heights])
            state = replace(state, age=known.age, average_weight=known.weight)
            state = replace(state, warm=True, goal=state.samples)
        elif state is None:
            state = self._opened(samplers, initial_heights)
        elif state.status is Status.INTERRUPTED:
            state = replace(state, status=None)
        sampler = samplers.of(state.rows)
        while state.status is None:
            state = self._advance(state, sampler)
            if callback is not None and callback(state) and state.status is None:
                state = replace(state, status=Status.INTERRUPTED)
        return conclude(measured_solution(state, sampler, self.tolerance))

    def planned_samples(self, n: int, inflation: float = 1.0) -> int:
        """Return the draws that reach the tolerance at the planned efficiency.

        Parameters
        ----------
        n : int
            Number of targets.
        inflation : float, default=1
            Factor v by which crossed draws inflate the variance of counts.

        Returns
        -------
        int
            v (n - 1) (1.15 / tolerance)^2, and at least 32 batches.
        """
        statistical = inflation * (n - 1) * (PLANNED_EFFICIENCY / self.tolerance) ** 2
        return max(math.ceil(statistical), 32 * self._batch(n, 0))

    def _batch(self, n: int, samples: int) -> int:
        """Return the draws per step: few at first, more of them when there is less to gain."""
        if self.batch_size is not None:
            return self.batch_size
        return max(
            LEAST_BATCH, min(max(samples // STEP_PART, n // 8), max(n // 4, FEW_DRAWS), 2**20)
        )

    def _budget(self, n: int, inflation: float) -> int:
        """Return the fitting draws allowed."""
        return self.max_samples or 64 * self.planned_samples(n, inflation)

    def _exhausted(self, state: StochasticNewtonState, n: int) -> Status | None:
        """Return which budget is spent, if one is."""
        if state.samples + state.rows**2 > self._budget(n, state.inflation):
            return Status.SAMPLE_BUDGET
        if self.max_steps is not None and state.step >= self.max_steps:
            return Status.MAX_STEPS
        return None

    def _samplers(self, source: Source, target: DiscreteMeasure) -> Samplers:
        """Prepare how draws are made."""
        return Samplers(
            source,
            target,
            self.seed,
            self.sampling,
            self.memory_budget,
            self.sharded,
            self.centroids,
        )

    def _starts(self, source: Source, target: DiscreteMeasure) -> list[Tensor]:
        """Return candidate starting heights."""
        return [gaussian_heights(source, target), voronoi_heights(target)]

    def _fit(self, state: StochasticNewtonState, sampler: Sampler) -> StochasticNewtonState:
        """One diagonal Newton step on fresh draws."""
        target, unit = sampler.target, sampler.rows**2
        left = self._budget(len(target), state.inflation) - state.samples
        n = min(sampler.whole(self._batch(len(target), state.samples)), left // unit * unit)
        state = look_at_tiles(state, sampler)
        tally = sampler.tally(state.heights, state.row, n, state.gap_width)
        if not tally.finite:
            return replace(state, status=Status.NONFINITE)
        return newton_step(state, target.weights, tally, n, least_width=sampler.rounding)

    def _check(
        self, source: Source, target: DiscreteMeasure, state: StochasticNewtonState | None
    ) -> None:
        """Refuse what does not fit together."""
        if source.dim != target.dim:
            raise ValueError(
                f"source and target must have one dimension, got {source.dim} and {target.dim}; "
                f"use for example UniformBox.centered({target.dim})."
            )
        if state is not None and len(state.heights) != len(target):
            raise ValueError(
                f"state must come from a solve with {len(target)} targets, got one with "
                f"{len(state.heights)}; start without state."
            )
