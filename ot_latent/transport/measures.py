"""The target of a semi-discrete problem: distinct points with positive masses of sum one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor

CHUNK_NUMBERS = 2**20  # of points that are brought to float64 at a time
WEIGHT_SUM_TOLERANCE = 1e-6  # a looser sum is a mistake of the caller's, not rounding


class DuplicatePointsWarning(UserWarning):
    """Equal target points were merged and their masses added."""


@dataclass(frozen=True, eq=False)
class DiscreteMeasure:
    r"""Target measure :math:`\nu = \sum_j \nu_j \delta_{y_j}` with distinct points.

    Equal points are merged and their masses added, with a `DuplicatePointsWarning`.

    Parameters
    ----------
    points : array-like of shape (n, d)
        The points; floating point keeps its precision, integers become float64.
    weights : array-like of shape (n,)
        Positive masses that sum to one within 1e-6; they are renormalised in float64.

    Attributes
    ----------
    points : Tensor of shape (N, d)
        The distinct points :math:`y_j`, in the order of their first appearance.
    weights : Tensor of shape (N,), float64
        Their masses :math:`\nu_j`.
    inverse : Tensor of shape (n,), int64
        The target of each input row.

    Raises
    ------
    DataError
        If points or weights are empty, not finite, of the wrong shape, or the weights are not
        positive or do not sum to one.

    Examples
    --------
    >>> target = DiscreteMeasure([[0.0], [1.0]], [0.25, 0.75])
    >>> target.weights
    tensor([0.2500, 0.7500], dtype=torch.float64)
    >>> DiscreteMeasure.uniform([[0.0], [1.0]]).weights
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    points: Tensor
    weights: Tensor
    inverse: Tensor = field(init=False, repr=False)

    @classmethod
    def distinct(cls, points: Any, weights: Any = None) -> DiscreteMeasure:
        """Return a measure on points that the caller knows to be finite and distinct.

        Nothing is copied or searched for repetitions, so the points may be a memory map larger
        than the memory.

        Parameters
        ----------
        points : Tensor or ndarray of shape (N, d)
            Floating-point points, such as ``numpy.load(path, mmap_mode="r")``.
        weights : array-like of shape (N,), optional
            Masses; equal ones by default.

        Returns
        -------
        DiscreteMeasure
            The measure.
        """
        rows = points if isinstance(points, Tensor) else _tensor_of(points)
        if rows.ndim != 2 or 0 in rows.shape or not rows.is_floating_point():
            raise DataError(
                f"points must be floating-point numbers of shape (N, d), got {rows.dtype} of shape "
                f"{tuple(rows.shape)}; convert and reshape them."
            )
        n = len(rows)
        given = torch.full((n,), 1.0 / n, dtype=torch.float64) if weights is None else weights
        masses = _check_weights(given, n).to(rows.device)
        measure = object.__new__(cls)
        object.__setattr__(measure, "points", rows)
        object.__setattr__(measure, "weights", masses / masses.sum())
        object.__setattr__(measure, "inverse", torch.arange(n, device=rows.device))
        return measure

    def __post_init__(self) -> None:
        """Check, merge equal points, normalise."""
        points = as_float_tensor(self.points, "points", ndim=2)
        if points.shape[0] == 0 or points.shape[1] == 0:
            raise DataError(
                f"points must hold at least one row and one column, got shape "
                f"{tuple(points.shape)}; pass an (n, d) array."
            )
        weights = _check_weights(self.weights, len(points)).to(points.device)
        points, weights, inverse = _merge_equal(points, weights)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "weights", weights / weights.sum())
        object.__setattr__(self, "inverse", inverse)

    @classmethod
    def uniform(cls, points: Any) -> DiscreteMeasure:
        """Return the measure that gives each row of `points` the same mass.

        Parameters
        ----------
        points : array-like of shape (n, d)
            The points; a row that occurs twice gets twice the mass.

        Returns
        -------
        DiscreteMeasure
            Masses 1 / n.
        """
        tensor = as_float_tensor(points, "points", ndim=2)
        n = max(len(tensor), 1)
        return cls(tensor, torch.full((len(tensor),), 1.0 / n, dtype=torch.float64))

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return self.points.shape[1]

    def mean(self) -> Tensor:
        """Return the mean of the measure.

        Returns
        -------
        Tensor of shape (d,), float64, on the CPU
            Sum of the masses times the points.
        """
        return torch.stack([w @ y for w, y in self.chunks()]).sum(dim=0)

    def variances(self) -> Tensor:
        """Return the variance of every coordinate.

        Returns
        -------
        Tensor of shape (d,), float64, on the CPU
            Diagonal of the covariance.
        """
        mean = self.mean()
        return torch.stack([w @ y.sub_(mean).square_() for w, y in self.chunks()]).sum(dim=0)

    def covariance(self) -> Tensor:
        """Return the covariance of the measure.

        Returns
        -------
        Tensor of shape (d, d), float64, on the CPU
            Sum of the masses times the outer products of the centred points.
        """
        mean, total = self.mean(), torch.zeros(self.dim, self.dim, dtype=torch.float64)
        for weights, points in self.chunks():
            scaled = points.sub_(mean).mul_(weights.sqrt()[:, None])
            total += scaled.T @ scaled
        return total

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return masses and points a few rows at a time, so that no copy of all points is made.

        Yields
        ------
        weights : Tensor of shape (m,), float64, on the CPU
            Masses.
        points : Tensor of shape (m, d), float64, on the CPU
            A copy of the points, which the caller may overwrite and the next one overwrites.
        """
        step = min(len(self), max(1, CHUNK_NUMBERS // self.dim))
        room = torch.empty(step, self.dim, dtype=torch.float64)
        for start in range(0, len(self), step):
            points = self.points[start : start + step].detach()
            weights = self.weights[start : start + step].cpu()
            yield weights, room[: len(points)].copy_(points)

    def __len__(self) -> int:
        """Return the number N of distinct points."""
        return len(self.points)


def _tensor_of(points: Any) -> Tensor:
    """Return a tensor that shares the memory of an array, be it a read-only map of a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(points)


def _check_weights(value: Any, n: int) -> Tensor:
    """Return the masses in float64, refused unless positive and of sum one."""
    weights = as_float_tensor(value, "weights").to(torch.float64)
    if weights.shape != (n,):
        raise DataError(
            f"weights must have shape ({n},), one mass per point, got {tuple(weights.shape)}; "
            "pass a vector."
        )
    if n and float(weights.min()) <= 0:
        raise DataError(
            f"weights must be positive, got {float(weights.min())} at row {int(weights.argmin())}; "
            "drop points without mass."
        )
    total = float(weights.sum())
    if n and abs(total - 1) > WEIGHT_SUM_TOLERANCE:
        raise DataError(
            f"weights must sum to 1 within {WEIGHT_SUM_TOLERANCE}, got {total:.8g}; divide them by "
            "their sum."
        )
    return weights


def _groups_of_equals(points: Tensor) -> Tensor:
    """Return the group of equal rows of each; only those are compared that tie in one coordinate."""
    widest = points[:, int(points.var(dim=0, correction=0).argmax())]
    values, order = widest.sort()
    ties = torch.zeros(len(points) + 1, dtype=torch.bool, device=points.device)
    ties[1:-1] = values[1:] == values[:-1]
    tied = order[ties[1:] | ties[:-1]]
    group = torch.arange(len(points), device=points.device)
    if len(tied):
        # +0.0 turns -0.0 into 0.0: equal as numbers, so equal as points
        _, same = torch.unique(points[tied] + 0.0, dim=0, return_inverse=True)
        group[tied] = len(points) + same
        _, group = torch.unique(group, return_inverse=True)
    return group


def _merge_equal(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge equal rows, keeping the order of first appearance."""
    n, group = len(points), _groups_of_equals(points)
    count = int(group.max()) + 1
    if count == n:
        return points, weights, torch.arange(n, device=points.device)
    rows_in_order = torch.arange(n, device=points.device)
    first = torch.full((count,), n, device=points.device)
    first = first.scatter_reduce(0, group, rows_in_order, "amin")  # first row of each group
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(count, device=points.device)
    inverse = rank[group]
    merged = torch.zeros(count, dtype=weights.dtype, device=weights.device)
    merged.index_add_(0, inverse, weights)
    warnings.warn(
        f"{n} points hold {n - count} repeated rows: they were merged into {count} distinct "
        "targets and their masses added.",
        DuplicatePointsWarning,
        stacklevel=5,
    )
    return points[first[order]], merged, inverse
