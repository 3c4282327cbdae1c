"""Exact two-dimensional slices of a network: activation cells as polygons, with their affine maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from ot_latent._validation import DataError, check_array
from ot_latent.theory.networks import Network
from ot_latent.theory.rectified_linear.merging import merge
from ot_latent.theory.rectified_linear.polygons import Polygons
from ot_latent.theory.rectified_linear.pushing import as_network, push

UNIT_SQUARE = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True)
class SliceRegion:
    """One activation cell of a slice ``x = origin + u basis``."""

    polygon: np.ndarray
    """Corners (v, 2) in slice coordinates, in order."""
    pattern: np.ndarray
    """Which units are positive on it, layer after layer, (units,)."""
    linear: np.ndarray
    """The affine map in slice coordinates: ``f = linear @ u + offset``, (out, 2)."""
    offset: np.ndarray
    """Its constant, (out,)."""


@dataclass(frozen=True)
class SliceRegions(Sequence[SliceRegion]):
    """The activation cells of a slice: a sequence of `SliceRegion`, held as arrays."""

    origin: np.ndarray
    """Where u = 0 lies in the input space, (d,)."""
    basis: np.ndarray
    """The two directions of the slice, (2, d)."""
    corners: np.ndarray
    """Corners of all cells in slice coordinates, cell after cell, (corners, 2)."""
    offsets: np.ndarray
    """Where each cell begins in `corners`, (cells + 1,)."""
    patterns: np.ndarray
    """Which units are positive on each cell, (cells, units)."""
    maps: np.ndarray
    """The affine map on each cell: two slopes and the constant, (cells, 3, out)."""

    def __len__(self) -> int:
        """Return the number of activation cells (exact)."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> SliceRegion: ...

    @overload
    def __getitem__(self, index: slice) -> list[SliceRegion]: ...

    def __getitem__(self, index: int | slice) -> SliceRegion | list[SliceRegion]:
        """Return one cell, or a list of some."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        i = range(len(self))[index]
        polygon = self.corners[self.offsets[i] : self.offsets[i + 1]]
        return SliceRegion(polygon, self.patterns[i], self.maps[i, :2].T, self.maps[i, 2])

    def __iter__(self) -> Iterator[SliceRegion]:
        """Yield the cells one by one."""
        return (self[i] for i in range(len(self)))

    @cached_property
    def areas(self) -> np.ndarray:
        """Area of each cell in slice coordinates; they add up to that of the domain."""
        return Polygons(self.corners, self.offsets, 0.0).areas

    @cached_property
    def owners(self) -> np.ndarray:
        """The cell of each row of `corners`."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def edges(self) -> np.ndarray:
        """Both ends of the edge that starts at each row of `corners`, (corners, 2, 2)."""
        following = np.arange(1, len(self.corners) + 1)
        following[self.offsets[1:] - 1] = self.offsets[:-1]
        return np.stack([self.corners, self.corners[following]], axis=1)

    @cached_property
    def labels(self) -> np.ndarray:
        """Number of the linear piece of each cell, (cells,)."""
        return merge(self.edges.mean(axis=1), self.owners, self.maps)

    def linear_pieces(self) -> list[np.ndarray]:
        """Join the cells that touch along an edge and have the same affine map.

        Returns
        -------
        list of numpy.ndarray
            For each maximal linear piece of the slice the numbers of its cells. Maps are the same
            if they differ by less than 1e-9 of the larger; all else is exact.
        """
        order = np.argsort(self.labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)

    def embed(self, u: Any) -> np.ndarray:
        """Return the points of the input space at given slice coordinates.

        Parameters
        ----------
        u : array-like of shape (..., 2)
            Slice coordinates.

        Returns
        -------
        numpy.ndarray of shape (..., d)
            ``origin + u basis``.
        """
        return self.origin + np.asarray(u, dtype=np.float64) @ self.basis

    def images(self) -> np.ndarray:
        """Return what the network makes of the corners of all cells.

        Returns
        -------
        numpy.ndarray of shape (corners, out)
            Flattened outputs.
        """
        maps = self.maps[self.owners]
        turned = (self.corners[:, :, None] * maps[:, :2]).sum(axis=1)
        return turned + maps[:, 2]


def slice_regions(
    model: nn.Module | Network, origin: Any = None, basis: Any = None, polygon: Any = None
) -> SliceRegions:
    """Cut a plane of the input space into the activation cells of a network. Exact.

    Convex polygons are pushed through the network; each unit cuts those on which it changes its
    sign. All polygons of a layer are cut in one compiled pass, in float64; values below 64
    roundings of their own terms count as zero, so that lines of equal units are cut once.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network; see `ot_latent.theory.networks.read_network`.
    origin : array-like of shape (d,), optional
        A point of the plane. Default: zero.
    basis : array-like of shape (2, d), optional
        Two directions. Default, in two dimensions: the axes.
    polygon : array-like of shape (v, 2), optional
        Corners, in order, of the convex domain in slice coordinates. Default: the square [-1, 1]^2.

    Returns
    -------
    SliceRegions
        The cells; ``len()`` counts them, ``.linear_pieces()`` joins those with equal maps.

    Raises
    ------
    ValueError
        If the network is not piecewise linear or takes other points.
    DataError
        If the plane or the polygon is degenerate, or the polygon is not convex.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.eye(2)), layer.bias.data.zero_()
    >>> cells = slice_regions(nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 1)))
    >>> len(cells), cells.areas.tolist()
    (4, [1.0, 1.0, 1.0, 1.0])
    """
    network = as_network(model)
    origin, basis = _plane(int(np.prod(network.input_shape, dtype=int)), origin, basis)
    as_network(network, len(origin))
    corners = _convex(UNIT_SQUARE if polygon is None else polygon)
    plane = torch.from_numpy(np.concatenate([basis, origin[None]]))
    start = plane.reshape(1, 3, *network.input_shape)
    whole = Polygons(corners, np.array([0, len(corners)]), float(np.abs(corners).max()))
    fronts = list(push(network, whole, start))
    end, sizes = len(network.layers), [np.diff(f.domain.offsets) for f in fronts]
    patterns = [
        np.concatenate([np.zeros((len(f.domain), 0), bool), *(p.numpy() for p in f.patterns)], 1)
        for f in fronts
    ]
    return SliceRegions(
        origin=origin,
        basis=basis,
        corners=np.concatenate([f.domain.corners for f in fronts]),
        offsets=np.append(0, np.cumsum(np.concatenate(sizes))),
        patterns=np.concatenate(patterns),
        maps=np.concatenate([f.values[end].reshape(len(f.domain), 3, -1).numpy() for f in fronts]),
    )


def _plane(size: int, origin: Any, basis: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return origin and basis of a plane in a space of `size` dimensions, checked."""
    origin = np.zeros(size) if origin is None else np.ravel(check_array(origin, "origin"))
    if basis is None and len(origin) != 2:
        raise DataError(
            f"basis must be given in {len(origin)} dimensions, got None; pass two directions as "
            "rows."
        )
    basis = np.eye(2) if basis is None else check_array(basis, "basis", ndim=2)
    if basis.shape != (2, len(origin)) or np.linalg.matrix_rank(basis) < 2:
        raise DataError(
            f"basis must be 2 independent rows of {len(origin)} numbers, got shape {basis.shape} "
            f"of rank {np.linalg.matrix_rank(basis)}; pass two directions of the input space."
        )
    return origin.astype(np.float64), basis.astype(np.float64)


def _convex(polygon: Any) -> np.ndarray:
    """Return the corners of a convex polygon, counter-clockwise."""
    corners = check_array(polygon, "polygon", ndim=2).astype(np.float64)
    steps = np.roll(corners, -1, axis=0) - corners if corners.shape[1] == 2 else np.zeros((1, 2))
    following = np.roll(steps, -1, axis=0)
    turns = steps[:, 0] * following[:, 1] - steps[:, 1] * following[:, 0]
    around = np.abs(np.angle((steps @ [1, 1j]).conj() * (following @ [1, 1j]))).sum()
    one_way = (turns > 0).all() or (turns < 0).all()
    if len(corners) < 3 or not one_way or around > 2 * np.pi + 1e-6:
        raise DataError(
            f"polygon must be convex with at least 3 corners in order, got shape {corners.shape} "
            f"with {int((turns > 0).sum())} left and {int((turns < 0).sum())} right turns; pass "
            "the corners of a convex polygon."
        )
    return corners if turns[0] > 0 else corners[::-1].copy()
