"""Block-addressable randomness: row i of a stream is a function of (seed, stream, i) alone.

Rows ``1024 b .. 1024 b + 1023`` of a stream come from one Philox generator keyed by
``SeedSequence(seed, spawn_key=(stream, b))``. So a slice of a longer request is bit-equal to the
same rows asked for alone, whatever the batch size, the process count or the interruptions.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np

BLOCK_ROWS = 1024


class Stream(IntEnum):
    """Names of the streams; two uses of randomness never share a draw.

    The numbers are part of the saved format: append, never renumber.
    """

    FIT = 0
    EVALUATION = 1
    SAMPLING = 2
    TRAINING_ORDER = 3
    BOOTSTRAP = 4
    INITIALISATION = 5
    CODE_NOISE = 6
    LOCAL_NOISE = 7
    SPLIT = 8
    BASELINE = 9
    MANIFOLD = 10
    CENTROIDS = 11
    NEIGHBOURS = 12
    HIERARCHY = 13
    DEPTH = 14
    STRATIFIED = 15
    CLASSES = 16
    REWEIGHTING = 17
    COUPLING = 18
    FLOW = 19


def generator(seed: int, stream: Stream, block: int, *extra: int) -> np.random.Generator:
    """Return the generator of one block of a stream.

    Parameters
    ----------
    seed : int
        Non-negative seed of the whole computation.
    stream : Stream
        What the draws are for.
    block : int
        Number of the block of 1024 rows (or any other counter of the caller's).
    *extra : int
        Further counters, such as the attempt number of a redraw.

    Returns
    -------
    numpy.random.Generator
        A Philox generator that no other (seed, stream, block, extra) shares.

    Examples
    --------
    >>> a = generator(0, Stream.FIT, 3).random()
    >>> a == generator(0, Stream.FIT, 3).random(), a == generator(0, Stream.FIT, 4).random()
    (True, False)
    """
    key = (int(stream), int(block), *(int(e) for e in extra))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def rows(
    seed: int,
    stream: Stream,
    start: int,
    stop: int,
    draw: Callable[[np.random.Generator, int], np.ndarray],
    *extra: int,
) -> np.ndarray:
    """Return rows ``start .. stop - 1`` of a stream.

    Parameters
    ----------
    seed : int
        Non-negative seed.
    stream : Stream
        What the draws are for.
    start, stop : int
        Half-open range of rows.
    draw : callable
        ``draw(rng, n)`` returns an array whose first axis has length `n`; it is always asked for
        whole blocks, so a row's value does not depend on the request.
    *extra : int
        Further counters, such as the attempt number of a redraw.

    Returns
    -------
    numpy.ndarray
        Array of shape (stop - start, ...).

    Examples
    --------
    >>> draw = lambda rng, n: rng.random((n, 2))
    >>> whole = rows(0, Stream.FIT, 0, 3000, draw)
    >>> bool((rows(0, Stream.FIT, 1000, 1100, draw) == whole[1000:1100]).all())
    True
    """
    if stop <= start:
        return draw(generator(seed, stream, start // BLOCK_ROWS, *extra), BLOCK_ROWS)[:0]
    first, last = start // BLOCK_ROWS, (stop - 1) // BLOCK_ROWS
    blocks = [draw(generator(seed, stream, b, *extra), BLOCK_ROWS) for b in range(first, last + 1)]
    offset = start - first * BLOCK_ROWS
    whole = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return whole[offset : offset + stop - start]


def seed_from(random_state: object) -> int:
    """Return a non-negative seed from what scikit-learn users call a random state.

    Parameters
    ----------
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        An integer is the seed; a generator gives one draw; None asks the operating system.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is none of these, or negative.

    Examples
    --------
    >>> seed_from(7), seed_from(np.random.default_rng(0)) == seed_from(np.random.default_rng(0))
    (7, True)
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if not whole or int(random_state) < 0:  # type: ignore[call-overload]
        raise ValueError(
            f"random_state must be None, a non-negative integer or a numpy generator, got "
            f"{random_state!r}; pass an integer such as 0."
        )
    return int(random_state)  # type: ignore[call-overload]
