"""Compact pieces of modes, in which the spread of new codes is compared with that of the old."""

from __future__ import annotations

import torch
from torch import Tensor

PIECE = 40  # codes of a piece, at least; pieces of twice as many are halved
LEAST_PIECE = 20  # smaller modes tell nothing of their spread
FLAT = 1e-6  # share of a piece's variance below which an axis counts for no more


def compact_pieces(points: Tensor, modes: Tensor, size: int = PIECE) -> Tensor:
    """Halve modes across their longest axis until they have fewer than twice `size` codes.

    The variance within a long curved mode is that along it. Within its pieces the variance across
    counts as well.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    modes : Tensor of shape (N,), int64
        Mode of each.
    size : int, default=40
        Least number of codes of a half.

    Returns
    -------
    Tensor of shape (N,), int64
        Number of the piece of each code.

    Examples
    --------
    >>> compact_pieces(torch.arange(6.0)[:, None], torch.zeros(6, dtype=torch.int64), 2)
    tensor([0, 0, 0, 1, 1, 1])
    """
    pieces = torch.zeros_like(modes)
    left = [torch.nonzero(modes == mode).squeeze(1) for mode in modes.unique().flip(0)]
    count = 0
    while left:
        members = left.pop()
        if len(members) < 2 * size:
            pieces[members], count = count, count + 1
            continue
        steps = points[members].double() - points[members].double().mean(dim=0)
        axis = torch.linalg.eigh(steps.T @ steps)[1][:, -1]
        axis = axis * torch.where(axis[axis.abs().argmax()] < 0, -1.0, 1.0)
        order = (steps @ axis).argsort(stable=True)
        half = len(order) // 2
        left += [members[order[half:]], members[order[:half]]]
    return pieces


def whitening(points: Tensor, pieces: Tensor) -> Tensor:
    """Return for each code the matrix in which its piece has unit covariance.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    pieces : Tensor of shape (N,), int64
        As from `compact_pieces`.

    Returns
    -------
    Tensor of shape (N, d, d), float64
        Symmetric; zero for pieces of fewer than twenty codes.
    """
    found = points.new_zeros((*points.shape, points.shape[1]), dtype=torch.float64)
    for piece in pieces.unique():
        members = torch.nonzero(pieces == piece).squeeze(1)
        if len(members) >= LEAST_PIECE:
            steps = points[members].double() - points[members].double().mean(dim=0)
            values, vectors = torch.linalg.eigh(steps.T @ steps / len(members))
            floor = FLAT * values.sum() + 1e-300
            found[members] = vectors @ torch.diag((values.clamp(min=0) + floor).rsqrt()) @ vectors.T
    return found
