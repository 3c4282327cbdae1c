"""Best k of N affine scores per row, exactly, in tiles: two passes and no n-by-N matrix.

Pass 1 multiplies a tile of rows with a tile of targets and keeps only the maximum of every group
of 64 neighbouring targets; a maximum without its index vectorises, so on a CPU it costs a few per
cent of the matrix product (an arg-maximum costs several times the product). Pass 2 rescores the k
best groups of each row. Every one of the k best scores lies in one of the k groups with the
largest maxima: were it elsewhere, each of those k groups would hold a score at least as good.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

GROUP = 64  # targets whose maximum is kept; 64 float32 are four cache lines
FEW = 4  # up to so many best scores are found one after the other


class TileShape(NamedTuple):
    """Size of one tile of scores."""

    rows: int
    """Rows of x."""
    columns: int
    """Targets; a multiple of the group size."""


def best_k_tiled(
    x: Tensor, points: Tensor, heights: Tensor, k: int, shape: TileShape
) -> tuple[Tensor, Tensor]:
    r"""Return the `k` best scores :math:`\langle x_i, y_j\rangle + h_j` of each row, and their j.

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Query rows.
    points : Tensor of shape (N, d)
        Targets :math:`y_j`.
    heights : Tensor of shape (N,)
        Heights :math:`h_j`.
    k : int
        How many scores to keep, at most N.
    shape : TileShape
        Rows and targets per tile.

    Returns
    -------
    values : Tensor of shape (m, k)
        Scores in falling order.
    indices : Tensor of shape (m, k), int64
        Their targets; equal scores are ordered by index.
    """
    values = x.new_empty(len(x), k)
    indices = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    for start in range(0, len(x), shape.rows):
        rows = x[start : start + shape.rows]
        groups = _best_groups(_group_maxima(rows, points, heights, shape.columns), k)
        stop = start + len(rows)
        values[start:stop], indices[start:stop] = _rescore(rows, points, heights, groups, k, shape)
    return values, indices


def _group_maxima(rows: Tensor, points: Tensor, heights: Tensor, columns: int) -> Tensor:
    """Return the largest score of each group, shape (r, groups)."""
    n = len(points)
    maxima = rows.new_empty(len(rows), math.ceil(n / GROUP))
    buffer = rows.new_empty(len(rows) * min(columns, n))
    for start in range(0, n, columns):
        tile, tall = points[start : start + columns], heights[start : start + columns]
        scores = buffer[: len(rows) * len(tile)].view(len(rows), len(tile))
        torch.addmm(tall, rows, tile.T, out=scores)
        whole, first = len(tile) // GROUP, start // GROUP
        if whole:
            grouped = scores[:, : whole * GROUP].unflatten(1, (whole, GROUP))
            torch.amax(grouped, dim=2, out=maxima[:, first : first + whole])
        if whole * GROUP < len(tile):  # the last group of all
            torch.amax(scores[:, whole * GROUP :], dim=1, out=maxima[:, -1])
    return maxima


def _best_groups(maxima: Tensor, k: int) -> Tensor:
    """Return the k groups of largest maximum in rising order, ties to the smallest; (r, k)."""
    k = min(k, maxima.shape[1])
    return _top_stable(maxima, k)[1].sort(dim=1).values


def _rescore(
    rows: Tensor, points: Tensor, heights: Tensor, groups: Tensor, k: int, shape: TileShape
) -> tuple[Tensor, Tensor]:
    """Score every target of the chosen groups again and keep the k best; (r, k) twice."""
    width = groups.shape[1] * GROUP
    budget = shape.rows * shape.columns  # numbers gathered at a time: one tile's worth
    step = max(1, budget // (width * (points.shape[1] + 1)))
    values, indices = [], []
    within = torch.arange(GROUP, device=rows.device)
    for start in range(0, len(rows), step):
        target = (groups[start : start + step, :, None] * GROUP + within).flatten(1)  # (s, width)
        real = target.clamp_max(len(points) - 1)
        scores = torch.bmm(points[real], rows[start : start + step, :, None])[:, :, 0]
        scores = (scores + heights[real]).masked_fill_(real < target, -torch.inf)
        value, place = _top_stable(scores, k)
        values.append(value)
        indices.append(target.gather(1, place))
    return torch.cat(values), torch.cat(indices)


def _top_stable(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row, equal ones in rising place; may overwrite `scores`."""
    if k > FEW:
        value, place = scores.sort(dim=1, descending=True, stable=True)
        return value[:, :k], place[:, :k]
    values, places = [], []
    for _ in range(k):  # repeated arg-maximum beats a sort
        place = scores.argmax(dim=1, keepdim=True)
        values.append(scores.gather(1, place))
        places.append(place)
        scores.scatter_(1, place, -torch.inf)
    return torch.cat(values, dim=1), torch.cat(places, dim=1)
