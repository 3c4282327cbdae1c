"""How fast the semi-discrete coupling makes pairs, beside what trainers of flows consume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from ot_latent._random import Stream, generator
from ot_latent.latent import FlowConfig, train_flow
from ot_latent.transport import (
    DiscreteMeasure,
    SemiDiscreteCoupling,
    StochasticNewton,
    UniformBox,
)

TARGETS, TOLERANCE = 60_000, 0.5  # a coarse solution: a row costs the same search in any
BATCH, BLOCKS = 1024, 16
FLOWS, STEPS = ((256, 3), (1024, 4)), 30  # width and depth of a small and a middling flow


def rows_per_second(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows per CPU second of the coupling, and of the training of flows on them.

    Parameters
    ----------
    d : int
        Dimension.
    seed : int
        Seed of the targets, the noise and the networks.

    Yields
    ------
    dict
        A row per flow.
    """
    rng = generator(seed, Stream.BASELINE, 0, TARGETS)
    points = torch.from_numpy(rng.standard_normal((TARGETS, d))).float()
    solver = StochasticNewton(tolerance=TOLERANCE, seed=seed)
    solution = solver.solve(UniformBox.centered(d), DiscreteMeasure.uniform(points))
    coupling = SemiDiscreteCoupling(solution, batch_size=BATCH, seed=seed)
    first = coupling.batch(0)  # compiles
    began = time.process_time()
    for step in range(1, BLOCKS + 1):
        coupling.batch(step)
    coupled = BATCH * BLOCKS / (time.process_time() - began)
    for width, depth in FLOWS:
        trained = _trained(first.noise, first.point, width, depth, seed)
        yield {
            "part": "rows per CPU second",
            "case": f"coupling, N = {TARGETS:,}; training of a flow ({width:,} x {depth})",
            "d": d,
            "ours": coupled,
            "control": trained,
            "ratio": coupled / trained,
            "unit": "rows / s",
        }


def _trained(noise: torch.Tensor, point: torch.Tensor, width: int, depth: int, seed: int) -> float:
    """Return the rows per CPU second that the training of a flow consumes."""
    for steps in (2, STEPS):  # the first ones set up
        settings = FlowConfig(width=width, depth=depth, steps=steps)
        began = time.process_time()
        train_flow(lambda _: (noise, point), noise.shape[1], settings, seed=seed)
    return len(noise) * STEPS / (time.process_time() - began)
