"""Second-order total variation in the Radon domain, exact for shallow networks.

``RTV2(f)`` is the norm that weight decay puts on functions: the total variation of the measure on
hyperplanes whose atoms are the kinks of f. Affine functions cost nothing; one neuron with
``|w| = |v| = 1`` costs 1 (normalisation of Parhi and Nowak 2021).
"""

from __future__ import annotations

import numpy as np
from torch import nn

from ot_latent._validation import check_positive
from ot_latent.theory.sparsity.shallow import ShallowNetwork, as_shallow

TOLERANCE = 1e-9
ROUNDING = 1e-14  # what is left of atoms that cancel


def rtv2(
    network: nn.Module | ShallowNetwork,
    *,
    radius: float | None = None,
    out_norm: int = 2,
    tolerance: float = TOLERANCE,
) -> float:
    r"""Return the Radon-domain variation of a network with one hidden layer.

    Exact: neurons on one hyperplane are one atom, whichever way they look, because
    ``max(z, 0) - max(-z, 0) = z`` is affine; so with groups G of neurons on one hyperplane
    ``RTV2(f) = sum_G | sum_{k in G} |w_k| v_k |``. In one dimension it is the total variation
    of f'. The path norm is at least as large, with equality iff no group cancels in part.

    Parameters
    ----------
    network : torch.nn.Module or ShallowNetwork
        One hidden layer of ReLU or leaky ReLU, with or without an affine skip.
    radius : float, optional
        Count only kinks that meet the ball of this radius around 0: on the ball the others are affine.
    out_norm : {1, 2}, default=2
        Norm of vector-valued atoms: 2 is what weight decay induces (Shenouda, Parhi, Lee, Nowak
        2024), 1 the sum over coordinates (Parhi and Nowak 2022).
    tolerance : float, default=1e-9
        Largest distance of two hyperplanes, as unit vectors along (w, b), that count as one.

    Returns
    -------
    float
        The variation.

    Raises
    ------
    ValueError
        If `out_norm` is neither 1 nor 2, or `radius` is not positive.

    Examples
    --------
    >>> twice = ShallowNetwork.build([[2.0], [-1.0]], [-2.0, 1.0], [[1.0], [-0.5]])
    >>> float(twice.unit_norms().sum()), rtv2(twice)  # two neurons that look opposite ways at x = 1
    (2.5, 1.5)
    """
    if out_norm not in (1, 2):
        raise ValueError(f"out_norm must be 1 or 2, got {out_norm!r}; pass 2 for weight decay.")
    merged = merge_duplicates(network, radius=radius, tolerance=tolerance)
    return float(merged.unit_norms(out_norm).sum())


def merge_duplicates(
    network: nn.Module | ShallowNetwork,
    *,
    radius: float | None = None,
    tolerance: float = TOLERANCE,
) -> ShallowNetwork:
    """Return the same function with one neuron per hyperplane, each with ``|w| = 1``.

    A neuron that looks the other way than its group gives its affine part to the skip connection;
    neurons without kink (w = 0) become constants, and silent ones vanish. Exact but for
    rounding, and for `tolerance` where hyperplanes only nearly agree.

    Parameters
    ----------
    network : torch.nn.Module or ShallowNetwork
        One hidden layer of ReLU or leaky ReLU, with or without an affine skip.
    radius : float, optional
        Keep the function on the ball of this radius only: kinks outside become affine.
    tolerance : float, default=1e-9
        Largest distance of two hyperplanes, as unit vectors along (w, b), that count as one.

    Returns
    -------
    ShallowNetwork
        The reduced form; its path norm is `rtv2` of the function.

    Raises
    ------
    ValueError
        If `radius` is not positive.
    """
    net = as_shallow(network)
    if radius is not None:
        check_positive(radius, "radius")
    lengths = np.linalg.norm(net.incoming, axis=1)
    offset = net.offset + np.maximum(net.bias[lengths == 0], 0) @ net.outgoing[lengths == 0]
    live = (lengths > 0) & net.outgoing.any(axis=1)
    u = net.incoming[live] / lengths[live, None]
    t = net.bias[live] / lengths[live]
    a = net.outgoing[live] * lengths[live, None]
    reach = np.inf if radius is None else radius
    meets = np.abs(t) < reach  # the others are affine or zero on the whole ball
    always = t >= reach
    skip = net.skip + a[always].T @ u[always]
    offset = offset + t[always] @ a[always]
    u, t, a = u[meets], t[meets], a[meets]
    group, flipped = _hyperplanes(u, t, tolerance)
    skip = skip + a[flipped].T @ u[flipped]  # max(z, 0) = max(-z, 0) + z
    offset = offset + t[flipped] @ a[flipped]
    return _join(u, t, a, group, flipped, skip, offset)


def _join(
    u: np.ndarray,
    t: np.ndarray,
    a: np.ndarray,
    group: np.ndarray,
    flipped: np.ndarray,
    skip: np.ndarray,
    offset: np.ndarray,
) -> ShallowNetwork:
    """Add up the atoms of every group, on the hyperplane of its heaviest member."""
    count = int(group.max(initial=-1)) + 1
    sizes = np.linalg.norm(a, axis=1)
    atoms = np.zeros((count, a.shape[1]))
    np.add.at(atoms, group, a)
    sign = np.where(flipped, -1.0, 1.0)
    order = np.argsort(sizes, kind="stable")
    heaviest = np.zeros(count, dtype=np.int64)
    heaviest[group[order]] = order  # the last writer is the heaviest
    normals = (sign[:, None] * u)[heaviest]
    shifts = (sign * t)[heaviest]
    kept = np.linalg.norm(atoms, axis=1) > ROUNDING * np.bincount(group, sizes, count)
    return ShallowNetwork(normals[kept], shifts[kept], atoms[kept], skip, offset)


def _hyperplanes(u: np.ndarray, t: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Give numbers to the distinct hyperplanes, and say who looks at its own from the other side.

    Points (u, t) / |(u, t)| and their opposites are joined where they are within the tolerance; of
    the two components of a hyperplane the one that was met first is its front.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(t)
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    points = np.column_stack([u, t]) / np.hypot(1.0, t)[:, None]
    both = np.concatenate([points, -points])
    i, j = cKDTree(both).query_pairs(tolerance, output_type="ndarray").T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(2 * n, 2 * n))
    label = connected_components(graph, directed=False)[1]
    front, back = label[:n], label[n:]
    _, group = np.unique(np.minimum(front, back), return_inverse=True)
    return group, back < front
