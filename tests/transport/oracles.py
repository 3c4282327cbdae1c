"""Slow and simple power diagrams for tests: every cell cut by every site, no data structure.

Plane: polygons clipped in numpy. Space: scipy's intersection of half-spaces. Both share no code
with the package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError


@dataclass
class Brute:
    """Integrals over cells: volume, x, |x|^2 per cell; Lebesgue measure per pair i < j."""

    volumes: np.ndarray
    first: np.ndarray
    second: np.ndarray
    facets: dict[tuple[int, int], float]

    @property
    def centroids(self) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.first / self.volumes[:, None]

    @property
    def second_moments(self) -> np.ndarray:
        """Integral of |x - centroid|^2 over each cell."""
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(self.second - self.volumes * (self.centroids**2).sum(1))

    def __mul__(self, density: float) -> Brute:
        scaled = {pair: density * size for pair, size in self.facets.items()}
        return Brute(density * self.volumes, density * self.first, density * self.second, scaled)

    def __add__(self, other: Brute) -> Brute:
        pairs = self.facets.keys() | other.facets.keys()
        total = {p: self.facets.get(p, 0.0) + other.facets.get(p, 0.0) for p in pairs}
        return Brute(
            self.volumes + other.volumes,
            self.first + other.first,
            self.second + other.second,
            total,
        )


def box_halfspaces(low, high):
    """Return (normals, offsets) of the box: <n, x> <= b."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    eye = np.eye(len(low))
    return np.concatenate([eye, -eye]), np.concatenate([high, -low])


def brute(points, heights, normals, offsets) -> Brute:
    """Return all integrals over the power cells of a bounded domain <n, x> <= b."""
    points, heights = np.asarray(points, float), np.asarray(heights, float)
    n, d = points.shape
    found = Brute(np.zeros(n), np.zeros((n, d)), np.zeros(n), {})
    for j in range(n):
        if d == 2:
            integrals, sizes = _integrate_2d(*cell_2d(j, points, heights, normals, offsets))
        else:
            integrals, sizes = _integrate_3d(j, points, heights, normals, offsets)
        found.volumes[j], found.first[j], found.second[j] = integrals
        for k, size in sizes.items():
            if k > j:
                found.facets[j, k] = size
    return found


def brute_grid(points, heights, values, low, high) -> Brute:
    """Return the integrals for a density constant on each pixel; axis a of `values` is x_a."""
    values, low, high = np.asarray(values, float), np.asarray(low, float), np.asarray(high, float)
    side = (high - low) / values.shape
    density = values / (values.sum() * side.prod())
    parts = []
    for place in np.ndindex(*values.shape):
        corner = low + side * place
        part = brute(points, heights, *box_halfspaces(corner, corner + side))
        parts.append(part * density[place])
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


# -- the plane -------------------------------------------------------------------------------------


def cell_2d(j, points, heights, normals, offsets):
    """Return the corners of cell j, anticlockwise, and what lies across each edge.

    Edge i runs from corner i to the next; its label is the site across, or -1 - f.
    """
    size = 1e3 * (1 + np.abs(offsets / np.linalg.norm(normals, axis=1)).max())
    corners = size * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    labels = np.full(4, -(10**6))
    for f in range(len(offsets)):
        corners, labels = clip(corners, labels, normals[f], offsets[f], -1 - f)
    left = np.ones(len(points), dtype=bool)
    left[j] = False
    while len(corners) and left.any():
        gaps = corners @ (points - points[j]).T + heights - heights[j]
        worst = np.where(left, gaps.max(0), -np.inf)
        k = int(worst.argmax())
        if worst[k] <= 0:
            break
        left[k] = False
        corners, labels = clip(corners, labels, points[k] - points[j], heights[j] - heights[k], k)
    return corners, labels


def clip(corners, labels, normal, offset, label):
    """Cut a convex polygon by <normal, x> <= offset; the new edge bears `label`."""
    value = corners @ normal - offset
    new_corners, new_labels = [], []
    for i in range(len(corners)):
        k = (i + 1) % len(corners)
        if value[i] <= 0:
            new_corners.append(corners[i])
            new_labels.append(labels[i])
        if (value[i] <= 0) != (value[k] <= 0):
            t = value[i] / (value[i] - value[k])
            new_corners.append(corners[i] + t * (corners[k] - corners[i]))
            new_labels.append(label if value[i] <= 0 else labels[i])
    if len(new_corners) < 3:
        return np.zeros((0, 2)), np.zeros(0, dtype=int)
    return np.array(new_corners), np.array(new_labels)


def polygon_integrals(corners):
    """Return area, integral of x, integral of |x|^2 of an anticlockwise polygon."""
    if len(corners) < 3:
        return 0.0, np.zeros(2), 0.0
    origin = corners.mean(0)
    a = corners - origin
    b = np.roll(a, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = cross.sum() / 2
    first = ((a + b) * cross[:, None]).sum(0) / 6
    second = (((a * a) + a * b + b * b).sum(1) * cross).sum() / 12
    return (
        area,
        first + area * origin,
        second + 2 * first @ origin + area * origin @ origin,
    )


def _integrate_2d(corners, labels):
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    sizes: dict[int, float] = {}
    for label, length in zip(labels.tolist(), lengths.tolist(), strict=True):
        sizes[label] = sizes.get(label, 0.0) + length
    return polygon_integrals(corners), sizes


# -- space -----------------------------------------------------------------------------------------


def _integrate_3d(j, points, heights, normals, offsets):
    others = np.delete(np.arange(len(points)), j)
    planes = np.concatenate([points[others] - points[j], normals])
    right = np.concatenate([heights[j] - heights[others], offsets])
    labels = np.concatenate([others, -1 - np.arange(len(offsets))])
    norms = np.linalg.norm(planes, axis=1)
    centre, radius = _inner_ball(planes / norms[:, None], right / norms)
    if radius <= 1e-12:
        return (0.0, np.zeros(3), 0.0), {}
    stacked = np.c_[planes / norms[:, None], -right / norms]
    try:
        found = HalfspaceIntersection(stacked, centre)
    except QhullError:
        return (0.0, np.zeros(3), 0.0), {}
    sizes = {}
    for row, label in enumerate(labels.tolist()):
        on = np.array([row in facet for facet in found.dual_facets])
        if on.sum() >= 3:
            sizes[label] = _flat_area(found.intersections[on], planes[row] / norms[row])
    return polyhedron_integrals(found.intersections), sizes


def polyhedron_integrals(corners):
    """Return volume, integral of x, integral of |x|^2 of the convex hull of the corners."""
    origin = corners.mean(0)
    moved = corners - origin
    faces = moved[ConvexHull(moved).simplices]
    volumes = np.abs(np.linalg.det(faces)) / 6
    total = faces.sum(1)
    first = (volumes[:, None] * total / 4).sum(0)
    squares = (faces**2).sum((1, 2)) + (total**2).sum(1)
    second = (volumes * squares / 20).sum()
    volume = volumes.sum()
    return (
        volume,
        first + volume * origin,
        second + 2 * first @ origin + volume * origin @ origin,
    )


def _inner_ball(unit_normals, right):
    """Return centre and radius of the largest ball in the intersection."""
    d = unit_normals.shape[1]
    found = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.c_[unit_normals, np.ones(len(right))],
        b_ub=right,
        bounds=[(None, None)] * d + [(None, None)],
    )
    return (found.x[:-1], found.x[-1]) if found.status == 0 else (np.zeros(d), -1.0)


def _flat_area(corners, normal):
    """Return the area of a convex polygon in space given by unordered corners."""
    frame = np.linalg.svd(normal[None])[2][1:]
    flat = (corners - corners.mean(0)) @ frame.T
    try:
        return ConvexHull(flat).volume
    except QhullError:
        return 0.0
