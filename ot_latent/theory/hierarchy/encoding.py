"""Strings of symbols as channels for networks, and real channels as the nearest string."""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array


def code_words(vocabulary: int, *, whiten: bool, empty: bool) -> np.ndarray:
    r"""Return the columns that stand for "empty" and for the symbols 1 .. v.

    Whitened columns are :math:`(e_c - 1/v) / \sqrt{1 - 1/v}`: they sum to zero and have length one.
    "Empty" is zero in every channel, or has a channel of its own, the first.

    Parameters
    ----------
    vocabulary : int
        v.
    whiten : bool
        Whether the columns of symbols are whitened.
    empty : bool
        Whether emptiness has its own channel.

    Returns
    -------
    numpy.ndarray of shape (v + 1, channels)
        One row per word, "empty" first.

    Raises
    ------
    ValueError
        If one symbol alone shall be whitened.
    """
    if whiten and vocabulary < 2:
        raise ValueError(
            f"vocabulary must be at least 2 for whitened columns, got {vocabulary}; pass whiten=False."
        )
    words = np.zeros((vocabulary + 1, vocabulary + 1))
    words[1:, 1:] = np.eye(vocabulary)
    if whiten:
        words[1:, 1:] = (words[1:, 1:] - 1 / vocabulary) / np.sqrt(1 - 1 / vocabulary)
    words[0, 0] = 1.0
    return words if empty else words[:, 1:]


def encode(strings: np.ndarray, vocabulary: int, *, whiten: bool, empty: bool) -> np.ndarray:
    """Write each symbol as a column of channels.

    Parameters
    ----------
    strings : numpy.ndarray of shape (n, d)
        Symbols 1 .. v, 0 for empty.
    vocabulary : int
        v.
    whiten, empty : bool
        See `code_words`.

    Returns
    -------
    numpy.ndarray of shape (n, channels, d), float32
        The columns.

    Examples
    --------
    >>> encode(np.array([[2, 0, 1]]), 2, whiten=False, empty=False)[0].tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    words = code_words(vocabulary, whiten=whiten, empty=empty).astype(np.float32)
    return np.ascontiguousarray(words[strings].transpose(0, 2, 1))


def decode(x: Any, vocabulary: int, length: int, *, whiten: bool, sparse: bool) -> np.ndarray:
    """Return the nearest string of real channels, each position by itself.

    Parameters
    ----------
    x : array-like of shape (n, channels, d)
        Real channels: v of them, or v + 1 with "empty" first.
    vocabulary, length : int
        v and d.
    whiten : bool
        Whether the columns are compared with whitened words.
    sparse : bool
        Whether "empty" is among the words where it has no channel.

    Returns
    -------
    numpy.ndarray of shape (n, d), int64
        Symbols 1 .. v, 0 for empty; of equally near words the first.

    Raises
    ------
    DataError
        If the shape fits no encoding.
    """
    array = check_array(x, "x", ndim=3)
    channels = array.shape[1]
    if array.shape[2] != length or channels - vocabulary not in (0, 1):
        raise DataError(
            f"x must have shape (n, {vocabulary}, {length}) or (n, {vocabulary + 1}, {length}), "
            f"got {array.shape}; pass channels as encode returns them."
        )
    words = code_words(vocabulary, whiten=whiten, empty=channels > vocabulary)
    first = 0 if channels > vocabulary or sparse else 1
    scores = np.einsum("wc,ncd->nwd", words[first:], array.astype(np.float64))
    # the nearest word maximises <x, w> - |w|^2 / 2
    return first + (scores - (words[first:] ** 2).sum(1)[:, None] / 2).argmax(1)
