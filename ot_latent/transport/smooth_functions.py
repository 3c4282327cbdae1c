"""Smooth functions of targets, group by group: constants, a response, linear and quadratic ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 1024  # functions in all
DRAWS_EACH, TARGETS_EACH = 8.0, 2.0  # draws and targets of a group per function of it
FLAT = 1e-9  # a response whose values differ by less has none within its group
CHUNK = 2**12  # rows at a time


@dataclass(frozen=True, eq=False)
class SmoothFunctions:
    r"""The functions :math:`f(y_j) = \sum_k \theta_k b_k(y_j)`, each b_k zero outside its group.

    Attributes
    ----------
    groups : Tensor of shape (N,), int64
        Group of each target.
    features : Tensor of shape (N, p), float64
        Values of functions within the group: one, the response, coordinates from the group's mean.
    places : Tensor of shape (K, q), int64
        Number of each function of each group among all; `count` where the group has it not.
    quadratic : bool
        Whether products of coordinates, less their mean, follow the features.
    means : Tensor of shape (K, d (d + 1) / 2)
        Means of these products, group by group.
    count : int
        Number of functions.
    blocks : list of Tensor
        Numbers that are shrunk together: the coordinates of a group, and its products.
    """

    groups: Tensor
    features: Tensor
    places: Tensor
    quadratic: bool
    means: Tensor
    count: int
    blocks: list[Tensor]

    @classmethod
    def of(
        cls, points: Tensor, groups: Tensor, masses: Tensor, response: Tensor, draws: int
    ) -> SmoothFunctions:
        """Choose the functions that so many draws can tell.

        Parameters
        ----------
        points : Tensor of shape (N, d)
            Targets.
        groups : Tensor of shape (N,), int64
            Group of each.
        masses : Tensor of shape (N,), float64
            Their masses.
        response : Tensor of shape (N,), float64
            A function of the targets that each group may scale.
        draws : int
            How many draws will tell the numbers.

        Returns
        -------
        SmoothFunctions
            Linear functions for groups of enough draws, and quadratic ones while there are at
            most 1,024 functions.
        """
        p, k = points.double(), int(groups.max()) + 1
        d = p.shape[1]
        shares = masses.new_zeros(k).index_add_(0, groups, masses)
        own = torch.cat([response[:, None], p], dim=1)
        centre = masses.new_zeros(k, d + 1).index_add_(0, groups, own * masses[:, None])
        own = own - (centre / shares[:, None])[groups]
        spread = masses.new_zeros(k).index_add_(0, groups, masses * own[:, 0].square())
        products = d * (d + 1) // 2
        has = torch.ones(k, 2 + d + products, dtype=torch.bool, device=p.device)
        has[:, 1] = spread > FLAT**2 * shares
        most = (draws * shares / DRAWS_EACH).minimum(groups.bincount(minlength=k) / TARGETS_EACH)
        has[:, 2 : 2 + d] = (most > d)[:, None]
        has[:, 2 + d :] = (most > d + products)[:, None]
        if int(has.sum()) > MOST:
            has = has[:, : 2 + d]
        if int(has.sum()) > MOST:
            has[:, 2:] = False
        quadratic = bool(has[:, 2 + d :].any())
        has = has if quadratic else has[:, : 2 + d]
        count = int(has.sum())
        places = torch.full(has.shape, count, device=p.device)
        places[has] = torch.arange(count, device=p.device)
        means = masses.new_zeros(k, products)
        if quadratic:
            for rows in torch.arange(len(p), device=p.device).split(CHUNK):
                weighted = _products(own[rows, 1:]) * masses[rows, None]
                means.index_add_(0, groups[rows], weighted)
            means /= shares[:, None]
        parts = [places[:, 2 : 2 + d], places[:, 2 + d :]] if quadratic else [places[:, 2 : 2 + d]]
        blocks = [row for part in parts for row in part if int(row[0]) < count]
        features = torch.cat([torch.ones_like(own[:, :1]), own], dim=1)
        return cls(groups, features, places, quadratic, means, count, blocks)

    def rows(self, targets: Tensor) -> Tensor:
        """Return the values of all functions at some targets, shape (m, count).

        Parameters
        ----------
        targets : Tensor of shape (m,), int64
            Numbers of targets.

        Returns
        -------
        Tensor of shape (m, count), float64
            Values.
        """
        group, values = self.groups[targets], self.features[targets]
        if self.quadratic:
            values = torch.cat([values, _products(values[:, 2:]) - self.means[group]], dim=1)
        found = values.new_zeros(len(targets), self.count + 1)
        return found.scatter_(1, self.places[group], values)[:, : self.count]

    def __call__(self, theta: Tensor) -> Tensor:
        """Return f at all targets.

        Parameters
        ----------
        theta : Tensor of shape (count,)
            Numbers.

        Returns
        -------
        Tensor of shape (N,), float64
            Values.
        """
        return torch.cat([self.rows(part) @ theta for part in self._parts()])

    def projected(self, residual: Tensor) -> Tensor:
        """Return the sums of the functions over targets, weighted by a residual.

        Parameters
        ----------
        residual : Tensor of shape (N,), float64
            A number per target.

        Returns
        -------
        Tensor of shape (count,), float64
            Sums.
        """
        total = residual.new_zeros(self.count)
        for part in self._parts():
            total += self.rows(part).T @ residual[part]
        return total

    def moments(self, masses: Tensor) -> Tensor:
        """Return the second moments of the functions under masses.

        Parameters
        ----------
        masses : Tensor of shape (N,), float64
            Masses.

        Returns
        -------
        Tensor of shape (count, count), float64
            Moments.
        """
        total = masses.new_zeros(self.count, self.count)
        for part in self._parts():
            rows = self.rows(part)
            total += rows.T @ (rows * masses[part, None])
        return total

    def _parts(self) -> tuple[Tensor, ...]:
        """Return the numbers of all targets, some at a time."""
        return torch.arange(len(self.groups), device=self.groups.device).split(CHUNK)


def _products(x: Tensor) -> Tensor:
    """Return the products of all pairs of columns."""
    first, second = torch.triu_indices(x.shape[1], x.shape[1], device=x.device)
    return x[:, first] * x[:, second]
