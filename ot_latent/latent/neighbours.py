"""Neighbours of the data kept together in the codes, so that kinds of data become islands.

A reconstruction loss alone has no reason to leave room between kinds. Contrastive neighbour
embedding (Damrich, Boehm, Hamprecht and Kobak, ICLR 2023: t-SNE's Cauchy kernel, learnt from sampled
neighbours and a batch of others) asks that a row can be told from the others by its neighbour alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent.kernels.dispatch import best_scores

NEIGHBOURS = 15
"""Nearest rows among which a row's neighbour is drawn."""

DIRECTIONS = 50
"""Principal directions of the data in which nearness is measured."""

REACH = 0.2
"""Distance between codes at which the kernel has fallen to one half."""


class Neighbourhood:
    """The nearest rows of every row of a training set, found once.

    Parameters
    ----------
    x : Tensor of shape (n, *shape)
        All rows, at least two.
    seed : int
        Seed of the draws.
    device : torch.device or str, default="cpu"
        Where to search.

    Attributes
    ----------
    nearest : numpy.ndarray of shape (n, min(15, n - 1))
        Row numbers, the nearest first.
    """

    def __init__(self, x: Tensor, *, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.nearest = nearest_rows(principal_part(x.to(device), seed=seed), NEIGHBOURS)

    def draw(self, count: int, rows: np.ndarray) -> Tensor:
        """Return a neighbour of each row, a function of the seed and the number of the step.

        Parameters
        ----------
        count : int
            Number of the step since the start.
        rows : numpy.ndarray of shape (batch,)
            Row numbers.

        Returns
        -------
        Tensor of shape (batch,), int64
            Row numbers.
        """
        rng = generator(self.seed, Stream.NEIGHBOURS, count)
        place = rng.integers(self.nearest.shape[1], size=len(rows))
        return torch.from_numpy(self.nearest[rows, place])


def principal_part(x: Tensor, *, seed: int, directions: int = DIRECTIONS) -> Tensor:
    """Return the rows in a basis of their leading principal directions, by subspace iteration.

    Parameters
    ----------
    x : Tensor of shape (n, *shape)
        Rows; with no more than `directions` values they are only centred.
    seed : int
        Seed of the first guess.
    directions : int, default=50
        Size of the basis.

    Returns
    -------
    Tensor of shape (n, min(directions, values of a row))
        Coordinates; distances between them are those between the projected rows.

    Examples
    --------
    >>> line = torch.linspace(-1, 1, 9)[:, None] * torch.ones(4)
    >>> principal_part(line, seed=0, directions=1).abs()[[0, -1]].round(decimals=4).ravel().tolist()
    [2.0, 2.0]
    """
    flat = x.flatten(1)
    centre = flat.mean(0)
    if flat.shape[1] <= directions:
        return flat - centre
    guess = generator(seed, Stream.NEIGHBOURS, 0, 1).standard_normal((flat.shape[1], directions))
    basis = torch.from_numpy(guess).to(flat)
    for _ in range(4):
        scores = flat @ basis - centre @ basis
        basis = torch.linalg.qr(flat.T @ scores - torch.outer(centre, scores.sum(0)))[0]
    return flat @ basis - centre @ basis


def nearest_rows(points: Tensor, k: int) -> np.ndarray:
    """Return the numbers of the nearest other rows, in the order of their distance.

    Parameters
    ----------
    points : Tensor of shape (n, d)
        Rows, at least two.
    k : int
        How many; all others where there are fewer.

    Returns
    -------
    numpy.ndarray of shape (n, min(k, n - 1))
        Row numbers; of equally near ones the smallest.

    Examples
    --------
    >>> nearest_rows(torch.tensor([[0.0], [1.0], [5.0]]), 2).tolist()
    [[1, 2], [0, 2], [1, 0]]
    """
    k = min(k, len(points) - 1)
    # |x - y|^2 / 2 = |x|^2 / 2 - (<x, y> - |y|^2 / 2): the nearest have the best scores
    found = best_scores(points, points, -0.5 * points.square().sum(1), k + 1)[1]
    itself = found == torch.arange(len(found), device=found.device)[:, None]
    last = torch.argsort(itself.byte(), dim=1, stable=True)  # of duplicates, a row may not be first
    return found.gather(1, last)[:, :k].cpu().numpy()


def neighbour_losses(codes: Tensor, partners: Tensor, first: int = 0) -> Tensor:
    r"""Return for each row how badly its partner is told from those of the other rows.

    With :math:`q(a, b) = 1 / (1 + |a - b|^2 / r^2)`, r = `REACH`, row i of a batch has the loss

    .. math:: -\log \frac{q(z_i, p_i)}{\sum_j q(z_i, p_j)}.

    Parameters
    ----------
    codes : Tensor of shape (m, d)
        Codes :math:`z_i`; perhaps a slice of the batch.
    partners : Tensor of shape (batch, d)
        Codes :math:`p_j` of one neighbour of each row of the whole batch.
    first : int, default=0
        Place of the first of `codes` in the batch.

    Returns
    -------
    Tensor of shape (m,)
        Losses, not negative.

    Examples
    --------
    >>> far = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> neighbour_losses(far, far).round(decimals=2).abs().tolist()
    [0.0, 0.0]
    """
    gaps = (codes[:, None] - partners[None]).square().sum(2) / REACH**2
    affinity = -torch.log1p(gaps)
    own = affinity.diagonal(first)[: len(codes)]
    return torch.logsumexp(affinity, 1) - own
