"""A warm start for the sampled solver in the plane: few clusters first, their codes after.

In two dimensions a diagonal step moves mass between neighbouring cells only, so errors on the
scale of the whole square decay slowly. They are small from the start where each level begins
from the heights of a coarser one.
"""

from __future__ import annotations

import numpy as np
import torch

from ot_latent.kernels.dispatch import nearest
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton

SMALLEST = 60  # targets that are solved without a coarser level
FACTOR = 4  # codes per cluster
DRAWS = 1500  # per cluster of a coarse level
Tensor = torch.Tensor


def heights_by_levels(
    source: UniformBox, target: DiscreteMeasure, *, seed: int = 0
) -> Tensor | None:
    """Return starting heights from solving clusters of the targets first.

    Parameters
    ----------
    source : UniformBox
        Two-dimensional source.
    target : DiscreteMeasure
        Points in the plane and their masses; the first rows must be a fair sample of all.
    seed : int, default=0
        Seed of the coarse solves.

    Returns
    -------
    Tensor of shape (N,), float64, or None
        Heights; None for few targets, which need no such start.
    """
    if len(target) <= SMALLEST:
        return None
    points, weights = target.points.double(), target.weights.double()
    centres, member = clusters(points, weights, len(points) // FACTOR)
    masses = torch.zeros(len(centres), dtype=torch.float64).index_add_(0, member, weights)
    coarse = DiscreteMeasure(centres.to(target.points), masses)
    solver = StochasticNewton(
        tolerance=0.03, seed=seed, max_samples=max(DRAWS * len(centres), 200_000)
    )
    start = heights_by_levels(source, coarse, seed=seed)
    solution = solver.solve(source, coarse, initial_heights=start)
    return refined(solution, source, points, member, masses)


def clusters(points: Tensor, weights: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Group points around the first `n` of them; return the groups' means and each point's group.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Points.
    weights : Tensor of shape (N,)
        Their masses.
    n : int
        Number of groups.

    Returns
    -------
    centres : Tensor of shape (n, d)
        Weighted means.
    member : Tensor of shape (N,)
        Group of each point; none is empty.
    """
    member = nearest(points, points[:n])[1][:, 0]
    masses = torch.zeros(n, dtype=points.dtype).index_add_(0, member, weights)
    sums = torch.zeros_like(points[:n]).index_add_(0, member, weights[:, None] * points)
    return sums / masses[:, None], member


def refined(
    solution: SemiDiscreteSolution,
    source: UniformBox,
    points: Tensor,
    member: Tensor,
    masses: Tensor,
) -> Tensor:
    r"""Return heights of points from those of their clusters.

    Heights are values of minus the conjugate potential, whose gradient at a cluster's mean y is the
    centroid c of its cell, and whose curvature is that of the map from a square of the cell's area
    to the cluster's covariance C:
    :math:`h(y + z) = h - \langle c, z\rangle - \tfrac12 s\, z^T C^{-1/2} z`, s the square's standard
    deviation per coordinate.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        Solution of the clusters.
    source : UniformBox
        Two-dimensional source.
    points : Tensor of shape (N, 2)
        Points.
    member : Tensor of shape (N,)
        Cluster of each.
    masses : Tensor of shape (n,)
        Mass of each cluster.

    Returns
    -------
    Tensor of shape (N,), float64
        Heights.
    """
    u, centroids = solution.potential, solution.centroids.double()  # type: ignore[union-attr]
    offset = points - u.points.double()[member]
    outer = offset[:, :, None] * offset[:, None, :]
    count = torch.bincount(member, minlength=len(masses)).double()
    covariance = torch.zeros(len(masses), 2, 2, dtype=torch.float64).index_add_(0, member, outer)
    covariance /= count[:, None, None]
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp(min=0.05 * float(values[:, 1].median()) + 1e-12)
    low, high = np.asarray(source.low, np.float64), np.asarray(source.high, np.float64)
    side = (masses * float(np.prod(high - low)) / 12).sqrt()
    local = torch.einsum("nij,ni->nj", vectors[member], offset)
    bend = side[member] * (local**2 / values[member].sqrt()).sum(dim=1)
    slope = (centroids[member] * offset).sum(dim=1)
    return u.heights.double()[member] - slope - bend / 2
