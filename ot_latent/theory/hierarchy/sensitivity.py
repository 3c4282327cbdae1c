"""How far the layers of a network still see synonyms and positions, with unbiased denominators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._validation import as_float_tensor, check_same_length
from ot_latent.theory.hierarchy.model import RandomHierarchy
from ot_latent.theory.hierarchy.rules import check_level

BATCH = 512


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means and its standard error by the jackknife."""

    value: float
    """The ratio."""
    error: float
    """Its standard error."""


def layer_sensitivity(
    model: Callable[[Tensor], Tensor],
    x: Any,
    transformed: Any,
    layers: Sequence[str] | None = None,
) -> dict[str, Ratio]:
    r"""Measure how much each layer changes under a transformation, against how inputs differ.

    .. math:: S_k = \frac{\langle |f_k(x) - f_k(\tau x)|^2 \rangle}{\langle |f_k(x) - f_k(z)|^2 \rangle},

    with :math:`f_k` the flattened activations of layer k and z an independent input (Tomasini and
    Wyart, 2024): 0 is invariance, 1 means that the transformed input is as far away as any other.
    With synonyms exchanged it is :math:`S_{k,l}`, with symbols displaced :math:`D_{k,l}`. The
    denominator is the mean over pairs of different rows, so it is unbiased; the standard error is
    that of the jackknife over rows (an estimate).

    Parameters
    ----------
    model : torch.nn.Module or callable
        The network; put into evaluation mode while it is measured.
    x, transformed : array-like of shape (n, ...)
        Independent inputs from the test distribution, and the same after the transformation.
    layers : sequence of str, optional
        Names of sub-modules; all without sub-modules of their own by default.

    Returns
    -------
    dict of Ratio
        By layer in the order of the forward pass, from "input" to "output".

    Raises
    ------
    ValueError
        If a name is not a sub-module.

    Examples
    --------
    >>> x = torch.eye(4)
    >>> found = layer_sensitivity(torch.nn.Flatten(), x, x.flip(0))
    >>> round(found["input"].value, 6), round(found["output"].value, 6)
    (1.0, 1.0)
    """
    x, transformed = as_float_tensor(x, "x"), as_float_tensor(transformed, "transformed")
    check_same_length(x, transformed, ("x", "transformed"))
    before, after = (activations(model, rows, layers) for rows in (x, transformed))
    return {name: distance_ratio(before[name], after[name]) for name in before}


def activations(
    model: Callable[[Tensor], Tensor], x: Tensor, layers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Return the flattened activations of the layers, in float64; of the last call of a layer.

    Parameters
    ----------
    model : torch.nn.Module or callable
        The network.
    x : Tensor of shape (n, ...)
        Inputs, on the device of the network.
    layers : sequence of str, optional
        Names of sub-modules; all without sub-modules of their own by default.

    Returns
    -------
    dict of numpy.ndarray
        Shape (n, values) each, by layer in the order of the forward pass.

    Raises
    ------
    ValueError
        If a name is not a sub-module.
    """
    kept: dict[str, list[Tensor]] = {}
    seen: dict[str, Tensor] = {}

    def keep(name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            seen[name] = value.detach().flatten(1).to("cpu", torch.float64)

    with torch.no_grad(), _listening(model, layers, keep):
        for part in x.split(BATCH):
            seen.clear()
            keep("input", part)
            keep("output", model(part))
            for name, values in seen.items():
                kept.setdefault(name, []).append(values)
    return {name: torch.cat(parts).numpy() for name, parts in kept.items()}


@contextmanager
def _listening(
    model: Callable[[Tensor], Tensor],
    layers: Sequence[str] | None,
    keep: Callable[[str, Any], None],
) -> Iterator[None]:
    """Listen to the layers of a module in evaluation mode; leave it as it was afterwards."""
    if not isinstance(model, nn.Module):
        yield
        return
    parts = {name: part for name, part in model.named_modules() if name}
    if layers is None:
        layers = [name for name, part in parts.items() if not list(part.children())]
    unknown = [name for name in layers if name not in parts]
    if unknown:
        raise ValueError(
            f"layers must name sub-modules such as {', '.join(list(parts)[:4])}, got {unknown}; "
            "see model.named_modules()."
        )
    modes = {part: part.training for part in model.modules()}
    hooks = [
        parts[name].register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
        for name in layers
    ]
    model.eval()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode


def distance_ratio(before: np.ndarray, after: np.ndarray) -> Ratio:
    """Return the mean squared change over the mean squared distance of two different rows.

    Parameters
    ----------
    before, after : numpy.ndarray of shape (n, values)
        Activations of the same rows before and after a change.

    Returns
    -------
    Ratio
        With its jackknife error; NaN where all rows are equal or fewer than three.
    """
    n = len(before)
    change = ((before - after) ** 2).sum(axis=1)
    spread = ((before - before.mean(axis=0)) ** 2).sum(axis=1)
    row_sums = n * spread + spread.sum()  # sum over j of |f_i - f_j|^2
    total = row_sums.sum() / 2
    if n < 3 or total == 0:
        return Ratio(float("nan"), float("nan"))
    value = change.mean() / (2 * total / (n * (n - 1)))
    pairs_left = 2 * (total - row_sums) / ((n - 1) * (n - 2))
    if pairs_left.min() <= 1e-12 * pairs_left.max():  # all rows equal but one: nothing to divide by
        return Ratio(float(value), float("nan"))
    return Ratio(float(value), jackknife_error((change.sum() - change) / (n - 1) / pairs_left))


def jackknife_error(without: np.ndarray) -> float:
    """Return the standard error of a statistic from its values without each row in turn.

    Parameters
    ----------
    without : numpy.ndarray of shape (n,)
        Leave-one-out values.

    Returns
    -------
    float
        sqrt((n - 1) / n * sum of squared deviations).
    """
    deviations = without - without.mean()
    return float(np.sqrt((len(without) - 1) / len(without) * (deviations**2).sum()))


def input_sensitivity(model: RandomHierarchy, level: int = 1) -> tuple[float, float]:
    r"""Return S_{0,l} and D_{0,l} of the input itself, on average over rules, in closed form.

    For one-hot columns with empty positions zero, and numerator and denominator averaged over the
    rules each by itself (a theorem for placements of type A, where a position belongs to one leaf).
    A different tuple differs in a given place with probability
    :math:`\delta = (v^s - v^{s-1}) / (v^s - 1)`. With :math:`q_k` and :math:`p_k` the probabilities
    that a leaf differs k levels below a node whose productions are drawn anew, or below two
    different symbols,

    .. math:: p_k = \delta p_{k-1} + (1-\delta) q_{k-1}, \qquad
              q_k = \tfrac1m q_{k-1} + (1 - \tfrac1m) p_k, \qquad p_0 = 1,\ q_0 = 0,

    the leaves of two data differ with probability
    :math:`\bar p = \frac{1}{n_c} q_L + (1 - \frac{1}{n_c}) p_L`, and

    .. math:: S_{0,l} = \frac{q_l}{1 - (s_0+1)^{-L} (1 - \bar p)}, \qquad
              D_{0,l} = \frac{1 - (s_0+1)^{-l}}{1 - (s_0+1)^{-L} (1 - \bar p)}.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    level : int, default=1
        Level l of the transformation.

    Returns
    -------
    synonyms : float
        S_{0,l}.
    displacement : float
        D_{0,l}.

    Raises
    ------
    ValueError
        If positions belong to several leaves (type B with zeros), or there is no such level.

    Examples
    --------
    >>> from ot_latent.theory.hierarchy import SparseRandomHierarchy
    >>> found = input_sensitivity(SparseRandomHierarchy(zeros=1))
    >>> [round(value, 4) for value in found]
    [0.8029, 0.5161]
    """
    check_level(level, model.levels)
    if model.placement == "B" and model.zeros:
        raise ValueError(
            "placement must be 'A' for a closed form, got 'B'; measure with layer_sensitivity."
        )
    tuples = model.vocabulary**model.children
    delta = (tuples - tuples // model.vocabulary) / (tuples - 1)
    differ, redrawn = [1.0], [0.0]
    for _ in range(model.levels):
        differ.append(delta * differ[-1] + (1 - delta) * redrawn[-1])
        redrawn.append(redrawn[-1] / model.synonyms + (1 - 1 / model.synonyms) * differ[-1])
    apart = redrawn[-1] / model.classes + (1 - 1 / model.classes) * differ[-1]
    width = model.zeros + 1
    spread = 1 - (1 - apart) / width**model.levels
    return redrawn[level] / spread, (1 - width**-level) / spread
