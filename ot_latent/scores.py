"""All scores of one set of generated items against held-out data, each with its interval."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.metrics.bootstrap import Interval, bootstrap_interval, frechet_interval
from ot_latent.metrics.copying import Partition
from ot_latent.metrics.fidelity import kernel_distance_blocks, membership
from ot_latent.metrics.likelihood import held_out_surprise, reference_surprise
from ot_latent.metrics.modes import (
    mixture_threshold,
    mode_kl,
    modes_covered,
    variance_ratio,
)
from ot_latent.metrics.novelty import (
    authentic,
    copies_from_distances,
    distance_to_closest,
    novelty_from_distances,
)
from ot_latent.metrics.wasserstein import exact_wasserstein, sliced_wasserstein

KEYS = (
    "frechet",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "modes",
    "mode_kl",
    "mixture_rate",
    "variance_ratio",
    "novelty_ratio",
    "copy_rate",
    "authenticity",
    "data_copying",
    "likelihood_divergence",
    "wasserstein",
    "sliced_wasserstein",
)
QUANTILE = 0.01  # share of real items that count as between modes
MANIFOLD_NEIGHBOURS, BALL_NEIGHBOURS = 3, 5  # of precision and recall, of density and coverage
TRANSPORT_ROWS = 500  # of each cloud in one exact plan
CENTRES, LIKELIHOOD_ROWS = 1000, 2000  # densities of the likelihood, and items they are fitted to
_THINNING = 5  # draws of this module within the bootstrap stream
_BLOCKS = 4  # least number of blocks of the kernel distance, whose spread gives the interval

Entry = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Items:
    """Items of one origin, as the scores see them.

    Attributes
    ----------
    features : ndarray of shape (n, f)
        Features.
    codes : ndarray of shape (n, d)
        Codes, for novelty and spread.
    modes : ndarray of shape (n,) or None
        Mode of each item, counted from 0, by the same judge for all origins.
    confidence : ndarray of shape (n,) or None
        Largest class probability of each item.
    """

    features: np.ndarray
    codes: np.ndarray
    modes: np.ndarray | None = None
    confidence: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores any sampler against the same held-out items.

    Attributes
    ----------
    reference : Items
        Held-out items that no sampler and no ceiling has seen.
    train_codes : ndarray of shape (N, d)
        Codes of the training set.
    feature_name : str
        What the features are, written into the record.
    seed : int
        Seed of the resampling.
    resamples : int
        Resamples of an interval.
    """

    reference: Items
    train_codes: np.ndarray
    feature_name: str
    seed: int = 0
    resamples: int = 50

    def score(self, items: Items) -> dict[str, Entry]:
        """Return all scores of one sampler.

        Parameters
        ----------
        items : Items
            What it made.

        Returns
        -------
        dict of str to dict
            For each of `KEYS` value, low, high (95 %), features, n; the value is None where there
            are no classes to judge by.
        """
        found = self._fidelity(items) | self._modes(items) | self._spread(items)
        return found | self._novelty(items) | self._transport(items)

    def _fidelity(self, items: Items) -> dict[str, Entry]:
        """Distances and memberships, in features."""
        real, generated = self.reference.features, items.features
        clouds: dict[str, Any] = {"real": real, "generated": generated}
        size = max(2, min(1000, len(real) // _BLOCKS, len(generated) // _BLOCKS))
        blocks = kernel_distance_blocks(**clouds, size=size).numpy()
        half = 1.96 * blocks.std(ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.nan
        kernel = (blocks.mean(), blocks.mean() - half, blocks.mean() + half)
        manifold = membership(**clouds, neighbours=MANIFOLD_NEIGHBOURS)
        balls = membership(**clouds, neighbours=BALL_NEIGHBOURS)
        n = len(generated)
        distance = frechet_interval(**clouds, seed=self.seed, resamples=self.resamples)
        return {
            "frechet": self._entry(distance, n),
            "kernel_distance": self._entry(kernel, n),
            "precision": self._mean(manifold.precision, n),
            "recall": self._mean(manifold.recall, n),
            "density": self._mean(balls.density, n),
            "coverage": self._mean(balls.coverage, n),
        }

    def _modes(self, items: Items) -> dict[str, Entry]:
        """Presence and shares of the modes, items between them."""
        n, reference = len(items.codes), self.reference
        found: dict[str, Entry] = dict.fromkeys(
            ("modes", "mode_kl", "mixture_rate"), self._entry((None, None, None), n)
        )
        if items.modes is not None and reference.modes is not None:
            found["modes"] = self._resampled(
                lambda a, b: modes_covered(real=a, generated=b), reference.modes, items.modes
            )
            found["mode_kl"] = self._resampled(
                lambda a, b: mode_kl(real=a, generated=b).value,
                reference.modes,
                items.modes,
                recentre=True,
            )
            for end in ("low", "high"):  # a divergence is not negative
                found["mode_kl"][end] = max(found["mode_kl"][end], 0.0)
        if items.confidence is not None and reference.confidence is not None:
            threshold = mixture_threshold(reference.confidence, quantile=QUANTILE)
            found["mixture_rate"] = self._mean(items.confidence < threshold, n)
        return found

    def _spread(self, items: Items) -> dict[str, Entry]:
        """Within-mode variance, in codes."""
        reference = self.reference
        ours = self._own_modes(reference)
        arrays = (reference.codes, ours, items.codes, self._own_modes(items))

        def ratio(rows: np.ndarray, others: np.ndarray) -> float:
            return variance_ratio(
                real=arrays[0][rows],
                real_labels=arrays[1][rows],
                generated=arrays[2][others],
                generated_labels=arrays[3][others],
            )

        rows = np.arange(len(reference.codes)), np.arange(len(items.codes))
        spread: Any = (None, None, None)
        with suppress(DataError):  # no mode has two items
            spread = bootstrap_interval(
                ratio, *rows, seed=self.seed, resamples=min(self.resamples, 50)
            )
        return {"variance_ratio": self._entry(spread, len(items.codes)) | {"features": "codes"}}

    def _novelty(self, items: Items) -> dict[str, Entry]:
        """How far from the training codes items are, against held-out items, in codes."""
        distances = distance_to_closest(train=self.train_codes, points=items.codes)
        n = len(items.codes)
        novelty = bootstrap_interval(
            lambda held, new: novelty_from_distances(float(np.median(held)) or np.inf, new),
            self._held_out,
            distances,
            seed=self.seed,
            resamples=self.resamples,
        )
        level = float(np.median(self._held_out))
        copies = self._resampled(lambda d: copies_from_distances(level, d), distances)
        verdicts = authentic(train=self.train_codes, generated=items.codes)
        found = {
            "novelty_ratio": self._entry(novelty, n),
            "copy_rate": copies,
            "authenticity": self._mean(verdicts, n),
            "data_copying": self._entry(self._copying(distances, items.codes), n),
            "likelihood_divergence": self._entry(self._divergence(items.codes), n),
        }
        return {key: entry | {"features": "codes"} for key, entry in found.items()}

    def _copying(self, distances: np.ndarray, codes: np.ndarray) -> Interval:
        """Statistic of data-copying; items keep their distances and cells when they are redrawn."""
        held, cells = self._held_out, self._partition.cells(self.reference.codes)
        new_cells = self._partition.cells(codes)
        return bootstrap_interval(
            lambda a, b: self._partition.statistic(held[a], cells[a], distances[b], new_cells[b]),
            np.arange(len(held)),
            np.arange(len(distances)),
            seed=self.seed,
            resamples=min(self.resamples, 50),
        )

    def _divergence(self, codes: np.ndarray) -> Interval:
        """Feature likelihood divergence; the interval is that of the held-out items."""
        train = self._some(self.train_codes, LIKELIHOOD_ROWS)
        fresh = self._some(self.reference.codes, LIKELIHOOD_ROWS)
        centres = self._some(codes, min(CENTRES, len(train) // 2))
        surprise = held_out_surprise(centres=centres, train=train, holdout=fresh)
        known = reference_surprise(train, fresh, len(centres), seed=self.seed)
        return bootstrap_interval(
            np.mean, surprise - known, seed=self.seed, resamples=self.resamples
        )

    def _some(self, rows: np.ndarray, most: int) -> np.ndarray:
        """Return at most so many rows, drawn at random."""
        rng = generator(self.seed, Stream.BOOTSTRAP, 0, _THINNING)
        return rows if len(rows) <= most else rows[rng.permutation(len(rows))[:most]]

    def _transport(self, items: Items) -> dict[str, Entry]:
        """Wasserstein distances of the codes; the exact one as a mean over disjoint blocks."""
        real, generated = self.reference.codes, items.codes
        n = len(generated)
        blocks = max(2, min(_BLOCKS, min(len(real), n) // TRANSPORT_ROWS))
        pairs = zip(np.array_split(real, blocks), np.array_split(generated, blocks), strict=True)
        exact = [
            exact_wasserstein(real=a, generated=b, rows=TRANSPORT_ROWS, seed=self.seed)
            for a, b in pairs
        ]
        half = 1.96 * np.std(exact, ddof=1) / np.sqrt(blocks)
        mean = float(np.mean(exact))
        sliced = bootstrap_interval(
            lambda a, b: sliced_wasserstein(real=a, generated=b, seed=self.seed),
            real[:5000],
            generated[:5000],
            seed=self.seed,
            resamples=min(self.resamples, 20),
            recentre=True,
        )
        return {
            "wasserstein": self._entry((mean, mean - half, mean + half), n) | {"features": "codes"},
            "sliced_wasserstein": self._entry(sliced, n) | {"features": "codes"},
        }

    @cached_property
    def _held_out(self) -> np.ndarray:
        """Distances of the held-out items to the closest training code."""
        return distance_to_closest(train=self.train_codes, points=self.reference.codes)

    @cached_property
    def _partition(self) -> Partition:
        """Cells of the test for data-copying."""
        return Partition.fit(self.train_codes, self.reference.codes, seed=self.seed)

    @staticmethod
    def _own_modes(items: Items) -> np.ndarray:
        """Return the modes, or one for all."""
        return np.zeros(len(items.codes), dtype=int) if items.modes is None else items.modes

    def _mean(self, verdicts: Any, n: int) -> Entry:
        """Mean of per-item verdicts with its interval."""
        values = np.asarray(verdicts, dtype=np.float64)
        found = bootstrap_interval(np.mean, values, seed=self.seed, resamples=self.resamples)
        return self._entry(found, n)

    def _resampled(
        self, statistic: Callable[..., float], *arrays: np.ndarray, recentre: bool = False
    ) -> Entry:
        """Any statistic with its interval."""
        found = bootstrap_interval(
            statistic, *arrays, seed=self.seed, resamples=self.resamples, recentre=recentre
        )
        return self._entry(found, len(arrays[-1]))

    def _entry(self, interval: Any, n: int) -> Entry:
        """One entry of the record."""
        value, low, high = (None if v is None or np.isnan(v) else float(v) for v in interval)
        return {"value": value, "low": low, "high": high, "features": self.feature_name, "n": n}
