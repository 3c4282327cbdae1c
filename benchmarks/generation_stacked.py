"""Stacked digits: three random digits of MNIST as the channels of an image, a thousand modes.

The judge is a classifier of single digits, trained once with a fixed seed on MNIST's training part; the
mode of an image is the number that it reads off the three channels (`generation_stacked_judge`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import generation_images_models as models
from benchmarks.generation_samplers import METHODS, Fits, Sampler
from benchmarks.generation_stacked_judge import (
    MODES,
    divergence,
    judge_modes,
    judge_rare,
    reading_table,
)
from ot_latent.baselines import ControlSampler, PlainMapSampler
from ot_latent.coders import TrainedCoder
from ot_latent.estimators import OTSampler
from ot_latent.features import ClassFeatures
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.metrics import copy_rate, novelty_ratio

SAMPLES = 26_000  # the number of the literature
VARIANTS = ("all", "absent", "tail")
KEY = ("data", "variant", "method", "seed", "rows", "coder")
WHOLE, CHANNELS, DIGITS = "of images", "of channels", "of digits"  # what an autoencoder codes
CODERS = (WHOLE, CHANNELS, DIGITS)
REAL, CEILING = "real images", "reconstructions"
LABELLED = ("ours, labels given", "control, labels given")
BORN = ("ours", "control", "plain map", *LABELLED)  # whose samples have a class by construction
JUDGED = 20_000  # digits that the judge learns from
ABSENT, RATIO = 100, 100.0  # classes that the twin never sees; largest share over smallest


@dataclass(frozen=True)
class Stacked:
    """Rows of stacked digits.

    Attributes
    ----------
    images : ndarray of shape (n, 3, h, w)
        Digits as channels.
    modes : ndarray of shape (n,)
        The number that they spell, 0 to 999.
    """

    images: np.ndarray
    modes: np.ndarray


@dataclass(frozen=True)
class ChannelCoder:
    """One autoencoder of single digits for each channel: the codes of an image are those of its digits."""

    digits: TrainedCoder

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return the codes of stacked digits, channel by channel."""
        return self.digits.encode(images.reshape(-1, *images.shape[2:])).reshape(len(images), -1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the stacked digits of codes."""
        made = self.digits.decode(codes.reshape(3 * len(codes), -1))
        return made.reshape(len(codes), 3, *made.shape[1:])


def trained(
    runs: Path,
    images: np.ndarray,
    digits: np.ndarray,
    kind: str,
    *,
    seed: int,
    latent_dim: int,
    **options: Any,
) -> tuple[TrainedCoder | ChannelCoder, dict[str, Any]]:
    """Train an autoencoder of whole images, of their channels, or of digits, or read it.

    That of digits sees each digit of the training part once an epoch and no stacked image at all;
    it is the same for all variants and seeds.
    """
    if kind == WHOLE:
        return models.coder(runs / "coder", images, seed=seed, latent_dim=latent_dim, **options)
    folder, rows = runs / "coder", images.reshape(-1, *images.shape[2:])
    if kind == DIGITS:
        folder, rows, seed = runs.parent / f"digits-{len(digits)}-0" / "coder", digits, 0
    coder, told = models.coder(folder, rows, seed=seed, latent_dim=latent_dim // 3, **options)
    return ChannelCoder(coder), told


def shares(variant: str, seed: int) -> np.ndarray:
    """Return the share of each mode: even, without a tenth of them, or falling by 100 : 1."""
    order = np.random.default_rng([seed, 11]).permutation(MODES)
    found = np.ones(MODES)
    if variant == "absent":
        found[order[:ABSENT]] = 0.0
    if variant == "tail":
        found[order] = np.geomspace(RATIO, 1.0, MODES)
    return found / found.sum()


def spelt(rng: np.random.Generator, n: int, p: np.ndarray, even: bool = False) -> np.ndarray:
    """Draw modes by their shares; `even`: each as often as its share says, to less than one row."""
    if even:
        steps = (np.arange(n) + rng.random()) / n
        return rng.permutation(np.searchsorted(np.cumsum(p), steps).clip(max=MODES - 1))
    return rng.choice(MODES, size=n, p=p)


def stack(
    digits: np.ndarray, labels: np.ndarray, n: int, p: np.ndarray, seed: int, even: bool = False
) -> Stacked:
    """Draw modes by their shares, and for each channel an image of its digit."""
    rng = np.random.default_rng([seed, 12])
    modes = spelt(rng, n, p, even)
    wanted = np.stack([modes // 100, modes // 10 % 10, modes % 10], axis=1)
    members = [np.flatnonzero(labels == digit) for digit in range(10)]
    places = (rng.random((n, 3)) * np.array([len(m) for m in members])[wanted]).astype(int)
    rows = np.stack([[members[d][k] for d, k in zip(*pair)] for pair in zip(wanted, places)])  # noqa: B905
    return Stacked(digits[rows], modes)


def reader(
    folder: Path, digits: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Train the judge of single digits, or read it; returns the function from images to modes."""
    chosen = np.random.default_rng(0).permutation(len(digits))[:JUDGED]
    codec = DataCodec.fit(digits)
    model = models.classifier(folder, codec.encode(digits[chosen]), labels[chosen])
    judge = ClassFeatures(codec, model)

    def read(images: np.ndarray) -> np.ndarray:
        seen = [judge(images[:, channel])[1].argmax(axis=1) for channel in range(3)]
        return 100 * seen[0] + 10 * seen[1] + seen[2]

    return read


def labelled(sampler: OTSampler, modes: np.ndarray) -> OTSampler:
    """Return the sampler that knows the mode of each row: local laws of its neighbours in that alone."""
    other = copy.copy(sampler)
    other.labels_ = of_targets(sampler, modes)
    other._finish(None)
    return other


def training_divergence(variant: str, seed: int, rows: int) -> float:
    """Return the divergence that the training rows themselves show: no sampler of them is below it."""
    p = shares(variant, seed)
    modes = spelt(np.random.default_rng([seed, 12]), rows, p, variant == "tail")
    return divergence(np.bincount(modes, minlength=MODES), p)


@dataclass(frozen=True)
class Bench:
    """What all methods of a variant and seed share.

    Attributes
    ----------
    p : ndarray of shape (1000,)
        True shares.
    data, fresh : Stacked
        Training rows, and as many held-out ones as are judged.
    coder : TrainedCoder or ChannelCoder
        The autoencoder.
    codes, other : ndarray of shape (n, d)
        Codes of both.
    tables : dict of str to ndarray
        How held-out digits are read: as they are, and reconstructed.
    fits : Fits
        Samplers of the codes.
    shared : dict
        What a row says of all this.
    """

    p: np.ndarray
    data: Stacked
    fresh: Stacked
    coder: TrainedCoder | ChannelCoder
    codes: np.ndarray
    other: np.ndarray
    tables: dict[str, np.ndarray]
    fits: Fits
    shared: dict[str, Any]

    @cached_property
    def told(self) -> OTSampler:
        """Our sampler that knows the mode of each row."""
        return labelled(self.fits.default, self.data.modes)


def run(
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    variant: str,
    methods: Sequence[str],
    *,
    seed: int,
    runs: Path,
    samples: int = SAMPLES,
    **settings: Any,
) -> Iterator[dict[str, Any]]:
    """Yield a row per method: one autoencoder, the samplers on its codes, the same judge."""
    read = reader(runs / "reader", *train)
    bench = _bench(
        train, held_out, variant, read, seed=seed, runs=runs, samples=samples, **settings
    )
    for method in methods:
        row: dict[str, Any] = bench.shared | {"method": method, "failure": None}
        cpu = time.process_time()
        try:
            made, modes = _made(method, bench, samples, seed)
        except (ImportError, ValueError) as error:  # a missing library, a refusal: told as it is
            yield row | {"failure": str(error)}
            continue
        row["cpu_s"] = time.process_time() - cpu
        seen = read(bench.fresh.images if method == REAL else bench.coder.decode(made))
        table = bench.tables[method if method == REAL else CEILING]
        row |= judge_modes(seen, bench.p) | judge_rare(seen, modes, bench.p, table, seed)
        clouds = {"train": bench.codes, "holdout": bench.other, "generated": made}
        yield row | {"novelty_ratio": novelty_ratio(**clouds), "copy_rate": copy_rate(**clouds)}


def _bench(
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    variant: str,
    read: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    rows: int,
    runs: Path,
    samples: int,
    tolerance: float | None = None,
    coder_rows: int | None = None,
    kind: str = WHOLE,
    again: bool = False,
    **options: Any,
) -> Bench:
    """Train or read the autoencoder and the transport of a variant and seed."""
    p, learnt = shares(variant, seed), coder_rows or rows
    ends = {WHOLE: f"{learnt}-{seed}", CHANNELS: f"{learnt}-{seed}-channels"}
    own = runs / f"{variant}-{ends.get(kind, f'{seed}-digits')}"
    even = variant == "tail"  # long-tailed sets are given by the counts of their classes
    seen = train[0][:0] if kind == DIGITS else stack(*train, learnt, p, seed, even).images
    coder, told = trained(own, seen, train[0], kind, seed=seed, **options)
    data = stack(*train, rows, p, seed, even)
    fresh = stack(*held_out, min(rows, samples), p, seed + 1)
    codes, other = coder.encode(data.images), coder.encode(fresh.images)
    folder = own / ("transport" if learnt == rows else f"transport-{rows}")
    sampler = models.transport(folder, codes, seed=seed, again=again, tolerance=tolerance)
    probe = shuffled(*held_out, seed)
    tables = {
        REAL: reading_table(probe.modes, read(probe.images)),
        CEILING: reading_table(probe.modes, read(coder.decode(coder.encode(probe.images)))),
    }
    shared = {"variant": variant, "seed": seed, "rows": rows, "latent_dim": codes.shape[1]}
    shared |= {
        "coder": kind,
        "coder_rows": len(train[0]) if kind == DIGITS else learnt,
        "epochs": len(told["history"]),
        "mass_error": float(sampler.transport_.mass_error),
    }
    fits = Fits(codes, seed, sampler)
    return Bench(p, data, fresh, coder, codes, other, tables, fits, shared)


def shuffled(digits: np.ndarray, labels: np.ndarray, seed: int) -> Stacked:
    """Stack every digit once in each channel, beside any others."""
    rng = np.random.default_rng([seed, 14])
    rows = np.stack([rng.permutation(len(digits)) for _ in range(3)], axis=1)
    return Stacked(digits[rows], labels[rows] @ np.array([100, 10, 1]))


def _made(
    method: str, bench: Bench, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return codes of a method, and the class of each by construction where it has one."""
    if method in (REAL, CEILING):
        return bench.other, bench.fresh.modes
    drawn = _sampler(method, bench)
    made = drawn.sample(samples, random_state=seed)
    if method not in BORN:
        return made, None
    origin = drawn if isinstance(drawn, PlainMapSampler) else PlainMapSampler(drawn)
    targets = origin.targets(samples, random_state=seed)
    return made, of_targets(bench.fits.default, bench.data.modes)[targets]


def of_targets(sampler: OTSampler, modes: np.ndarray) -> np.ndarray:
    """Return the mode of each target: that of the first row which has its code."""
    return modes[np.unique(sampler.inverse_, return_index=True)[1]]


def _sampler(method: str, bench: Bench) -> Sampler:
    """Return the sampler of a method, which knows the modes of the rows where it is told them."""
    if method not in LABELLED:
        return METHODS[method](bench.fits)
    return bench.told if method == LABELLED[0] else ControlSampler(bench.told)
