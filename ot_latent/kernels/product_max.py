"""Compiled inner loops of the plain arg-maximum: a matrix product whose scores never leave registers.

A block of rows of x meets a panel of targets; their inner products are summed in registers, the
heights are added, and every lane of a vector keeps its best score (or its best two) and the panel
vector where it was. So a score costs its d multiplications and additions, one addition and one
comparison, and no memory. LLVM's vectors are written through an intrinsic: Numba's own vectoriser
keeps neither the sums nor the running maxima in registers.

The score of a pair is one chain of fused multiplications and additions in the order of the
coordinates: it depends on neither the tile nor the other rows, so results are equal bit for bit
whatever the batch.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ot_latent.kernels.host import BYTES, MANY, splat

ROWS = 12 if MANY else 6
"""Rows of x whose sums are in registers together."""
VECTORS = 2
"""Vectors of targets that they meet."""

LINE = 16
"""Coordinates of a row that are packed at a time."""

_INT, _SIZE = ir.IntType(32), ir.IntType(64)
_CONTRACT = ("contract",)  # a product and its sum may be rounded once


def lanes(itemsize: int) -> int:
    """Return how many numbers of a size fit into a vector.

    Parameters
    ----------
    itemsize : int
        Bytes of one number: 4 or 8.

    Returns
    -------
    int
        Numbers.
    """
    return BYTES // itemsize


class _Block:
    """The code of one block of rows against one panel of targets."""

    def __init__(self, builder: Any, number: Any) -> None:
        self.builder = builder
        self.size = 4 if isinstance(number, ir.FloatType) else 8
        self.width = lanes(self.size)
        self.number = number
        self.vector = ir.VectorType(number, self.width)
        self.places = ir.VectorType(_INT, self.width)

    def pointer(self, address: Any, index: int, kind: Any) -> Any:
        """Return a pointer to the vector or number that lies `index` numbers after an address."""
        step = 4 if kind == self.places else self.size
        place = self.builder.add(address, ir.Constant(_SIZE, index * step))
        return self.builder.inttoptr(place, kind.as_pointer())

    def load(self, address: Any, index: int, kind: Any) -> Any:
        """Load a vector or number; rows are aligned to whole numbers only."""
        step = 4 if kind == self.places else self.size
        return self.builder.load(self.pointer(address, index, kind), align=step)

    def products(self, x: Any, y: Any, dim: Any) -> list[list[Any]]:
        """Emit the loop over coordinates; return the inner products, row by row."""
        build = self.builder
        before = build.block
        loop, after = build.append_basic_block("coordinate"), build.append_basic_block("scores")
        build.branch(loop)
        build.position_at_end(loop)
        step, row, panel = (build.phi(_SIZE) for _ in range(3))
        sums = [[build.phi(self.vector) for _ in range(VECTORS)] for _ in range(ROWS)]
        targets = [self.load(panel, v * self.width, self.vector) for v in range(VECTORS)]
        new: list[list[Any]] = []
        for r in range(ROWS):
            factor = splat(build, self.load(row, r, self.number), self.vector)
            terms = [build.fmul(factor, target, flags=_CONTRACT) for target in targets]
            new.append(
                [build.fadd(s, t, flags=_CONTRACT) for s, t in zip(sums[r], terms, strict=True)]
            )
        strides = (1, ROWS * self.size, VECTORS * self.width * self.size)
        starts = (ir.Constant(_SIZE, 0), x, y)
        for value, start, stride in zip((step, row, panel), starts, strides, strict=True):
            value.add_incoming(start, before)
            value.add_incoming(build.add(value, ir.Constant(_SIZE, stride)), loop)
        zero = ir.Constant(self.vector, [0.0] * self.width)
        for old, changed in zip(chain(*sums), chain(*new), strict=True):
            old.add_incoming(zero, before)
            old.add_incoming(changed, loop)
        following = build.add(step, ir.Constant(_SIZE, 1))
        build.cbranch(build.icmp_signed("<", following, dim), loop, after)
        build.position_at_end(after)
        return new

    def keep(self, scores: Any, places: Any, values: Any, found: Any, index: int, k: int) -> None:
        """Merge the scores of one row into its running best k of each lane, strictly better first."""
        build, kinds = self.builder, (self.vector, self.places)
        at = [index * k * self.width + rank * self.width for rank in range(k)]
        best = [[self.load(b, a, kind) for b, kind in zip((values, found), kinds, strict=True)]
                for a in at]  # fmt: skip
        for score, place in zip(scores, places, strict=True):
            new = (score, place)
            beats = [build.fcmp_ordered(">", score, held[0]) for held in best]
            if k == 2:
                second = [
                    build.select(beats[1], n, old) for n, old in zip(new, best[1], strict=True)
                ]
                best[1] = [
                    build.select(beats[0], first, s)
                    for first, s in zip(best[0], second, strict=True)
                ]
            best[0] = [build.select(beats[0], n, old) for n, old in zip(new, best[0], strict=True)]
        for a, held in zip(at, best, strict=True):
            for base, value, kind in zip((values, found), held, kinds, strict=True):
                step = 4 if kind == self.places else self.size
                build.store(value, self.pointer(base, a, kind), align=step)


def _meeting(k: int) -> Any:
    """Return the intrinsic that lets a block of rows meet a panel, keeping the best k of a lane."""

    @intrinsic
    def meet(typing, x, y, heights, best, place, block, panel, first):
        signature = types.void(x, y, heights, best, place, types.intp, types.intp, types.int32)

        def emit(context, builder, signature, arguments):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
            ]
            block, panel, first = arguments[5:]
            part = _Block(builder, context.get_data_type(signature.args[0].dtype))
            dim = builder.extract_value(arrays[0].shape, 1)
            at = [_address(builder, array, n) for array, n in
                  zip(arrays, (block, panel, panel, block, block), strict=True)]  # fmt: skip
            products = part.products(at[0], at[1], dim)
            tall = [part.load(at[2], v * part.width, part.vector) for v in range(VECTORS)]
            places = [
                splat(builder, builder.add(first, ir.Constant(_INT, v)), part.places)
                for v in range(VECTORS)
            ]
            for r, row in enumerate(products):
                scores = [builder.fadd(p, h) for p, h in zip(row, tall, strict=True)]
                part.keep(scores, places, at[3], at[4], r, k)
            return context.get_dummy_value()

        return signature, emit

    return meet


def _address(builder: Any, array: Any, index: Any) -> Any:
    """Return the address of ``array[index]``."""
    start = builder.ptrtoint(array.data, _SIZE)
    return builder.add(start, builder.mul(index, builder.extract_value(array.strides, 0)))


_meet_one, _meet_two = _meeting(1), _meeting(2)


@nb.njit(cache=True, nogil=True)
def pack(rows, width, out):
    """Lay rows out in panels of ``width``, coordinate by coordinate; tell whether all are finite.

    Shapes: rows (n, d), out (panels, d, width). Places of the last panel without a row are zero.
    """
    n, d = rows.shape
    zero = rows.dtype.type(0)
    check = zero  # becomes NaN where a number is not finite
    for p in range(out.shape[0]):
        here = min(width, n - p * width)
        if here < width:
            out[p] = zero
        for start in range(0, d, LINE):  # whole cache lines of a row, while they are at hand
            stop = min(d, start + LINE)
            for j in range(here):
                check += _transpose(rows[p * width + j], out[p], start, stop, j)
    return np.isfinite(check)


@nb.njit(cache=True, nogil=True, inline="always")
def _transpose(row, panel, start, stop, j):
    """Copy some coordinates of a row into column j; return zero, or NaN if one is not finite."""
    check = row.dtype.type(0)
    for i in range(start, stop):
        panel[i, j] = row[i]
        check += row[i] * row.dtype.type(0)
    return check


@nb.njit(cache=True, nogil=True)
def meet_best(x, y, heights, best, place, offset, together):
    """Let packed rows meet packed targets; keep the best score of every lane and its vector.

    Shapes: x (blocks, d, ROWS), y (panels, d, width), heights (panels, width), best and place
    (blocks, ROWS, 1, lanes). ``offset`` is the number of the first panel; ``together`` blocks of
    rows stay in cache while all targets pass.
    """
    for start in range(0, x.shape[0], together):
        for p in range(y.shape[0]):
            first = np.int32((offset + p) * VECTORS)
            for b in range(start, min(start + together, x.shape[0])):
                _meet_one(x, y, heights, best, place, b, p, first)


@nb.njit(cache=True, nogil=True)
def meet_best_two(x, y, heights, best, place, offset, together):
    """As `meet_best`, but keep the best two of every lane: (blocks, ROWS, 2, lanes)."""
    for start in range(0, x.shape[0], together):
        for p in range(y.shape[0]):
            first = np.int32((offset + p) * VECTORS)
            for b in range(start, min(start + together, x.shape[0])):
                _meet_two(x, y, heights, best, place, b, p, first)


@nb.njit(cache=True, nogil=True)
def gather(best, place, values, indices):
    """Choose the best k of each row among its lanes, equal scores by index.

    Shapes: best and place (blocks, ROWS, k, lanes), values and indices (m, k).
    """
    for i in range(values.shape[0]):
        b, r = i // ROWS, i % ROWS
        taken = -1
        for rank in range(values.shape[1]):
            values[i, rank], taken = _first_of(best[b, r], place[b, r], taken)
            indices[i, rank] = taken


@nb.njit(cache=True, nogil=True)
def _first_of(best, place, taken):
    """Return the best score of all lanes and its target, the target ``taken`` left out."""
    top, target = best[0, 0], np.int64(-1)
    for held in range(best.shape[0]):
        for lane in range(best.shape[1]):
            here = np.int64(place[held, lane]) * best.shape[1] + lane
            better = best[held, lane] > top or (best[held, lane] == top and here < target)
            if here != taken and (target < 0 or better):
                top, target = best[held, lane], here
    return top, target


@nb.njit(cache=True, nogil=True, fastmath={"contract"})
def _score(x, y, height):
    """Return one score by the arithmetic of the blocks, bit for bit."""
    total = height - height
    for i in range(len(x)):
        total += x[i] * y[i]
    return total + height


@nb.njit(cache=True, nogil=True)
def rescore(x, points, heights, candidates, ceilings, values, indices):
    """Choose the best k of a few candidates of each row; tell which rows are certain.

    Shapes: candidates (m, q), ceilings (m,), values and indices (m, k) with k <= q. A row is
    certain if its k-th best score lies above its ceiling, which no other target's score exceeds.
    """
    m, k = values.shape
    certain = np.empty(m, np.bool_)
    for i in range(m):
        held = 0
        for j in candidates[i]:
            score = _score(x[i], points[j], heights[j])
            held = _insert(values[i], indices[i], held, score, j)
        certain[i] = held == k and values[i, k - 1] > ceilings[i]
    return certain


@nb.njit(cache=True, nogil=True)
def _insert(values, indices, held, score, j):
    """Put a score into a falling list, equal ones by index; return how many it holds."""
    at = held
    while at > 0 and (values[at - 1] < score or (values[at - 1] == score and indices[at - 1] > j)):
        at -= 1
    if at == len(values):
        return held
    for place in range(min(held, len(values) - 1), at, -1):
        values[place], indices[place] = values[place - 1], indices[place - 1]
    values[at], indices[at] = score, j
    return min(held + 1, len(values))
