"""Seconds per fitting sample of `StochasticNewton` against N and against d.

The box and the ball make the solver take its two ways: a box is a product, so that its draws can be
crossed; a ball is not, so that every score is an inner product. Nothing else of the solver is named here.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import results
from benchmarks.race import Stopped
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Source, UniformBall, UniformBox
from ot_latent.transport.stochastic import StochasticNewton

AXES = ("n", "dim")
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
DIMS = (8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
FIXED_N, FIXED_DIM = 10_000, 32
BATCH = 4_096
STEPS = 5
PATHS = {"factorised": "box", "plain": "ball"}
SEED = 7


def source_of(path: str, dim: int) -> Source:
    """Return a source of unit variance order that makes the solver take a path."""
    return UniformBox.centered(dim) if path == "factorised" else UniformBall(dim, (dim + 2) ** 0.5)


def measure(path: str, n: int, dim: int, batch: int = BATCH, steps: int = STEPS) -> dict[str, Any]:
    """Return the median seconds per fitting sample over some steps of one batch size.

    Targets are standard normal, heights those of the Gaussian map between the two.
    """
    rng = np.random.default_rng(SEED)
    target = DiscreteMeasure.uniform(
        torch.from_numpy(rng.standard_normal((n, dim), dtype=np.float32))
    )
    source = source_of(path, dim)
    solver = StochasticNewton(tolerance=1e-3, batch_size=batch)
    spread = float(source.covariance[0, 0]) ** 0.5  # the Gaussian start, without its eigenvalues
    heights = -0.5 * spread * target.points.double().square().sum(dim=1)
    cpu: list[float] = []
    wall: list[float] = []
    last, chosen = [0, 0.0, 0.0], [1]

    def told(state: Any) -> None:
        now = [state.samples, time.process_time(), time.perf_counter()]
        chosen[0] = state.rows
        if now[0] > last[0] > 0:  # a verdict draws none, and init comes before the first step
            cpu.append((now[1] - last[1]) / (now[0] - last[0]))
            wall.append((now[2] - last[2]) / (now[0] - last[0]))
        if len(cpu) > steps:
            raise Stopped
        last[:] = state.samples, time.process_time(), time.perf_counter()

    with contextlib.suppress(Stopped):
        solver.solve(source, target, initial_heights=heights, callback=told)
    row = {"problem": f"growth-{n}-{dim}", "peer": "ours", "setting": path, "seed": 0}
    row |= {"tuning": False, "kind": "growth", "n": n, "dim": dim, "batch": batch}
    row |= {"rows": chosen[0]}  # A of the solver's blocks, one where it took independent draws
    row |= {"cpu_s": statistics.median(cpu[1:]), "wall_s": statistics.median(wall[1:])}
    return row | {
        "load": round(os.getloadavg()[0], 2),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }


def jobs(axes: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Name what is measured."""
    for path in PATHS:
        if "n" in axes:
            yield from ((path, n, FIXED_DIM) for n in SIZES)
        if "dim" in axes:
            yield from ((path, FIXED_N, dim) for dim in DIMS)


def run(out: Path, axes: Sequence[str], key: Sequence[str]) -> None:
    """Measure and merge."""
    for path, n, dim in jobs(axes):
        row = measure(path, n, dim)
        results.merge(out, [row], key)
        print(f"{path} N={n} d={dim}: {1e6 * row['cpu_s']:.3g} us per sample", flush=True)


def exponent(rows: Sequence[dict[str, Any]], axis: str) -> float | None:
    """Return the slope of log seconds in log N or log d."""
    if len({row[axis] for row in rows}) < 2:
        return None
    x, y = (np.log([row[name] for row in rows]) for name in (axis, "cpu_s"))
    return float(np.polyfit(x, y, 1)[0])


def along(rows: Sequence[dict[str, Any]], axis: str, path: str) -> list[dict[str, Any]]:
    """Return the rows of a path along one axis, the other held."""
    other, held = ("dim", FIXED_DIM) if axis == "n" else ("n", FIXED_N)
    found = [row for row in rows if row["setting"] == path and row[other] == held]
    return sorted(found, key=lambda row: row[axis])


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table along each axis, with the fitted exponents below."""
    parts = []
    for axis, name in zip(AXES, ("N", "d"), strict=True):
        found = {path: along(rows, axis, path) for path in PATHS}
        values = sorted({row[axis] for path in PATHS for row in found[path]})
        if len(values) < 2:
            continue
        by = {(p, row[axis]): row for p in PATHS for row in found[p]}
        head, lines = [name], [[value] for value in values]
        for path in PATHS:
            head += [f"{path}: us / sample", f"{path}: ns / pair", f"{path}: A"]
            for line in lines:
                row = by.get((path, line[0]))
                line += [row and 1e6 * row["cpu_s"], row and 1e9 * row["cpu_s"] / row["n"]]
                line.append(row and row.get("rows"))
        fits = ((path, exponent(found[path], axis)) for path in PATHS)
        said = ", ".join(f"{path} {name}^{fit:.2f}" for path, fit in fits if fit is not None)
        held = f"d = {FIXED_DIM}" if axis == "n" else f"N = {FIXED_N:,}"
        title = f"CPU time of a fitting sample at {held}, batches of {BATCH:,}; fitted: {said}."
        parts.append(f"{title}\n\n{results.table(head, lines)}")
    return "\n\n".join(parts)
