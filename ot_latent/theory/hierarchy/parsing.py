"""The parser: from a string back to its derivation tree, or to the level where the grammar breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent._validation import DataError, check_array
from ot_latent.theory.hierarchy.derivations import Derivations
from ot_latent.theory.hierarchy.rules import node_count, tuple_codes


@dataclass(frozen=True, eq=False)
class Parse:
    """What a parser found in n strings.

    Attributes
    ----------
    labels : numpy.ndarray of shape (n,)
        Class of each grammatical string, -1 of the others.
    reached : numpy.ndarray of shape (n,)
        Levels, counted from the input, up to which every patch is a legal one; L means grammatical.
    legal : numpy.ndarray of shape (n, L)
        Share of the patches of level l (column l - 1) that are legal with all that lies below.
    trees : Derivations
        Derivations of all strings; -1 throughout where a string is not grammatical.
    """

    labels: np.ndarray
    reached: np.ndarray
    legal: np.ndarray
    trees: Derivations

    @property
    def grammatical(self) -> np.ndarray:
        """Whether each string has a derivation, shape (n,)."""
        return self.labels >= 0


def check_strings(strings: Any, length: int, vocabulary: int) -> np.ndarray:
    """Return strings as an integer array, or say what is wrong with them.

    Parameters
    ----------
    strings : array-like of shape (n, d)
        Symbols 1 .. v, 0 for empty.
    length, vocabulary : int
        d and v.

    Returns
    -------
    numpy.ndarray of shape (n, d)
        The strings, int64.

    Raises
    ------
    DataError
        If shape, kind or range do not fit.
    """
    array = check_array(strings, "strings", ndim=2)
    if array.shape[1] != length or array.dtype.kind not in "iu":
        raise DataError(
            f"strings must be integers of shape (n, {length}), got {array.dtype} of shape "
            f"{array.shape}; pass rows as `strings` or `decode` return them."
        )
    if array.min() < 0 or array.max() > vocabulary:
        raise DataError(
            f"strings must hold symbols from 0 (empty) to {vocabulary}, got values in "
            f"[{array.min()}, {array.max()}]; pass rows as `strings` or `decode` return them."
        )
    return array.astype(np.int64, copy=False)


def parse_strings(
    strings: np.ndarray,
    rules: Sequence[np.ndarray],
    placements: np.ndarray,
    vocabulary: int,
    patch: int,
) -> Parse:
    """Parse strings bottom-up, all at once: patches become parents, level by level.

    Parameters
    ----------
    strings : numpy.ndarray of shape (n, d)
        Symbols 1 .. v, 0 for empty.
    rules : sequence of numpy.ndarray
        Tuples of every parent by depth, shapes (parents, m, s).
    placements : numpy.ndarray of shape (placements, s)
        Where children may lie.
    vocabulary, patch : int
        v and s (s_0 + 1).

    Returns
    -------
    Parse
        Labels, levels reached, trees.
    """
    cells, found, legal = strings, [], []
    for depth in reversed(range(len(rules))):
        patches = cells.reshape(len(strings), -1, patch)
        cells, choice, slot = _parents(patches, rules[depth], placements, vocabulary)
        right = cells >= 0 if depth else choice >= 0  # no class stands for an empty string
        found.append((choice, slot))
        legal.append(right.mean(axis=1))
    shares = np.stack(legal, axis=1)
    reached = (shares == 1.0).cumprod(axis=1).sum(axis=1)
    good = reached == len(rules)
    labels = np.where(good, cells[:, 0] - 1, -1)
    return Parse(labels, reached, shares, _trees(labels, found[::-1], good, placements.shape[1]))


def _parents(
    patches: np.ndarray, rule: np.ndarray, placements: np.ndarray, vocabulary: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parent of each patch (0: of an empty one, -1: none), its choice and its slot."""
    bits = 1 << np.arange(patches.shape[2], dtype=np.int64)
    slot, placed = _look_up((patches > 0) @ bits, bits[placements].sum(axis=1))
    children = np.take_along_axis(patches, placements[slot], axis=2) - 1
    which, known = _look_up(
        tuple_codes(children, vocabulary), tuple_codes(rule, vocabulary).ravel()
    )
    legal = placed & known & (patches >= 0).all(axis=2)
    parent, choice = np.divmod(which, rule.shape[1])
    above = np.where(legal, parent + 1, np.where(patches.any(axis=2), -1, 0))
    return above, np.where(legal, choice, -1), np.where(legal, slot, -1)


def _look_up(values: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index in the table of each value (any index where it is absent), and presence."""
    order = table.argsort()
    place = order[np.searchsorted(table[order], values).clip(max=len(table) - 1)]
    return place, table[place] == values


def _trees(
    labels: np.ndarray,
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    good: np.ndarray,
    children: int,
) -> Derivations:
    """Keep the informative patches of grammatical strings, breadth first."""
    nodes = node_count(children, len(found))
    choices, slots = (np.full((len(labels), nodes), -1, dtype=np.int32) for _ in range(2))
    for depth, (choice, slot) in enumerate(found):
        first, count = node_count(children, depth), children**depth
        informative = choice[good] >= 0
        for target, values in ((choices, choice), (slots, slot)):
            kept = values[good][informative].reshape(-1, count)
            target[good, first : first + count] = kept
    return Derivations(labels.astype(np.int32), choices, slots)
