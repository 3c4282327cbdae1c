"""Whether a network encodes a manifold: whether it is injective on it, and where it folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ot_latent._validation import DataError, check_array
from ot_latent.theory.networks import Network
from ot_latent.theory.rectified_linear.curves import curve_complexity
from ot_latent.theory.rectified_linear.lines import PathPieces, path_regions
from ot_latent.theory.rectified_linear.pushing import as_network
from ot_latent.theory.rectified_linear.segments import closest_approach, crosses_itself

FLAT = 1e-12  # of the steepest slope: a part that is mapped to a point


@dataclass(frozen=True)
class CurveEncoding:
    """What a network makes of a curve."""

    injective: bool
    """Whether it maps distinct points of the polyline to distinct points (exact, to rounding)."""
    folds: np.ndarray
    """Input points where the image turns back or stands still, (folds, d)."""
    pieces: int
    """How many linear pieces the curve runs through (exact)."""
    demanded: int
    """How many it must run through if a function to the line is to be injective (exact)."""
    separation: float
    """Least distance of the images of parts that do not touch, over the image's length; outputs of
    at least two dimensions (NaN for one)."""
    path: PathPieces
    """The parts of the curve."""


@dataclass(frozen=True)
class SurfaceEncoding:
    """What a network to the plane makes of a sampled surface."""

    injective: bool
    """Whether the triangulated samples are mapped one to one: no triangle is turned over or flat,
    and the border's image does not cross itself. Exact for the triangulation of the samples; what
    the network does between them is not seen."""
    folded: np.ndarray
    """Which squares of the grid have a triangle that is turned over or flat, (rows - 1, cols - 1)."""
    folded_share: float
    """Share of triangles that are turned over or flat."""


def encodes(
    model: nn.Module | Network, manifold: Any, *, closed: bool = False
) -> CurveEncoding | SurfaceEncoding:
    """Say whether a network is injective on a curve or a surface, and where it folds.

    On a polyline the network is cut into its exact pieces. To the line it is injective if and only
    if all slopes have one sign; into more dimensions, if no two parts of the image meet. On a grid
    of samples of a surface, mapped to the plane, triangles are compared in orientation: if all are
    turned the same way and the image of the border does not cross itself, the mapping degree of
    every point is 0 or 1, so that the map of the triangulated samples is one to one.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network, such as an encoder.
    manifold : array-like of shape (m, d) or (rows, cols, d)
        Corners of a polyline, or a grid of samples of a surface.
    closed : bool, default=False
        Whether the polyline returns from its last corner to its first.

    Returns
    -------
    CurveEncoding or SurfaceEncoding
        The diagnosis.

    Raises
    ------
    ValueError
        If the network is not piecewise linear or takes other points.
    DataError
        If the manifold has another rank, or a surface is not mapped to the plane.

    Examples
    --------
    >>> from ot_latent.theory.networks import read_network
    >>> half = read_network(nn.ReLU(), (1,))
    >>> encodes(half, [[0.0], [1.0]]).injective, encodes(half, [[-1.0], [1.0]]).injective
    (True, False)
    """
    points = check_array(manifold, "manifold").astype(np.float64)
    if points.ndim == 2:
        return _curve(model, np.vstack([points, points[:1]]) if closed else points, closed)
    if points.ndim != 3 or min(points.shape[:2]) < 2:
        raise DataError(
            f"manifold must be a polyline (m, d) or a grid (rows, cols, d), got shape "
            f"{points.shape}; pass samples in order."
        )
    return _surface(as_network(model, points.shape[2]), points)


def _curve(model: nn.Module | Network, points: np.ndarray, closed: bool) -> CurveEncoding:
    """Judge a polyline."""
    path = path_regions(model, points)
    image = path.values()
    steps = np.diff(image, axis=0)
    lengths = np.linalg.norm(path.slopes, axis=1)
    still = lengths <= FLAT * lengths.max()
    back = (steps[1:] * steps[:-1]).sum(axis=1) < 0
    back &= np.abs(_areas(steps[:-1], steps[1:])) <= FLAT * lengths.max() ** 2
    turns = np.append(False, back & ~still[1:] & ~still[:-1])
    if steps.shape[1] > 1:
        apart = closest_approach(image, closed) / max(float(path.length), np.finfo(float).tiny)
        injective = not (still | turns).any() and apart > FLAT
    else:
        apart, injective = float("nan"), not (still | turns).any() and not closed
    return CurveEncoding(
        injective=bool(injective),
        folds=path.points()[:-1][still | turns],
        pieces=path.n_pieces,
        demanded=curve_complexity(points).value,
        separation=apart,
        path=path,
    )


def _areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the areas of parallelograms, as the root of Gram's determinant."""
    gram = (a * a).sum(axis=1) * (b * b).sum(axis=1) - (a * b).sum(axis=1) ** 2
    return np.sqrt(np.maximum(gram, 0.0))


def _surface(network: Network, points: np.ndarray) -> SurfaceEncoding:
    """Judge a grid of samples that is mapped to the plane."""
    rows, cols = points.shape[:2]
    image = network(points.reshape(-1, *network.input_shape)).flatten(1).numpy()
    if image.shape[1] != 2:
        raise DataError(
            f"network must map a surface to the plane, got {image.shape[1]} outputs; pass an "
            "encoder with two."
        )
    grid = image.reshape(rows, cols, 2)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]
    areas = np.stack([_signed(b - a, c - a), _signed(c - d, b - d)])
    way = np.sign(areas.sum()) or 1.0
    folded = way * areas <= FLAT * np.abs(areas).max()
    border = np.concatenate([grid[0, :-1], grid[:-1, -1], grid[-1, :0:-1], grid[:0:-1, 0]])
    injective = not folded.any() and not crosses_itself(border)
    return SurfaceEncoding(injective, folded.any(axis=0), float(folded.mean()))


def _signed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return signed areas of parallelograms in the plane."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
