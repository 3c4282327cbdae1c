"""Judge heights in high dimension: draws whose halves are combined, so that a draw costs additions.

A rows of a source of independent coordinates, cut in the middle, are A^2 draws: the scores of a draw are
a sum of two numbers that were computed once per row. Masses stay unbiased; draws of one block are
dependent, so only products of different blocks enter the estimate, and the interval is the jackknife's.
Plain tensor operations: nothing is shared with the solver's kernels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.sampled_problems import SampledProblem
from ot_latent._random import BLOCK_ROWS, Stream

ROWS = 16  # A: 256 draws of a block
BLOCKS_PER_READ = BLOCK_ROWS // ROWS


def block_cells(problem: SampledProblem, heights: Tensor, read: int, seed: int) -> Tensor:
    """Return the cells of the draws of `BLOCKS_PER_READ` blocks, one block per row."""
    points, half = problem.target.points, problem.dim // 2
    x = problem.source.sample(
        BLOCK_ROWS, seed=seed, stream=Stream.EVALUATION, start=read * BLOCK_ROWS, dtype=points.dtype
    )
    first = x[:, :half] @ points[:, :half].T
    second = torch.addmm(heights.to(points.dtype), x[:, half:], points[:, half:].T)
    cells = torch.empty(BLOCKS_PER_READ, ROWS, ROWS, dtype=torch.int64)
    for block in range(BLOCKS_PER_READ):
        rows = slice(block * ROWS, (block + 1) * ROWS)
        for a, scores in enumerate(first[rows]):
            cells[block, a] = (second[rows] + scores).argmax(dim=1)
    return cells.flatten(1)


def block_chi_square(cells: Tensor, weights: Tensor) -> tuple[float, float]:
    """Return the unbiased estimate of sum_j (w_j - nu_j)^2 / nu_j and its jackknife error.

    With block counts c^b of m draws each and C their sum over B blocks it is
    sum_j [C_j^2 - sum_b (c_j^b)^2] / nu_j / (m^2 B (B - 1)) - 1.
    """
    blocks, m = cells.shape
    counts = torch.bincount(cells.flatten(), minlength=len(weights)).double()
    own = torch.empty(blocks, dtype=torch.float64)
    with_all = (counts / weights)[cells].sum(dim=1)
    for b, block in enumerate(cells):
        hit, count = block.unique(return_counts=True)
        own[b] = (count.double().square() / weights[hit]).sum()
    pairs = float((counts.square() / weights).sum() - own.sum())
    estimate = pairs / (m**2 * blocks * (blocks - 1)) - 1
    without = (pairs - 2 * (with_all - own)) / (m**2 * (blocks - 1) * (blocks - 2)) - 1
    spread = (without - without.mean()).square().sum() * (blocks - 1) / blocks
    return estimate, math.sqrt(float(spread))
