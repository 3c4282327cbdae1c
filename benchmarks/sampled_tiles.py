"""Coarse modes: masses of whole groups of cells, with steps of tiles and without.

``python -m benchmarks sampled_tiles`` solves two far clusters and classes of a long tail, and with ``--codes FILE``
codes of images, on a fixed number of draws per target, once as the solver is and once by diagonal steps
alone. Masses of groups of cells are judged by draws of a seed that no solver uses. Groups are the
clusters, cells of centres that know nothing of masses, and classes where labels are named.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from benchmarks.problem import JUDGE_SEED, NORMAL_QUANTILE
from benchmarks.race import Stopped
from benchmarks.sampled_peers import warm_up
from benchmarks.sampled_problems import SampledProblem
from benchmarks.transport_buys import mixture
from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.datasets.loading import load
from ot_latent.kernels.dispatch import nearest
from ot_latent.transport.crossing import Met
from ot_latent.transport.diagonal_step import LOOKS
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.samplers import Samplers
from ot_latent.transport.sources import Source, UniformBox
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.verdict import averaged_potential

KEY = ("problem", "tiles", "sampling", "seed", "threads")
CLUSTERS = ((4500, 8), (5000, 8), (5500, 8), (6000, 8))
TAILS = ((2000, 8), (2000, 32), (20_000, 8), (20_000, 32))
CLASSES, RARER = (
    10,
    100.0,
)  # of a tail; how much rarer a target of the last class is than of the first
APART, SHARE = 40.0, 0.3  # deviations between two clusters, and the share of the smaller one
COUNTS = (10, 100, 1000)  # of groups of codes
ROUNDS = 5  # of Lloyd's
CLUSTER_DRAWS, CODE_DRAWS = 60, 130  # per target, of a solve
JUDGE_DRAWS, LEAST_JUDGED = 130, 2**22  # per target, and in all
JUDGE_ROWS = 8  # of a block of draws that judges, where the solver's draws are independent
READ = 2**19  # draws at a time


@dataclass(frozen=True)
class Case:
    """A problem with groups of its targets, each a number per target."""

    name: str
    source: Source
    target: DiscreteMeasure
    groups: dict[str, Tensor]
    draws: int


def clusters(n: int, d: int, seed: int) -> Case:
    """Two Gaussian clusters of unequal mass, divided by one deviation; noise on [-1, 1]^d."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < SHARE
    points = rng.standard_normal((n, d))
    points[:, 0] += APART * label
    points = (points - points.mean(axis=0)) / points.std()
    target = DiscreteMeasure.uniform(points.astype(np.float32))
    groups = {"clusters": torch.from_numpy(label.astype(np.int64))}
    return Case(f"clusters-{n}-{d}", UniformBox.centered(d), target, groups, CLUSTER_DRAWS)


def tail(n: int, d: int, seed: int) -> Case:
    """A mixture of ten Gaussians whose targets have less mass from class to class, 100 : 1 in all."""
    points, label = mixture(d, seed, n)
    points = points - points.mean(axis=0)
    masses = RARER ** (-label / (CLASSES - 1))
    target = DiscreteMeasure((points / points.std()).astype(np.float32), masses / masses.sum())
    groups = {"classes": torch.from_numpy(label)}
    return Case(f"tail-{n}-{d}", UniformBox.centered(d), target, groups, CODE_DRAWS)


def codes(path: Path, labels: Tensor | None = None) -> Case:
    """Codes of a file, in groups around 10, 100 and 1,000 centres and, with labels, in classes."""
    target = DiscreteMeasure.uniform(torch.from_numpy(np.load(path).astype(np.float32)))
    n, d = target.points.shape
    groups = {f"{k} groups": around(target.points, k) for k in COUNTS if 2 * k <= n}
    if labels is not None:
        groups["classes"] = labels
    return Case(f"codes-{n}-{d}", UniformBox.centered(d), target, groups, CODE_DRAWS)


def around(points: Tensor, count: int) -> Tensor:
    """Return the nearest of some centres, by Lloyd's algorithm from points drawn at random."""
    centres = points[torch.from_numpy(np.random.default_rng(0).permutation(len(points))[:count])]
    for _ in range(ROUNDS):
        own = nearest(points, centres)[1][:, 0]
        sums = torch.zeros_like(centres).index_add_(0, own, points)
        centres = sums / own.bincount(minlength=count)[:, None].clamp(min=1)
    own = nearest(points, centres)[1][:, 0]
    return torch.unique(own, return_inverse=True)[1]


def solved(
    case: Case, tiles: bool, seed: int, sampling: str = "auto"
) -> tuple[StochasticNewtonState, float, float]:
    """Return the state after the draws of a case, and CPU and wall seconds to there.

    Without tiles the solve begins in a state that says that it has looked at them.
    """
    draws = case.draws * len(case.target)
    solver = StochasticNewton(tolerance=1e-3, seed=seed, max_samples=2 * draws, sampling=sampling)
    cpu, wall = time.process_time(), time.perf_counter()
    start = solver.init(case.source, case.target)
    start = replace(start, goal=2 * draws, looks=0 if tiles else len(LOOKS))  # no verdict before
    reached = [start]

    def told(state: StochasticNewtonState) -> None:
        reached[0] = state
        if state.samples >= draws:
            raise Stopped

    with contextlib.suppress(Stopped):
        solver.solve(case.source, case.target, state=start, callback=told)
    return reached[0], time.process_time() - cpu, time.perf_counter() - wall


def met(case: Case, heights: Tensor, rows: int, draws: int) -> Tensor:
    """Return the cells of draws of the judge's own seed, (blocks, rows * rows)."""
    samplers = Samplers(case.source, case.target, JUDGE_SEED, "crossed", None, centroids=False)
    crossing, parts, done = samplers.of(rows).crossing, [], 0
    step = max(BLOCK_ROWS, READ // rows)
    while done * rows < draws:
        z = crossing.rows(JUDGE_SEED, Stream.EVALUATION, done, step, rows)
        parts.append(crossing.meet(z, rows, heights).cells.int())
        done += step
    return torch.cat(parts)


def judged(case: Case, groups: Tensor, cells: Tensor, rows: int) -> dict[str, Any]:
    """Return the rms relative error of groups, without bias, and the largest one; each with a deviation.

    *rarest* is the relative error of the group of least mass, v the factor by which blocks of these rows
    inflate the variance of the groups' masses.
    """
    count = int(groups.max()) + 1
    wanted = torch.zeros(count, dtype=torch.float64).index_add_(0, groups, case.target.weights)
    blocks = Met(groups[cells.long()], cells, cells).counted(count)  # scores and gaps play no part
    square, error = blocks.chi_square(wanted)
    number, size = blocks.cells.shape
    masses = blocks.counts.double() / (number * size)
    between = (blocks.squares - blocks.counts.double().square() / number) / (number - 1)
    deviations = (between / number).sqrt() / size / wanted
    relative = masses / wanted - 1
    worst = int(relative.abs().argmax())
    found = {"count": count, "square": square, "square_deviation": error}
    found |= {"v": blocks.inflation(wanted), "largest": float(relative[worst])}
    found["rarest"] = float(relative[int(wanted.argmin())])
    return found | {"largest_deviation": float(deviations[worst])}


def measure(case: Case, tiles: bool, seed: int, sampling: str = "auto") -> dict[str, Any]:
    """Solve, and judge all groups of a case."""
    state, cpu, wall = solved(case, tiles, seed, sampling)
    row: dict[str, Any] = {"problem": case.name, "tiles": tiles, "sampling": sampling}
    row |= {
        "seed": seed,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "n": len(case.target),
    }
    row |= {"samples": state.samples, "rows": state.rows, "v": state.inflation}
    row |= {"cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "load": round(os.getloadavg()[0], 2)}
    heights, rows = averaged_potential(state, case.target).heights, max(state.rows, JUDGE_ROWS)
    cells = met(case, heights, rows, max(LEAST_JUDGED, JUDGE_DRAWS * len(case.target)))
    row["judge_draws"] = cells.numel()
    every = {"cells": torch.arange(len(case.target))} | case.groups
    row["groups"] = {name: judged(case, own, cells, rows) for name, own in every.items()}
    return row


def beside_limit(row: dict[str, Any], name: str) -> tuple[float, float, float, float]:
    """Return limit and rms of some groups, and the ends of its 95 % interval.

    The limit is sqrt((K - 1) v / T), v that of the solver's cells.
    """
    found = row["groups"][name]
    ends = (
        math.sqrt(max(0.0, found["square"] + sign * NORMAL_QUANTILE * found["square_deviation"]))
        for sign in (0, -1, 1)
    )
    return math.sqrt((found["count"] - 1) * row["v"] / row["samples"]), *ends


def markdown(record: dict[str, Any]) -> str:
    """Return a table of clusters, one of rare classes, and one of groups of codes."""
    parts = []
    for kind, shown in (("clusters", _far), ("tail", _rare), ("codes", _coarse)):
        rows = [row for row in record["rows"] if row["problem"].startswith(kind)]
        if rows:
            parts.append(shown(rows))
    return "\n\n".join(parts)


def _far(rows: list[dict[str, Any]]) -> str:
    """Return errors of clusters in units of the limit, over solves."""
    head = ["problem", "steps", "draws", "solves", "median", "smallest", "largest", "cpu s", "load"]
    lines = []
    kinds = {(row["problem"], not row["tiles"], row["sampling"]) for row in rows}
    for name, alone, sampling in sorted(kinds):
        own = _alike(rows, name, alone, sampling)
        told = [beside_limit(row, "clusters") for row in own]
        ratios = [rms / limit for limit, rms, _, _ in told]
        ends = [float(f(ratios)) for f in (np.median, min, max)]
        times = [float(np.median([row[key] for row in own])) for key in ("cpu_s", "load")]
        lines.append(
            [name, _steps(not alone), _drawn(own), len(own), *(f"{x:.1f}" for x in ends), *times]
        )
    return f"Errors of the two masses, in units of the limit.\n\n{results.table(head, lines)}"


def _rare(rows: list[dict[str, Any]]) -> str:
    """Return errors of classes of a long tail, over solves."""
    head = [
        "problem",
        "steps",
        "draws",
        "solves",
        "rms of all, times the limit",
        "rarest class, off by",
    ]
    head += ["cells, rms", "cpu s", "load"]
    lines = []
    kinds = {(row["problem"], not row["tiles"], row["sampling"]) for row in rows}
    for name, alone, sampling in sorted(kinds):
        own = _alike(rows, name, alone, sampling)
        told = [beside_limit(row, "classes") for row in own]
        off = [100 * row["groups"]["classes"]["rarest"] for row in own]
        cells = [beside_limit(row, "cells")[1] for row in own]
        means = [float(np.median([row[key] for row in own])) for key in ("cpu_s", "load")]
        ratio = float(np.median([rms / limit for limit, rms, _, _ in told]))
        line = [name, _steps(not alone), _drawn(own), len(own), f"{ratio:.1f}"]
        line += [", ".join(f"{x:+.0f} %" for x in off), f"{np.median(cells):.3f}", *means]
        lines.append(line)
    title = "Ten classes, shares falling by 100 : 1; medians over solves, the rarest class in each."
    return f"{title}\n\n{results.table(head, lines)}"


def _coarse(rows: list[dict[str, Any]]) -> str:
    """Return errors of groups of codes beside the limit, row by row."""
    head = ["problem", "steps", "seed", "groups", "rms of the relative error", "95 %", "limit"]
    head += [
        "times it",
        "v of the groups",
        "times the limit with that v",
        "largest",
        "cpu s",
        "load",
    ]
    lines = []
    for row in sorted(rows, key=lambda row: (row["problem"], row["seed"], not row["tiles"])):
        named = [row["problem"], _steps(row["tiles"]), row["seed"]]
        for name, found in row["groups"].items():
            limit, rms, low, high = beside_limit(row, name)
            cells = [f"{found['count']:,} {'cells' if name == 'cells' else name.split()[-1]}"]
            cells += [f"{100 * rms:.3f} %", f"{100 * low:.3f}-{100 * high:.3f} %"]
            cells += [f"{100 * limit:.3f} %", f"**{rms / limit:.2f}**", f"{found['v']:.2f}"]
            cells += [f"{rms / limit * math.sqrt(row['v'] / found['v']):.2f}"]
            worst = f"{100 * found['largest']:+.2f} ± "
            worst += f"{100 * NORMAL_QUANTILE * found['largest_deviation']:.2f} %"
            lines.append([*named, *cells, worst, row["cpu_s"], row["load"]])
    return results.table(head, lines)


def _alike(
    rows: list[dict[str, Any]], name: str, alone: bool, sampling: str
) -> list[dict[str, Any]]:
    """Return the rows of one problem, solved and drawn in one way."""
    own = [row for row in rows if (row["problem"], row["sampling"]) == (name, sampling)]
    return [row for row in own if row["tiles"] != alone]


def _drawn(rows: list[dict[str, Any]]) -> str:
    """Say how draws of rows were made."""
    blocks = {row["rows"] for row in rows}
    return "independent" if blocks == {1} else f"blocks of {'/'.join(map(str, blocks))}^2"


def _steps(tiles: bool) -> str:
    """Say how a row was solved."""
    return "with tiles" if tiles else "diagonal alone"


def cases(given: argparse.Namespace) -> Iterator[tuple[Case, int]]:
    """Yield problems, each with the seed of its solve; clusters are drawn anew for each."""
    if given.codes is not None:
        labels = given.labels_of and np.asarray(load(given.labels_of, data_dir=given.data_dir).y)
        case = codes(given.codes, None if labels is None else torch.from_numpy(labels).long())
        yield from ((case, seed) for seed in given.seeds)
        return
    for make, sizes in ((clusters, CLUSTERS), (tail, TAILS)):
        for n, d in sizes:
            yield from ((make(n, d, seed), seed) for seed in given.seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Solve, judge, merge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=Path, help="a .npy file of codes; else two clusters")
    parser.add_argument("--labels-of", help="named data set whose rows the codes are, in order")
    parser.add_argument("--data-dir", help="its folder (else OT_LATENT_DATA)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--steps", choices=["both", "tiles", "diagonal"], default="both")
    parser.add_argument("--sampling", choices=["auto", "independent"], default="auto")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sampled_tiles.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args(arguments)
    if not given.table:
        ways = {"both": (True, False), "tiles": (True,), "diagonal": (False,)}[given.steps]
        for case, seed in cases(given):
            warm_up(SampledProblem("mixture", 2000, case.target.dim))
            for tiles in ways:
                results.merge(given.out, [measure(case, tiles, seed, given.sampling)], KEY)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
