"""Sources for the exact solver: uniform on a convex polytope, or a density given on a grid (d <= 3)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.transport.sources import Source, UniformBall, UniformBox

MAX_DIM = 3
FLAT = 1e-10  # an inscribed ball smaller than this share of the diameter is no interior


class DensityFloorWarning(UserWarning):
    """Pixels of a density below the floor were raised to it."""


@dataclass(frozen=True, eq=False)
class UniformPolytope(Source):
    r"""Uniform probability on the convex polytope :math:`\{x : \langle n_i, x\rangle \le b_i\}`.

    Parameters
    ----------
    normals : array-like of shape (m, d)
        Outer normals :math:`n_i`, d <= 3; they need not have unit length.
    offsets : array-like of shape (m,)
        Offsets :math:`b_i`.

    Attributes
    ----------
    vertices : ndarray of shape (v, d)
        Corners.
    volume : float
        Lebesgue measure.

    Raises
    ------
    DataError
        If the polytope is empty, flat or unbounded, or d > 3.

    Examples
    --------
    >>> triangle = UniformPolytope([[-1, 0], [0, -1], [1, 1]], [0, 0, 1])
    >>> round(triangle.volume, 6), [round(x, 6) for x in triangle.mean.tolist()]
    (0.5, [0.333333, 0.333333])
    """

    normals: Tensor
    offsets: Tensor
    vertices: np.ndarray = field(init=False, repr=False)
    volume: float = field(init=False, repr=False)
    _simplices: np.ndarray = field(init=False, repr=False)  # (s, d + 1, d) corners
    _shares: np.ndarray = field(init=False, repr=False)  # (s,) volumes over the whole

    def __post_init__(self) -> None:
        """Find the corners and cut the polytope into simplices."""
        normals = as_float_tensor(self.normals, "normals", ndim=2).to("cpu", torch.float64)
        offsets = as_float_tensor(self.offsets, "offsets", ndim=1).to("cpu", torch.float64)
        if len(normals) != len(offsets) or not 1 <= normals.shape[1] <= MAX_DIM:
            raise DataError(
                f"normals and offsets must have shapes (m, d) and (m,) with d <= {MAX_DIM}, got "
                f"{tuple(normals.shape)} and {tuple(offsets.shape)}; pass one offset per row."
            )
        vertices = polytope_vertices(normals.numpy(), offsets.numpy())
        simplices = _simplices_of(vertices)
        volumes = np.abs(np.linalg.det(simplices[:, 1:] - simplices[:, :1]))
        volumes /= math.factorial(vertices.shape[1])
        object.__setattr__(self, "normals", normals)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "volume", float(volumes.sum()))
        object.__setattr__(self, "_simplices", simplices)
        object.__setattr__(self, "_shares", volumes / volumes.sum())

    @classmethod
    def from_vertices(cls, vertices: Any) -> UniformPolytope:
        """Return the uniform probability on the convex hull of points.

        Parameters
        ----------
        vertices : array-like of shape (v, d)
            Points that span the space, d = 2 or 3.

        Returns
        -------
        UniformPolytope
            Their convex hull.
        """
        from scipy.spatial import ConvexHull, QhullError

        points = as_float_tensor(vertices, "vertices", ndim=2).double().numpy()
        try:
            equations = np.unique(ConvexHull(points).equations, axis=0)
        except (QhullError, ValueError) as error:
            raise DataError(
                f"vertices must span a space of dimension 2 or 3, got {len(points)} points of "
                f"dimension {points.shape[1]} without interior; add points off their common plane."
            ) from error
        return cls(torch.from_numpy(equations[:, :-1]), torch.from_numpy(-equations[:, -1]))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.vertices.shape[1]

    @property
    def mean(self) -> Tensor:
        """Centre of mass."""
        return torch.from_numpy(self._shares @ self._simplices.mean(axis=1))

    @property
    def covariance(self) -> Tensor:
        """Covariance, summed over the simplices."""
        corners = self._simplices - self.mean.numpy()
        total, d = corners.sum(axis=1), self.dim
        square = np.einsum("ski,skj->sij", corners, corners) + np.einsum("si,sj->sij", total, total)
        return torch.from_numpy(np.einsum("s,sij->ij", self._shares, square) / (d + 1) / (d + 2))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""
        return {
            "kind": "polytope",
            "normals": self.normals.tolist(),
            "offsets": self.offsets.tolist(),
        }

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        uniforms = rng.random((n, self.dim + 1))
        which = np.searchsorted(np.cumsum(self._shares)[:-1], uniforms[:, 0], side="right")
        cuts = np.sort(uniforms[:, 1:], axis=1)  # spacings of uniforms are uniform on a simplex
        ends = np.zeros((n, 1)), np.ones((n, 1))
        weights = np.diff(np.concatenate([ends[0], cuts, ends[1]], axis=1), axis=1)
        return np.einsum("nk,nkd->nd", weights, self._simplices[which])


@dataclass(frozen=True, eq=False)
class GridDensity(Source):
    """Piecewise-constant density on the pixels of a box: an image as the source (d = 2 or 3).

    Parameters
    ----------
    values : array-like of shape (n_1, ..., n_d)
        Densities up to a factor; axis i of the array is coordinate i, growing with the index.
    low, high : array-like of shape (d,)
        Corners of the box.
    floor : float, default=1e-3
        Values below this share of the mean are raised to it, with a `DensityFloorWarning`: where
        there is no mass, no cell can be told from another.

    Attributes
    ----------
    values : ndarray
        Probability densities; times the volume of a pixel they sum to one.

    Raises
    ------
    DataError
        If the values are negative, not finite or all zero, or the box has no interior.

    Examples
    --------
    >>> GridDensity([[1.0, 3.0]], [0, 0], [1, 1]).mean.tolist()
    [0.5, 0.625]
    """

    values: np.ndarray
    low: Tensor
    high: Tensor
    floor: float = 1e-3

    def __post_init__(self) -> None:
        """Check the box, raise what is too small, and normalise."""
        low = as_float_tensor(self.low, "low", ndim=1).to("cpu", torch.float64)
        high = as_float_tensor(self.high, "high", ndim=1).to("cpu", torch.float64)
        values = as_float_tensor(self.values, "values").to("cpu", torch.float64).numpy()
        d = values.ndim
        if d not in (2, 3) or low.shape != (d,) or high.shape != (d,) or values.size == 0:
            raise DataError(
                f"values must be a grid of 2 or 3 axes with one corner coordinate each, got shape "
                f"{values.shape} and corners of length {len(low)} and {len(high)}; pass an image."
            )
        if not bool((low < high).all()):
            raise DataError(
                f"low must be below high in every coordinate, got {low.tolist()} and "
                f"{high.tolist()}; swap or widen them."
            )
        check_positive(self.floor, "floor")
        density = _floored(values, self.floor)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        cell = float(torch.prod((high - low) / torch.tensor(values.shape)))
        object.__setattr__(self, "values", density / (density.sum() * cell))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.values.ndim

    @property
    def mean(self) -> Tensor:
        """Mean of the density."""
        shares, axes = self._shares(), self._axes()
        means = [np.tensordot(shares, axes[i], axes=([i], [0])).sum() for i in range(self.dim)]
        return torch.tensor(means, dtype=torch.float64)

    @property
    def covariance(self) -> Tensor:
        """Covariance of the density."""
        centres = np.stack(np.meshgrid(*self._axes(), indexing="ij"), axis=-1)
        centred = centres.reshape(-1, self.dim) - self.mean.numpy()
        inner = np.diag(self._steps() ** 2 / 12)
        return torch.from_numpy((centred.T * self._shares().ravel()) @ centred + inner)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""
        return {
            "kind": "grid",
            "values": self.values.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "floor": self.floor,
        }

    def _steps(self) -> np.ndarray:
        return (self.high - self.low).numpy() / np.array(self.values.shape)

    def _axes(self) -> list[np.ndarray]:
        """Centres of the pixels along each coordinate."""
        steps, low = self._steps(), self.low.numpy()
        return [low[i] + steps[i] * (np.arange(n) + 0.5) for i, n in enumerate(self.values.shape)]

    def _shares(self) -> np.ndarray:
        return self.values / self.values.sum()

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        uniforms = rng.random((n, self.dim + 1))
        cumulated = np.cumsum(self._shares().ravel())[:-1]
        flat = np.searchsorted(cumulated, uniforms[:, 0], side="right")
        pixel = np.stack(np.unravel_index(flat, self.values.shape), axis=1)
        return self.low.numpy() + self._steps() * (pixel + uniforms[:, 1:])


def _floored(values: np.ndarray, floor: float) -> np.ndarray:
    """Return the values with those below the floor raised, and say so."""
    if values.min() < 0 or values.max() <= 0:
        raise DataError(
            f"values must be non-negative densities with a positive one, got a range of "
            f"{values.min():g} to {values.max():g}; shift or invert the image."
        )
    least = floor * float(values.mean())
    raised = int((values < least).sum())
    if raised:
        warnings.warn(
            f"{raised} of {values.size} pixels lie below {floor:g} of the mean density and were "
            "raised to it; pass floor= to change that.",
            DensityFloorWarning,
            stacklevel=4,
        )
    return np.maximum(values, least)


def polytope_vertices(normals: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the corners of ``{x : normals @ x <= offsets}``.

    Parameters
    ----------
    normals : ndarray of shape (m, d)
        Outer normals.
    offsets : ndarray of shape (m,)
        Offsets.

    Returns
    -------
    ndarray of shape (v, d)
        Corners, in no particular order.

    Raises
    ------
    DataError
        If the set is empty, flat or unbounded.
    """
    lengths = np.linalg.norm(normals, axis=1)
    if not lengths.all():
        raise DataError("normals must not be zero vectors, got one; drop that row.")
    normals, offsets = normals / lengths[:, None], offsets / lengths
    centre = _inner_point(normals, offsets)
    if normals.shape[1] == 1:
        right, left = normals[:, 0] > 0, normals[:, 0] < 0
        ends = [-offsets[left].min(), offsets[right].min()]
        return np.array([[ends[0]], [ends[1]]])
    from scipy.spatial import HalfspaceIntersection

    corners = HalfspaceIntersection(
        np.column_stack([normals, -offsets]), centre, qhull_options="Qt"
    ).intersections
    scale = np.abs(corners - centre).max()
    _, first = np.unique(np.round((corners - centre) / (1e-12 * scale)), axis=0, return_index=True)
    return corners[np.sort(first)]


def _inner_point(normals: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the centre of the largest inscribed ball, or refuse a set that has none."""
    from scipy.optimize import linprog

    d = normals.shape[1]
    for axis in range(2 * d):  # bounded: every coordinate has a largest and a smallest value
        direction = np.eye(d)[axis % d] * (1.0 if axis < d else -1.0)
        reach = linprog(direction, A_ub=normals, b_ub=offsets, bounds=[(None, None)] * d)
        if reach.status == 2:
            raise DataError(
                "the domain must have an interior, got half-spaces without a common point; check "
                "the signs of normals and offsets (inside is <n, x> <= b)."
            )
        if reach.status != 0:
            raise DataError(
                "the domain must be bounded, got half-spaces that leave a direction open; add the "
                "sides of a box."
            )
    ball = linprog(
        np.r_[np.zeros(d), -1.0],
        A_ub=np.column_stack([normals, np.ones(len(normals))]),
        b_ub=offsets,
        bounds=[(None, None)] * d + [(0, None)],
    )
    if ball.x[-1] <= FLAT * max(1.0, np.abs(ball.x[:-1]).max()):
        raise DataError(
            "the domain must have an interior, got half-spaces that meet in a flat set; move "
            "opposite sides apart."
        )
    return ball.x[:-1]


def _simplices_of(vertices: np.ndarray) -> np.ndarray:
    """Return simplices (s, d + 1, d) that tile the convex hull of the corners."""
    if vertices.shape[1] == 1:
        return np.sort(vertices, axis=0)[None]
    from scipy.spatial import Delaunay

    return vertices[Delaunay(vertices, qhull_options="Qt Qbb Qc Qz").simplices]


def half_spaces(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return normals and offsets of a source's domain ``{x : normals @ x <= offsets}``.

    Parameters
    ----------
    source : Source
        A box, grid or polytope; a ball in one dimension.

    Returns
    -------
    normals : ndarray of shape (m, d)
        Outer normals.
    offsets : ndarray of shape (m,)
        Offsets.

    Raises
    ------
    DataError
        If the source's domain is not a bounded polytope.
    """
    if isinstance(source, UniformPolytope):
        return source.normals.numpy(), source.offsets.numpy()
    identity = np.eye(source.dim)
    if isinstance(source, UniformBox | GridDensity):
        ends = np.concatenate([source.high.numpy(), -source.low.numpy()])
        return np.concatenate([identity, -identity]), ends
    if isinstance(source, UniformBall) and source.dim == 1:
        return np.concatenate([identity, -identity]), np.full(2, source.radius)
    raise DataError(
        "source must be a UniformBox, UniformPolytope or GridDensity for exact cells, got "
        f"{type(source).__name__} of dimension {source.dim}; use StochasticNewton for others."
    )
