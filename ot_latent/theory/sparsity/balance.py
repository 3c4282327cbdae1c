"""Neural balance: rescale the units of a network to the least sum of squares, its function kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ot_latent._units import UnitBlock
from ot_latent.theory.sparsity.norms import balance_residual
from ot_latent.theory.sparsity.units import as_blocks, homogeneous_units

MAX_SWEEPS = 10_000


class Balance(NamedTuple):
    """What balancing did.

    Attributes
    ----------
    sweeps : int
        Passes over the blocks; one is enough where no two blocks share a matrix.
    residual : float
        The balance residual afterwards.
    """

    sweeps: int
    residual: float


def balance_(
    model: nn.Module | Sequence[UnitBlock],
    *,
    bias: bool = False,
    tolerance: float | None = None,
    max_sweeps: int = MAX_SWEEPS,
) -> Balance:
    """Rescale every unit to ``|w_k| = |v_k|``, in place; the network's function stays as it is.

    Of all rescalings this one has the least sum of squares (theorem: the sum is convex in the
    logarithms of the factors). For one hidden layer it is ``a^2 = |v| / |w|`` in closed form. In a
    chain each inner matrix belongs to two blocks, and sweeps like Sinkhorn's converge to the
    minimiser; there all layers have the same Frobenius norm (over the weights that are scaled).

    A unit whose output vector, or whose input vector and bias, are zero is silent: all of it is set
    to zero. A unit that only its bias drives is left alone.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that `homogeneous_units` reads, or blocks.
    bias : bool, default=False
        Whether biases count among the entries of w: so they do where weight decay acts on them.
    tolerance : float, optional
        Residual at which sweeps end (default: 64 times the rounding unit of the parameters).
    max_sweeps : int, default=10000
        Largest number of sweeps.

    Returns
    -------
    Balance
        Sweeps and final residual.

    Raises
    ------
    RuntimeError
        If the residual is not reached in `max_sweeps` sweeps.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    >>> balance_(net).sweeps, balance_residual(net) < 1e-12
    (1, True)
    """
    blocks = as_blocks(model)
    if tolerance is None:
        tolerance = max(64 * torch.finfo(b.incoming.parameter.dtype).eps for b in blocks)
    for sweep in range(1, max_sweeps + 1):
        for block in blocks:
            _balance_block(block, bias)
        residual = balance_residual(blocks, bias=bias)
        if residual <= tolerance:
            return Balance(sweep, residual)
    raise RuntimeError(
        f"the balance residual must fall to {tolerance:.1e}, got {residual:.1e} after {max_sweeps} "
        "sweeps; allow a larger tolerance or more sweeps."
    )


@torch.no_grad()
def _balance_block(block: UnitBlock, bias: bool) -> None:
    """Balance the units of one block in closed form."""
    w, v = block.in_norms(bias=bias).double(), block.out_norms().double()
    drive = block.in_norms(bias=True).double()
    silent = (v == 0) | (drive == 0)
    settled = silent | (w == 0)
    ratio = torch.where(settled, torch.ones_like(w), v / w.where(w > 0, torch.ones_like(w)))
    block.rescale_(ratio.sqrt())
    if bool(silent.any()):
        _silence(block, silent)


def _silence(block: UnitBlock, silent: Tensor) -> None:
    """Set all that belongs to silent units to zero."""
    keep = (~silent).double()
    block.incoming.scale_(keep)
    block.outgoing.scale_(keep)
    if block.bias is not None:
        block.bias.scale_(keep)


@torch.no_grad()
def layer_balance_(model: nn.Module) -> list[float]:
    """Even out the path norms of every second block of a chain, in place; the function stays.

    Blocks 1-2, 3-4, ... of the affine layers have path norms whose product no rescaling of whole
    blocks changes; their sum is least where they are equal (theorem: arithmetic and geometric
    mean). What lies between two blocks is scaled along, biases included, so this suits
    penalties that leave biases alone.

    Parameters
    ----------
    model : torch.nn.Module
        A chain of an even number of affine layers that `homogeneous_units` reads.

    Returns
    -------
    list of float
        The path norms of the blocks before; afterwards all are their geometric mean.

    Raises
    ------
    ValueError
        If the number of affine layers is odd, or a block is zero.
    """
    every = homogeneous_units(model)
    if len(every) % 2 == 0:
        raise ValueError(
            f"model must have an even number of affine layers, got {len(every) + 1}; take out a "
            "pair by itself, or use balance_."
        )
    blocks, joints = every[::2], every[1::2]
    norms = [float((b.in_norms().double() * b.out_norms().double()).sum()) for b in blocks]
    if min(norms) == 0:
        raise ValueError(
            "every block must have a path norm > 0, got 0; the network is constant, retrain it."
        )
    mean = math.exp(sum(math.log(n) for n in norms) / len(norms))
    total = 1.0
    for n, (block, norm) in enumerate(zip(blocks, norms, strict=True)):
        total *= mean / norm
        block.outgoing.parameter.mul_(mean / norm)
        if n < len(joints):
            _scale_biases(joints[n], blocks[n + 1], total)
    return norms


def _scale_biases(joint: UnitBlock, following: UnitBlock, total: float) -> None:
    """Scale the biases at a joint: that of the block that ends there, and that of the next."""
    for side in (joint.bias, following.bias):
        if side is not None:
            side.parameter.mul_(total)
