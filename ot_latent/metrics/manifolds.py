"""Four known manifolds in a high-dimensional space, with exact distances to them.

Each is a curve or surface in R^2 or R^3, placed in R^ambient by a random isometry (orthonormal
columns Q), plus Gaussian noise. They answer a question that real data cannot: does
decode(encode(x)) lie on the manifold that the data came from?
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ot_latent._random import Stream, generator, rows
from ot_latent._validation import check_array, check_positive

_GRID = 2048
_CHUNK = 2048
_NEWTON_STEPS = 12


class ManifoldSample(NamedTuple):
    """Rows drawn from a known manifold.

    Attributes
    ----------
    points : numpy.ndarray
        Noisy points, shape (n, ambient).
    clean : numpy.ndarray
        The same points before the noise, shape (n, ambient).
    parameters : numpy.ndarray
        Intrinsic coordinates, shape (n, dimension).
    """

    points: np.ndarray
    clean: np.ndarray
    parameters: np.ndarray


@dataclass(frozen=True)
class KnownManifold(ABC):
    """A compact curve or surface in R^k, placed in R^ambient by a random isometry.

    Parameters
    ----------
    ambient : int, default=50
        Dimension of the space that the points live in.
    isometry_seed : int, default=0
        Seed of the isometry; samples with different seeds share the manifold.
    """

    ambient: int = 50
    isometry_seed: int = 0

    dimension: ClassVar[int] = 0
    own_dimension: ClassVar[int] = 3

    def __post_init__(self) -> None:
        """Refuse an ambient space that is too small for the manifold."""
        check_positive(self.ambient, "ambient", integer=True)
        if self.ambient < self.own_dimension:
            raise ValueError(
                f"ambient must be at least {self.own_dimension}, got {self.ambient}; "
                f"{type(self).__name__} needs {self.own_dimension} axes."
            )

    @property
    def frame(self) -> np.ndarray:
        """Orthonormal columns that span the manifold's own space, shape (ambient, k)."""
        rng = generator(self.isometry_seed, Stream.MANIFOLD, 0, 1, self.ambient)
        q, r = np.linalg.qr(rng.standard_normal((self.ambient, self.own_dimension)))
        return q * np.sign(np.diag(r))

    def sample(self, n: int, *, seed: int, noise: float = 0.0, start: int = 0) -> ManifoldSample:
        """Draw points uniformly by length or area, plus noise in every ambient direction.

        Row i is a function of (seed, start + i) alone.

        Parameters
        ----------
        n : int
            Number of points.
        seed : int
            Seed of the draw.
        noise : float, default=0
            Standard deviation of the noise per ambient coordinate; a noisy point lies about
            noise * sqrt(ambient - dimension) away from the manifold.
        start : int, default=0
            Number of the first row.

        Returns
        -------
        ManifoldSample
            Noisy points, clean points and intrinsic coordinates.

        Examples
        --------
        >>> roll = SwissRoll()
        >>> roll.sample(5, seed=0).points.shape
        (5, 50)
        """
        check_positive(n, "n", integer=True)
        uniforms = rows(
            seed, Stream.MANIFOLD, start, start + n, lambda g, m: g.random((m, 2)), self.dimension
        )
        normals = rows(
            seed,
            Stream.MANIFOLD,
            start,
            start + n,
            lambda g, m: g.standard_normal((m, self.ambient)),
            self.dimension,
            self.ambient,
        )
        parameters = self.parameters(uniforms)
        clean = self.surface(parameters) @ self.frame.T
        return ManifoldSample(clean + noise * normals, clean, parameters)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the Euclidean distance of each point to the manifold.

        Parameters
        ----------
        points : array-like
            Shape (n, ambient).

        Returns
        -------
        numpy.ndarray
            Shape (n,), float64.

        Examples
        --------
        >>> sphere = SphereWithHole()
        >>> bool(sphere.distance(sphere.sample(9, seed=1).clean).max() < 1e-7)
        True
        """
        points = check_array(points, "points", ndim=2).astype(np.float64, copy=False)
        if points.shape[1] != self.ambient:
            raise ValueError(
                f"points must have {self.ambient} columns, got {points.shape[1]}; "
                "pass points of the space that the manifold lives in."
            )
        own = points @ self.frame
        # not |x|^2 - |Q'x|^2: that loses half of the digits near the manifold
        outside = ((points - own @ self.frame.T) ** 2).sum(1)
        inside = ((own - self.surface(self.project(own))) ** 2).sum(1)
        return np.sqrt(outside + inside)

    @abstractmethod
    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """Turn two uniform numbers per row into intrinsic coordinates, uniform by volume.

        Parameters
        ----------
        uniforms : numpy.ndarray
            Shape (n, 2), in [0, 1).

        Returns
        -------
        numpy.ndarray
            Shape (n, dimension).
        """

    @abstractmethod
    def surface(self, parameters: np.ndarray) -> np.ndarray:
        """Evaluate the parametrisation.

        Parameters
        ----------
        parameters : numpy.ndarray
            Shape (n, dimension).

        Returns
        -------
        numpy.ndarray
            Shape (n, own_dimension).
        """

    @abstractmethod
    def project(self, own: np.ndarray) -> np.ndarray:
        """Return the intrinsic coordinates of the closest point of the manifold.

        Parameters
        ----------
        own : numpy.ndarray
            Points of the manifold's own space, shape (n, own_dimension).

        Returns
        -------
        numpy.ndarray
            Shape (n, dimension).
        """


@dataclass(frozen=True)
class ArchimedeanSpiral(KnownManifold):
    """The curve t (cos t, sin t) / last for first <= t <= last: one turn lies beside the next.

    Parameters
    ----------
    ambient, isometry_seed : int
        See `KnownManifold`.
    first, last : float
        Range of the angle t in radians.
    """

    first: float = 1.5 * np.pi
    last: float = 4.5 * np.pi

    dimension: ClassVar[int] = 1
    own_dimension: ClassVar[int] = 2

    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """See `KnownManifold.parameters`."""
        return _spiral_angle(uniforms[:, :1], self.first, self.last)

    def surface(self, parameters: np.ndarray) -> np.ndarray:
        """See `KnownManifold.surface`."""
        t = parameters[:, 0]
        return np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / self.last

    def project(self, own: np.ndarray) -> np.ndarray:
        """See `KnownManifold.project`."""
        return _nearest_angle(own * self.last, self.first, self.last)[:, None]


@dataclass(frozen=True)
class SwissRoll(ArchimedeanSpiral):
    """The spiral times an interval: a sheet rolled up, flat but folded in R^3.

    Parameters
    ----------
    ambient, isometry_seed : int
        See `KnownManifold`.
    first, last : float
        Range of the angle t in radians.
    width : float, default=1
        Length of the interval, where the spiral's outer radius is 1.
    """

    width: float = 1.0

    dimension: ClassVar[int] = 2
    own_dimension: ClassVar[int] = 3

    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """See `KnownManifold.parameters`."""
        angle = _spiral_angle(uniforms[:, :1], self.first, self.last)
        return np.concatenate([angle, self.width * (uniforms[:, 1:] - 0.5)], axis=1)

    def surface(self, parameters: np.ndarray) -> np.ndarray:
        """See `KnownManifold.surface`."""
        return np.concatenate([super().surface(parameters), parameters[:, 1:]], axis=1)

    def project(self, own: np.ndarray) -> np.ndarray:
        """See `KnownManifold.project`."""
        height = np.clip(own[:, 2:], -self.width / 2, self.width / 2)
        return np.concatenate([super().project(own[:, :2]), height], axis=1)


@dataclass(frozen=True)
class SphereWithHole(KnownManifold):
    """The unit sphere without the cap z > cos(opening): curved, and not a disk by any projection.

    Parameters
    ----------
    ambient, isometry_seed : int
        See `KnownManifold`.
    opening : float, default=pi/4
        Angle between the axis and the rim of the hole, in radians.
    """

    opening: float = np.pi / 4

    dimension: ClassVar[int] = 2

    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """See `KnownManifold.parameters`; columns are the height z and the longitude."""
        height = -1.0 + uniforms[:, 0] * (1.0 + np.cos(self.opening))  # Archimedes: z is uniform
        return np.stack([height, 2.0 * np.pi * uniforms[:, 1]], axis=1)

    def surface(self, parameters: np.ndarray) -> np.ndarray:
        """See `KnownManifold.surface`."""
        height, longitude = parameters.T
        radius = np.sqrt(np.maximum(1.0 - height**2, 0.0))
        return np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height], axis=1)

    def project(self, own: np.ndarray) -> np.ndarray:
        """See `KnownManifold.project`: radially, then down to the rim where the hole is."""
        norm = np.linalg.norm(own, axis=1)
        # every point of the manifold is equally far from the centre: any choice is closest
        height = np.where(norm > 0, own[:, 2] / np.where(norm > 0, norm, 1.0), -1.0)
        longitude = np.arctan2(own[:, 1], own[:, 0])
        return np.stack([np.minimum(height, np.cos(self.opening)), longitude], axis=1)


@dataclass(frozen=True)
class TorusPatch(KnownManifold):
    """A rectangle of angles on a torus: curvature of both signs in one patch.

    Parameters
    ----------
    ambient, isometry_seed : int
        See `KnownManifold`.
    major, minor : float
        Radius of the axis circle and of the tube, minor < major.
    around, across : float
        Extent of the patch along the axis circle and around the tube, in radians, each centred.
    """

    major: float = 1.0
    minor: float = 0.4
    around: float = 1.5 * np.pi
    across: float = 1.5 * np.pi

    dimension: ClassVar[int] = 2

    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """See `KnownManifold.parameters`."""
        u = self.around * (uniforms[:, 0] - 0.5)
        grid = self.across * (np.linspace(0.0, 1.0, _GRID) - 0.5)
        area = self.major * grid + self.minor * np.sin(grid)
        share = (area - area[0]) / (area[-1] - area[0])
        return np.stack([u, np.interp(uniforms[:, 1], share, grid)], axis=1)

    def surface(self, parameters: np.ndarray) -> np.ndarray:
        """See `KnownManifold.surface`."""
        u, v = parameters.T
        ring = self.major + self.minor * np.cos(v)
        return np.stack([ring * np.cos(u), ring * np.sin(u), self.minor * np.sin(v)], axis=1)

    def project(self, own: np.ndarray) -> np.ndarray:
        """See `KnownManifold.project`: the closest u is the same for every v, so two steps do."""
        u = _clip_angle(np.arctan2(own[:, 1], own[:, 0]), self.around / 2)
        along = own[:, 0] * np.cos(u) + own[:, 1] * np.sin(u)
        v = _clip_angle(np.arctan2(own[:, 2], along - self.major), self.across / 2)
        return np.stack([u, v], axis=1)


def _clip_angle(angle: np.ndarray, half: float) -> np.ndarray:
    """Return the angle of [-half, half] with the largest cosine of the difference."""
    return np.clip(angle, -half, half)  # angle in (-pi, pi]: the nearer end is the nearer one


def _spiral_angle(uniforms: np.ndarray, first: float, last: float) -> np.ndarray:
    """Angles whose points are uniform by arc length, (t sqrt(1 + t^2) + asinh t) / 2."""
    grid = np.linspace(first, last, _GRID)
    length = (grid * np.sqrt(1.0 + grid**2) + np.arcsinh(grid)) / 2.0
    return np.interp(uniforms, (length - length[0]) / (length[-1] - length[0]), grid)


def _nearest_angle(plane: np.ndarray, first: float, last: float) -> np.ndarray:
    """Angle of the spiral's point closest to each point of the plane: grid, then Newton."""
    parts = [
        _nearest_angle_chunk(plane[i : i + _CHUNK], first, last)
        for i in range(0, len(plane), _CHUNK)
    ]
    return np.concatenate(parts)


def _nearest_angle_chunk(plane: np.ndarray, first: float, last: float) -> np.ndarray:
    """Minimise f(t) = |t e(t) - p|^2 / 2 = (t^2 - 2 t <p, e(t)> + |p|^2) / 2."""
    grid = np.linspace(first, last, _GRID)
    ends = grid[:, None] * np.stack([np.cos(grid), np.sin(grid)], axis=1)
    scores = plane @ ends.T - grid**2 / 2.0
    t = start = grid[scores.argmax(1)]
    step = grid[1] - grid[0]
    for _ in range(_NEWTON_STEPS):
        along = plane[:, 0] * np.cos(t) + plane[:, 1] * np.sin(t)
        across = plane[:, 1] * np.cos(t) - plane[:, 0] * np.sin(t)
        slope = t - along - t * across
        curvature = 1.0 - 2.0 * across + t * along
        move = np.where(curvature > 0, slope / np.where(curvature > 0, curvature, 1.0), 0.0)
        t = np.clip(np.clip(t - move, start - step, start + step), first, last)
    return t


KNOWN_MANIFOLDS: dict[str, type[KnownManifold]] = {
    "archimedean_spiral": ArchimedeanSpiral,
    "swiss_roll": SwissRoll,
    "sphere_with_hole": SphereWithHole,
    "torus_patch": TorusPatch,
}
