r"""Certificates that a layer or a whole model does not expand a metric, or the reason why none is given.

Norms: every map has a Lipschitz bound, the product of those of its layers (sums of branches add).
Cones: a map that keeps the order of positive vectors and is subhomogeneous shrinks Thompson's
metric, one that is homogeneous shrinks Hilbert's; both kinds are closed under composition, sums and
maxima, so whole networks are certified layer by layer. Bounds are theorems; rounding is not tracked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ot_latent.theory.depth.activations import Facts, facts
from ot_latent.theory.depth.birkhoff import birkhoff_coefficient
from ot_latent.theory.layers import Affine, Elementwise, Kink, Layer, Maximum
from ot_latent.theory.networks import Network, read_network

CERTIFIED = ("l1", "l2", "linf", "thompson", "hilbert")
LARGEST = 20_000_000  # entries of a matrix that is formed
_ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}
_FUNCTIONS = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "logsigmoid": nn.LogSigmoid,
}


@dataclass(frozen=True)
class Certificate:
    """A bound on how much a map can stretch a metric, or the reason why there is none."""

    metric: str
    """The metric."""
    bound: float | None
    """Upper bound of the Lipschitz constant; None where the map cannot be certified."""
    reason: str
    """Why the bound holds, or what stands in the way."""
    layers: tuple[Certificate, ...] = ()
    """Certificates of the layers of a composed model, up to the first refusal."""

    @property
    def non_expansive(self) -> bool:
        """Whether the map is certified not to expand the metric (to twelve digits)."""
        return self.bound is not None and self.bound <= 1.0 + 1e-12


def lipschitz_certificate(
    layer: nn.Module | Network, metric: str = "l2", shape: Sequence[int] | None = None
) -> Certificate:
    r"""Certify a layer or a model for a metric.

    Single Linear layers get their exact constant: spectral norm ("l2"), largest column sum ("l1") or
    row sum ("linf"), Birkhoff's coefficient ("hilbert"), one ("thompson"). The cone metrics ask for
    weights and biases that are not negative; Hilbert's for no bias. Activations are refused where
    they are not subhomogeneous (GELU, SiLU, Mish, ...), for Hilbert's metric where they are not
    homogeneous (tanh, ...).

    Parameters
    ----------
    layer : torch.nn.Module or Network
        A layer, a Sequential, any model that `read_network` reads, or its reading.
    metric : {"l1", "l2", "linf", "thompson", "hilbert"}, default="l2"
        The metric on both sides of the map.
    shape : sequence of int, optional
        Shape of one row of the input, where the first layer does not tell it.

    Returns
    -------
    Certificate
        Bound and reason; of a composed model the layers' certificates, too.

    Raises
    ------
    ValueError
        If the metric is unknown, or the model cannot be read.

    Examples
    --------
    >>> lipschitz_certificate(nn.GELU(), "thompson").reason
    'GELU is not subhomogeneous: its elasticity reaches 1.295'
    >>> lipschitz_certificate(nn.Tanh(), "l2").bound
    1.0
    """
    if metric not in CERTIFIED:
        raise ValueError(f"metric must be one of {', '.join(CERTIFIED)}, got {metric!r}; try 'l2'.")
    if isinstance(layer, nn.Module):
        leaves = _leaves(layer)
        if all(isinstance(leaf, nn.Linear) or facts(leaf) is not None for leaf in leaves):
            return _compose(metric, [_of_leaf(leaf, metric) for leaf in leaves])
        layer = read_network(layer, shape, elementwise=True)
    return _of_network(layer, metric)


def residual_certificate(weight: Tensor, step: float) -> Certificate:
    r"""Certify the block x - h W^T s(W x + b) in the Euclidean norm.

    It does not expand for every increasing s of slope at most one if
    :math:`h \lVert W \rVert_2^2 \le 2`: a gradient step of a convex function whose gradient is
    :math:`\lVert W \rVert_2^2`-Lipschitz.

    Parameters
    ----------
    weight : Tensor of shape (m, n)
        The matrix W.
    step : float
        The step h, not negative.

    Returns
    -------
    Certificate
        Bound 1, or none where the step is too long.

    Raises
    ------
    ValueError
        If the step is negative.

    Examples
    --------
    >>> residual_certificate(torch.eye(3), 2.0).bound, residual_certificate(torch.eye(3), 2.1).bound
    (1.0, None)
    """
    if not step >= 0.0:
        raise ValueError(f"step must not be negative, got {step}; pass h of x - h W^T s(Wx + b).")
    size = step * float(torch.linalg.matrix_norm(weight.detach().double(), ord=2)) ** 2
    if size <= 2.0:
        return Certificate("l2", 1.0, f"h |W|^2 = {size:.6g} is at most 2")
    return Certificate("l2", None, f"h |W|^2 = {size:.6g} exceeds 2; shorten the step")


# -- chains of modules -----------------------------------------------------------------------------


def _leaves(module: nn.Module) -> list[nn.Module]:
    if not isinstance(module, nn.Sequential):
        return [module]
    return [leaf for child in module for leaf in _leaves(child)]


def _of_leaf(leaf: nn.Module, metric: str) -> Certificate:
    if isinstance(leaf, nn.Linear):
        weight = leaf.weight.detach().double().cpu()
        bias = weight.new_zeros(len(weight)) if leaf.bias is None else leaf.bias.detach().double()
        return _affine([weight], bias.cpu(), metric)
    known = facts(leaf)
    return _elementwise(known or Facts(math.inf, None), type(leaf).__name__, metric)


def _compose(metric: str, parts: Sequence[Certificate]) -> Certificate:
    """Return the certificate of a chain: the product of the bounds, or the first refusal."""
    if len(parts) == 1:
        return parts[0]
    bound = 1.0
    for place, part in enumerate(parts):
        if part.bound is None:
            return Certificate(
                metric, None, f"layer {place}: {part.reason}", tuple(parts[: place + 1])
            )
        bound *= part.bound
    return Certificate(metric, bound, f"product of {len(parts)} layers", tuple(parts))


# -- whole networks --------------------------------------------------------------------------------


def _of_network(network: Network, metric: str) -> Certificate:
    """Return the certificate of a network: bounds are carried from value to value."""
    bounds, parts = [1.0], []
    for layer in network.layers:
        part = _of_layer(layer, [network.shapes[i] for i in layer.inputs], metric)
        parts.append(part)
        if part.bound is None:
            reason = f"layer {layer.name!r}: {part.reason}"
            return Certificate(metric, None, reason, tuple(parts))
        before = [bounds[i] for i in layer.inputs]
        bounds.append(part.bound * _joined(before, metric))
    if len(parts) == 1:
        return parts[0]
    return Certificate(metric, bounds[-1], f"{len(parts)} layers, each certified", tuple(parts))


def _joined(bounds: Sequence[float], metric: str) -> float:
    """Return the bound of several values seen as one point of the sum of their spaces."""
    if len(bounds) == 1 or metric in _ORDERS:
        return max(bounds)  # an affine layer's bound is the sum over what it reads
    return 1.0 if metric == "hilbert" else max(bounds)


def _of_layer(layer: Layer, shapes: Sequence[tuple[int, ...]], metric: str) -> Certificate:
    if isinstance(layer, Affine):
        if layer.size * max(math.prod(shape) for shape in shapes) > LARGEST:
            return Certificate(metric, None, f"its matrix has more than {LARGEST:,} entries")
        return _affine(_matrices(layer, shapes), layer.bias.flatten(), metric)
    if isinstance(layer, Kink):
        return _kink(layer, metric)
    if isinstance(layer, Maximum):
        return _maximum(layer, metric)
    kind = layer.kind if isinstance(layer, Elementwise) else type(layer).__name__
    known = facts(layer.module) if layer.module is not None else None
    if known is None and kind in _FUNCTIONS:
        known = facts(_FUNCTIONS[kind]())
    if known is None:
        return Certificate(metric, None, f"nothing is known of {kind}")
    return _elementwise(known, kind, metric)


def _matrices(layer: Affine, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Return the linear part as one matrix per value that is read."""
    found = []
    for place, shape in enumerate(shapes):
        unit = torch.eye(math.prod(shape), dtype=torch.float64)
        values = [unit.new_zeros((len(unit), *other)) for other in shapes]
        values[place] = unit.reshape(-1, *shape)
        found.append(layer.linear(*values).reshape(len(unit), -1).T)
    return found


# -- one kind of layer each ------------------------------------------------------------------------


def _affine(matrices: Sequence[Tensor], bias: Tensor, metric: str) -> Certificate:
    if metric in _ORDERS:
        norms = [float(torch.linalg.matrix_norm(m, ord=_ORDERS[metric])) for m in matrices]
        return Certificate(metric, sum(norms), f"operator norm {sum(norms):.6g}")
    smallest = min(float(m.min()) for m in matrices)
    if smallest < 0.0:
        return Certificate(metric, None, f"negative weight {smallest:.3g}")
    if float(bias.min()) < 0.0:
        return Certificate(metric, None, f"negative bias {float(bias.min()):.3g}")
    if bool((sum(m.sum(1) for m in matrices) + bias == 0).any()):
        return Certificate(metric, None, "a row of zeros leads out of the open cone")
    if metric == "thompson":
        return Certificate(metric, 1.0, "weights and biases are not negative")
    if bool(bias.any()):
        return Certificate(metric, None, "a bias is not homogeneous")
    if len(matrices) > 1:
        return Certificate(metric, 1.0, "weights are not negative")
    kappa = birkhoff_coefficient(matrices[0])
    return Certificate(metric, kappa, f"Birkhoff coefficient {kappa:.6g}")


def _elementwise(known: Facts, name: str, metric: str) -> Certificate:
    if metric in _ORDERS:
        return Certificate(
            metric, known.lipschitz, f"{name} has slopes up to {known.lipschitz:.5g}"
        )
    if known.elasticity is None:
        return Certificate(metric, None, f"{name} does not map positive numbers to positive ones")
    if not known.subhomogeneous:
        elasticity = f"its elasticity reaches {known.elasticity:.3f}"
        return Certificate(metric, None, f"{name} is not subhomogeneous: {elasticity}")
    if metric == "thompson":
        return Certificate(metric, known.elasticity, f"elasticity at most {known.elasticity:.5g}")
    if not known.homogeneous:
        return Certificate(metric, None, f"{name} is not homogeneous on positive numbers")
    return Certificate(metric, 1.0, f"{name} is homogeneous on positive numbers")


def _kink(layer: Kink, metric: str) -> Certificate:
    if metric in _ORDERS:
        steepest = float(torch.maximum(layer.negative.abs().max(), layer.positive.abs().max()))
        return Certificate(metric, steepest, f"slopes up to {steepest:.5g}")
    if float(layer.positive.min()) <= 0.0:
        return Certificate(metric, None, "a slope on positive numbers is not positive")
    return Certificate(metric, 1.0, "positive slopes on positive numbers")


def _maximum(layer: Maximum, metric: str) -> Certificate:
    if metric not in _ORDERS:
        return Certificate(metric, 1.0, "maxima keep order and factors")
    pairs = torch.stack([torch.arange(len(layer.windows)).repeat_interleave(layer.windows.shape[1]),
                         layer.windows.flatten()]).unique(dim=1)  # fmt: skip
    overlap = int(torch.bincount(pairs[1]).max())
    bound = float(overlap) ** (1.0 / _ORDERS[metric])
    return Certificate(metric, bound, f"a number lies in up to {overlap} windows")
