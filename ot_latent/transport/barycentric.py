"""Barycentric coordinates, row by row: mixing corners, and projecting on them."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed(shares: Tensor, corners: Tensor) -> Tensor:
    """Return the combinations of corners with shares, column by column.

    Sums are taken in one order, so that a row's bits do not depend on the others.

    Parameters
    ----------
    shares : Tensor of shape (P, q)
        Shares.
    corners : Tensor of shape (P, q, e)
        Corners.

    Returns
    -------
    Tensor of shape (P, e)
        Combinations.

    Examples
    --------
    >>> mixed(torch.tensor([[0.25, 0.75]]), torch.tensor([[[0.0, 4.0], [8.0, 0.0]]]))
    tensor([[6., 1.]])
    """
    total = shares[:, :1] * corners[:, 0]
    for k in range(1, shares.shape[1]):
        total = total + shares[:, k : k + 1] * corners[:, k]
    return total


def projection(x: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Project rows on the affine hulls of one to three corners.

    Parameters
    ----------
    x : Tensor of shape (P, d)
        Rows.
    corners : Tensor of shape (P, q, d)
        Corners, q from 1 to 3.

    Returns
    -------
    shares : Tensor of shape (P, q)
        Barycentric coordinates of the projections.
    valid : Tensor of shape (P,), bool
        Whether none is negative, and the corners span what they should.

    Examples
    --------
    >>> projection(torch.tensor([[1.0, 3.0]]), torch.tensor([[[0.0, 0.0], [4.0, 0.0]]]))
    (tensor([[0.7500, 0.2500]]), tensor([True]))
    """
    origin, edges = corners[:, 0], corners[:, 1:] - corners[:, :1]
    step = (x - origin)[:, None]
    gram = (edges[:, :, None] * edges[:, None]).sum(dim=3)
    right = (edges * step).sum(dim=2)
    if edges.shape[1] == 0:
        inner = right
    elif edges.shape[1] == 1:
        inner = right / gram[:, 0]
    else:
        (a, b), (_, c) = (gram[:, 0].unbind(1), gram[:, 1].unbind(1))
        turned = torch.stack(
            [c * right[:, 0] - b * right[:, 1], a * right[:, 1] - b * right[:, 0]], dim=1
        )
        inner = turned / (a * c - b * b)[:, None]
    shares = torch.cat([1 - inner.sum(dim=1, keepdim=True), inner], dim=1)
    return shares, torch.isfinite(shares).all(dim=1) & (shares >= 0).all(dim=1)
