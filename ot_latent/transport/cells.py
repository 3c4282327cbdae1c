"""What carving a power diagram yields: masses, centroids and facets of all cells, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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


class Cells(NamedTuple):
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
    areas, measures : ndarray of shape (F,)
        Lebesgue measure of the facets, and integral of the density over them.
    corners : ndarray of shape (F, 2) or None
        In the plane, the corner at which edge f begins; edges run counter-clockwise.
    """

    volumes: np.ndarray
    masses: np.ndarray
    seconds: np.ndarray
    centroids: np.ndarray
    offsets: np.ndarray
    neighbours: np.ndarray
    areas: np.ndarray
    measures: np.ndarray
    corners: np.ndarray | None

    def graph(self) -> Graph:
        """Return the adjacency as (indptr, indices), sides of the domain as negative entries."""
        return self.offsets, self.neighbours

    def laplacian(self, points: np.ndarray) -> csr_array:
        """Return the derivative of the masses by the heights.

        Parameters
        ----------
        points : ndarray of shape (N, d)
            Sites, in the order of the cells.

        Returns
        -------
        csr_array of shape (N, N)
            Symmetric; a facet that rounding has split has two entries.
        """
        from scipy.sparse import csr_array

        from ot_latent.kernels.cell_graph import facet_weights

        indptr, indices, data = facet_weights(self.offsets, self.neighbours, self.measures, points)
        return csr_array((data, indices, indptr), shape=(len(points), len(points)))


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
