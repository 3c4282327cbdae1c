"""Ways to find the best of N affine scores for many rows, ours and those of other libraries.

A peer takes the task, prepares what it may prepare once (an index, a lifted copy), and returns a
call without arguments that returns the best target of each row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores, tile_shape
from ot_latent.kernels.tiled import best_k_tiled

BLOCK = 1024  # rows of which eager torch and scikit-learn hold all scores


@dataclass(frozen=True)
class Task:
    """Rows, targets and heights, all float32."""

    x: Tensor
    points: Tensor
    heights: Tensor

    def first(self, rows: int) -> Task:
        """Return the task of the first few rows."""
        return Task(self.x[:rows], self.points, self.heights)

    def lifted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return queries and targets whose nearest neighbours are the winners."""
        points = self.points.double()
        power = 2 * self.heights.double() + points.square().sum(dim=1)
        height = (power.max() - power).sqrt()
        targets = torch.cat([points, height[:, None]], dim=1).float()
        queries = torch.cat([self.x, torch.zeros(len(self.x), 1)], dim=1)
        return queries.numpy(), targets.numpy()


Call = Callable[[], Any]


def ours(task: Task, k: int = 1) -> Call:
    """Return the dispatcher's answer; packing the targets is part of every call."""
    return lambda: best_scores(task.x, task.points, task.heights, k)[1][:, 0]


def ours_two(task: Task) -> Call:
    """Return the same with the second-best score, as the solver wants it."""
    return ours(task, 2)


def ours_eager(task: Task) -> Call:
    """Return the path without compiled code."""
    shape = tile_shape(*task.points.shape, 1, task.x)
    return lambda: best_k_tiled(task.x, task.points, task.heights, 1, shape)[1]


def torch_eager(task: Task) -> Call:
    """Return a matrix product and a maximum, a block of rows at a time."""
    scores = torch.empty(BLOCK, len(task.points))

    def call() -> Tensor:
        found = []
        for x in task.x.split(BLOCK):
            part = torch.addmm(task.heights, x, task.points.T, out=scores[: len(x)])
            found.append(part.max(dim=1).indices)
        return torch.cat(found)

    return call


def faiss_l2(task: Task) -> Call:
    """Return nearest lifted points, by faiss."""
    import faiss

    queries, targets = task.lifted()
    index = faiss.IndexFlatL2(targets.shape[1])
    index.add(targets)
    return lambda: index.search(queries, 1)[1]


def faiss_ip(task: Task) -> Call:
    """Return the largest inner product with the height as one more coordinate, by faiss."""
    import faiss

    targets = torch.cat([task.points, task.heights[:, None]], dim=1).numpy()
    queries = torch.cat([task.x, torch.ones(len(task.x), 1)], dim=1).numpy()
    index = faiss.IndexFlatIP(targets.shape[1])
    index.add(targets)
    return lambda: index.search(queries, 1)[1]


def sklearn(task: Task) -> Call:
    """Return nearest lifted points, by scikit-learn."""
    from sklearn.metrics import pairwise_distances_argmin

    queries, targets = task.lifted()
    return lambda: pairwise_distances_argmin(queries, targets)


def pykeops(task: Task) -> Call:
    """Return the arg-maximum of a symbolic matrix; needs a C++ compiler."""
    from pykeops.torch import LazyTensor

    x, y = LazyTensor(task.x[:, None, :]), LazyTensor(task.points[None, :, :])
    scores = (x | y) + LazyTensor(task.heights[None, :, None])
    return lambda: (-scores).argmin(dim=1)


PEERS: dict[str, Callable[[Task], Call]] = {
    "ours": ours,
    "ours, best two": ours_two,
    "ours, eager": ours_eager,
    "torch mm + max": torch_eager,
    "faiss IndexFlatIP": faiss_ip,
    "faiss IndexFlatL2": faiss_l2,
    "scikit-learn": sklearn,
    "pykeops": pykeops,
}
