"""Low ranks and skips: what training leaves of the matrices between kinks, and of the affine part.

Deep solutions of the theory have rank-bounded matrices between two layers of kinks (a linear bottleneck)
and skip connections (Parhi and Nowak 2022). These are measurements; no theorem says that a given
training finds such solutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._validation import check_array, check_same_length
from ot_latent.theory.networks import read_network

TOLERANCE = 1e-3
"""Singular values below this share of the largest do not count (convention)."""


class BottleneckRank(NamedTuple):
    """The matrix between two layers of kinks.

    Attributes
    ----------
    shape : tuple of int
        Its size.
    rank : int
        Singular values above the tolerance.
    stable_rank : float
        Squared Frobenius norm over squared largest singular value: at most the rank.
    singular_values : ndarray
        All of them, in falling order.
    """

    shape: tuple[int, int]
    rank: int
    stable_rank: float
    singular_values: np.ndarray


def bottleneck_ranks(
    model: nn.Module, shape: Sequence[int] | None = None, *, tolerance: float = TOLERANCE
) -> list[BottleneckRank]:
    """Return the numerical ranks of the matrices between layers of kinks.

    Linear layers in a row are multiplied: ``W V`` of a factored layer has at most as many ranks as
    its bottleneck is wide (theorem). Convolutions are read as matrices of whole maps.

    Parameters
    ----------
    model : torch.nn.Module
        A chain that `ot_latent.theory.networks.read_network` reads.
    shape : sequence of int, optional
        Shape of one row of the input. Default: taken from the first layer, if that is Linear.
    tolerance : float, default=1e-3
        Share of the largest singular value below which others do not count (convention).

    Returns
    -------
    list of BottleneckRank
        From the input to the output.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))
    >>> [(found.shape, found.rank) for found in bottleneck_ranks(net)]
    [((6, 5), 2), ((3, 6), 3)]
    """
    pairs = read_network(model, shape, cut_output=True).matrices()
    return [_rank(matrix, tolerance) for matrix, _ in pairs]


def _rank(matrix: Tensor, tolerance: float) -> BottleneckRank:
    """Measure one matrix."""
    values = torch.linalg.svdvals(matrix).numpy()
    top = float(values[0])
    rank = int((values > tolerance * top).sum()) if top > 0 else 0
    stable = float((values**2).sum() / top**2) if top > 0 else 0.0
    return BottleneckRank((matrix.shape[0], matrix.shape[1]), rank, stable, values)


def feature_rank(features: Any, *, tolerance: float = TOLERANCE) -> int:
    """Return the numerical rank of features on data.

    Of features Phi and outputs Psi = V Phi of a layer, a solution with about
    ``rank(Phi) * rank(Psi)`` active neurons is expected (estimate; the exact statement of the
    bound could not be confirmed).

    Parameters
    ----------
    features : array-like of shape (n, k)
        One row per data row.
    tolerance : float, default=1e-3
        Share of the largest singular value below which others do not count (convention).

    Returns
    -------
    int
        The rank.

    Examples
    --------
    >>> feature_rank(np.outer([1.0, 2.0, 3.0], [1.0, -1.0]))
    1
    """
    values = np.linalg.svd(check_array(features, "features", ndim=2), compute_uv=False)
    return int((values > tolerance * values[0]).sum()) if values[0] > 0 else 0


def affine_share(function: Callable[[Any], Any], x: Any) -> float:
    """Return the share of a function's variance on data that its best affine fit has.

    That part a skip connection carries at no cost of variation: near 1, a skip saves most neurons.

    Parameters
    ----------
    function : callable
        Maps (n, d) to (n, D): a network, a `ShallowNetwork`. A torch module is given a tensor of its
        parameters' precision.
    x : array-like of shape (n, d)
        Data; more rows than d + 1.

    Returns
    -------
    float
        Between 0 and 1; 1 where the function is constant on the data.

    Examples
    --------
    >>> affine_share(lambda x: 2 * x + 1, np.arange(6.0).reshape(-1, 1))
    1.0
    """
    points = check_array(x, "x", ndim=2).astype(np.float64)
    values = check_array(_values(function, points), "values of the function")
    check_same_length(points, values, ("x", "values of the function"))
    y = values.reshape(len(values), -1).astype(np.float64)
    y = y - y.mean(0)
    design = points - points.mean(0)
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    total = float((y**2).sum())
    return 1.0 if total == 0 else float(np.clip(1 - (rest**2).sum() / total, 0.0, 1.0))


def _values(function: Callable[[Any], Any], points: np.ndarray) -> Any:
    """Call a function on points, a torch module on a tensor."""
    if not isinstance(function, nn.Module):
        return function(points)
    parameter = next(function.parameters(), torch.zeros((), dtype=torch.float64))
    with torch.no_grad():
        return function(torch.from_numpy(points).to(parameter))
