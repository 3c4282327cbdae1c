"""Row i of a stream is a function of (seed, stream, i) alone, and no two streams share a draw."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ot_latent._random import BLOCK_ROWS, Stream, generator, rows, seed_from

HORIZON = 3 * BLOCK_ROWS + 17


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal((n, 3))


WHOLE = rows(7, Stream.SAMPLING, 0, HORIZON, normal)


@given(st.integers(0, HORIZON), st.integers(0, HORIZON))
def test_slices_are_bit_equal_to_the_long_request(a, b):
    start, stop = sorted((a, b))
    part = rows(7, Stream.SAMPLING, start, stop, normal)
    assert part.shape == (stop - start, 3)
    assert np.array_equal(part, WHOLE[start:stop])


@pytest.mark.parametrize("n", [1, 7, 64, BLOCK_ROWS, BLOCK_ROWS + 1])
def test_short_requests_begin_like_long_ones(n):
    assert np.array_equal(rows(7, Stream.SAMPLING, 0, n, normal), WHOLE[:n])


def test_first_rows_of_seed_zero_are_what_they_were():
    """The streams are part of the saved format: their bits may not change between versions."""
    draws = rows(0, Stream.SAMPLING, 0, 2, lambda rng, n: rng.random((n, 2)))
    expected = np.random.Generator(
        np.random.Philox(np.random.SeedSequence(0, spawn_key=(2, 0)))
    ).random((BLOCK_ROWS, 2))[:2]
    assert np.array_equal(draws, expected)
    assert [s.value for s in Stream] == list(range(len(Stream)))
    assert Stream.FIT == 0
    assert Stream.SAMPLING == 2


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=2, max_size=8, unique=True))
def test_every_key_has_its_own_draws(keys):
    """(seed, stream, block, attempt) that differ anywhere give unrelated numbers."""
    first = {
        generator(seed, Stream(stream), block, attempt).integers(2**63)
        for seed, stream, block, attempt in keys
    }
    assert len(first) == len(keys)


def test_attempt_zero_is_not_no_attempt():
    a = generator(0, Stream.FIT, 3).integers(2**63)
    assert a != generator(0, Stream.FIT, 3, 0).integers(2**63)


def test_streams_and_blocks_are_uncorrelated():
    n = 40_000
    draws = [
        rows(0, stream, 0, n, lambda rng, m: rng.standard_normal(m))
        for stream in (Stream.FIT, Stream.EVALUATION, Stream.SAMPLING)
    ]
    draws.append(rows(1, Stream.FIT, 0, n, lambda rng, m: rng.standard_normal(m)))
    draws.append(np.roll(draws[0], BLOCK_ROWS))
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_empty_request_keeps_the_shape_of_a_row():
    assert rows(0, Stream.FIT, 5, 5, normal).shape == (0, 3)
    assert rows(0, Stream.FIT, 5, 2, normal).shape == (0, 3)


def test_draws_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    rows(0, Stream.FIT, 0, 10, normal)
    assert np.array_equal(before, np.random.get_state()[1])


# -- random_state ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 7, np.int64(7), np.uint8(3)])
def test_integers_are_the_seed(value):
    assert seed_from(value) == int(value)
    assert isinstance(seed_from(value), int)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_give_one_draw(make):
    rng = make(0)
    first, second = seed_from(rng), seed_from(rng)
    assert first != second
    assert first == seed_from(make(0))


def test_none_asks_the_operating_system():
    assert len({seed_from(None) for _ in range(4)}) == 4


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, np.array([1, 2])])
def test_other_states_are_refused(value):
    with pytest.raises(ValueError, match="random_state must be None, a non-negative integer"):
        seed_from(value)
