"""The clock of a race to small cell errors: it stands still while heights are judged.

A solver calls the watch after each step. Where a checkpoint is due (they are geometric in CPU
seconds), its heights are judged on noise that no solver draws, and the watch says whether to stop.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.block_judge import block_cells, block_chi_square
from benchmarks.problem import JUDGE_SEED, NORMAL_QUANTILE, chi_square
from benchmarks.sampled_problems import SampledProblem
from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores

ACCURACY = 0.1  # wanted standard error of rms^2, relative
FINEST = 0.1  # down to this rms; below it the draws stay
COARSE = 0.5  # the first look resolves this rms
CROSSED = 256  # dimensions from which on the judge's draws are crossed


class Judged(NamedTuple):
    """An unbiased rms cell error, its 95 % interval, and the draws behind it."""

    rms: float
    low: float
    high: float
    draws: int


def judge(
    problem: SampledProblem, heights: Tensor, *, finest: float = FINEST, seed: int = JUDGE_SEED
) -> Judged:
    """Draw until the standard error of rms^2 is a tenth of it, or of `finest`^2.

    Independent draws and exact winners, none of the solver's short cuts; from `CROSSED` dimensions
    on, draws whose halves are combined (`block_judge`), because a score is too dear.
    """
    crossed = problem.dim >= CROSSED
    count = _crossed if crossed else _independent
    enough = _draws(problem.n, finest) * (2 if crossed else 1)
    wanted = min(_draws(problem.n, COARSE), enough)
    parts: list[Tensor] = []
    while True:
        square, deviation, drawn = count(problem, heights, parts, wanted, seed)
        if deviation <= ACCURACY * square or wanted >= enough:
            break
        wanted = min(2 * wanted, enough)
    ends = (square + sign * NORMAL_QUANTILE * deviation for sign in (0, -1, 1))
    return Judged(*(math.sqrt(max(0.0, end)) for end in ends), drawn)


def _independent(
    problem: SampledProblem, heights: Tensor, parts: list[Tensor], wanted: int, seed: int
) -> tuple[float, float, int]:
    """Bring the counts of independent draws up to `wanted`; estimate, its error, draws."""
    target = problem.target
    lowered = heights.to(target.points.dtype)
    for start in range(len(parts) * BLOCK_ROWS, wanted, BLOCK_ROWS):
        x = problem.source.sample(
            BLOCK_ROWS, seed=seed, stream=Stream.EVALUATION, start=start, dtype=torch.float32
        )
        parts.append(best_scores(x, target.points, lowered)[1][:, 0])
    counts = torch.bincount(torch.cat(parts), minlength=problem.n)
    return *chi_square(counts, target.weights), int(counts.sum())


def _crossed(
    problem: SampledProblem, heights: Tensor, parts: list[Tensor], wanted: int, seed: int
) -> tuple[float, float, int]:
    """The same with blocks of crossed draws."""
    while sum(part.numel() for part in parts) < wanted:
        parts.append(block_cells(problem, heights, len(parts), seed))
    cells = torch.cat(parts)
    return *block_chi_square(cells, problem.target.weights), cells.numel()


def _draws(n: int, level: float) -> int:
    """Return whole blocks of draws whose standard error of rms^2, sqrt(2 n) / draws, is a tenth."""
    return math.ceil(math.sqrt(2 * n) / (ACCURACY * level**2) / BLOCK_ROWS) * BLOCK_ROWS


@dataclass
class Row:
    """One run of one setting: where it stood when."""

    problem: str
    n: int
    dim: int
    peer: str
    setting: str
    seed: int = 0
    tuning: bool = False
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    prepare_s: float | None = None
    limit_s: float | None = None
    load: float | None = None
    threads: str = field(default_factory=lambda: os.environ.get("OMP_NUM_THREADS", "all"))
    notes: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class Stopped(Exception):
    """Leaves a solver's loop where its interface has no way out, or a dear one."""


class Watch:
    """Times one run; preparation before `start` and the judging are off the clock."""

    def __init__(
        self,
        row: Row,
        verdict: Callable[[Tensor], Judged],
        *,
        first_s: float,
        limit_s: float,
        goal: float,
        ratio: float = math.sqrt(2),
    ) -> None:
        self.row, self.verdict = row, verdict
        self.goal, self.ratio, self.limit_s = goal, ratio, limit_s
        self.next_s = min(first_s, limit_s)
        self.paused_cpu = self.paused_wall = 0.0
        self.verdict_s = 0.0  # of the CPU seconds: what the solver spent on judging itself
        self.inflation = 1.0  # of the variance of counts, where draws are not independent
        self.made = time.perf_counter()
        self.began_cpu = self.began_wall = 0.0

    def start(self) -> None:
        """Start the clock."""
        self.row.prepare_s = _rounded(time.perf_counter() - self.made)
        self.row.load = round(os.getloadavg()[0], 2)
        self.began_cpu, self.began_wall = time.process_time(), time.perf_counter()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the solver so far, over all its threads."""
        return time.process_time() - self.began_cpu - self.paused_cpu

    def __call__(self, heights: Callable[[], Tensor], samples: int) -> bool:
        """Judge where a checkpoint is due; tell whether to stop."""
        cpu = self.cpu_s
        if cpu < self.next_s:
            return False
        self.next_s = min(max(self.next_s, cpu) * self.ratio, max(self.limit_s, cpu))
        return self._judge(cpu, heights, samples) or cpu >= self.limit_s

    def finish(self, heights: Callable[[], Tensor], samples: int) -> None:
        """Judge what a solver that stopped by itself returns."""
        points = self.row.checkpoints
        if self.row.failure is None and (not points or points[-1]["samples"] < samples):
            self._judge(self.cpu_s, heights, samples)

    def _judge(self, cpu: float, heights: Callable[[], Tensor], samples: int) -> bool:
        """Append a checkpoint; tell whether the goal is reached or nothing is left to judge."""
        wall = time.perf_counter() - self.began_wall - self.paused_wall
        pause_cpu, pause_wall = time.process_time(), time.perf_counter()
        found = heights()
        finite = bool(torch.isfinite(found).all())
        if finite:
            judged = self.verdict(found)
            said = {"cpu_s": _rounded(cpu), "wall_s": _rounded(wall), "samples": samples}
            said["effective"] = round(samples / self.inflation)
            said["fit_s"] = _rounded(cpu - self.verdict_s)
            said |= {name: _rounded(value) for name, value in judged._asdict().items()}
            self.row.checkpoints.append(said | {"load": round(os.getloadavg()[0], 2)})
        else:
            self.row.failure = f"heights are not finite after {cpu:.3g} s"
        self.paused_cpu += time.process_time() - pause_cpu
        self.paused_wall += time.perf_counter() - pause_wall
        return not finite or judged.rms <= self.goal


def _rounded(value: float) -> float:
    """Return five digits: what the clock and the judge are good for."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


def time_to(checkpoints: Sequence[dict[str, Any]], level: float, clock: str) -> float | None:
    """Return the seconds at which rms first falls to a level, logarithmically interpolated.

    Where the first checkpoint is already below, its time is an upper bound.
    """
    before: dict[str, Any] | None = None
    for point in checkpoints:
        if point["rms"] <= level:
            if before is None:
                return point[clock]
            above, below = (math.log(max(p["rms"], 1e-3)) for p in (before, point))
            share = (above - math.log(level)) / (above - below)
            return before[clock] ** (1 - share) * point[clock] ** share
        before = point
    return None
