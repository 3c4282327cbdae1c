"""The different rows of a table of integers, by sorting its columns; `torch.unique` is slow on rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def unique_rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different rows of a table in lexical order, and how often each occurs.

    Parameters
    ----------
    table : Tensor of shape (n, c), int64
        Rows.

    Returns
    -------
    rows : Tensor of shape (r, c), int64
        The different ones.
    counts : Tensor of shape (r,), int64
        How often.

    Examples
    --------
    >>> unique_rows(torch.tensor([[2, 1], [0, 5], [2, 1]]))
    (tensor([[0, 5],
            [2, 1]]), tensor([1, 2]))
    """
    rows = table.detach().cpu().numpy()
    order = np.lexsort(rows.T[::-1])
    rows = rows[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    counts = np.diff(np.append(np.flatnonzero(first), len(rows)))
    found = (torch.from_numpy(a).to(table.device) for a in (rows[first], counts))
    return tuple(found)  # type: ignore[return-value]
