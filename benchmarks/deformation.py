"""Training an autoencoder on smoothly deformed images: what it does to errors and relative stability.

The option `deformation` deforms every batch of images anew. Judged on held-out images: the error of
reconstructions, that of reconstructed deformed images, and the relative stability R of the codes,
the mean squared change under deformations of one pixel over that under noise of the same size.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import results
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.datasets.loading import load
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder, decode_rows, encode_rows
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.theory.hierarchy import (
    deform,
    max_entropy_deformation,
    relative_stability,
    temperature,
)

KEY = ("data", "deformation", "seed")
DELTA = 1.0  # pixels by which probes are displaced, nominally
PROBES = 500


def rebuilding_error(model: Autoencoder, x: torch.Tensor) -> float:
    """Return the rms error of reconstructions over the standard deviation of the images."""
    rebuilt = decode_rows(model, encode_rows(model, x))
    return float((rebuilt - x).square().mean().sqrt() / (x - x.mean(0)).square().mean().sqrt())


def run(data: str, deformation: float, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train on some images with the option at a value, and judge on others."""
    images, probes = (load(data, split=part).x for part in ("train", "test"))
    rng = np.random.default_rng(seed)
    codec = DataCodec.fit(images)
    x = codec.encode(images[rng.permutation(len(images))[: options.n]])
    probe = codec.encode(probes[rng.permutation(len(probes))[:PROBES]])
    config = AutoencoderConfig(
        latent_dim=options.latent, width=options.width, deformation=deformation
    )
    training = TrainingConfig(epochs=options.epochs, patience=options.epochs)
    clock = time.process_time()
    model = train_autoencoder(
        build_autoencoder(config, codec.shape, seed), x, training, seed=seed
    ).model
    cpu = time.process_time() - clock
    height, width = probe.shape[-2:]
    heat = temperature(DELTA, side=max(height, width))
    moved = deform(probe, max_entropy_deformation(len(probe), (height, width), heat, seed=seed))
    found = relative_stability(model.encoder, probe, delta=DELTA, seed=seed)["output"]
    return {
        "data": data,
        "deformation": deformation,
        "seed": seed,
        "n": len(x),
        "epochs": options.epochs,
        "latent": options.latent,
        "width": options.width,
        "error": rebuilding_error(model, probe),
        "error_deformed": rebuilding_error(model, moved),
        "code_deformation": found.deformation.value,
        "code_noise": found.noise.value,
        "relative": found.relative.value,
        "relative_error": found.relative.error,
        "cpu_s": round(cpu, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the table: means over seeds."""
    head = ["data", "deformation in training, px", "held-out error", "of deformed images"]
    head += ["D of codes", "G of codes", "R = D / G", "seeds", "cpu s"]
    lines = []
    for key in sorted({(row["data"], row["deformation"]) for row in record["rows"]}):
        own = [row for row in record["rows"] if (row["data"], row["deformation"]) == key]
        names = ("error", "error_deformed", "code_deformation", "code_noise")
        means = [f"{np.mean([row[name] for row in own]):.4f}" for name in names]
        values = [row["relative"] for row in own]
        spread = f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        cpu = round(float(np.mean([row["cpu_s"] for row in own])))
        lines.append([*key, *means, spread, len(own), cpu])
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--deformation", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "deformation.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    for seed in [] if options.table else options.seed:
        for deformation in options.deformation:
            row = run(options.data, deformation, options, seed)
            results.merge(options.out, [row], KEY)
            print(f"{deformation} px, seed {seed}: R = {row['relative']:.3f}", flush=True)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
