r"""Smooth functions of points, group by group: quadratic ones by ridge regression."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAST, MOST = 16, 1024  # points of a group behind a fit: fewer give a mean, more are not looked at
RIDGES = 10.0 ** torch.arange(-4, 3.1)  # tried, in units of the number of points
LINEAR = 1000.0  # how much less linear functions are held back than products of coordinates
CHUNK = 2**14  # points at a time
FLAT = 1e-6  # of the largest deviation, under which a coordinate does not count


def smooth_fit(points: Tensor, groups: Tensor, values: Tensor, known: Tensor) -> Tensor:
    r"""Return a smooth function of the points that is near given values at some of them.

    In each group a constant, a linear function and a quadratic form are fitted by kernel ridge
    regression, with coordinates z of mean zero and deviation one in the group and the kernel

    .. math:: k(z, z') = 1000\,\langle z, z'\rangle + \tfrac12 \langle z, z'\rangle^2 ,

    so linear functions are hardly held back. The ridge is the one whose errors at points left out, one
    at a time, are least in the square (their closed form by the eigenvalues of the kernel matrix).

    Parameters
    ----------
    points : Tensor of shape (N, d)
        All points.
    groups : Tensor of shape (N,), int64
        Group 0 ... K - 1 of each.
    values : Tensor of shape (m,), float64
        Values at the known ones.
    known : Tensor of shape (m,), int64
        Which these are; groups of fewer than 16 of them have the mean of theirs, those without one
        the mean of all.

    Returns
    -------
    Tensor of shape (N,), float64
        The function at all points.

    Examples
    --------
    >>> z = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    >>> known = torch.arange(0, 101, 5)
    >>> found = smooth_fit(z, torch.zeros(101, dtype=torch.int64), (3 * z**2 - z)[known, 0], known)
    >>> bool((found - (3 * z**2 - z)[:, 0]).abs().max() < 0.01)
    True
    """
    found = values.new_full((len(points),), float(values.mean()))
    own = groups[known]
    for group in torch.unique(own).tolist():
        here, there = own == group, groups == group
        some = _some(known[here]), _some(values[here])
        if len(some[0]) < LEAST:
            found[there] = some[1].mean()
            continue
        fit = _fitted(points[some[0]].double(), some[1])
        for rows in torch.nonzero(there).squeeze(1).split(CHUNK):
            found[rows] = fit(points[rows].double())
    return found


def _some(rows: Tensor) -> Tensor:
    """Return evenly spaced rows where there are many."""
    return rows[:: max(1, -(-len(rows) // MOST))]


class _Quadratic(NamedTuple):
    """The function c + <l, z> + <z, Q z> / 2 of coordinates z of a group."""

    centre: Tensor
    scale: Tensor
    constant: Tensor
    linear: Tensor
    form: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Return the values at some points."""
        z = (points - self.centre) / self.scale
        return self.constant + z @ self.linear + ((z @ self.form) * z).sum(dim=1) / 2


def _fitted(points: Tensor, values: Tensor) -> _Quadratic:
    """Return the fit to the points of one group."""
    centre, spread = points.mean(dim=0), points.std(dim=0)
    scale = spread.clamp_min(FLAT * float(spread.max()) or 1.0)
    z = (points - centre) / scale
    products = z @ z.T
    kernel = LINEAR * products + products.square() / 2
    means, mean = kernel.mean(dim=0), values.mean()
    centred = kernel - means - means[:, None] + means.mean()
    eigenvalues, vectors = torch.linalg.eigh(centred)
    eigenvalues, share = eigenvalues.clamp_min(0), vectors.T @ (values - mean)
    least, weights = torch.inf, torch.zeros_like(values)
    for ridge in (RIDGES * len(values)).tolist():
        left = ridge / (eigenvalues + ridge)
        leverage = 1 - (vectors.square() @ left) + 1 / len(values)  # of the constant, too
        errors = (vectors @ (left * share)) / (1 - leverage).clamp_min(FLAT)
        loss = float(errors.square().mean())
        if loss < least:
            least, weights = loss, vectors @ (share / (eigenvalues + ridge))
    weights = weights - weights.mean()  # the kernel is centred
    form = (z * weights[:, None]).T @ z
    return _Quadratic(centre, scale, mean - means @ weights, LINEAR * (weights @ z), form)
