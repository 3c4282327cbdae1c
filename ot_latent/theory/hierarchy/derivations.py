"""Derivation trees as arrays: which production and which placement every node of a tree chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ot_latent._random import Stream, generator, rows
from ot_latent.theory.hierarchy.permutation import LARGEST, ROUNDS, permuted
from ot_latent.theory.hierarchy.rules import DERIVATIONS, KEYS


@dataclass(frozen=True, eq=False)
class Derivations:
    """How n data came about: one tree each, its inner nodes stored breadth first.

    Choices belong to nodes of the tree and not to positions of the input, so that moving a node
    leaves what it says as it is.

    Attributes
    ----------
    labels : numpy.ndarray of shape (n,)
        Class of each datum, 0 .. n_c - 1.
    choices : numpy.ndarray of shape (n, (s^L - 1) / (s - 1))
        Which of its m tuples each node became.
    slots : numpy.ndarray of the same shape
        Which placement its children took.
    """

    labels: np.ndarray
    choices: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        """Return the number of data."""
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Derivations:
        """Return the trees of some rows: a slice, a mask or row numbers."""
        return Derivations(self.labels[rows], self.choices[rows], self.slots[rows])


def draw(
    start: int, stop: int, sizes: Sequence[int], nodes: int, seed: int, *, replacement: bool
) -> Derivations:
    """Draw trees uniformly; rows are functions of (seed, row) alone.

    Without replacement, row i is the image of i under a permutation of all trees; where they number
    more than 2^62, of all settings of as many leading digits as fit, and the others are drawn.

    Parameters
    ----------
    start, stop : int
        Half-open range of rows.
    sizes : sequence of int
        Numbers of classes, of synonyms and of placements.
    nodes : int
        Inner nodes of a tree.
    seed : int
        Seed of the draw.
    replacement : bool
        Whether rows are independent; if not, they are distinct.

    Returns
    -------
    Derivations
        The trees.
    """
    radices = [sizes[0]] + [sizes[1]] * nodes + [sizes[2]] * nodes
    leading = 0 if replacement else _digits_that_fit(radices)
    if leading == len(radices):
        digits = np.empty((stop - start, len(radices)), dtype=np.int32)
    else:

        def block(rng: np.random.Generator, n: int) -> np.ndarray:
            label = rng.integers(sizes[0], size=(n, 1), dtype=np.int32)
            each = [rng.integers(k, size=(n, nodes), dtype=np.int32) for k in sizes[1:]]
            return np.concatenate([label, *each], axis=1)

        digits = rows(seed, Stream.HIERARCHY, start, stop, block, DERIVATIONS)
    if leading:
        keys = generator(seed, Stream.HIERARCHY, 0, KEYS).integers(2**64, size=ROUNDS, dtype="u8")
        number = permuted(np.arange(start, stop), prod(radices[:leading]), keys)
        for column in reversed(range(leading)):
            number, digits[:, column] = np.divmod(number, radices[column])
    return Derivations(digits[:, 0], digits[:, 1 : nodes + 1], digits[:, nodes + 1 :])


def _digits_that_fit(radices: Sequence[int]) -> int:
    """Return how many leading digits can be numbered together in 62 bits."""
    size, count = 1, 0
    while count < len(radices) and size * radices[count] <= LARGEST:
        size, count = size * radices[count], count + 1
    return count


def redraw(
    trees: Derivations, field: str, first: int, options: int, seed: int, purpose: int
) -> Derivations:
    """Draw a field of the nodes from a number on again, independently and uniformly.

    Parameters
    ----------
    trees : Derivations
        The trees; they are left as they are.
    field : {"choices", "slots"}
        What is drawn again.
    first : int
        Number of the first node to change.
    options : int
        How many values there are.
    seed : int
        Seed of the draw.
    purpose : int
        Which draws of the stream.

    Returns
    -------
    Derivations
        New trees.
    """
    values = getattr(trees, field).copy()
    columns = values.shape[1] - first
    values[:, first:] = rows(
        seed,
        Stream.HIERARCHY,
        0,
        len(trees),
        lambda rng, n: rng.integers(options, size=(n, columns), dtype=np.int32),
        purpose,
    )
    return replace(trees, **{field: values})
