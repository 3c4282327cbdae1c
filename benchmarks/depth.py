"""Does the predicted cut-off tell how deep a network can be trained? Two initialisations, one task.

Plain tanh and ReLU networks of growing depth learn scikit-learn's digits from PyTorch's default
start and from the critical gain; `suggest_depth` names a depth for each beforehand.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import results
from ot_latent import plotting
from ot_latent._random import Stream, generator
from ot_latent.theory import depth as theory

KEY = ("activation", "initialisation", "width", "depth", "rate", "seed")
FILE = results.FOLDER / "depth.json"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "depth_trainability.png"
WIDTH, EPOCHS, BATCH = 64, 30, 64
RATES = (1e-3, 3e-4)  # deep networks need the smaller one; the better of both counts
DEPTHS = (1, 2, 3, 5, 6, 8, 10, 13, 16, 21, 31, 40, 63)
OTHER_WIDTHS, SHALLOW = (32, 128), 2
INITIALISATIONS = ("pytorch", "critical")
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
MODULES = ACTIVATIONS | {"silu": nn.SiLU, "gelu": nn.GELU}
CHANCE = 0.1


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return training and held-out rows, standardised by one mean and one deviation."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = generator(0, Stream.SPLIT, 0).permutation(len(x))
    x, y = torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order])
    cut = round(0.75 * len(x))
    x = (x - x[:cut].mean()) / x[:cut].std()
    return x[:cut], y[:cut], x[cut:], y[cut:]


def network(
    activation: str,
    initialisation: str | float,
    depth: int,
    width: int,
    seed: int,
    inputs: int = 64,
) -> nn.Module:
    """Return a plain network whose parameters are a function of the arguments."""
    parts: list[nn.Module] = []
    for layer in range(depth):
        parts += [nn.Linear(inputs if layer == 0 else width, width), MODULES[activation]()]
    model = nn.Sequential(*parts, nn.Linear(width, 10))
    linear = [part for part in model if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for number, part in enumerate(linear):
            fill(part, activation, initialisation, generator(seed, Stream.INITIALISATION, number))
    return model


def fill(
    part: nn.Linear, activation: str, initialisation: str | float, rng: np.random.Generator
) -> None:
    """Draw the parameters of a layer."""
    inputs = part.in_features
    if initialisation == "pytorch":  # what nn.Linear itself draws
        for parameter in (part.weight, part.bias):
            draws = rng.uniform(-1, 1, tuple(parameter.shape)) / math.sqrt(inputs)
            parameter.copy_(torch.from_numpy(draws))
        return
    gain = theory.suggest_depth(initialisation, inputs, activation=activation).gain
    scale = gain / math.sqrt(inputs)
    part.weight.copy_(torch.from_numpy(scale * rng.standard_normal(tuple(part.weight.shape))))
    part.bias.zero_()


def train(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, rate: float, epochs: int, seed: int
) -> None:
    """Train by Adam with a fixed rate."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for epoch in range(epochs):
        order = torch.from_numpy(generator(seed, Stream.TRAINING_ORDER, epoch).permutation(len(x)))
        for rows in order.split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()


def run(
    activation: str,
    initialisation: str,
    depth: int,
    width: int,
    rate: float,
    seed: int,
    epochs: int = EPOCHS,
) -> dict[str, Any]:
    """Train one network and judge it on held-out digits."""
    x, y, x_test, y_test = digits()
    model = network(activation, initialisation, depth, width, seed)
    cpu = time.process_time()
    train(model, x, y, rate=rate, epochs=epochs, seed=seed)
    cpu = time.process_time() - cpu
    with torch.no_grad():
        accuracy = float((model(x_test).argmax(1) == y_test).float().mean())
    return {
        "activation": activation,
        "initialisation": initialisation,
        "depth": depth,
        "seed": seed,
        "accuracy": round(accuracy, 4),
        "width": width,
        "rate": rate,
        "epochs": epochs,
        "cpu_s": round(cpu, 2),
        "load": round(os.getloadavg()[0], 2),
    }


def prediction(activation: str, initialisation: str, width: int = WIDTH) -> dict[str, Any]:
    """Return the depths that theory names before any training, in float32.

    The cut-off begins where a round trip through the layers meets the precision, and ends where a
    single passage does.
    """
    found = theory.suggest_depth(initialisation, width, torch.float32, activation)
    begin = None if found.cutoff is None else found.cutoff.centre
    return {
        "suggested": found.depth,
        "drift": found.walk.drift,
        "begin": begin,
        "end": None if begin is None else 2 * begin,
    }


def curves(
    record: dict[str, Any], activation: str, width: int = WIDTH
) -> dict[str, dict[int, list[float]]]:
    """Return accuracies by initialisation and depth, at the rate that is better on average."""
    rows = [r for r in record["rows"] if (r["activation"], r["width"]) == (activation, width)]
    found: dict[str, dict[int, list[float]]] = {}
    for start, depth in sorted({(r["initialisation"], r["depth"]) for r in rows}, reverse=True):
        here = [r for r in rows if (r["initialisation"], r["depth"]) == (start, depth)]
        by_rate = [[r["accuracy"] for r in here if r["rate"] == rate] for rate in RATES]
        best = max(by_rate, key=lambda accuracies: float(np.mean(accuracies or [0.0])))
        found.setdefault(start, {})[depth] = best
    return {start: dict(sorted(scores.items())) for start, scores in found.items()}


def plan(options: argparse.Namespace) -> list[tuple[str, str, int, int, float, int]]:
    """Return what is to be trained: a whole curve, and three depths at other widths."""
    found = []
    for activation in options.activation:
        for start in INITIALISATIONS:
            todo = [(depth, WIDTH) for depth in options.depth]
            for width in options.width:
                told = prediction(activation, start, width)
                ends = [] if told["end"] is None else [round(told["end"])]
                todo += [(depth, width) for depth in (SHALLOW, told["suggested"], *ends)]
            found += [
                (activation, start, depth, width, rate, seed)
                for depth, width in todo
                for rate in RATES
                for seed in options.seed
            ]
    return found


def markdown(record: dict[str, Any]) -> str:
    """Return the table: what is learnt where it was suggested, before and beyond."""
    head = ("network", "start", "width", "drift per layer", "predicted cut-off", "suggested")
    head += (
        f"accuracy at {SHALLOW}",
        "at the suggested depth",
        "at the cut-off's end",
        "last above 90 %",
        "seeds",
    )
    lines = []
    for activation in ACTIVATIONS:
        for width in (WIDTH, *OTHER_WIDTHS):
            for start, scores in curves(record, activation, width).items():
                lines.append(_line(activation, start, width, scores))
    return results.table(head, lines)


def _line(activation: str, start: str, width: int, scores: dict[int, list[float]]) -> list[Any]:
    told = prediction(activation, start, width)
    means = {d: float(np.mean(a)) for d, a in scores.items()}
    good = [d for d in means if all(a >= 0.9 for e, a in means.items() if e <= d)]
    end = told["end"]
    beyond = None if end is None else min((d for d in means if d >= round(end)), default=None)
    shown = (SHALLOW, max((d for d in means if d <= told["suggested"]), default=None), beyond)
    return [
        activation,
        start,
        width,
        f"{told['drift']:.4f}",
        None if end is None else f"{told['begin']:.1f} to {end:.1f}",
        told["suggested"],
        *(f"{results.interval(scores[d])} (depth {d})" if d in means else None for d in shown),
        max(good, default=None) if width == WIDTH else None,
        max(len(accuracies) for accuracies in scores.values()),
    ]


def picture(record: dict[str, Any], path: Path) -> None:
    """Draw both activations side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = {"pytorch": "PyTorch's default", "critical": "critical gain"}
    shown = [activation for activation in ACTIVATIONS if curves(record, activation)]
    size = (5.75 * len(shown), 4.2)
    with plotting.style():
        figure, axes = pyplot.subplots(
            1, len(shown), figsize=size, layout="constrained", squeeze=False
        )
    for ax, activation in zip(axes[0], shown, strict=True):
        found = curves(record, activation)
        told = {start: prediction(activation, start) for start in found}
        depths = sorted(set.intersection(*(set(scores) for scores in found.values())))
        plotting.trainability(
            depths,
            {names[s]: _padded([scores[d] for d in depths]) for s, scores in found.items()},
            suggested={names[s]: told[s]["suggested"] for s in found},
            cutoffs={
                names[s]: (told[s]["begin"], told[s]["end"]) for s in found if told[s]["begin"]
            },
            chance=CHANCE,
            title=f"{activation} networks of width {WIDTH} on digits",
            ax=ax,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _padded(rows: list[list[float]]) -> np.ndarray:
    """Return rows of one length, filled up with NaN."""
    longest = max(len(row) for row in rows)
    return np.array([row + [math.nan] * (longest - len(row)) for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, merge, draw, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, nargs="*", default=DEPTHS)
    parser.add_argument("--seed", type=int, nargs="*", default=[0])
    parser.add_argument("--activation", choices=list(ACTIVATIONS), nargs="*", default=ACTIVATIONS)
    parser.add_argument("--width", type=int, nargs="*", default=OTHER_WIDTHS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--again", action="store_true", help="train again what is there, too")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    known = {tuple(row[k] for k in KEY) for row in results.read(options.out)["rows"]}
    for activation, start, depth, width, rate, seed in [] if options.table else plan(options):
        if options.again or (activation, start, width, depth, rate, seed) not in known:
            row = run(activation, start, depth, width, rate, seed, options.epochs)
            results.merge(options.out, [row], KEY)
    record = results.read(options.out)
    picture(record, options.picture)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
