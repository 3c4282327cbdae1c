r"""Feature likelihood divergence: how likely held-out items are under a density made of the samples.

Every generated item becomes a normal density whose width makes the *training* items likely; held-out
items are then scored. Copies of training records get a width near zero, which makes held-out items
unlikely: fidelity, diversity and novelty weigh on one number (Jiralerspong et al. [1]_).

References
----------
.. [1] M. Jiralerspong et al., Feature likelihood divergence: evaluating the generalization of
   generative models using samples, NeurIPS 2023.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_positive
from ot_latent.metrics._inputs import as_row_pair

_CHUNK = 1024  # rows of distances held at once
_STEPS = 100  # of expectation-maximisation at most
_PRECISION = 1e-4  # nats per dimension: a smaller gain ends the iteration
_SMALLEST = 1e-6  # least variance, where a feature's is one: a thousandth of its deviation
_HALF_KEY = 4  # draws of this module within the bootstrap stream


def feature_likelihood_divergence(
    *, train: Any, holdout: Any, generated: Any, seed: int = 0
) -> float:
    r"""Return the feature likelihood divergence: 0 as good as fresh data, more is worse.

    With :math:`g_j` the m generated items in features standardised by the held-out ones,

    .. math:: \mathrm{FLD} = \frac{100}{d} \Bigl( \overline{-\log p(x)} - C \Bigr), \qquad
              p(x) = \frac1m \sum_j N(x;\, g_j,\, \sigma_j^2 I),

    mean over held-out x, with the :math:`\sigma_j` of greatest likelihood on the training items
    beside one wide density that takes up what no generated item is near to. C is the same
    figure with half of the training items (at most m) in the place of the generated ones, fitted to
    the other half. The widths are found by expectation-maximisation from the distance to the
    closest training item, as in the authors' code by gradients; the likelihood has several maxima,
    so the figure is an estimate. For exact copies it has no upper limit: no
    :math:`\sigma_j` is let below a thousandth, and figures above some hundred mean "copied".

    Parameters
    ----------
    train, holdout, generated : array-like of shape (n, d)
        Items in one space of features or codes.
    seed : int, default=0
        Seed of the halves of the training items.

    Returns
    -------
    float
        Divergence, in hundredths of a nat per dimension.

    Raises
    ------
    DataError
        If there are fewer than four training items, an array is empty or not finite, or the
        dimensions differ.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> train, holdout, fresh = rng.normal(size=(3, 400, 2))
    >>> options = {"train": train, "holdout": holdout}
    >>> abs(feature_likelihood_divergence(**options, generated=fresh)) < 10
    True
    >>> feature_likelihood_divergence(**options, generated=train) > 1000
    True
    """
    made = len(generated)
    excess = held_out_surprise(centres=generated, train=train, holdout=holdout)
    return float((excess - reference_surprise(train, holdout, made, seed=seed)).mean())


def reference_surprise(train: Any, holdout: Any, centres: int, *, seed: int = 0) -> np.ndarray:
    """Return `held_out_surprise` of half of the training items, fitted to the other half.

    Parameters
    ----------
    train, holdout : array-like of shape (n, d)
        Items.
    centres : int
        Largest number of items that serve as centres.
    seed : int, default=0
        Seed of the halves.

    Returns
    -------
    numpy.ndarray
        Shape (n,), in hundredths of a nat per dimension.

    Raises
    ------
    DataError
        If there are fewer than four training items.
    """
    check_positive(centres, "centres", integer=True)
    known, fresh = as_row_pair(train, holdout, ("train", "holdout"))
    if len(known) < 4:
        raise DataError(
            f"train must have at least 4 rows, got {len(known)}; half of them stand for fresh items."
        )
    order = generator(seed, Stream.BOOTSTRAP, 0, _HALF_KEY).permutation(len(known))
    cut = min(centres, len(known) // 2)
    rows = torch.from_numpy(order).to(known.device)
    return held_out_surprise(centres=known[rows[:cut]], train=known[rows[cut:]], holdout=fresh)


def held_out_surprise(*, centres: Any, train: Any, holdout: Any) -> np.ndarray:
    r"""Return :math:`-100 \log p(x) / d` of held-out items, under normal densities at the centres.

    Parameters
    ----------
    centres : array-like of shape (m, d)
        Centres of the densities.
    train : array-like of shape (n, d)
        Items that the widths are fitted to.
    holdout : array-like of shape (k, d)
        Items that are scored; all are standardised by their mean and deviation.

    Returns
    -------
    numpy.ndarray
        Shape (k,), in hundredths of a nat per dimension.

    Raises
    ------
    DataError
        If an array is empty or not finite, or the dimensions differ.
    """
    points, known = as_row_pair(centres, train, ("generated", "train"))
    _, fresh = as_row_pair(points, holdout, ("generated", "holdout"))
    shift = fresh.mean(0)
    scale = (fresh - shift).square().mean(0).sqrt()
    scale[scale == 0.0] = 1.0
    points, known, fresh = ((x - shift) / scale for x in (points, known, fresh))
    variances = fitted_variances(points, known)
    parts = [_log_densities(x, points, variances).logsumexp(1) for x in fresh.split(_CHUNK)]
    dim = points.shape[1]
    surprise = dim / 2 * np.log(2 * np.pi) - torch.cat(parts)
    return (100.0 / dim * surprise).cpu().numpy()


def fitted_variances(centres: Tensor, points: Tensor) -> Tensor:
    """Return the variances of equal weights under which points are likeliest.

    Expectation-maximisation: each step raises the likelihood. Distances are computed anew in chunks
    of 1024 points, so memory is that of 1024 rows of m numbers.

    Parameters
    ----------
    centres : Tensor of shape (m, d)
        Centres of isotropic normal densities, each of weight 1/m.
    points : Tensor of shape (n, d)
        What is fitted to. A wide density at their mean, of weight one, takes up outliers.

    Returns
    -------
    Tensor
        Shape (m,); at least 1e-6.
    """
    dim = points.shape[1]
    everywhere = torch.cat([centres, points.mean(0, keepdim=True)])
    nearest = torch.full_like(everywhere[:, 0], torch.inf)
    for part in points.split(_CHUNK):
        nearest = torch.minimum(nearest, _squares(part, everywhere).min(0).values)
    variances = (nearest / dim).clamp_min(_SMALLEST)
    variances[-1] = (points - everywhere[-1]).square().mean().clamp_min(_SMALLEST)
    before = -torch.inf
    for _ in range(_STEPS):
        owned, spread, likelihood = _expectation(points, everywhere, variances)
        seen = owned > 0.0
        variances[seen] = (spread[seen] / (dim * owned[seen])).clamp_min(_SMALLEST)
        gain, before = likelihood - before, likelihood
        if gain < _PRECISION * dim:
            break
    return variances[:-1]


def _expectation(
    points: Tensor, everywhere: Tensor, variances: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Points owned by each density, their squared distances, and the mean log-likelihood."""
    owned, spread = torch.zeros_like(variances), torch.zeros_like(variances)
    likelihood = 0.0
    for part in points.split(_CHUNK):
        squares = _squares(part, everywhere)
        logs = -0.5 * squares / variances - points.shape[1] / 2 * variances.log()
        logs[:, :-1] -= np.log(len(everywhere) - 1)
        total = logs.logsumexp(1, keepdim=True)
        shares = (logs - total).exp_()
        owned += shares.sum(0)
        spread += (shares * squares).sum(0)
        likelihood += float(total.sum())
    return owned, spread, likelihood / len(points)


def _log_densities(x: Tensor, centres: Tensor, variances: Tensor) -> Tensor:
    """Logarithm of each weighted density, without the constant -d/2 log(2 pi)."""
    logs = -0.5 * _squares(x, centres) / variances - x.shape[1] / 2 * variances.log()
    return logs - np.log(len(centres))


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all pairs."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2.0 * x @ y.T).clamp_min_(0.0)
