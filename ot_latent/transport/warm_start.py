"""Starting heights: those of the Gaussian problem with the same moments, and Voronoi cells."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Source

EIGENVALUE_FLOOR = 1e-4  # share of the largest; flat directions would have infinite heights


def voronoi_heights(target: DiscreteMeasure) -> Tensor:
    """Return h_j = -|y_j|^2 / 2, whose power cells are the Voronoi cells of the targets.

    Parameters
    ----------
    target : DiscreteMeasure
        The targets.

    Returns
    -------
    Tensor of shape (N,), float64
        Heights.
    """
    heights = [-0.5 * points.square_().sum(dim=1) for _, points in target.chunks()]
    return torch.cat(heights).to(target.points.device)


def gaussian_heights(source: Source, target: DiscreteMeasure) -> Tensor:
    r"""Return the heights of the optimal map between the Gaussians of the same moments.

    The optimal map from N(m_src, S) to N(m, C) is :math:`m + A (x - m_{src})` with the Bures map
    :math:`A = S^{-1/2} (S^{1/2} C S^{1/2})^{1/2} S^{-1/2}` [1]_; minus the conjugate of its
    potential at the targets is

    .. math::

        h_j = -\tfrac12 (y_j - m)^T A^{-1} (y_j - m) - \langle m_{src}, y_j - m\rangle .

    Parameters
    ----------
    source : Source
        Gives m_src and S.
    target : DiscreteMeasure
        Gives m and C, weighted by its masses; eigenvalues of C are floored at 1e-4 of the largest.

    Returns
    -------
    Tensor of shape (N,), float64
        Heights.

    References
    ----------
    .. [1] Knott and Smith. "On the optimal mapping of distributions." J. Optim. Theory Appl.
       43(1), 1984.
    """
    values, vectors = torch.linalg.eigh(target.covariance())
    floor = EIGENVALUE_FLOOR * max(float(values.max()), torch.finfo(torch.float64).tiny)
    root = _root_of_inverse_bures(source, values.clamp_min(floor), vectors)
    mean, heights = target.mean(), []
    for _, points in target.chunks():
        centred = points.sub_(mean)
        linear = centred @ source.mean
        heights.append(-0.5 * (centred @ root).square_().sum(dim=1) - linear)
    return torch.cat(heights).to(target.points.device)


def _root_of_inverse_bures(source: Source, values: Tensor, vectors: Tensor) -> Tensor:
    """Return R with R R^T the inverse of the Bures map to a covariance, given its eigenpairs.

    The inverse is the Bures map back, with source and target exchanged. Where the source's
    covariance is s^2 I it has the axes of the target's and the eigenvalues s / sqrt(value).
    """
    covariance = source.covariance
    variance = covariance[0, 0]
    if torch.equal(covariance, variance * torch.eye(source.dim, dtype=torch.float64)):
        return vectors * (variance / values) ** 0.25
    root = (vectors * values**0.5) @ vectors.T
    inverse = (vectors * values**-0.5) @ vectors.T
    middle, axes = torch.linalg.eigh(root @ covariance @ root)
    tiny = torch.finfo(torch.float64).tiny
    return inverse @ axes * middle.clamp_min(tiny) ** 0.25
