"""One run of pysdot in its own environment, by the clock: see ``pysdot_env.py``.

Needs numpy and pysdot alone, nothing of this project. ``solve`` reads the sites, writes heights and
figures; ``masses`` reads heights of any solver and writes the cell masses that pysdot finds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-6  # of the largest relative error of a cell mass
WARM_UP = 300  # sites of a first solve: what it imports, compiles or allocates is not timed
REPEATED = 10_000  # sites in all of a run: short solves are repeated in it, and their median taken


def box(dim: int) -> Any:
    """Return the unit box as pysdot's domain."""
    from pysdot.domain_types import ConvexPolyhedraAssembly

    domain = ConvexPolyhedraAssembly()
    domain.add_box([0] * dim, [1] * dim)
    return domain


def count(holder: Any, name: str) -> list[int]:
    """Count the calls of a method."""
    calls, method = [0], getattr(holder, name)

    def counted(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        return method(*given, **named)

    setattr(holder, name, counted)
    return calls


def solve(points: np.ndarray, linear_solver: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return heights and figures of one solve; the clock runs from sites to weights."""
    from pysdot import OptimalTransport

    n, dim = points.shape
    wall, cpu = time.perf_counter(), time.process_time()
    transport = OptimalTransport(
        positions=points,
        weights=np.ones(n),
        domain=box(dim),
        masses=np.ones(n) / n,
        obj_max_dm=TOLERANCE / n,
        obj_max_dw=0,
        linear_solver=linear_solver,
    )
    diagrams = count(transport.pd, "der_integrals_wrt_weights")
    transport.adjust_weights()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = peak_memory()
    weights = transport.get_weights()
    figures = {
        "wall_s": wall,
        "cpu_s": cpu,
        "steps": len(transport.delta_m) - 1,
        "diagrams": diagrams[0],
        "error": float(np.abs(transport.pd.integrals() * n - 1).max()),
        "peak_mb": peak,
        "linear_solver": type(transport._linear_solver_inst).__module__.rsplit(".", 1)[-1],
        "version": metadata.version("pysdot"),
    }
    return (weights - (points**2).sum(axis=1)) / 2, figures


def median_of(
    solve: Callable[[], tuple[np.ndarray, dict[str, Any]]], sites: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the solve of median CPU seconds among as many as the clock needs."""
    runs = [solve() for _ in range(max(1, REPEATED // sites))]
    return sorted(runs, key=lambda run: run[1]["cpu_s"])[len(runs) // 2]


def masses(points: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the masses of the cells of the scores <x, y_j> + h_j."""
    from pysdot import PowerDiagram

    weights = 2 * (heights - heights.max()) + (points**2).sum(axis=1)
    return PowerDiagram(positions=points, weights=weights, domain=box(points.shape[1])).integrals()


def peak_memory() -> float:
    """Return the largest resident memory so far, in MB (10^6 bytes)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def main(arguments: list[str]) -> int:
    """``solve SITES HEIGHTS FIGURES LINEAR_SOLVER`` or ``masses SITES HEIGHTS FIGURES``."""
    task, sites, heights, figures = arguments[:4]
    points = np.load(sites)["points"]
    load = os.getloadavg()[0]
    if task == "solve":
        solve(np.random.default_rng(1).random((WARM_UP, points.shape[1])), arguments[4])
        found, said = median_of(lambda: solve(points, arguments[4]), len(points))
        np.savez(heights, heights=found)
    else:
        cells = masses(points, np.load(heights)["heights"])
        said = {"error": float(np.abs(cells * len(points) - 1).max())}
    Path(figures).write_text(json.dumps(said | {"load": round(load, 2)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
