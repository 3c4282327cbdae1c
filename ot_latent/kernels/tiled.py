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
    lifted = _lift_targets(points, heights)  # (groups, GROUP, d + 1)
    values = x.new_empty(len(x), k)
    indices = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    for start in range(0, len(x), shape.rows):
        part = x[start : start + shape.rows]
        rows = torch.cat([part, part.new_ones(len(part), 1)], dim=1)  # (r, d + 1)
        groups = _best_groups(_group_maxima(rows, lifted, shape.columns), k)
        stop = start + len(rows)
        values[start:stop], indices[start:stop] = _rescore(rows, lifted, groups, k, shape)
    return values, indices


def _lift_targets(points: Tensor, heights: Tensor) -> Tensor:
    """Append the height as a last coordinate and pad to whole groups with scores of -inf."""
    n, d = points.shape
    groups = math.ceil(n / GROUP)
    lifted = points.new_zeros(groups * GROUP, d + 1)
    lifted[:n, :d] = points
    lifted[:n, d] = heights
    lifted[n:, d] = -torch.inf
    return lifted.view(groups, GROUP, d + 1)


def _group_maxima(rows: Tensor, lifted: Tensor, columns: int) -> Tensor:
    """Return the largest score of each group, shape (r, groups)."""
    groups = len(lifted)
    step = columns // GROUP
    maxima = rows.new_empty(len(rows), groups)
    buffer = rows.new_empty(len(rows) * min(columns, groups * GROUP))
    for start in range(0, groups, step):
        tile = lifted[start : start + step].flatten(0, 1)  # (columns, d + 1)
        scores = buffer[: len(rows) * len(tile)].view(len(rows), len(tile))
        torch.mm(rows, tile.T, out=scores)
        grouped = scores.view(len(rows), -1, GROUP)
        torch.amax(grouped, dim=2, out=maxima[:, start : start + step])
    return maxima


def _best_groups(maxima: Tensor, k: int) -> Tensor:
    """Return the k groups of largest maximum in rising order, ties to the smallest; (r, k)."""
    k = min(k, maxima.shape[1])
    return _top_stable(maxima, k)[1].sort(dim=1).values


def _rescore(
    rows: Tensor, lifted: Tensor, groups: Tensor, k: int, shape: TileShape
) -> tuple[Tensor, Tensor]:
    """Score every target of the chosen groups again and keep the k best; (r, k) twice."""
    width = groups.shape[1] * GROUP
    budget = shape.rows * shape.columns  # numbers gathered at a time: one tile's worth
    step = max(1, budget // (width * lifted.shape[2]))
    values, indices = [], []
    within = torch.arange(GROUP, device=rows.device)
    for start in range(0, len(rows), step):
        chosen = groups[start : start + step]
        candidates = lifted[chosen].flatten(1, 2)  # (s, width, d + 1)
        scores = torch.bmm(candidates, rows[start : start + step, :, None])[:, :, 0]
        value, place = _top_stable(scores, k)
        target = (chosen[:, :, None] * GROUP + within).flatten(1)
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
