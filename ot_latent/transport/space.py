"""Cells in space: the compiled kernel behind a domain."""

from __future__ import annotations

import numpy as np

from ot_latent.kernels.cells3d import carve_one, carve_rows
from ot_latent.kernels.polyhedra import box, cut_domain
from ot_latent.kernels.site_tree import SiteTree
from ot_latent.transport.cells import Graph, RawCells


class SpaceEngine:
    """Carve polyhedra out of a convex polyhedron.

    Parameters
    ----------
    corners : ndarray of shape (v, 3)
        Corners of the domain.
    normals, offsets : ndarray of shape (m, 3) and (m,)
        Its half-spaces ``<n, x> <= b``; side f of the domain is row f.
    grid : tuple of ndarray
        Density, lowest corner and voxel size; an empty density means a uniform one.
    """

    def __init__(
        self,
        corners: np.ndarray,
        normals: np.ndarray,
        offsets: np.ndarray,
        grid: tuple[np.ndarray, ...],
    ) -> None:
        self.grid = grid
        low, high = corners.min(axis=0), corners.max(axis=0)
        identity = np.eye(3)
        if np.array_equal(normals, np.concatenate([identity, -identity])):
            self.domain = box(low, high)
        else:
            margin = 0.1 * (high - low).max()
            normals = np.ascontiguousarray(normals)
            self.domain = cut_domain(box(low - margin, high + margin), normals, offsets)

    def carve(
        self,
        rows: np.ndarray,
        sites: np.ndarray,
        heights: np.ndarray,
        guess: Graph,
        ring: bool,
        tree: SiteTree,
        certify: bool,
    ) -> RawCells:
        """Return the cells of some sites; all exact with `certify`, else as good as the guess.

        Parameters
        ----------
        rows, sites, heights, guess, ring, tree, certify
            As in `plane.PlaneEngine.carve`, in space.

        Returns
        -------
        RawCells
            The cells.
        """
        return RawCells(
            *carve_rows(rows, sites, heights, self.domain, self.grid, *guess, ring, tree, certify)
        )

    def facets_of(
        self, row: int, sites: np.ndarray, heights: np.ndarray, neighbours: np.ndarray
    ) -> list[tuple[np.ndarray, int]]:
        """Return the facets of one cell as polygons.

        Parameters
        ----------
        row : int
            Which site.
        sites, heights : ndarray of shape (N, 3) and (N,)
            All sites.
        neighbours : ndarray
            Neighbours of its cell.

        Returns
        -------
        list of (ndarray of shape (m, 3), int)
            Corners in order around the facet, and the site across or -1 - f.
        """
        indptr = np.zeros(len(sites) + 1, dtype=np.int64)
        indptr[row + 1 :] = len(neighbours)
        v, triples, edge, names = carve_one(
            row, sites, heights, self.domain, indptr, neighbours.astype(np.int32)
        )
        found = []
        for plane in np.unique(triples):
            at = start = int(np.flatnonzero((triples == plane).any(axis=1))[0])
            ring: list[int] = []
            while not ring or at != start:
                ring.append(at)
                here = triples[at].tolist()
                at = int(edge[here[(here.index(plane) + 1) % 3], plane])
            found.append((v[:, ring].T, int(names[plane])))
        return found
