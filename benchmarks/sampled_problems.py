"""The problems of the race of sampled solvers, by name, each with a small one of the same kind.

Mixtures are those of `problem.Problem`; codes are read from a file; pixels come from Fashion-MNIST;
the power law stands for a set of small colour images where none is at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.fft import idct

from benchmarks.problem import Problem
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Gaussian, Source, UniformBox

TUNING_N = 1_000
KINDS = ("mixture", "codes", "pixels", "power", "contrast")
NAMES = (
    "mixture-1000-10",
    "mixture-10000-32",
    "mixture-60000-64",
    "mixture-1000000-32",
    "codes-60000-32",
    "pixels-60000-784",
    "power-50000-3072",
    "contrast-50000-3072",
)
LEVELS = (0.5, 0.2, 0.1)
LARGE = 60_000  # from here on a peer is stopped at ten times our time to 0.2
MILLION = 1_000_000
SEED = 7
CONTRAST = 0.3


@dataclass(frozen=True)
class SampledProblem:
    """N equal masses in R^d and a source; the name is kind-N-d."""

    kind: str
    n: int
    dim: int
    codes: Path | None = None

    @classmethod
    def named(cls, name: str, codes: Path | None = None) -> SampledProblem:
        """Read a name such as mixture-1000-10."""
        kind, *sizes = name.split("-")
        if kind not in KINDS or len(sizes) != 2 or not all(s.isdigit() for s in sizes):
            raise ValueError(f"problem must be KIND-N-D, KIND of {', '.join(KINDS)}, got {name!r}.")
        return cls(kind, int(sizes[0]), int(sizes[1]), codes if kind == "codes" else None)

    @property
    def name(self) -> str:
        """How rows and commands call it."""
        return f"{self.kind}-{self.n}-{self.dim}"

    @property
    def goal(self) -> float:
        """The rms at which a run ends."""
        if self.n >= MILLION:
            return 0.5
        return 0.1 if self.kind in ("mixture", "codes") else 0.2

    @property
    def levels(self) -> tuple[float, ...]:
        """The rms whose times the table shows."""
        return tuple(level for level in LEVELS if self.goal <= level <= 2.5 * self.goal)

    @property
    def stop(self) -> tuple[float, float]:
        """A level and the multiple of our time to it at which a peer is stopped."""
        return (max(0.2, self.goal), 10.0) if self.n >= LARGE else (self.goal, 20.0)

    @property
    def first_s(self) -> float:
        """CPU seconds at the first checkpoint."""
        return min(5.0, max(0.01, 2e-7 * self.n * math.sqrt(self.dim)))

    @property
    def ratio(self) -> float:
        """Between two checkpoints: fewer where judging is dear."""
        return 2.0 if self.dim >= 256 or self.n >= MILLION else math.sqrt(2)

    def small(self, n: int = TUNING_N) -> SampledProblem:
        """Return the problem on which peers are tuned: N = 1,000, all else alike."""
        return replace(self, n=min(n, self.n))

    @cached_property
    def source(self) -> Source:
        """The unit cube for mixtures, [-1, 1]^d for codes, a standard Gaussian else."""
        if self.kind == "mixture":
            return UniformBox.unit(self.dim)
        return (
            UniformBox.centered(self.dim) if self.kind == "codes" else Gaussian.standard(self.dim)
        )

    @cached_property
    def target(self) -> DiscreteMeasure:
        """Equal masses at float32 points."""
        if self.kind == "mixture":
            return Problem(self.n, self.dim).target
        points = {
            "codes": self._codes,
            "pixels": self._pixels,
            "power": lambda: power_law(self.n, self.dim),
            "contrast": lambda: power_law(self.n, self.dim, CONTRAST),
        }[self.kind]()
        if len(points) < self.n or points.shape[1] != self.dim:
            raise ValueError(f"{self.name} must come from more rows, got {points.shape}.")
        order = np.random.default_rng(SEED).permutation(len(points))[: self.n]
        return DiscreteMeasure.uniform(torch.from_numpy(points[order]))

    def _codes(self) -> np.ndarray:
        if self.codes is None:
            raise ValueError("codes must be a .npy file of codes, got none; give --codes FILE.")
        return np.load(self.codes).astype(np.float32)

    def _pixels(self) -> np.ndarray:
        """Training images of Fashion-MNIST, grey values mapped to [-1, 1]."""
        from ot_latent.datasets import load

        images = np.asarray(load("fashion-mnist").x)
        flat = images.reshape(len(images), -1).astype(np.float32)
        return flat * (2 / 255 if flat.max() > 1 else 2) - 1


def power_law(n: int, dim: int, contrast: float = 0.0) -> np.ndarray:
    """Return points whose covariance has eigenvalues proportional to 1/k.

    Row i is C^T (sqrt(l_1) z_i1, ..., sqrt(l_d) z_id): z standard normal, l_k proportional to 1/k with
    mean 1/4 (power like 1/f^2 in the plane), C the orthonormal discrete cosine transform of length
    d. With a contrast, row i is multiplied by exp(contrast g_i), g standard normal, as pictures differ
    in contrast. Drawn with numpy's generator 7, first z, then g, in float32.
    """
    rng = np.random.default_rng(SEED)
    variance = 1 / np.arange(1, dim + 1)
    variance *= 0.25 * dim / variance.sum()
    points = rng.standard_normal((n, dim), dtype=np.float32)
    points *= np.sqrt(variance).astype(np.float32)
    scale = np.exp(np.float32(contrast) * rng.standard_normal((n, 1), dtype=np.float32))
    return idct(points, axis=1, norm="ortho", overwrite_x=True) * scale
