"""Path norm, balance and sparsity of a network's units: what weight decay amounts to.

For a positively homogeneous unit, ``min over a > 0 of (|a w|^2 + |v / a|^2) / 2 = |w| |v|``, reached at
``a^2 = |v| / |w|``. So weight decay penalises the path norm ``sum_k |w_k| |v_k|``, and every stationary
point of a loss with weight decay is balanced: ``|w_k| = |v_k|`` (theorem; Parhi and Nowak 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ot_latent._units import UnitBlock, path_penalty as path_penalty
from ot_latent.theory.sparsity.units import as_blocks, kinked

ACTIVE = 1e-6
"""Units with a smaller share of the largest product of norms count as silent."""


def path_norm(model: nn.Module | Sequence[UnitBlock], *, bias: bool = False) -> float:
    r"""Return the path norm, the sum of ``|w_k| |v_k|`` over the units with a kink.

    Exact. For one hidden layer it bounds `rtv2` from above, with equality once duplicates are
    merged. A deep network is measured block by block, each with its vector-valued outputs; a matrix
    between two kinks enters both blocks that it bounds (give `disjoint_units` to count it once).

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    bias : bool, default=False
        Whether biases count among the entries of w: so they do where weight decay acts on them.

    Returns
    -------
    float
        The sum.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    >>> with torch.no_grad():
    ...     _ = net[0].weight.copy_(torch.tensor([[3.0, 4.0]])), net[2].weight.fill_(-2.0)
    >>> path_norm(net)
    10.0
    """
    with torch.no_grad():
        return float(sum(b.sum().item() for b in unit_norms(model, bias=bias)))


@torch.no_grad()
def unit_norms(model: nn.Module | Sequence[UnitBlock], *, bias: bool = False) -> list[Tensor]:
    """Return ``|w_k| |v_k|`` of every unit with a kink, one tensor per block.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    bias : bool, default=False
        Whether biases count among the entries of w.

    Returns
    -------
    list of Tensor
        Products of norms in float64.
    """
    blocks = kinked(as_blocks(model))
    return [b.in_norms(bias=bias).double() * b.out_norms().double() for b in blocks]


def active_units(model: nn.Module | Sequence[UnitBlock], *, threshold: float = ACTIVE) -> list[int]:
    """Count the units of every block whose product of norms is not negligible.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    threshold : float, default=1e-6
        Share of the block's largest product of norms above which a unit counts (convention).

    Returns
    -------
    list of int
        One number per block with a kink.
    """
    products = unit_norms(model)
    return [int((p > threshold * p.max()).sum()) if p.numel() else 0 for p in products]


@torch.no_grad()
def balance_residual(model: nn.Module | Sequence[UnitBlock], *, bias: bool = False) -> float:
    """Return the largest ``|log |w_k| - log |v_k||`` over the active units of all blocks.

    Zero exactly where the network is balanced, as weight decay leaves it at every stationary point.
    Linear units count, too: weight decay balances them as well.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    bias : bool, default=False
        Whether biases count among the entries of w.

    Returns
    -------
    float
        The residual; 0 where no unit is active.
    """
    worst = 0.0
    for block in as_blocks(model):
        w, v = block.in_norms(bias=bias).double(), block.out_norms().double()
        products = w * v
        alive = products > ACTIVE * products.max()
        if bool(alive.any()):
            worst = max(worst, (w[alive] / v[alive]).log().abs().max().item())
    return worst


@torch.no_grad()
def weight_decay_gap(model: nn.Module | Sequence[UnitBlock], *, bias: bool = False) -> float:
    """Return ``sum_k (|w_k|^2 + |v_k|^2) / 2 - |w_k| |v_k|``: never negative, 0 if balanced.

    What weight decay still charges beyond the path norm; a diagnostic of training. In a deep model
    matrices between two blocks count twice, so give `disjoint_units` there.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    bias : bool, default=False
        Whether biases count among the entries of w.

    Returns
    -------
    float
        The gap.
    """
    gap = 0.0
    for block in kinked(as_blocks(model)):
        w, v = block.in_norms(bias=bias).double(), block.out_norms().double()
        gap += 0.5 * (w - v).square().sum().item()
    return gap
