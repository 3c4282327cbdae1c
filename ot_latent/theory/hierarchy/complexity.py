"""How many data are needed: the laws that were measured, and the number read off a learning curve."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ot_latent._validation import DataError, check_array, check_same_length
from ot_latent.theory.hierarchy.model import RandomHierarchy

Learner = Literal["cnn", "lcn", "shallow"]


def predicted_sample_complexity(model: RandomHierarchy, learner: Learner = "cnn") -> float:
    r"""Return the scale of the number of training data at which the test error falls.

    Laws read off experiments (Cagnetta et al., 2024; Tomasini and Wyart, 2024), so estimates whose
    prefactors depend on network and threshold: :math:`(s_0+1)^2\, n_c\, m^L` for convolutions,
    :math:`s^{L/2} (s_0+1)^L\, n_c\, m^L` for locally connected networks, whose weights see an
    informative symbol with probability :math:`(s_0+1)^{-L}` only. Both are polynomial in the number
    of informative symbols. Shallow or lazy networks need a share of all data.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    learner : {"cnn", "lcn", "shallow"}, default="cnn"
        Kind of network, matched to the tree in depth and patches.

    Returns
    -------
    float
        The scale P*.

    Raises
    ------
    ValueError
        If the learner is none of the three.

    Examples
    --------
    >>> model = RandomHierarchy(vocabulary=8, classes=8, synonyms=8, levels=3)
    >>> predicted_sample_complexity(model), model.n_data
    (4096.0, 16777216)
    """
    scale = float(model.classes * model.synonyms**model.levels)
    width = model.zeros + 1
    if learner == "cnn":
        return width**2 * scale
    if learner == "lcn":
        # without zeros, too, C_0 = s^(L/2) belongs to the law; the dense law of the cnn has none
        return model.children ** (model.levels / 2) * width**model.levels * scale
    if learner == "shallow":
        return float(model.n_data)
    raise ValueError(
        f"learner must be 'cnn', 'lcn' or 'shallow', got {learner!r}; pass one of them."
    )


def empirical_sample_complexity(
    sizes: np.ndarray, errors: np.ndarray, threshold: float = 0.1
) -> float:
    """Return the number of training data from which on the error stays below a threshold.

    The last crossing is taken, between two sizes by linear interpolation of the error against the
    logarithm of the size.

    Parameters
    ----------
    sizes : array-like of shape (k,)
        Increasing numbers of training data.
    errors : array-like of shape (k,)
        Test errors.
    threshold : float, default=0.1
        The error in question.

    Returns
    -------
    float
        The size P*.

    Raises
    ------
    DataError
        If sizes do not increase, or the curve does not come from above the threshold to below it.

    Examples
    --------
    >>> round(empirical_sample_complexity([100, 1000, 10000], [0.9, 0.2, 0.0], 0.1), 1)
    3162.3
    """
    p = check_array(sizes, "sizes", ndim=1, min_rows=2).astype(np.float64)
    e = check_array(errors, "errors", ndim=1).astype(np.float64)
    check_same_length(p, e, ("sizes", "errors"))
    if p[0] <= 0 or (np.diff(p) <= 0).any():
        raise DataError(f"sizes must be positive and increase, got {p.tolist()}; sort them.")
    above = np.flatnonzero(e > threshold)
    if len(above) == 0 or above[-1] == len(e) - 1:
        raise DataError(
            f"errors must start above {threshold} and end at or below it, got {e[0]:g} to "
            f"{e[-1]:g}; measure {'smaller' if len(above) == 0 else 'larger'} sizes."
        )
    i = above[-1]
    share = (e[i] - threshold) / (e[i] - e[i + 1])
    return float(np.exp(np.log(p[i]) + share * np.log(p[i + 1] / p[i])))
