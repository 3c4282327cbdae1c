"""Wasserstein distances of two clouds of codes, exact on few items and sliced on many (by POT)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent._validation import check_positive
from ot_latent.metrics._inputs import as_row_pair

EXACT_ROWS = 1000  # the exact plan takes some 0.2 s there, and grows with the cube
_FIRST_KEY, _SLICE_KEY = 1, 2  # draws of this module within the bootstrap stream


def exact_wasserstein(*, real: Any, generated: Any, rows: int = EXACT_ROWS, seed: int = 0) -> float:
    r"""Return :math:`W_2`, the root of the optimal mean squared displacement between two clouds.

    The plan is exact (network simplex of POT); clouds of more than `rows` items are thinned at
    random first. Two samples of one law are a positive distance apart, which falls only like
    :math:`n^{-1/d}`: compare with the distance of two real samples of the same sizes.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Codes; further axes are flattened.
    rows : int, default=1000
        Most items taken from each cloud.
    seed : int, default=0
        Seed of the thinning.

    Returns
    -------
    float
        The distance, in the units of the codes.

    Raises
    ------
    DataError
        If a cloud is empty, not finite, or the dimensions differ.

    Examples
    --------
    >>> exact_wasserstein(real=[[0.0], [1.0]], generated=[[4.0], [3.0]])
    3.0
    """
    import ot

    check_positive(rows, "rows", integer=True)
    a, b = (x.cpu().numpy() for x in as_row_pair(real, generated, ("real", "generated")))
    chosen = [
        cloud[generator(seed, Stream.BOOTSTRAP, block, _FIRST_KEY).permutation(len(cloud))[:rows]]
        for block, cloud in enumerate((a, b))
    ]
    masses = [np.full(len(cloud), 1 / len(cloud)) for cloud in chosen]
    return float(np.sqrt(max(0.0, ot.emd2(*masses, ot.dist(*chosen)))))


def sliced_wasserstein(
    *, real: Any, generated: Any, projections: int = 128, seed: int = 0
) -> float:
    r"""Return the sliced :math:`W_2`: root mean square of the distances along random directions.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Codes; further axes are flattened.
    projections : int, default=128
        Number of directions.
    seed : int, default=0
        Seed of the directions.

    Returns
    -------
    float
        The distance; a translation by t gives about |t| / sqrt(d).

    Raises
    ------
    DataError
        If a cloud is empty, not finite, or the dimensions differ.

    Examples
    --------
    >>> round(sliced_wasserstein(real=[[0.0], [1.0]], generated=[[3.0], [4.0]]), 6)
    3.0
    """
    import ot

    check_positive(projections, "projections", integer=True)
    a, b = (x.cpu().numpy() for x in as_row_pair(real, generated, ("real", "generated")))
    rng = generator(seed, Stream.BOOTSTRAP, 0, _SLICE_KEY)
    directions = rng.standard_normal((a.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    return float(ot.sliced_wasserstein_distance(a, b, projections=directions))
