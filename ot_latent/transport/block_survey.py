"""Measure the cells of a potential by crossed draws: many more of them in the same time."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_latent._random import Stream
from ot_latent.transport.crossing import Crossing, Met
from ot_latent.transport.survey import CellSurvey, fixed_point, square_unit

MOST_DRAWS = 2**20  # met at a time


def survey_blocks(
    crossing: Crossing,
    heights: Tensor,
    blocks: int,
    rows: int,
    *,
    seed: int,
    start: int = 0,
    stream: Stream = Stream.EVALUATION,
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

    Returns
    -------
    CellSurvey
        Integer sums; the same for any number of processes and threads.
    """
    heights = heights.double()
    step = max(1, MOST_DRAWS // rows**2)
    parts: list[CellSurvey] = []
    for low in range(0, blocks, step):
        count = min(step, blocks - low)
        z = crossing.rows(seed, stream, start + low * rows, count * rows, rows)
        parts.append(_summed(crossing, z, crossing.meet(z, rows, heights), heights))
    survey = parts[0]
    for part in parts[1:]:
        survey = survey.merged(part)
    return survey


def _summed(crossing: Crossing, z: Tensor, met: Met, heights: Tensor) -> CellSurvey:
    """Sum up one batch of blocks."""
    from ot_latent.kernels.tally import tally_blocks, tally_halves

    n, d = crossing.target.points.shape
    split, blocks = crossing.form.split, len(met.cells)
    counts, squares = torch.zeros(2, n, dtype=torch.int64)
    sums = torch.zeros(n, d, dtype=torch.int64)
    cells = met.cells.cpu()
    fixed = fixed_point(z).view(blocks, -1, d)
    u, v = fixed[:, :, :split].contiguous(), fixed[:, :, split:].contiguous()
    tally_blocks(cells.numpy(), counts.numpy(), squares.numpy())
    tally_halves(cells.numpy(), u.numpy(), v.numpy(), sums.numpy())
    points = crossing.target.points
    unit = square_unit(points, crossing.source)
    square, product = _moments(crossing, z.view(blocks, -1, d).double())
    norms = points.double().square().sum(dim=1) + 2 * heights.to(points.device)
    cost = square + norms[met.cells].cpu() - 2 * (product + met.scores.cpu())
    means = cost.mean(dim=1) / unit
    total = int(fixed_point(square / unit).sum())
    costs = int(fixed_point(means).sum()), int(fixed_point(means.square()).sum())
    return CellSurvey(
        counts=counts.to(points.device),
        sums=sums.to(points.device),
        square_sum=total,
        cost_sums=costs,
        unit=unit,
        form=crossing.form,
        squares=squares.to(points.device),
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
