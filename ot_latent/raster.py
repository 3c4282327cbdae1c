"""Grids over a two-dimensional source: which cell each pixel lies in, where the map is torn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent._validation import check_array, check_positive

TEAR = 8.0  # codes this many times the median step between neighbouring cells apart: a tear
COARSE = 16  # pixels along the largest block that is filled from its corners
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class CellRaster:
    """Power cells of a two-dimensional source on a grid of pixels.

    Parameters
    ----------
    index : ndarray of shape (r, r), int
        Cell of each pixel's centre, the first row at the top; -1 outside the source.
    extent : tuple of float
        Left, right, bottom and top of the square.
    torn : ndarray of shape (r, r), bool
        Pixels at a boundary between cells of far-apart codes.
    """

    index: Array
    extent: tuple[float, float, float, float]
    torn: Array


def source_square(source: Any) -> tuple[Array, Array]:
    """Return the corners of a box that holds a two-dimensional source.

    Parameters
    ----------
    source : UniformBox, UniformBall or Gaussian
        Two-dimensional source; for a Gaussian the box reaches three standard deviations out.

    Returns
    -------
    low, high : ndarray of shape (2,)
        Corners.

    Raises
    ------
    ValueError
        If the source is not two-dimensional.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> source_square(UniformBox.unit(2))
    (array([0., 0.]), array([1., 1.]))
    """
    if source.dim != 2:
        raise ValueError(
            f"source must be two-dimensional for a picture of its cells, got dimension "
            f"{source.dim}; fit a model with latent_dim=2."
        )
    if hasattr(source, "low"):
        return np.asarray(source.low, np.float64), np.asarray(source.high, np.float64)
    if hasattr(source, "radius"):
        return np.full(2, -float(source.radius)), np.full(2, float(source.radius))
    reach = 3.0 * np.sqrt(np.diag(np.asarray(source.covariance)))
    return np.asarray(source.mean) - reach, np.asarray(source.mean) + reach


def pixel_centres(low: Array, high: Array, side: int) -> Array:
    """Return the centres of a side-by-side grid, the first at the top left, as a page is read.

    Parameters
    ----------
    low, high : ndarray of shape (2,)
        Corners.
    side : int
        Pixels along a side.

    Returns
    -------
    ndarray of shape (side * side, 2)
        Points, rows from the top down.

    Examples
    --------
    >>> pixel_centres(np.zeros(2), np.ones(2), 2)
    array([[0.25, 0.75],
           [0.75, 0.75],
           [0.25, 0.25],
           [0.75, 0.25]])
    """
    check_positive(side, "side", integer=True)
    step = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(low[0] + (high[0] - low[0]) * step, low[1] + (high[1] - low[1]) * step[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def noise_grid(source: Any, side: int) -> Array:
    """Return a regular grid of noise in which each point stands for the same mass.

    A mass-keeping map takes the centres of side-by-side equal squares to the source: shift and
    scale for a box, Shirley and Chiu's concentric map for a ball, quantiles for a Gaussian.

    Parameters
    ----------
    source : UniformBox, UniformBall or Gaussian
        Two-dimensional source.
    side : int
        Points along a side.

    Returns
    -------
    ndarray of shape (side * side, 2)
        Noise, rows from the top down.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> noise_grid(UniformBox([-1.0, 0.0], [1.0, 1.0]), 2)[0]
    array([-0.5 ,  0.75])
    """
    low, high = source_square(source)
    if hasattr(source, "low"):
        return pixel_centres(low, high, side)
    if not hasattr(source, "radius"):
        factor = np.linalg.cholesky(np.asarray(source.covariance, np.float64))
        return np.asarray(source.mean, np.float64) + _normal_grid(side) @ factor.T
    x, y = pixel_centres(low, high, side).T
    flat = np.abs(x) > np.abs(y)
    radius = np.where(flat, x, y)
    ratio = np.where(flat, y, x) / np.where(radius == 0, 1.0, radius)
    angle = np.where(flat, np.pi / 4 * ratio, np.pi / 2 - np.pi / 4 * ratio)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def gaussian_grid(codes: Any, side: int = 24) -> Array:
    r"""Send a regular grid of the unit square through the Gaussian with the codes' moments.

    The grid's points become standard normal quantiles z, then codes :math:`m + L z` with
    :math:`L L^\top` the covariance: what sampling from a Gaussian prior visits.

    Parameters
    ----------
    codes : array-like of shape (N, 2)
        Codes.
    side : int, default=24
        Points along a side.

    Returns
    -------
    ndarray of shape (side * side, 2)
        Codes, rows from the top down.
    """
    points = check_array(codes, "codes", ndim=2, min_rows=2).astype(np.float64)
    factor = np.linalg.cholesky(np.cov(points.T) + 1e-12 * np.eye(2))
    return points.mean(axis=0) + _normal_grid(side) @ factor.T


def _normal_grid(side: int) -> Array:
    """Return standard normal quantiles of the unit square's grid."""
    from scipy.special import ndtri

    return ndtri(pixel_centres(np.zeros(2), np.ones(2), side))


def cells_on_grid(potential: Any, low: Array, high: Array, side: int) -> Array:
    """Return the cell of each pixel of a square, asking only where boundaries are.

    Cells are convex: where the corners of a block lie in one cell, so does all of it. Blocks are
    halved from 16 pixels down, and only pixels of blocks with different corners are computed.

    Parameters
    ----------
    potential : BrenierPotential
        Potential over the plane.
    low, high : ndarray of shape (2,)
        Corners of the square.
    side : int
        Pixels along a side.

    Returns
    -------
    ndarray of shape (side, side), int
        Cells, the first row at the top.
    """
    import torch

    centres = pixel_centres(low, high, side).reshape(side, side, 2)
    points = potential.points
    index = np.full((side, side), -1)
    step = COARSE
    while step:
        lines = np.unique(np.r_[0:side:step, side - 1])
        open_ = np.argwhere(index[np.ix_(lines, lines)] < 0)
        rows, columns = lines[open_[:, 0]], lines[open_[:, 1]]
        x = torch.as_tensor(centres[rows, columns]).to(points)
        index[rows, columns] = potential.cell_index(x).cpu().numpy()
        if step > 1:
            _fill_pure_blocks(index, lines)
        step //= 2
    return index


def _fill_pure_blocks(index: Array, lines: Array) -> None:
    """Fill each block whose four corners lie in one cell."""
    corner = index[np.ix_(lines, lines)]
    first = corner[:-1, :-1]
    pure = (first == corner[1:, :-1]) & (first == corner[:-1, 1:]) & (first == corner[1:, 1:])
    for i, j in np.argwhere(pure):
        index[lines[i] : lines[i + 1] + 1, lines[j] : lines[j + 1] + 1] = first[i, j]


def rasterise_cells(
    potential: Any, source: Any, *, resolution: int = 600, tear: float = TEAR
) -> CellRaster:
    """Find the cell of every pixel of a two-dimensional source, and the torn boundaries.

    Parameters
    ----------
    potential : BrenierPotential
        Potential over the source's plane.
    source : Source
        Two-dimensional source.
    resolution : int, default=600
        Pixels along a side.
    tear : float, default=8
        A boundary is torn where the codes of its two cells lie more than `tear` times the median
        distance over all neighbouring cells apart. A heuristic, meant for the eye.

    Returns
    -------
    CellRaster
        Cells and tears.
    """
    low, high = source_square(source)
    index = cells_on_grid(potential, low, high, resolution)
    if hasattr(source, "radius"):
        centres = pixel_centres(low, high, resolution).reshape(resolution, resolution, 2)
        index = np.where((centres**2).sum(axis=2) <= float(source.radius) ** 2, index, -1)
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    return CellRaster(index, extent, _torn_pixels(index, potential.points.cpu().numpy(), tear))


def _torn_pixels(index: Array, points: Array, tear: float) -> Array:
    """Mark both pixels of each torn boundary between horizontal or vertical neighbours."""
    torn = np.zeros(index.shape, dtype=bool)
    sides = [(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])]
    gaps = []
    for first, second in sides:
        a, b = index[first], index[second]
        change = (a != b) & (a >= 0) & (b >= 0)
        gaps.append(np.where(change, np.linalg.norm(points[a] - points[b], axis=-1), 0.0))
    steps = np.concatenate([gap[gap > 0] for gap in gaps])
    if steps.size == 0:
        return torn
    limit = tear * float(np.median(steps))
    for gap, (first, second) in zip(gaps, sides, strict=True):
        torn[first] |= gap > limit
        torn[second] |= gap > limit
    return torn
