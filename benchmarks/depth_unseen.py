"""Does `suggest_depth` stay on the good side where nobody looked when its thresholds were chosen?

Other widths, activations, data and seeds than those of `benchmarks.depth`. The rule was fixed before
any of these networks was trained: a depth is on the good side if its networks learn at least nine tenths
of what two hidden layers learn above chance, means over seeds. Twice the depth says what is lost beyond.
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
from torch import Tensor

from benchmarks import results
from benchmarks.depth import CHANCE, EPOCHS, RATES, SHALLOW, digits, network, train
from ot_latent import datasets
from ot_latent.theory import depth as theory

KEY = ("data", "activation", "initialisation", "width", "depth", "rate", "seed")
FILE = results.FOLDER / "depth_unseen.json"
SHARE = 0.9
ROWS, TESTS = 1348, 1000
SETTINGS: dict[str, list[tuple[str, str | float, int]]] = {
    "fashion-mnist": [
        ("tanh", "pytorch", 96),
        ("tanh", "critical", 48),
        ("tanh", 2.0, 48),
        ("relu", "pytorch", 48),
        ("relu", "critical", 96),
        ("silu", "pytorch", 48),
        ("silu", "critical", 96),
        ("gelu", "critical", 96),
    ],
    "digits": [("silu", "critical", 96), ("gelu", "pytorch", 96), ("tanh", 2.0, 48)],
}


@cache
def task(data: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows to learn from and rows to judge by, standardised by one mean and one deviation."""
    if data == "digits":
        return digits()
    parts = [datasets.load(data, split=part) for part in ("train", "test")]
    x, x_test = (
        torch.from_numpy(np.asarray(part.x[:rows], dtype=np.float32)).flatten(1)
        for part, rows in zip(parts, (ROWS, TESTS), strict=True)
    )
    y, y_test = (
        torch.from_numpy(np.asarray(part.y[:rows], dtype=np.int64))
        for part, rows in zip(parts, (ROWS, TESTS), strict=True)
    )
    mean, deviation = x.mean(), x.std()
    return (x - mean) / deviation, y, (x_test - mean) / deviation, y_test


def depths(activation: str, start: str | float, width: int) -> tuple[int, int, int]:
    """Return two layers, as many as are suggested, and twice as many."""
    told = theory.suggest_depth(start, width, torch.float32, activation).depth
    return SHALLOW, told, 2 * told


def run(
    data: str,
    setting: tuple[str, str | float, int],
    depth: int,
    rate: float,
    seed: int,
    epochs: int,
) -> dict[str, Any]:
    """Train one network and judge it."""
    activation, start, width = setting
    x, y, x_test, y_test = task(data)
    model = network(activation, start, depth, width, seed, inputs=x.shape[1])
    cpu = time.process_time()
    train(model, x, y, rate=rate, epochs=epochs, seed=seed)
    cpu = time.process_time() - cpu
    with torch.no_grad():
        accuracy = float((model(x_test).argmax(1) == y_test).float().mean())
    named = dict(zip(KEY, (data, activation, start, width, depth, rate, seed), strict=True))
    told = {"accuracy": round(accuracy, 4), "epochs": epochs, "cpu_s": round(cpu, 2)}
    return named | told | {"load": round(os.getloadavg()[0], 2)}


def accuracies(rows: Sequence[dict[str, Any]], depth: int) -> np.ndarray:
    """Return the accuracies at one depth, at the rate that is better on average."""
    by_rate = [
        [r["accuracy"] for r in rows if (r["depth"], r["rate"]) == (depth, rate)] for rate in RATES
    ]
    return np.array(max(by_rate, key=lambda found: float(np.mean(found or [0.0]))))


def share(found: np.ndarray, shallow: np.ndarray) -> float:
    """Return what is learnt above chance, over what two layers learn."""
    return float((found.mean() - CHANCE) / (shallow.mean() - CHANCE))


def markdown(record: dict[str, Any]) -> str:
    """Return the table: what is learnt by two layers, at the suggested depth, and beyond."""
    head = ("data", "network", "start", "width", "suggested", "accuracy at 2", "at the suggested")
    head += ("share learnt", "good side", "at twice the depth", "share learnt there", "seeds")
    lines = []
    for data, settings in SETTINGS.items():
        for setting in settings:
            named = dict(zip(KEY[:4], (data, *setting), strict=True))
            rows = [r for r in record["rows"] if all(r[k] == v for k, v in named.items())]
            if rows:
                lines.append([data, *_line(setting, rows)])
    return results.table(head, lines)


def _line(setting: tuple[str, str | float, int], rows: list[dict[str, Any]]) -> list[Any]:
    activation, start, width = setting
    shallow, told, twice = (accuracies(rows, depth) for depth in depths(*setting))
    kept = share(told, shallow)
    name = start if isinstance(start, str) else f"gain {start:g}"
    return [
        activation,
        name,
        width,
        depths(*setting)[1],
        results.interval(shallow),
        results.interval(told),
        f"{kept:.2f}",
        "yes" if kept >= SHARE else "no",
        results.interval(twice),
        f"{share(twice, shallow):.2f}" if len(twice) else "-",
        len(told),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(SETTINGS), nargs="*", default=list(SETTINGS))
    parser.add_argument("--seed", type=int, nargs="*", default=[3, 4, 5])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--first", type=int, default=0, help="number of the first setting")
    parser.add_argument("--last", type=int, help="number of the first setting that is left out")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    known = {tuple(row[k] for k in KEY) for row in results.read(options.out)["rows"]}
    for data in [] if options.table else options.data:
        for setting in SETTINGS[data][options.first : options.last]:
            for seed in options.seed:
                for depth in depths(*setting):
                    for rate in RATES:
                        if (data, *setting, depth, rate, seed) not in known:
                            row = run(data, setting, depth, rate, seed, options.epochs)
                            results.merge(options.out, [row], KEY)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
