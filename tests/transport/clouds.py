"""Sites and heights that are hard on a power diagram, by name, in the plane and in space."""

from __future__ import annotations

import numpy as np

NAMES = [
    "random",
    "clustered",
    "grid",
    "shaken grid",
    "cospherical",
    "collinear on an axis",
    "collinear on a diagonal",
    "coplanar",
    "far away",
    "shifted",
    "outside",
    "some very low",
    "geometric scales",
    "two",
    "one",
]


def voronoi(points):
    """Heights whose cells are the Voronoi cells."""
    return -0.5 * (points**2).sum(1)


def shrunk(points, scale):
    """Heights whose cells are the Voronoi cells of points shrunk around the middle 1/2."""
    moved = 0.5 + (points - points.mean(0)) / scale
    return -0.5 * scale * (moved**2).sum(1)


def cloud(name, d, seed=0, n=None):
    """Return (points, heights) of the named cloud, meant for the domain [0, 1]^d."""
    rng = np.random.default_rng(seed)
    n = n or (60 if d == 2 else 18)
    noise = 0.02 * rng.random(n)
    points = rng.random((n, d))
    if name == "random":
        return points, voronoi(points) + noise
    if name == "clustered":
        points = rng.random((3, d))[rng.integers(3, size=n)] + 1e-3 * rng.standard_normal((n, d))
        return points, voronoi(points) + 1e-6 * rng.random(n)
    if name in ("grid", "shaken grid"):
        k = round(n ** (1 / d))
        side = (np.arange(k) + 0.5) / k
        points = np.stack(np.meshgrid(*[side] * d, indexing="ij"), -1).reshape(-1, d)
        if name == "shaken grid":
            points = points + 1e-9 * rng.standard_normal(points.shape)
        return points, voronoi(points)
    if name == "cospherical":
        angle = 2 * np.pi * np.arange(12) / 12
        points = np.stack([np.cos(angle), np.sin(angle), np.zeros(12)], 1)[:, :d]
        if d == 3:  # corners of a cube and of an octahedron on one sphere
            cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3) / np.sqrt(3)
            points = np.concatenate([cube, np.eye(3), -np.eye(3)])
        points = 0.5 + 0.4 * points
        return points, voronoi(points)
    if name.startswith("collinear"):
        line = np.eye(d)[0] if name.endswith("axis") else np.arange(1.0, d + 1) / d
        points = 0.25 + 0.5 * np.outer(rng.random(n), line)
        return points, voronoi(points) + 0.1 * noise
    if name == "coplanar":
        points[:, -1] = 0.3 * points[:, 0] + 0.2
        return points, voronoi(points) + 0.1 * noise
    if name == "far away":
        points = 50 * rng.standard_normal((n, d))
        points[0] = 1e4
        return points, shrunk(points, 1e5)
    if name == "shifted":
        return points + 1e3, voronoi(points) + noise  # a translation keeps the heights
    if name == "outside":
        points = points + 1.5
        return points, shrunk(points, 3.0) + noise
    if name == "some very low":
        return points, voronoi(points) - np.where(rng.random(n) < 0.5, 10.0, 0.0)
    if name == "geometric scales":
        points = 0.5 + 0.5 ** (1 + np.arange(n) % 20)[:, None] * rng.uniform(-1, 1, (n, d))
        return points, voronoi(points)
    points = points[: {"two": 2, "one": 1}[name]]
    return points, voronoi(points)
