"""Sample complexity of sparse random hierarchies: do the curves for s_0 = 0, 1, 2 collapse?

Trains networks matched to the tree on growing numbers of data and rescales the sizes by the law,
(s_0+1)^2 n_c m^L for convolutions and s^(L/2) (s_0+1)^L n_c m^L for locally connected layers. The factor
is that between the largest and the smallest rescaled size at which the test error crosses 10 %.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks import results
from ot_latent.plotting.hierarchy import learning_curves
from ot_latent.plotting.style import close
from ot_latent.theory.hierarchy import (
    SparseRandomHierarchy,
    empirical_sample_complexity,
    learning_curve,
    predicted_sample_complexity,
)

KEY = ("learner", "vocabulary", "levels", "placement", "zeros", "rules")
CURVE = KEY[:4]
RULES = 5
ZEROS = (0, 1, 2)
SETTINGS = ((6, 2),)  # v = n_c = m, and L
RATIOS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
LEARNERS = ("cnn", "lcn")
THRESHOLD = 0.1
OTHERS = (0.05, 0.2)


def model_of(
    vocabulary: int, levels: int, zeros: int, rules: int, placement: Literal["A", "B"] = "A"
) -> SparseRandomHierarchy:
    """Return the hierarchy with v = n_c = m and pairs of children."""
    return SparseRandomHierarchy(
        vocabulary=vocabulary,
        classes=vocabulary,
        synonyms=vocabulary,
        levels=levels,
        zeros=zeros,
        placement=placement,
        seed=rules,
    )


def run(learner: str, model: SparseRandomHierarchy, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one curve."""
    scale = predicted_sample_complexity(model, learner)
    most = model.n_data - 200  # leave some for testing
    sizes = sorted({min(round(scale * ratio), most) for ratio in options.ratio})
    cpu = time.process_time()
    curve = learning_curve(
        [model], sizes, learner=learner, width=options.width, tests=options.tests, seed=model.seed
    )
    return {
        "learner": learner,
        "vocabulary": model.vocabulary,
        "levels": model.levels,
        "placement": model.placement,
        "zeros": model.zeros,
        "rules": model.seed,
        "width": options.width,
        "scale": scale,
        "sizes": list(curve.sizes),
        "errors": [round(float(e), 5) for e in curve.errors[0]],
        "losses": [round(float(e), 5) for e in curve.losses[0]],
        "cpu_s": round(time.process_time() - cpu, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def curves(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[tuple[Any, ...], dict[int, Any]]]:
    """Yield, for each learner and setting, the mean curve of every s_0: sizes, errors, scale."""
    for key in sorted({tuple(row[k] for k in CURVE) for row in rows}):
        own = [row for row in rows if tuple(row[k] for k in CURVE) == key]
        found = {}
        for zeros in sorted({row["zeros"] for row in own}):
            same = [row for row in own if row["zeros"] == zeros]
            errors = np.array([row["errors"] for row in same])
            found[zeros] = (np.array(same[0]["sizes"]), errors, same[0]["scale"])
        yield key, found


def crossing(sizes: np.ndarray, errors: np.ndarray, threshold: float = THRESHOLD) -> float | None:
    """Return P*, or nothing where the curve does not cross."""
    try:
        return empirical_sample_complexity(sizes, errors, threshold)
    except ValueError:
        return None


def collapse(found: dict[int, Any], threshold: float = THRESHOLD) -> dict[str, Any]:
    """Return P* of every s_0, the factor between the rescaled ones, and the measured exponent."""
    size = {
        z: crossing(sizes, errors.mean(axis=0), threshold)
        for z, (sizes, errors, _) in found.items()
    }
    known = {z: value for z, value in size.items() if value is not None}
    scaled = [value / found[z][2] for z, value in known.items()]
    answer: dict[str, Any] = {"sizes": size, "factor": None, "exponent": None}
    if len(known) > 1:
        answer["factor"] = max(scaled) / min(scaled)
        x, y = np.log([z + 1.0 for z in known]), np.log(list(known.values()))
        answer["exponent"] = float(np.polyfit(x, y, 1)[0])
    return answer


def markdown(record: dict[str, Any]) -> str:
    """Return the table."""
    head = ["network", "v = n_c = m", "L", "type", *(f"P* at s_0 = {z}" for z in ZEROS)]
    head += [f"P* / law, {z}" for z in ZEROS]
    head += ["factor", *(f"at {other:.0%} error" for other in OTHERS)]
    head += ["exponent of s_0 + 1", "law's", "rules", "cpu s"]
    lines = []
    for key, found in curves(record["rows"]):
        answer = collapse(found)
        cells = [answer["sizes"].get(z) for z in ZEROS]
        scaled = [None if c is None else c / found[z][2] for z, c in zip(ZEROS, cells, strict=True)]
        own = [row for row in record["rows"] if tuple(row[k] for k in CURVE) == key]
        law = 2 if key[0] == "cnn" else key[2]
        factors = [answer["factor"], *(collapse(found, other)["factor"] for other in OTHERS)]
        line = [*key, *(c and round(c) for c in cells), *scaled, *factors, answer["exponent"], law]
        lines.append([*line, len({r["rules"] for r in own}), round(sum(r["cpu_s"] for r in own))])
    return results.table(head, lines)


def draw(record: dict[str, Any], wanted: tuple[Any, ...], path: Path) -> None:
    """Draw the collapse of one network and setting, or of the first that is there."""
    chosen = dict(curves(record["rows"]))
    key = wanted if wanted in chosen else next(iter(chosen))
    found = chosen[key]
    figure = learning_curves(
        {f"$s_0 = {zeros}$": (sizes, errors) for zeros, (sizes, errors, _) in found.items()},
        [scale for _, _, scale in found.values()],
        chance=1 - 1 / key[1],
        threshold=THRESHOLD,
    )
    figure.savefig(path)
    close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learner", choices=LEARNERS, nargs="*", default=["cnn"])
    parser.add_argument("--setting", type=int, nargs=2, action="append", metavar=("V", "L"))
    parser.add_argument("--placement", choices=["A", "B"], nargs="*", default=["A"])
    parser.add_argument("--zeros", type=int, nargs="*", default=list(ZEROS))
    parser.add_argument(
        "--rules", type=int, nargs="*", help=f"seeds of grammars (0 .. {RULES - 1})"
    )
    parser.add_argument("--ratio", type=float, nargs="*", default=list(RATIOS), help="P / law")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "hierarchy.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--figure", type=Path, help="draw what is there into this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    settings = [] if options.table or options.figure else options.setting or SETTINGS
    plan = product(options.learner, settings, options.placement, options.zeros)
    for learner, (vocabulary, levels), placement, zeros in plan:
        for rules in options.rules if options.rules else range(RULES):
            row = run(learner, model_of(vocabulary, levels, zeros, rules, placement), options)
            results.merge(options.out, [row], KEY)
            told = f"{learner} v={vocabulary} L={levels} {placement} s_0={zeros}"
            print(f"{told}: {row['errors']}", flush=True)
    record = results.read(options.out)
    if options.figure:
        setting = tuple((options.setting or SETTINGS)[0])
        draw(record, (options.learner[0], *setting, options.placement[0]), options.figure)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
