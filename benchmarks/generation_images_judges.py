"""Judges of generated images: feature networks trained once per set, and the scores in their features.

Two networks per set, so that no ranking rests on one: a classifier of the labels, and a network that
recognises which transformation was applied to an image (rotations by right angles and mirrors; for colour also
turns of the hue by 120 degrees). Sets without labels take random convolutions beside the latter. None of them
has to do with the training of the autoencoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import generation_images_models as models
from ot_latent.latent.classifier import Classifier
from ot_latent.latent.layers import seeded
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.metrics.bootstrap import bootstrap_interval, frechet_interval
from ot_latent.metrics.fidelity import membership
from ot_latent.metrics.modes import mixture_threshold, mode_kl
from ot_latent.metrics.novelty import (
    copies_from_distances,
    distance_to_closest,
    novelty_from_distances,
)

LEARNT = 20_000  # images that a network learns from
QUANTILE = 0.01  # share of real images that count as between classes
RESAMPLES = 100

_NOVELTY = (("novelty_ratio", "copy_rate"), ("feature_novelty", "feature_copies"))

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Space:
    """A network whose penultimate layer is a space of features."""

    name: str
    model: Classifier
    digest: str

    def see(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return features in double precision, and class probabilities."""
        with torch.no_grad():
            parts = [(self.model.features(part), part) for part in x.split(256)]
            features = torch.cat([found for found, _ in parts])
            probabilities = self.model.head(features).softmax(1)
        return features.double().numpy(), probabilities.numpy()


@dataclass(frozen=True)
class View:
    """Images as the judges see them, with their codes."""

    features: dict[str, np.ndarray]
    codes: np.ndarray
    modes: np.ndarray | None
    confidence: np.ndarray | None


@dataclass(frozen=True)
class Court:
    """The judges of one set of images."""

    codec: DataCodec
    spaces: tuple[Space, ...]
    labelled: bool

    def view(self, images: np.ndarray, codes: np.ndarray) -> View:
        """Show images to all judges."""
        x = self.codec.encode(images)
        seen = {space.name: space.see(x) for space in self.spaces}
        features = {name: found[0] for name, found in seen.items()}
        if not self.labelled:
            return View(features, codes, None, None)
        probabilities = seen["classifier"][1]
        return View(features, codes, probabilities.argmax(axis=1), probabilities.max(axis=1))


def transformed(x: Tensor, number: int) -> Tensor:
    """Apply transformation 0, ..., 7 (of the square), or ..., 23 with turns of the hue for colour."""
    x = torch.rot90(x, number % 4, (2, 3))
    x = x.flip(3) if number // 4 % 2 else x
    return x.roll(number // 8, 1)


def puzzle(x: Tensor, seed: int) -> tuple[Tensor, np.ndarray]:
    """Return transformed images and which transformation it was, 20,000 or one per image."""
    count, n = 8 * (3 if x.shape[1] == 3 else 1), min(LEARNT, 8 * len(x))
    rng = np.random.default_rng([seed, 21])
    rows, answer = rng.permutation(n) % len(x), rng.integers(count, size=n)
    out = x.new_empty((n, *x.shape[1:]))
    for number in range(count):
        chosen = answer == number
        out[torch.from_numpy(chosen)] = transformed(x[torch.from_numpy(rows[chosen])], number)
    return out, answer


def court(
    folder: Path, X: np.ndarray, labels: np.ndarray | None, epochs: int | None = None
) -> Court:
    """Train the judges of a set on its training part, with seed 0, or read them."""
    codec = DataCodec.fit(X)
    chosen = np.sort(np.random.default_rng(0).permutation(len(X))[:LEARNT])
    x, spaces = codec.encode(X[chosen]), []
    if labels is not None:
        model = models.classifier(folder / "classifier", x, labels[chosen], epochs=epochs)
        spaces.append(Space("classifier", model, models.digest(folder / "classifier")))
    model = models.classifier(folder / "transformation", *puzzle(x, 0), epochs=epochs)
    spaces.append(Space("transformation", model, models.digest(folder / "transformation")))
    if labels is None:
        random = seeded(lambda: Classifier(codec.shape, (0, 1)), 0)
        spaces.append(Space("random", random.eval(), "seed 0"))  # type: ignore[arg-type]
    return Court(codec, tuple(spaces), labels is not None)


@dataclass(frozen=True)
class Judge:
    """Scores views against the same held-out images (half B)."""

    reference: View
    train: View
    seed: int

    def score(self, made: View) -> dict[str, Any]:
        """Return every score as (value, low, high), 95 %; those of features by the network's name."""
        found: dict[str, Any] = {
            "spaces": {name: self._fidelity(name, made) for name in self.reference.features}
        }
        found |= self.novelty(made) | {"mixture_rate": None, "mode_kl": None}
        if made.confidence is not None:
            level = mixture_threshold(self.reference.confidence, quantile=QUANTILE)
            found["mixture_rate"] = self._mean(made.confidence < level)
            found["mode_kl"] = self._interval(
                lambda a, b: mode_kl(real=a, generated=b).value,
                *(self.reference.modes, made.modes),
                recentre=True,
            )
        return found

    def _fidelity(self, name: str, made: View) -> dict[str, Interval]:
        """Distance and memberships in one space."""
        clouds = self._clouds(name, made)
        balls = membership(**clouds, neighbours=5)
        return self.fidelity(name, made) | {
            "density": self._mean(balls.density),
            "coverage": self._mean(balls.coverage),
        }

    def fidelity(self, name: str, made: View) -> dict[str, Interval]:
        """Distance, precision and recall in one space."""
        clouds = self._clouds(name, made)
        manifold = membership(**clouds, neighbours=3)
        distance = frechet_interval(**clouds, seed=self.seed, resamples=RESAMPLES)
        return {
            "frechet": _floats(distance),
            "precision": self._mean(manifold.precision),
            "recall": self._mean(manifold.recall),
        }

    def novelty(self, made: View) -> dict[str, Interval]:
        """Median distance to the training items over that of held-out ones, and share of copies.

        In codes, and in the features of the first network.
        """
        found = {}
        for names, rows in zip(_NOVELTY, _two(made), strict=True):
            train, level = self._levels[names[0]]
            new = distance_to_closest(train=train, points=rows)
            found[names[0]] = self._interval(
                lambda a, b: novelty_from_distances(float(np.median(a)), b), level, new
            )
            median = float(np.median(level))
            found[names[1]] = self._interval(
                lambda b, median=median: copies_from_distances(median, b), new
            )
        return found

    @cached_property
    def _levels(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Training items, and distances of held-out ones to the closest of them."""
        pairs = zip(_NOVELTY, _two(self.train), _two(self.reference), strict=True)
        return {
            names[0]: (train, distance_to_closest(train=train, points=held))
            for names, train, held in pairs
        }

    def _clouds(self, name: str, made: View) -> dict[str, Any]:
        """Return the reference and what was made, in one space."""
        return {"real": self.reference.features[name], "generated": made.features[name]}

    def _mean(self, verdicts: Any) -> Interval:
        return self._interval(np.mean, np.asarray(verdicts, dtype=float))

    def _interval(self, statistic: Any, *arrays: Any, recentre: bool = False) -> Interval:
        found = bootstrap_interval(
            statistic, *arrays, seed=self.seed, resamples=RESAMPLES, recentre=recentre
        )
        return _floats(found)


def _two(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes, and the features of the first network."""
    return view.codes, next(iter(view.features.values()))


def _floats(values: Sequence[float]) -> Interval:
    value, low, high = (float(v) for v in values)
    return value, max(low, 0.0), max(high, 0.0)  # nothing here is negative
