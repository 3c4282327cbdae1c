"""Laplacians of cell graphs: assembled, and solved by the library that is fastest at their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Sparse = tuple[np.ndarray, np.ndarray, np.ndarray]  # indptr, indices, data
METHODS = ("auto", "direct", "multigrid", "cg")
CG_BELOW = {2: 15_000, 3: 100_000}  # sites from which on multigrid takes less time
MOST_ITERATIONS = 2_000


def laplacian(count: int, first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> csr_array:
    """Return the Laplacian of a weighted graph.

    Parameters
    ----------
    count : int
        Number of vertices N.
    first, second, weights : ndarray of shape (F,)
        Every edge from both sides.

    Returns
    -------
    csr_array of shape (N, N)
        Degrees on the diagonal, minus the weights beside it.
    """
    from scipy.sparse import coo_array

    diagonal = np.arange(count)
    degrees = np.bincount(first, weights, minlength=count)
    data = np.concatenate([-weights, degrees])
    where = np.concatenate([first, diagonal]), np.concatenate([second, diagonal])
    return coo_array((data, where), shape=(count, count)).tocsr()


def solve_laplacian(
    matrix: Sparse, rhs: np.ndarray, *, dim: int, method: str = "auto", rtol: float = 1e-10
) -> np.ndarray:
    """Solve ``matrix @ x = rhs`` for x of mean zero, for a right-hand side of mean zero.

    Parameters
    ----------
    matrix : tuple of ndarray
        indptr, indices and data of the Laplacian of a connected graph with N vertices.
    rhs : ndarray of shape (N,)
        Right-hand side.
    dim : int
        Dimension of the diagram, which decides how costly a factorisation is.
    method : {"auto", "direct", "multigrid", "cg"}, default="auto"
        ``"direct"`` factorises (SuperLU of scipy); ``"multigrid"`` is conjugate gradients with
        aggregation multigrid (`kernels.graph_multigrid`), ``"cg"`` with a modified incomplete
        factorisation (`kernels.graph_cg`), which is faster up to some 10,000 sites.
    rtol : float, default=1e-10
        Relative residual of the iterative methods.

    Returns
    -------
    ndarray of shape (N,)
        The solution, with NaN where a method broke down.
    """
    if method == "auto":
        method = "cg" if len(rhs) <= CG_BELOW[dim] else "multigrid"
    solve = {"direct": _direct, "multigrid": _multigrid, "cg": _cg}[method]
    found = solve(matrix, rhs - rhs.mean(), rtol)
    return found - found.mean()


def _direct(matrix: Sparse, rhs: np.ndarray, rtol: float) -> np.ndarray:
    """Factorise the Laplacian with one vertex grounded."""
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import splu

    indptr, indices, data = matrix
    whole = csr_array((data, indices, indptr), shape=(len(rhs), len(rhs)))
    whole.sum_duplicates()
    factor = splu(
        whole[1:, 1:].tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.concatenate([[0.0], factor.solve(rhs[1:])])


def _multigrid(matrix: Sparse, rhs: np.ndarray, rtol: float) -> np.ndarray:
    """Conjugate gradients with aggregation multigrid."""
    from ot_latent.kernels.graph_multigrid import solve

    return solve(*matrix, rhs, rtol, MOST_ITERATIONS)[0]


def _cg(matrix: Sparse, rhs: np.ndarray, rtol: float) -> np.ndarray:
    """Conjugate gradients with a modified incomplete factorisation."""
    from ot_latent.kernels.graph_cg import conjugate_gradients

    return conjugate_gradients(*matrix, rhs, rtol, MOST_ITERATIONS)[0]
