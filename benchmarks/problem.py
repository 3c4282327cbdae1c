"""The problem that every solver gets, and how heights are judged: on draws that nobody fitted to."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.survey import NORMAL_QUANTILE, chi_square

PROBLEM_SEED = 7
JUDGE_SEED = 20_261_122  # no solver here draws with this seed
OURS_RATIO = 2  # judging draws per fitting draw: resolves the efficiency to about 3 % (95 %)
PEER_DRAWS = 256  # per target, behind the setting that is shown
TUNING_DRAWS = 64  # behind the choice of a peer's setting


@dataclass(frozen=True)
class Problem:
    """N equal masses, a mixture of ten Gaussians; noise uniform on the unit cube."""

    n: int
    dim: int

    @property
    def source(self) -> UniformBox:
        """Where x comes from."""
        return UniformBox.unit(self.dim)

    @property
    def target(self) -> DiscreteMeasure:
        """Ten centres in [0.2, 0.8]^d, deviation 0.1, drawn with numpy's generator 7."""
        rng = np.random.default_rng(PROBLEM_SEED)
        centres = 0.2 + 0.6 * rng.random((10, self.dim))
        points = centres[rng.integers(10, size=self.n)]
        points = points + 0.1 * rng.standard_normal((self.n, self.dim))
        return DiscreteMeasure.uniform(points.astype(np.float32))


@dataclass
class Fit:
    """What a solver returns: heights, and how many draws moved them."""

    heights: Tensor
    samples: int
    distinct: int | None = None  # where points are used again and again
    inflation: Callable[[], float] | None = None  # measures v, where draws are not independent


@dataclass
class Row:
    """One line of the table."""

    peer: str
    setting: str
    dim: int
    n: int
    samples: int
    seed: int = 0
    distinct: int | None = None
    rms: float | None = None
    rms_interval: tuple[float, float] | None = None
    inflation: float = 1.0
    limit: float | None = None
    efficiency: float | None = None
    efficiency_interval: tuple[float, float] | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    load: float | None = None
    failure: str | None = None
    judge_draws: int = field(default=0)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def judge(row: Row, problem: Problem, fit: Fit, draws: int, seed: int = JUDGE_SEED) -> None:
    """Fill in the unbiased rms cell error and its 95 % interval on held-out noise.

    Give the final verdict another seed than the tuning, so that the chosen setting has no luck.
    """
    target, source = problem.target, problem.source
    heights = fit.heights.to(target.points.dtype)
    counts = torch.zeros(problem.n, dtype=torch.int64)
    for start in range(0, draws, BLOCK_ROWS):
        x = source.sample(
            BLOCK_ROWS, seed=seed, stream=Stream.EVALUATION, start=start, dtype=torch.float32
        )
        cells = best_scores(x, target.points, heights)[1][:, 0]
        counts += torch.bincount(cells, minlength=problem.n)
    square, deviation = chi_square(counts, target.weights)
    ends = [square + sign * NORMAL_QUANTILE * deviation for sign in (-1, 0, 1)]
    low, rms, high = (math.sqrt(max(0.0, end)) for end in ends)
    row.judge_draws = int(counts.sum())
    row.rms, row.rms_interval = rms, (low, high)
    row.inflation = round(fit.inflation(), 4) if fit.inflation else 1.0
    row.limit = math.sqrt((problem.n - 1) * row.inflation / fit.samples)
    row.efficiency = row.rms / row.limit
    row.efficiency_interval = (low / row.limit, high / row.limit)


def timed(row: Row, solve: Callable[[], Fit]) -> Fit | None:
    """Run a solver by the clock; what it raises is its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        fit = solve()
    except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
        row.failure = f"{type(error).__name__}: {error}"[:200]
        return None
    row.cpu_s = round(time.process_time() - cpu, 2)
    row.wall_s = round(time.perf_counter() - wall, 2)
    row.load = round(os.getloadavg()[0], 2)
    row.samples, row.distinct = fit.samples, fit.distinct
    if not bool(torch.isfinite(fit.heights).all()):
        row.failure = "heights are not finite"
        return None
    return fit
