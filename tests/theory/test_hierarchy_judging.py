"""Exact scores of generated strings: perfect, partial, copied and collapsed generators are told apart."""

import numpy as np
import pytest

from ot_latent.theory.hierarchy import RandomHierarchy, SparseRandomHierarchy, judge_strings

DENSE = RandomHierarchy(vocabulary=5, classes=4, synonyms=3, levels=3)
SPARSE = SparseRandomHierarchy(vocabulary=4, classes=4, synonyms=2, zeros=1)
each = pytest.mark.parametrize("model", [DENSE, SPARSE], ids=["dense", "sparse"])


@each
def test_uniform_draws_are_perfect(model):
    training = model.strings(model.sample(1000, seed=0))
    drawn = model.strings(model.sample(8000, seed=1, replacement=True))
    scores = judge_strings(model, drawn, training)
    assert scores.n == 8000
    assert scores.validity == 1
    assert (scores.legal == 1).all()
    assert scores.recall == pytest.approx(1, abs=0.02)
    assert scores.fair_novelty == 1 - 1000 / model.n_data
    assert scores.novelty == pytest.approx(scores.fair_novelty, abs=0.02)
    assert scores.copies == pytest.approx(1 - scores.novelty)
    assert scores.label_distance < 0.02
    assert (scores.production_coverage == 1).all()
    assert (scores.placement_coverage == 1).all()


@each
def test_copies_are_valid_and_not_new(model):
    training = model.strings(model.sample(300, seed=0))
    scores = judge_strings(model, training, np.concatenate([training, training[:50]]))
    assert (scores.validity, scores.novelty, scores.copies) == (1, 0, 1)
    assert scores.fair_novelty == 1 - 300 / model.n_data  # repeats are counted once


@each
def test_collapse_shows_in_recall_labels_and_productions(model):
    one = model.strings(model.sample(1, seed=0)).repeat(500, axis=0)
    scores = judge_strings(model, one)
    assert scores.validity == scores.novelty == scores.fair_novelty == 1
    assert scores.recall < 0.01
    assert scores.label_distance == pytest.approx(1 - 1 / 4)
    assert scores.label_counts.max() == 500
    nodes = model.children ** np.arange(model.levels)[::-1]  # of each level, from the input up
    parents = np.array([model.vocabulary] * (model.levels - 1) + [model.classes])
    assert (scores.production_coverage <= nodes / (parents * model.synonyms)).all()


def test_noise_is_valid_by_chance_alone():
    """Random strings: each level's tuples are legal with probability m v / v^s."""
    strings = np.random.default_rng(0).integers(1, 6, size=(20_000, 8))
    scores = judge_strings(DENSE, strings)
    for level, patches in ((1, 1), (2, 3), (3, 7)):  # with all that lies below: independent patches
        share = (15 / 25) ** (patches - (level == 3)) * (12 / 25 if level == 3 else 1)
        assert scores.legal[level - 1] == pytest.approx(share, abs=0.015)
    assert scores.validity == pytest.approx(DENSE.n_data / 5**8, rel=0.1)


def test_nothing_grammatical_is_not_an_error():
    scores = judge_strings(SPARSE, np.zeros((5, SPARSE.length), int))
    assert scores.validity == scores.recall == scores.novelty == 0
    assert np.isnan(scores.label_distance)
    assert (scores.production_coverage == 0).all()
