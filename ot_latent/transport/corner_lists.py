"""Who touches whom in a triangulation: lists of simplices, one for each cell, end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Lists(NamedTuple):
    """One list of numbers for each cell, end to end."""

    begin: Tensor
    """Where each cell's list begins, shape (N + 1,)."""
    items: Tensor
    """The numbers."""


def incidence(simplices: Tensor, count: int) -> csr_array:
    """Return which cell is a corner of which simplex.

    Parameters
    ----------
    simplices : Tensor of shape (M, q), int64
        Corners; -1 where there are fewer.
    count : int
        Number N of cells.

    Returns
    -------
    scipy.sparse.csr_array of shape (N, M)
        Ones.
    """
    from scipy.sparse import coo_array

    table = simplices.cpu().numpy()
    row, column = np.nonzero(table >= 0)
    ones = np.ones(len(row), dtype=np.int32)
    return coo_array((ones, (table[row, column], row)), shape=(count, len(table))).tocsr()


def lists_of(matrix: csr_array) -> Lists:
    """Return the columns of each row of a sparse matrix, rising.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (N, M)
        Any; only where it is stored matters.

    Returns
    -------
    Lists
        N lists.
    """
    matrix = matrix.tocsr()
    matrix.sort_indices()
    begin, items = (torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices))
    return Lists(begin, items)


def expanded(lists: Lists, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs (row, item) of the lists of some cells.

    Parameters
    ----------
    lists : Lists
        Lists.
    cells : Tensor of shape (m,)
        Cells, each row's.

    Returns
    -------
    row, item : Tensor of shape (P,), int64
        Row by row.

    Examples
    --------
    >>> both = Lists(torch.tensor([0, 2, 3]), torch.tensor([4, 5, 6]))
    >>> expanded(both, torch.tensor([1, 0]))
    (tensor([0, 1, 1]), tensor([6, 4, 5]))
    """
    begin, items = (a.to(cells.device) for a in lists)
    counts = begin[cells + 1] - begin[cells]
    row = torch.repeat_interleave(torch.arange(len(cells), device=cells.device), counts)
    first = begin[cells] - (counts.cumsum(0) - counts)
    return row, items[first[row] + torch.arange(len(row), device=cells.device)]


def first_best(row: Tensor, values: Tensor, count: int) -> Tensor:
    """Return for each row that occurs the first pair of largest value, if that is not -inf.

    Parameters
    ----------
    row : Tensor of shape (P,), int64
        Row of each pair.
    values : Tensor of shape (P,)
        Its value.
    count : int
        Number of rows.

    Returns
    -------
    Tensor of shape (at most count,), int64
        Numbers of pairs.
    """
    best = values.new_full((count,), -torch.inf).scatter_reduce(0, row, values, "amax")
    where = torch.nonzero((values == best[row]) & (values > -torch.inf)).squeeze(1)
    first = torch.full((count,), len(row), device=row.device)
    first = first.scatter_reduce(0, row[where], where, "amin")
    return first[first < len(row)]
