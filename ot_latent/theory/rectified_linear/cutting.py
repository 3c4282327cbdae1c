"""Cut intervals and convex polygons by the zeros of affine functions: the compiled kernels."""

from __future__ import annotations

import numba as nb
import numpy as np

ROUNDING = 64 * 2.0**-52
ROOM = 8  # corners of a polygon at first; grows on demand


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def signed(a, b, c, noise, x, y):
    """Return the value of an affine function, and 0 if it is no more than rounding."""
    value = a * x + b * y + c
    return 0.0 if abs(value) <= noise else value


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def rounding(a, b, c, extent):
    """Return what counts as zero: corners are known to a share of the domain's extent."""
    return ROUNDING * ((abs(a) + abs(b)) * extent + abs(c))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sides(a, b, c, noise, corners, size):
    """Return whether any corner lies on the positive side, and whether any on the negative one."""
    above, below = False, False
    for i in range(size):
        value = signed(a, b, c, noise, corners[i, 0], corners[i, 1])
        above |= value > 0.0
        below |= value < 0.0
    return above, below


@nb.njit(cache=True, nogil=True, error_model="numpy")
def halve(a, b, c, noise, corners, size, plus, minus):
    """Cut one polygon in two; return the corners of both parts."""
    p = m = 0
    for i in range(size):
        j = i + 1 if i + 1 < size else 0
        u = signed(a, b, c, noise, corners[i, 0], corners[i, 1])
        v = signed(a, b, c, noise, corners[j, 0], corners[j, 1])
        if u >= 0.0:
            plus[p] = corners[i]
            p += 1
        if u <= 0.0:
            minus[m] = corners[i]
            m += 1
        if (u > 0.0 and v < 0.0) or (u < 0.0 and v > 0.0):
            t = u / (u - v)
            for k in range(2):
                cut = corners[i, k] + t * (corners[j, k] - corners[i, k])
                plus[p, k] = cut
                minus[m, k] = cut
            p += 1
            m += 1
    return p, m


@nb.njit(cache=True, nogil=True, error_model="numpy")
def grown(array, first, second):
    """Return a copy of a three-dimensional array with more room."""
    new = np.empty((first, second, array.shape[2]))
    new[: array.shape[0], : array.shape[1]] = array
    return new


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cut_polygon(corners, z, extent, work, sizes):
    """Cut one polygon by the zeros of all units; return the room used and the number of parts."""
    size = len(corners)
    if size + z.shape[1] + 1 > work.shape[1]:
        work = grown(work, work.shape[0], 2 * (size + z.shape[1]) + ROOM)
    work[0, :size] = corners
    sizes[0] = size
    count = 1
    plus, minus = np.empty((work.shape[1], 2)), np.empty((work.shape[1], 2))
    for j in range(z.shape[1]):
        a, b, c = z[0, j], z[1, j], z[2, j]
        noise = rounding(a, b, c, extent)
        above, below = sides(a, b, c, noise, corners, size)
        if not (above and below):
            continue
        for k in range(count):
            above, below = sides(a, b, c, noise, work[k], sizes[k])
            if not (above and below):
                continue
            if count == work.shape[0]:
                work = grown(work, 2 * count, work.shape[1])
                more = np.empty(2 * count, np.int64)
                more[:count] = sizes
                sizes = more
            p, m = halve(a, b, c, noise, work[k], sizes[k], plus, minus)
            work[k, :p], sizes[k] = plus[:p], p
            work[count, :m], sizes[count] = minus[:m], m
            count += 1
    return work, sizes, count


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cut_all(corners, offsets, z, extent):
    """Cut every polygon by the zeros of its own affine functions.

    Returns the corners of all parts, where each part begins, the polygon that it was part of, and
    which functions are positive on it (decided at the mean of its corners).
    """
    pieces, units = z.shape[0], z.shape[2]
    work, sizes = np.empty((64, 4 * ROOM, 2)), np.empty(64, np.int64)
    out = np.empty((2 * len(corners) + ROOM, 2))
    begins = np.zeros(2 * pieces + ROOM, np.int64)
    parents = np.empty(2 * pieces + ROOM, np.int64)
    positive = np.empty((2 * pieces + ROOM, units), np.bool_)
    total = filled = 0
    for r in range(pieces):
        own = corners[offsets[r] : offsets[r + 1]]
        work, sizes, count = cut_polygon(own, z[r], extent, work, sizes)
        needed = filled + sizes[:count].sum()
        if needed > len(out):
            wider = np.empty((2 * needed, 2))
            wider[:filled] = out[:filled]
            out = wider
        if total + count + 1 > len(parents):
            room = 2 * (total + count + 1)
            begins, parents = longer(begins, room), longer(parents, room)
            taller = np.empty((room, units), np.bool_)
            taller[:total] = positive[:total]
            positive = taller
        for k in range(count):
            x = y = 0.0
            for i in range(sizes[k]):
                out[filled + i] = work[k, i]
                x += work[k, i, 0] / sizes[k]
                y += work[k, i, 1] / sizes[k]
            filled += sizes[k]
            for j in range(units):
                a, b, c = z[r, 0, j], z[r, 1, j], z[r, 2, j]
                positive[total, j] = signed(a, b, c, rounding(a, b, c, extent), x, y) > 0.0
            parents[total] = r
            total += 1
            begins[total] = filled
    return out[:filled], begins[: total + 1], parents[:total], positive[:total]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def longer(array, room):
    """Return a copy of an array of integers with more room."""
    new = np.zeros(room, np.int64)
    new[: min(len(array), room)] = array[: min(len(array), room)]
    return new


@nb.njit(cache=True, nogil=True, error_model="numpy")
def areas(corners, offsets):
    """Return the area of every polygon."""
    out = np.empty(len(offsets) - 1)
    for r in range(len(out)):
        first, twice = offsets[r], 0.0
        x0, y0 = corners[first, 0], corners[first, 1]
        for i in range(first + 1, offsets[r + 1] - 1):
            ax, ay = corners[i, 0] - x0, corners[i, 1] - y0
            bx, by = corners[i + 1, 0] - x0, corners[i + 1, 1] - y0
            twice += ax * by - ay * bx
        out[r] = abs(twice) / 2
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
def zeros_within(low, high, slope, constant, found):
    """Fill ``found`` with the distinct zeros inside an interval, in order; return their number."""
    count = 0
    for j in range(len(slope)):
        left, right = slope[j] * low + constant[j], slope[j] * high + constant[j]
        noise = ROUNDING * (abs(slope[j]) + abs(constant[j]))
        if (left < -noise and right > noise) or (left > noise and right < -noise):
            found[count] = low + (high - low) * (left / (left - right))
            count += 1
    found[:count].sort()
    kept, before = 0, low
    for i in range(count):
        if found[i] - before > ROUNDING and high - found[i] > ROUNDING:
            before = found[i]
            found[kept] = before
            kept += 1
    return kept


@nb.njit(cache=True, nogil=True, error_model="numpy")
def cut_intervals(low, high, z):
    """Cut every interval of [0, 1] by the zeros of its own affine functions.

    Returns the ends of all parts, the interval that each was part of, and which functions are
    positive on it (decided in its middle).
    """
    pieces, units = z.shape[0], z.shape[2]
    found = np.empty(units)
    counts = np.empty(pieces + 1, np.int64)
    counts[0] = 0
    for r in range(pieces):
        counts[r + 1] = counts[r] + 1 + zeros_within(low[r], high[r], z[r, 0], z[r, 1], found)
    total = counts[pieces]
    lows, highs, parents = np.empty(total), np.empty(total), np.empty(total, np.int64)
    positive = np.empty((total, units), np.bool_)
    for r in range(pieces):
        first, last = counts[r], counts[r + 1]
        lows[first], highs[last - 1] = low[r], high[r]
        if last > first + 1:
            zeros_within(low[r], high[r], z[r, 0], z[r, 1], found)
        for k in range(first + 1, last):
            lows[k] = highs[k - 1] = found[k - first - 1]
        for k in range(first, last):
            parents[k] = r
            middle = (lows[k] + highs[k]) / 2
            for j in range(units):
                s, c = z[r, 0, j], z[r, 1, j]
                positive[k, j] = s * middle + c > ROUNDING * (abs(s) + abs(c))
    return lows, highs, parents, positive
