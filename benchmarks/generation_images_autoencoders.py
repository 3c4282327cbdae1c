"""Autoencoders for sampling: how sharp their decoders are, and how easily their codes are sampled.

Variants of the default autoencoder, each trained with the same images, epochs and seed, beside a plain small
convolutional one; judged by reconstructions of held-out images (ceiling) and by samples of the same transport.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
from torch import nn

from benchmarks import generation_images_models as models, results
from benchmarks.generation_images import REAL, Case, trained_here
from benchmarks.generation_images_table import over_seeds, text
from ot_latent.architectures import new_autoencoder
from ot_latent.baselines import ControlSampler
from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.layers import seeded

KEY = ("data", "rows", "asked_epochs", "variant", "seed")
DEFAULT, PLAIN = "default", "plain"
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    PLAIN: {"code_noise": 0.0, "code_penalty": 0.0, "lr": 1e-3, "weight_decay": 0.0},
    "no code noise": {"code_noise": 0.0},
    "code noise 0.025": {"code_noise": 0.025},
    "code noise 0.1": {"code_noise": 0.1},
    "code noise 0.2": {"code_noise": 0.2},
    "no code penalty": {"code_penalty": 0.0},
    "code penalty 0.01": {"code_penalty": 0.01},
    "latent dimension 16": {"latent_dim": 16},
    "latent dimension 64": {"latent_dim": 64},
    "loss l1": {"loss": "l1"},
    "loss bce": {"loss": "bce"},
    "residual": {"model": "residual"},
    "refined": {"refine_epochs": 2},
    "refined by features alone": {"refine_epochs": 2, "refine_adversarial": 0.0},
}


class PlainAutoencoder(Autoencoder):
    """Two strided convolutions and a linear layer, and the same backwards: no norms, no residuals."""

    def __init__(self, config: AutoencoderConfig, shape: tuple[int, ...]) -> None:
        super().__init__(config, shape)
        channels, height, width = shape
        inner = (64, -(-height // 4), -(-width // 4))
        values = int(np.prod(inner))
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(values, config.latent_dim),
        )
        if height % 4 or width % 4:
            raise ValueError(
                f"images must have sides divisible by 4 for the plain autoencoder, got {shape}; "
                "leave it out."
            )
        self.decoder = nn.Sequential(
            nn.Linear(config.latent_dim, values),
            nn.ReLU(),
            nn.Unflatten(1, inner),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, 4, stride=2, padding=1),
        )


def plain_autoencoder(config: AutoencoderConfig, shape: tuple[int, ...], seed: int) -> Autoencoder:
    """Return a plain small convolutional autoencoder, its first weights drawn as those of ours."""
    return cast(Autoencoder, seeded(lambda: PlainAutoencoder(config, shape), seed))


def measure_variant(case: Case, variant: str) -> dict[str, Any]:
    """Return the row of one autoencoder: reconstructions and samples."""
    build = plain_autoencoder if variant == PLAIN else new_autoencoder
    settings = dict(VARIANTS[variant])
    name = "coder" if variant == DEFAULT else variant.replace(" ", "-").replace(".", "_")
    coder, history = case.coder(name, build=build, **settings)
    views = case.views(coder)
    judge, codes = case.judge(views), views["train"].codes
    folder = case.folder / ("transport" if variant == DEFAULT else f"{name}-transport")
    sampler = models.transport(folder, codes, seed=case.seed, tolerance=case.options["tolerance"])
    rebuilt = coder.decode(views["a"].codes)
    gap = (case.court.codec.encode(rebuilt) - case.court.codec.encode(case.a)).square()
    row = case.told(history) | {"variant": variant, "latent_dim": codes.shape[1], "failure": None}
    row |= {"held_out_mse": float(gap.mean()), "settings": settings}
    row[REAL] = judge.score(views["a"])["spaces"]
    row["ceiling"] = judge.score(case.court.view(rebuilt, views["a"].codes))["spaces"]
    for method, made in (("ours", sampler), ("control", ControlSampler(sampler))):
        drawn = made.sample(len(case.b), random_state=case.seed)
        row[method] = judge.score(case.court.view(coder.decode(drawn), drawn))
    return row


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the variants asked for; each is written as soon as it is there."""
    record = results.read(options.out)
    for seed in options.seeds:
        case = trained_here(options, seed)
        for variant in options.autoencoders:
            record = results.merge(options.out, [measure_variant(case, variant)], KEY)
    return record


def _distance(row: dict[str, Any], space: str, *, made: bool = False) -> float:
    """Return the distance of samples, or that of reconstructions with the floor subtracted."""
    if made:
        return float(row["ours"]["spaces"][space]["frechet"][0])
    return float(row["ceiling"][space]["frechet"][0] - row[REAL][space]["frechet"][0])


def _shared(named: dict[str, list[dict[str, Any]]], *variants: str) -> list[list[dict[str, Any]]]:
    """Return the rows of some variants on the seeds that all of them have."""
    by_seed = [{row["seed"]: row for row in named.get(variant, [])} for variant in variants]
    seeds = sorted(set.intersection(*(set(rows) for rows in by_seed)))
    return [[rows[seed] for seed in seeds] for rows in by_seed]


def _halves(named: dict[str, list[dict[str, Any]]], spaces: Sequence[str]) -> Iterator[str]:
    """Yield what is said of the ceiling: ours over the plain one's, floor subtracted."""
    ours, plain = _shared(named, DEFAULT, PLAIN)
    for space in spaces if ours else ():
        both = [float(np.mean([_distance(row, space) for row in rows])) for rows in (ours, plain)]
        yield (
            f"- Reconstructions, floor subtracted ({space}): {both[0]:.2f} against {both[1]:.2f} of the "
            f"plain autoencoder, {both[0] / both[1]:.2f} of it."
        )


def _gaps(named: dict[str, list[dict[str, Any]]], spaces: Sequence[str]) -> Iterator[str]:
    """Yield how far variants lie from the default, seed by seed, where there are several seeds."""
    for variant in named:
        own, default = _shared(named, variant, DEFAULT)
        if variant == DEFAULT or len(own) < 2:
            continue
        told = []
        for made, space in product((False, True), spaces):
            pairs = zip(own, default, strict=True)
            gaps = [
                _distance(a, space, made=made) - _distance(b, space, made=made) for a, b in pairs
            ]
            value, half = student(gaps)
            what = "samples" if made else "reconstructions"
            told.append(f"{what} ({space}) {value:+.2f} [{value - half:+.2f}, {value + half:+.2f}]")
        yield f"- FD of {variant} less that of {DEFAULT}, {len(own)} seeds: {', '.join(told)}."


def student(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and the half width of its 95 % interval by Student's law."""
    from scipy.stats import t

    x = np.asarray(values, dtype=float)
    return float(x.mean()), float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))


def markdown(record: dict[str, Any]) -> str:
    """Return a table for each set and number of epochs."""
    cases: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in record["rows"]:
        case = cases.setdefault((row["data"], row["rows"], row["asked_epochs"]), {})
        case.setdefault(row["variant"], []).append(row)
    return "\n\n".join(_part(key, named) for key, named in cases.items())


def _part(key: tuple[Any, ...], named: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of one set."""
    spaces = list(next(iter(named.values()))[0]["judges"])
    head = ["autoencoder", "seeds", "epochs", "held-out mse"]
    head += [f"FD of {what} ({s})" for what in ("reconstructions", "samples") for s in spaces]
    head += [f"precision / recall ({spaces[0]})", "novelty", "training cpu s (least)"]
    lines = []
    for variant, rows in named.items():
        line: list[Any] = [variant, len(rows), int(np.median([r["epochs"] for r in rows]))]
        line += [float(np.mean([r["held_out_mse"] for r in rows]))]
        line += [text(over_seeds([r["ceiling"][s]["frechet"] for r in rows])) for s in spaces]
        drawn = [r["ours"]["spaces"] for r in rows]
        line += [text(over_seeds([d[s]["frechet"] for d in drawn])) for s in spaces]
        pair = [np.mean([d[spaces[0]][k][0] for d in drawn]) for k in ("precision", "recall")]
        line += [" / ".join(f"{value:.2f}" for value in pair)]
        line += [float(np.mean([r["ours"]["novelty_ratio"][0] for r in rows]))]
        lines.append([*line, min(r["train_cpu_s"] for r in rows)])
    asked = "epochs by default" if key[2] is None else f"{key[2]} epochs at most"
    told = f"**{key[0]}**: {key[1]:,} training images, {asked}."
    said = "\n".join([*_halves(named, spaces), *_gaps(named, spaces)])
    return "\n\n".join(part for part in (told, results.table(head, lines), said) if part)
