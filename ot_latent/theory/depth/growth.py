r"""Rates of random products: the drift of a distance, the Lyapunov exponent of a norm, with intervals.

For stationary ergodic random maps that do not expand a metric, :math:`\ell = \lim d(x_0, u_n x_0) / n`
exists almost surely and does not depend on :math:`x_0` (Kingman; Karlsson and Ledrappier). The rates
here are estimates from finitely many chains and layers, their intervals from batch means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.theory.depth.cones import Metric, resolve_metric
from ot_latent.theory.depth.random_layers import SampleLayer, block_sizes

BATCHES = 10
_DRIFT, _LYAPUNOV, _START = 2, 3, 4  # counters that keep the uses of the stream apart


class Rate(NamedTuple):
    """A rate per layer with its 95 % interval.

    Attributes
    ----------
    value : float
        The estimate: the mean of all batches.
    low, high : float
        Ends of the interval (Student, batch means taken as independent).
    variance : float
        Variance that a layer adds in the long run: that of a batch mean times the batch's length.
    deaths : int
        How often a signal became zero and was started afresh (`lyapunov` alone).
    """

    value: float
    low: float
    high: float
    variance: float
    deaths: int = 0


def drift(
    sample_layer: SampleLayer,
    metric: str | Metric,
    x0: Any,
    *,
    depth: int,
    chains: int = 100,
    seed: int = 0,
) -> Rate:
    r"""Estimate how fast random layers carry a point away from where it was.

    :math:`\ell = \lim d(x_0, g_n \cdots g_1 x_0) / n`. The first tenth of the layers is left out, the
    rest cut into ten batches per chain; a batch gives the growth of the distance over its length. An
    estimate: for maps that contract to a moving point it is zero only up to the interval.

    Parameters
    ----------
    sample_layer : callable
        ``sample_layer(x, rng)`` draws one layer per chain and applies it, such as a `RandomLayer`.
    metric : str or callable
        A name for `resolve_metric`, or a distance of tensors of shape (..., n) itself.
    x0 : array-like of shape (N,)
        The point.
    depth : int
        Number of layers, at least 20.
    chains : int, default=100
        Number of independent networks.
    seed : int, default=0
        Seed of the layers.

    Returns
    -------
    Rate
        Value, interval, variance.

    Raises
    ------
    ValueError
        If the metric is unknown, or a number is out of range.
    DataError
        If a distance is not finite: signals left the cone, or over- or underflowed.

    Examples
    --------
    >>> double = lambda x, rng: 2.0 * x
    >>> found = drift(double, "thompson", [1.0, 3.0], depth=100, chains=5)  # log 2 per layer
    >>> round(found.value, 6), round(found.high - found.low, 6)
    (0.693147, 0.0)
    """
    distance = resolve_metric(metric)
    burn, length = _plan(depth, chains)
    start = as_float_tensor(x0, "x0", ndim=1)
    found = []
    for block, size in enumerate(block_sizes(chains)):
        x, travelled = start.expand(size, -1), []
        for layer in range(1, burn + BATCHES * length + 1):
            x = sample_layer(x, generator(seed, Stream.DEPTH, block, _DRIFT, layer))
            if layer >= burn and (layer - burn) % length == 0:
                travelled.append(_finite(distance(start.expand_as(x), x), layer))
        found.append(torch.stack(travelled).diff(dim=0) / length)  # (batches, chains)
    means = torch.cat(found, 1).double().cpu().numpy()
    return _rate(means, np.full(means.shape, length))


def lyapunov(
    sample_layer: SampleLayer,
    width: int,
    *,
    depth: int,
    chains: int = 100,
    seed: int = 0,
) -> Rate:
    r"""Estimate the Lyapunov exponent of random layers that commute with positive factors.

    :math:`\lambda = \lim \frac1n \log \lVert g_n \cdots g_1 v \rVert`, from log-norms of unit vectors
    that are renormalised after every layer. A signal that becomes zero (ReLU) is started afresh in a
    random direction and counted; the rate is then that of signals that live. Batches as in `drift`.

    Parameters
    ----------
    sample_layer : callable
        As for `drift`, homogeneous of degree one: linear or ReLU layers without bias. Of tanh take
        ``RandomLayer.linearised()``.
    width : int
        Number of entries N of a signal.
    depth : int
        Number of layers, at least 20.
    chains : int, default=100
        Number of independent networks.
    seed : int, default=0
        Seed of the layers.

    Returns
    -------
    Rate
        Value, interval, variance, deaths.

    Raises
    ------
    ValueError
        If the layers are not homogeneous, or a number is out of range.
    DataError
        If a norm is not finite.

    Examples
    --------
    >>> from ot_latent.theory.depth import RandomLayer
    >>> found = lyapunov(RandomLayer(1, law="uniform", activation="linear"), 1, depth=1000)
    >>> found.low < -1.0 < found.high  # -log|U| is exponential with mean 1
    True
    """
    check_positive(width, "width", integer=True)
    burn, length = _plan(depth, chains)
    total = burn + BATCHES * length
    steps = [
        _log_steps(sample_layer, _directions((size, width), seed, block, 0), total, seed, block)
        for block, size in enumerate(block_sizes(chains))
    ]
    logs = np.concatenate(steps, axis=1)[burn:]  # (layers, chains), NaN where one died
    batches = logs.reshape(BATCHES, length, chains)
    alive = (~np.isnan(batches)).sum(1)
    means = np.nansum(batches, axis=1) / np.maximum(alive, 1)
    return _rate(means, alive)._replace(deaths=int(np.isnan(logs).sum()))


def _plan(depth: int, chains: int) -> tuple[int, int]:
    """Return how many layers are left out, and the length of a batch."""
    check_positive(depth, "depth", integer=True)
    check_positive(chains, "chains", integer=True)
    if depth < 2 * BATCHES:
        raise ValueError(f"depth must be at least {2 * BATCHES}, got {depth}; batches need layers.")
    length = (depth - depth // 10) // BATCHES
    return depth - BATCHES * length, length


def _log_steps(
    sample_layer: SampleLayer, v: Tensor, layers: int, seed: int, block: int
) -> np.ndarray:
    """Return the logarithms of the growth of unit vectors v in every layer of a block of chains."""
    _refuse_curved(sample_layer, v, seed)
    logs = np.empty((layers, len(v)))
    for layer in range(1, layers + 1):
        image = sample_layer(v, generator(seed, Stream.DEPTH, block, _LYAPUNOV, layer))
        norm = _finite(torch.linalg.vector_norm(image, dim=1), layer)
        dead = norm == 0
        logs[layer - 1] = torch.where(dead, torch.nan, norm).log().numpy()
        v = image / torch.where(dead, 1.0, norm)[:, None]
        if bool(dead.any()):
            v = torch.where(dead[:, None], _directions(tuple(v.shape), seed, block, layer), v)
    return logs


def _directions(shape: tuple[int, ...], seed: int, block: int, layer: int) -> Tensor:
    draws = generator(seed, Stream.DEPTH, block, _START, layer).standard_normal(shape)
    return torch.nn.functional.normalize(torch.from_numpy(draws), dim=1)


def _refuse_curved(sample_layer: SampleLayer, v: Tensor, seed: int) -> None:
    """Refuse layers that do not commute with the factor two."""
    once, twice = (
        sample_layer(s * v, generator(seed, Stream.DEPTH, 0, _LYAPUNOV, 0)) for s in (1.0, 2.0)
    )
    if not torch.allclose(2.0 * once, twice, rtol=1e-5, atol=1e-9):
        raise ValueError(
            "sample_layer must commute with positive factors (linear or ReLU, no bias), got a layer "
            "that does not; pass its linearisation, such as RandomLayer.linearised()."
        )


def _finite(values: Tensor, layer: int) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise DataError(
            f"distances must stay finite, got infinity or NaN after layer {layer}; lower the depth, "
            "or choose a metric that the layers respect."
        )
    return values


def _rate(means: np.ndarray, layers: np.ndarray) -> Rate:
    """Return the mean of batch means, weighted by their numbers of layers, with Student's interval."""
    from scipy.special import stdtrit

    freedom = int((layers > 0).sum()) - 1
    if freedom < 1:
        raise DataError("chains must live through two batches, got fewer; raise depth or chains.")
    total = float(layers.sum())
    value = float((layers * means).sum()) / total
    variance = float((layers * (means - value) ** 2).sum()) / freedom
    half = float(stdtrit(freedom, 0.975)) * (variance / total) ** 0.5
    return Rate(value, value - half, value + half, variance)
