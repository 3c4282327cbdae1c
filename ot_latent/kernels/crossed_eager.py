"""Winners of crossed scores by eager tensor operations: any device, any processor, no compilation."""

from __future__ import annotations

import torch
from torch import Tensor

TILE_BYTES = 2**28  # of the largest intermediate


def cross_eager(
    u: Tensor, v: Tensor, first: Tensor, second: Tensor, heights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the best two scores and the winner of all combinations of halves, block by block.

    Parameters
    ----------
    u, v : Tensor of shape (blocks, A, d') and (blocks, A, d'')
        Halves of the draws.
    first, second : Tensor of shape (N, d') and (N, d'')
        Halves of the targets.
    heights : Tensor of shape (N,)
        Their heights.

    Returns
    -------
    best, runner : Tensor of shape (blocks, A, A)
        Largest and second-largest score :math:`\langle u_a, y'_j\rangle +
        (\langle v_b, y''_j\rangle + h_j)`; the second is -inf for one target.
    winner : Tensor of shape (blocks, A, A), int64
        Target of the largest score; equal scores go to the smallest index.
    """
    blocks, rows, n = u.shape[0], u.shape[1], len(heights)
    best, runner = u.new_empty(2, blocks, rows, rows)
    winner = torch.empty(blocks, rows, rows, dtype=torch.int64, device=u.device)
    step = max(1, TILE_BYTES // (4 * rows * n))
    for block in range(blocks):
        p, q = u[block] @ first.T, torch.addmm(heights, v[block], second.T)
        for a in range(0, rows, step):
            scores = p[a : a + step, None] + q
            top, place = scores.max(dim=2)
            best[block, a : a + step] = top
            winner[block, a : a + step] = place
            scores.scatter_(2, place[:, :, None], -torch.inf)
            runner[block, a : a + step] = scores.amax(dim=2)
    return best, runner, winner
