"""The random hierarchy model: counted, parsed, exchanged and displaced as its definition says."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.theory.hierarchy import (
    RandomHierarchy,
    SparseRandomHierarchy,
    tuple_label_probabilities,
    tuple_label_signal,
)
from ot_latent.theory.hierarchy.permutation import LARGEST, permuted
from ot_latent.theory.hierarchy.rules import tuple_codes

MODELS = [
    RandomHierarchy(vocabulary=4, classes=3, synonyms=4, levels=3),
    RandomHierarchy(vocabulary=5, classes=5, synonyms=12, children=3, levels=1),
    SparseRandomHierarchy(vocabulary=4, classes=4, synonyms=3, levels=3, zeros=1),
    SparseRandomHierarchy(vocabulary=3, classes=2, synonyms=5, children=3, zeros=2),
    SparseRandomHierarchy(vocabulary=6, classes=6, synonyms=6, zeros=2, placement="B"),
    SparseRandomHierarchy(vocabulary=3, classes=2, synonyms=5, children=3, zeros=1, placement="B"),
]
each = pytest.mark.parametrize("model", MODELS, ids=repr)
each_sparse = pytest.mark.parametrize("model", MODELS[2:], ids=repr)
TINY = {"vocabulary": 2, "classes": 2, "synonyms": 2}


# -- the grammar -----------------------------------------------------------------------------------


@each
def test_no_tuple_has_two_parents(model):
    for rule in model.rules:
        codes = tuple_codes(rule, model.vocabulary).ravel()
        assert len(np.unique(codes)) == len(codes)
        assert rule.min() >= 0
        assert rule.max() < model.vocabulary


@pytest.mark.parametrize(("children", "zeros", "a", "b"), [(2, 1, 4, 6), (2, 2, 9, 15), (3, 1, 8, 20), (3, 2, 27, 84)])  # fmt: skip
def test_numbers_of_placements(children, zeros, a, b):
    for kind, count in (("A", a), ("B", b)):
        model = SparseRandomHierarchy(children=children, zeros=zeros, placement=kind)
        assert model.placements.shape == (count, children)
        assert (np.diff(model.placements, axis=1) > 0).all()


def test_golden_counts():
    assert RandomHierarchy(levels=3).n_data == 16_777_216
    assert SparseRandomHierarchy(**TINY, zeros=1).n_data == 1024


@pytest.mark.parametrize("placement", ["A", "B"])
def test_n_data_counts_the_strings_of_the_language(placement):
    """Brute force over every string of the right length, judged by the parser."""
    model = SparseRandomHierarchy(**TINY, levels=1, zeros=1, placement=placement)
    every = np.array(list(itertools.product(range(3), repeat=model.length)))
    assert model.parse(every).grammatical.sum() == model.n_data
    model = SparseRandomHierarchy(**TINY, zeros=1, placement=placement)
    all_of_them = model.strings(model.sample(model.n_data, seed=3))
    assert len(np.unique(all_of_them, axis=0)) == model.n_data
    assert model.parse(all_of_them).grammatical.all()


def test_the_maximal_dense_model_generates_every_string():
    model = RandomHierarchy(vocabulary=3, classes=3, synonyms=3)
    every = np.array(list(itertools.product([1, 2, 3], repeat=4)))
    assert model.n_data == len(every) == model.parse(every).grammatical.sum()


@pytest.mark.parametrize("seed", range(3))
def test_no_zeros_make_the_dense_model(seed):
    sparse = SparseRandomHierarchy(
        vocabulary=5, classes=4, synonyms=5, levels=3, zeros=0, seed=seed
    )
    dense = sparse.dense()
    trees = sparse.sample(50, seed=1)
    assert type(dense) is RandomHierarchy
    assert dense.n_data == sparse.n_data
    assert np.array_equal(dense.strings(dense.sample(50, seed=1)), sparse.strings(trees))
    assert (sparse.strings(trees) > 0).all()


# -- the parser ------------------------------------------------------------------------------------


@each
def test_the_parser_finds_every_derivation(model):
    trees = model.sample(500, seed=2, replacement=True)
    found = model.parse(model.strings(trees))
    assert found.grammatical.all()
    assert (found.reached == model.levels).all()
    for field in ("labels", "choices", "slots"):
        assert np.array_equal(getattr(found.trees, field), getattr(trees, field))


@each
@given(seed=st.integers(0, 10**6), place=st.integers(0, 10**6), symbol=st.integers(0, 10**6))
def test_one_wrong_symbol_changes_the_derivation_or_breaks_the_grammar(model, seed, place, symbol):
    trees = model.sample(1, seed=seed, replacement=True)
    string = model.strings(trees)
    other = string.copy()
    other[0, place % model.length] = symbol % (model.vocabulary + 1)
    found = model.parse(other)
    if found.grammatical[0]:
        assert np.array_equal(model.strings(found.trees), other)
    else:
        assert found.reached[0] < model.levels
        assert (found.trees.choices == -1).all()


def test_parse_says_how_far_up_a_string_is_grammatical():
    model = RandomHierarchy(vocabulary=6, classes=2, synonyms=3, levels=2)
    legal = model.rules[1].reshape(-1, 2) + 1
    wrong_top = next(
        np.concatenate([a, b])[None]
        for a in legal
        for b in legal
        if not model.parse(np.concatenate([a, b])[None]).grammatical[0]
    )
    found = model.parse(wrong_top)
    assert found.reached.tolist() == [1]
    assert found.legal.tolist() == [[1.0, 0.0]]
    illegal = next(
        pair
        for pair in itertools.product(range(1, 7), repeat=2)
        if list(pair) not in legal.tolist()
    )  # two illegal pairs do not make an empty patch, which would be legal
    assert model.parse(np.array([illegal + illegal])).legal.tolist() == [[0.0, 0.0]]
    sparse = SparseRandomHierarchy(zeros=1)
    silent = sparse.parse(np.zeros((1, sparse.length), int))
    assert silent.labels.tolist() == [-1]  # an empty string has no class
    assert silent.reached.tolist() == [1]


# -- where symbols lie -----------------------------------------------------------------------------


def test_type_a_puts_exactly_one_symbol_into_every_sub_patch():
    for model in MODELS[2:4]:
        strings = model.strings(model.sample(300, seed=0))
        patches = strings.reshape(300, -1, model.children, model.zeros + 1)
        count = (patches > 0).sum(axis=3)
        full = count.any(axis=2)
        assert (count[full] == 1).all()


@each_sparse
def test_informative_places_lie_inside_informative_patches_alone(model):
    """Zeros beget zeros: the informative patches of each level are exactly s^t, level by level."""
    filled = model.strings(model.sample(300, seed=0)) > 0
    assert (filled.sum(axis=1) == model.children**model.levels).all()
    for depth in reversed(range(model.levels)):
        patches = filled.reshape(300, -1, model.patch)
        counts = patches.sum(axis=2)
        assert set(np.unique(counts)) <= {0, model.children}
        filled = patches.any(axis=2)
        assert (filled.sum(axis=1) == model.children**depth).all()


@pytest.mark.parametrize("placement", ["A", "B"])
def test_placements_are_uniform(placement):
    model = SparseRandomHierarchy(vocabulary=4, classes=4, synonyms=4, zeros=1, placement=placement)
    slots = model.sample(6000, seed=5).slots
    counts = np.bincount(slots.ravel())
    expected = slots.size / len(model.placements)
    assert ((counts - expected) ** 2 / expected).sum() < 25  # chi-square of at most 5 degrees


# -- exchange and displacement ---------------------------------------------------------------------


@each
def test_exchange_keeps_the_label_the_upper_symbols_and_all_places(model):
    trees = model.sample(400, seed=0, replacement=True)
    before = model.symbols(trees)
    for level in range(1, model.levels + 1):
        other = model.exchange_synonyms(trees, level, seed=1)
        after = model.symbols(other)
        kept = model.levels - level
        assert all(np.array_equal(before[t], after[t]) for t in range(kept + 1))
        assert np.array_equal(other.slots, trees.slots)
        assert (other.choices[:, -1] != trees.choices[:, -1]).any()
        assert np.array_equal(model.parse(model.strings(other)).labels, trees.labels)


@each_sparse
def test_displacement_keeps_the_sequence_of_symbols_and_what_lies_above(model):
    trees = model.sample(400, seed=0)
    strings = model.strings(trees)
    for level in range(1, model.levels + 1):
        moved = model.displace(trees, level, seed=1)
        assert np.array_equal(moved.choices, trees.choices)  # synonyms do not change by moving
        other = model.strings(moved)
        assert np.array_equal(other[other > 0], strings[strings > 0])
        blocks = [
            (s > 0).reshape(400, -1, model.patch**level).any(axis=2) for s in (strings, other)
        ]
        assert np.array_equal(*blocks)
        assert (other != strings).any()


def test_without_zeros_nothing_can_be_displaced():
    model = MODELS[0]
    trees = model.sample(20, seed=0)
    assert np.array_equal(model.displace(trees, 2, seed=4).slots, trees.slots)


def test_redrawn_synonyms_are_uniform_and_independent_of_the_old_ones():
    model = RandomHierarchy(vocabulary=4, classes=4, synonyms=4)
    trees = model.sample(4000, seed=0, replacement=True)
    other = model.exchange_synonyms(trees, 1, seed=9)
    table = np.histogram2d(trees.choices[:, 1], other.choices[:, 1], bins=4)[0]
    assert ((table - 250) ** 2 / 250).sum() < 45  # chi-square, 15 degrees


# -- draws -----------------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(0, 2**32))
def test_the_permutation_is_one_to_one(size, seed):
    keys = np.random.default_rng(seed).integers(2**64, size=10, dtype="u8")
    assert np.array_equal(np.sort(permuted(np.arange(size), size, keys)), np.arange(size))


@pytest.mark.parametrize("size", [10**6 + 3, 2**40 + 1, LARGEST])
def test_the_permutation_looks_uniform_and_forgets_the_order(size):
    keys = generator(0, Stream.HIERARCHY, 0).integers(2**64, size=10, dtype="u8")
    image = permuted(np.arange(20_000), size, keys)
    assert len(np.unique(image)) == 20_000
    assert image.min() >= 0
    assert image.max() < size
    counts = np.bincount((image / size * 100).astype(int), minlength=100)
    assert ((counts - 200) ** 2 / 200).sum() < 160  # chi-square, 99 degrees
    assert abs(np.corrcoef(image[:-1].astype(float), image[1:].astype(float))[0, 1]) < 0.03


@each
def test_rows_depend_on_seed_and_number_alone(model):
    whole = model.sample(40, seed=3)
    part = model.sample(10, seed=3, start=20)
    assert np.array_equal(whole[20:30].choices, part.choices)
    assert np.array_equal(whole[20:30].labels, part.labels)
    drawn = model.sample(2000, seed=3, replacement=True)
    again = model.sample(100, seed=3, replacement=True, start=1000)
    assert np.array_equal(drawn[1000:1100].slots, again.slots)
    assert not np.array_equal(whole.choices, model.sample(40, seed=4).choices)


def test_rows_are_distinct_however_many_data_there_are():
    model = SparseRandomHierarchy(levels=4, zeros=2)
    assert model.n_data > LARGEST
    strings = model.strings(model.sample(300, seed=0))
    assert len(np.unique(strings, axis=0)) == 300
    labels = model.sample(8000, seed=0).labels
    assert ((np.bincount(labels) - 1000) ** 2 / 1000).sum() < 30


def test_rules_are_a_function_of_the_seed():
    a, b, c = (RandomHierarchy(seed=k).rules for k in (0, 0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


# -- encodings -------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_the_nearest_string_of_an_encoding_is_the_string(model, whiten, empty):
    strings = model.strings(model.sample(50, seed=0))
    x = model.encode(strings, whiten=whiten, empty=empty)
    assert x.shape == (50, model.vocabulary + empty, model.length)
    noise = 0.2 * np.random.default_rng(0).uniform(-1, 1, x.shape)
    assert np.array_equal(model.decode(x + noise, whiten=whiten), strings)


def test_whitened_columns_are_centred_of_length_one_and_empty_ones_are_zero():
    model = SparseRandomHierarchy(vocabulary=5, classes=5, synonyms=5)
    trees = model.sample(20, seed=0)
    x, filled = model.encode(trees, whiten=True), model.strings(trees) > 0
    assert np.abs(x.sum(axis=1)).max() < 1e-6
    assert np.allclose((x**2).sum(axis=1), filled)  # not -1 / sqrt(v - 1) in every channel


# -- the signal ------------------------------------------------------------------------------------


def test_tuple_label_probabilities_are_those_of_the_data():
    model = RandomHierarchy(vocabulary=4, classes=3, synonyms=3, children=3, levels=3)
    trees = model.sample(60_000, seed=0, replacement=True)
    for path, node in (((0, 0), 0), ((2, 1), 7)):
        parents = model.symbols(trees)[2][:, node]
        table = np.zeros((3, 4))
        np.add.at(table, (trees.labels, parents), 1)
        exact = tuple_label_probabilities(model, path)
        assert np.allclose(table / table.sum(axis=0), exact, atol=0.02)
        assert np.allclose(exact.sum(axis=0), 1)


def test_one_level_tells_the_class():
    model = RandomHierarchy(vocabulary=5, classes=3, synonyms=2, levels=1)
    assert np.array_equal(tuple_label_probabilities(model), np.eye(3))


@pytest.mark.parametrize(
    ("v", "m", "levels", "measured"),
    [(8, 8, 2, 0.888), (8, 8, 3, 0.290), (16, 16, 2, 0.939), (16, 4, 2, 2.13), (16, 4, 3, 1.10)],
)
def test_the_signal_falls_with_depth_as_measured(v, m, levels, measured):
    signals = [
        tuple_label_signal(
            RandomHierarchy(vocabulary=v, classes=v, synonyms=m, levels=levels, seed=seed)
        )
        for seed in range(20)
    ]
    mean = np.sqrt(np.mean(np.square(signals)))
    assert mean == pytest.approx(measured, rel=0.06)
    assert 0.75 < mean / np.sqrt(v / m ** (levels - 1)) < 1.25


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": 0}, "vocabulary must be a positive integer, got 0"),
        ({"levels": 1.5}, "levels must be a positive integer"),
        ({"zeros": -1}, "zeros must be a non-negative integer, got -1"),
        ({"synonyms": 9}, "synonyms must be at most 8 so that 8 parents share no tuple among 64"),
        ({"classes": 65, "synonyms": 1}, "synonyms must be at most 0"),
        ({"zeros": 30}, r"children \* \(zeros \+ 1\) must be at most 60, got 62"),
        ({"placement": "C"}, "placement must be 'A' or 'B', got 'C'"),
        ({"children": 12, "zeros": 4}, "at most 1000000 placements of a patch, got 244140625"),
        ({"seed": -1}, "random_state must be None, a non-negative integer"),
    ],
)
def test_impossible_grammars_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SparseRandomHierarchy(**settings)


def test_wrong_requests_are_refused():
    model = SparseRandomHierarchy(**TINY, zeros=1)
    trees = model.sample(3, seed=0)
    strings = model.strings(trees)
    with pytest.raises(ValueError, match="must lie within the 1024 different data, got 0 \\+ 1025"):
        model.sample(1025, seed=0)
    with pytest.raises(ValueError, match="level must be an integer from 1 to 2, got 3"):
        model.displace(trees, 3, seed=0)
    with pytest.raises(ValueError, match="level must be an integer from 1 to 2, got 0"):
        model.exchange_synonyms(trees, 0, seed=0)
    with pytest.raises(DataError, match=r"integers of shape \(n, 16\), got float64"):
        model.parse(strings + 0.5)
    with pytest.raises(DataError, match=r"symbols from 0 \(empty\) to 2, got values in \[0, 3\]"):
        model.parse(np.where(strings == 2, 3, strings))
    with pytest.raises(DataError, match=r"x must have shape \(n, 2, 16\) or \(n, 3, 16\)"):
        model.decode(np.zeros((1, 4, 16)))
    with pytest.raises(ValueError, match="path must name 1 children from 0 to 1"):
        tuple_label_probabilities(model, (2,))
    alone = SparseRandomHierarchy(vocabulary=1, classes=1, synonyms=1)
    with pytest.raises(ValueError, match="vocabulary must be at least 2 for whitened columns"):
        alone.encode(alone.sample(1, seed=0), whiten=True)
