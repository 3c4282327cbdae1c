r"""Best one or two of N scores on a GPU: screened in few bits by a fused product and maximum, in Triton.

A program lets groups of targets pass a block of rows: their product in bf16 or tf32 on the matrix
units, the heights, and of every group only its maximum; the best few groups of each row are kept.
Then float32 decides: every target of a group that may hold a winner is scored again, in an order of
additions that depends on the pair alone. So the screen chooses how much is scored again, and never
changes a bit of the result.

Which groups may hold a winner follows from a bound. Let c be the mean of the targets, m that of the
rows, :math:`x' = x - m`, :math:`y' = y - c`, and a tilde mark rounded numbers. The screen sees
:math:`V = \langle\tilde x, \tilde y\rangle + (h + \langle m, y'\rangle)`, the exact score s differs
from it by a number that is the same for all targets of a row, and by

.. math:: |\langle x', y'\rangle - \langle\tilde x, \tilde y\rangle| \le
    |x' - \tilde x|\,|y'| + |\tilde x|\,|y' - \tilde y|

(triangle and Cauchy-Schwarz), whose norms are measured, not estimated. Matrix units multiply such
numbers exactly and add d of them with an error of at most :math:`d\,2^{-22} |\tilde x||\tilde y|`: each
of fewer than 1.25 d additions cuts off at most :math:`2^{-23}` of the largest addend, and none of these
exceeds :math:`\sum_i |\tilde x_i \tilde y_i| \le |\tilde x||\tilde y|`; a factor of 1.6 is left. With
the roundings of differences and heights this gives an error e of a row. Scoring again has the error
:math:`e' = (d + 2)\,2^{-24} (|x||y| + |h|)`, whatever the order. If :math:`V_k` is the k-th best group
maximum, k targets reach :math:`V_k - e - e'` in float32, and none of a group with
:math:`V < V_k - 2(e + e')` does. Where the last kept group is below that, the row is certain; the
other rows are screened in more bits, at last in float32 with the maxima of all groups.
"""

# Triton reads the hints of its constants; pointers have none.
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ot_latent.kernels.triton_language import interpreted, jit, passes, tl

MOST = 2
"""Best scores that the kernels can find."""
KEPT = (
    8  # groups of a row, a power of two; the last bounds all others, the rest can be scored again
)
ROWS, GROUP = 128, 128  # of a product's tile
DEPTHS = {"bf16": 64, "tf32": 32, "ieee": 32}  # coordinates multiplied at a time
WARPS, STAGES = 8, 3
PROGRAMS = 1024  # wanted of a launch
BUDGET = 512 * 10**6  # bytes of working memory
COORDINATE, MAXIMUM = 20, 40  # bytes that pass through for a coordinate, for a group of a row
SCREENS = ("bf16", "tf32")
COARSE_DIM = 1024  # in many more dimensions bf16 leaves nearly all rows open
UNIT = 2.0**-24  # of rounding in float32
SUMMING = 2.0**-22  # error of adding on matrix units, per coordinate
_NONE = 2**62  # an index that is none

Found = tuple[Tensor, Tensor]
"""Scores or maxima, and what they belong to."""


class Rounded(NamedTuple):
    """Rows in few bits, and what that costs; norms are float64."""

    numbers: Tensor
    """Rounded rows, with zeros up to a multiple of the coordinates multiplied at a time."""
    size: Tensor
    """Norms of the rows before."""
    lost: Tensor
    """Norms of what was rounded away."""
    kept: Tensor
    """Norms of the rounded rows."""


class Screened(NamedTuple):
    """What the screen saw of each row."""

    maxima: Tensor
    """Of the best groups, falling, (m, KEPT); or of all groups, in their order."""
    groups: Tensor
    """Their numbers."""
    slack: Tensor
    """Twice the sum of both errors, (m,); no number where scores are none."""


def best_k_triton(
    x: Tensor, points: Tensor, heights: Tensor, k: int, *, budget: int = BUDGET
) -> Found | None:
    r"""Return the `k` best scores :math:`\langle x_i, y_j\rangle + h_j` of each row, and their j.

    Row i of the result depends on row i of `x` alone, bit for bit.

    Parameters
    ----------
    x : Tensor of shape (m, d)
        Query rows, float32, on a CUDA device.
    points : Tensor of shape (N, d)
        Targets :math:`y_j`.
    heights : Tensor of shape (N,)
        Heights :math:`h_j`.
    k : int
        One or two.
    budget : int, default=512 MB
        Bytes of working memory, at least `least_bytes`: three quarters for rows, a quarter for
        targets that are rounded at a time.

    Returns
    -------
    values : Tensor of shape (m, k)
        Float32 scores in falling order.
    indices : Tensor of shape (m, k), int64
        Their targets; equal scores are ordered by index. None instead of both where numbers are not
        finite: a bound knows nothing of them.
    """
    x, points, heights = (tensor.detach().contiguous() for tensor in (x, points, heights))
    values = x.new_empty(len(x), k)
    indices = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    left = torch.arange(len(x), device=x.device)
    d, groups = points.shape[1], -(-len(points) // GROUP)
    together = budget * 3 // 4 // (COORDINATE * d)
    screens = SCREENS if d <= COARSE_DIM else SCREENS[1:]
    for kind in (*screens, "ieee"):
        if not len(left):
            break
        whole = kind == "ieee"
        step = min(together, budget // (MAXIMUM * groups)) if whole else together
        uncertain = [left[:0]]
        for rows in left.split(max(1, step)):
            part = x[rows]
            seen = _screen(part, points, heights, kind, budget, whole=whole)
            if not bool(torch.isfinite(seen.slack).all()):
                return None
            needed = _needed(seen, k)
            sure = needed.new_ones(len(rows)) if whole else ~needed[:, -1]
            where, at = (needed & sure[:, None]).nonzero(as_tuple=True)
            pairs = _rescored(part, points, heights, where, seen.groups[where, at])
            best = _ranked(where, *pairs, len(rows), k)
            values[rows[sure]], indices[rows[sure]] = best[0][sure], best[1][sure]
            uncertain.append(rows[~sure])
        left = torch.cat(uncertain)
    return (values, indices) if bool(torch.isfinite(values).all()) else None


def least_bytes(d: int) -> int:
    """Return the working memory that a group of targets and a row take.

    Parameters
    ----------
    d : int
        Dimension.

    Returns
    -------
    int
        Bytes.
    """
    return 4 * COORDINATE * d * GROUP


def _needed(seen: Screened, k: int) -> Tensor:
    """Tell which of the groups seen may hold one of the k best scores."""
    known = torch.isfinite(seen.maxima)
    leading = seen.maxima.topk(min(k, seen.maxima.shape[1]), dim=1).values
    if leading.shape[1] < k:
        return known
    return known & (seen.maxima.double() >= leading[:, -1:].double() - seen.slack[:, None])


def _screen(
    x: Tensor, points: Tensor, heights: Tensor, kind: str, budget: int, *, whole: bool
) -> Screened:
    """Find the groups with the largest rounded scores, or the maxima of all groups."""
    d, middle, centre = points.shape[1], x.mean(dim=0), points.mean(dim=0)
    left = _rounded(x - middle, kind)
    columns = max(1, budget // 4 // (COORDINATE * d * GROUP)) * GROUP
    most = torch.zeros(4, dtype=torch.float64, device=x.device)
    found = []
    for start in range(0, len(points), columns):
        moved = points[start : start + columns] - centre
        right = _rounded(moved, kind)
        tall = heights[start : start + columns].double() + moved.double() @ middle.double()
        sizes = [t.max() for t in (right.size, right.lost, right.kept, tall.abs())]
        most = torch.maximum(most, torch.stack(sizes))
        first = start // GROUP
        found.append(_maxima(left.numbers, right.numbers, tall.float(), first, kind, whole=whole))
        if not whole:
            found = [_leading(found)]
    maxima, groups = (torch.cat(tensors, dim=1) for tensors in zip(*found, strict=True))
    slack = 2 * (_screening_error(left, most, middle, d) + _scoring_error(x, most, centre, heights))
    return Screened(maxima, groups, slack)


def _rounded(rows: Tensor, kind: str) -> Rounded:
    """Round rows to the numbers that matrix units multiply exactly."""
    if kind == "bf16":
        numbers = rows.bfloat16()
    elif kind == "tf32":  # ten bits behind the point; a carry moves the exponent as it must
        numbers = ((rows.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
    else:
        numbers = rows
    back = numbers.float()
    if interpreted():  # products in float32 alone, of the same numbers
        numbers = back
    norms = [
        torch.linalg.vector_norm(t, dim=1, dtype=torch.float64) for t in (rows, rows - back, back)
    ]
    padding = -rows.shape[1] % DEPTHS[kind]
    return Rounded(pad(numbers, (0, padding)) if padding else numbers, *norms)


def _screening_error(left: Rounded, most: Tensor, middle: Tensor, d: int) -> Tensor:
    """Bound the error of the screen, up to a number common to a row's targets; (m,), float64."""
    size, lost, kept, tall = most
    shift = torch.linalg.vector_norm(middle, dtype=torch.float64)
    size = size * (1 + 2 * UNIT)
    rounding = (left.lost + 2 * UNIT * left.size) * size + left.kept * (lost + 2 * UNIT * size)
    summing = (d * SUMMING + 4 * UNIT) * left.kept * kept
    return 1.001 * (rounding + summing + UNIT * shift * size + 4 * UNIT * tall)


def _scoring_error(x: Tensor, most: Tensor, centre: Tensor, heights: Tensor) -> Tensor:
    """Bound the error of float32 scores; (m,), float64."""
    norm, far = (torch.linalg.vector_norm(t, dim=-1, dtype=torch.float64) for t in (x, centre))
    largest = norm * (far + most[0]) + heights.abs().max()
    return 1.001 * (x.shape[1] + 2) * UNIT * largest


def _maxima(x: Tensor, y: Tensor, heights: Tensor, first: int, kind: str, *, whole: bool) -> Found:
    """Launch the product; return the leading groups, falling, or the maxima of all; (m, ...)."""
    (m, d), n = x.shape, len(y)
    tiles, blocks = -(-n // GROUP), -(-m // ROWS)
    parts = min(tiles, max(1, PROGRAMS // blocks))
    share = -(-tiles // parts)
    shape = (tiles, m) if whole else (parts * KEPT, m)
    values = x.new_full(shape, -torch.inf, dtype=torch.float32)
    groups = torch.zeros(shape, dtype=torch.int32, device=x.device)
    if whole:
        groups += torch.arange(tiles, dtype=torch.int32, device=x.device)[:, None] + first
    with torch.cuda.device_of(x):
        _leading_groups[(blocks, parts)](
            x, y, heights, values, groups, m, n, d, first, tiles, share,
            PRECISION="ieee" if kind == "ieee" else "tf32", WHOLE=whole,
            ROWS=ROWS, GROUP=GROUP, DEPTH=DEPTHS[kind], KEPT=KEPT,
            num_warps=WARPS, num_stages=STAGES, enable_fp_fusion=True,
        )  # fmt: skip
    return values.T, groups.T.long()


def _leading(found: list[Found]) -> Found:
    """Return the KEPT groups of largest maximum, falling."""
    maxima, groups = (torch.cat(tensors, dim=1) for tensors in zip(*found, strict=True))
    values, at = maxima.topk(min(KEPT, maxima.shape[1]), dim=1)
    return values, groups.gather(1, at)


def _rescored(x: Tensor, points: Tensor, heights: Tensor, rows: Tensor, groups: Tensor) -> Found:
    """Score groups in float32; the best two of each and their targets, (pairs, 2)."""
    values = x.new_empty(len(rows), 2)
    indices = torch.empty(len(rows), 2, dtype=torch.int64, device=x.device)
    if len(rows):
        with torch.cuda.device_of(x):
            _score_group[(len(rows),)](
                x, points, heights, rows, groups, values, indices, *points.shape,
                GROUP=GROUP, DEPTH=DEPTHS["ieee"], num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
    return values, indices


def _ranked(rows: Tensor, values: Tensor, indices: Tensor, m: int, k: int) -> Found:
    """Return the k best of all candidates of each row by (score, index), (m, k)."""
    row, value, index = rows.repeat_interleave(2), values.flatten(), indices.flatten()
    tops, firsts = [], []
    for _ in range(k):
        top = value.new_full((m,), -torch.inf).scatter_reduce(0, row, value, "amax")
        known = torch.where(value == top[row], index, _NONE)
        first = index.new_full((m,), _NONE).scatter_reduce(0, row, known, "amin")
        value = torch.where(index == first[row], -torch.inf, value)
        tops.append(top)
        firsts.append(first)
    return torch.stack(tops, dim=1), torch.stack(firsts, dim=1)


@cache
def works(device: torch.device) -> bool:
    """Return whether the kernels can be used on a device: tried once on whole numbers, with ties.

    Parameters
    ----------
    device : torch.device
        A CUDA device.

    Returns
    -------
    bool
        False where Triton is missing; also, with a warning, where it fails.
    """
    return passes(_trial, device)


def _trial(device: torch.device) -> bool:
    """Compare with all scores of a small problem, which float32 holds exactly."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(-9, 10, (2, 5 * GROUP + 7, 24), generator=generator).float()
    h = torch.randint(-99, 100, (len(y),), generator=generator).float()
    top, order = (x[:40] @ y.T + h).sort(dim=1, descending=True, stable=True)
    found = best_k_triton(x[:40].to(device), y.to(device), h.to(device), 2)
    known = top[:, :2], order[:, :2]
    return found is not None and all(
        torch.equal(ours.cpu(), right) for ours, right in zip(found, known, strict=True)
    )


@jit()
def _group_maximum(
    x_rows, y, heights, tile, n, d,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr, GROUP: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Return the largest score of a block of rows in a group."""
    column = tile * GROUP + tl.arange(0, GROUP)
    y_columns = y + tl.minimum(column, n - 1).to(tl.int64) * d
    depth = tl.arange(0, DEPTH)
    scores = tl.zeros((ROWS, GROUP), tl.float32)
    for start in range(0, d, DEPTH):
        left = tl.load(x_rows[:, None] + (start + depth)[None, :])
        right = tl.load(y_columns[None, :] + (start + depth)[:, None])
        scores = tl.dot(left, right, scores, input_precision=PRECISION)
    tall = tl.load(heights + column, mask=column < n, other=-float("inf"))
    return tl.max(scores + tall[None, :], axis=1)


@jit("m", "n", "first", "tiles", "share")
def _leading_groups(
    x, y, heights, values, groups, m, n, d, first, tiles, share,
    PRECISION: tl.constexpr, WHOLE: tl.constexpr,
    ROWS: tl.constexpr, GROUP: tl.constexpr, DEPTH: tl.constexpr, KEPT: tl.constexpr,
):  # fmt: skip
    """Let a share of the groups pass a block of rows; write the KEPT largest maxima, or all."""
    row, part = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    x_rows = x + tl.minimum(row, m - 1).to(tl.int64) * d
    slots = tl.arange(0, KEPT)[None, :]
    best = tl.full((ROWS, KEPT), -float("inf"), tl.float32)
    found = tl.zeros((ROWS, KEPT), tl.int32)
    for tile in range(part * share, tl.minimum((part + 1) * share, tiles)):
        score = _group_maximum(x_rows, y, heights, tile, n, d, PRECISION, ROWS, GROUP, DEPTH)
        if WHOLE:
            tl.store(values + (tile + row * 0).to(tl.int64) * m + row, score, mask=row < m)
        else:  # the least of those kept makes room
            least = tl.min(best, axis=1)
            slot = tl.min(tl.where(best == least[:, None], slots, KEPT), axis=1)
            change = (slots == slot[:, None]) & (score > least)[:, None]
            best = tl.where(change, score[:, None], best)
            found = tl.where(change, first + tile, found)
    if not WHOLE:
        out = (part.to(tl.int64) * KEPT + slots) * m + row[:, None]
        tl.store(values + out, best, mask=row[:, None] < m)
        tl.store(groups + out, found, mask=row[:, None] < m)


@jit("n")
def _score_group(
    x, y, heights, rows, groups, values, indices, n, d, GROUP: tl.constexpr, DEPTH: tl.constexpr
):
    """Score one row against one group in float32; write the best two, ties to the smallest index."""
    pair = tl.program_id(0).to(tl.int64)
    column = tl.load(groups + pair) * GROUP + tl.arange(0, GROUP)
    x_row = x + tl.load(rows + pair) * d
    y_columns = y + tl.minimum(column, n - 1) * d
    terms = tl.zeros((GROUP, DEPTH), tl.float32)
    for start in range(0, d, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        left = tl.load(x_row + depth, mask=depth < d, other=0.0)
        right = tl.load(y_columns[:, None] + depth[None, :], mask=depth[None, :] < d, other=0.0)
        terms += left[None, :] * right
    scores = tl.sum(terms, axis=1) + tl.load(heights + column, mask=column < n, other=-float("inf"))
    for rank in tl.static_range(2):
        top = tl.max(scores, axis=0)
        best = tl.min(tl.where(scores == top, column, n), axis=0)
        tl.store(values + 2 * pair + rank, top)
        tl.store(indices + 2 * pair + rank, best)
        scores = tl.where(column == best, -float("inf"), scores)
