"""Convex polygons of a plane of parameters, split at the zeros of affine functions."""

from __future__ import annotations

import numpy as np

from ot_latent.theory.rectified_linear.pushing import Domain


class Polygons(Domain):
    """Convex polygons in one array of corners.

    Parameters
    ----------
    corners : numpy.ndarray of shape (corners, 2)
        Corners of all polygons, one polygon after the other.
    offsets : numpy.ndarray of shape (polygons + 1,)
        Where each polygon begins.
    extent : float
        Largest coordinate of the whole domain: corners are known to a share of it.
    """

    def __init__(self, corners: np.ndarray, offsets: np.ndarray, extent: float) -> None:
        self.corners, self.offsets, self.extent = corners, offsets, extent

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, start: int, stop: int) -> Polygons:
        """Return some of the polygons.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Polygons
            The polygons.
        """
        offsets = self.offsets[start : stop + 1]
        part = self.corners[offsets[0] : offsets[-1]]
        return Polygons(part, offsets - offsets[0], self.extent)

    def split(self, z: np.ndarray) -> tuple[Polygons, np.ndarray, np.ndarray]:
        """Cut every polygon by the zeros of its affine functions.

        Parameters
        ----------
        z : numpy.ndarray of shape (polygons, 3, units)
            Two slopes and a constant.

        Returns
        -------
        polygons : Polygons
            Parts of one polygon stay together.
        parents : numpy.ndarray of shape (new polygons,)
            Number of the old polygon.
        positive : numpy.ndarray of shape (new polygons, units)
            Whether the function is positive there; one that vanishes there is not.
        """
        from ot_latent.theory.rectified_linear.cutting import cut_all

        corners, offsets, parents, positive = cut_all(
            np.ascontiguousarray(self.corners), self.offsets, np.ascontiguousarray(z), self.extent
        )
        return Polygons(corners, offsets, self.extent), parents, positive

    @property
    def areas(self) -> np.ndarray:
        """Area of every polygon."""
        from ot_latent.theory.rectified_linear.cutting import areas

        return areas(self.corners, self.offsets)
