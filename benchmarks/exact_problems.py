"""The problems of the exact solvers: N sites of equal mass in the unit square or cube.

``uniform`` draws sites uniformly. ``corner`` is the hard case: a mixture of five Gaussians whose
centres lie in [.05, .25]^d, deviation .02, every site inside the box, so that most of the source
has far to go. The source is uniform on [0, 1]^d throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 0
KINDS = ("uniform", "corner")


@dataclass(frozen=True)
class ExactProblem:
    """N sites of equal mass; the same for every solver."""

    dim: int
    n: int
    kind: str

    @property
    def points(self) -> np.ndarray:
        """Return the sites, float64 of shape (n, dim)."""
        rng = np.random.default_rng(SEED)
        if self.kind == "uniform":
            return rng.random((self.n, self.dim))
        if self.kind != "corner":
            raise ValueError(f"kind must be one of {KINDS}, got {self.kind!r}.")
        centres = 0.05 + 0.2 * rng.random((5, self.dim))
        points = np.empty((0, self.dim))
        while len(points) < self.n:
            drawn = centres[rng.integers(5, size=self.n)]
            drawn = drawn + 0.02 * rng.standard_normal(drawn.shape)
            points = np.concatenate([points, drawn[((drawn > 0) & (drawn < 1)).all(axis=1)]])
        return points[: self.n]

    def save(self, path: Path) -> Path:
        """Write the sites for another process."""
        np.savez(path, points=self.points)
        return path
