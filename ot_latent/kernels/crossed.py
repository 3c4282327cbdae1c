"""Winners of crossed scores ``P[a, j] + Q[b, j]``: one addition per pair, whatever the dimension.

For x = (u, v) with independent halves every combination (u_a, v_b) of A rows is a draw, and
``<x, y_j> + h_j = <u, y'_j> + (<v, y''_j> + h_j)``: two small matrix products make P and Q, and
what is left per draw and target is an addition and a maximum, from registers and cache. Targets
pass in chunks, so the working memory does not grow with their number.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from ot_latent.kernels.simd import (
    PAIR_COLUMNS,
    PAIR_ROWS,
    PRODUCT_ROWS,
    PRODUCT_VECTORS,
    WIDTH,
    add_max_tile,
    first_tile,
    multiply_tile,
    runner_up,
    scan_tile,
    widest,
)

STRIP = PRODUCT_VECTORS * WIDTH  # targets whose coordinates lie together
STRIPS = 512 // STRIP  # of a tile, within which the place of a maximum is sought again
FEW_STRIPS = 128 // STRIP  # of a tile of few targets
FEW = 4096
CHUNK = 8_192  # targets met at a time; what P and Q hold of them stays in the last cache
ROWS = 8  # A is a multiple of this, which every register block divides


class PackedTargets(NamedTuple):
    """Targets in the order in which the kernel reads them."""

    first: np.ndarray
    """Coordinates of the first half, (tiles, strips, d', STRIP) float32, padded with zeros."""
    second: np.ndarray
    """Of the second half, (tiles, strips, d'', STRIP)."""
    size: int
    """Targets without the padding."""


def pack_targets(points: np.ndarray, split: int) -> PackedTargets:
    """Pack targets into tiles, coordinate by coordinate.

    Parameters
    ----------
    points : ndarray of shape (N, d)
        Targets.
    split : int
        Coordinates of the first half.

    Returns
    -------
    PackedTargets
        Both halves.
    """
    count, d = points.shape
    strips = FEW_STRIPS if count <= FEW else STRIPS
    tiles = -(-count // (strips * STRIP))
    halves = []
    for columns in (slice(0, split), slice(split, d)):
        half = np.zeros((tiles * strips * STRIP, len(range(d)[columns])), np.float32)
        half[:count] = points[:, columns]
        half = half.reshape(tiles, strips, STRIP, -1)
        halves.append(np.ascontiguousarray(half.transpose(0, 1, 3, 2)))
    return PackedTargets(halves[0], halves[1], count)


class Crossings(NamedTuple):
    """What every crossed draw met so far; (blocks, A, A) each."""

    best: np.ndarray
    """Largest score, float32."""
    runner: np.ndarray
    """Second largest score, float32."""
    winner: np.ndarray
    """Target of the largest score, the smallest index among equal ones; int32."""

    @classmethod
    def empty(cls, blocks: int, rows: int) -> Crossings:
        """Return crossings that met no target yet.

        Parameters
        ----------
        blocks, rows : int
            Number of blocks and rows A of each.

        Returns
        -------
        Crossings
            Scores of minus infinity.
        """
        shape = blocks, rows, rows
        best = np.full(shape, -np.inf, np.float32)
        return cls(best, best.copy(), np.zeros(shape, np.int32))


def cross_packed(
    u: np.ndarray,
    v: np.ndarray,
    targets: PackedTargets,
    heights: np.ndarray,
    start: int = 0,
    found: Crossings | None = None,
) -> Crossings:
    """Return the best two scores and the winner of all combinations of halves, block by block.

    Parameters
    ----------
    u, v : ndarray of shape (blocks, A, d') and (blocks, A, d'')
        Halves of the draws; A is a multiple of `ROWS`.
    targets : PackedTargets
        The targets.
    heights : ndarray of shape (N,)
        Their heights.
    start : int, default=0
        Index of the first target.
    found : Crossings, optional
        What the draws met among targets of smaller index; it is updated in place.

    Returns
    -------
    Crossings
        Scores are -inf where every score was NaN.
    """
    tile = targets.first.shape[1] * STRIP
    padded = np.full(len(targets.first) * tile, -np.inf, np.float32)
    padded[: targets.size] = heights
    found = Crossings.empty(u.shape[0], u.shape[1]) if found is None else found
    u, v = np.ascontiguousarray(u, np.float32), np.ascontiguousarray(v, np.float32)
    cross_targets(u, v, targets.first, targets.second, padded, start, CHUNK // tile, *found)
    return found


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cross_targets(u, v, first, second, heights, start, most, best, runner, winner):
    """Let blocks of draws meet targets, ``most`` tiles at a time.

    ``u`` and ``v`` hold the halves of the draws, (blocks, A, d') and (blocks, A, d''); ``first``
    and ``second`` are of `PackedTargets`, ``heights`` theirs, -inf where padded; ``start`` is the
    index of the first target. The three last, as in `Crossings`, are updated.
    """
    rows, tiles = u.shape[1], first.shape[0]
    tile = first.shape[1] * STRIP
    most = min(most, tiles)
    p, q = np.empty((rows, most * tile), np.float32), np.empty((rows, most * tile), np.float32)
    flat = np.zeros(most * tile, np.float32)
    for low in range(0, tiles, most):
        high = min(tiles, low + most)
        for block in range(u.shape[0]):
            _products(u, block, first[low:high], flat, p)
            _products(v, block, second[low:high], heights[low * tile : high * tile], q)
            found = best[block], runner[block], winner[block]
            _meet(p, q, high - low, tile, start + low * tile, *found)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _products(rows, block, packed, heights, out):
    """Write the inner products of a block's rows with targets, plus heights."""
    k, count, length = packed.shape[2], rows.shape[1], out.shape[1]
    for at in range(0, packed.shape[0] * packed.shape[1] * STRIP, STRIP):
        for r in range(0, count, PRODUCT_ROWS):
            multiply_tile(
                rows, (block * count + r) * k, k, k, packed, at * k, STRIP,
                heights, at, out, r * length + at, length,
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _meet(p, q, tiles, tile, start, best, runner, winner):
    """Update the best two scores and the winner of all pairs of a row of P and a row of Q."""
    rows, length, vectors = p.shape[0], p.shape[1], tile // WIDTH
    size = PAIR_ROWS * PAIR_COLUMNS * WIDTH
    top, second = np.empty(size, np.float32), np.empty(size, np.float32)
    where = np.empty(size, np.int32)
    for a in range(0, rows, PAIR_ROWS):
        for b in range(0, rows, PAIR_COLUMNS):
            top[:], second[:] = -np.inf, -np.inf
            where[:] = 0
            for t in range(tiles):
                at = t * tile
                add_max_tile(
                    p, a * length + at, length, q, b * length + at, length, vectors,
                    top, second, where, 0, np.int32(t),
                )  # fmt: skip
            _settle(p, q, a, b, tile, start, (top, second, where), best, runner, winner)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _settle(p, q, a, b, tile, start, lanes, best, runner, winner):
    """Update the pairs of a register block from the maxima of its lanes."""
    top, second, where = lanes
    length, rest = p.shape[1], np.empty(1, np.float32)
    for pair in range(PAIR_ROWS * PAIR_COLUMNS):
        i, j = a + pair // PAIR_COLUMNS, b + pair % PAIR_COLUMNS
        score = widest(top, pair * WIDTH)
        if not score > best[i, j]:
            runner[i, j] = max(runner[i, j], score)
            continue
        t = first_tile(top, where, pair * WIDTH, score)
        p0, q0 = i * length + t * tile, j * length + t * tile
        place = scan_tile(p, p0, q, q0, tile // WIDTH, score, rest, 0)
        other = runner_up(top, second, where, pair * WIDTH, t)
        runner[i, j] = max(best[i, j], rest[0], other)
        best[i, j], winner[i, j] = score, start + t * tile + place
