"""Noise or bias: masses of near and of far cells after a solve that goes on to a small error.

``python -m benchmarks sampled_trend`` solves mixture-60000-64 to an rms cell error of 0.05 and counts
independent draws, which the solver never saw, in tenths of the targets ordered by their distance from
the mean. Errors that are noise cancel in a tenth; a bias towards near or far cells would not.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import results
from benchmarks.problem import JUDGE_SEED, NORMAL_QUANTILE, chi_square
from benchmarks.sampled_peers import warm_up
from benchmarks.sampled_problems import SampledProblem
from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.stochastic import StochasticNewton

KEY = ("problem", "tolerance", "seed", "threads")
GROUPS = 10
DRAWS = 2**21


def counted(problem: SampledProblem, heights: Tensor, draws: int) -> Tensor:
    """Count independent draws of a seed that no solver uses, exact winners."""
    points, counts = problem.target.points, torch.zeros(problem.n, dtype=torch.int64)
    lowered = heights.to(points.dtype)
    for start in range(0, draws, BLOCK_ROWS):
        x = problem.source.sample(
            BLOCK_ROWS, seed=JUDGE_SEED, stream=Stream.EVALUATION, start=start, dtype=points.dtype
        )
        counts += torch.bincount(best_scores(x, points, lowered)[1][:, 0], minlength=problem.n)
    return counts


def tenths(problem: SampledProblem, counts: Tensor) -> list[dict[str, Any]]:
    """Return the relative error of the mass of each tenth, what chance explains of it, and its rms.

    Chance is that of the draws that judge, and of errors of cells that know nothing of one another.
    """
    target, draws = problem.target, int(counts.sum())
    distance = torch.linalg.norm(target.points.double() - target.mean(), dim=1)
    lines = []
    for group in distance.argsort().tensor_split(GROUPS):
        wanted = float(target.weights[group].sum())
        found = float(counts[group].sum()) / draws
        # products of different draws: unbiased for sum (w_j - nu_j)^2 / nu_j over the tenth
        pairs = counts[group].double() * (counts[group] - 1) / target.weights[group]
        square = float(pairs.sum()) / (draws * (draws - 1)) - 2 * found + wanted
        rms = math.sqrt(max(0.0, square / wanted))
        own = (1 - wanted) / (wanted * draws)  # variance of the draws that judge
        line = {"distance": float(distance[group].mean()), "error": found / wanted - 1}
        lines.append(line | {"deviation": math.sqrt(own + rms**2 / len(group)), "rms": rms})
    return lines


def measure(problem: SampledProblem, tolerance: float, seed: int, draws: int) -> dict[str, Any]:
    """Solve, count, and sort the counts by distance."""
    warm_up(problem)
    cpu, wall = time.process_time(), time.perf_counter()
    found = StochasticNewton(tolerance=tolerance, seed=seed).solve(problem.source, problem.target)
    row = {"problem": problem.name, "tolerance": tolerance, "seed": seed, "n": problem.n}
    row |= {"cpu_s": round(time.process_time() - cpu, 3)}
    row |= {"wall_s": round(time.perf_counter() - wall, 3), "load": round(os.getloadavg()[0], 2)}
    row |= {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "status": found.status.name}
    row |= {"stated": found.mass_error, "effective": found.effective_samples}
    counts = counted(problem, found.potential.heights, draws)
    square, deviation = chi_square(counts, problem.target.weights)
    ends = (square + sign * NORMAL_QUANTILE * deviation for sign in (0, -1, 1))
    row |= dict(zip(("rms", "low", "high"), (math.sqrt(max(0.0, e)) for e in ends), strict=True))
    return row | {"draws": int(counts.sum()), "tenths": tenths(problem, counts)}


def slope(lines: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return the least-squares slope of the error from one tenth to the next, and its deviation."""
    centred = [place - (len(lines) - 1) / 2 for place in range(len(lines))]
    square = sum(c**2 for c in centred)
    value = sum(c * line["error"] for c, line in zip(centred, lines, strict=True)) / square
    spread = sum((c * line["deviation"]) ** 2 for c, line in zip(centred, lines, strict=True))
    return value, math.sqrt(spread) / square


def markdown(record: dict[str, Any]) -> str:
    """Return what was solved, and a table of tenths."""
    parts = []
    for row in record["rows"]:
        limit = row["rms"] * math.sqrt(row["effective"] / max(row["n"] - 1, 1))
        value, deviation = slope(row["tenths"])
        said = (
            f"**{row['problem']}**, tolerance {row['tolerance']:g}, seed {row['seed']}: "
            f"{row['status']} after {row['cpu_s']:.3g} CPU s ({row['wall_s']:.3g} wall, "
            f"{row['threads']} thread(s), load {row['load']}); rms {row['rms']:.4f} "
            f"({row['low']:.4f}-{row['high']:.4f}), {limit:.2f} times the limit; slope from tenth to "
            f"tenth {100 * value:+.3f} % ± {100 * NORMAL_QUANTILE * deviation:.3f} %."
        )
        head = (
            "tenth",
            "distance from the mean",
            "error of its mass",
            "± (95 %)",
            "rms of its cells",
        )
        lines = [
            [
                place,
                line["distance"],
                f"{100 * line['error']:+.2f} %",
                f"{100 * NORMAL_QUANTILE * line['deviation']:.2f} %",
                f"{line['rms']:.3f}",
            ]
            for place, line in enumerate(row["tenths"], 1)
        ]
        parts.append(f"{said}\n\n{results.table(head, lines)}")
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Solve, count, merge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="mixture-60000-64", help="KIND-N-D")
    parser.add_argument("--codes", type=Path, help="a .npy file of codes, for codes-N-D")
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sampled_trend.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args(arguments)
    if not given.table:
        problem = SampledProblem.named(given.problem, given.codes)
        row = measure(problem, given.tolerance, given.seed, given.draws)
        results.merge(given.out, [row], KEY)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
