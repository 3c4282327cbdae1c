r"""How much a layer really stretches a metric: the largest ratio found, and the pair that shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.theory.depth.cones import Metric, resolve_metric

NEAR = 1e-3  # suprema are often reached by close pairs only
_EXPANSION = 5  # a counter that keeps this draw apart from others of the stream


class Expansion(NamedTuple):
    """The largest stretch found: a lower bound of the Lipschitz constant.

    Attributes
    ----------
    ratio : float
        d(f(x), f(y)) / d(x, y).
    x, y : Tensor of shape (n,)
        The witnesses.
    """

    ratio: float
    x: Tensor
    y: Tensor


def empirical_expansion(
    layer: Callable[[Tensor], Tensor],
    metric: str | Metric,
    sampler: Callable[[np.random.Generator, int], Any],
    n: int = 10_000,
    *,
    seed: int = 0,
) -> Expansion:
    """Search for a pair of points that a layer drives apart.

    Half of the pairs are drawn independently; in the other half the second point is the first one
    with every coordinate changed by about a thousandth of itself. An estimate from below: a ratio
    above one refutes that the layer is non-expansive, one below proves nothing.

    Parameters
    ----------
    layer : callable
        Maps tensors (m, n) to tensors (m, n'); modules are called in float64 and left unchanged.
    metric : str or callable
        A name for `resolve_metric`, or a distance itself.
    sampler : callable
        ``sampler(rng, m)`` returns m points, such as ``lambda rng, m: rng.random((m, 3))``.
    n : int, default=10000
        Number of pairs.
    seed : int, default=0
        Seed of the points.

    Returns
    -------
    Expansion
        The largest ratio and its witnesses.

    Raises
    ------
    DataError
        If no pair has a finite positive distance.
    ValueError
        If `n` is not positive or the metric unknown.

    Examples
    --------
    >>> points = lambda rng, m: rng.random((m, 2)) + 0.1
    >>> squared = empirical_expansion(lambda x: x * x, "thompson", points, 100)
    >>> round(squared.ratio, 6)
    2.0
    """
    check_positive(n, "n", integer=True)
    distance = resolve_metric(metric)
    rng = generator(seed, Stream.DEPTH, 0, _EXPANSION)
    x = as_float_tensor(sampler(rng, n), "sampler(rng, n)", ndim=2).double()
    far = as_float_tensor(sampler(rng, n - n // 2), "sampler(rng, n)", ndim=2).double()
    nudge = torch.from_numpy(rng.standard_normal((n // 2, x.shape[1]))).to(x)
    y = torch.cat([far, x[len(far) :] * (NEAR * nudge).exp()])
    with torch.no_grad():
        before = distance(x, y)
        after = distance(_apply(layer, x), _apply(layer, y))
    ratio = torch.where((before > 0) & torch.isfinite(before), after / before, -torch.inf)
    best = int(ratio.nan_to_num(nan=-torch.inf, posinf=torch.inf).argmax())
    if float(ratio[best]) < 0.0:
        raise DataError("sampler must return points that differ, got none; draw at random.")
    return Expansion(float(ratio[best]), x[best], y[best])


def _apply(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the layer's images, a module's with its parameters taken in float64."""
    if not isinstance(layer, nn.Module):
        return layer(x)
    state = {name: t.detach().double() if t.is_floating_point() else t for name, t in _state(layer)}
    return torch.func.functional_call(layer, state, (x.to(_device(layer, x)),))


def _state(layer: nn.Module) -> list[tuple[str, Tensor]]:
    return [*layer.named_parameters(), *layer.named_buffers()]


def _device(layer: nn.Module, x: Tensor) -> torch.device:
    return next((t.device for _, t in _state(layer)), x.device)
