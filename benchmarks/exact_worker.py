"""One run of our exact solver or of the Qhull route in a process of its own, by the clock.

Each solves a small problem first, so that imports and compilation stay outside the clock (their
seconds are noted apart). ``masses`` reads heights and writes the largest relative error that Qhull's cells find.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pysdot_worker import TOLERANCE, WARM_UP, median_of, peak_memory

Solve = Callable[[np.ndarray], tuple[np.ndarray, dict[str, Any]]]


def ours(dim: int) -> Solve:
    """Return a solve by `DampedNewton`: the clock sees the target being made, too."""
    from ot_latent.transport import DampedNewton, DiscreteMeasure, UniformBox

    source, solver = UniformBox.unit(dim), DampedNewton(tolerance=TOLERANCE)
    small = DiscreteMeasure.uniform(np.random.default_rng(1).random((WARM_UP, dim)))
    for method in ("multigrid", "cg"):  # what large problems will import
        DampedNewton(tolerance=TOLERANCE, linear_solver=method).solve(source, small)

    def solve(points: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        found = solver.solve(source, DiscreteMeasure.uniform(points))
        return found.potential.heights.numpy(), {
            "steps": found.steps,
            "diagrams": int(found.history["diagrams"][-1]),
            "error": float(found.mass_error),
            "linear_solver": solver.linear_solver,
            "status": found.status.name,
        }

    return solve


def qhull(dim: int) -> Solve:
    """Return a solve by the Qhull route."""
    from benchmarks.qhull import damped_newton

    def solve(points: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        found = damped_newton(points, TOLERANCE)
        return found.heights, {
            "steps": found.steps,
            "diagrams": found.diagrams,
            "error": found.error,
            "linear_solver": "SuperLU" if dim == 2 else "CG",
            "status": "CONVERGED" if found.error <= TOLERANCE else "STALLED",
        }

    return solve


def judge(points: np.ndarray, heights: np.ndarray) -> dict[str, Any]:
    """Return the largest relative error of the masses of Qhull's cells."""
    from benchmarks.qhull import cells

    masses = cells(points, heights - heights.max()).masses
    return {"error": float(np.abs(masses * len(points) - 1).max())}


def timed(prepare: Callable[[int], Solve], points: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Prepare outside the clock, solve by the clock."""
    began = time.perf_counter()
    solve = prepare(points.shape[1])
    solve(np.random.default_rng(1).random((WARM_UP, points.shape[1])))
    prepared = time.perf_counter() - began

    def once() -> tuple[np.ndarray, dict[str, Any]]:
        wall, cpu = time.perf_counter(), time.process_time()
        heights, said = solve(points)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return heights, said | {"wall_s": wall, "cpu_s": cpu}

    heights, said = median_of(once, len(points))
    return heights, said | {"peak_mb": peak_memory(), "prepare_s": prepared}


def main(arguments: list[str]) -> int:
    """``ours | qhull | masses  SITES HEIGHTS FIGURES``."""
    task, sites, heights, figures = arguments
    points = np.load(sites)["points"]
    load = os.getloadavg()[0]
    if task == "masses":
        said = judge(points, np.load(heights)["heights"])
    else:
        found, said = timed({"ours": ours, "qhull": qhull}[task], points)
        np.savez(heights, heights=found)
    Path(figures).write_text(json.dumps(said | {"load": round(load, 2)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
