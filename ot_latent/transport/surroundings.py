"""How far a map jumps around each cell: medians over facets and neighbours, blind to stragglers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

RINGS = 8  # times that a cell takes the median of its neighbours and itself


def surrounding_jumps(jumps: Tensor, pairs: Tensor, count: int, rings: int = RINGS) -> Tensor:
    """Return the usual jump of a map around each of its cells.

    Each cell takes the median of the jumps over its facets; then, eight times, the median of what
    its neighbours and itself hold. Along a tear most facets around lie on its two sides, so the
    tear does not enter; nor do single codes between two sides, whose every facet is wide: their
    neighbours outvote them. Like all medians of lengths it scales with the codes and sees no
    turns.

    Parameters
    ----------
    jumps : Tensor of shape (F,)
        Distance of the two codes of each facet.
    pairs : Tensor of shape (F, 2), int64
        The cells on its sides.
    count : int
        Number N of cells.
    rings : int, default=8
        How often neighbours are asked.

    Returns
    -------
    Tensor of shape (N,), float64
        Usual jumps; infinite for a cell without facets.

    Examples
    --------
    >>> chain = torch.stack([torch.arange(9), torch.arange(1, 10)], dim=1)
    >>> jumps = torch.tensor([1.0, 1, 1, 1, 50, 60, 2, 2, 2])  # cell 5 is a straggler
    >>> surrounding_jumps(jumps, chain, 10)
    tensor([1., 1., 1., 1., 1., 2., 2., 2., 2., 2.], dtype=torch.float64)
    """
    ends = pairs.detach().cpu().numpy()
    cells, neighbours = np.concatenate([ends, ends[:, ::-1]]).T
    width = jumps.detach().cpu().double().numpy()
    found = _medians(cells, np.concatenate([width, width]), count)
    itself = np.unique(cells)
    cells, neighbours = np.append(cells, itself), np.append(neighbours, itself)
    for _ in range(rings):
        found = _medians(cells, found[neighbours], count)
    return torch.from_numpy(found).to(jumps.device)


def _medians(cells: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return the lower median of the values of each cell."""
    order = np.lexsort((values, cells))
    ends = np.searchsorted(cells[order], np.arange(count + 1))
    found = np.full(count, np.inf)
    held = np.flatnonzero(np.diff(ends))
    found[held] = values[order][(ends[held] + ends[held + 1] - 1) // 2]
    return found
