"""`PowerDiagram`: the cells of a Brenier potential in two and three dimensions, exact to rounding."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError
from ot_latent.transport.carving import Carver
from ot_latent.transport.cells import Cells, Graph
from ot_latent.transport.laplacian import laplacian
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Source

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Facets(NamedTuple):
    """Common facets of neighbouring cells.

    Attributes
    ----------
    pairs : Tensor of shape (F, 2), int64
        Cells i < j on the two sides.
    measures : Tensor of shape (F,)
        Integral of the source's density over the facet (mass per length).
    areas : Tensor of shape (F,)
        Length (d = 2) or area (d = 3) of the facet.
    """

    pairs: Tensor
    measures: Tensor
    areas: Tensor


class PowerDiagram:
    r"""Power diagram of a Brenier potential, cut off at the source's convex domain.

    Cell j is :math:`C_j = \{x \in \Omega : \langle x, y_j\rangle + h_j \ge
    \langle x, y_k\rangle + h_k\ \forall k\}`, the power cell of the weight
    :math:`p_j = 2h_j + |y_j|^2` [1]_. Masses, centroids, second moments and facet measures are
    integrals against the source's density, exact to rounding: every cell is the intersection of
    the domain with half-planes, and that none is missing is seen from the volumes, which add up
    to that of the domain.

    Parameters
    ----------
    source : UniformBox, UniformPolytope or GridDensity
        Source of dimension 2 or 3.
    potential : BrenierPotential
        Sites and heights; sites need not lie in the domain, and cells may be empty. Of equal
        sites the highest has the cell, of equal heights the first.
    neighbours : tuple of ndarray, optional
        A guess of the adjacency, such as `neighbours` of an earlier diagram. It saves time and
        changes nothing else.

    Attributes
    ----------
    masses, volumes, second_moments : Tensor of shape (N,), float64
        Probability :math:`w_j`, Lebesgue volume, and :math:`\int_{C_j} |x - c_j|^2 d\mu`.
    centroids : Tensor of shape (N, d), float64
        Means :math:`c_j`; nan where a cell is empty.
    empty : Tensor of shape (N,), bool
        Cells without mass.
    facets : Facets
        Facets between neighbouring cells.

    Raises
    ------
    DataError
        If the source has another dimension than the sites, or none that is supported.

    References
    ----------
    .. [1] Aurenhammer. "Power diagrams: properties, algorithms and applications." SIAM J. Comput.
       16(1), 1987.

    Examples
    --------
    >>> from ot_latent.transport import UniformBox
    >>> u = BrenierPotential([[0.25, 0.5], [0.75, 0.5]], [0.0625, -0.0625])
    >>> diagram = PowerDiagram(UniformBox.unit(2), u)
    >>> diagram.masses
    tensor([0.2500, 0.7500], dtype=torch.float64)
    >>> diagram.facets.measures, round(diagram.cost(), 6)
    (tensor([1.], dtype=torch.float64), 0.135417)
    """

    def __init__(
        self,
        source: Source,
        potential: BrenierPotential,
        *,
        neighbours: Graph | None = None,
    ) -> None:
        carver = Carver(source, potential.points.detach().cpu().double().numpy())
        heights = potential.heights.detach().cpu().double().numpy()[carver.order]
        guess = None if neighbours is None else _renumbered(neighbours, carver.order)
        self._set(source, potential, carver, carver.cells(heights, guess))

    @classmethod
    def _of(
        cls, source: Source, potential: BrenierPotential, carver: Carver, cells: Cells
    ) -> PowerDiagram:
        """Wrap cells that a solver has carved already."""
        diagram = cls.__new__(cls)
        diagram._set(source, potential, carver, cells)
        return diagram

    def moved(self, heights: np.ndarray, cells: Cells) -> PowerDiagram:
        """Return the diagram of other heights of the same sites, carved already.

        Parameters
        ----------
        heights : ndarray of shape (N,)
            Heights, in the order of the carver.
        cells : Cells
            Their cells.

        Returns
        -------
        PowerDiagram
            The diagram; its heights have mean zero.
        """
        given = self._given(heights)
        potential = self.potential.with_heights(given - given.mean())
        return PowerDiagram._of(self.source, potential, self._carver, cells)

    def _set(
        self, source: Source, potential: BrenierPotential, carver: Carver, cells: Cells
    ) -> None:
        self.source, self.potential = source, potential
        self._carver, self._cells = carver, cells

    @cached_property
    def _inverse(self) -> np.ndarray:
        """Where each site of the caller's stands in the arrays of the carver."""
        inverse = np.empty_like(self._carver.order)
        inverse[self._carver.order] = np.arange(len(inverse))
        return inverse

    @cached_property
    def masses(self) -> Tensor:
        """Probability of each cell."""
        return self._given(self._cells.masses)

    @cached_property
    def volumes(self) -> Tensor:
        """Lebesgue volume of each cell."""
        return self._given(self._cells.volumes)

    @cached_property
    def second_moments(self) -> Tensor:
        """Integral of the squared distance to the centroid over each cell."""
        return self._given(self._cells.seconds)

    @cached_property
    def centroids(self) -> Tensor:
        """Mean of each cell; nan where it is empty."""
        return self._given(self._cells.centroids)

    @property
    def empty(self) -> Tensor:
        """Cells without mass."""
        return self.masses <= 0

    def __repr__(self) -> str:
        """Return what it is in a line."""
        empty = int(self.empty.sum())
        return f"PowerDiagram({len(self.masses)} cells, {empty} empty, {self.source!r})"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self._carver.dim

    @cached_property
    def facets(self) -> Facets:
        """Facets between neighbouring cells, each once."""
        first, second, measures, areas = self._sides
        once = first < second
        pairs = np.stack([first[once], second[once]], axis=1)
        return Facets(
            torch.from_numpy(pairs), *(torch.from_numpy(a[once]) for a in (measures, areas))
        )

    @cached_property
    def neighbours(self) -> Graph:
        """Adjacency of the cells as (indptr, indices), symmetric."""
        adjacency = self.hessian()
        adjacency.setdiag(0)
        adjacency.eliminate_zeros()
        return adjacency.indptr, adjacency.indices

    def hessian(self) -> csr_array:
        r"""Return the derivative of the masses by the heights, a weighted Laplacian.

        .. math:: \partial w_j / \partial h_k = -\frac{1}{|y_j - y_k|}
            \int_{C_j \cap C_k} \rho\, dS, \qquad j \ne k,

        and rows sum to zero.

        Returns
        -------
        csr_array of shape (N, N)
            Symmetric, positive semi-definite.
        """
        first, second, measures, _ = self._sides
        points = self.potential.points.detach().cpu().double().numpy()
        weights = measures / np.linalg.norm(points[first] - points[second], axis=1)
        return laplacian(len(points), first, second, weights)

    def cost(self) -> float:
        r"""Return the transport cost :math:`\sum_j \int_{C_j} |x - y_j|^2 d\mu`.

        Returns
        -------
        float
            The squared distance W2 between the source and the measure of the cells' masses.
        """
        held = ~self.empty
        points = self.potential.points.detach().cpu().double()
        shifts = (self.centroids - points).square().sum(dim=1)
        return float((self.second_moments + self.masses * shifts)[held].sum())

    def polygons(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cells of a diagram in the plane, for drawing.

        Returns
        -------
        vertices : ndarray of shape (M, 2)
            Corners; those of cell j are ``vertices[offsets[j]:offsets[j + 1]]``, counter-clockwise.
        offsets : ndarray of shape (N + 1,)
            Where each cell begins.
        across : ndarray of shape (M,)
            Cell beyond the edge from each corner to the next, or -1 - f for side f of the domain.

        Raises
        ------
        ValueError
            In three dimensions.
        """
        corners = self._cells.corners
        if corners is None:
            raise ValueError(
                f"polygons must be asked of a diagram in the plane, got dimension {self.dim}; use "
                "polyhedron(j)."
            )
        begin = self._cells.offsets[self._inverse]
        sizes = np.diff(self._cells.offsets)[self._inverse]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], sizes)
        across = self._cells.neighbours[rows].astype(np.int64)
        inside = across >= 0
        across[inside] = self._carver.order[across[inside]]
        return corners[rows], offsets, across

    def polyhedron(self, j: int) -> list[tuple[np.ndarray, int]]:
        """Return one cell of a diagram in space, for drawing.

        Parameters
        ----------
        j : int
            Which cell.

        Returns
        -------
        list of (ndarray of shape (m, 3), int)
            For each facet its corners in order, and the cell across or -1 - f for side f of the
            domain; empty where the cell is.

        Raises
        ------
        ValueError
            In the plane.
        """
        if self.dim == 2:
            raise ValueError(
                "polyhedron must be asked of a diagram in space, got one in the plane; use "
                "polygons()."
            )
        carver, cells, row = self._carver, self._cells, int(self._inverse[j])
        heights = self.potential.heights.detach().cpu().double().numpy()[carver.order]
        across = cells.neighbours[cells.offsets[row] : cells.offsets[row + 1]]
        facets = carver.polyhedron(row, heights, across[across >= 0])
        return [(corners, int(carver.order[k]) if k >= 0 else k) for corners, k in facets]

    @cached_property
    def _sides(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every facet from both of its sides: cells, measure, area, the two sides made equal."""
        from scipy.sparse import coo_array

        cells, order = self._cells, self._carver.order
        inside = cells.neighbours >= 0
        owner = np.repeat(np.arange(len(order)), np.diff(cells.offsets))[inside]
        where = order[owner], order[cells.neighbours[inside]]
        shape = (len(order), len(order))
        both = []
        for values in (cells.measures, cells.areas):
            matrix = coo_array((values[inside], where), shape=shape).tocsr()
            both.append(((matrix + matrix.T) / 2).tocoo())
        return *both[0].coords, both[0].data, both[1].data

    def _given(self, values: np.ndarray) -> Tensor:
        """Return rows in the caller's order."""
        return torch.from_numpy(values[self._inverse])


def _renumbered(graph: Graph, order: np.ndarray) -> Graph:
    """Return a graph on the caller's sites as one on the carver's."""
    from scipy.sparse import csr_array

    count = len(order)
    indptr, indices = (np.asarray(a) for a in graph)
    if len(indptr) != count + 1:
        raise DataError(
            f"neighbours must be (indptr, indices) of a graph on {count} sites, got an indptr of "
            f"length {len(indptr)}; pass `neighbours` of a diagram of the same sites."
        )
    ones = np.ones(len(indices), dtype=np.int8)
    moved = csr_array((ones, indices, indptr), shape=(count, count))[order][:, order].tocsr()
    return moved.indptr, moved.indices
