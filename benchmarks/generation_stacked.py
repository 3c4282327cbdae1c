"""Stacked digits: three random digits of MNIST as the channels of an image, a thousand modes.

The judge is a classifier of single digits, trained once with a fixed seed on MNIST's training part; the
mode of an image is the number that it reads off the three channels.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import generation_images_models as models, results
from benchmarks.generation_samplers import METHODS, Fits, Sampler
from ot_latent.baselines import ControlSampler
from ot_latent.coders import TrainedCoder
from ot_latent.estimators import OTSampler
from ot_latent.features import ClassFeatures
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.metrics import copy_rate, novelty_ratio

MODES = 1000
SAMPLES = 26_000  # the number of the literature
VARIANTS = ("all", "absent", "tail")
KEY = ("data", "variant", "method", "seed", "rows", "coder")
WHOLE, CHANNELS = "of images", "of channels"  # what an autoencoder codes
REAL, CEILING = "real images", "reconstructions"
SHOWN = ("modes", "mode_count", "kl", "kl_floor", "novelty_ratio", "copy_rate", "absent_rate")
SHOWN += ("rare_within",)
LATER = ("rare_outside", "rare_excess")  # figures that older rows have not
LABELLED = ("ours, labels given", "control, labels given")
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
    folder: Path, images: np.ndarray, kind: str, *, seed: int, latent_dim: int, **options: Any
) -> tuple[TrainedCoder | ChannelCoder, dict[str, Any]]:
    """Train an autoencoder of whole images, or one of their channels, or read it."""
    if kind == WHOLE:
        return models.coder(folder, images, seed=seed, latent_dim=latent_dim, **options)
    digits = images.reshape(-1, *images.shape[2:])
    coder, told = models.coder(folder, digits, seed=seed, latent_dim=latent_dim // 3, **options)
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
    first = np.unique(sampler.inverse_, return_index=True)[1]
    other.labels_ = modes[first]
    other._finish(None)
    return other


def divergence(counts: np.ndarray, p: np.ndarray) -> float:
    """Return KL(q | p) of counted shares from known ones; modes of share zero are left out of both."""
    inside = p > 0
    q = counts[inside] / max(counts[inside].sum(), 1)
    seen = q > 0
    return float((q[seen] * np.log(q[seen] / (p[inside] / p[inside].sum())[seen])).sum())


def training_divergence(variant: str, seed: int, rows: int) -> float:
    """Return the divergence that the training rows themselves show: no sampler of them is below it."""
    p = shares(variant, seed)
    modes = spelt(np.random.default_rng([seed, 12]), rows, p, variant == "tail")
    return divergence(np.bincount(modes, minlength=MODES), p)


def judge_modes(read: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return what is said of generated modes: how many, their divergence with its floor, intruders."""
    counts = np.bincount(read, minlength=MODES)
    wanted = int((p > 0).sum())
    expected = len(read) * p
    spread = np.sqrt(expected * (1 - p))
    rare = (p > 0) & (p <= np.quantile(p[p > 0], 0.1))
    within = np.abs(counts - expected)[rare] <= 1.96 * spread[rare] + 1
    return {
        "samples": len(read),
        "modes": int((counts[p > 0] > 0).sum()),
        "mode_count": wanted,
        "kl": divergence(counts, p),
        "kl_floor": (wanted - 1) / (2 * len(read)),
        "absent_rate": float(counts[p == 0].sum() / len(read)),
        "absent_modes": int((counts[p == 0] > 0).sum()),
        "rare_within": float(within.mean()),
        "rare_outside": _outside(counts[rare], len(read), p[rare]),
        "rare_excess": float(counts[rare].sum() / expected[rare].sum()),
    }


def _outside(counts: np.ndarray, n: int, p: np.ndarray) -> int:
    """Return how many counts lie outside binomial intervals that hold all of them at once in 95 %."""
    from scipy.stats import binom

    tail = 0.025 / len(counts)
    low, high = binom.ppf(tail, n, p), binom.ppf(1 - tail, n, p)
    return int(((counts < low) | (counts > high)).sum())


def run(
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    variant: str,
    methods: Sequence[str],
    *,
    seed: int,
    rows: int,
    runs: Path,
    samples: int = SAMPLES,
    tolerance: float | None = None,
    coder_rows: int | None = None,
    kind: str = WHOLE,
    again: bool = False,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Yield a row per method: one autoencoder, the samplers on its codes, the same judge."""
    p, read = shares(variant, seed), reader(runs / "reader", *train)
    learnt, end = coder_rows or rows, "" if kind == WHOLE else "-channels"
    own = runs / f"{variant}-{learnt}-{seed}{end}"
    even = variant == "tail"  # long-tailed sets are given by the counts of their classes
    images = stack(*train, learnt, p, seed, even).images
    coder, told = trained(own / "coder", images, kind, seed=seed, **options)
    data = stack(*train, rows, p, seed, even)
    fresh = stack(*held_out, min(rows, samples), p, seed + 1)
    codes, other = coder.encode(data.images), coder.encode(fresh.images)
    folder = own / ("transport" if learnt == rows else f"transport-{rows}")
    sampler = models.transport(folder, codes, seed=seed, again=again, tolerance=tolerance)
    fits = Fits(codes, seed, sampler)
    shared = {"variant": variant, "seed": seed, "rows": rows, "latent_dim": codes.shape[1]}
    shared |= {"coder": kind}
    shared |= {
        "coder_rows": learnt,
        "epochs": len(told["history"]),
        "mass_error": float(sampler.transport_.mass_error),
    }
    for method in methods:
        row: dict[str, Any] = shared | {"method": method, "failure": None}
        cpu = time.process_time()
        try:
            if method in (REAL, CEILING):
                made = other
            else:
                drawn = _sampler(method, fits, data.modes)
                made = drawn.sample(samples, random_state=seed)
        except (ImportError, ValueError) as error:  # a missing library, a refusal: told as it is
            yield row | {"failure": str(error)}
            continue
        row["cpu_s"] = time.process_time() - cpu
        shown = fresh.images if method == REAL else coder.decode(made)
        row |= judge_modes(read(shown), p)
        clouds = {"train": codes, "holdout": other, "generated": made}
        yield row | {"novelty_ratio": novelty_ratio(**clouds), "copy_rate": copy_rate(**clouds)}


def _sampler(method: str, fits: Fits, modes: np.ndarray) -> Sampler:
    """Return the sampler of a method, which knows the modes of the rows where it is told them."""
    if method not in LABELLED:
        return METHODS[method](fits)
    ours = labelled(fits.default, modes)
    return ours if method == LABELLED[0] else ControlSampler(ours)


def markdown(record: dict[str, Any]) -> str:
    """Return the table: medians over seeds of what was measured."""
    head = [
        "variant",
        "autoencoder",
        "method",
        "rows",
        "seeds",
        "modes",
        "KL",
        "of draws",
        "of training rows",
        "novelty",
        "copies, %",
    ]
    head += ["absent classes, %", "rare in interval", "rare outside all", "rare classes together"]
    groups: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        if row["failure"] is None:
            key = (row["variant"], row["coder"], row["method"], row["rows"])
            groups.setdefault(key, []).append(row)
    lines = []
    for (variant, kind, method, rows), own in groups.items():
        mid = {k: float(np.median([row[k] for row in own])) for k in SHOWN}
        modes = f"{mid['modes']:.0f}/{mid['mode_count']:.0f}"
        lines.append([variant, kind, method, rows, len(own), modes, mid["kl"], mid["kl_floor"]])
        known = [training_divergence(variant, row["seed"], rows) for row in own]
        lines[-1].append(float(np.median(known)))
        lines[-1] += [mid["novelty_ratio"], 100 * mid["copy_rate"], 100 * mid["absent_rate"]]
        lines[-1] += [mid["rare_within"]]
        found = [[row[key] for row in own if key in row] for key in LATER]
        lines[-1] += [float(np.median(values)) if values else None for values in found]
    told = sorted({_settings(row) for row in record["rows"]})
    return "\n\n".join([results.table(head, lines), "\n".join(f"- {line}" for line in told)])


def _settings(row: dict[str, Any]) -> str:
    """Say what a row's samplers were fitted to."""
    return (
        f"{row['variant']}, {row['rows']:,} rows: autoencoder {row['coder']}, {row['latent_dim']} dimensions, trained on "
        f"{row['coder_rows']:,} rows for {row['epochs']} epochs; cells solved to rms {row['mass_error']:.3f}."
    )
