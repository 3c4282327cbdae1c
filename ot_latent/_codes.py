"""How codes, labels, masses and sources enter an estimator: checked, named, made distinct."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ot_latent._apart import check_groups
from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_array, check_finite, check_same_length
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.source_kinds import source_from_dict
from ot_latent.transport.sources import Source, default_source

APART = 1e-3  # distance, in units of the codes' rms, of equal codes with different labels


@dataclass(frozen=True)
class StandardCodes:
    """Codes in standardised units, equal rows merged.

    Attributes
    ----------
    target : DiscreteMeasure
        Distinct codes ``(z - shift) / scale`` in float32, and their masses.
    labels : numpy.ndarray of shape (N,) or None
        Label of each target.
    groups : numpy.ndarray of shape (N,) or None
        Group of each target, counted from 0: that of its first row.
    inverse : numpy.ndarray of shape (n,)
        Target of each row; -1 for rows of zero mass.
    shift, scale : numpy.ndarray of shape (d,), float
        Centre, and rms per coordinate around it.
    """

    target: DiscreteMeasure
    labels: np.ndarray | None
    groups: np.ndarray | None
    inverse: np.ndarray
    shift: np.ndarray
    scale: float


def standardised(
    Z: np.ndarray,
    y: Any = None,
    sample_weight: Any = None,
    *,
    groups: Any = None,
    device: str = "cpu",
) -> StandardCodes:
    """Centre codes, divide them by one number, merge equal rows.

    Parameters
    ----------
    Z : numpy.ndarray of shape (n, d)
        Codes.
    y : array-like of shape (n,), optional
        Labels; rows equal in code but not in label stay apart.
    sample_weight : array-like of shape (n,), optional
        Non-negative masses.
    groups : array-like of shape (n,), optional
        Group of each row, of variants of one thing.
    device : str, default="cpu"
        Where the target goes.

    Returns
    -------
    StandardCodes
        The codes as the transport sees them.

    Raises
    ------
    DataError
        If labels, masses or groups do not fit the codes.
    """
    families = check_groups(groups, len(Z))
    masses = check_masses(sample_weight, len(Z))
    kept = np.flatnonzero(masses > 0)
    masses = masses[kept] / masses.sum()
    codes = Z[kept].astype(np.float64)
    shift = masses @ codes
    scale = float(np.sqrt((masses @ (codes - shift) ** 2).mean())) or 1.0
    points = ((codes - shift) / scale).astype(np.float32) + np.float32(0)  # no negative zeros
    labels = None
    if y is not None:
        labels = check_labels(y, len(Z))[kept]
        points = moved_apart(points, np.unique(labels, return_inverse=True)[1])
    target = DiscreteMeasure(torch.from_numpy(points).to(device), torch.from_numpy(masses))
    inverse = np.full(len(Z), -1)
    inverse[kept] = target.inverse.cpu().numpy()
    first = np.unique(inverse[kept], return_index=True)[1]
    labels = None if labels is None else labels[first]
    kinds = None if families is None else families[kept][first]
    return StandardCodes(target, labels, kinds, inverse, shift, scale)


def check_codes(estimator: Any, Z: Any, *, reset: bool) -> np.ndarray:
    """Return codes as a finite float array, with scikit-learn's bookkeeping of features.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` is set (`reset`) or compared.
    Z : array-like of shape (n, d)
        Codes; tensors and data frames are welcome.
    reset : bool
        Whether this is a fit.

    Returns
    -------
    numpy.ndarray
        float32 or float64.

    Raises
    ------
    DataError
        If the codes are not a numeric (n, d) array, hold NaN or infinity, or, in a fit, fewer
        than two rows.
    """
    from sklearn.utils.validation import validate_data

    if hasattr(Z, "detach"):
        Z = Z.detach().cpu().numpy()
    try:
        array = validate_data(
            estimator,
            Z,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
    except ValueError as error:
        raise DataError(str(error)) from None
    check_finite(array, "codes")
    return array


def check_masses(sample_weight: Any, n: int) -> np.ndarray:
    """Return non-negative row masses in float64; all ones where none are given.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or None
        Masses.
    n : int
        Number of rows.

    Returns
    -------
    numpy.ndarray of shape (n,)
        Masses, not normalised.

    Raises
    ------
    DataError
        If a mass is negative or not finite, all vanish, or there is not one per row.
    """
    if sample_weight is None:
        return np.ones(n)
    if isinstance(sample_weight, int | float):
        sample_weight = np.full(n, float(sample_weight))
    masses = check_array(sample_weight, "sample_weight", ndim=1).astype(np.float64)
    check_same_length(masses, range(n), ("sample_weight", "codes"))
    if masses.min() < 0 or masses.sum() <= 0:
        raise DataError(
            f"sample_weight must be non-negative and not all zero, got minimum {masses.min()} "
            f"and sum {masses.sum()}; pass positive masses."
        )
    return masses


def check_labels(y: Any, n: int) -> np.ndarray:
    """Return labels as an array of integers or strings, one per row.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels; whole floating-point numbers become integers.
    n : int
        Number of rows.

    Returns
    -------
    numpy.ndarray of shape (n,)
        Labels.

    Raises
    ------
    DataError
        If there is not one label per row, or labels are not integers or strings.

    Examples
    --------
    >>> check_labels([1.0, 2.0], 2)
    array([1, 2])
    """
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"y must hold one label per row, got shape {labels.shape}; pass a vector of labels."
        )
    check_same_length(labels, range(n), ("y", "codes"))
    if labels.dtype.kind == "f":
        check_finite(labels, "y")
        if (labels != np.rint(labels)).any():
            raise DataError(
                "y must hold labels (integers or strings), got fractional numbers; bin them or "
                "leave y out."
            )
        labels = labels.astype(np.int64)
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def moved_apart(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Move equal points of different labels apart by a thousandth of the unit.

    Equal targets cannot have cells of their own, and one target cannot carry two labels.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, d)
        Points.
    labels : numpy.ndarray of shape (n,)
        Labels 0, 1, 2, ...

    Returns
    -------
    numpy.ndarray of shape (n, d)
        Points; each label has its own direction, so rows equal in both stay equal.

    Examples
    --------
    >>> moved = moved_apart(np.zeros((3, 2), np.float32), np.array([0, 1, 1]))
    >>> bool((moved[0] == moved[1]).all()), bool((moved[1] == moved[2]).all())
    (False, True)
    """
    _, group = np.unique(points, axis=0, return_inverse=True)
    group = group.reshape(-1)
    if group.max() + 1 == len(points):
        return points
    pairs = np.unique(np.stack([group, labels], axis=1), axis=0)
    mixed = np.bincount(pairs[:, 0]) > 1
    moved = points.copy()
    for label in np.unique(labels[mixed[group]]):
        step = generator(0, Stream.SPLIT, int(label)).standard_normal(points.shape[1])
        rows = mixed[group] & (labels == label)
        moved[rows] += (APART * step / np.linalg.norm(step)).astype(points.dtype)
    return moved


def carriers(labels: np.ndarray | None, label: Any) -> np.ndarray:
    """Return the mask of the targets that carry a label.

    Parameters
    ----------
    labels : numpy.ndarray of shape (N,) or None
        Label of each target.
    label : object
        The label asked for.

    Returns
    -------
    numpy.ndarray of shape (N,), bool
        At least one entry is true.

    Raises
    ------
    ValueError
        If there are no labels, or none is this one.

    Examples
    --------
    >>> carriers(np.array([3, 1, 3]), 3)
    array([ True, False,  True])
    """
    if labels is None:
        raise ValueError(
            f"label must not be given to a model that was fitted without labels, got {label!r}; "
            "fit it with labels y."
        )
    mask = np.asarray(labels == label)
    if mask.shape != labels.shape or not mask.any():
        known = ", ".join(str(v) for v in np.unique(labels)[:20])
        raise ValueError(f"label must be one of {known}, got {label!r}; choose one of these.")
    return mask


def resolve_device(name: str) -> str:
    """Return the device that a parameter names.

    Parameters
    ----------
    name : str
        "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1", ...

    Returns
    -------
    str
        What torch understands.

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    found = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if found else "cpu"
    kind = str(name).partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not found):
        here = "a GPU" if found else "no GPU"
        raise ValueError(
            f"device must be 'auto', 'cpu' or 'cuda', got {name!r} on a machine with {here}; pass "
            "'auto'."
        )
    return str(name)


def as_source(source: Any, dim: int) -> Source:
    """Return the noise that a parameter names.

    Parameters
    ----------
    source : str, dict or Source
        A name, a description of `Source.to_dict`, or the source itself.
    dim : int
        Dimension of the codes.

    Returns
    -------
    Source
        The source.

    Raises
    ------
    ValueError
        If its dimension is not that of the codes, or the name is unknown.
    """
    if isinstance(source, str):
        return default_source(source, dim)
    if isinstance(source, dict):
        source = source_from_dict(source)
    if not isinstance(source, Source):
        raise ValueError(
            f"source must be 'box', 'ball', 'gaussian' or a Source, got {source!r}; pass 'box'."
        )
    if source.dim != dim:
        raise ValueError(
            f"source must have the dimension {dim} of the codes, got {source.dim}; build it in "
            f"dimension {dim}."
        )
    return source
