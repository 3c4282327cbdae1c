r"""The local law of a cell: mean and root of the covariance of the codes around one, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream, rows
from ot_latent.transport.neighbours import SPACING

_GATHERED = 2**21  # numbers of neighbour codes gathered at once


class Placed(NamedTuple):
    """Codes, and how they came about."""

    codes: Tensor
    """Codes, shape (m, d)."""
    attempts: Tensor
    """Redraws of each row: 0 where the first was kept, -1 where the plain map stepped in."""


class Surroundings(NamedTuple):
    """What lies around some codes, in double precision."""

    codes: Tensor
    """The neighbours, shape (m, k, d); zeros where there are fewer than k."""
    valid: Tensor
    """Which of them exist, shape (m, k, 1), float64."""
    mean: Tensor
    """Their mean, shape (m, d)."""
    factor: Tensor
    """F of shape (m, k, d) whose F^T F is their covariance."""


def surroundings(points: Tensor, table: Tensor) -> Surroundings:
    """Gather the neighbours of some codes.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    table : Tensor of shape (m, k)
        Numbers of neighbours, -1 where there are fewer.

    Returns
    -------
    Surroundings
        Codes, mean, root of the covariance.
    """
    table = table.long()
    valid = (table >= 0).to(torch.float64)[..., None]
    count = valid.sum(dim=1)  # (m, 1)
    codes = points[table.clamp(min=0)].to(torch.float64) * valid
    mean = codes.sum(dim=1) / count
    factor = (codes - mean[:, None]) * valid / count[..., None].sqrt()
    return Surroundings(codes, valid, mean, factor)


def in_blocks(function: Callable[..., Tensor], size: int, *arrays: Tensor) -> Tensor:
    """Apply a row-wise function to blocks of one fixed size, the last one padded.

    Libraries may round a row differently in a matrix of another height; blocks of one size make
    a row's bits independent of the request.

    Parameters
    ----------
    function : callable
        Takes the blocks of all `arrays`, returns one row per row.
    size : int
        Rows of a block.
    *arrays : Tensor
        Arrays of the same length.

    Returns
    -------
    Tensor
        The rows of all blocks, without the padding.

    Examples
    --------
    >>> in_blocks(lambda x: x + len(x), 4, torch.zeros(6, dtype=torch.int64))
    tensor([4, 4, 4, 4, 4, 4])
    """
    n = len(arrays[0])
    parts = []
    for first in range(0, max(n, 1), size):
        index = torch.arange(first, first + size, device=arrays[0].device).clamp(max=max(n - 1, 0))
        if n == 0:
            index = index[:0]
        parts.append(function(*(array[index] for array in arrays))[: max(0, n - first)])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def root_times(factor: Tensor, vector: Tensor, *, inverse: bool = False) -> Tensor:
    r"""Return :math:`(F^T F)^{1/2} v`, or what the pseudo-inverse of that root makes of v.

    With fewer rows than columns the root is taken of the small matrix instead:
    :math:`(F^T F)^{1/2} = F^T (F F^T)^{-1/2} F`.

    Parameters
    ----------
    factor : Tensor of shape (m, k, d)
        Factors F.
    vector : Tensor of shape (m, d)
        Vectors v.
    inverse : bool, default=False
        Multiply by the pseudo-inverse of the root.

    Returns
    -------
    Tensor of shape (m, d)
        One product per row.

    Examples
    --------
    >>> root_times(torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.ones(1, 2))
    tensor([[2., 3.]])
    """
    k, d = factor.shape[1:]
    small = factor @ factor.mT if k < d else factor.mT @ factor
    values, vectors = torch.linalg.eigh(small)
    values = values.clamp(min=0.0)
    floor = values[:, -1:] * 1e-12
    turned = values.clamp(min=1e-300).rsqrt()
    if k >= d:
        inner = torch.einsum("mij,mi->mj", vectors, vector)
        if inverse:
            scaled = torch.where(values > floor, inner * turned, 0.0)
        else:
            scaled = values.sqrt() * inner
        return torch.einsum("mij,mj->mi", vectors, scaled)
    # F^T U V^p U^T F with F F^T = U V U^T: p = -1/2 for the root, -3/2 for its inverse
    weights = torch.where(values > floor, turned**3 if inverse else turned, 0.0)
    inner = torch.einsum("mij,mi->mj", vectors, torch.einsum("mkd,md->mk", factor, vector))
    outer = torch.einsum("mij,mj->mi", vectors, weights * inner)
    return torch.einsum("mkd,mk->md", factor, outer)


def law_of_cells(
    points: Tensor,
    neighbours: Tensor,
    cells: Tensor,
    residuals: Tensor,
    a: float,
    b: float,
    *,
    tear: float = math.inf,
    by_root: bool = True,
) -> Tensor:
    """Place residuals around the codes of given cells.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    neighbours : Tensor of shape (N, k)
        Numbers of each code's neighbours, -1 where there are fewer.
    cells : Tensor of shape (m,)
        Cells.
    residuals : Tensor of shape (m, d) or (m, k)
        In units of one.
    a, b : float
        Share of a code's own offset from its local mean, and size of the local spread.
    tear : float, default=inf
        Spacings from the nearest neighbour beyond which a code is not kept.
    by_root : bool, default=True
        Multiply residuals (m, d) by the root of the local covariance, else (m, k) by its factor.

    Returns
    -------
    Tensor of shape (m, d + 1), float64
        Codes; the last column is one where the code is kept, else zero.
    """
    k, d = neighbours.shape[1], points.shape[1]
    size = BLOCK_ROWS
    while size > 1 and size * k * d > _GATHERED:
        size //= 2

    def block(cells: Tensor, draw: Tensor) -> Tensor:
        around = surroundings(points, neighbours[cells])
        multiply = root_times if by_root else _factor_times
        local = multiply(around.factor, draw.to(torch.float64))
        own = points[cells].to(torch.float64)
        codes = around.mean + a * (own - around.mean) + b * local
        kept = torch.ones_like(codes[:, :1])
        if math.isfinite(tear):
            gone = around.valid[..., 0] == 0
            steps = (around.codes - codes[:, None]).norm(dim=2).masked_fill(gone, math.inf)
            first = (around.codes - own[:, None]).norm(dim=2).masked_fill(gone, 0.0)
            kept[steps.amin(dim=1) > tear * first[:, : SPACING + 1].amax(dim=1)] = 0.0
        return torch.cat([codes, kept], dim=1)

    return in_blocks(block, size, cells, residuals)


def _factor_times(factor: Tensor, draw: Tensor) -> Tensor:
    """Return F^T v."""
    return torch.einsum("mkd,mk->md", factor, draw)


def normal_residuals(x: Tensor, columns: int, seed: int, start: int, attempt: int = 0) -> Tensor:
    """Return standard normal rows, functions of (seed, row, attempt).

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Gives the number of rows, the dtype and the device.
    columns : int
        How many numbers per row.
    seed, start : int
        Seed, and number of the first row.
    attempt : int, default=0
        Number of the redraw.

    Returns
    -------
    Tensor of shape (m, columns)
        Residuals.
    """
    extra = (attempt,) if attempt else ()
    draws = rows(
        seed,
        Stream.LOCAL_NOISE,
        start,
        start + len(x),
        lambda rng, n: rng.standard_normal((n, columns)),
        *extra,
    )
    return torch.as_tensor(draws, dtype=x.dtype, device=x.device)
