"""Production rules of a random hierarchy, and where a patch puts its informative symbols."""

from __future__ import annotations

from itertools import combinations, product
from typing import Literal

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent._validation import check_positive

Placement = Literal["A", "B"]
LARGEST_PATCH = 60
"""Positions of a patch: their pattern is one bit per position of a 64-bit integer."""
MOST_PLACEMENTS = 1_000_000

# What the draws of Stream.HIERARCHY are for: no two uses share one.
RULES, KEYS, DERIVATIONS, EXCHANGE, DISPLACEMENT = 0, 1, 2, 3, 4
DEFORMATION, NOISE, PARAMETERS, ORDER = 5, 6, 7, 8


def check_sizes(
    vocabulary: int, classes: int, synonyms: int, children: int, levels: int, zeros: int
) -> None:
    """Refuse sizes for which no unambiguous grammar exists.

    Every parent needs `synonyms` tuples that no other parent has, out of v^s: n_c m <= v^s at the
    top and m <= v^(s - 1) below.

    Parameters
    ----------
    vocabulary, classes, synonyms, children, levels : int
        v, n_c, m, s and L.
    zeros : int
        Uninformative positions per informative one, s_0 >= 0.

    Raises
    ------
    ValueError
        If a number is not a positive integer, or tuples run out.
    """
    sizes = {
        "vocabulary": vocabulary,
        "classes": classes,
        "synonyms": synonyms,
        "children": children,
        "levels": levels,
    }
    for name, value in sizes.items():
        check_positive(value, name, integer=True)
    whole = isinstance(zeros, int | np.integer) and not isinstance(zeros, bool)
    if not whole or zeros < 0:
        raise ValueError(
            f"zeros must be a non-negative integer, got {zeros!r}; pass 0 for the dense model."
        )
    tuples = vocabulary**children
    parents = max(classes, vocabulary if levels > 1 else 0)
    if parents * synonyms > tuples:
        raise ValueError(
            f"synonyms must be at most {tuples // parents} so that {parents} parents share no "
            f"tuple among {tuples}, got {synonyms}; choose fewer synonyms or a larger vocabulary."
        )
    if children * (zeros + 1) > LARGEST_PATCH:
        raise ValueError(
            f"children * (zeros + 1) must be at most {LARGEST_PATCH}, got "
            f"{children * (zeros + 1)}; choose fewer zeros."
        )


def check_level(level: int, levels: int) -> None:
    """Refuse what is no level of a hierarchy.

    Parameters
    ----------
    level, levels : int
        The level, and how many there are.

    Raises
    ------
    ValueError
        If it is not an integer from 1 to L.
    """
    whole = isinstance(level, int | np.integer) and not isinstance(level, bool)
    if not whole or not 1 <= level <= levels:
        raise ValueError(
            f"level must be an integer from 1 to {levels}, got {level!r}; level 1 is next to the "
            "input."
        )


def draw_rules(
    vocabulary: int, classes: int, synonyms: int, children: int, levels: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Draw the tuples of every parent, without replacement: no tuple has two parents.

    Parameters
    ----------
    vocabulary, classes, synonyms, children, levels : int
        v, n_c, m, s and L.
    seed : int
        Seed of the grammar.

    Returns
    -------
    tuple of numpy.ndarray
        One array per depth, from the classes down: shape (parents, m, s), symbols 0 .. v - 1.

    Examples
    --------
    >>> top, below = draw_rules(4, 2, 3, 2, 2, seed=0)
    >>> top.shape, below.shape, len(np.unique(below.reshape(-1, 2), axis=0))
    ((2, 3, 2), (4, 3, 2), 12)
    """
    found = []
    for depth in range(levels):
        parents = vocabulary if depth else classes
        rng = generator(seed, Stream.HIERARCHY, depth, RULES)
        codes = rng.choice(vocabulary**children, parents * synonyms, replace=False)
        digits = np.stack(np.unravel_index(codes, (vocabulary,) * children), axis=-1)
        found.append(digits.reshape(parents, synonyms, children))
    return tuple(found)


def tuple_codes(tuples: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return the numbers of tuples: their symbols as digits in base v, the first one leading.

    Parameters
    ----------
    tuples : numpy.ndarray of shape (..., s)
        Symbols 0 .. v - 1.
    vocabulary : int
        v.

    Returns
    -------
    numpy.ndarray of shape (...)
        Integers below v^s.

    Examples
    --------
    >>> tuple_codes(np.array([[1, 2], [0, 3]]), 10).tolist()
    [12, 3]
    """
    code = np.zeros(tuples.shape[:-1], dtype=np.int64)
    for position in range(tuples.shape[-1]):
        code = code * vocabulary + tuples[..., position]
    return code


def placements(children: int, zeros: int, kind: Placement) -> np.ndarray:
    """List where the s children of a patch may lie among its s (s_0 + 1) positions.

    Type A: child j anywhere in sub-patch j of s_0 + 1 positions, (s_0 + 1)^s ways. Type B: anywhere
    in their order, binomial(s (s_0 + 1), s) ways.

    Parameters
    ----------
    children, zeros : int
        s and s_0.
    kind : {"A", "B"}
        Type of the placement.

    Returns
    -------
    numpy.ndarray of shape (placements, s)
        Increasing positions in each row.

    Raises
    ------
    ValueError
        If the kind is neither, or the list would be too long to keep.

    Examples
    --------
    >>> placements(2, 1, "A").tolist()
    [[0, 2], [0, 3], [1, 2], [1, 3]]
    >>> len(placements(3, 2, "A")), len(placements(3, 2, "B"))
    (27, 84)
    """
    from math import comb

    if kind not in ("A", "B"):
        raise ValueError(f"placement must be 'A' or 'B', got {kind!r}; pass one of the two.")
    width = zeros + 1
    count = width**children if kind == "A" else comb(children * width, children)
    if count > MOST_PLACEMENTS:
        raise ValueError(
            f"zeros must leave at most {MOST_PLACEMENTS} placements of a patch, got {count}; "
            "choose fewer zeros or fewer children."
        )
    if kind == "A":
        every = [
            [j * width + offset for j, offset in enumerate(offsets)]
            for offsets in product(range(width), repeat=children)
        ]
    else:
        every = [list(chosen) for chosen in combinations(range(children * width), children)]
    return np.array(every, dtype=np.int64)


def node_count(children: int, depth: int) -> int:
    """Return how many nodes lie above a depth: (s^t - 1) / (s - 1).

    Parameters
    ----------
    children, depth : int
        s and t.

    Returns
    -------
    int
        The number; also the first column of depth t where nodes are stored breadth first.

    Examples
    --------
    >>> node_count(2, 3), node_count(1, 3)
    (7, 3)
    """
    return sum(children**t for t in range(depth))
