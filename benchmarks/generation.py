"""Are all modes there, is nothing between them, and is anything new? Samplers on the same codes.

Every sampler is fitted to the same training codes and judged on the same number of fresh samples by the
same judge, seed by seed. The row "fresh data" is what the law itself scores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import (
    generation_ablation as ablation,
    generation_images as images,
    generation_images_autoencoders as autoencoders,
    generation_images_table,
    generation_stacked as stacked,
    generation_stacked_table,
    generation_tradeoff as tradeoff,
    results,
)
from benchmarks.generation_samplers import METHODS, Fits
from benchmarks.generation_toys import FRESH, TOYS, TRAIN, judge
from ot_latent.datasets.loading import load

KEY = ("toy", "method", "seed")
FRESH_DATA = "fresh data"
SHOWN = ("mixture_rate", "variance_ratio", "copy_rate", "novelty_ratio", "authenticity")
SHOWN += ("data_copying",)
SHOWERS = {"stacked": generation_stacked_table.markdown, "images": generation_images_table.markdown}
SHOWERS |= {"autoencoders": autoencoders.markdown, "ablation": ablation.markdown}
SHOWERS |= {"tradeoff": tradeoff.markdown}
RUNS = "folder in which trained networks and solved transports are kept, and found again"


def run_toy(name: str, methods: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each method on one toy law."""
    toy = TOYS[name]()
    train = toy.draw(TRAIN, seed)
    fits = Fits(train, seed)
    for method in methods:
        row: dict[str, Any] = {"toy": name, "method": method, "seed": seed, "failure": None}
        cpu = time.process_time()
        if method not in (FRESH_DATA, *METHODS):
            continue  # there is no decoder
        try:
            if method == FRESH_DATA:
                made = toy.draw(FRESH, seed + 1000)
            else:
                made = METHODS[method](fits).sample(FRESH, random_state=seed)
            row["cpu_s"] = time.process_time() - cpu
            row |= judge(toy, made, train, seed)
        except (
            ImportError,
            ValueError,
        ) as error:  # a missing library, a refusal: told in the table
            row["failure"] = str(error)
        yield row


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95 % interval by Student's law."""
    from scipy.stats import t

    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return float(x.mean()), float("nan"), float("nan")
    half = t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)


def _cell(key: str, values: Sequence[float]) -> str:
    """Return mean and half width, rates in per cent."""
    mean, low, high = interval(values)
    unit, digits = (100.0, 3) if key.endswith("rate") else (1.0, 2)
    text = f"{unit * mean:.{digits}f}"
    return text if np.isnan(low) else f"{text} ± {unit * (high - low) / 2:.{digits}f}"


def markdown(record: dict[str, Any]) -> str:
    """Return a table for each toy law: means over seeds with 95 % intervals."""
    head = ["method", "seeds", "all modes", "off modes, %", "variance ratio", "copies, %"]
    head += ["novelty", "authentic", "data-copying", "cpu s"]
    parts = []
    for toy in TOYS:
        rows = [row for row in record["rows"] if row["toy"] == toy]
        lines = []
        for method in [FRESH_DATA, *METHODS]:
            own = [row for row in rows if row["method"] == method and row["failure"] is None]
            if not own:
                continue
            whole = sum(row["modes"] == row["mode_count"] for row in own)
            cells = [_cell(key, [row[key] for row in own]) for key in SHOWN]
            seconds = float(np.median([row["cpu_s"] for row in own]))
            lines.append([method, len(own), f"{whole}/{len(own)}", *cells, seconds])
        if lines:
            parts.append(f"**{toy}**\n\n{results.table(head, lines)}")
    return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    """Return what the command understands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=["toy", *SHOWERS], default="toy")
    parser.add_argument("--toys", nargs="+", choices=list(TOYS), default=list(TOYS))
    known = [FRESH_DATA, images.REAL, images.SEEN, stacked.REAL, stacked.CEILING, *METHODS]
    known += [images.BLIND, *images.REFINED]
    known += stacked.LABELLED
    parser.add_argument("--methods", nargs="+", choices=known, default=known, metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--show", action="store_true", help="print what was measured so far")
    parser.add_argument("--out", type=Path, help="default: results/generation_TABLE.json")
    parser.add_argument(
        "--data", default="mnist", help="named set; ablation: or a law in the plane"
    )
    parser.add_argument(
        "--parts", nargs="+", choices=ablation.PARTS, default=ablation.PARTS, metavar="PART"
    )
    parser.add_argument("--data-dir", help="its folder (else OT_LATENT_DATA)")
    parser.add_argument("--variants", nargs="+", choices=stacked.VARIANTS, default=["all"])
    parser.add_argument("--rows", type=int, help="training rows (stacked 60,000, images 10,000)")
    parser.add_argument("--coder-rows", type=int, help="stacked: rows of the autoencoder, if fewer")
    parser.add_argument("--samples", type=int, default=stacked.SAMPLES)
    kinds = list(stacked.CODERS)
    parser.add_argument("--coder", choices=kinds, default=stacked.WHOLE, help="stacked: it codes")
    parser.add_argument("--latent-dim", type=int, help="stacked 48, images 32")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--tolerance", type=float, help="rms cell error (default 0.1)")
    named = list(autoencoders.VARIANTS)
    parser.add_argument(
        "--autoencoders", nargs="+", choices=named, default=named, metavar="VARIANT"
    )
    parser.add_argument("--limit", type=int, help="images: rows of a held-out half at most")
    parser.add_argument("--judge-epochs", type=int, help="images: epochs of the judges")
    parser.add_argument("--runs", type=Path, default=Path("runs/generation"), help=RUNS)
    told = "images: finished run of ot-latent train whose networks and transport are taken"
    parser.add_argument("--run", type=Path, help=told)
    parser.add_argument("--figures", type=Path, help="tradeoff: folder of its pictures")
    told = "images: codes that a costly sampler is fitted to at most (default 20,000)"
    parser.add_argument("--fitted", type=int, help=told)
    parser.add_argument("--again", action="store_true", help="calibrate kept transports anew")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print the table."""
    options = _parser().parse_args(arguments)
    options.out = options.out or results.FOLDER / f"generation_{options.table}.json"
    shown = SHOWERS.get(options.table, markdown)
    if options.show:
        print(shown(results.read(options.out)))
        return 0
    measures = {"toy": _toy, "stacked": _stacked, "images": images.measure}
    measures |= {"autoencoders": autoencoders.measure, "ablation": ablation.measure}
    measures |= {"tradeoff": tradeoff.measure}
    print(shown(measures[options.table](options)))
    return 0


def _toy(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the toy laws."""
    for seed in options.seeds:
        for toy in options.toys:
            rows = list(run_toy(toy, options.methods, seed))
            record = results.merge(options.out, rows, KEY)
    return record


def _stacked(options: argparse.Namespace) -> dict[str, Any]:
    """Measure stacked digits."""
    parts = [
        load(options.data, split=split, data_dir=options.data_dir) for split in ("train", "test")
    ]
    train, held_out = ((part.x, np.asarray(part.y)) for part in parts)
    others = (FRESH_DATA, images.REAL, images.SEEN, images.BLIND, *images.REFINED)
    methods = [m for m in options.methods if m not in others]
    settings = {"latent_dim": options.latent_dim or 48, "epochs": options.epochs}
    sizes = {
        "rows": options.rows or 60_000,
        "samples": options.samples,
        "tolerance": options.tolerance,
    }
    sizes |= {"coder_rows": options.coder_rows, "kind": options.coder}
    sizes |= {"runs": options.runs / f"stacked-{options.data}", "again": options.again}
    for seed in options.seeds:
        for variant in options.variants:
            for row in stacked.run(
                train, held_out, variant, methods, seed=seed, **sizes, **settings
            ):
                row |= {"data": options.data}
                record = results.merge(options.out, [row], stacked.KEY)
    return record


if __name__ == "__main__":
    raise SystemExit(main())
