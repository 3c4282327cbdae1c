r"""Best scores in few dimensions from a k-d tree, certified, as nearest neighbours of lifted points.

With power weights :math:`p_j = 2 h_j + |y_j|^2` and P their maximum,

.. math:: |(x, 0) - (y_j, \sqrt{P - p_j})|^2 = |x|^2 + P - 2 (\langle x, y_j\rangle + h_j),

so the nearest lifted point has the best score. The tree proposes a few candidates in double
precision; they are scored again in the arithmetic of `fused`, and a row is certain where the k-th
best is above everything that a target beyond the candidates can score, rounding included.

The tree prunes where cells lie around their own targets, that is where power weights are nearly
equal. Heights of an optimal transport between different measures push the lifted points away from
all queries; then a comparison with every target is faster by far, so the tree is not even built.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_DIM = 8
MOST = 32  # best scores that are worth a tree
EXTRA = 4  # candidates beyond k, among which ties and rounding are settled
MANY = 40  # candidates beyond k of the rows that need more
CHUNK = 65_536  # rows asked at a time
PILOT = 256  # rows whose time decides whether the tree is used further
PATIENCE = 4.0  # times slower than comparing all that the pilot may be, as times vary
BUILD = 4e-7  # seconds per target
QUERY = (4e-7, 1.8, 0.1, 3e4)  # seconds at d = 0 and N = 3e4, growth with d, with N^(d/10)
FUSED, TILED = (2e-11, 1.4e-11), (1.1e-9, 1.5e-11)  # seconds per pair: at d = 0, and per dimension
NEAR = 4.0  # spacings squared by which power weights may differ


def pays(m: int, n: int, dim: int, k: int, fused: bool) -> bool:
    """Return whether a tree of targets with equal power weights is expected to win.

    Parameters
    ----------
    m, n, dim, k : int
        Rows, targets, dimension, scores wanted.
    fused : bool
        Whether the compiled comparison with all targets is the alternative.

    Returns
    -------
    bool
        By a model of measured times: building and asking against comparing.
    """
    if dim > MOST_DIM or k > min(MOST, n - EXTRA):
        return False
    start, growth, exponent, unit = QUERY
    query = start * growth**dim * (n / unit) ** (exponent * dim) * (1 + k / 12)
    return BUILD * n + m * query < 0.7 * m * comparing(n, dim, fused)


def comparing(n: int, dim: int, fused: bool) -> float:
    """Return the seconds that a comparison of one row with all targets is expected to take.

    Parameters
    ----------
    n, dim : int
        Targets, dimension.
    fused : bool
        Whether it is compiled.

    Returns
    -------
    float
        Seconds on one core.
    """
    fixed, per_dimension = FUSED if fused else TILED
    return n * (fixed + per_dimension * dim)


def needed_bytes(n: int, dim: int, k: int) -> int:
    """Return the working memory of a tree and of the rows that are asked at a time.

    Parameters
    ----------
    n, dim, k : int
        Targets, dimension, scores wanted.

    Returns
    -------
    int
        Bytes, near enough.
    """
    return n * (dim + 4) * 32 + CHUNK * (k + EXTRA + dim) * 24


class LiftedTree:
    """Targets, lifted and sorted into a tree.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Targets, float32 or float64, on the CPU.
    heights : Tensor of shape (N,)
        Heights.
    """

    def __init__(self, points: Tensor, heights: Tensor) -> None:
        self.points = points.detach().contiguous().numpy()
        self.heights = heights.detach().contiguous().numpy()
        y, h = self.points.astype(np.float64), self.heights.astype(np.float64)
        squares = np.einsum("ji,ji->j", y, y)
        power = 2 * h + squares
        self.top = float(power.max())
        self.drop = self.top - power
        self.lifted = np.column_stack([y, np.sqrt(self.drop)])
        self.largest = float(squares.max()), float(np.abs(h).max())
        self.tree: Any = None

    @property
    def suits(self) -> bool:
        """Whether power weights are finite and differ by no more than a few squared spacings."""
        n, dim = self.points.shape
        if not math.isfinite(self.top) or not np.isfinite(self.drop).all():
            return False
        spacing = float(self.points.var(axis=0).mean()) * n ** (-2 / dim)
        return float(self.drop.mean()) <= NEAR * dim * spacing

    def best(self, x: Tensor, k: int, patience: float) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the best k scores of each row, their targets, and which rows are certain.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Rows in the dtype of the targets.
        k : int
            Scores wanted, at most N - 4.
        patience : float
            Seconds per row; a tree that is several times slower gives up.

        Returns
        -------
        tuple of Tensor or None
            Values (m, k), indices (m, k) and a mask (m,); None where the first rows took too long.
        """
        from scipy.spatial import cKDTree

        if self.tree is None:
            self.tree = cKDTree(self.lifted, balanced_tree=False)
        rows = x.detach().contiguous().numpy()
        values = np.empty((len(rows), k), rows.dtype)
        indices = np.empty((len(rows), k), np.int64)
        certain = np.empty(len(rows), np.bool_)
        starts = [0, 1, *range(PILOT, len(rows), CHUNK), len(rows)]  # the first row compiles
        for start, stop in pairwise(starts):
            part = slice(start, stop)
            began = time.perf_counter()
            certain[part] = self._ask(rows[part], values[part], indices[part])
            took = time.perf_counter() - began
            if start == 1 and took > PATIENCE * patience * (stop - start):
                return None
        return torch.from_numpy(values), torch.from_numpy(indices), torch.from_numpy(certain)

    def _ask(self, rows: np.ndarray, values: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Fill in the best scores of some rows; return which are certain."""
        n, k = len(self.points), values.shape[1]
        certain = self._candidates(rows, values, indices, k + EXTRA)
        left = np.flatnonzero(~certain)
        if len(left) and n >= k + MANY:
            again, places = values[left], indices[left]
            certain[left] = self._candidates(rows[left], again, places, k + MANY)
            values[left], indices[left] = again, places
        return certain

    def _candidates(
        self, rows: np.ndarray, values: np.ndarray, indices: np.ndarray, wanted: int
    ) -> np.ndarray:
        """Choose among the nearest lifted targets; return which rows are certain."""
        from ot_latent.kernels.product_max import rescore

        asked = np.column_stack([rows.astype(np.float64), np.zeros(len(rows))])
        distances, candidates = self.tree.query(asked, wanted, workers=torch.get_num_threads())
        squares = np.einsum("ij,ij->i", asked, asked)
        furthest = (squares + self.top - distances[:, -1] ** 2) / 2
        ceilings = furthest + self._rounding(squares, rows.dtype)
        arguments = (rows, self.points, self.heights, candidates, ceilings, values, indices)
        return rescore(*arguments)

    def _rounding(self, squares: np.ndarray, dtype: Any) -> np.ndarray:
        """Return how far a score in either arithmetic can be from the true one, for each row."""
        dim = self.points.shape[1]
        farthest, tallest = self.largest
        scores = np.sqrt(squares * farthest) + tallest
        lifted = squares + farthest + abs(self.top) + self.drop.max()
        own = 2 * (dim + 3) * np.finfo(dtype).eps * scores
        return own + 4 * (dim + 4) * np.finfo(np.float64).eps * lifted
