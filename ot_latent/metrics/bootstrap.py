"""Intervals by the bootstrap: items are drawn again with replacement, and the figure is recomputed.

Reference: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993. Figures that are means of
per-item verdicts (precision, coverage, copy rate) are resampled as such: the pairs are not visited
again. Figures with a bias that falls with the number of items (Frechet distance, divergence of
shares) rise when items repeat; their interval is moved back by the rise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import check_positive, check_same_length
from ot_latent.metrics._inputs import as_row_pair


class Interval(NamedTuple):
    """A figure with its interval.

    Attributes
    ----------
    value : float
        The figure of the items themselves.
    low, high : float
        Ends of the interval.
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: Any,
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
    paired: bool = False,
    recentre: bool = False,
) -> Interval:
    """Return a figure and its percentile interval.

    Parameters
    ----------
    statistic : callable
        ``statistic(*arrays)`` returns a number.
    *arrays : array-like
        Items along the first axis; each array is resampled on its own.
    seed : int
        Seed of the resampling.
    resamples : int, default=200
        Number of resamples.
    level : float, default=0.95
        Share of resamples inside the interval.
    paired : bool, default=False
        Draw the same rows of every array, which then have one length.
    recentre : bool, default=False
        Move the interval by value - mean of the resamples, for figures that repeats bias.

    Returns
    -------
    Interval
        Value, low, high.

    Raises
    ------
    ValueError
        If `resamples` or `level` is out of range, or paired arrays differ in length.

    Examples
    --------
    >>> bootstrap_interval(np.mean, np.ones(9), seed=0, resamples=5)
    Interval(value=1.0, low=1.0, high=1.0)
    """
    items = [np.asarray(a.detach().cpu() if isinstance(a, Tensor) else a) for a in arrays]
    for other in items[1:] if paired else []:
        check_same_length(items[0], other, ("the first array", "a paired array"))

    def once(rng: np.random.Generator) -> float:
        rows = [rng.integers(0, len(a), len(a)) for a in (items[:1] if paired else items)]
        chosen = rows * len(items) if paired else rows
        return float(statistic(*(a[r] for a, r in zip(items, chosen, strict=True))))

    value = float(statistic(*items))
    return _interval(value, once, seed, resamples, level, recentre)


def frechet_interval(
    *, real: Any, generated: Any, seed: int, resamples: int = 100, level: float = 0.95
) -> Interval:
    """Return the Frechet distance and its recentred interval, through resampled moments.

    Both clouds are resampled; each resample costs two weighted covariances, not a new pass over
    pairs.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.
    seed : int
        Seed of the resampling.
    resamples : int, default=100
        Number of resamples.
    level : float, default=0.95
        Share of resamples inside the interval.

    Returns
    -------
    Interval
        Value, low, high; not below zero.

    Raises
    ------
    ValueError
        If `resamples` or `level` is out of range.
    DataError
        If `metrics.frechet_distance` refuses the clouds.
    """
    from ot_latent.metrics.fidelity import frechet_distance

    clouds = as_row_pair(real, generated, ("real", "generated"), min_rows=2)
    value = frechet_distance(real=clouds[0], generated=clouds[1])

    def once(rng: np.random.Generator) -> float:
        (m1, s1), (m2, s2) = (_resampled_moments(cloud, rng) for cloud in clouds)
        root = _root(s1)
        overlap = torch.linalg.eigvalsh(root @ s2 @ root).clamp_min(0.0).sqrt().sum()
        gap = (m1 - m2).square().sum()
        return float(gap + s1.trace() + s2.trace() - 2.0 * overlap)

    low, high = _interval(value, once, seed, resamples, level, True)[1:]
    return Interval(value, max(low, 0.0), max(high, 0.0))


def _interval(
    value: float,
    once: Callable[[np.random.Generator], float],
    seed: int,
    resamples: int,
    level: float,
    recentre: bool,
) -> Interval:
    """Percentiles of `resamples` figures, each from its own block of the stream."""
    check_positive(resamples, "resamples", integer=True)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; pass 0.95.")
    figures = np.array([once(generator(seed, Stream.BOOTSTRAP, i)) for i in range(resamples)])
    if recentre:
        figures += value - figures.mean()
    low, high = np.quantile(figures, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(value, float(low), float(high))


def _resampled_moments(cloud: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a resample, from how often each row was drawn."""
    n = len(cloud)
    counts = np.bincount(rng.integers(0, n, n), minlength=n)
    weights = torch.from_numpy(counts).to(cloud)
    mean = weights @ cloud / n
    centred = (cloud - mean) * weights.sqrt()[:, None]
    return mean, centred.T @ centred / (n - 1)


def _root(covariance: Tensor) -> Tensor:
    """Symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T
