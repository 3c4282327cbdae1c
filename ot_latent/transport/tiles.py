r"""Targets in tiles, whose masses a step of the sampled solver corrects as wholes.

A diagonal step moves a height by its cell's own error, and mass passes from cell to cell. Where
targets lie in clusters that share few facets, a cluster that has too little gets it slowly: the
Hessian has an eigenvalue there that is small beside its diagonal. Some tens of tiles, and the
Laplacian of *their* graph, tell how far each tile has to be moved as one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.measures import DiscreteMeasure

MOST_TILES, LEAST_SIZE = 64, 128  # of tiles, and of targets in one on average
SOME, ROUNDS = 2048, 3  # targets behind the centres of tiles, and rounds of Lloyd's
DIAGONAL = 0.03  # share of the diagonal in a Laplacian of tiles: facets that no draw is near to
FURTHEST = 5.0  # in units of 1 / kappa, that a step of gain one moves a tile by
CHANCE = 4.0  # deviations of a tile's count that are no reason to move it by less than it says
PRIOR = 3.0  # draws near the facets of a tile; as few do not tell how it moves
DIGITS = 20  # binary, of the numbers by which tiles move: no rounding of an inverse tells in them


def tiles_of(target: DiscreteMeasure) -> Tensor:
    """Return the tile of every target: at most 64 parts, cells of centres by Lloyd's algorithm.

    Parameters
    ----------
    target : DiscreteMeasure
        The targets; a memory map is read once, a chunk at a time.

    Returns
    -------
    Tensor of shape (N,), int64
        Tiles 0 ... K - 1, none of them empty; one where there are fewer than 256 targets.
    """
    n, device = len(target), target.points.device
    some = target.points[:: max(1, n // SOME)].detach().to("cpu", torch.float64, copy=True)
    mean = some.mean(dim=0)  # taken out, so that float32 tells targets far from the origin apart
    some, most = (some - mean).float(), max(1, min(MOST_TILES, n // LEAST_SIZE))
    centres = some[:: len(some) // most][:most].clone()
    for _ in range(ROUNDS):
        own = _nearest(some, centres)
        sums = torch.zeros_like(centres).index_add_(0, own, some)
        counts = own.bincount(minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    chunks = (points.sub_(mean).float() for _, points in target.chunks())
    found = torch.cat([_nearest(points, centres) for points in chunks])
    return torch.unique(found, return_inverse=True)[1].to(device)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Return the nearest centre of every point."""
    heights = -0.5 * centres.square().sum(dim=1)
    return best_scores(points, centres, heights)[1][:, 0]


def tile_sums(values: Tensor, tiles: Tensor) -> Tensor:
    """Return the sum over every tile, on the CPU.

    Parameters
    ----------
    values : Tensor of shape (N,)
        Numbers.
    tiles : Tensor of shape (N,), int64
        Tiles.

    Returns
    -------
    Tensor of shape (K,), in the dtype of `values`
        Sums.
    """
    count, values = int(tiles.max()) + 1, values.cpu()
    return values.new_zeros(count).index_add_(0, tiles.cpu(), values)


def coarse_inverse(pairs: Tensor, tiles: Tensor, weights: Tensor) -> Tensor:
    r"""Return how far tiles move for the masses that they lack.

    Draws near a facet tell the Hessian of the tiles, the Laplacian :math:`\kappa L` of their graph,
    :math:`L_{kl} = -P(\text{k and l} \mid \text{near a facet}) / 2`, which is mixed with its diagonal:

    .. math:: C = \bigl(L_\rho + \rho D\bigr)^{-1}, \qquad D = \mathrm{diag}(\nu_k) .

    The share :math:`\rho` of the diagonal stands for facets that no draw came near (heuristic): 0.03,
    and up to one for a tile near whose facets hardly a draw was; :math:`L_\rho` is L with rows and
    columns scaled by :math:`\sqrt{1-\rho_k}`. Where every tile borders on every other in proportion to
    both masses, as in high dimension, C is the inverse of D for what tiles lack (theorem).

    Parameters
    ----------
    pairs : Tensor of shape (m, 2), int64
        Targets of the best two scores of draws near a facet.
    tiles : Tensor of shape (N,), int64
        Tiles 0 ... K - 1.
    weights : Tensor of shape (N,), float64
        Masses of the targets.

    Returns
    -------
    Tensor of shape (K, K), float64
        C, in units of :math:`1/\kappa`, in fixed point: sums and products of it with counts do not
        depend on how an inverse is rounded.

    Examples
    --------
    >>> pairs = torch.tensor([[0, 1], [2, 3], [0, 1], [3, 2], [1, 2], [0, 1], [2, 1], [2, 3]])
    >>> pairs = pairs.repeat(100, 1)  # one of four is between the tiles
    >>> inverse = coarse_inverse(pairs, torch.tensor([0, 0, 1, 1]), torch.full((4,), 0.25).double())
    >>> [round(float(shift), 2) for shift in inverse @ torch.tensor([0.1, -0.1]).double()]
    [0.39, -0.39]
    """
    masses = tile_sums(weights, tiles)
    count, ends = len(masses), tiles.cpu()[pairs.cpu()]
    met = (ends[:, 0] * count + ends[:, 1]).bincount(minlength=count**2).view(count, count)
    edges = (met + met.T).double().fill_diagonal_(0) / (2 * max(len(ends), 1))
    laplacian = torch.diag(edges.sum(dim=1)) - edges
    told = met.sum(dim=0) + met.sum(dim=1)  # ends of pairs in each tile
    diagonal = DIAGONAL + (1 - DIAGONAL) * (PRIOR / (PRIOR + told)).square()
    mixed = (1 - diagonal).sqrt() * laplacian * (1 - diagonal).sqrt()[:, None]
    mixed = mixed + torch.diag(diagonal * masses)
    inverse = torch.linalg.inv(mixed)
    unit = 2.0 ** (math.ceil(math.log2(float(inverse.abs().max()))) - DIGITS)
    return (inverse / unit).round() * unit


def coarse_shift(
    inverse: Tensor, tiles: Tensor, weights: Tensor, masses: Tensor, scales: Tensor, n: int
) -> Tensor:
    r"""Return what every target moves by with its tile.

    A tile that lacks :math:`m_k` shall move by :math:`(C m)_k`. A diagonal step moves it, on average, by
    :math:`m_k / s_k` (the less, the fewer draws and the more facets its cells have), which is taken
    off, so that it counts once.

    Parameters
    ----------
    inverse : Tensor of shape (K, K), float64
        C of `coarse_inverse`.
    tiles : Tensor of shape (N,), int64
        Tiles.
    weights, masses : Tensor of shape (N,), float64
        Masses that the cells shall have, and those that were counted.
    scales : Tensor of shape (N,), float64
        What the diagonal step divides the error of each cell's mass by; its sum over a tile is
        :math:`s_k`.
    n : int
        Draws behind the counts. A tile with too much is taken to have at most twice its mass, but
        for chance: bounds that chance reaches would leave a tile of few draws with too much.

    Returns
    -------
    Tensor of shape (N,), float64
        In units of the inverse of the Hessian's trace.
    """
    wanted, slow = tile_sums(weights, tiles), tile_sums(scales, tiles)
    bound = torch.maximum(wanted, CHANCE * ((wanted / n).sqrt() + 1 / n))
    lacking = (wanted - tile_sums(masses, tiles)).clamp(-bound, bound)
    moved = (inverse * lacking).sum(dim=1) - lacking / slow
    return moved.clamp_(-FURTHEST, FURTHEST).to(tiles.device)[tiles]
