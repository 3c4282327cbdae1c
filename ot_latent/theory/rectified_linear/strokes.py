"""A bound that no network of an architecture escapes: strokes to and fro across one strip."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from torch import nn

from ot_latent._validation import DataError, check_array
from ot_latent.theory.networks import Network, read_network


def stroke_limit(architecture: nn.Module | Network | Sequence[int]) -> int:
    """Return how many strokes to and fro a chain of two-slope units can encode: 2 prod (n_l + 1).

    Let f be continuous, piecewise linear and injective on a curve of the plane that crosses the
    strip x0 <= x <= x1 in k straight strokes at heights y_1 < ... < y_k, in turn to the right and to
    the left. f is strictly monotone along the curve, so D(y) = f(x1, y) - f(x0, y) changes its sign
    k - 1 times. On each of the two lines f has at most p = prod (n_l + 1) pieces, so that D has at
    most 2p - 1, each with at most one zero: k <= 2p. A theorem for every f of the architecture.

    Parameters
    ----------
    architecture : torch.nn.Module, Network or sequence of int
        A network that can be read, or the widths (inputs, n_1, ..., n_L, outputs).

    Returns
    -------
    int
        The largest number of strokes.

    Raises
    ------
    ValueError
        If the network is no chain.

    Examples
    --------
    >>> stroke_limit((2, 4, 1)), stroke_limit((2, 3, 2, 1))
    (10, 24)
    """
    if isinstance(architecture, nn.Module):
        architecture = read_network(architecture)
    if isinstance(architecture, Network):
        if not architecture.elementary.is_chain:
            raise ValueError(
                "network must be a chain for the bound on strokes, got layers that read several "
                "values; remove skip connections and maxima."
            )
        architecture = architecture.widths
    return 2 * prod(n + 1 for n in architecture[1:-1])


def alternating_strokes(points: Any) -> int:
    """Return the largest number of axis-parallel strokes in turn to and fro across one strip. Exact.

    Parameters
    ----------
    points : array-like of shape (m, 2)
        Corners of a polyline that does not meet itself; edges that are not parallel to an axis are
        passed over.

    Returns
    -------
    int
        The k of `stroke_limit`, the larger of that for horizontal and that for vertical strips.

    Raises
    ------
    DataError
        If the points do not lie in the plane.

    Examples
    --------
    >>> alternating_strokes([[0, 0], [1, 0], [1, 1], [0, 1], [0, 2], [1, 2]])
    3
    """
    corners = check_array(points, "points", ndim=2).astype(np.float64)
    if corners.shape[1] != 2:
        raise DataError(
            f"points must lie in the plane, got shape {corners.shape}; pass two coordinates."
        )
    return max(_across(corners), _across(corners[:, ::-1]))


def _across(corners: np.ndarray) -> int:
    """Return the largest number of alternating horizontal strokes over one elementary strip."""
    start, step = corners[:-1], np.diff(corners, axis=0)
    flat = (step[:, 1] == 0) & (step[:, 0] != 0)
    start, step = start[flat], step[flat]
    low, high = np.sort(np.stack([start[:, 0], start[:, 0] + step[:, 0]]), axis=0)
    most = 0
    for left in np.unique(low):  # strips just to the right of where a stroke begins
        over = (low <= left) & (high > left)
        order = np.argsort(start[over, 1], kind="stable")
        signs = np.sign(step[over, 0])[order]
        most = max(most, 1 + int((signs[1:] != signs[:-1]).sum()))
    return most
