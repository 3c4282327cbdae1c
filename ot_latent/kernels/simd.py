"""Vector instructions for Numba: the inner loops of the score kernels, written in LLVM's own terms.

Numba's loop vectoriser does not keep a block of running maxima in registers. These intrinsics emit
LLVM vectors, which every processor that LLVM knows can run, at the speed of hand-written C and
without a compiler on the user's machine. Arrays are contiguous float32 (int32 for places), offsets
count elements. A maximum is ``a > b ? a : b``, one instruction wherever there is one; NaN loses.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ot_latent.kernels.host import BYTES, FUSED, splat

intrinsic: Any = numba.extending.intrinsic  # its type hints count the typing context as an argument

WIDTH = BYTES // 4
"""Numbers of one vector."""
PAIR_ROWS, PAIR_COLUMNS = (2, 4) if WIDTH == 8 else (4, 4)
"""Rows of P and of Q whose sums' maxima stay in registers."""
PRODUCT_ROWS, PRODUCT_VECTORS = (4, 2) if WIDTH == 8 else (8, 2)
"""Rows and vectors of a matrix product that stay in registers."""

_FLOAT, _INT, _SIZE = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_LOWEST = ir.Constant(_FLOATS, [float("-inf")] * WIDTH)


class _Emitter:
    """An IR builder that speaks of vectors in arrays."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        pairs = zip(signature.args, arguments, strict=True)
        self.arguments = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in pairs
        ]

    def size(self, value: int) -> Any:
        """Return a constant offset."""
        return ir.Constant(_SIZE, value)

    def offset(self, base: Any, stride: Any, i: int) -> Any:
        """Return base + stride * i."""
        return self.builder.add(base, self.builder.mul(stride, self.size(i)))

    def load(self, array: Any, at: Any, kind: Any = _FLOATS) -> Any:
        """Return the vector that begins at an element."""
        place = self.builder.bitcast(self.builder.gep(array, [at]), kind.as_pointer())
        return self.builder.load(place, align=4)

    def store(self, value: Any, array: Any, at: Any) -> None:
        """Write a vector."""
        kind = value.type.as_pointer()
        place = self.builder.bitcast(self.builder.gep(array, [at]), kind)
        self.builder.store(value, place, align=4)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger of two vectors, lane by lane; b where a is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def fold(self, vector: Any, combine: Any) -> Any:
        """Return one number, combining halves."""
        undefined, step = ir.Constant(vector.type, ir.Undefined), WIDTH // 2
        while step:
            mask = ir.Constant(_INTS, [(lane + step) % WIDTH for lane in range(WIDTH)])
            vector = combine(vector, self.builder.shuffle_vector(vector, undefined, mask))
            step //= 2
        return self.builder.extract_element(vector, ir.Constant(_INT, 0))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once where the processor can."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        name = f"llvm.fma.v{WIDTH}f32"
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c]
        )

    def loop(self, count: Any, starts: list[Any], body: Any) -> list[Any]:
        """Run ``values = body(i, values)`` for i < count (at least once); return the last values."""
        entry, block = self.builder.block, self.builder.append_basic_block("vectors")
        after = self.builder.append_basic_block("after")
        self.builder.branch(block)
        self.builder.position_at_end(block)
        i = self.builder.phi(_SIZE)
        i.add_incoming(self.size(0), entry)
        values = [self.builder.phi(start.type) for start in starts]
        for value, start in zip(values, starts, strict=True):
            value.add_incoming(start, entry)
        changed = body(i, values)
        following = self.builder.add(i, self.size(1))
        i.add_incoming(following, block)
        for value, new in zip(values, changed, strict=True):
            value.add_incoming(new, block)
        self.builder.cbranch(self.builder.icmp_signed("<", following, count), block, after)
        self.builder.position_at_end(after)
        return changed

    def nothing(self) -> Any:
        """Return what a function without a result returns."""
        return self.context.get_dummy_value()


@intrinsic
def multiply_tile(typing, u, u0, du, k, y, y0, dy, h, h0, out, o0, do):
    """Write ``out[i, v] = h[v] + sum_k u[i, k] y[k, v]`` for a register tile of rows and vectors.

    Offsets of the first elements are u0, y0, h0, o0; strides of the rows are du, dy, do.
    """
    signature = types.void(
        u, *[types.intp] * 3, y, *[types.intp] * 2, h, types.intp, out, *[types.intp] * 2
    )

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        u, u0, du, k, y, y0, dy, h, h0, out, o0, do = e.arguments
        tile = [(i, j) for i in range(PRODUCT_ROWS) for j in range(PRODUCT_VECTORS)]
        lanes = [e.size(WIDTH * j) for j in range(PRODUCT_VECTORS)]
        start = [e.load(h, builder.add(h0, lane)) for lane in lanes]
        rows = [e.offset(u0, du, i) for i in range(PRODUCT_ROWS)]

        def body(step, sums):
            row = builder.add(y0, builder.mul(step, dy))
            right = [e.load(y, builder.add(row, lane)) for lane in lanes]
            numbers = [builder.load(builder.gep(u, [builder.add(at, step)])) for at in rows]
            left = [splat(builder, number, _FLOATS) for number in numbers]
            return [
                e.multiply_add(left[i], right[j], s) for (i, j), s in zip(tile, sums, strict=True)
            ]

        found = e.loop(k, [start[j] for _, j in tile], body)
        for (i, j), value in zip(tile, found, strict=True):
            e.store(value, out, builder.add(e.offset(o0, do, i), lanes[j]))
        return e.nothing()

    return signature, emit


@intrinsic
def add_max_tile(typing, p, p0, dp, q, q0, dq, vectors, best, second, where, s0, tile):
    """Take the lane-wise maxima of p[a, :] + q[b, :] over a tile, for a register block of pairs.

    They are merged into the running ``best``, the running second-best ``second`` (of tiles) and
    the tile ``where`` the best lies; an equal later tile does not replace an earlier one.
    """
    signature = types.void(
        p, *[types.intp] * 2, q, *[types.intp] * 3, best, second, where, types.intp, types.int32
    )

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        p, p0, dp, q, q0, dq, vectors, best, second, where, s0, tile = e.arguments
        pairs = [(i, j) for i in range(PAIR_ROWS) for j in range(PAIR_COLUMNS)]
        p_rows = [e.offset(p0, dp, i) for i in range(PAIR_ROWS)]
        q_rows = [e.offset(q0, dq, j) for j in range(PAIR_COLUMNS)]

        def body(step, maxima):
            at = builder.mul(step, e.size(WIDTH))
            left = [e.load(p, builder.add(row, at)) for row in p_rows]
            right = [e.load(q, builder.add(row, at)) for row in q_rows]
            sums = [builder.fadd(left[i], right[j]) for i, j in pairs]
            return [e.maximum(s, m) for s, m in zip(sums, maxima, strict=True)]

        maxima = e.loop(vectors, [_LOWEST] * len(pairs), body)
        here = splat(builder, tile, _INTS)
        for n, top in enumerate(maxima):
            at = builder.add(s0, e.size(n * WIDTH))
            old, runner = e.load(best, at), e.load(second, at)
            better = builder.fcmp_ordered(">", top, old)
            e.store(e.maximum(runner, builder.select(better, old, top)), second, at)
            e.store(builder.select(better, top, old), best, at)
            e.store(builder.select(better, here, e.load(where, at, _INTS)), where, at)
        return e.nothing()

    return signature, emit


@intrinsic
def widest(typing, values, at):
    """Return the largest of the WIDTH numbers from ``values[at]`` on."""

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        return e.fold(e.load(*e.arguments), e.maximum)

    return types.float32(values, types.intp), emit


@intrinsic
def first_tile(typing, best, where, at, top):
    """Return the smallest of the tiles ``where`` a lane of ``best`` equals ``top``."""

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        best, where, at, top = e.arguments
        equal = builder.fcmp_ordered("==", e.load(best, at), splat(builder, top, _FLOATS))
        most = ir.Constant(_INTS, [2**31 - 1] * WIDTH)
        tiles = builder.select(equal, e.load(where, at, _INTS), most)

        def smaller(a, b):
            return builder.select(builder.icmp_signed("<", a, b), a, b)

        return e.fold(tiles, smaller)

    return types.int32(best, where, types.intp, types.float32), emit


@intrinsic
def runner_up(typing, best, second, where, at, tile):
    """Return the largest lane maximum of every tile but ``tile``."""

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        best, second, where, at, tile = e.arguments
        inside = builder.icmp_signed("==", e.load(where, at, _INTS), splat(builder, tile, _INTS))
        others = builder.select(inside, _LOWEST, e.load(best, at))
        return e.fold(e.maximum(others, e.load(second, at)), e.maximum)

    return types.float32(best, second, where, types.intp, types.int32), emit


@intrinsic
def scan_tile(typing, p, p0, q, q0, vectors, top, runner, at):
    """Return the first place of a tile where p + q equals ``top``.

    The largest of all other sums is written to ``runner[at]``.
    """
    signature = types.int32(p, types.intp, q, *[types.intp] * 2, types.float32, runner, types.intp)

    def emit(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature, arguments)
        p, p0, q, q0, vectors, top, runner, at = e.arguments
        wanted = splat(builder, top, _FLOATS)
        far, lanes = ir.Constant(_INTS, [2**31 - 1] * WIDTH), ir.Constant(_INTS, list(range(WIDTH)))

        def body(step, values):
            place, second, current = values
            shift = builder.mul(step, e.size(WIDTH))
            left, right = (e.load(a, builder.add(a0, shift)) for a, a0 in ((p, p0), (q, q0)))
            sums = builder.fadd(left, right)
            equal = builder.fcmp_ordered("==", sums, wanted)
            new = builder.and_(equal, builder.icmp_signed("==", place, far))
            rest = builder.select(new, _LOWEST, sums)  # of one lane, equal ones count again
            following = builder.add(current, ir.Constant(_INTS, [WIDTH] * WIDTH))
            return [builder.select(new, current, place), e.maximum(rest, second), following]

        place, second, _ = e.loop(vectors, [far, _LOWEST, lanes], body)

        def smaller(a, b):
            return builder.select(builder.icmp_signed("<", a, b), a, b)

        first = e.fold(place, smaller)
        again = builder.icmp_signed("!=", place, splat(builder, first, _INTS))
        again = builder.and_(again, builder.icmp_signed("!=", place, far))
        ties = builder.select(again, wanted, second)  # another lane's first place is a second best
        builder.store(e.fold(e.maximum(ties, second), e.maximum), builder.gep(runner, [at]))
        return first

    return signature, emit
