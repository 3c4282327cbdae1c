"""Noise or bias: masses of near and of far cells after a solve that goes on to a small error.

``python -m benchmarks sampled_trend`` solves mixture-60000-64 to an rms cell error of 0.05 and counts
independent draws, which the solver never saw, in tenths of the targets ordered by their distance from
the mean. Errors that are noise cancel in a tenth; a bias towards near or far cells would not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from benchmarks.problem import JUDGE_SEED, NORMAL_QUANTILE, chi_square
from benchmarks.race import Stopped
from benchmarks.sampled_peers import warm_up
from benchmarks.sampled_problems import SampledProblem
from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.stochastic_state import StochasticNewtonState

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


def continued(
    problem: SampledProblem, solver: StochasticNewton, kept: Path | None, limit_s: float
) -> tuple[SemiDiscreteSolution, float, float] | None:
    """Solve, from where an earlier sitting stopped; return CPU and wall seconds of all of them.

    None where this sitting has had its wall seconds: what it reached is kept in a file, from which the
    next one goes on bit for bit.
    """
    state, before = (None, (0.0, 0.0)) if kept is None or not kept.exists() else restored(kept)
    cpu, wall = time.process_time() - before[0], time.perf_counter() - before[1]
    end = time.perf_counter() + limit_s

    def told(state: StochasticNewtonState) -> None:
        if kept is not None and time.perf_counter() > end:
            spent = np.array([time.process_time() - cpu, time.perf_counter() - wall])
            tensors = {name: tensor.numpy() for name, tensor in state.to_tensors().items()}
            np.savez(kept, spent=spent, metadata=json.dumps(state.to_metadata()), **tensors)
            raise Stopped

    try:
        found = solver.solve(problem.source, problem.target, state=state, callback=told)
    except Stopped:
        return None
    if kept is not None:
        kept.unlink(missing_ok=True)
    return found, time.process_time() - cpu, time.perf_counter() - wall


def restored(kept: Path) -> tuple[StochasticNewtonState, tuple[float, float]]:
    """Return the state of an earlier sitting, and its CPU and wall seconds."""
    with np.load(kept) as file:
        arrays = dict(file)
    spent, metadata = arrays.pop("spent"), json.loads(str(arrays.pop("metadata")))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return StochasticNewtonState.from_parts(tensors, metadata), (float(spent[0]), float(spent[1]))


def measure(
    problem: SampledProblem,
    tolerance: float,
    seed: int,
    draws: int,
    kept: Path | None = None,
    limit_s: float = math.inf,
) -> dict[str, Any] | None:
    """Solve, count, and sort the counts by distance; None where the solve is to be continued."""
    warm_up(problem)
    solver = StochasticNewton(tolerance=tolerance, seed=seed)
    solved = continued(problem, solver, kept, limit_s)
    if solved is None:
        return None
    found, cpu, wall = solved
    row = {"problem": problem.name, "tolerance": tolerance, "seed": seed, "n": problem.n}
    row |= {"cpu_s": round(cpu, 3), "wall_s": round(wall, 3)}
    row |= {"load": round(os.getloadavg()[0], 2)}
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
    parser.add_argument("--kept", type=Path, help="a .npz file to stop into and go on from")
    parser.add_argument("--limit-s", type=float, default=math.inf, help="wall seconds of a sitting")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sampled_trend.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args(arguments)
    if not given.table:
        problem = SampledProblem.named(given.problem, given.codes)
        limits = given.kept, given.limit_s
        row = measure(problem, given.tolerance, given.seed, given.draws, *limits)
        if row is None:
            print("to be continued: the same command goes on", flush=True)
            return 0
        results.merge(given.out, [row], KEY)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
