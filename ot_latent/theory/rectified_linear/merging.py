"""Activation cells with the same affine map that touch along a facet are one linear piece."""

from __future__ import annotations

import numpy as np

SAME_MAP = 1e-9
"""Two affine maps are the same if they differ by less than this share of the larger."""

SAME_PLACE = 1e-9
"""Two facets are the same if their centres are closer than this share of the domain's extent."""


def merge(centres: np.ndarray, owners: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the numbers of the maximal connected sets of cells on which the map is the same.

    Definition 4.2 of Lei, Luo, Yau and Gu (arXiv 1805.10451): the pieces are maximal and
    connected, so equal maps far apart are two pieces. Connected means through facets.

    Parameters
    ----------
    centres : numpy.ndarray of shape (facets, d)
        A point of each facet of each cell that only depends on the facet, such as its mean corner.
    owners : numpy.ndarray of shape (facets,)
        The cell of each facet.
    maps : numpy.ndarray of shape (cells, ...)
        Coefficients of the affine map on each cell.

    Returns
    -------
    numpy.ndarray of shape (cells,)
        Number of the piece of each cell, 0, 1, ... in order of the first cell.

    Examples
    --------
    >>> merge(np.array([[0.0], [1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]), np.ones((2, 1)))
    array([0, 0])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    extent = float(np.ptp(centres, axis=0).max(initial=0.0)) or 1.0
    pairs = cKDTree(centres).query_pairs(SAME_PLACE * extent, output_type="ndarray")
    a, b = owners[pairs[:, 0]], owners[pairs[:, 1]]
    flat = maps.reshape(len(maps), -1)
    size = np.abs(flat).max(axis=1, initial=0.0)
    gap = np.abs(flat[a] - flat[b]).max(axis=1, initial=0.0)
    same = gap <= SAME_MAP * np.maximum(size[a], size[b])
    graph = coo_array((np.ones(same.sum()), (a[same], b[same])), shape=(len(maps), len(maps)))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
