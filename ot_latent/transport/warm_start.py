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
    return -0.5 * target.points.double().square().sum(dim=1)


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
    weights = target.weights.cpu()
    points = target.points.detach().cpu().double()
    mean = weights @ points
    centred = points - mean
    values, vectors = torch.linalg.eigh(target.covariance())
    floor = EIGENVALUE_FLOOR * max(float(values.max()), torch.finfo(torch.float64).tiny)
    values = values.clamp_min(floor)
    variances = source.covariance.diagonal()
    if torch.equal(source.covariance, variances[0] * torch.eye(target.dim, dtype=torch.float64)):
        root = variances[0].sqrt() / values.sqrt()  # A^-1 = S^(1/2) C^(-1/2), in C's axes
        norms = ((centred @ vectors).square() * root).sum(dim=1)
    else:
        covariance = (vectors * values) @ vectors.T
        inverse = _inverse_bures(source.covariance, covariance)
        norms = ((centred @ inverse) * centred).sum(dim=1)
    heights = -0.5 * norms - centred @ source.mean
    return heights.to(target.points.device)


def _inverse_bures(source: Tensor, target: Tensor) -> Tensor:
    """Return the inverse of the Bures map between two covariances.

    It is the Bures map back, with source and target exchanged.
    """
    root = _power(target, 0.5)
    inverse = _power(target, -0.5)
    return inverse @ _power(root @ source @ root, 0.5) @ inverse


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    tiny = torch.finfo(matrix.dtype).tiny
    return (vectors * values.clamp_min(tiny) ** exponent) @ vectors.T
