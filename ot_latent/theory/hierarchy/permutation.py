"""Draw without replacement from more data than can be listed: a keyed permutation of range(N)."""

from __future__ import annotations

from math import isqrt

import numpy as np

ROUNDS = 10
LARGEST = 2**62


def permuted(index: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    r"""Send each number below `size` to its place in a pseudo-random permutation.

    A Feistel network on pairs :math:`(l, r) \in \mathbb Z_a^2`, :math:`a = \lceil\sqrt N\rceil`: each
    round sends them to :math:`(r, l + F_k(r) \bmod a)`, which can be undone, so different numbers
    have different images (exact). Images beyond N - 1 go through the network again until they are
    small enough, which keeps it one-to-one. That the images look uniform is the quality of the
    hash :math:`F_k` (a heuristic, tested).

    Parameters
    ----------
    index : numpy.ndarray of int64
        Numbers below `size`.
    size : int
        N, at most 2^62.
    keys : numpy.ndarray of uint64, shape (10,)
        One key per round.

    Returns
    -------
    numpy.ndarray of int64
        Their images.

    Examples
    --------
    >>> keys = np.arange(10, dtype=np.uint64)
    >>> sorted(permuted(np.arange(7), 7, keys).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    side = isqrt(size - 1) + 1
    images = _network(index.astype(np.uint64), np.uint64(side), keys)
    outside = np.flatnonzero(images >= np.uint64(size))
    while len(outside):
        images[outside] = _network(images[outside], np.uint64(side), keys)
        outside = outside[images[outside] >= np.uint64(size)]
    return images.astype(np.int64)


def _network(index: np.ndarray, side: np.uint64, keys: np.ndarray) -> np.ndarray:
    left: np.ndarray
    right: np.ndarray
    left, right = index // side, index % side
    for key in keys:
        left, right = right, (left + _hash(right, key) % side) % side
    return left * side + right


def _hash(value: np.ndarray, key: np.uint64) -> np.ndarray:
    """Mix 64 bits: the finaliser of SplitMix64; products wrap around as they must."""
    mixed = value ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
