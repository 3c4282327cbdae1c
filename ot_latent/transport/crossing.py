"""Factorised sampling: draws whose halves are combined, and the cells that they fall into.

A rows of a product source, split in halves, are A^2 draws that cost one addition and one comparison
per target, whatever the dimension. Their masses are unbiased; draws of one block share halves, so
the variance of counts is inflated by a factor v that is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream, generator
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.transport.chi_square import BlockCounts
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.processes import (
    add_over_processes,
    best_over_processes,
    process_rank,
)
from ot_latent.transport.product import ProductForm
from ot_latent.transport.sources import Source
from ot_latent.transport.target_chunks import TargetChunks

if TYPE_CHECKING:
    from ot_latent.kernels.crossed import PackedTargets

PAIRS_PER_THREAD = 4_000_000  # of draws and targets, under which threads cost more than they save


class Met(NamedTuple):
    """The cells of blocks of draws, (blocks, A * A) each; first halves vary slowest."""

    cells: Tensor
    """Winners, int64."""
    scores: Tensor
    r"""Their scores :math:`\langle x, y_j - c\rangle + h_j`, c the mean of the targets; float64."""
    gaps: Tensor
    """Best minus second-best score, float32."""

    def counted(self, targets: int) -> BlockCounts:
        """Count the draws of each cell, block by block.

        Parameters
        ----------
        targets : int
            Number N of cells.

        Returns
        -------
        BlockCounts
            On the CPU.
        """
        from ot_latent.kernels.tally import tally_blocks

        counts, squares = torch.zeros(2, targets, dtype=torch.int64)
        cells = self.cells.cpu()
        tally_blocks(cells.numpy(), counts.numpy(), squares.numpy())
        return BlockCounts(counts, squares, cells)


@dataclass(frozen=True, eq=False)
class Crossing:
    r"""A product source and the targets, prepared for factorised sampling.

    With x = m + M z and targets centred at their mean c, the winner of
    :math:`\langle x, y_j\rangle + h_j` is that of :math:`\langle z, M^T(y_j - c)\rangle + h_j +
    \langle m, y_j - c\rangle`; the kernel works on these in float32.

    Parameters
    ----------
    source : Source
        Has a product form.
    target : DiscreteMeasure
        The targets.
    form : ProductForm
        That of the source.
    memory_budget : int or str, optional
        Bytes that packed targets may take, see `TargetChunks`.
    sharded : bool, default=False
        Whether each process of `torch.distributed` meets a part of the targets, and packs only
        these; else each meets all targets with a part of the draws.
    """

    source: Source
    target: DiscreteMeasure
    form: ProductForm
    memory_budget: int | str | None = None
    sharded: bool = False
    chunks: TargetChunks = field(init=False, repr=False)
    halves: tuple[Tensor, Tensor] = field(init=False, repr=False)
    _noise: dict[int, tuple[tuple[int, int, int], Tensor]] = field(init=False, default_factory=dict)
    _pool: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Pack the targets."""
        rank, world = process_rank() if self.sharded else (0, 1)
        first, last = (len(self.target) * r // world for r in (rank, rank + 1))
        on_cpu = self.target.points.device.type == "cpu"
        budget = self.memory_budget if on_cpu else 1  # byte: a device holds halves, none packed
        chunks = TargetChunks(self.target, self.form, first, last, budget)
        object.__setattr__(self, "chunks", chunks)
        if not on_cpu:
            centred = self.target.points.detach().cpu().double() - chunks.centre
            pulled = self.form.pulled(centred).float().to(self.target.points.device)
            object.__setattr__(self, "halves", pulled.tensor_split([self.form.split], dim=1))
        object.__setattr__(self, "_pool", ThreadPoolExecutor(torch.get_num_threads()))

    @property
    def centre(self) -> Tensor:
        """Mean of the targets."""
        return self.chunks.centre

    def rows(self, seed: int, stream: Stream, start: int, count: int, block: int) -> Tensor:
        """Return coordinates z of rows of a stream, stratified block by block.

        Each block is a Latin hypercube: every coordinate has one row in each of its strata. That
        leaves each crossed draw exactly distributed and makes draws of a block agree less.

        Parameters
        ----------
        seed : int
            Seed.
        stream : Stream
            Which stream.
        start, count : int
            First row and how many, multiples of `block`.
        block : int
            Rows of a block, a divisor of 1024.

        Returns
        -------
        Tensor of shape (count, d), float32
            Coordinates; a block is a function of (seed, stream, its rows).

        Raises
        ------
        ValueError
            If the first row is inside a block.
        """
        if start % block:
            raise ValueError(f"start must be a multiple of {block} rows, got {start}; round it up.")
        first, last = start // BLOCK_ROWS, (start + count - 1) // BLOCK_ROWS
        parts = [self._coordinates(seed, stream, i, block) for i in range(first, last + 1)]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole[start - first * BLOCK_ROWS :][:count]

    def _coordinates(self, seed: int, stream: Stream, number: int, block: int) -> Tensor:
        """Return the coordinates of one block of randomness; the last one of a stream is kept."""
        from ot_latent.kernels.latin import latin_blocks

        key, held = (seed, number, block), self._noise.get(int(stream))
        if held is None or held[0] != key:
            shape = BLOCK_ROWS, self.source.dim
            shuffle, jitter = (generator(seed, stream, number, k).random(shape) for k in range(2))
            uniform = torch.from_numpy(latin_blocks(shuffle, jitter, block))
            held = self._noise[int(stream)] = key, self.form.coordinates(uniform).float()
        return held[1]

    def meet(self, z: Tensor, rows: int, heights: Tensor) -> Met:
        """Return the cells of all combinations of halves, block by block.

        Under `torch.distributed` each process meets every world-th block and all receive all; the
        result does not depend on the number of processes or threads.

        Parameters
        ----------
        z : Tensor of shape (blocks * rows, d)
            Coordinates.
        rows : int
            Rows of a block.
        heights : Tensor of shape (N,), float64
            Heights of the potential.

        Returns
        -------
        Met
            Cells, scores and gaps; scores that are no numbers stay at minus infinity.
        """
        split, blocks = self.form.split, z.reshape(-1, rows, z.shape[1])
        rank, world = (0, 1) if self.sharded else process_rank()
        mine = blocks[rank::world]
        lifted = heights.cpu() + self.chunks.lift
        top = lifted.max()  # taken out, so that float32 spends its digits on differences
        meet = self._in_threads if self.target.points.device.type == "cpu" else self._on_device
        part = meet(mine[:, :, :split], mine[:, :, split:], (lifted - top).float())
        if self.sharded:
            part = best_over_processes(*part)
        best, runner, cells = (tensor.flatten(1) for tensor in part)
        found = cells.long(), best.double() + top, best - runner
        return Met(*(found if self.sharded else (_shared(tensor, len(blocks)) for tensor in found)))

    def _in_threads(self, u: Tensor, v: Tensor, heights: Tensor) -> list[Tensor]:
        """Meet blocks in the compiled kernel, shared among threads."""
        from ot_latent.kernels.crossed import Crossings, cross_packed

        first, second, numbers = u.numpy(), v.numpy(), heights.numpy()
        found = Crossings.empty(len(u), u.shape[1])
        pairs = len(u) * u.shape[1] ** 2 * len(heights)
        threads = max(1, min(torch.get_num_threads(), len(u))) if pairs > PAIRS_PER_THREAD else 1
        ends = [len(u) * i // threads for i in range(threads + 1)]
        shares = [slice(low, high) for low, high in itertools.pairwise(ends)]
        for start, packed in self.chunks:

            def work(share: slice, start: int = start, packed: PackedTargets = packed) -> None:
                part = Crossings(*(array[share] for array in found))
                here = numbers[start : start + packed.size]
                cross_packed(first[share], second[share], packed, here, start, part)

            if threads == 1:
                work(shares[0])
            else:
                list(self._pool.map(work, shares))
        return [torch.from_numpy(array) for array in found]

    def _on_device(self, u: Tensor, v: Tensor, heights: Tensor) -> list[Tensor]:
        """Meet blocks on the device of the targets: in a fused kernel where it has one, or eagerly."""
        device = self.target.points.device
        arrays = (array.to(device) for array in (u, v, *self.halves, heights))
        return [tensor.cpu() for tensor in _road(device)(*arrays)]


def _road(device: torch.device) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Return what meets blocks on a device other than the CPU."""
    if device.type == "cuda":
        from ot_latent.kernels.triton_crossed import cross_triton, works

        if works(device):
            return cross_triton
    return cross_eager


def _shared(tensor: Tensor, blocks: int) -> Tensor:
    """Put this process's blocks where they belong and add those of the others."""
    rank, world = process_rank()
    if world == 1:
        return tensor
    whole = tensor.new_zeros(blocks, tensor.shape[1])
    whole[rank::world] = tensor
    add_over_processes(whole)
    return whole
