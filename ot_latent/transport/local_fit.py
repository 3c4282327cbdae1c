r"""Anchors of the simplex map: codes smoothed by affine fits to their neighbours in a triangulation.

A code is one draw of what the true map makes of its cell: it sits off the true map's value at the
centroid by about a spacing. A map through the codes repeats these accidents; an affine fit averages
them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FLAT = 1e-6  # variance of centroids along an axis, relative to all, under which the axis is damped


class LocalFit(NamedTuple):
    """Where the centroids go, and how the map goes on from there."""

    anchors: Tensor
    """Codes of the centroids, shape (N, d)."""
    slopes: Tensor
    """Symmetric, positive semi-definite, shape (N, d, d): how codes change with noise."""


def fit_locally(
    centroids: Tensor, points: Tensor, around: csr_array, a: float, b: float
) -> LocalFit:
    r"""Fit an affine map to the pairs (centroid, code) around each one, by least squares.

    With :math:`\bar c_j` and :math:`\bar y_j` the means around j and :math:`L_j` the matrix of the
    fit :math:`y \approx \bar y_j + L_j (c - \bar c_j)`, the anchor is

    .. math:: z_j = \bar y_j + b\,L_j (c_j - \bar c_j) + a\,r_j,\qquad
        r_j = y_j - \bar y_j - L_j (c_j - \bar c_j).

    a = b = 1 gives the code back, a = 0 the fit; b below 1 draws the anchors together. The slopes
    returned are b times the symmetric part of :math:`L_j` without its negative eigenvalues:
    the derivative of a convex function's gradient is such a matrix.

    Parameters
    ----------
    centroids, points : Tensor of shape (N, d), float64
        Centroids and codes; rows that are alone may have any centroid.
    around : scipy.sparse.csr_array of shape (N, N)
        Which pairs each fit is made to, the own one among them (`neighbourhoods`).
    a, b : float
        Share of the residual that is kept, and of the slope.

    Returns
    -------
    LocalFit
        Anchors and slopes, on the device of the codes.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> c = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    >>> y = torch.tensor([[0.0], [2.2], [4.0]], dtype=torch.float64)
    >>> fit = fit_locally(c, y, csr_array(np.ones((3, 3))), 0.0, 1.0)
    >>> fit.anchors.flatten(), fit.slopes.flatten()
    (tensor([0.0667, 2.0667, 4.0667], dtype=torch.float64), tensor([2.0000, 2.0000, 2.0000], dtype=torch.float64))
    """
    c, y = (array.detach().cpu().numpy() for array in (centroids, points))
    c = np.nan_to_num(c)
    begin, items = around.indptr[:-1], around.indices
    counts = np.diff(around.indptr)[:, None]

    def means(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, begin) / counts.reshape(-1, *[1] * (values.ndim - 1))

    rows = np.repeat(np.arange(len(c)), counts[:, 0])
    c_mean, y_mean = means(c[items]), means(y[items])
    c_step, y_step = c[items] - c_mean[rows], y[items] - y_mean[rows]
    variance = means(c_step[:, :, None] * c_step[:, None])
    mixed = means(y_step[:, :, None] * c_step[:, None])
    floor = FLAT * np.trace(variance, axis1=1, axis2=2)[:, None, None] + 1e-300
    slopes = np.linalg.solve(variance + floor * np.eye(c.shape[1]), mixed.transpose(0, 2, 1))
    steady = np.einsum("ncd,nc->nd", slopes, c - c_mean)
    anchors = y_mean + b * steady + a * (y - y_mean - steady)
    values, vectors = np.linalg.eigh((slopes + slopes.transpose(0, 2, 1)) / 2)
    upright = np.einsum("nij,nj,nkj->nik", vectors, b * values.clip(min=0), vectors)
    return LocalFit(*(torch.from_numpy(part).to(points) for part in (anchors, upright)))


def neighbourhoods(adjacency: csr_array, k: int | np.ndarray) -> csr_array:
    """Widen neighbourhoods ring by ring until they hold at least k members, or all they can reach.

    Parameters
    ----------
    adjacency : scipy.sparse.csr_array of shape (N, N)
        Who is next to whom; symmetric.
    k : int or ndarray of shape (N,)
        Number of members that is enough, the own one included.

    Returns
    -------
    scipy.sparse.csr_array of shape (N, N)
        Members of each row, the own one among them, rising.

    Examples
    --------
    >>> from scipy.sparse import diags_array
    >>> chain = diags_array([1.0, 1.0], offsets=[-1, 1], shape=(6, 6)).tocsr()
    >>> [row.nonzero()[0].tolist() for row in neighbourhoods(chain, 3).toarray()[:3]]
    [[0, 1, 2], [0, 1, 2], [1, 2, 3]]
    """
    from scipy.sparse import diags_array, eye_array

    count = adjacency.shape[0]
    own = eye_array(count, dtype=np.int32, format="csr")
    step, found = adjacency.astype(bool).astype(np.int32) + own, own
    while True:
        sizes = np.diff(found.indptr)
        few = diags_array((sizes < k).astype(float)).tocsr()
        wider = (found + few @ found @ step).tocsr()
        wider.data[:] = 1
        if wider.nnz == found.nnz:
            break
        found = wider
    found.sort_indices()
    return found
