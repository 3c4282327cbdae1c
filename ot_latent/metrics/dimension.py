"""How many dimensions a set of points has: local principal components, or nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import check_positive
from ot_latent.kernels.dispatch import nearest
from ot_latent.metrics._inputs import as_rows

_ANCHORS = 102  # a counter that keeps this draw apart from others of the stream
_LPCA_SHARE = 0.2
_METHODS = ("lpca", "two_nn", "mle")


def intrinsic_dimension(
    points: Any,
    *,
    method: str = "lpca",
    neighbours: int | None = None,
    anchors: int = 200,
    seed: int = 0,
) -> float:
    """Estimate the dimension of the set that points lie on, through scikit-dimension.

    Local principal components, "lpca", count the directions around an anchor whose variance exceeds
    a fifth of the largest (Fukunaga and Olsen): noise in the other directions does not enter, at the
    price of a low figure where the directions of the set itself differ much in extent. On the four
    known manifolds in R^50 (4,000 points) it rounds to the truth with noise 0, 0.01 and 0.02 per
    coordinate, where "two_nn" and "mle" see the noise: 10 to 24 and 4 to 17 for noise 0.01 and 0.02.
    On noiseless points, such as reconstructions, all three agree.

    Parameters
    ----------
    points : array-like of shape (n, D)
        Items; further axes are flattened.
    method : {"lpca", "two_nn", "mle"}, default="lpca"
        Estimator.
    neighbours : int, optional
        Points of a neighbourhood ("lpca", "mle"); by default a tenth of the points, at least 10 and
        at most 200 ("mle": 20).
    anchors : int, default=200
        Number of neighbourhoods that "lpca" averages over.
    seed : int, default=0
        Seed of the choice of anchors.

    Returns
    -------
    float
        Estimated dimension.

    Raises
    ------
    DataError
        If there are fewer than 11 points, or no more than `neighbours`.
    ValueError
        If the method is unknown, or a number is not a positive integer.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}; pass lpca.")
    import skdim

    if neighbours is not None:
        check_positive(neighbours, "neighbours", integer=True)
    check_positive(anchors, "anchors", integer=True)
    x = as_rows(points, "points", min_rows=max(11, (neighbours or 0) + 1))
    if x.shape[1] == 1:
        return 1.0  # the estimators need two columns
    if method == "two_nn":
        return float(skdim.id.TwoNN().fit_transform(x.cpu().numpy()))
    if method == "mle":
        return float(
            skdim.id.MLE(K=neighbours or min(20, len(x) - 1)).fit_transform(x.cpu().numpy())
        )
    size = neighbours or min(200, max(10, len(x) // 10))
    rng = generator(seed, Stream.MANIFOLD, 0, _ANCHORS)
    chosen = rng.permutation(len(x))[:anchors]
    _, around = nearest(x[chosen], x, size)
    estimator = skdim.id.lPCA(ver="FO", alphaFO=_LPCA_SHARE, fit_explained_variance=True)
    spectra = (_spectrum(x[members]).cpu().numpy() for members in around)
    found = [estimator.fit_transform(v) if v[0] > 0.0 else 0 for v in spectra]  # 0: all copies
    return float(np.mean(found))


def _spectrum(patch: Tensor) -> Tensor:
    """Return the variances along the principal axes of a patch, up to a factor, largest first."""
    centred = patch - patch.mean(0)
    wide = patch.shape[1] > len(patch)  # the smaller of the two products has the same spectrum
    product = centred @ centred.T if wide else centred.T @ centred
    values = torch.linalg.eigvalsh(product).flip(0)
    # rounding leaves zeros on either side of zero, and the estimator divides by them
    return values.clamp_min(float(values[0]) * torch.finfo(values.dtype).eps)
