"""All activation cells of a small network in a box, in any (small) dimension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.theory.networks import Network
from ot_latent.theory.rectified_linear.merging import merge
from ot_latent.theory.rectified_linear.polytopes import Polytope, Polytopes
from ot_latent.theory.rectified_linear.pushing import as_network, push

MOST_DIMENSIONS = 10
GROUP = 32  # cells pushed on together: few, so that the first ones come soon


@dataclass(frozen=True)
class BoxRegion:
    """One activation cell of a network in a box."""

    pattern: np.ndarray
    """Which units are positive on it, layer after layer, (units,)."""
    corners: np.ndarray
    """Its corners, (v, d)."""
    halfspaces: np.ndarray
    """Its facets: ``halfspaces[:, :-1] @ x + halfspaces[:, -1] <= 0`` inside."""
    facet_centres: np.ndarray
    """The mean corner of each facet, (facets, d)."""
    linear: np.ndarray
    """The affine map on it: ``f(x) = linear @ x + offset``, (out, d)."""
    offset: np.ndarray
    """Its constant, (out,)."""

    @property
    def interior_point(self) -> np.ndarray:
        """A point inside: the mean of the corners, (d,)."""
        return self.corners.mean(axis=0)


def enumerate_regions(
    model: nn.Module | Network, box: Any = 1.0, *, max_regions: int | None = None
) -> Iterator[BoxRegion]:
    """Return an iterator over the activation cells of a network in a box, depth first. Exact.

    Every cell is kept by corners and facets (the double description) and cut by the units of the
    next layer; no linear programmes are solved. Meant for few inputs: the number of corners grows
    quickly with the dimension.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network; see `ot_latent.theory.networks.read_network`.
    box : float or array-like of shape (2, d), default=1.0
        The cube [-box, box]^d, or the least and the greatest corner.
    max_regions : int, optional
        Stop after so many.

    Returns
    -------
    iterator of BoxRegion
        Cells, those of one cell of an earlier layer one after the other.

    Raises
    ------
    ValueError
        If the network is not piecewise linear or has more than 10 inputs.
    DataError
        If the box is empty.

    Examples
    --------
    >>> layer = nn.Linear(3, 3)
    >>> _ = layer.weight.data.copy_(torch.eye(3)), layer.bias.data.zero_()
    >>> cells = list(enumerate_regions(nn.Sequential(layer, nn.ReLU())))
    >>> len(cells), cells[0].corners.shape
    (8, (8, 3))
    """
    network = as_network(model)
    size = int(np.prod(network.input_shape, dtype=int))
    if size > MOST_DIMENSIONS:
        raise ValueError(
            f"network must have at most {MOST_DIMENSIONS} inputs to be enumerated, got {size}; use "
            "slice_regions or line_regions."
        )
    if max_regions is not None:
        check_positive(max_regions, "max_regions", integer=True)
    whole = Polytope.box(*_ends(box, size))
    start = torch.eye(size + 1, dtype=torch.float64)[:, :size]
    start = start.reshape(1, size + 1, *network.input_shape)
    fronts = push(network, Polytopes([whole]), start, GROUP)
    return islice(_regions(fronts, len(network.layers)), max_regions)


def _ends(box: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest corner of a box."""
    if np.ndim(box) == 0:
        check_positive(box, "box")
        return np.full(size, -float(box)), np.full(size, float(box))
    low, high = check_array(box, "box", ndim=2, min_rows=2).astype(np.float64)
    if len(low) != size or not (low < high).all():
        raise DataError(
            f"box must be a least and a greatest corner with {size} coordinates, got {low} and "
            f"{high}; pass [low, high]."
        )
    return low, high


def _regions(fronts: Iterator[Any], end: int) -> Iterator[BoxRegion]:
    """Yield the cells of all fronts."""
    for front in fronts:
        maps = front.values[end].flatten(2).numpy()
        none = torch.zeros((len(maps), 0), dtype=torch.bool)
        patterns = torch.cat([none, *front.patterns], dim=1).numpy()
        for part, pattern, own in zip(front.domain.parts, patterns, maps, strict=True):
            centres = part.facet_centres()
            yield BoxRegion(pattern, part.corners, part.halfspaces, centres, own[:-1].T, own[-1])


def linear_pieces(regions: Any) -> list[np.ndarray]:
    """Join cells that touch along a facet and have the same affine map.

    Parameters
    ----------
    regions : iterable of BoxRegion
        All cells of a box.

    Returns
    -------
    list of numpy.ndarray
        For each maximal linear piece the numbers of its cells.

    Raises
    ------
    DataError
        If there are no cells.

    Examples
    --------
    >>> layer = nn.Linear(1, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0], [2.0]]))
    >>> last = nn.Linear(2, 1, bias=False)
    >>> _ = last.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
    >>> cells = list(enumerate_regions(nn.Sequential(layer, nn.ReLU(), last)))
    >>> len(cells), len(linear_pieces(cells))  # 2 relu(x) - relu(2x) = 0 everywhere
    (2, 1)
    """
    cells = list(regions)
    if not cells:
        raise DataError("regions must hold at least one cell, got none; enumerate them first.")
    centres = np.concatenate([cell.facet_centres for cell in cells])
    owners = np.repeat(np.arange(len(cells)), [len(cell.facet_centres) for cell in cells])
    maps = np.stack([np.column_stack([cell.linear, cell.offset]) for cell in cells])
    labels = merge(centres, owners, maps)
    return [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
