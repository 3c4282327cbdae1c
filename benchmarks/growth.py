"""What a draw costs against d: inner products with all targets, and crossed draws in blocks.

Noise, products, winners and counts are all in the time; the number of draws is as many whole blocks
as 1,024 rows make, so that what a row costs is shared by its A draws and by no more; 8,192 where
draws are independent.
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
from torch import Tensor

from benchmarks import results
from benchmarks.kernels import threads
from benchmarks.sampled_growth import exponent
from benchmarks.sampled_map import gaussian_start
from ot_latent._random import BLOCK_ROWS
from ot_latent.plotting.style import PALETTE, close, style
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.samplers import TRIAL_ROWS, Samplers, best_rows
from ot_latent.transport.sampling import Sampler
from ot_latent.transport.sources import UniformBox

KEY = ("n", "dim", "rows", "threads")
DIMS = (8, 32, 128, 512, 1_024, 4_096)
TARGETS = 10_000
ROWS = (8, 16, 32, 64, 128, 256)
PLAIN = 8 * BLOCK_ROWS  # independent draws, which share the cost of packing the targets
LOOKED = 4  # times the rows of one turn, to measure v
TURNS = 3
SEED = 7


def task(n: int, dim: int) -> tuple[UniformBox, DiscreteMeasure, Tensor]:
    """Return the centred cube, standard normal targets, the heights at which the solver starts."""
    rng = np.random.default_rng(SEED)
    points = torch.from_numpy(rng.standard_normal((n, dim), dtype=np.float32))
    target = DiscreteMeasure.uniform(points)
    heights = gaussian_start(target, 1 / 3)
    return UniformBox.centered(dim), target, heights - heights.max()


def measure(n: int, dim: int, rows: Sequence[int] = ROWS) -> list[Any]:
    """Return a row per number A of rows of a block, one standing for independent draws."""
    source, target, heights = task(n, dim)
    crossed = Samplers(source, target, SEED, "crossed", None)
    plain = Samplers(source, target, SEED, "independent", None)
    found = []
    for a in (1, *rows):
        sampler = (plain if a == 1 else crossed).of(a)
        base = PLAIN if a == 1 else BLOCK_ROWS
        v = sampler.look(heights, LOOKED * base * a).inflation if a > 1 else 1.0
        row = {"n": n, "dim": dim, "rows": a, "draws": base * a, "v": v}
        row |= {"cpu_s": seconds(sampler, heights, base) / (base * a)}
        row |= {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 2)}
        found.append(row)
    trial = next((row["v"] for row in found if row["rows"] == TRIAL_ROWS), 1.0)
    chosen = best_rows(trial, TRIAL_ROWS, dim, n)
    return [row | {"chosen": row["rows"] == chosen} for row in found]


def seconds(sampler: Sampler, heights: Tensor, base: int) -> float:
    """Return the least CPU seconds of the draws that some rows are good for."""
    draws = base * sampler.rows
    sampler.tally(heights, 0, draws, 0.0)
    spent = []
    for turn in range(1, TURNS + 1):  # other rows, or their noise would be there already
        before = time.process_time()
        sampler.tally(heights, turn * base, draws, 0.0)
        spent.append(time.process_time() - before)
    return min(spent)


def markdown(record: dict[str, Any]) -> str:
    """Return a line per dimension: independent draws, the solver's A, the best A."""
    rows = record["rows"]
    places = sorted({(row["n"], row["threads"], row["dim"]) for row in rows})
    head = ["N", "d", "threads", "plain: ns / pair", "A chosen", "v", "ns / pair", "times v"]
    head += ["best A", "v", "ns / pair", "times v"]
    lines, best = [], []
    for n, count, dim in places:
        here = [r for r in rows if (r["n"], r["threads"], r["dim"]) == (n, count, dim)]
        plain = next(row for row in here if row["rows"] == 1)
        best.append(min(here, key=lambda row: row["v"] * row["cpu_s"]))
        chosen = next((row for row in here if row["chosen"]), plain)
        lines.append([n, dim, count, _pair(plain), *_cells(chosen), *_cells(best[-1])])
    fits = {"plain": [row for row in rows if row["rows"] == 1], "best A": best}
    fits |= {f"A = {a}": [row for row in rows if row["rows"] == a] for a in ROWS[-2:]}
    slopes = {name: exponent(found, "dim") for name, found in fits.items()}
    said = ", ".join(f"{name} d^{fit:.2f}" for name, fit in slopes.items() if fit is not None)
    return results.table(head, lines) + (f"\n\nFitted to ns / pair: {said}." if said else "")


def _pair(row: dict[str, Any]) -> float:
    """Return nanoseconds per pair of a draw and a target."""
    return 1e9 * row["cpu_s"] / row["n"]


def _cells(row: dict[str, Any]) -> list[Any]:
    """Return A, v and the cost per pair, and per pair that says something new."""
    return [row["rows"], row["v"], _pair(row), row["v"] * _pair(row)]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the cost per pair against d, a curve per A; the suffix chooses the format."""
    from matplotlib import pyplot

    with style():
        figure, ax = pyplot.subplots(figsize=(5.2, 3.8), layout="constrained")
        for place, a in enumerate(sorted({row["rows"] for row in rows})):
            curve = sorted((row["dim"], _pair(row)) for row in rows if row["rows"] == a)
            label = "independent" if a == 1 else f"crossed, A = {a}"
            colour = PALETTE[place % len(PALETTE)]
            ax.plot(*zip(*curve, strict=True), color=colour, marker="o", markersize=3, label=label)
        ax.set(xscale="log", yscale="log", xlabel="d", ylabel="CPU ns per draw and target")
        ax.legend()
        figure.savefig(path)
    close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, nargs="*", default=list(DIMS))
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ROWS), help="A of the blocks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "growth.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--figure", type=Path, help="draw what is there into this file")
    options = parser.parse_args(arguments)
    for dim in [] if options.table or options.figure else options.dim:
        with threads(options.threads):
            results.merge(options.out, measure(options.targets, dim, options.rows), KEY)
        print(f"d={dim}: measured", flush=True)
    record = results.read(options.out)
    if options.figure:
        draw(record["rows"], options.figure)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
