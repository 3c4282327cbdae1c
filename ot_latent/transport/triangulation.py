"""The Legendre dual of a Brenier potential: the regular triangulation of its targets, d <= 3."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import as_float_tensor
from ot_latent.transport.hull import LowerHull
from ot_latent.transport.potential import BrenierPotential


@dataclass(frozen=True, eq=False)
class RegularTriangulation:
    r"""Weighted Delaunay triangulation, dual to the power diagram of all of :math:`R^d`.

    The conjugate :math:`u^*(y) = \sup_x \langle x, y\rangle - u(x)` is the lower hull of the
    points :math:`(y_j, -h_j)`: linear on simplices whose corners are targets. Each simplex is
    dual to a vertex of the diagram, each edge to a facet between two cells, each corner to a cell;
    a hidden target, on no simplex, has a cell without interior. Where more than d + 1 cells meet
    in one vertex (a grid), the simplices are one choice of several and some edges are dual to a
    facet of no extent.

    Parameters
    ----------
    potential : BrenierPotential
        Potential in dimension d = 1, 2 or 3, of any number of targets. Where these are collinear
        or coplanar, the simplices are those of their affine span, of dimension r < d.

    Attributes
    ----------
    simplices : Tensor of shape (M, r + 1), int64
        Indices of the corners, rising in each row; r is d but for targets that lie in a
        subspace of lower dimension.
    edges : Tensor of shape (E, 2), int64
        The pairs i < j that share a simplex, in lexical order.
    hidden : Tensor of shape (N,), bool
        The targets that are on no simplex.
    vertices : Tensor of shape (M, d), float64
        The point of the source space where the cells of a simplex meet, the gradient of
        :math:`u^*` there (where r < d: the one of smallest norm).

    Raises
    ------
    ValueError
        If d exceeds 3.

    References
    ----------
    Aurenhammer. "Power diagrams: properties, algorithms and applications." SIAM J. Comput. 16(1),
    1987.

    Examples
    --------
    >>> u = BrenierPotential([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.3, 0.3]], [0.0, 0.0, 0.0, -1])
    >>> dual = RegularTriangulation(u)
    >>> dual.simplices
    tensor([[0, 1, 2]])
    >>> dual.hidden
    tensor([False, False, False,  True])
    >>> dual.conjugate([[0.3, 0.3], [1.0, 1.0]])
    tensor([0., inf], dtype=torch.float64)
    """

    potential: BrenierPotential
    simplices: Tensor = field(init=False, repr=False)
    edges: Tensor = field(init=False, repr=False)
    hidden: Tensor = field(init=False, repr=False)
    vertices: Tensor = field(init=False, repr=False)
    _hull: LowerHull = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the lower hull and read edges and hidden targets off its simplices."""
        if self.potential.dim > 3:
            raise ValueError(
                f"potential must have dimension 1, 2 or 3, got {self.potential.dim}; in higher "
                "dimension ask potential.conjugate for single rows."
            )
        hull = self.potential.lower_hull()
        pairs = [hull.simplices[:, pair] for pair in combinations(range(hull.rank + 1), 2)]
        edges = np.unique(np.concatenate(pairs or [np.zeros((0, 2), np.int64)]), axis=0)
        hidden = np.ones(len(self.potential.points), dtype=bool)
        hidden[hull.simplices] = False
        object.__setattr__(self, "_hull", hull)
        object.__setattr__(self, "simplices", torch.from_numpy(hull.simplices))
        object.__setattr__(self, "edges", torch.from_numpy(edges))
        object.__setattr__(self, "hidden", torch.from_numpy(hidden))
        object.__setattr__(self, "vertices", torch.from_numpy(hull.slopes))

    def locate(self, y: Any) -> Tensor:
        """Return the simplex that holds each point.

        Parameters
        ----------
        y : array-like of shape (m, d)
            Points of the target space.

        Returns
        -------
        Tensor of shape (m,), int64
            Rows of `simplices`, -1 outside the convex hull of the targets.

        Raises
        ------
        ValueError
            If the dimension of `y` is not that of the targets.
        """
        return torch.from_numpy(self._hull.locate(self._rows(y)))

    def conjugate(self, y: Any) -> Tensor:
        r"""Return :math:`u^*(y)`, linear on each simplex and infinite outside the convex hull.

        Parameters
        ----------
        y : array-like of shape (m, d)
            Points of the target space.

        Returns
        -------
        Tensor of shape (m,), float64
            Values; -h_j at a target that is not hidden.

        Raises
        ------
        ValueError
            If the dimension of `y` is not that of the targets.
        """
        return torch.from_numpy(self._hull.evaluate(self._rows(y)))

    def _rows(self, y: Any) -> np.ndarray:
        """Return checked rows in double precision."""
        rows = as_float_tensor(y, "y", ndim=2)
        if rows.shape[1] != self.potential.dim:
            raise ValueError(
                f"y must have {self.potential.dim} columns, as the targets do, got shape "
                f"{tuple(rows.shape)}; pass rows of dimension {self.potential.dim}."
            )
        return rows.cpu().double().numpy()
