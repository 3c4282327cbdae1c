"""Cells in the plane: the compiled kernel behind a domain and a density."""

from __future__ import annotations

import numpy as np

from ot_latent.kernels.cells2d import carve_rows
from ot_latent.kernels.site_tree import SiteTree
from ot_latent.transport.cells import Graph, RawCells


class PlaneEngine:
    """Carve polygons out of a convex polygon.

    Parameters
    ----------
    corners : ndarray of shape (v, 2)
        Corners of the domain, in any order.
    grid : tuple of ndarray
        Density, lowest corner and pixel size; an empty density means a uniform one.
    """

    def __init__(self, corners: np.ndarray, grid: tuple[np.ndarray, ...]) -> None:
        self.grid = grid
        middle = corners.mean(axis=0)
        turn = np.argsort(np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0]))
        self.domain = np.ascontiguousarray(corners[turn])

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
        rows : ndarray of shape (m,)
            Which sites.
        sites, heights : ndarray of shape (N, 2) and (N,)
            All sites.
        guess : tuple of ndarray
            Guess of the adjacency; negative entries are passed over.
        ring : bool
            Whether to try the neighbours of what bounds a cell as well.
        tree : SiteTree
            Of these sites and heights, where `certify` is set.
        certify : bool
            Whether to look every corner up in the tree.

        Returns
        -------
        RawCells
            The cells.
        """
        return RawCells(
            *carve_rows(rows, sites, heights, self.domain, self.grid, *guess, ring, tree, certify)
        )
