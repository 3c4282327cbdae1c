"""Generate data whose grammar is known: precision, recall and novelty without a classifier.

`LatentGenerator` learns strings of a random hierarchy, one-hot encoded, and rivals sample the same
codes; the parser says of every decoded string whether it is grammatical and whether it is new. The
language itself, drawn uniformly, and reconstructions of held-out strings bound what is possible.
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
from ot_latent import LatentGenerator
from ot_latent.baselines import (
    ControlSampler,
    GaussianSampler,
    KernelDensitySampler,
    MixtureSampler,
    PlainMapSampler,
)
from ot_latent.theory.hierarchy import RandomHierarchy, SparseRandomHierarchy, judge_strings

KEY = ("model", "seed", "sampler")
MODELS: dict[str, tuple[type[RandomHierarchy], dict[str, Any]]] = {
    "dense": (RandomHierarchy, {"vocabulary": 6, "classes": 6, "synonyms": 3, "levels": 3}),
    "sparse": (
        SparseRandomHierarchy,
        {"vocabulary": 6, "classes": 6, "synonyms": 3, "levels": 2, "zeros": 1},
    ),
}
TRAINING, DRAWS, LATENT = 2000, 5000, 16
ORDER = (
    "the language", "held out, rebuilt", "transport", "transport, plain", "control",
    "kernel density", "mixture", "gaussian", "independent symbols",
)  # fmt: skip


class StringCoder:
    """Strings to one-hot rows for a generator, and its real rows back to the nearest string."""

    def __init__(self, model: RandomHierarchy) -> None:
        self.model, self.empty = model, model.zeros > 0

    def rows(self, strings: np.ndarray) -> np.ndarray:
        return self.model.encode(strings, empty=self.empty).reshape(len(strings), -1)

    def strings(self, rows: np.ndarray) -> np.ndarray:
        return self.model.decode(rows.reshape(len(rows), -1, self.model.length))


def independent_symbols(strings: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw every position by itself from the symbols that the training set has there."""
    rng = np.random.default_rng(seed)
    return np.take_along_axis(strings, rng.integers(len(strings), size=(n, strings.shape[1])), 0)


def samples(
    model: RandomHierarchy, strings: np.ndarray, options: argparse.Namespace, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return what each sampler makes of the training strings, and the seconds of the fits."""
    coder, n = StringCoder(model), options.draws
    clock = time.process_time()
    generator = LatentGenerator(
        options.latent, width=options.width, epochs=options.epochs, random_state=seed
    ).fit(coder.rows(strings))
    cpu = {"transport": time.process_time() - clock}
    rest = min(n, model.n_data - len(strings))
    held = model.strings(model.sample(rest, seed=seed, start=len(strings)))
    made = {
        "the language": model.strings(model.sample(n, seed=seed + 1000, replacement=True)),
        "held out, rebuilt": coder.strings(generator.reconstruct(coder.rows(held))),
        "independent symbols": independent_symbols(strings, n, seed),
        "transport": coder.strings(generator.sample(n, random_state=seed)),
    }
    codes = generator.encode(coder.rows(strings))
    rivals = {
        "transport, plain": PlainMapSampler(generator.sampler_),
        "control": ControlSampler(generator.sampler_),
        "kernel density": KernelDensitySampler(),
        "mixture": MixtureSampler("bic"),
        "gaussian": GaussianSampler(),
    }
    for name, rival in rivals.items():
        clock = time.process_time()
        drawn = rival.fit(codes).sample(n, random_state=seed)
        cpu[name] = time.process_time() - clock
        made[name] = coder.strings(generator.decode(drawn))
    made["held out, exact"] = (made["held out, rebuilt"] == held).all(axis=1)
    return made, cpu


def run(name: str, options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Fit, sample and judge on one grammar."""
    kind, settings = MODELS[name]
    model = kind(**settings, seed=seed)
    strings = model.strings(model.sample(options.training, seed=seed))
    made, cpu = samples(model, strings, options, seed)
    rebuilt = float(made.pop("held out, exact").mean())
    rows = []
    for sampler, found in made.items():
        scores = judge_strings(model, found, strings)
        rows.append(
            {
                "model": name,
                "seed": seed,
                "sampler": sampler,
                "settings": settings,
                "n_data": model.n_data,
                "training": len(strings),
                "draws": scores.n,
                "validity": scores.validity,
                "legal": scores.legal.tolist(),
                "recall": scores.recall,
                "novelty": scores.novelty,
                "fair_novelty": scores.fair_novelty,
                "copies": scores.copies,
                "label_distance": scores.label_distance if scores.label_counts.any() else None,
                "label_counts": scores.label_counts.tolist(),
                "production_coverage": scores.production_coverage.tolist(),
                "placement_coverage": scores.placement_coverage.tolist(),
                "rebuilt_exactly": rebuilt,
                "cpu_s": round(cpu.get(sampler, 0.0), 1),
                "load": round(os.getloadavg()[0], 2),
            }
        )
    return rows


def markdown(record: dict[str, Any]) -> str:
    """Return one table per model: means over grammars, with the range of the first columns."""
    return "\n\n".join(
        _table(name, [row for row in record["rows"] if row["model"] == name])
        for name in MODELS
        if any(row["model"] == name for row in record["rows"])
    )


def _table(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of one model."""
    first = rows[0]
    seeds = len({row["seed"] for row in rows})
    exact = np.mean([row["rebuilt_exactly"] for row in rows])
    levels = f"legal, level 1 to {len(first['legal'])}"
    head = ["sampler", "grammatical", levels, "recall", "copies", "new and grammatical"]
    head += ["grammatical among new", "labels off", "productions", "placements", "cpu s"]
    lines = []
    for sampler in ORDER:
        own = [row for row in rows if row["sampler"] == sampler]
        if own:
            lines.append([sampler, *_cells(own)])
    text = (
        f"**{name}**: {first['settings']}; {first['n_data']:,} strings in the language, "
        f"{first['training']:,} of them to learn from, {first['draws']:,} draws, {seeds} grammars; "
        f"{100 * exact:.1f} % of held-out strings are rebuilt exactly."
    )
    return f"{text}\n\n{results.table(head, lines)}"


def _cells(own: Sequence[dict[str, Any]]) -> list[str]:
    def share(values: Sequence[float | None], digits: int = 1) -> str:
        known = [value for value in values if value is not None]
        return f"{100 * np.mean(known):.{digits}f} %" if known else "-"

    valid = [100 * row["validity"] for row in own]
    legal = [share([row["legal"][level] for row in own]) for level in range(len(own[0]["legal"]))]
    new = [1 - row["copies"] for row in own]
    good = [
        row["novelty"] / part if part > 0.01 else None for row, part in zip(own, new, strict=True)
    ]
    repeats = own[0]["sampler"] != "held out, rebuilt"  # those are no independent draws
    return [
        f"{np.mean(valid):.1f} % ({min(valid):.1f} to {max(valid):.1f})",
        ", ".join(legal),
        share([row["recall"] if repeats else None for row in own]),
        share([row["copies"] for row in own]),
        share([row["novelty"] for row in own]),
        share(good),
        share([row["label_distance"] for row in own]),
        share([min(row["production_coverage"]) for row in own], 0),
        share([min(row["placement_coverage"]) for row in own], 0),
        f"{np.mean([row['cpu_s'] for row in own]):.1f}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, judge, merge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), nargs="*", default=list(MODELS))
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--training", type=int, default=TRAINING)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--latent", type=int, default=LATENT)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "hierarchy_generation.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    for name in [] if options.table else options.model:
        for seed in options.seed:
            results.merge(options.out, run(name, options, seed), KEY)
            print(f"{name}, grammar {seed}: judged", flush=True)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
