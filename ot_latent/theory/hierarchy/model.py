"""The random hierarchy model, dense and sparse: data whose whole structure is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ot_latent._random import seed_from
from ot_latent._validation import check_positive
from ot_latent.theory.hierarchy.derivations import Derivations, draw, redraw
from ot_latent.theory.hierarchy.encoding import decode, encode
from ot_latent.theory.hierarchy.parsing import Parse, check_strings, parse_strings
from ot_latent.theory.hierarchy.rules import (
    DISPLACEMENT,
    EXCHANGE,
    Placement,
    check_level,
    check_sizes,
    draw_rules,
    node_count,
    placements,
)


@dataclass(frozen=True, kw_only=True)
class RandomHierarchy:
    r"""The random hierarchy model (RHM) of Cagnetta et al. (2024): a random unambiguous grammar.

    A class becomes one of its m tuples of s symbols, each of these one of its own m tuples, and so on
    for L levels, so that a datum is a string of :math:`d = s^L` symbols. The m tuples of a symbol
    are its *synonyms*; no tuple has two parents, so a string has one derivation at most. Level l
    counts from the input: level 1 makes the string, level L is the choice of the class. In arrays
    of trees depth t = L - l counts from the class.

    Parameters
    ----------
    vocabulary : int, default=8
        v, symbols of each level.
    classes : int, default=8
        n_c, at most v^s / m.
    synonyms : int, default=8
        m, tuples of each symbol, at most v^(s - 1).
    children : int, default=2
        s, symbols of a tuple.
    levels : int, default=2
        L, depth of the hierarchy.
    seed : int, default=0
        Seed of the rules; draws of data have their own.

    Examples
    --------
    >>> model = RandomHierarchy(vocabulary=4, classes=4, synonyms=2, levels=3)
    >>> trees = model.sample(5, seed=1)
    >>> strings = model.strings(trees)
    >>> strings.shape, model.n_data, bool((model.parse(strings).labels == trees.labels).all())
    ((5, 8), 512, True)
    """

    vocabulary: int = 8
    classes: int = 8
    synonyms: int = 8
    children: int = 2
    levels: int = 2
    seed: int = 0
    zeros: int = field(default=0, init=False, repr=False)
    placement: Placement = field(default="A", init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse sizes for which there is no unambiguous grammar."""
        check_sizes(
            self.vocabulary, self.classes, self.synonyms, self.children, self.levels, self.zeros
        )
        seed_from(self.seed)
        _ = self.placements  # refuses a wrong kind and too many of them

    @cached_property
    def rules(self) -> tuple[np.ndarray, ...]:
        """Tuples of every parent at depth 0 .. L - 1, each of shape (parents, m, s)."""
        return draw_rules(
            self.vocabulary, self.classes, self.synonyms, self.children, self.levels, self.seed
        )

    @cached_property
    def placements(self) -> np.ndarray:
        """Positions of the s informative children of a patch, shape (placements, s)."""
        return placements(self.children, self.zeros, self.placement)

    @property
    def patch(self) -> int:
        """Positions of a patch, s (s_0 + 1)."""
        return self.children * (self.zeros + 1)

    @property
    def length(self) -> int:
        """Positions of a datum, d = (s (s_0 + 1))^L."""
        return self.patch**self.levels

    @property
    def nodes(self) -> int:
        """Inner nodes of a tree, (s^L - 1) / (s - 1)."""
        return node_count(self.children, self.levels)

    @property
    def n_data(self) -> int:
        """Number of different data, n_c (m placements)^nodes; exact, however large."""
        return self.classes * (self.synonyms * len(self.placements)) ** self.nodes

    def sample(
        self, n: int, *, seed: int, start: int = 0, replacement: bool = False
    ) -> Derivations:
        """Draw data uniformly: their derivation trees.

        Row i is a function of (seed, start + i) alone. Without replacement the rows of one seed are
        distinct, whatever the request, so rows from `start` = P on are a test set for the first P.

        Parameters
        ----------
        n : int
            How many.
        seed : int
            Seed of the draw.
        start : int, default=0
            Number of the first row.
        replacement : bool, default=False
            Whether rows are independent draws rather than distinct ones.

        Returns
        -------
        Derivations
            The trees; see `strings` and `encode`.

        Raises
        ------
        ValueError
            If more distinct data are asked for than there are.
        """
        check_positive(n, "n", integer=True)
        if start < 0 or (not replacement and start + n > self.n_data):
            raise ValueError(
                f"start + n must lie within the {self.n_data} different data, got {start} + {n}; "
                "ask for fewer or pass replacement=True."
            )
        sizes = (self.classes, self.synonyms, len(self.placements))
        return draw(start, start + n, sizes, self.nodes, seed_from(seed), replacement=replacement)

    def symbols(self, trees: Derivations) -> tuple[np.ndarray, ...]:
        """Return the symbols of every node: the perfect hierarchical representation.

        Parameters
        ----------
        trees : Derivations
            Derivation trees.

        Returns
        -------
        tuple of numpy.ndarray
            Depths 0 (the class) to L (the leaves), shapes (n, s^t), from left to right.
        """
        found = [trees.labels[:, None].astype(np.int64)]
        for depth, rule in enumerate(self.rules):
            chosen = rule[found[-1], self.at(trees.choices, depth)]
            found.append(chosen.reshape(len(trees), self.children ** (depth + 1)))
        return tuple(found)

    def locations(self, trees: Derivations) -> np.ndarray:
        """Return where in the string each leaf lies.

        Parameters
        ----------
        trees : Derivations
            Derivation trees.

        Returns
        -------
        numpy.ndarray of shape (n, s^L)
            Increasing positions 0 .. d - 1.
        """
        found = np.zeros((len(trees), 1), dtype=np.int64)
        for depth in range(self.levels):
            offsets = self.placements[self.at(trees.slots, depth)]
            found = found[:, :, None] * self.patch + offsets
            found = found.reshape(len(trees), self.children ** (depth + 1))
        return found

    def strings(self, trees: Derivations) -> np.ndarray:
        """Write the data: the symbols 1 .. v in their places, 0 where nothing is said.

        Parameters
        ----------
        trees : Derivations
            Derivation trees.

        Returns
        -------
        numpy.ndarray of shape (n, d), int64
            One string per row.
        """
        written = np.zeros((len(trees), self.length), dtype=np.int64)
        np.put_along_axis(written, self.locations(trees), self.symbols(trees)[-1] + 1, axis=1)
        return written

    def encode(
        self, data: Derivations | np.ndarray, *, whiten: bool = False, empty: bool = False
    ) -> np.ndarray:
        """Return data as channels, for networks: one per symbol. See `encoding.encode`.

        Parameters
        ----------
        data : Derivations or array of shape (n, d)
            Trees or strings.
        whiten : bool, default=False
            Whether informative columns are centred and brought to length one; empty ones stay 0.
        empty : bool, default=False
            Whether emptiness has a channel of its own, the first.

        Returns
        -------
        numpy.ndarray of shape (n, v, d) or (n, v + 1, d), float32
            One column per position.
        """
        strings = self.strings(data) if isinstance(data, Derivations) else data
        return encode(
            check_strings(strings, self.length, self.vocabulary),
            self.vocabulary,
            whiten=whiten,
            empty=empty,
        )

    def decode(self, x: Any, *, whiten: bool = False) -> np.ndarray:
        """Return the strings whose encodings are nearest, position by position.

        Parameters
        ----------
        x : array-like of shape (n, v, d) or (n, v + 1, d)
            Real channels, such as a generator makes; with v + 1 the first says "empty".
        whiten : bool, default=False
            Whether they stand for whitened columns.

        Returns
        -------
        numpy.ndarray of shape (n, d), int64
            Strings, grammatical or not: ask `parse`.
        """
        return decode(x, self.vocabulary, self.length, whiten=whiten, sparse=self.zeros > 0)

    def parse(self, strings: Any) -> Parse:
        """Find the derivation of every string, or how far up it is grammatical.

        Parameters
        ----------
        strings : array-like of shape (n, d)
            Symbols 1 .. v, and 0 for empty positions.

        Returns
        -------
        Parse
            Labels, trees, and levels reached; exact, since the grammar is unambiguous.
        """
        checked = check_strings(strings, self.length, self.vocabulary)
        return parse_strings(checked, self.rules, self.placements, self.vocabulary, self.patch)

    def exchange_synonyms(self, trees: Derivations, level: int = 1, *, seed: int) -> Derivations:
        """Draw the productions of a level and of all below it anew; everything stays in its place.

        Labels and symbols above the level's tuples are kept: a classifier should not care.

        Parameters
        ----------
        trees : Derivations
            Derivation trees.
        level : int, default=1
            1 (the tuples of the input) to L (the whole tree below the class).
        seed : int
            Seed of the draw.

        Returns
        -------
        Derivations
            New trees.
        """
        check_level(level, self.levels)
        first = node_count(self.children, self.levels - level)
        return redraw(trees, "choices", first, self.synonyms, seed_from(seed), EXCHANGE)

    def displace(self, trees: Derivations, level: int = 1, *, seed: int) -> Derivations:
        """Draw the positions of a level's symbols and of all below it anew; all symbols are kept.

        This is the discrete counterpart of a smooth deformation.

        Parameters
        ----------
        trees : Derivations
            Derivation trees.
        level : int, default=1
            1 (the symbols of the input within their patches) to L (anywhere in the string).
        seed : int
            Seed of the draw.

        Returns
        -------
        Derivations
            New trees; without zeros they equal the old ones.
        """
        check_level(level, self.levels)
        first = node_count(self.children, self.levels - level)
        return redraw(trees, "slots", first, len(self.placements), seed_from(seed), DISPLACEMENT)

    def at(self, values: np.ndarray, depth: int) -> np.ndarray:
        """Return the columns of one depth of choices or slots.

        Parameters
        ----------
        values : numpy.ndarray of shape (n, nodes)
            A field of trees.
        depth : int
            t = 0 (the class) to L - 1.

        Returns
        -------
        numpy.ndarray of shape (n, s^t)
            Those of the depth, from left to right.
        """
        first = node_count(self.children, depth)
        return values[:, first : first + self.children**depth]


@dataclass(frozen=True, kw_only=True)
class SparseRandomHierarchy(RandomHierarchy):
    r"""The sparse random hierarchy model (SRHM) of Tomasini and Wyart (2024).

    Every informative symbol becomes a patch of :math:`s(s_0+1)` positions of which s hold its
    children and :math:`s\,s_0` are empty; an empty position becomes an empty patch. The string has
    :math:`d = (s(s_0+1))^L` positions, a share :math:`F = (s_0+1)^{-L}` of them informative, and its
    class does not depend on where in their patches the symbols lie.

    Parameters
    ----------
    vocabulary, classes, synonyms, children, levels, seed : int
        See `RandomHierarchy`.
    zeros : int, default=1
        s_0, empty positions per informative one.
    placement : {"A", "B"}, default="A"
        A: child j anywhere in sub-patch j of s_0 + 1 positions; B: children anywhere in their order.

    Examples
    --------
    >>> model = SparseRandomHierarchy(vocabulary=2, classes=2, synonyms=2, zeros=1)
    >>> model.length, model.n_data
    (16, 1024)
    >>> trees = model.sample(4, seed=0)
    >>> moved = model.displace(trees, level=2, seed=1)
    >>> bool((model.parse(model.strings(moved)).labels == trees.labels).all())
    True
    """

    zeros: int = 1
    placement: Placement = "A"

    def dense(self) -> RandomHierarchy:
        """Return the model with the same rules and no empty positions.

        Returns
        -------
        RandomHierarchy
            The dense model.
        """
        return RandomHierarchy(
            vocabulary=self.vocabulary,
            classes=self.classes,
            synonyms=self.synonyms,
            children=self.children,
            levels=self.levels,
            seed=self.seed,
        )
