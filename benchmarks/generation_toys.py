"""Toy laws whose truth is known: a ring and a grid of Gaussians, spirals, moons; and their judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent.metrics import (
    authenticity,
    copy_rate,
    data_copying,
    distance_to_curve,
    nearest_modes,
    novelty_ratio,
    variance_ratio,
)

TRAIN, FRESH = 2000, 10_000
REACH = 4.0  # deviations beyond which an item is off every mode, or off the curve


@dataclass(frozen=True)
class Toy:
    """A law in the plane: modes with one deviation, or curves with normal noise around them."""

    name: str
    deviation: float
    centres: np.ndarray | None = None
    curves: tuple[np.ndarray, ...] = ()

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Draw fresh points."""
        rng = np.random.default_rng([seed, len(self.name)])
        noise = self.deviation * rng.standard_normal((n, 2))
        if self.centres is not None:
            return self.centres[rng.integers(len(self.centres), size=n)] + noise
        along = self.along(rng.random(n))
        return along * rng.choice([-1.0, 1.0], size=(n, 1)) + noise  # the arms mirror each other

    def along(self, shares: np.ndarray) -> np.ndarray:
        """Points of the first curve at shares of its length."""
        curve = self.curves[0]
        steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
        length = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
        return np.stack([np.interp(shares, length, axis) for axis in curve.T], axis=1)

    def offset(self, points: np.ndarray) -> np.ndarray:
        """Distance to the nearest centre or curve, in deviations."""
        if self.centres is None:
            return distance_to_curve(points, list(self.curves)) / self.deviation
        verdict = nearest_modes(points=points, centres=self.centres, deviation=self.deviation)
        return verdict.distances

    def modes(self, points: np.ndarray) -> np.ndarray:
        """Nearest centre; of spirals, one of 40 pieces of the curves."""
        if self.centres is not None:
            return nearest_modes(points=points, centres=self.centres, deviation=1.0).modes
        pieces = [piece for curve in self.curves for piece in np.array_split(curve, 20)]
        return np.stack([distance_to_curve(points, piece) for piece in pieces]).argmin(0)


def ring() -> Toy:
    """Eight modes on the unit circle, deviation 0.01 (Lin et al., PacGAN, 2018)."""
    angle = 2 * np.pi * np.arange(8) / 8
    return Toy("ring", 0.01, np.stack([np.cos(angle), np.sin(angle)], axis=1))


def grid() -> Toy:
    """Twenty-five modes on a square grid of width 2, deviation 0.05 (the same)."""
    side = np.arange(-4.0, 5.0, 2.0)
    return Toy("grid", 0.05, np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2))


def spirals() -> Toy:
    """Two spiral arms of one and a half turns, deviation 0.02 around them."""
    t = np.linspace(0.5 * np.pi, 3.5 * np.pi, 401)
    arm = t[:, None] / t[-1] * np.stack([np.cos(t), np.sin(t)], axis=1)
    return Toy("spirals", 0.02, None, (arm, -arm))


def moons() -> Toy:
    """Two interleaved half circles, deviation 0.05: no setting of ours was chosen on them."""
    t = np.linspace(0.0, np.pi, 201)
    arc = np.stack([np.cos(t) - 0.5, np.sin(t) - 0.25], axis=1)
    return Toy("moons", 0.05, None, (arc, -arc))


TOYS = {"ring": ring, "grid": grid, "spirals": spirals, "moons": moons}


def judge(toy: Toy, made: np.ndarray, train: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what a table says of generated points, each beside the same for fresh points."""
    fresh = toy.draw(FRESH, seed + 2000)
    offset, modes = toy.offset(made), toy.modes(made)
    own = toy.modes(fresh)
    clouds = {"train": train, "holdout": toy.draw(FRESH, seed + 3000), "generated": made}
    on_mode = np.unique(modes[offset <= REACH])
    if toy.centres is None:  # the noise across the curve: the variance along a piece is not noise
        spread = float((offset**2).mean() / (toy.offset(fresh) ** 2).mean())
    else:
        labels = {"real_labels": own, "generated_labels": modes}
        spread = variance_ratio(real=fresh, generated=made, **labels)
    return {
        "modes": len(on_mode),
        "mode_count": len(np.unique(own)),
        "mixture_rate": float((offset > REACH).mean()),
        "median_offset": float(np.median(offset)),
        "variance_ratio": spread,
        "copy_rate": copy_rate(**clouds),
        "novelty_ratio": novelty_ratio(**clouds),
        "authenticity": authenticity(train=train, generated=made),
        "data_copying": data_copying(**clouds),
    }
