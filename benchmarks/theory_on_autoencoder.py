"""What options from theory do to an autoencoder: held-out error, decoder ceiling, active neurons, time.

Every variant is one set of settings of the public configuration, trained and judged alike. A null
result is a result: variants are compared with their base, over several seeds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import results
from ot_latent import datasets
from ot_latent.architectures import new_autoencoder
from ot_latent.coders import TrainedCoder
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.estimators import OTSampler
from ot_latent.evidence import reconstruction_error
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.classifier import Classifier, train_classifier
from ot_latent.latent.homogeneous import autoencoder_units
from ot_latent.latent.layers import in_blocks
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.metrics import frechet_distance, precision_recall

KEY = ("data", "variant", "seed")
FILE = results.FOLDER / "theory_on_autoencoder.json"
PAGE = Path(__file__).with_suffix(".md")
BASE: dict[str, Any] = {"model": "mlp", "latent_dim": 16, "width": 16}  # hidden layers of 128
TRAINING: dict[str, Any] = {"patience": 100, "batch_size": 64}
EPOCHS = {"digits": 60, "fashion-mnist": 15, "mnist": 15}
ROWS = {"digits": 1200, "fashion-mnist": 5000, "mnist": 5000}
QUIET = (
    1e-3  # a unit whose output varies less than this share of its layer's most lively is not active
)

RELU: dict[str, Any] = {"activation": "relu", "skip": False}  # no norms, no linear path
PROX: dict[str, Any] = RELU | {"regulariser": "pathprox"}
DECAY: dict[str, Any] = {"training": {"weight_decay": 0.3}}
IMAGE: dict[str, Any] = {"model": "conv", "width": 32}  # the network that images get by default
# Name -> settings of the autoencoder, and of the training under the key "training".
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "critical": {"initialisation": "critical"},
    "depth auto": {"depth": "auto"},
    "depth auto, critical": {"depth": "auto", "initialisation": "critical"},
    "plain ReLU": RELU,
    "plain ReLU, critical": RELU | {"initialisation": "critical"},
    "plain ReLU, depth auto": RELU | {"depth": "auto"},
    "plain ReLU, depth auto, critical": RELU | {"depth": "auto", "initialisation": "critical"},
    "no skip": {"skip": False},
    "bottleneck 16": {"bottleneck_rank": 16},
    "plain ReLU, skip": RELU | {"skip": True},
    "plain ReLU, bottleneck 16": RELU | {"bottleneck_rank": 16},
    "plain ReLU, weight decay 0.3": RELU | DECAY,
    "PathProx 0.1": PROX | {"training": {"weight_decay": 0.1}},
    "PathProx 0.3": PROX | DECAY,
    "PathProx 1": PROX | {"training": {"weight_decay": 1.0}},
    "PathProx 0.3, skip": PROX | DECAY | {"skip": True},
    "deformation 0.5": {"deformation": 0.5},
    "deformation 1": {"deformation": 1.0},
}
# The default network of images beside its piecewise-linear relatives; samples are judged, too.
IMAGE_VARIANTS: dict[str, dict[str, Any]] = {
    "convolutions": IMAGE,
    "convolutions, ReLU": IMAGE | {"activation": "relu"},
    "convolutions, ReLU, critical": IMAGE | {"activation": "relu", "initialisation": "critical"},
    "convolutions, ReLU, skip": IMAGE | {"activation": "relu", "skip": True},
}
ALL = VARIANTS | IMAGE_VARIANTS


@cache
def task(data: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, Classifier]:
    """Return training rows, held-out rows in two halves, and a classifier for the features."""
    train, test = (datasets.load(data, split=part) for part in ("train", "test"))
    x, y = train.x[: ROWS[data]], np.asarray(train.y[: ROWS[data]])
    half = min(len(test.x), 2000) // 2
    codec = DataCodec.fit(x)
    judge = train_classifier(codec.encode(x), y, seed=0, epochs=10)
    return x, test.x[:half], test.x[half : 2 * half], judge


def active_neurons(coder: TrainedCoder, rows: np.ndarray) -> tuple[int, int]:
    """Return how many hidden units vary over the data, and how many there are.

    A channel of a map counts as one unit.
    """
    spread: list[torch.Tensor] = []

    def watch(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        values = output.detach().movedim(1, 0).flatten(1)  # (units, rows and places)
        spread.append(values.std(dim=1))

    bends = [m for m in coder.model.modules() if isinstance(m, nn.SiLU | nn.ReLU)]
    hooks = [bend.register_forward_hook(watch) for bend in bends]
    with torch.no_grad():
        coder.model(coder.inputs(rows))
    for hook in hooks:
        hook.remove()
    alive = sum(int((s > QUIET * s.max()).sum()) for s in spread if float(s.max()) > 0.0)
    return alive, sum(len(s) for s in spread)


def sampled_frechet(
    coder: TrainedCoder, x: np.ndarray, real: torch.Tensor, judge: Classifier, seed: int
) -> float:
    """Return the Frechet distance of samples: the transport's, on the codes of the training rows."""
    sampler = OTSampler(tolerance=0.1, random_state=seed).fit(coder.encode(x))
    drawn = coder.decode(sampler.sample(len(real)))
    made = in_blocks(judge.features, coder.codec.encode(drawn))
    return round(frechet_distance(real=real, generated=made), 5)


@torch.no_grad()
def silence_(model: Autoencoder) -> None:
    """Set to zero what leads to units that PathProx left without a reader: they are not active."""
    for block in autoencoder_units(model) if model.config.regulariser == "pathprox" else []:
        heard = (block.out_norms() > 0).to(torch.float32)
        for side in (block.incoming, block.bias):
            if side is not None:
                side.scale_(heard)


def run(data: str, variant: str, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """Train one variant and judge it."""
    x, first, second, judge = task(data)
    settings = dict(ALL[variant])
    training = TRAINING | {"epochs": epochs or EPOCHS[data]} | settings.pop("training", {})
    codec = DataCodec.fit(x)
    config = AutoencoderConfig.from_dict(BASE | settings)
    model = new_autoencoder(config, codec.shape, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    result = train_autoencoder(
        model, codec.encode(x), TrainingConfig.from_dict(training), seed=seed
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    silence_(result.model)
    coder = TrainedCoder(codec, result.model.eval())
    ceiling = coder.decode(coder.encode(first))
    real, rebuilt = (in_blocks(judge.features, codec.encode(rows)) for rows in (second, ceiling))
    scores = precision_recall(real=real, generated=rebuilt)
    active, units = active_neurons(coder, first)
    pictured = variant in IMAGE_VARIANTS
    return {
        "data": data,
        "variant": variant,
        "seed": seed,
        "held_out": round(reconstruction_error(coder, np.concatenate([first, second])), 5),
        "ceiling_frechet": round(frechet_distance(real=real, generated=rebuilt), 5),
        "ceiling_precision": round(float(scores.precision), 4),
        "ceiling_recall": round(float(scores.recall), 4),
        "sampled_frechet": sampled_frechet(coder, x, real, judge, seed) if pictured else None,
        "active": active,
        "units": units,
        "depth": result.model.config.depth,
        "settings": ALL[variant],
        "epochs": training["epochs"],
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return one table per data set: means over seeds, and the spread of the error."""
    parts = []
    for data in dict.fromkeys(row["data"] for row in record["rows"]):
        for variants, name in ((VARIANTS, data), (IMAGE_VARIANTS, f"{data}, convolutions")):
            known = {
                v: [r for r in record["rows"] if (r["data"], r["variant"]) == (data, v)]
                for v in variants
            }
            lines = [_line(variant, rows) for variant, rows in known.items() if rows]
            if lines:
                parts.append(f"### {name}\n\n{results.table(_head(variants), lines)}")
    return "\n\n".join(parts)


def _head(variants: dict[str, Any]) -> tuple[str, ...]:
    sampled = ("samples: Frechet",) if variants is IMAGE_VARIANTS else ()
    first = ("variant", "hidden layers", "held-out error", "ceiling: Frechet", *sampled)
    return (*first, "precision", "recall", "active units", "CPU s", "seeds")


def _line(variant: str, rows: list[dict[str, Any]]) -> list[Any]:
    def told(key: str, digits: int) -> str:
        values = [row[key] for row in rows]
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(rows) > 1 else ""
        return f"{np.mean(values):.{digits}f}{spread}"

    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in rows]))

    pictured = variant in IMAGE_VARIANTS
    return [
        variant,
        rows[0]["depth"] or "default",
        told("held_out", 4),
        told("ceiling_frechet", 2) if pictured else f"{mean('ceiling_frechet'):.3f}",
        *([told("sampled_frechet", 2)] if pictured else []),
        f"{mean('ceiling_precision'):.3f}",
        f"{mean('ceiling_recall'):.3f}",
        f"{mean('active'):.0f} of {rows[0]['units']}",
        f"{mean('cpu_s'):.1f}",
        len(rows),
    ]


def write_page(record: dict[str, Any], page: Path) -> None:
    """Put the tables between the marks of the page."""
    begin, end = "<!-- tables: begin -->\n", "<!-- tables: end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}{markdown(record)}\n{end}{after}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, merge, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(EPOCHS), nargs="*", default=["digits"])
    parser.add_argument("--variant", choices=list(ALL), nargs="*", default=list(VARIANTS))
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--table", action="store_true", help="write the page from what is there")
    options = parser.parse_args(arguments)
    for data in [] if options.table else options.data:
        for seed in options.seed:
            for variant in options.variant:
                row = run(data, variant, seed, options.epochs)
                results.merge(options.out, [row], KEY)
    record = results.read(options.out)
    write_page(record, options.page)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
