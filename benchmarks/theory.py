"""Exact linear pieces: how fast, beside plain routes; and manifolds that a network cannot encode.

``--part`` names what to measure: slices, boxes, segments, unlearnable; on request ``trained``, the segment
through a decoder trained on MNIST. CPU seconds, the least of several
turns, compilation not counted (it is cached after the first use).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import results
from benchmarks.theory_oracles import lp_tree, python_slice, recipe
from ot_latent import datasets
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.plotting.regions import encoded_curve
from ot_latent.plotting.style import close, style
from ot_latent.theory.networks import read_network
from ot_latent.theory.rectified_linear import (
    alternating_strokes,
    encodes,
    enumerate_regions,
    line_regions,
    peano_curve,
    region_bounds,
    segment_chords,
    slice_regions,
    spiral,
    straighten,
    stroke_limit,
)
from ot_latent.theory.running import float64_function

KEY = ("part", "task")
PARTS = ("slices", "boxes", "segments", "unlearnable")
ON_REQUEST = ("trained",)  # needs MNIST
SLICES = ((2, 16, 16, 1), (2, 32, 32, 1), (2, 64, 64, 64, 1))
BOXES = ((2, 8, 8, 1), (2, 16, 16, 1), (2, 10, 10, 10, 1), (3, 6, 6, 1))
SHAPES = ((1, 28, 28), (3, 32, 32))
TRAINED, EPOCHS = ("mnist", 5000), 5  # name and rows
HALF = 10.0
HIDDEN = (6,)
TURNS = (0.5, 1, 1.5, 2, 3, 5, 12)
ORDERS = (1, 2, 3, 4)


def name_of(widths: Sequence[int]) -> str:
    """Return widths as 2-8-1."""
    return "-".join(map(str, widths))


def seconds(call: Callable[[], Any], turns: int) -> tuple[float, Any]:
    """Return the least CPU seconds of some calls, and what the last one returned."""
    spent = []
    for _ in range(turns):
        before = time.process_time()
        found = call()
        spent.append(time.process_time() - before)
    return min(spent), found


def measure_slices(turns: int, largest: int) -> list[dict[str, Any]]:
    """Compare the compiled slice with polygons cut in pure Python."""
    square = HALF * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    rows = []
    for widths in [w for w in SLICES if sum(w) <= largest]:
        net, layers = recipe(widths, 0)
        slice_regions(net, polygon=square)  # compiled now
        cpu, cells = seconds(lambda net=net: slice_regions(net, polygon=square), turns)
        slow, count = seconds(lambda layers=layers: python_slice(layers, HALF), 1)
        rows.append(
            {"part": "slices", "task": name_of(widths), "cells": len(cells), "slow_cells": count}
            | {"cpu_s": cpu, "slow_cpu_s": slow}
        )
    return rows


def measure_boxes(turns: int, largest: int) -> list[dict[str, Any]]:
    """Compare the double description with the sign tree of linear programmes."""
    rows = []
    for widths in [w for w in BOXES if sum(w) <= largest]:
        net, layers = recipe(widths, 0)
        cpu, cells = seconds(lambda net=net: list(enumerate_regions(net, HALF)), turns)
        slow, (count, solved) = seconds(lambda layers=layers: lp_tree(layers, HALF), 1)
        rows.append(
            {"part": "boxes", "task": name_of(widths), "cells": len(cells), "slow_cells": count}
            | {"cpu_s": cpu, "slow_cpu_s": slow, "programmes": solved}
        )
    return rows


def measure_segments(turns: int, width: int) -> list[dict[str, Any]]:
    """Cut segments between codes by the decoder of the default image model with ReLU units."""
    rows = []
    for shape in SHAPES:
        config = AutoencoderConfig(width=width, activation="relu")
        decoder = build_autoencoder(config, shape, seed=0).decoder
        ends = np.random.default_rng(0).standard_normal((2, config.latent_dim))
        rows.append(segment_row("x".join(map(str, shape)), decoder, ends, turns))
    return rows


def measure_trained(turns: int, width: int) -> list[dict[str, Any]]:
    """Cut the segment between the codes of two held-out images by a decoder that was trained."""
    train, test = (datasets.load(TRAINED[0], split=part).x for part in ("train", "test"))
    codec = DataCodec.fit(train[: TRAINED[1]])
    config = AutoencoderConfig(width=width, activation="relu")
    model = build_autoencoder(config, codec.shape, seed=0)
    rows = codec.encode(train[: TRAINED[1]])
    training = TrainingConfig(epochs=EPOCHS, batch_size=64, lr=1e-3)  # 4e-3 leaves it black
    model = train_autoencoder(model, rows, training, seed=0).model.eval()
    with torch.no_grad():
        ends = model.encode(codec.encode(test[:2])).double().numpy()
    shape = "x".join(map(str, codec.shape))
    return [segment_row(f"{shape}, trained on {TRAINED[0]}", model.decoder, ends, turns)]


def segment_row(task: str, decoder: nn.Module, ends: np.ndarray, turns: int) -> dict[str, Any]:
    """Cut one segment, compare with the decoder on a grid, and follow the image by chords."""
    network = read_network(decoder)
    cpu, path = seconds(lambda: line_regions(network, *ends), turns)
    t = np.linspace(0, 1, 201)
    part = np.clip(np.searchsorted(path.low, t, side="right") - 1, 0, None)
    got = path.slopes[part] * t[:, None] + path.constants[part]
    run = float64_function(decoder)
    error = np.abs(got - run(ends[0] + t[:, None] * (ends[1] - ends[0]))).max()
    return (
        {"part": "segments", "task": task, "cpu_s": cpu, "units": path.units}
        | {"breakpoints": len(path.breakpoints), "pieces": path.n_pieces, "error": float(error)}
        | {"chords": segment_chords(run, *ends).n_chords}
    )


def curves() -> list[tuple[str, np.ndarray]]:
    """Return spirals of growing turning, and Peano-type curves."""
    found = [(f"spiral, {turns:g} turns", spiral(turns, 600)) for turns in TURNS]
    return found + [(f"C_{order}", peano_curve(order)) for order in ORDERS]


def best_encoding(curve: np.ndarray, seeds: int, steps: int) -> tuple[Any, nn.Sequential]:
    """Return the encoding with the fewest folds among some trained networks."""
    nets = [straighten(curve, HIDDEN, seed=seed, steps=steps) for seed in range(seeds)]
    pairs = [(encodes(net, curve), net) for net in nets]
    return min(pairs, key=lambda pair: len(pair[0].folds))


def measure_unlearnable(seeds: int, steps: int) -> list[dict[str, Any]]:
    """Train one architecture on curves of growing complexity."""
    widths = (2, *HIDDEN, 1)
    rows = []
    for name, curve in curves():
        found, _ = best_encoding(curve, seeds, steps)
        rows.append(
            {"part": "unlearnable", "task": name, "architecture": name_of(widths)}
            | {"demanded": found.demanded, "strokes": alternating_strokes(curve)}
            | {"pieces": found.pieces, "folds": len(found.folds), "injective": found.injective}
            | {"bound": region_bounds(widths).best, "stroke_limit": stroke_limit(widths)}
        )
        if found.injective and found.pieces < found.demanded:
            raise AssertionError(f"the theorem is violated by {name}")
    return rows


def markdown(record: dict[str, Any]) -> str:
    """Return a table per part."""
    rows = {p: [r for r in record["rows"] if r["part"] == p] for p in PARTS}
    text = []
    for part, other in (("slices", "pure Python"), ("boxes", "sign tree of LPs")):
        head = [part, "cells", "CPU s", f"{other}: cells", "CPU s", "ratio"]
        lines = [
            [
                r["task"],
                r["cells"],
                r["cpu_s"],
                r["slow_cells"],
                r["slow_cpu_s"],
                r["slow_cpu_s"] / r["cpu_s"],
            ]
            for r in rows[part]
        ]
        text += [results.table(head, lines)] if lines else []
    head = ["segment through the decoder", "units", "breakpoints", "CPU s", "largest error"]
    head += ["chords, to 1 %"]
    keys = ("task", "units", "breakpoints", "cpu_s", "error", "chords")
    lines = [[r.get(k) for k in keys] for r in rows["segments"]]
    text += [results.table(head, lines)] if lines else []
    head = ["curve", "pieces demanded", "bound of the architecture", "strokes", "limit"]
    head += ["must fail", "pieces met", "folds", "injective"]
    lines = [
        [
            r["task"],
            r["demanded"],
            r["bound"],
            r["strokes"],
            r["stroke_limit"],
            must_fail(r),
            r["pieces"],
            r["folds"],
            "yes" if r["injective"] else "no",
        ]
        for r in rows["unlearnable"]
    ]
    return "\n\n".join([*text, *([results.table(head, lines)] if lines else [])])


def must_fail(row: dict[str, Any]) -> str:
    """Say which bound forbids that the curve is encoded, if one does."""
    if row["strokes"] > row["stroke_limit"]:
        return "strokes"
    return "pieces" if row["demanded"] > row["bound"] else "-"


def draw(path: Path, seeds: int, steps: int) -> None:
    """Draw the curves in the colours of their best codes, folds marked."""
    from matplotlib import pyplot

    widths = (2, *HIDDEN, 1)
    bound = region_bounds(widths).best
    with style():
        figure, axes = pyplot.subplots(2, 4, figsize=(11.5, 6.4), layout="constrained")
        chosen = [
            c
            for c in curves()
            if c[0].startswith("C_") or c[0].split()[1] in ("0.5", "1", "5", "12")
        ]
        for ax, (name, curve) in zip(axes.flat, chosen, strict=True):
            found, _ = best_encoding(curve, seeds, steps)
            folds = len(found.folds)
            state = "encoded" if found.injective else f"{folds} fold{'s' * (folds > 1)}"
            shown = f"${name}$" if name.startswith("C_") else name.replace(" 1 turns", " 1 turn")
            title = f"{shown}: {state}\ndemands {found.demanded} pieces, meets {found.pieces}"
            encoded_curve(found, ax, title=title)
        figure.suptitle(
            f"One architecture, {name_of(widths)} (at most {bound} pieces), trained to rise along curves"
        )
        figure.savefig(path)
    close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS + ON_REQUEST, nargs="*", default=list(PARTS))
    parser.add_argument("--turns", type=int, default=5, help="repetitions of what is fast")
    parser.add_argument("--largest", type=int, default=1000, help="most units of slices and boxes")
    parser.add_argument("--width", type=int, default=32, help="width of the image model")
    parser.add_argument("--seeds", type=int, default=4, help="trained networks per curve")
    parser.add_argument("--steps", type=int, default=1500, help="training steps")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "theory.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--figure", type=Path, help="train, and draw the curves into this file")
    options = parser.parse_args(arguments)
    routes: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "slices": lambda: measure_slices(options.turns, options.largest),
        "boxes": lambda: measure_boxes(options.turns, options.largest),
        "segments": lambda: measure_segments(options.turns, options.width),
        "trained": lambda: measure_trained(options.turns, options.width),
        "unlearnable": lambda: measure_unlearnable(options.seeds, options.steps),
    }
    for part in [] if options.table or options.figure else options.part:
        load = round(os.getloadavg()[0], 2)
        results.merge(options.out, [row | {"load": load} for row in routes[part]()], KEY)
        print(f"{part}: measured", flush=True)
    if options.figure:
        draw(options.figure, options.seeds, options.steps)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
