"""What the calibration of the local laws is worth: calibrated numbers beside fixed ones.

    python -m benchmarks.calibrated

Codes are split in three: the sampler is fitted to one part, the other two are the reference and
what real codes score against it. Both rules share the transport, and are judged in code space on
five draws; the calibration saw neither part.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from ot_latent import OTSampler
from ot_latent.datasets.loading import load
from ot_latent.metrics import novelty_ratio, precision_recall

KEY = ("codes", "numbers", "seed")
FIXED = {"anchor": 0.5, "spread": 1.1, "neighbours": 30, "tear": 3.0}
DRAWS = 5


def codes(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes to fit, to hold out and to refer to."""
    rng = np.random.default_rng(seed)
    if name == "mixture":  # ten normal laws of different shapes
        centres, roots = 2 * rng.normal(size=(10, 16)), rng.normal(size=(10, 16, 16)) / 4
        mode = rng.integers(10, size=6000)
        drawn = centres[mode] + np.einsum("nij,nj->ni", roots[mode], rng.normal(size=(6000, 16)))
        return drawn[:2000], drawn[2000:4000], drawn[4000:]
    parts = [np.asarray(load(name, split=split).x) for split in ("train", "test")]
    pixels = np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(float)
    pixels = pixels[rng.permutation(len(pixels))]
    few = 2 * len(pixels) // 3
    middle = pixels[:few].mean(axis=0)
    axes = np.linalg.svd(pixels[:few] - middle, full_matrices=False)[2][:16]
    drawn = (pixels - middle) @ axes.T
    half = (len(drawn) + few) // 2
    return drawn[:few], drawn[few:half], drawn[half:]


def run(name: str, seed: int) -> list[dict[str, Any]]:
    """Return a row for real codes and for each rule."""
    train, held, reference = codes(name, seed)
    rows = [_row(name, "real", seed, [held], train, held, reference)]
    for numbers, given in {"fixed": FIXED, "calibrated": {}}.items():
        sampler = OTSampler(random_state=seed, **given).fit(train)
        made = [sampler.sample(len(reference), random_state=draw) for draw in range(DRAWS)]
        rule = sampler.rule_
        told = {"a": rule.a, "b": rule.b, "k": rule.neighbours}
        rows.append(_row(name, numbers, seed, made, train, held, reference) | told)
    return rows


def _row(
    name: str,
    numbers: str,
    seed: int,
    made: list[np.ndarray],
    train: np.ndarray,
    held: np.ndarray,
    reference: np.ndarray,
) -> dict[str, Any]:
    """Return means over draws."""
    both = [precision_recall(real=reference, generated=drawn) for drawn in made]
    new = [novelty_ratio(train=train, holdout=held, generated=drawn) for drawn in made]
    return {
        "codes": name, "numbers": numbers, "seed": seed, "fitted": len(train),
        "precision": float(np.mean([each.precision for each in both])),
        "recall": float(np.mean([each.recall for each in both])),
        "novelty": float(np.mean(new)),
    }  # fmt: skip


def markdown(record: dict[str, Any]) -> str:
    """Return the table: means over seeds."""
    lines = []
    for name in dict.fromkeys(row["codes"] for row in record["rows"]):
        for numbers in ("real", "fixed", "calibrated"):
            own = [r for r in record["rows"] if (r["codes"], r["numbers"]) == (name, numbers)]
            scores = [
                f"{np.mean([r[key] for r in own]):.3f}"
                for key in ("precision", "recall", "novelty")
            ]
            told = "" if numbers == "real" else ", ".join(f"{own[0][key]:.3g}" for key in "abk")
            lines.append([name, own[0]["fitted"], len(own), numbers, told, *scores])
    head = ["codes", "N", "seeds", "numbers", "a, b, k of the first seed"]
    return results.table([*head, "precision", "recall", "novelty"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", nargs="+", default=["mixture", "digits"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=results.FOLDER / "calibrated.json")
    options = parser.parse_args(arguments)
    for seed in options.seeds:
        for name in options.codes:
            record = results.merge(options.out, run(name, seed), KEY)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
