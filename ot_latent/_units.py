"""Homogeneous units of a network as views of its parameters: norms, rescaling, a proximal step.

A unit is an input vector w, an output vector v and a positively homogeneous kink between them;
``(w, b, v) -> (a w, a b, v / a)`` with a > 0 leaves the network's function as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT_SLACK = 1e-5
"""Input vectors whose norm is this close to one are left as they are, bit for bit."""


@dataclass(frozen=True)
class Side:
    """One side of a block of units: a parameter, whose entries belong to units.

    Attributes
    ----------
    parameter : Tensor
        The model's own parameter; never a copy.
    labels : Tensor
        Integers that broadcast to the parameter's shape: which unit each entry belongs to. Of size
        one along every axis on which the unit is the same.
    count : int
        Number of units.

    Examples
    --------
    >>> columns = Side(torch.tensor([[3.0, 1.0], [4.0, 1.0]]), torch.tensor([[0, 1]]), 2)
    >>> columns.norms().tolist()
    [5.0, 1.4142135381698608]
    """

    parameter: Tensor
    labels: Tensor
    count: int

    def norms(self) -> Tensor:
        """Return the Euclidean norm of every unit's vector.

        Returns
        -------
        Tensor of shape (units,)
            Norms; differentiable where they are not zero.
        """
        same = tuple(axis for axis, size in enumerate(self.labels.shape) if size == 1)
        squares = self.parameter.square()
        squares = squares.sum(same) if same else squares
        labels = self.labels.to(squares.device).flatten()  # the model may have moved since
        sums = squares.new_zeros(self.count).index_add(0, labels, squares.flatten())
        return torch.where(sums > 0, sums.where(sums > 0, 1.0).sqrt(), 0.0)

    @torch.no_grad()
    def scale_(self, factors: Tensor) -> None:
        """Multiply every unit's vector by its factor, in place.

        Parameters
        ----------
        factors : Tensor of shape (units,)
            One factor per unit.
        """
        self.parameter.mul_(factors.to(self.parameter)[self.labels.to(self.parameter.device)])


def axis_labels(parameter: Tensor, axis: int, labels: Tensor) -> Tensor:
    """Return the labels of a `Side` whose units are told along one axis.

    Parameters
    ----------
    parameter : Tensor
        The parameter.
    axis : int
        The axis.
    labels : Tensor of shape (parameter.shape[axis],)
        The unit of each place along it.

    Returns
    -------
    Tensor
        The labels with as many axes as the parameter, on its device.
    """
    shape = [1] * parameter.ndim
    shape[axis] = -1
    return labels.to(parameter.device).reshape(shape)


@dataclass(frozen=True)
class UnitBlock:
    """The units between one affine layer and the next.

    Attributes
    ----------
    names : tuple of str
        Names of the two layers.
    incoming, outgoing : Side
        Input and output vectors.
    bias : Side or None
        Biases of the input layer.
    rectified : bool
        Whether there is a kink between the layers; without one the units are linear.
    """

    names: tuple[str, str]
    incoming: Side
    outgoing: Side
    bias: Side | None
    rectified: bool

    def in_norms(self, *, bias: bool = False) -> Tensor:
        """Return the norms of the input vectors.

        Parameters
        ----------
        bias : bool, default=False
            Whether biases are penalised, too, and so count among the entries.

        Returns
        -------
        Tensor of shape (units,)
            Norms, differentiable.
        """
        norms = self.incoming.norms()
        if not bias or self.bias is None:
            return norms
        return torch.hypot(norms, self.bias.norms())

    def out_norms(self) -> Tensor:
        """Return the norms of the output vectors.

        Returns
        -------
        Tensor of shape (units,)
            Norms; differentiable where they are not zero.
        """
        return self.outgoing.norms()

    @torch.no_grad()
    def rescale_(self, factors: Tensor) -> None:
        """Multiply w and b by positive factors and divide v by them: the function stays.

        Parameters
        ----------
        factors : Tensor of shape (units,)
            Positive factors.
        """
        self.incoming.scale_(factors)
        if self.bias is not None:
            self.bias.scale_(factors)
        self.outgoing.scale_(1 / factors)

    def parameters(self) -> list[Tensor]:
        """Return the parameters of the block.

        Returns
        -------
        list of Tensor
            Input weights, biases where there are any, output weights.
        """
        sides = (self.incoming, self.bias, self.outgoing)
        return [side.parameter for side in sides if side is not None]


@torch.no_grad()
def normalise_(block: UnitBlock) -> None:
    """Give every input vector norm one, at the expense of the output vector: the function stays.

    Vectors that are zero, or of norm one up to 1e-5, are left alone.

    Parameters
    ----------
    block : UnitBlock
        The units.
    """
    norms = block.in_norms()
    done = (norms == 0) | ((norms - 1).abs() <= UNIT_SLACK)
    block.rescale_(torch.where(done, torch.ones_like(norms), 1 / norms))


@torch.no_grad()
def project_(block: UnitBlock) -> None:
    """Divide every input vector and bias by the vector's norm, and leave the output vector.

    Parameters
    ----------
    block : UnitBlock
        The units; a zero input vector is left alone.
    """
    norms = block.in_norms()
    factors = torch.where(norms == 0, torch.ones_like(norms), 1 / norms)
    block.incoming.scale_(factors)
    if block.bias is not None:
        block.bias.scale_(factors)


@torch.no_grad()
def shrink_(block: UnitBlock, threshold: float) -> None:
    """Shorten every output vector by `threshold`, to exactly zero where it is shorter than that.

    The proximal operator of ``threshold * sum_k |v_k|``.

    Parameters
    ----------
    block : UnitBlock
        The units.
    threshold : float
        Not negative.
    """
    norms = block.out_norms()
    tiny = torch.finfo(norms.dtype).tiny
    block.outgoing.scale_((1 - threshold / norms.clamp_min(tiny)).clamp_min(0.0))


def check_disjoint(blocks: Sequence[UnitBlock]) -> None:
    """Refuse blocks of which two share a parameter.

    Parameters
    ----------
    blocks : sequence of UnitBlock
        The blocks.

    Raises
    ------
    ValueError
        If there are none, or two of them share a parameter.
    """
    if not blocks:
        raise ValueError(
            "units must be at least one block, got none; pass a model with a kink between two "
            "affine layers."
        )
    owner: dict[int, UnitBlock] = {}
    for block in blocks:
        for parameter in block.parameters():
            other = owner.setdefault(id(parameter), block)
            if other is not block:
                raise ValueError(
                    f"units must be blocks that share no parameter, got "
                    f"{' -> '.join(other.names)} and {' -> '.join(block.names)}; try "
                    "theory.sparsity.disjoint_units."
                )


def path_penalty(blocks: Iterable[UnitBlock], *, bias: bool = False) -> Tensor:
    """Return ``sum_k |w_k| |v_k|`` over all units as a tensor to differentiate.

    Parameters
    ----------
    blocks : iterable of UnitBlock
        The units.
    bias : bool, default=False
        Whether biases count among the entries of w.

    Returns
    -------
    Tensor of shape ()
        The sum.
    """
    sums = [(b.in_norms(bias=bias) * b.out_norms()).sum() for b in blocks]
    return torch.stack(sums).sum()
