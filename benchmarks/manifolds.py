"""Is a manifold learnt where the truth is known? Our autoencoder on four of them in R^50.

Trains the multilayer perceptron of `LatentGenerator` on noisy points and judges it on fresh ones:
the distance of reconstructions to the true manifold against that of the noisy points, neighbourhoods,
folds, dimensions.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from ot_latent.coders import TrainedCoder
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.metrics.manifold import judge_known_manifold
from ot_latent.metrics.manifolds import KNOWN_MANIFOLDS, KnownManifold

KEY = ("manifold", "seed")
NOISE = 0.02  # per coordinate of R^50: points lie about 0.14 off the manifold
POINTS = 4000
TRUSTWORTHY = 0.95
CODE_NOISE = {"archimedean_spiral": 0.02}


@dataclass(frozen=True)
class Recipe:
    """The settings of the training, through the public configuration."""

    width: int = 16  # hidden layers of 128
    epochs: int = 100
    batch_size: int = 64
    lr: float = 3e-3

    def train(self, manifold: KnownManifold, name: str, n: int, seed: int) -> TrainedCoder:
        """Return the trained autoencoder."""
        points = manifold.sample(n, seed=seed, noise=NOISE).points.astype(np.float32)
        config = AutoencoderConfig(
            model="mlp",
            latent_dim=manifold.dimension,
            width=self.width,
            code_noise=CODE_NOISE.get(name, 0.0),
        )
        training = TrainingConfig(
            epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, patience=self.epochs
        )
        codec = DataCodec.fit(points)
        network = build_autoencoder(config, codec.shape, seed)
        result = train_autoencoder(network, codec.encode(points), training, seed=seed)
        return TrainedCoder(codec, result.model)


def run(name: str, recipe: Recipe, n: int, seed: int) -> dict[str, Any]:
    """Train and judge on one manifold."""
    manifold = KNOWN_MANIFOLDS[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    coder = recipe.train(manifold, name, n, seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = judge_known_manifold(
        manifold, encode=coder.encode, decode=coder.decode, noise=NOISE, n=n, seed=seed + 1
    )
    right = round(found.reconstruction_dimension) == manifold.dimension
    return {
        "manifold": name,
        "seed": seed,
        "n": n,
        **{key: float(value) for key, value in found._asdict().items()},
        "below_noise": found.projection_error < found.noise_level,
        "trustworthy": found.trustworthiness >= TRUSTWORTHY,
        "dimension_right": right,
        "recipe": {**vars(recipe), "code_noise": CODE_NOISE.get(name, 0.0)},
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the table."""
    head = ("manifold", "noise", "error", "trustw.", "continuity", "folded", "torn")
    head += ("dim", "dim of data", "of codes", "of rebuilt", "cpu s", "seed")
    lines = []
    for row in sorted(record["rows"], key=lambda r: (r["manifold"], r["seed"])):
        names = ("noise_level", "projection_error", "trustworthiness", "continuity")
        line = [row["manifold"], *(f"{row[key]:.3f}" for key in names)]
        line += [f"{100 * row[key]:.1f} %" for key in ("folded", "torn")]
        line.append(f"{row['dimension']:.0f}")
        dimensions = ("data_dimension", "code_dimension", "reconstruction_dimension")
        line += [f"{row[key]:.2f}" for key in dimensions]
        lines.append([*line, row["cpu_s"], row["seed"]])
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifold", choices=list(KNOWN_MANIFOLDS), nargs="*")
    parser.add_argument("--seed", type=int, nargs="*", default=[0])
    parser.add_argument("--n", type=int, default=POINTS)
    parser.add_argument("--width", type=int, default=Recipe.width)
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "manifolds.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    recipe = Recipe(width=options.width, epochs=options.epochs)
    for name in [] if options.table else options.manifold or KNOWN_MANIFOLDS:
        for seed in options.seed:
            results.merge(options.out, [run(name, recipe, options.n, seed)], KEY)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
