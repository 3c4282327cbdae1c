"""Measure the cells of a potential by crossed draws: many more of them in the same time."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ot_latent._random import Stream
from ot_latent.transport.crossing import Crossing, Met
from ot_latent.transport.survey import CellSurvey, fixed_point, square_unit

MOST_DRAWS, MOST_NUMBERS = 2**20, 2**20  # draws met at a time, and coordinates of their rows


def survey_blocks(
    crossing: Crossing,
    heights: Tensor,
    blocks: int,
    rows: int,
    *,
    seed: int,
    start: int = 0,
    stream: Stream = Stream.EVALUATION,
    centroids: bool = True,
) -> CellSurvey:
    """Draw blocks of crossed draws and sum up what falls into each cell.

    Parameters
    ----------
    crossing : Crossing
        The source and the targets.
    heights : Tensor of shape (N,)
        Heights of the potential whose cells are measured.
    blocks, rows : int
        Number of blocks, and rows A of each; a block holds A^2 draws.
    seed : int
        Seed of the stream.
    start : int, default=0
        First row of the stream.
    stream : Stream, default=Stream.EVALUATION
        Which stream.
    centroids : bool, default=True
        Whether to sum up coordinates, which takes 8 N d bytes.

    Returns
    -------
    CellSurvey
        Integer sums; the same for any number of processes and threads.
    """
    heights = heights.double()
    step = max(1, min(MOST_DRAWS // rows**2, MOST_NUMBERS // (rows * crossing.source.dim)))

    def part(low: int) -> CellSurvey:
        count = min(step, blocks - low)
        z = crossing.rows(seed, stream, start + low * rows, count * rows, rows)
        met = crossing.meet(z, rows, heights)
        sums = _coordinate_sums(crossing, z, met) if centroids else None
        return _summed(crossing, z, met, heights, sums)

    return functools.reduce(CellSurvey.merged, map(part, range(0, blocks, step)))


def _coordinate_sums(crossing: Crossing, z: Tensor, met: Met) -> Tensor:
    """Return the sums of the coordinates of the draws of each cell, in fixed point."""
    from ot_latent.kernels.tally import tally_halves

    points, split = crossing.target.points, crossing.form.split
    sums = torch.zeros(points.shape, dtype=torch.int64)
    fixed = fixed_point(z).view(len(met.cells), -1, points.shape[1])
    u, v = fixed[:, :, :split].contiguous(), fixed[:, :, split:].contiguous()
    tally_halves(met.cells.cpu().numpy(), u.numpy(), v.numpy(), sums.numpy())
    return sums.to(points.device)


def _summed(
    crossing: Crossing, z: Tensor, met: Met, heights: Tensor, sums: Tensor | None
) -> CellSurvey:
    """Sum up one batch of blocks."""
    device, norms = crossing.target.points.device, crossing.chunks.norms
    blocks = met.counted(len(norms))
    unit = square_unit(float(norms.max()), crossing.source)
    square, product = _moments(crossing, z.view(len(met.cells), -1, z.shape[1]).double())
    own = (norms + 2 * heights.cpu())[met.cells.cpu()]
    cost = square + own - 2 * (product + met.scores.cpu())
    means = cost.mean(dim=1) / unit
    return CellSurvey(
        counts=blocks.counts.to(device),
        sums=sums,
        square_sum=int(fixed_point(square / unit).sum()),
        cost_sums=(int(fixed_point(means).sum()), int(fixed_point(means.square()).sum())),
        unit=unit,
        form=crossing.form,
        squares=blocks.squares.to(device),
        cells=met.cells.int(),
    )


def _moments(crossing: Crossing, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return |x|^2 and the product of x with the targets' mean for all crossed draws."""
    split, empty = crossing.form.split, torch.zeros_like(z)
    first, second = empty.clone(), empty
    first[:, :, :split], second[:, :, split:] = z[:, :, :split], z[:, :, split:]
    blocks, rows, d = z.shape
    flat = (crossing.form.points(half.reshape(-1, d)) for half in (first, second))
    u, v = (half.view(blocks, rows, d) for half in flat)
    u = u - crossing.form.offset  # the mean stays with the second half
    sums = u.square().sum(2)[:, :, None] + v.square().sum(2)[:, None, :]
    square = sums + 2 * u @ v.transpose(1, 2)
    product = (u @ crossing.centre)[:, :, None] + (v @ crossing.centre)[:, None, :]
    return square.flatten(1), product.flatten(1)
