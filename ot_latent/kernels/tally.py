"""Sums over draws, cell by cell, in integers: counts, squares of counts per block, coordinates."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tally_blocks(cells, counts, squares):
    """Add the draws of blocks: ``counts[j]`` and ``squares[j]``, the sum of squared block counts.

    ``cells`` has shape (blocks, draws).
    """
    stamp, held = np.full(len(counts), -1, np.int64), np.zeros(len(counts), np.int64)
    for block in range(cells.shape[0]):
        for cell in cells[block]:
            if stamp[cell] != block:
                stamp[cell], held[cell] = block, 0
            squares[cell] += 2 * held[cell] + 1  # (c + 1)^2 - c^2
            held[cell] += 1
            counts[cell] += 1


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tally_halves(cells, u, v, sums):
    """Add the coordinates of crossed draws to those of their cells.

    ``cells`` has shape (blocks, A * A); ``u`` and ``v`` are the halves in fixed point,
    (blocks, A, d') and (blocks, A, d''); ``sums`` is (N, d' + d'').
    """
    rows, split = u.shape[1], u.shape[2]
    for block in range(cells.shape[0]):
        for draw in range(cells.shape[1]):
            cell = cells[block, draw]
            for k in range(split):
                sums[cell, k] += u[block, draw // rows, k]
            for k in range(v.shape[2]):
                sums[cell, split + k] += v[block, draw % rows, k]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def block_products(cells, ratio, inverse):
    """Return for every block b the sums over cells of ``c^b ratio`` and of ``(c^b)^2 inverse``."""
    blocks = cells.shape[0]
    cross, own = np.zeros(blocks), np.zeros(blocks)
    stamp, held = np.full(len(ratio), -1, np.int64), np.zeros(len(ratio), np.int64)
    for block in range(blocks):
        for cell in cells[block]:
            if stamp[cell] != block:
                stamp[cell], held[cell] = block, 0
            cross[block] += ratio[cell]
            own[block] += (2 * held[cell] + 1) * inverse[cell]
            held[cell] += 1
    return cross, own
