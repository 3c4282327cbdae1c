"""Compact pieces of modes, in which the spread of new codes is compared with that of the old."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PIECE = 40  # codes of a piece, at least; pieces of twice as many are halved
BENT = 1.5  # of a determinant: how much more than straight pieces have; sampling alone makes 1.2
LEAST_PIECE = 20  # smaller modes tell nothing of their spread
FLAT = 1e-6  # share of a piece's variance below which an axis counts for no more


def compact_pieces(points: Tensor, modes: Tensor, size: int = PIECE) -> Tensor:
    r"""Halve modes across their longest axis, down to twice `size` codes, and keep whole what is straight.

    The variance within a long curved mode is that along it. Within its pieces the variance across
    counts as well. Cuts are made only where they are needed: new codes lie up to a spacing beyond a
    cut between the codes that they are made from, which makes their variance along look too large.

    Halving a straight piece leaves the axes across as they are, so that the determinant of its
    covariance falls to 1/4 (uniform along the axis; theorem) or :math:`1 - 2/\pi` (normal). Of a
    bent piece, of two lumps or of a ring the halves, or theirs, are thinner across, too. A piece is
    kept whole where the smallest pieces below it, after k halvings, have at least
    :math:`4^{-k}/1.5` of its determinant (geometric mean; heuristic).

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
    >>> x = torch.linspace(-1, 1, 12)
    >>> line, angle = torch.stack([x, 0 * x], dim=1), torch.stack([x, x.abs()], dim=1)
    >>> one = torch.zeros(12, dtype=torch.int64)
    >>> compact_pieces(line, one, 4).tolist(), compact_pieces(angle, one, 4).tolist()
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    """
    pieces, count = torch.zeros_like(modes), 0
    for mode in modes.unique():
        members = torch.nonzero(modes == mode).squeeze(1)
        own = points[members].double()
        least = FLAT * float((own - own.mean(dim=0)).square().sum()) / len(own) + 1e-300
        for piece in _cut(own, torch.arange(len(own), device=own.device), size, least)[0]:
            pieces[members[piece]], count = count, count + 1
    return pieces


def _cut(
    points: Tensor, members: Tensor, size: int, flat: float
) -> tuple[list[Tensor], list[float]]:
    """Return the pieces of some codes, and the log-determinants of the smallest ones below them."""
    steps = points[members] - points[members].mean(dim=0)
    values, vectors = torch.linalg.eigh(steps.T @ steps / len(members))
    own = float((values.clamp(min=0) + flat).log().sum())
    if len(members) < 2 * size:
        return [members], [own]
    axis = vectors[:, -1]
    axis = axis * torch.where(axis[axis.abs().argmax()] < 0, -1.0, 1.0)
    order, half = (steps @ axis).argsort(stable=True), len(members) // 2
    low, high = (_cut(points, members[part], size, flat) for part in (order[:half], order[half:]))
    least = low[1] + high[1]
    expected = sum(least) / len(least) + math.log(4) * math.log2(len(least))
    whole = own <= expected + math.log(BENT)
    return [members] if whole else low[0] + high[0], least


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
