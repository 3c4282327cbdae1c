"""Whether every mode is there, in its share, with its spread, and nothing between them.

Modes are classes: the labels of the data, or what a classifier says of each item. The judge is the
same for real and generated items.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ot_latent._validation import DataError, check_array, check_positive, check_same_length
from ot_latent.metrics._inputs import as_labels, as_rows

_SMOOTHING = 0.5


class ModeDivergence(NamedTuple):
    """How far the shares of the modes are from the data's.

    Attributes
    ----------
    value : float
        Kullback-Leibler divergence in nats, as counted.
    bias : float
        What a perfect sampler of this size shows on average (Miller and Madow's first order).
    """

    value: float
    bias: float


def mode_histogram(labels: Any, *, classes: int | None = None) -> np.ndarray:
    """Return the share of each mode.

    Parameters
    ----------
    labels : array-like of shape (n,) or (n, classes)
        Labels 0, 1, 2, ...; or class probabilities, of which the largest counts.
    classes : int, optional
        Number of modes; by default the largest label plus one, or the number of columns.

    Returns
    -------
    numpy.ndarray
        Shape (classes,), sums to one.

    Raises
    ------
    DataError
        If the labels are not whole and non-negative, or reach `classes`.
    ValueError
        If `classes` is not a positive integer.

    Examples
    --------
    >>> mode_histogram([0, 2, 2, 2]).tolist()
    [0.25, 0.0, 0.75]
    """
    if classes is not None:
        check_positive(classes, "classes", integer=True)
    shape: tuple[int, ...] = tuple(getattr(labels, "shape", ()))
    columns = shape[1] if len(shape) == 2 else 0
    y = as_labels(labels, "labels")
    if classes is not None and y.max() >= classes:
        raise DataError(
            f"labels must be less than classes = {classes}, got {y.max()}; raise classes, or encode "
            "the labels from 0."
        )
    return np.bincount(y, minlength=classes or columns) / len(y)


def modes_covered(*, real: Any, generated: Any) -> int:
    """Return how many of the data's modes own at least one generated item.

    Parameters
    ----------
    real, generated : array-like
        Labels or class probabilities, as for `mode_histogram`.

    Returns
    -------
    int
        Number of modes.

    Examples
    --------
    >>> modes_covered(real=[0, 1, 2], generated=[2, 2, 7])
    1
    """
    present = set(as_labels(real, "real").tolist())
    return len(present & set(as_labels(generated, "generated").tolist()))


def mode_kl(*, real: Any, generated: Any) -> ModeDivergence:
    r"""Return the divergence of the generated shares q from the data's shares p.

    .. math:: \mathrm{KL}(q \,\|\, p) = \sum_k q_k \log (q_k / p_k)

    A lost mode raises it through the surplus of the others; a mode that the data do not have counts
    as half an item of the data, so the value stays finite. Counted from n items, even a perfect
    sampler shows about (K - 1) / 2 (1 / n_real + 1 / n_generated) for K modes: the field `bias`.

    Parameters
    ----------
    real, generated : array-like
        Labels or class probabilities, as for `mode_histogram`.

    Returns
    -------
    ModeDivergence
        Divergence and bias, in nats.

    Raises
    ------
    DataError
        If the labels are not whole and non-negative.

    Examples
    --------
    >>> round(mode_kl(real=[0, 1] * 50, generated=[0] * 100).value, 4)  # log 2
    0.6931
    """
    y, z = as_labels(real, "real"), as_labels(generated, "generated")
    classes = int(max(y.max(), z.max())) + 1
    p, q = np.bincount(y, minlength=classes), np.bincount(z, minlength=classes)
    shares = np.where(p > 0, p, _SMOOTHING) / len(y)
    drawn = q[q > 0] / len(z)
    value = float((drawn * np.log(drawn / shares[q > 0])).sum())
    modes = int((p > 0).sum())
    return ModeDivergence(max(value, 0.0), (modes - 1) / 2.0 * (1.0 / len(y) + 1.0 / len(z)))


def mixture_threshold(real_confidence: Any, *, quantile: float = 0.01) -> float:
    """Return the confidence that all but a share `quantile` of real items reach.

    Parameters
    ----------
    real_confidence : array-like of shape (n,) or (n, classes)
        Largest class probability of each real item, or the probabilities themselves.
    quantile : float, default=0.01
        Share of real items below the threshold.

    Returns
    -------
    float
        Confidence.

    Raises
    ------
    ValueError
        If `quantile` does not lie in (0, 1).
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile must lie between 0 and 1, got {quantile}; pass 0.01.")
    return float(np.quantile(_confidence(real_confidence, "real_confidence"), quantile))


def mixture_rate(*, real: Any, generated: Any, quantile: float = 0.01) -> float:
    """Return the share of items between modes: the classifier is less sure than of real data.

    Parameters
    ----------
    real, generated : array-like of shape (n,) or (n, classes)
        Largest class probability of each item, or the probabilities themselves.
    quantile : float, default=0.01
        Share of real items below the threshold, hence the rate of a perfect sampler.

    Returns
    -------
    float
        Share in [0, 1].

    Raises
    ------
    ValueError
        If `quantile` does not lie in (0, 1).
    DataError
        If an array is empty or not finite.

    Examples
    --------
    >>> mixture_rate(real=[0.9] * 100, generated=[0.95, 0.5, 0.99, 0.97])
    0.25
    """
    threshold = mixture_threshold(real, quantile=quantile)
    return float((_confidence(generated, "generated") < threshold).mean())


def variance_ratio(
    *, real: Any, generated: Any, real_labels: Any = None, generated_labels: Any = None
) -> float:
    """Return the within-mode variance of generated items over that of real items.

    1 is right; below 1 modes have shrunk, above 1 they have been blurred. Each mode counts with its
    share of the real items, whatever its share of the generated ones.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Codes or features; the real ones fresh, not those that the sampler was fitted to.
    real_labels, generated_labels : array-like, optional
        Mode of each item, as for `mode_histogram`; without labels all items are one mode.

    Returns
    -------
    float
        Ratio of the total variances.

    Raises
    ------
    DataError
        If no mode has two items on both sides, real items do not vary, or lengths differ.
    ValueError
        If labels are given for one side only.

    Examples
    --------
    >>> variance_ratio(real=[[0.0], [2.0]], generated=[[0.0], [1.0]])
    0.25
    """
    if (real_labels is None) != (generated_labels is None):
        raise ValueError(
            "real_labels and generated_labels must come together, got one; pass both or none."
        )
    x = as_rows(real, "real", min_rows=2).cpu().numpy()
    g = as_rows(generated, "generated", min_rows=2).cpu().numpy()
    y = np.zeros(len(x), int) if real_labels is None else as_labels(real_labels, "real_labels")
    z = np.zeros(len(g), int)
    if generated_labels is not None:
        z = as_labels(generated_labels, "generated_labels")
    check_same_length(x, y, ("real", "real_labels"))
    check_same_length(g, z, ("generated", "generated_labels"))
    spread_real = spread_generated = 0.0
    for mode in np.unique(y):
        ours, theirs = x[y == mode], g[z == mode]
        if min(len(ours), len(theirs)) >= 2:
            spread_real += len(ours) * ours.var(axis=0, ddof=1).sum()
            spread_generated += len(ours) * theirs.var(axis=0, ddof=1).sum()
    if spread_real == 0.0:
        raise DataError(
            "real and generated must share a mode with two differing real items, got none; check "
            "the labels."
        )
    return float(spread_generated / spread_real)


def _confidence(value: Any, name: str) -> np.ndarray:
    """Largest class probability per item, from itself or from all probabilities."""
    array = check_array(value, name)
    return array.max(axis=1) if array.ndim == 2 else array.reshape(-1)
