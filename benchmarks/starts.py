"""Where the sampled solver starts: rms cell error of starting heights, before any step.

    python -m benchmarks.starts

Judged by crossed draws, 32 per target in blocks of 256: unbiased, with the jackknife's interval.
Compared: the Gaussian coupling that carries the entropy of the masses (`gaussian_heights`), the
optimal map between the Gaussians of the same moments, and Voronoi cells.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import results
from benchmarks.problem import JUDGE_SEED
from benchmarks.sampled_problems import SampledProblem
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.samplers import Samplers
from ot_latent.transport.sources import Source
from ot_latent.transport.warm_start import gaussian_heights, voronoi_heights

KEY = ("problem", "start")
PROBLEMS = (
    "mixture-2000-10",
    "mixture-2000-32",
    "mixture-2000-64",
    "mixture-10000-32",
    "pixels-10000-784",
    "power-5000-512",
    "contrast-5000-512",
)
ROWS, DRAWS = 16, 32  # of a block, and per target


def bures_heights(source: Source, target: DiscreteMeasure) -> Tensor:
    """Return the heights of the optimal map between the Gaussians of the same moments.

    For a source of covariance s^2 I: h_j = - (s / 2) y^T C^{-1/2} y - <m_src, y>, y centred, the
    eigenvalues of C floored at 1e-4 of the largest.
    """
    values, vectors = torch.linalg.eigh(target.covariance())
    centred = target.points.double() - target.mean()
    floored = values.clamp_min(1e-4 * float(values.max()))
    scale = float(source.covariance[0, 0]) ** 0.5
    return -0.5 * scale * (centred @ vectors).square() @ floored**-0.5 - centred @ source.mean


STARTS: dict[str, Callable[[Source, DiscreteMeasure], Tensor]] = {
    "entropy": gaussian_heights,
    "optimal map": bures_heights,
    "Voronoi": lambda source, target: voronoi_heights(target),
}


def measure(name: str) -> list[dict[str, Any]]:
    """Return a row per start."""
    problem = SampledProblem.named(name)
    source, target = problem.source, problem.target
    sampler = Samplers(source, target, JUDGE_SEED, "crossed", None, centroids=False).of(ROWS)
    found = []
    for start, heights in STARTS.items():
        survey = sampler.survey(heights(source, target), 0, sampler.whole(DRAWS * problem.n))
        rms, (low, high) = survey.mass_error(target.weights)
        row = {"problem": name, "n": problem.n, "dim": problem.dim, "start": start}
        empty = float((survey.counts == 0).double().mean())
        found.append(row | {"rms": rms, "interval": [low, high], "empty": empty})
    return found


def markdown(record: dict[str, Any]) -> str:
    """Return a line per problem."""
    rows = {(row["problem"], row["start"]): row for row in record["rows"]}
    head = ["problem", *(f"{start}: rms (95 %), without draws" for start in STARTS)]
    lines = []
    for name in PROBLEMS:
        here = [rows.get((name, start)) for start in STARTS]
        lines.append([name, *(_said(row) for row in here)])
    return results.table(head, lines)


def _said(row: dict[str, Any] | None) -> str:
    """Return the error, its interval and the share of cells that no draw met."""
    if row is None:
        return "-"
    low, high = row["interval"]
    return f"{row['rms']:.3g} ({low:.3g}-{high:.3g}), {100 * row['empty']:.2g} %"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--out", type=Path, default=results.FOLDER / "starts.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args(arguments)
    for name in [] if given.table else given.problem:
        results.merge(given.out, measure(name), KEY)
        print(f"{name}: measured", flush=True)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
