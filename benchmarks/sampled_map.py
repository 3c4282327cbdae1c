"""Targets in a memory map larger than the memory: seconds per million draws, and private memory.

``python -m benchmarks sampled_map --folder FOLDER`` writes N standard normal float32 points to a file in
the folder (21 GB by default), measures, and deletes it. What is timed are the solver's own samplers under
its memory budget: preparing them, and the draws of a step, in blocks chosen by draws among some targets.
The file is read several times to prepare and anew in every step, from the disk where the system cannot
hold it.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from benchmarks.sampled_memory import PrivatePeak, megabytes
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.samplers import TRIAL_BLOCKS, Samplers, best_rows
from ot_latent.transport.sources import Source, UniformBox
from ot_latent.transport.stochastic import PLANNED_EFFICIENCY

KEY = ("n", "dim", "memory_budget", "threads")
TARGETS, DIM = 1_280_000, 4_096
CHUNK_NUMBERS = 2**24  # written at a time
WARM_UP_N, SOME = 2_000, 2**15  # targets that compile, and that choose the blocks
STEP_SHARE = 8  # of N: the draws of the solver's first steps
LEVEL = 0.2  # rms whose draws are told
SEED = 7

T = TypeVar("T")


@contextmanager
def written(folder: Path, n: int, dim: int) -> Any:
    """Write standard normal float32 points, a chunk at a time; delete the file in the end."""
    path, rng = folder / f"targets-{n}-{dim}.npy", np.random.default_rng(SEED)
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, dim)}
    try:
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            step = max(1, CHUNK_NUMBERS // dim)
            for start in range(0, n, step):
                shape = min(step, n - start), dim
                rng.standard_normal(shape, dtype=np.float32).tofile(file)
        yield path
    finally:
        path.unlink(missing_ok=True)


def gaussian_start(target: DiscreteMeasure, variance: float) -> Tensor:
    r"""Return the heights of `gaussian_heights` for standard normal targets, in one pass.

    All axes have the variance :math:`\lambda` of the source there, so that
    :math:`h_j = -\lambda |y_j|^2 / (\varepsilon + \sqrt{\varepsilon^2 + 4 \lambda})` with
    :math:`\tfrac d2 \log \tfrac12 (1 + \sqrt{1 + 4 \lambda / \varepsilon^2}) = \log N`.
    """
    root = 2 * math.exp(2 * math.log(len(target)) / target.dim) - 1
    epsilon = math.sqrt(4 * variance / (root**2 - 1))
    gain = variance / (epsilon + math.sqrt(epsilon**2 + 4 * variance))
    return torch.cat([-gain * points.square_().sum(dim=1) for _, points in target.chunks()])


class Stages:
    """CPU and wall seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Run a stage by both clocks."""
        cpu, wall = time.process_time(), time.perf_counter()
        found = work()
        self.seconds[f"{name}_cpu_s"] = round(time.process_time() - cpu, 3)
        self.seconds[f"{name}_wall_s"] = round(time.perf_counter() - wall, 3)
        print(f"{name}: {self.seconds[f'{name}_cpu_s']} cpu s", flush=True)
        return found


def samplers_of(source: Source, target: DiscreteMeasure, memory_budget: str | None) -> Samplers:
    """Prepare draws as `StochasticNewton` does with `centroids=False`."""
    return Samplers(source, target, 0, "auto", memory_budget, centroids=False)


def chosen_rows(source: Source, target: DiscreteMeasure, memory_budget: str) -> int:
    """Choose the rows of a block as the solver does after its first draws, here with some targets."""
    some = DiscreteMeasure.distinct(target.points[:: max(1, len(target) // SOME)])
    samplers = samplers_of(source, some, memory_budget)
    trial, heights = samplers.trial(), gaussian_start(some, 1 / 3)
    look = trial.look(heights, TRIAL_BLOCKS * trial.rows**2)
    return best_rows(look.inflation, trial.rows, target.dim, len(target))


def measure(path: Path, memory_budget: str) -> dict[str, Any]:
    """Choose blocks, prepare the samplers, make the draws of one step."""
    target = DiscreteMeasure.distinct(np.load(path, mmap_mode="r"))
    n, dim = target.points.shape
    source, before, stages = UniformBox.centered(dim), megabytes("RssAnon"), Stages()
    with PrivatePeak() as peak:
        rows = chosen_rows(source, target, memory_budget)
        samplers = stages.run("prepare", lambda: samplers_of(source, target, memory_budget))
        heights = stages.run("heights", lambda: gaussian_start(target, 1 / 3))
        sampler = samplers.of(rows)
        draws = sampler.whole(n // STEP_SHARE)
        found = stages.run("step", lambda: sampler.look(heights, draws))
    row = {"n": n, "dim": dim, "memory_budget": memory_budget, "rows": sampler.rows}
    row |= {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "draws": len(found.gaps)}
    row |= {"inflation": found.inflation, "square": found.square, **stages.seconds}
    private = peak.most and before and {"private_mb": peak.most, "before_mb": before}
    return row | (private or {}) | {"load": round(os.getloadavg()[0], 2)}


def warm_up(dim: int) -> None:
    """Let everything compile on a few targets of the same dimension."""
    points = np.random.default_rng(0).standard_normal((WARM_UP_N, dim), dtype=np.float32)
    target = DiscreteMeasure.distinct(points)
    samplers = samplers_of(UniformBox.centered(dim), target, None)
    sampler, heights = samplers.trial(), gaussian_start(target, 1 / 3)
    sampler.look(heights, TRIAL_BLOCKS * sampler.rows**2)
    sampler.tally(heights, 0, sampler.whole(1), 0.0)


def markdown(record: dict[str, Any]) -> str:
    """Return a line per size."""
    head = ("N", "d", "GB", "budget", "threads", "prepared: cpu s (wall)", "A", "v")
    head += ("draws of a step", "cpu s (wall)", "cpu s / 10^6 draws", "wall")
    head += (f"draws / N to rms {LEVEL:g}", "private MB before", "at most", "load")
    lines = []
    for row in record["rows"]:
        stages = (
            f"{row[f'{s}_cpu_s']:.3g} ({row[f'{s}_wall_s']:.3g})" for s in ("prepare", "step")
        )
        million = (1e6 * row[f"step_{clock}_s"] / row["draws"] for clock in ("cpu", "wall"))
        (prepared, step), v = stages, row["inflation"]
        line = [row["n"], row["dim"], 4e-9 * row["n"] * row["dim"], row["memory_budget"]]
        line += [row["threads"], prepared, row["rows"], v, row["draws"], step, *million]
        line += [v * (PLANNED_EFFICIENCY / LEVEL) ** 2, row.get("before_mb"), row.get("private_mb")]
        lines.append([*line, row["load"]])
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, measure, delete, merge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where 4 N d bytes are free for a while")
    parser.add_argument("--n", type=int, default=TARGETS)
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--memory-budget", default="2GB")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sampled_map.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args(arguments)
    if not given.table:
        if given.folder is None:
            parser.error("--folder must name a folder with room for 4 N d bytes; give one.")
        warm_up(given.dim)
        with written(given.folder, given.n, given.dim) as path:
            results.merge(given.out, [measure(path, given.memory_budget)], KEY)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
