r"""Functions of one number between layers: steepest slope, and what they do to the positive cone.

On t > 0 an increasing function stretches Thompson's metric by at most its largest elasticity
:math:`\sup_t t \varphi'(t) / \varphi(t)`. Where that is at most one the function is
subhomogeneous, :math:`\varphi(\lambda t) \le \lambda \varphi(t)` for :math:`\lambda \ge 1`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

OMEGA = 0.27846454276107385  # W(1 / e), the largest value of t (1 - sigmoid(t))


@dataclass(frozen=True)
class Facts:
    """What is known of a function of one number; exact, or rounded up in the fifth place."""

    lipschitz: float
    """Largest absolute slope on the whole line."""
    elasticity: float | None = 1.0
    """Largest elasticity on t > 0; None where it does not map the positive numbers to themselves."""
    homogeneous: bool = False
    """Whether it commutes with positive factors on t > 0."""

    @property
    def subhomogeneous(self) -> bool:
        """Whether it shrinks Thompson's metric: an increasing function of elasticity at most 1."""
        return self.elasticity is not None and self.elasticity <= 1.0


IDENTITY = Facts(1.0, 1.0, homogeneous=True)
LEAVES_THE_CONE = Facts(1.0, None)

# Modules whose facts do not depend on their settings. Dropout is read in eval mode.
FIXED: dict[type[nn.Module], Facts] = {
    nn.Identity: IDENTITY,
    nn.Flatten: IDENTITY,
    nn.Unflatten: IDENTITY,
    nn.Dropout: IDENTITY,
    nn.ReLU: IDENTITY,
    nn.ReLU6: Facts(1.0),
    nn.Tanh: Facts(1.0),
    nn.Sigmoid: Facts(0.25, OMEGA),
    nn.Softplus: Facts(1.0),
    nn.Softsign: Facts(1.0),
    nn.SELU: Facts(1.7580994, 1.0, homogeneous=True),
    nn.CELU: IDENTITY,
    nn.Hardsigmoid: Facts(1.0 / 6.0, 0.5),
    nn.GELU: Facts(1.1290, 1.29453),
    nn.SiLU: Facts(1.09984, 1.27847),
    nn.Mish: Facts(1.08850, 1.21545),
    nn.Hardswish: Facts(1.5, 1.5),
    nn.Tanhshrink: Facts(1.0, 3.0),
    nn.LogSigmoid: LEAVES_THE_CONE,
    nn.Softshrink: LEAVES_THE_CONE,
}


def facts(module: nn.Module) -> Facts | None:
    """Return what is known of an activation module.

    Parameters
    ----------
    module : torch.nn.Module
        The module.

    Returns
    -------
    Facts or None
        None where the module is not a known function of one number.

    Examples
    --------
    >>> facts(nn.GELU()).subhomogeneous, facts(nn.Tanh()).subhomogeneous
    (False, True)
    """
    if isinstance(module, nn.LeakyReLU):
        return Facts(max(1.0, abs(module.negative_slope)), 1.0, homogeneous=True)
    if isinstance(module, nn.PReLU):
        steepest = float(module.weight.detach().abs().max())
        return Facts(max(1.0, steepest), 1.0, homogeneous=True)
    if isinstance(module, nn.ELU):
        return Facts(max(1.0, abs(module.alpha)), 1.0, homogeneous=True)
    if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
        return Facts(1.0, 1.0 if module.max_val > 0 else None)
    return FIXED.get(type(module))


# -- the same functions for simulation: the value, and the slope -----------------------------------

Function = Callable[[Tensor], Tensor]


def _normal_density(t: Tensor) -> Tensor:
    return (-0.5 * t * t).exp() / math.sqrt(2.0 * math.pi)


def _sech_squared(t: Tensor) -> Tensor:
    return 1.0 - t.tanh().square()


def _step(t: Tensor) -> Tensor:
    return (t > 0).to(t.dtype)


def _silu_slope(t: Tensor) -> Tensor:
    s = t.sigmoid()
    return s * (1.0 + t * (1.0 - s))


def _gelu_slope(t: Tensor) -> Tensor:
    return torch.special.ndtr(t) + t * _normal_density(t)


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "linear": (lambda t: t, torch.ones_like),
    "relu": (torch.relu, _step),
    "tanh": (torch.tanh, _sech_squared),
    "silu": (nn.functional.silu, _silu_slope),
    "gelu": (nn.functional.gelu, _gelu_slope),
}
HOMOGENEOUS = ("linear", "relu")


def function(name: str) -> Function:
    """Return an activation function by name.

    Parameters
    ----------
    name : {"linear", "relu", "tanh", "silu", "gelu"}
        Its name.

    Returns
    -------
    callable
        The function of a tensor.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> float(function("relu")(torch.tensor(-2.0)))
    0.0
    """
    return _named(name)[0]


def slope(name: str) -> Function:
    """Return the derivative of an activation function by name.

    Parameters
    ----------
    name : {"linear", "relu", "tanh", "silu", "gelu"}
        Name of the function.

    Returns
    -------
    callable
        The derivative; of the rectifier 0 at 0.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> float(slope("tanh")(torch.tensor(0.0)))
    1.0
    """
    return _named(name)[1]


def _named(name: str) -> tuple[Function, Function]:
    if name not in FUNCTIONS:
        raise ValueError(
            f"activation must be one of {', '.join(FUNCTIONS)}, got {name!r}; try 'tanh'."
        )
    return FUNCTIONS[name]
