r"""Noise paired with targets by the optimal map: a stream of batches that trains flows.

Flow matching learns a velocity field from pairs (x, y). With independent pairs the straight paths
from x to y cross and the field averages them; an optimal coupling has no crossings. Mini-batch
optimal transport couples the rows of one batch, which is biased and costs O(B^3) per batch; here
the whole target is coupled to the whole source: given the solved heights, a row costs one search
for its cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ot_latent._random import BLOCK_ROWS, Stream, generator
from ot_latent._validation import as_float_tensor, check_positive, check_same_length
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.newton import DampedNewton
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.sources import Source, UniformBox
from ot_latent.transport.stochastic import StochasticNewton

CHECKED_ROWS, CERTAINTY = 4096, 6.0  # draws that the source must explain, within so many deviations
NO_LABEL = -1


class Pairs(NamedTuple):
    """A batch of the coupling."""

    noise: Tensor
    """Rows of the source, shape (B, d)."""
    cell: Tensor
    """Numbers of their targets (the cells that the noise lies in), shape (B,), int64."""
    point: Tensor
    """These targets, shape (B, d)."""
    label: Tensor
    """Their labels, shape (B,), int64; -1 without labels."""


class SemiDiscreteCoupling(IterableDataset[Pairs]):
    r"""Batches (noise, index, point, label) of the optimal coupling of source and targets.

    Row i of the stream is a function of (seed, i) alone, step s holds the rows
    :math:`sB, \dots, sB + B - 1`, and workers of a `DataLoader` share the steps: the batches are
    the same whatever their number.

    With labels the coupling is exact *in every class*: the label is drawn first (each block of
    1024 rows holds every label in its share, but for one row), then the noise goes to the codes of
    that label by the potential of the class. All noise meets every label, as a conditional flow
    needs it; the joint coupling would give each label a part of the noise.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        A solved transport.
    labels : array-like of shape (N,), optional
        Integer label of each target, none negative.
    source : Source, optional
        The source that it was solved for; by default ``UniformBox.centered(d)``.
    weights : array-like of shape (N,), optional
        Masses of the targets; equal ones by default. They give labels their shares.
    batch_size : int, default=1024
        Rows B of a batch. Multiples of 1024 waste nothing where several workers share the steps.
    seed : int, default=0
        Seed of the noise.
    first_step, steps : int, optional
        First step, and how many; by default all from 0 on, without end.
    potentials : mapping of int to BrenierPotential, optional
        Potential of each label's targets, in their order; by default those of classes are solved
        here, to the tolerance of `solution`.
    dtype : torch.dtype, default=torch.float32
        Precision of noise and points handed out; cells are found in that of the solution.

    Raises
    ------
    ValueError
        If a parameter cannot be what it is, or the source is not the one of the solution.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> source, points = UniformBox.centered(2), torch.rand(20, 2)
    >>> solution = DampedNewton().solve(source, DiscreteMeasure.uniform(points))
    >>> coupling = SemiDiscreteCoupling(solution, batch_size=256, steps=3)
    >>> [tuple(noise.shape) for noise, index, point, label in DataLoader(coupling, batch_size=None)]
    [(256, 2), (256, 2), (256, 2)]
    """

    def __init__(
        self,
        solution: SemiDiscreteSolution,
        labels: Any = None,
        *,
        source: Source | None = None,
        weights: Any = None,
        batch_size: int = BLOCK_ROWS,
        seed: int = 0,
        first_step: int = 0,
        steps: int | None = None,
        potentials: Mapping[int, BrenierPotential] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Check the parameters, solve classes."""
        check_positive(batch_size, "batch_size", integer=True)
        self.potential = solution.potential
        self.source = UniformBox.centered(self.potential.dim) if source is None else source
        _check_source(self.source, solution, seed)
        self.batch_size, self.seed, self.dtype = batch_size, seed, dtype
        self.first_step, self.steps = first_step, steps
        n = len(self.potential.points)
        self.weights = _masses(weights, n)
        self.labels = None if labels is None else _checked_labels(labels, n)
        self.classes: list[tuple[Tensor, BrenierPotential]] = []
        if self.labels is not None:
            self.classes = self._solved(solution, potentials or {})
        self._kept: tuple[int, tuple[Tensor, Tensor]] | None = None

    def __iter__(self) -> Iterator[Pairs]:
        """Yield the batches of the steps that are this worker's."""
        worker = get_worker_info()
        own, all_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        step = own
        while self.steps is None or step < self.steps:
            yield self.batch(self.first_step + step)
            step += all_workers

    def batch(self, step: int) -> Pairs:
        """Return the batch of a step.

        Parameters
        ----------
        step : int
            Its number, from 0.

        Returns
        -------
        Pairs
            `batch_size` rows.
        """
        return self.rows(step * self.batch_size, (step + 1) * self.batch_size)

    def rows(self, start: int, stop: int) -> Pairs:
        """Return rows of the stream.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Pairs
            The rows.
        """
        first, last = start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)
        parts = [self._block(b) for b in range(first, max(last, first + 1))]
        cut = slice(start - first * BLOCK_ROWS, stop - first * BLOCK_ROWS)
        noise, index = (torch.cat(part)[cut] for part in zip(*parts, strict=True))
        label = torch.full_like(index, NO_LABEL)
        if self.labels is not None:
            label = self.labels.to(index.device)[index]
        points = self.potential.points[index].to(self.dtype)
        return Pairs(noise.to(self.dtype), index, points, label)

    def _block(self, block: int) -> tuple[Tensor, Tensor]:
        """Return noise and targets of a whole block; the last one is kept."""
        if self._kept is None or self._kept[0] != block:
            points = self.potential.points
            x = self.source.sample(
                BLOCK_ROWS,
                seed=self.seed,
                stream=Stream.COUPLING,
                start=block * BLOCK_ROWS,
                dtype=points.dtype,
                device=points.device,
            )
            self._kept = block, (x, self._targets(x, block))
        return self._kept[1]

    def _targets(self, x: Tensor, block: int) -> Tensor:
        """Return the targets of a block of noise."""
        if not self.classes:
            return self.potential.cell_index(x)
        shares = np.array([float(self.weights[members].sum()) for members, _ in self.classes])
        rng = generator(self.seed, Stream.COUPLING, block, 1)
        places = (rng.permutation(BLOCK_ROWS) + rng.random()) / BLOCK_ROWS
        which = np.searchsorted(np.cumsum(shares)[:-1] / shares.sum(), places, side="right")
        index = torch.empty(BLOCK_ROWS, dtype=torch.int64, device=x.device)
        for number, (members, potential) in enumerate(self.classes):
            own = torch.from_numpy(np.flatnonzero(which == number)).to(x.device)
            if len(own):
                index[own] = members[potential.cell_index(x[own])]
        return index

    def _solved(
        self, solution: SemiDiscreteSolution, potentials: Mapping[int, BrenierPotential]
    ) -> list[tuple[Tensor, BrenierPotential]]:
        """Return members and potential of every class."""
        device, classes = self.potential.points.device, []
        for label in torch.unique(self.labels).tolist():
            members = torch.nonzero(self.labels == label).squeeze(1)
            points = self.potential.points[members.to(device)]
            found = potentials.get(label)
            if found is None:
                found = self._solve(points, self.weights[members], solution, label)
            check_same_length(found.points, points, (f"potentials[{label}]", f"label {label}"))
            classes.append((members.to(device), found))
        return classes

    def _solve(
        self, points: Tensor, weights: Tensor, solution: SemiDiscreteSolution, label: int
    ) -> BrenierPotential:
        """Solve the transport onto one class."""
        if len(points) == 1:
            return BrenierPotential(points, points.new_zeros(1))
        target = DiscreteMeasure(points, weights / weights.sum())
        solver: DampedNewton | StochasticNewton
        if solution.error_norm == "rms":
            seed = int(generator(self.seed, Stream.CLASSES, label).integers(2**31))
            solver = StochasticNewton(tolerance=solution.tolerance, seed=seed)
        else:
            solver = DampedNewton(tolerance=solution.tolerance)
        return solver.solve(self.source, target).potential


def _check_source(source: Source, solution: SemiDiscreteSolution, seed: int) -> None:
    """Refuse a source under which the potential does not cost what its solution says."""
    u = solution.potential
    if source.dim != u.dim:
        raise ValueError(
            f"source must have the dimension {u.dim} of the targets, got {source.dim}; pass the "
            "source of the solution."
        )
    x = source.sample(
        CHECKED_ROWS,
        seed=seed,
        stream=Stream.EVALUATION,
        dtype=u.points.dtype,
        device=u.points.device,
    )
    costs = (x - u.transport(x)).double().square().sum(dim=1)
    low, high = solution.cost_interval
    room = CERTAINTY * float(costs.std()) / math.sqrt(CHECKED_ROWS) + (high - low)
    if abs(float(costs.mean()) - solution.cost) > room:
        raise ValueError(
            f"source must be the one that the solution was solved for, whose transport costs "
            f"{solution.cost:.4g}, got {source}, for which it costs {float(costs.mean()):.4g}; pass "
            "source=."
        )


def _masses(weights: Any, n: int) -> Tensor:
    """Return positive masses on the CPU, equal ones by default."""
    if weights is None:
        return torch.full((n,), 1.0 / n, dtype=torch.float64)
    masses = as_float_tensor(weights, "weights", ndim=1).cpu().double()
    check_same_length(masses, range(n), ("weights", "targets"))
    if float(masses.min()) <= 0:
        raise ValueError(f"weights must be positive, got {float(masses.min())}; pass masses.")
    return masses


def _checked_labels(labels: Any, n: int) -> Tensor:
    """Return labels on the CPU, refused unless non-negative integers, one per target."""
    array = torch.as_tensor(labels).cpu()
    check_same_length(array, range(n), ("labels", "targets"))
    if array.is_floating_point() or array.ndim != 1 or int(array.min()) < 0:
        raise ValueError(
            f"labels must be a vector of non-negative integers, got {array.dtype} of shape "
            f"{tuple(array.shape)}; number them with numpy.unique(labels, return_inverse=True)."
        )
    return array.long()
