"""Exact scores of generated strings: grammatical or not, how varied, how new; no classifier asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ot_latent.theory.hierarchy.model import RandomHierarchy
from ot_latent.theory.hierarchy.parsing import check_strings


@dataclass(frozen=True, eq=False)
class LanguageScores:
    """How well n strings stand for the uniform law on a language whose grammar is known.

    Attributes
    ----------
    n : int
        Number of strings.
    validity : float
        Share of grammatical strings: precision.
    legal : numpy.ndarray of shape (L,)
        Share of patches of each level, from the input up, that are legal with all that lies below.
    recall : float
        Different grammatical strings, over those expected of n uniform draws from the language.
    novelty : float
        Share of strings that are grammatical and not in the training set.
    copies : float
        Share of strings that are in the training set.
    fair_novelty : float
        Share of new strings in uniform draws, 1 - P / n_data.
    label_counts : numpy.ndarray of shape (n_c,)
        Classes of the grammatical strings.
    label_distance : float
        Total variation between their shares and equal shares.
    production_coverage : numpy.ndarray of shape (L,)
        Share of the productions (parent and synonym) of each level, from the input up, that occur
        in grammatical strings.
    placement_coverage : numpy.ndarray of shape (L,)
        Share of the placements of each level that occur in grammatical strings.
    """

    n: int
    validity: float
    legal: np.ndarray
    recall: float
    novelty: float
    copies: float
    fair_novelty: float
    label_counts: np.ndarray
    label_distance: float
    production_coverage: np.ndarray
    placement_coverage: np.ndarray


def judge_strings(
    model: RandomHierarchy, strings: Any, training: Any | None = None
) -> LanguageScores:
    """Judge generated strings by the parser: precision, recall and novelty, each exactly.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    strings : array-like of shape (n, d)
        Generated strings; real channels become strings by ``model.decode``.
    training : array-like of shape (P, d), optional
        Strings that the generator was fitted to; none by default.

    Returns
    -------
    LanguageScores
        The scores; without a grammatical string, shares of such strings are NaN.

    Examples
    --------
    >>> model = RandomHierarchy(vocabulary=4, classes=4, synonyms=2, levels=3)
    >>> every = model.strings(model.sample(model.n_data, seed=0))
    >>> scores = judge_strings(model, every, every[:128])
    >>> scores.validity, scores.novelty, scores.fair_novelty, scores.label_distance
    (1.0, 0.75, 0.75, 0.0)
    """
    strings = check_strings(strings, model.length, model.vocabulary)
    found = model.parse(strings)
    good = found.grammatical
    rows = _as_rows(strings)
    known = np.zeros(len(strings), dtype=bool)
    seen = 0
    if training is not None:
        own = np.unique(_as_rows(check_strings(training, model.length, model.vocabulary)))
        known, seen = np.isin(rows, own), len(own)
    counts = np.bincount(found.labels[good], minlength=model.classes)
    shares = counts / counts.sum() if good.any() else np.full(model.classes, np.nan)
    trees = found.trees[good]
    symbols = model.symbols(trees)
    depths = range(model.levels - 1, -1, -1)
    return LanguageScores(
        n=len(strings),
        validity=float(good.mean()),
        legal=found.legal.mean(axis=0),
        recall=len(np.unique(rows[good])) / _expected_distinct(len(strings), model.n_data),
        novelty=float((good & ~known).mean()),
        copies=float(known.mean()),
        fair_novelty=1.0 - seen / model.n_data,
        label_counts=counts,
        label_distance=float(np.abs(shares - 1 / model.classes).sum() / 2),
        production_coverage=np.array([_used_productions(model, symbols, trees, t) for t in depths]),
        placement_coverage=np.array([_used_placements(model, trees, t) for t in depths]),
    )


def _as_rows(strings: np.ndarray) -> np.ndarray:
    """Return one opaque value per string, so that strings can be sorted and compared."""
    small = np.ascontiguousarray(strings.astype(np.uint16))
    return small.view(np.dtype((np.void, small.dtype.itemsize * small.shape[1]))).ravel()


def _expected_distinct(draws: int, size: int) -> float:
    """Return how many different values so many uniform draws from `size` values have on average."""
    return float(-size * np.expm1(draws * np.log1p(-1.0 / size))) if size > 1 else 1.0


def _used_productions(
    model: RandomHierarchy, symbols: tuple[np.ndarray, ...], trees: Any, depth: int
) -> float:
    """Return the share of the (parent, synonym) pairs of a depth that occur."""
    parents = model.classes if depth == 0 else model.vocabulary
    used = np.unique(symbols[depth] * model.synonyms + model.at(trees.choices, depth))
    return len(used) / (parents * model.synonyms)


def _used_placements(model: RandomHierarchy, trees: Any, depth: int) -> float:
    """Return the share of the placements that occur at a depth."""
    return len(np.unique(model.at(trees.slots, depth))) / len(model.placements)
