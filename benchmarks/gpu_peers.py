"""Who is compared on a GPU: our fused kernels, the eager roads they replace, and other libraries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.kernel_peers import Call, Task, ours, ours_eager, ours_two
from benchmarks.sampled_problems import SampledProblem
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.triton_crossed import cross_triton, works

BYTES = 2**30  # of the scores that eager torch holds
Heights = tuple[Tensor, int]  # and how many draws moved them


@contextmanager
def eager() -> Iterator[None]:
    """Let the dispatchers take their eager roads."""
    with (
        patch("ot_latent.kernels.triton_crossed.works", lambda device: False),
        patch("ot_latent.kernels.triton_best.works", lambda device: False),
    ):
        yield


def torch_eager(task: Task) -> Call:
    """Return a matrix product and a maximum, as many rows at a time as a gigabyte of scores holds."""
    rows = max(1, BYTES // (4 * len(task.points)))

    def call() -> Tensor:
        parts = task.x.split(rows)
        scores = (torch.addmm(task.heights, x, task.points.T) for x in parts)
        return torch.cat([part.max(dim=1).indices for part in scores])

    return call


def extended(task: Task) -> tuple[Tensor, Tensor]:
    """Return rows and targets whose inner products are the scores."""
    rows = torch.cat([task.x, torch.ones_like(task.x[:, :1])], dim=1)
    return rows, torch.cat([task.points, task.heights[:, None]], dim=1)


def faiss_gpu(task: Task) -> Call:
    """Return the largest inner product, by faiss on the GPU."""
    import faiss
    import faiss.contrib.torch_utils

    if not hasattr(faiss, "StandardGpuResources"):
        raise RuntimeError("faiss is installed without its GPU part")
    rows, targets = extended(task)
    index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), targets.shape[1])
    index.add(targets)
    return lambda: index.search(rows, 1)[1]


def cuvs(task: Task) -> Call:
    """Return the largest inner product, by cuVS."""
    from cuvs.neighbors import brute_force

    rows, targets = extended(task)
    index = brute_force.build(targets, metric="inner_product")
    return lambda: torch.as_tensor(brute_force.search(index, rows, 1)[1])


PLAIN: dict[str, Callable[[Task], Call]] = {
    "ours": ours,
    "ours, best two": ours_two,
    "ours, eager": ours_eager,
    "torch mm + max": torch_eager,
    "faiss GpuIndexFlatIP": faiss_gpu,
    "cuVS brute_force": cuvs,
}


def fused(*arrays: Tensor) -> Any:
    """Cross in the Triton kernel, or say that there is none."""
    if not works(arrays[0].device):
        raise RuntimeError("no Triton kernel runs here")
    return cross_triton(*arrays)


CROSSED: dict[str, Callable[..., Any]] = {"ours": fused, "ours, eager": cross_eager}


def ours_solved(problem: SampledProblem, level: float, device: torch.device) -> Heights:
    """Solve with our defaults, verdicts and all."""
    from ot_latent.transport.measures import DiscreteMeasure
    from ot_latent.transport.stochastic import StochasticNewton

    target = DiscreteMeasure.uniform(problem.target.points.to(device))
    found = StochasticNewton(tolerance=level).solve(problem.source, target)
    return found.potential.heights, found.samples


def eager_solved(problem: SampledProblem, level: float, device: torch.device) -> Heights:
    """Solve alike, by eager operations."""
    with eager():
        return ours_solved(problem, level, device)


SOLVERS = {"ours": ours_solved, "ours, eager": eager_solved}


class Ott:
    """OTT-JAX on the same card, stopped at checkpoints."""

    def __init__(self, problem: SampledProblem, device: torch.device, **options: Any) -> None:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs some, too
        import jax

        from benchmarks.sampled_libraries import OttChunks

        if device.type == "cuda" and jax.default_backend() != "gpu":
            raise RuntimeError(f"JAX computes on its {jax.default_backend()} here, not on the GPU")
        self.run = OttChunks(problem, **options)

    def advance(self, steps: int) -> None:
        """Take some steps."""
        self.run.advance(steps)

    def heights(self) -> Heights:
        """Return where it stands."""
        return self.run.heights(), self.run.samples


def ott_settings(n: int) -> list[dict[str, Any]]:
    """Return settings that were good on smaller problems, with steps that grow like N and without."""
    lrs = dict.fromkeys((1.0, n / 1_000))
    return [
        {"batch": batch, "optimizer": "sgd", "lr": lr, "ema": 0.01}
        for batch in (512, 4_096)
        for lr in lrs
    ]
