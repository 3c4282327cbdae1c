r"""Starting heights that leave no cell empty: minus a strictly convex function of the targets.

If :math:`\varphi` is strictly convex and its gradient at every target lies in the domain, the
heights :math:`h_j = -\varphi(y_j)` give target j a cell around the point
:math:`\nabla\varphi(y_j)`: there, by convexity, no other target scores higher. The start is good
where these points fill the domain evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ot_latent.transport.domains import GridDensity, half_spaces
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Source

INSIDE = 0.98  # of the way to the domain's boundary may images of targets lie
EIGENVALUE_FLOOR = 1e-4  # share of the largest; flat directions would be infinitely narrow
AFFINE_SHARE = 0.2  # the rest is the separable part; both alone fail on some cloud of targets


def convex_start(source: Source, target: DiscreteMeasure) -> tuple[np.ndarray, np.ndarray]:
    r"""Return heights under which no cell is empty, and a point of every cell.

    A weighted mean of two convex functions: the quadratic one whose gradient is the affine map
    between the moments of targets and source, scaled down until it stays in the domain, and the
    separable one whose gradient moves every coordinate to its quantile on a box in the domain.

    Parameters
    ----------
    source : Source
        A source whose domain is a polytope (`domains.half_spaces`).
    target : DiscreteMeasure
        Targets and masses.

    Returns
    -------
    heights : ndarray of shape (N,)
        Heights.
    inner : ndarray of shape (N, d)
        A point inside every cell.
    """
    affine, separable = affine_start(source, target), quantile_start(source, target)
    heights, inner = (
        AFFINE_SHARE * a + (1 - AFFINE_SHARE) * b for a, b in zip(affine, separable, strict=True)
    )
    return heights, inner


def affine_start(source: Source, target: DiscreteMeasure) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the start of the affine map :math:`y' = m_{src} + s A^{-1}(y - m)`.

    A is the map of `warm_start.gaussian_heights`, s the largest scale for which all images lie
    in the domain, a little reduced. The heights
    :math:`h_j = -\tfrac{1}{2s}\langle y'_j, A y'_j\rangle` make the cells the Voronoi cells of the
    images in the metric A.

    Parameters
    ----------
    source, target
        As in `convex_start`.

    Returns
    -------
    heights, inner
        As in `convex_start`.
    """
    points, weights = target.points.detach().cpu().double().numpy(), target.weights.cpu().numpy()
    centred = points - weights @ points
    inverse = _moment_map((centred.T * weights) @ centred, source.covariance.numpy())
    moved = centred @ inverse
    scale = INSIDE * _reach(source, moved)
    image = source.mean.numpy() + scale * moved
    return -0.5 * ((image @ np.linalg.inv(inverse)) * image).sum(axis=1) / scale, image


def _moment_map(covariance: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the symmetric positive definite map between Gaussians of two covariances.

    Flat directions of the first are widened to `EIGENVALUE_FLOOR` of the largest.
    """
    values, vectors = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(values, EIGENVALUE_FLOOR * max(values.max(), 1e-300)))
    root, back = (vectors * spread) @ vectors.T, (vectors / spread) @ vectors.T
    values, vectors = np.linalg.eigh(root @ goal @ root)
    return back @ (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T @ back


def quantile_start(source: Source, target: DiscreteMeasure) -> tuple[np.ndarray, np.ndarray]:
    """Return the start whose points are the quantiles of the targets, coordinate by coordinate.

    Parameters
    ----------
    source, target
        As in `convex_start`.

    Returns
    -------
    heights, inner
        As in `convex_start`.
    """
    points, weights = target.points.detach().cpu().double().numpy(), target.weights.cpu().numpy()
    low, high = _inner_box(source)
    heights, inner = np.zeros(len(points)), np.empty(points.shape)
    for i in range(points.shape[1]):
        values, which = np.unique(points[:, i], return_inverse=True)
        mass = np.bincount(which, weights)
        slope = low[i] + (high[i] - low[i]) * (np.cumsum(mass) - mass / 2) / mass.sum()
        rises = np.diff(values) * (slope[1:] + slope[:-1]) / 2  # the integral of a broken line
        heights -= np.concatenate([[0.0], np.cumsum(rises)])[which]
        inner[:, i] = slope[which]
    return heights, inner


def softened(source: Source) -> Iterator[GridDensity]:
    r"""Yield powers of a density on pixels, of rising contrast, each twice that of the one before.

    A cell that crosses the edge of a black part of a picture changes its mass by the factor of the
    jump, which no linear step foresees. So the jumps are raised one factor of two at a time.

    Parameters
    ----------
    source : Source
        Any source; only a `GridDensity` of a contrast above two has softer ones.

    Yields
    ------
    GridDensity
        :math:`\rho^{k/K}` for k = 1 ... K - 1, of at most twice the contrast of the one before.
    """
    if not isinstance(source, GridDensity):
        return
    contrast = float(source.values.max() / source.values.min())
    stages = math.ceil(math.log2(contrast))
    for stage in range(1, stages):
        values = source.values ** (stage / stages)
        yield GridDensity(values, source.low, source.high, floor=0.5 / contrast)


def _reach(source: Source, steps: np.ndarray) -> float:
    """Return the largest s for which the source's mean plus s times every step is in the domain."""
    normals, offsets = half_spaces(source)
    outward = (steps @ normals.T).max(axis=0)
    room = offsets - normals @ source.mean.numpy()
    return float((room / np.maximum(outward, 1e-300)).min())


def _inner_box(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return a box in the domain, of the proportions of the source's deviations: itself, if it is one."""
    mean, half = source.mean.numpy(), np.sqrt(np.diag(source.covariance.numpy()))
    normals, offsets = half_spaces(source)
    if len(normals) == 2 * source.dim and np.array_equal(
        np.abs(normals).sum(axis=1), np.ones(len(normals))
    ):
        return -offsets[source.dim :], offsets[: source.dim]
    signs = np.stack(np.meshgrid(*([[-1, 1]] * source.dim), indexing="ij"), axis=-1)
    scale = _reach(source, signs.reshape(-1, source.dim) * half)
    return mean - scale * half, mean + scale * half
