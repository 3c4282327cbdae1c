"""The picture at the head of the README: a two-dimensional model from training to atlas.

``python -m benchmarks.atlas`` (or ``make atlas``) trains an autoencoder and a classifier, solves the
transport exactly for the codes of all training images, and writes the picture, a page to explore,
and the numbers. Nothing but the colours knows the labels.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from ot_latent import OTSampler, atlas, datasets, plotting
from ot_latent.atlas_page import atlas_page
from ot_latent.coders import TrainedCoder
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.features import ClassFeatures
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.classifier import train_classifier
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "atlas.png"
PAGE = ROOT / "build" / "atlas.html"  # a page to explore, some 6 MB
HELD_OUT = (
    10_000  # rows of the test split: every other one is reconstructed, the rest is the reference
)


@dataclass(frozen=True)
class Recipe:
    """What is trained and solved.

    Parameters
    ----------
    rows, epochs, batch_size : int
        Training of the autoencoder; the classifier sees the same rows.
    code_noise, code_penalty, neighbour_weight, loss, width
        As in `AutoencoderConfig`.
    classifier_epochs : int
        Passes of the classifier.
    targets : int
        Codes that the transport aims at: those of the first training images.
    tolerance : float
        Largest relative mass error at which the transport stops.
    extension : str
        As in `OTSampler`.
    seed : int
        Seed of everything.
    """

    rows: int = 60_000
    epochs: int = 16
    batch_size: int = 256
    code_noise: float = 0.0
    code_penalty: float = 1e-4
    neighbour_weight: float = 0.05
    loss: str = "mse"
    width: int = 32
    classifier_epochs: int = 1
    targets: int = 60_000
    tolerance: float = 1e-6
    extension: str = "none"
    seed: int = 0


class Clock:
    """Wall-clock and processor seconds by stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.last = time.perf_counter(), time.process_time()

    def __call__(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter(), time.process_time()
        wall, cpu = (round(b - a, 1) for a, b in zip(self.last, now, strict=True))
        self.stages[stage] = {"wall_s": wall, "cpu_s": cpu}
        self.last = now


def train(x: np.ndarray, recipe: Recipe) -> TrainedCoder:
    """Train the autoencoder."""
    architecture = AutoencoderConfig(
        model="mlp" if x[0].size < 4096 else "conv",
        latent_dim=2,
        width=recipe.width,
        loss=recipe.loss,  # type: ignore[arg-type]
        code_noise=recipe.code_noise,
        code_penalty=recipe.code_penalty,
        neighbour_weight=recipe.neighbour_weight,
    )
    training = TrainingConfig(
        epochs=recipe.epochs, batch_size=recipe.batch_size, validation_fraction=0.0
    )
    codec = DataCodec.fit(x)
    network = build_autoencoder(architecture, codec.shape, recipe.seed)
    done = train_autoencoder(network, codec.encode(x), training, seed=recipe.seed, device="cpu")
    return TrainedCoder(codec, done.model)


def solve(codes: np.ndarray, recipe: Recipe) -> OTSampler:
    """Solve the transport exactly."""
    sampler = OTSampler(
        solver="exact",
        tolerance=recipe.tolerance,
        extension=recipe.extension,
        random_state=recipe.seed,
    )
    return sampler.fit(codes)


def run(name: str, recipe: Recipe) -> tuple[atlas.Atlas, TrainedCoder, Any, dict[str, Any]]:
    """Train, solve and judge; return the atlas, the coder, names of the classes, and the record."""
    clock = Clock()
    train_set, test_set = datasets.load(name), datasets.load(name, split="test")
    x, classes = train_set.x[: recipe.rows], np.asarray(train_set.y)
    held_out = test_set.x[:HELD_OUT]
    clock("read")
    coder = train(x, recipe)
    clock("autoencoder")
    judge = ClassFeatures(
        coder.codec,
        train_classifier(
            coder.codec.encode(x),
            classes[: recipe.rows],
            seed=recipe.seed,
            epochs=recipe.classifier_epochs,
        ),
    )
    clock("classifier")
    sampler = solve(coder.encode(train_set.x[: recipe.targets]), recipe)
    clock("transport")
    labels = np.empty(len(sampler.weights_), dtype=classes.dtype)
    labels[sampler.inverse_] = classes[: recipe.targets]
    found = atlas.compute(
        potential=sampler.potential_,
        source=sampler.source_,
        labels=labels,
        transport=sampler.inverse_transform,
        decode=coder.decode,
        probabilities=lambda images: judge(images)[1],
        features=lambda images: judge(images)[0],
        real=held_out[1::2],
        reconstructed=coder.decode(coder.encode(held_out[::2])),
        solution=sampler.transport_,
        weights=sampler.weights_,
    )
    clock("atlas")
    seen = judge(held_out[1::2])[1].argmax(axis=1)
    record = {
        "data": name,
        "recipe": asdict(recipe),
        **found.numbers(),
        "classifier_accuracy": float((seen == test_set.y[1:HELD_OUT:2]).mean()),
        "transport": _transport_record(sampler),
        "seconds": clock.stages,
        "machine": results.machine(),
    }
    return found, coder, train_set.label_names, record


def _transport_record(sampler: OTSampler) -> dict[str, Any]:
    solution = sampler.transport_
    return {
        "status": solution.status.name,
        "solver": solution.solver,
        "steps": solution.steps,
        "largest_mass_error": solution.mass_error,
        "cost": solution.cost,
    }


def _words(record: dict[str, Any]) -> str:
    return (
        f"{record['targets']:,} cells, largest relative mass error "
        f"{record['largest_mass_error']:.0e}, by {record['transport']['steps']} Newton steps."
    )


def write_picture(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a figure as a PNG of 256 colours, a third of the size of one with all."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the picture and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", type=Path, default=PICTURE)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=results.FOLDER / "atlas.json")
    for field, value in asdict(Recipe()).items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    recipe = Recipe(**{field: options[field] for field in asdict(Recipe())})
    found, coder, names, record = run(options["data"], recipe)
    write_picture(plotting.atlas(found, names=names), options["out"])
    title = f"{options['data']} in two dimensions"
    page = atlas_page(found, coder.decode, names=names, title=title, words=_words(record))
    options["page"].parent.mkdir(parents=True, exist_ok=True)
    options["page"].write_text(page, encoding="utf-8")
    results.write(options["json"], record)
    line = "{}: ambiguous {:.1%}, shares off by {:.1f} standard errors, Frechet distance {:.1f}"
    for key in ("map", "gaussian", "reconstructions"):
        part = record[key]
        print(line.format(key, part["ambiguous"], part["share_error"], part["frechet"]))
    for key in ("map", "gaussian"):
        fine = record[key]["fine"]
        words = f"{key}, {fine['n']:,} tiles: ambiguous {fine['ambiguous']:.2%}"
        print(f"{words}, standard error {fine['ambiguous_error']:.2%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
