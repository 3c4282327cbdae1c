"""Ways to find the winners of crossed draws: ours, a loop in C, eager torch, and inner products.

A peer takes the task and returns a call without arguments that returns the winners of all blocks.
Those that are named "add and max" find P and Q in their place, made before.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ot_latent.kernels.crossed import CHUNK, STRIP, Crossings, _meet, cross_packed, pack_targets
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.dispatch import best_scores

SOURCE = Path(__file__).with_name("crossed_reference.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
MOST_PLAIN = 1024  # rows of the plain path, whose time per pair does not depend on them
MOST_EAGER = 2**28  # pairs of eager torch


@dataclass(frozen=True)
class CrossedTask:
    """Blocks of rows, targets and heights, all float32; the first half is ``d // 2`` long."""

    z: Tensor
    """Rows, (blocks, A, d)."""
    points: Tensor
    """Targets, (N, d)."""
    heights: Tensor
    """Heights, (N,)."""

    @property
    def rows(self) -> int:
        """Rows A of a block."""
        return self.z.shape[1]

    @property
    def split(self) -> int:
        """Coordinates of the first half."""
        return self.z.shape[2] // 2

    @property
    def pairs(self) -> int:
        """Draws times targets."""
        return len(self.z) * self.rows**2 * len(self.points)

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return both halves of the rows."""
        return self.z[:, :, : self.split], self.z[:, :, self.split :]

    def blocks(self, count: int) -> CrossedTask:
        """Return the task of the first few blocks."""
        return CrossedTask(self.z[:count], self.points, self.heights)

    @cached_property
    def tile(self) -> int:
        """Targets of a tile of ours, which the loop in C shares."""
        return pack_targets(self.points[:, :2].numpy(), 1).first.shape[1] * STRIP

    @cached_property
    def products(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """P and Q of the first block, a chunk of targets at a time; padded targets are -inf."""
        return self._chunks(CHUNK // self.tile * self.tile)

    @cached_property
    def whole_products(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same in one chunk."""
        return self._chunks(len(self.points) + self.tile)

    def _chunks(self, most: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return P and Q in chunks of so many targets."""
        (u, v), split = self.halves(), self.split
        p = (u[0] @ self.points[:, :split].T).numpy()
        q = torch.addmm(self.heights, v[0], self.points[:, split:].T).numpy()
        more = ((0, 0), (0, -len(self.points) % self.tile))
        p, q = np.pad(p, more), np.pad(q, more, constant_values=-np.inf)
        cuts = range(most, p.shape[1], most)
        chunks = zip(np.split(p, cuts, axis=1), np.split(q, cuts, axis=1), strict=True)
        return [(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in chunks]


Call = Callable[[], np.ndarray]


def ours(task: CrossedTask) -> Call:
    """Return our kernel: both products, then an addition and a maximum per pair."""
    packed, heights = pack_targets(task.points.numpy(), task.split), task.heights.numpy()
    u, v = (half.numpy() for half in task.halves())
    return lambda: cross_packed(u, v, packed, heights).winner


def ours_add_max(task: CrossedTask) -> Call:
    """Return what our kernel does with P and Q; finds the second-best score too."""
    chunks, rows, blocks, tile = task.products, task.rows, len(task.z), task.tile

    def call() -> np.ndarray:
        found = Crossings.empty(blocks, rows)
        for block in range(blocks):
            mine, start = tuple(part[block] for part in found), 0
            for p, q in chunks:
                _meet(p, q, p.shape[1] // tile, tile, start, *mine)
                start += p.shape[1]
        return found.winner

    return call


def c_chunked(task: CrossedTask) -> Call:
    """Return the loop in C on the same P and Q, in the same chunks and tiles."""
    return _in_c(task, task.products)


def c_whole(task: CrossedTask) -> Call:
    """Return the loop in C on P and Q in one chunk, faster where they are small."""
    return _in_c(task, task.whole_products)


def _in_c(task: CrossedTask, chunks: list[tuple[np.ndarray, np.ndarray]]) -> Call:
    """Return the loop in C over chunks."""
    cross, rows, blocks, tile = library().cross, task.rows, len(task.z), task.tile

    def call() -> np.ndarray:
        best = np.full((blocks, rows, rows), -np.inf, np.float32)
        winner = np.zeros(best.shape, np.int32)
        for block in range(blocks):
            found, start = (_address(best[block]), _address(winner[block])), 0
            for p, q in chunks:
                cross(_address(p), _address(q), rows, p.shape[1], tile, start, *found)
                start += p.shape[1]
        return winner

    return call


def eager(task: CrossedTask) -> Call:
    """Return eager torch: the products, and all sums of a few rows at a time."""
    task = task.blocks(max(1, MOST_EAGER * len(task.z) // task.pairs))
    u, v = task.halves()
    first, second = task.points[:, : task.split], task.points[:, task.split :]

    def call() -> np.ndarray:
        return cross_eager(u, v, first, second, task.heights)[2].numpy()

    return call


def plain(task: CrossedTask) -> Call:
    """Return the best two of the inner products of independent rows with all targets."""
    x = task.z.reshape(-1, task.z.shape[2])[:MOST_PLAIN]

    def call() -> np.ndarray:
        return best_scores(x, task.points, task.heights, 2)[1][:, 0].numpy()

    return call


CROSSED: dict[str, Callable[[CrossedTask], Call]] = {
    "ours": ours,
    "ours, add and max": ours_add_max,
    "C, add and max": c_chunked,
    "C, add and max, one chunk": c_whole,
    "torch, eager": eager,
}


def winners(task: CrossedTask, rows: int) -> np.ndarray:
    """Return the winners of the first few rows of the first block in double precision."""
    u, v = (half[0, :rows].double() for half in task.halves())
    points, split = task.points.double(), task.split
    p, q = u @ points[:, :split].T, v @ points[:, split:].T + task.heights.double()
    return torch.stack([(row + q).argmax(dim=1) for row in p]).numpy()


@cache
def library() -> ctypes.CDLL:
    """Compile and load the loop in C.

    Raises
    ------
    FileNotFoundError
        If there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("There is no C compiler named cc.")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "crossed_reference.so"
        subprocess.run([compiler, *FLAGS, "-o", str(made), str(SOURCE)], check=True)
        loaded = ctypes.CDLL(str(made))  # stays mapped when its file is gone
    sizes, pointers = [ctypes.c_int64] * 4, [ctypes.c_void_p] * 2
    loaded.cross.argtypes, loaded.cross.restype = [*pointers, *sizes, *pointers], None
    return loaded


def _address(array: np.ndarray) -> int:
    """Return where a contiguous array begins."""
    return array.ctypes.data
