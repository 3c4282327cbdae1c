"""The targets of crossed draws, centred and packed: held whole, or packed anew from where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import parse_bytes
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.product import ProductForm

if TYPE_CHECKING:
    from ot_latent.kernels.crossed import PackedTargets

HELD_ROWS, HELD_NUMBERS = 2**16, 2**25  # of a chunk that is held, at most
LEAST_ROWS = 1024  # of one that is not
COPIES = 4  # of a chunk, while it is centred, pulled back and packed


@dataclass(frozen=True, eq=False)
class TargetChunks:
    r"""Targets :math:`M^T (y_j - c)` in float32, chunk by chunk.

    Parameters
    ----------
    target : DiscreteMeasure
        The targets; their points may be a memory map, or lie on another device.
    form : ProductForm
        Of the source.
    first, last : int
        Targets from the first to the one before the last are met here.
    memory_budget : int or str, optional
        Bytes that packed targets may take. Where all of them take more, they are packed anew, a
        chunk at a time, whenever draws meet them.

    Attributes
    ----------
    centre : Tensor of shape (d,), float64
        Mean c of all targets.
    lift, norms : Tensor of shape (N,), float64
        Products of y_j - c with the mean of the source, and squared norms of y_j.
    """

    target: DiscreteMeasure
    form: ProductForm
    first: int
    last: int
    memory_budget: int | str | None = None
    centre: Tensor = field(init=False)
    lift: Tensor = field(init=False)
    norms: Tensor = field(init=False)
    _held: list[tuple[int, PackedTargets]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Centre the targets, and pack them where they fit."""
        centre = self.target.mean()
        object.__setattr__(self, "centre", centre)
        lifts, norms = [], []
        for _, points in self.target.chunks():
            lifts.append(points @ self.form.offset - centre @ self.form.offset)
            norms.append(points.square_().sum(dim=1))
        object.__setattr__(self, "lift", torch.cat(lifts))
        object.__setattr__(self, "norms", torch.cat(norms))
        object.__setattr__(self, "_held", list(self._packed()) if self.fits else [])

    @property
    def fits(self) -> bool:
        """Whether all targets are held packed."""
        size = 4 * (self.last - self.first) * self.target.dim
        return self.memory_budget is None or size <= parse_bytes(self.memory_budget)

    def __iter__(self) -> Iterator[tuple[int, PackedTargets]]:
        """Return the first index and the packed targets of each chunk."""
        return iter(self._held) if self._held else self._packed()

    def _packed(self) -> Iterator[tuple[int, PackedTargets]]:
        """Pack chunk after chunk."""
        from ot_latent.kernels.crossed import pack_targets

        step = max(LEAST_ROWS, min(HELD_ROWS, HELD_NUMBERS // self.target.dim))
        if not self.fits:
            budget = parse_bytes(self.memory_budget or 0)
            step = max(LEAST_ROWS, min(step, budget // (8 * COPIES * self.target.dim)))
        points = self.target.points.detach()
        for start in range(self.first, self.last, step):
            rows = points[start : min(start + step, self.last)].cpu()
            pulled = self.form.pulled(rows.to(torch.float64) - self.centre).float()
            yield start, pack_targets(pulled.numpy(), self.form.split)
