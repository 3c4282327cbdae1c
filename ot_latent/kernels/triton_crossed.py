"""Winners of crossed scores ``P[a, j] + Q[b, j]`` on a GPU: fused addition and maximum, in Triton.

A program holds a few rows of P and of Q and lets tiles of targets pass: one addition and one maximum
per pair and target, in registers, and no tensor of all sums. For each tile only its maximum is
compared with what was best, so that a winner is first known by its tile; a second kernel looks its
place up there, where it adds the same two numbers again and so meets the same float32. Programs share
the tiles among them; their findings are joined by (score, index), so that neither their number nor
the chunks in which targets pass change a bit of the result.
"""

# Triton reads the hints of its constants; pointers have none.
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ot_latent.kernels.triton_language import jit, passes, tl

TILE = 1024  # targets whose maximum is kept
LANES = 32  # of them that pass at a time
PROGRAMS = 1024  # wanted of a launch, so that every processor of a card has some
BUDGET = 512 * 10**6  # bytes of P and Q
FEW_TILES = 8  # that pass before blocks are cut, where memory is short

Pairs = tuple[Tensor, Tensor, Tensor]
"""Best score, second best, and where the best lies."""


def cross_triton(
    u: Tensor, v: Tensor, first: Tensor, second: Tensor, heights: Tensor, *, budget: int = BUDGET
) -> Pairs:
    r"""Return the best two scores and the winner of all combinations of halves, block by block.

    Parameters
    ----------
    u, v : Tensor of shape (blocks, A, d') and (blocks, A, d'')
        Halves of the draws, float32. Their products with targets have torch's own precision, which
        is float32 unless somebody allows it less.
    first, second : Tensor of shape (N, d') and (N, d'')
        Halves of the targets.
    heights : Tensor of shape (N,)
        Their heights.
    budget : int, default=512 MB
        Bytes of working memory; where P and Q of all blocks and targets take more, targets pass in
        chunks, and where a few tiles of targets take more, blocks do.

    Returns
    -------
    best, runner : Tensor of shape (blocks, A, A)
        Largest and second-largest score :math:`\langle u_a, y'_j\rangle +
        (\langle v_b, y''_j\rangle + h_j)`; -inf where there is none, or only NaN.
    winner : Tensor of shape (blocks, A, A), int64
        Target of the largest score; equal scores go to the smallest index.
    """
    blocks, n = len(u), len(heights)
    per_target = 4 * (u.shape[1] + v.shape[1])
    together = max(1, budget // (per_target * min(n, FEW_TILES * TILE)))
    none = u.new_empty(0, u.shape[1], v.shape[1])
    parts: list[Pairs] = [(none, none, none.long())]  # of a process that has no block
    for low in range(0, blocks, together):
        part = slice(low, low + together)
        columns = max(1, budget // (per_target * len(u[part])) // TILE) * TILE
        parts.append(_cross_chunks(u[part], v[part], first, second, heights, columns))
    best, runner, winner = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return best, runner, winner


def _cross_chunks(
    u: Tensor, v: Tensor, first: Tensor, second: Tensor, heights: Tensor, columns: int
) -> Pairs:
    """Let targets pass in chunks, carrying the findings over."""
    found: list[Pairs] = []
    for start in range(0, len(heights), columns):
        chunk = slice(start, start + columns)
        p = (u.flatten(0, 1) @ first[chunk].T).unflatten(0, u.shape[:2])
        q = torch.addmm(heights[chunk], v.flatten(0, 1), second[chunk].T).unflatten(0, v.shape[:2])
        best, runner, winner = best_pairs(p, q)
        found.append((best, runner, winner + start))
        found = [_joined(found)]
    return found[0]


def best_pairs(p: Tensor, q: Tensor) -> Pairs:
    """Return the best two sums and the winner of every pair of a row of P and a row of Q.

    Parameters
    ----------
    p, q : Tensor of shape (blocks, A, N) and (blocks, B, N)
        Float32 scores of halves.

    Returns
    -------
    best, runner : Tensor of shape (blocks, A, B)
        Largest and second-largest sum over targets; NaN loses.
    winner : Tensor of shape (blocks, A, B), int64
        Target of the largest, the smallest index among equal ones.
    """
    p, q = p.contiguous(), q.contiguous()
    (blocks, rows, n), columns = p.shape, q.shape[1]
    side = 16 if min(rows, columns) >= 16 else 8
    cells, tiles = -(-rows // side) * -(-columns // side), -(-n // TILE)
    parts = min(tiles, max(1, PROGRAMS // (blocks * cells)))
    share = -(-tiles // parts)
    maxima = p.new_empty(2, parts, blocks, rows, columns)
    where = torch.empty(parts, blocks, rows, columns, dtype=torch.int32, device=p.device)
    with torch.cuda.device_of(p):
        _tile_maxima[(blocks, cells, parts)](
            p, q, maxima[0], maxima[1], where, rows, columns, n, tiles, share,
            SIDE=side, LANES=LANES, TILE=TILE, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
        best, runner, tile = _joined([(maxima[0], maxima[1], where)], cut=True)
        rest, place = torch.empty_like(best), torch.empty_like(tile)
        _within_tile[(blocks, -(-rows // 8) * -(-columns // 8))](
            p, q, best.contiguous(), tile.contiguous(), rest, place, rows, columns, n,
            SIDE=8, LANES=LANES, TILE=TILE, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
    return best, torch.maximum(runner, rest), tile.long() * TILE + place


@cache
def works(device: torch.device) -> bool:
    """Return whether the kernels can be used on a device: tried once on whole numbers, with ties.

    Parameters
    ----------
    device : torch.device
        A CUDA device.

    Returns
    -------
    bool
        False where Triton is missing; also, with a warning, where it fails.
    """
    return passes(_trial, device)


def _trial(device: torch.device) -> bool:
    """Compare with all sums of a small problem."""
    for rows in (8, 16):
        generator = torch.Generator().manual_seed(0)
        p, q = torch.randint(-9, 10, (2, 2, rows, 2 * TILE + 7), generator=generator).float()
        sums = p[:, :, None] + q[:, None]
        top, order = sums.sort(dim=3, descending=True, stable=True)
        found = [tensor.cpu() for tensor in best_pairs(p.to(device), q.to(device))]
        known = (top[..., 0], top[..., 1], order[..., 0])
        if not all(torch.equal(ours, right) for ours, right in zip(found, known, strict=True)):
            return False
    return True


def _joined(found: Sequence[Pairs], *, cut: bool = False) -> Pairs:
    """Join findings of disjoint targets by (score, index); if cut, those along the first axis."""
    stacks = found[0] if cut else (torch.stack(t) for t in zip(*found, strict=True))
    best, runner, winner = stacks
    top = best.amax(dim=0)
    last = torch.iinfo(winner.dtype).max
    first = torch.where(best == top, winner, last).amin(dim=0)
    chosen = (best == top) & (winner == first)
    return top, torch.where(chosen, runner, best).amax(dim=0), first


@jit("rows", "columns", "tiles", "share")
def _tile_maxima(
    p, q, best, runner, where, rows, columns, n, tiles, share,
    SIDE: tl.constexpr, LANES: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Let a share of the tiles pass; write the best tile maximum, the second best, and which tile."""
    block, cell, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    across = tl.cdiv(columns, SIDE)
    a = cell // across * SIDE + tl.arange(0, SIDE)
    b = cell % across * SIDE + tl.arange(0, SIDE)
    p_rows = p + (block.to(tl.int64) * rows + a) * n
    q_rows = q + (block.to(tl.int64) * columns + b) * n
    top = tl.full((SIDE, SIDE), -float("inf"), tl.float32)
    second = tl.full((SIDE, SIDE), -float("inf"), tl.float32)
    found = tl.zeros((SIDE, SIDE), tl.int32)
    for tile in range(part * share, tl.minimum((part + 1) * share, tiles)):
        maxima = tl.full((SIDE, SIDE, LANES), -float("inf"), tl.float32)
        for step in range(0, TILE, LANES):
            j = (tile * TILE + step + tl.arange(0, LANES))[None, :]
            left = tl.load(p_rows[:, None] + j, mask=(a[:, None] < rows) & (j < n), other=0.0)
            right = tl.load(
                q_rows[:, None] + j, mask=(b[:, None] < columns) & (j < n), other=-float("inf")
            )
            maxima = tl.maximum(maxima, left[:, None, :] + right[None, :, :])
        score = tl.max(maxima, axis=2)
        second = tl.maximum(second, tl.minimum(score, top))
        found = tl.where(score > top, tile, found)
        top = tl.maximum(top, score)
    out = (part.to(tl.int64) * tl.num_programs(0) + block) * rows * columns
    out += a[:, None] * columns + b[None, :]
    real = (a[:, None] < rows) & (b[None, :] < columns)
    tl.store(best + out, top, mask=real)
    tl.store(runner + out, second, mask=real)
    tl.store(where + out, found, mask=real)


@jit("rows", "columns", "n")
def _within_tile(
    p, q, best, where, rest, place, rows, columns, n,
    SIDE: tl.constexpr, LANES: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the first place of a maximum in its tile, and the largest of the other sums there."""
    block, cell = tl.program_id(0), tl.program_id(1)
    across = tl.cdiv(columns, SIDE)
    a = (cell // across * SIDE + tl.arange(0, SIDE))[:, None]
    b = (cell % across * SIDE + tl.arange(0, SIDE))[None, :]
    real = (a < rows) & (b < columns)
    out = block.to(tl.int64) * rows * columns + a * columns + b
    top = tl.load(best + out, mask=real, other=0.0)[:, :, None]
    start = tl.load(where + out, mask=real, other=0)[:, :, None] * TILE
    p_rows = (p + (block.to(tl.int64) * rows + a) * n)[:, :, None]
    q_rows = (q + (block.to(tl.int64) * columns + b) * n)[:, :, None]
    below = tl.full((SIDE, SIDE, LANES), -float("inf"), tl.float32)
    nearest = tl.full((SIDE, SIDE, LANES), TILE, tl.int32)
    equal = tl.zeros((SIDE, SIDE, LANES), tl.int32)
    for step in range(0, TILE, LANES):
        i = (step + tl.arange(0, LANES))[None, None, :]
        inside = real[:, :, None] & (start + i < n)
        left = tl.load(p_rows + start + i, mask=inside, other=0.0)
        sums = left + tl.load(q_rows + start + i, mask=inside, other=-float("inf"))
        same = sums == top
        nearest = tl.where(same, tl.minimum(nearest, i), nearest)
        equal += same.to(tl.int32)
        below = tl.maximum(below, tl.where(same, -float("inf"), sums))
    lowest = tl.max(below, axis=2)
    often = tl.sum(equal, axis=2) > 1
    at = tl.min(nearest, axis=2)
    tl.store(rest + out, tl.where(often, tl.max(top, axis=2), lowest), mask=real)
    tl.store(place + out, tl.where(at < TILE, at, 0), mask=real)
