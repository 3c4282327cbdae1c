"""What a tuple of the input says about the class: the signal that gradient descent can find first."""

from __future__ import annotations

from itertools import product

import numpy as np

from ot_latent.theory.hierarchy.model import RandomHierarchy


def tuple_label_probabilities(
    model: RandomHierarchy, path: tuple[int, ...] | None = None
) -> np.ndarray:
    r"""Return P(class | tuple) for the tuples of one patch of the input, exactly.

    The tuple's synonyms share the probability, so it is a function of their parent alone: the
    product of the transition matrices
    :math:`T_t[a, b] = |\{i : \text{child } j_t \text{ of tuple } i \text{ of } a \text{ is } b\}| / m`
    along the path from the class to the patch, normalised over classes (Cagnetta et al., 2024).

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    path : tuple of int, optional
        Which child to follow at each of the L - 1 depths above the tuples; first children by default.

    Returns
    -------
    numpy.ndarray of shape (n_c, v)
        Column b: the classes of data in which the patch has parent b; NaN where that never happens.
        With one level the tuple's parent is the class itself, and the result is the identity.

    Raises
    ------
    ValueError
        If the path has the wrong length or names a child that is not there.
    """
    path = (0,) * (model.levels - 1) if path is None else tuple(path)
    if len(path) != model.levels - 1 or not all(0 <= j < model.children for j in path):
        raise ValueError(
            f"path must name {model.levels - 1} children from 0 to {model.children - 1}, got "
            f"{path}; pass one child per depth above the tuples."
        )
    joint = np.eye(model.classes)
    for depth, child in enumerate(path):
        step = np.zeros((len(joint[0]), model.vocabulary))
        parents = np.arange(len(step))[:, None]
        np.add.at(step, (parents, model.rules[depth][:, :, child]), 1.0 / model.synonyms)
        joint = joint @ step
    total = joint.sum(axis=0)
    return np.divide(joint, total, out=np.full_like(joint, np.nan), where=total > 0)


def tuple_label_signal(model: RandomHierarchy) -> float:
    r"""Return how much a tuple of the input says about the class: rms of n_c P(class | tuple) - 1.

    Exact for the given rules: the mean runs over classes, over all tuples that occur, and over all
    patches of the input. On average over rules it behaves like :math:`\sqrt{v / m^{L-1}}` (an
    estimate), while P data estimate it with relative noise :math:`\sqrt{v\,m\,n_c / P}`; the two
    cross at :math:`P^* = n_c m^L`. A signal of zero leaves deep networks at chance.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.

    Returns
    -------
    float
        The signal; 0 when the tuple and the class are independent.

    Examples
    --------
    >>> signal = tuple_label_signal(RandomHierarchy(vocabulary=8, classes=8, synonyms=8, levels=3))
    >>> 0.2 < signal < 0.45
    True
    """
    squares = []
    for path in product(range(model.children), repeat=model.levels - 1):
        seen = tuple_label_probabilities(model, path)
        squares.append((model.classes * seen[:, ~np.isnan(seen[0])] - 1.0) ** 2)
    return float(np.sqrt(np.concatenate(squares, axis=1).mean()))
