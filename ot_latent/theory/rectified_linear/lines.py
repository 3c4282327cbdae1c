"""The exact pieces of a network along segments and polylines: breakpoints, patterns, slopes, length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ot_latent._validation import DataError, check_array
from ot_latent.theory.networks import Network
from ot_latent.theory.rectified_linear.intervals import Intervals
from ot_latent.theory.rectified_linear.pushing import as_network, push

SAME_MAP = 1e-9
"""Two affine maps are the same if they differ by less than this share of the larger."""


@dataclass(frozen=True)
class PathPieces:
    """A path cut where it enters another activation cell; the network is affine on each part.

    Parts are numbered along the path. On part i the path is ``vertices[segment[i]] + t (difference
    to the next vertex)`` for t in ``[low[i], high[i]]``, and the network is
    ``slopes[i] t + constants[i]``.
    """

    vertices: np.ndarray
    """The corners of the path, (m, d)."""
    segment: np.ndarray
    """Which segment of the path each part lies on."""
    low: np.ndarray
    """Where each part starts on its segment, in [0, 1]."""
    high: np.ndarray
    """Where each part ends on its segment, in [0, 1]."""
    slopes: np.ndarray
    """Derivative of the flattened output by t on each part, (parts, out)."""
    constants: np.ndarray
    """Value of the flattened output at t = 0 of each part's affine map, (parts, out)."""
    patterns: np.ndarray
    """Which units are positive on each part, (parts, units), in bits packed by `numpy.packbits`."""
    units: int
    """Number of units of the network."""

    def __len__(self) -> int:
        """Return the number of parts: cuts at cells and at corners of the path."""
        return len(self.low)

    @cached_property
    def enters(self) -> np.ndarray:
        """Whether each part lies in another activation cell than the part before; first: True."""
        changed = (self.patterns[1:] != self.patterns[:-1]).any(axis=1)
        return np.append(True, changed)

    @property
    def n_cells(self) -> int:
        """How many activation cells the path runs through, one after the other (exact)."""
        return int(self.enters.sum())

    @cached_property
    def bends(self) -> np.ndarray:
        """Whether the network's affine map changes where each part starts; first: True.

        Within a segment it does if the slope differs; at a corner of the path if the cell does.
        """
        gap = np.abs(self.slopes[1:] - self.slopes[:-1]).max(axis=1, initial=0.0)
        size = np.abs(self.slopes).max(axis=1, initial=0.0)
        differs = gap > SAME_MAP * np.maximum(size[1:], size[:-1])
        corner = self.segment[1:] != self.segment[:-1]
        return np.append(True, self.enters[1:] & (corner | differs))

    @property
    def n_pieces(self) -> int:
        """How many linear pieces the path runs through: cells with equal slopes are joined."""
        return int(self.bends.sum())

    @property
    def breakpoints(self) -> np.ndarray:
        """Where the path enters another cell: segment plus place on it, (n_cells - 1,)."""
        inside = np.flatnonzero(self.enters)[1:]
        return self.segment[inside] + self.low[inside]

    @property
    def length(self) -> float:
        """Length of the image of the path in the output space (exact)."""
        return float(np.linalg.norm(self.slopes, axis=1) @ (self.high - self.low))

    @property
    def path_length(self) -> float:
        """Length of the path itself."""
        return float(np.linalg.norm(np.diff(self.vertices, axis=0), axis=1).sum())

    def points(self) -> np.ndarray:
        """Return where the parts start, and where the last one ends.

        Returns
        -------
        numpy.ndarray of shape (parts + 1, d)
            Points of the input space, along the path.
        """
        steps = np.diff(self.vertices, axis=0)
        at = self.vertices[self.segment] + self.low[:, None] * steps[self.segment]
        return np.vstack([at, self.vertices[-1:]])

    def values(self) -> np.ndarray:
        """Return the network's output at `points`.

        Returns
        -------
        numpy.ndarray of shape (parts + 1, out)
            Flattened outputs.
        """
        start = self.slopes * self.low[:, None] + self.constants
        end = self.slopes[-1:] * self.high[-1] + self.constants[-1:]
        return np.vstack([start, end])

    def pattern(self, part: int) -> np.ndarray:
        """Return which units are positive on one part.

        Parameters
        ----------
        part : int
            Number of the part.

        Returns
        -------
        numpy.ndarray of shape (units,)
            Booleans, layer after layer.
        """
        return np.unpackbits(self.patterns[part], count=self.units).astype(bool)


def path_regions(model: nn.Module | Network, path: Any) -> PathPieces:
    """Cut a polyline where it crosses the boundaries of a network's activation cells. Exact.

    The network's values are carried along as affine functions of the place on the segment, in
    float64, and every zero of a unit becomes a breakpoint: the method of ExactLine (Sotoudeh and
    Thakur, 2019) with slopes and constants in place of values at the ends. Exact up to rounding:
    breakpoints closer than about 1e-14 of a segment are one.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network; see `ot_latent.theory.networks.read_network`.
    path : array-like of shape (m, d)
        Corners of the path in the (flattened) input space, m >= 2.

    Returns
    -------
    PathPieces
        The parts of the path.

    Raises
    ------
    ValueError
        If the network is not piecewise linear or takes other points.
    DataError
        If the path has fewer than two corners.

    Examples
    --------
    >>> class Twice(nn.Module):
    ...     def forward(self, x):
    ...         return torch.relu(x) - torch.relu(x)
    >>> from ot_latent.theory.networks import read_network
    >>> parts = path_regions(read_network(Twice(), (1,)), [[-1.0], [1.0]])
    >>> parts.n_cells, parts.n_pieces  # two cells, on which the network is the same affine map
    (2, 1)
    """
    corners = check_array(path, "path", ndim=2).astype(np.float64)
    if len(corners) < 2:
        raise DataError(f"path must have at least 2 corners, got {len(corners)}; pass its ends.")
    network = as_network(model, corners.shape[1])
    count = len(corners) - 1
    lines = torch.from_numpy(np.stack([np.diff(corners, axis=0), corners[:-1]], axis=1))
    start = lines.reshape(count, 2, *network.input_shape)
    whole = Intervals(np.zeros(count), np.ones(count), np.arange(count))
    fronts = list(push(network, whole, start))
    end = len(network.layers)
    outputs = [f.values[end].reshape(len(f.domain), 2, -1).numpy() for f in fronts]
    packed = [_packed([p.numpy() for p in f.patterns], len(f.domain)) for f in fronts]
    return PathPieces(
        vertices=corners,
        segment=np.concatenate([f.domain.owner for f in fronts]),
        low=np.concatenate([f.domain.low for f in fronts]),
        high=np.concatenate([f.domain.high for f in fronts]),
        slopes=np.concatenate([o[:, 0] for o in outputs]),
        constants=np.concatenate([o[:, 1] for o in outputs]),
        patterns=np.concatenate(packed),
        units=sum(kink.size for kink in network.kinks),
    )


def _packed(patterns: list[np.ndarray], rows: int) -> np.ndarray:
    """Return all layers' patterns side by side, in bits."""
    return np.packbits(np.concatenate([np.zeros((rows, 0), bool), *patterns], axis=1), axis=1)


def line_regions(model: nn.Module | Network, start: Any, end: Any) -> PathPieces:
    """Cut the segment between two points where it crosses the boundaries of activation cells.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network.
    start, end : array-like of shape (d,)
        The ends, such as two codes when the network is a decoder.

    Returns
    -------
    PathPieces
        The parts of the segment (exact; see `path_regions`).

    Examples
    --------
    >>> layer = nn.Linear(1, 3)
    >>> _ = layer.weight.data.fill_(1.0), layer.bias.data.copy_(torch.tensor([0.0, -1.0, -5.0]))
    >>> parts = line_regions(nn.Sequential(layer, nn.ReLU()), [-2.0], [2.0])
    >>> parts.n_cells, parts.breakpoints.tolist()
    (3, [0.5, 0.75])
    """
    ends = [np.ravel(check_array(point, "end of a segment")) for point in (start, end)]
    if len(ends[0]) != len(ends[1]):
        raise DataError(
            f"ends of a segment must have equally many coordinates, got {len(ends[0])} and "
            f"{len(ends[1])}; pass two points of one space."
        )
    return path_regions(model, np.stack(ends))


def trajectory_length(model: nn.Module | Network, path: Any) -> float:
    """Return the length of the image of a polyline under a network. Exact.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A piecewise-linear network.
    path : array-like of shape (m, d)
        Corners of the path.

    Returns
    -------
    float
        Length in the output space.

    Examples
    --------
    >>> from ot_latent.theory.networks import read_network
    >>> trajectory_length(read_network(nn.ReLU(), (2,)), [[-1.0, -1.0], [0.0, 0.0], [3.0, 4.0]])
    5.0
    """
    return path_regions(model, path).length
