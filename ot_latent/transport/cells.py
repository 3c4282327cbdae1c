"""What carving a power diagram yields: masses, centroids and facets of all cells, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ot_latent.transport.laplacian import Sparse

Graph = tuple[np.ndarray, np.ndarray]  # indptr, indices


class RawCells(NamedTuple):
    """What a kernel returns for some cells, in the units of a `Frame`.

    Attributes
    ----------
    sizes : ndarray of shape (m,)
        Number of facets of each cell; the two arrays below hold them end to end.
    neighbours : ndarray of shape (F,)
        As in `Cells`.
    facets : ndarray of shape (F, 2) or (F, 4)
        Areas, measures, and in the plane the first corner.
    volumes, masses, centroids, seconds : ndarray of shape (m,), (m,), (m, d), (m,)
        Lebesgue volume, and integrals against the density: with a grid, of a probability, else 1.
    """

    sizes: np.ndarray
    neighbours: np.ndarray
    facets: np.ndarray
    volumes: np.ndarray
    masses: np.ndarray
    centroids: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class Frame:
    """Units of the kernels: source x = centre + radius x', site y = mean + size y'.

    Parameters
    ----------
    centre : ndarray of shape (d,)
        Centre of the domain.
    radius : float
        A power of two near its extent.
    mean : ndarray of shape (d,)
        Centre of the sites.
    size : float
        A power of two near their extent.
    """

    centre: np.ndarray
    radius: float
    mean: np.ndarray
    size: float


@dataclass(frozen=True, eq=False)
class Cells:
    """All cells of one diagram, in the order and units of a `Carver`.

    Attributes
    ----------
    volumes, masses, seconds : ndarray of shape (N,)
        Lebesgue volume, probability, second moment of the probability about the centroid.
    centroids : ndarray of shape (N, d)
        Means of the probability; nan where a cell is empty.
    offsets : ndarray of shape (N + 1,)
        Facets of cell j are ``offsets[j] : offsets[j + 1]`` in the arrays below.
    neighbours : ndarray of shape (F,)
        Site across the facet, or -1 - f for facet f of the domain.
    facets : ndarray of shape (F, 2) or (F, 4)
        As in `RawCells`, in its units: brought to others where they are asked for.
    frame : Frame
        Units of the kernels.
    total : float
        Integral of the density in these units.
    """

    volumes: np.ndarray
    masses: np.ndarray
    seconds: np.ndarray
    centroids: np.ndarray
    offsets: np.ndarray
    neighbours: np.ndarray
    facets: np.ndarray
    frame: Frame
    total: float

    @property
    def areas(self) -> np.ndarray:
        """Lebesgue measure of the facets, of shape (F,)."""
        return self.facets[:, 0] * self.frame.radius ** (self.centroids.shape[1] - 1)

    @property
    def measures(self) -> np.ndarray:
        """Integral of the density over the facets, of shape (F,)."""
        return self.facets[:, 1] / (self.frame.radius * self.total)

    @property
    def corners(self) -> np.ndarray | None:
        """In the plane, the corner at which edge f begins, of shape (F, 2), counter-clockwise."""
        planar = self.facets.shape[1] == 4
        return self.frame.centre + self.frame.radius * self.facets[:, 2:] if planar else None

    def graph(self) -> Graph:
        """Return the adjacency as (indptr, indices), sides of the domain as negative entries."""
        return self.offsets, self.neighbours

    def laplacian(self, points: np.ndarray) -> Sparse:
        """Return the derivative of the masses by the heights.

        Parameters
        ----------
        points : ndarray of shape (N, d)
            Sites, in the order of the cells.

        Returns
        -------
        tuple of ndarray
            indptr, indices and data of a symmetric matrix in CSR form; a facet that rounding has
            split has two entries.
        """
        from ot_latent.kernels.cell_graph import facet_weights

        measures, unit = self.facets[:, 1], self.frame.radius * self.total
        return facet_weights(self.offsets, self.neighbours, measures, unit, points)
