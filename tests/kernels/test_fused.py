"""The compiled arg-maximum against brute force: ties, tails, chunks, threads, bits, non-numbers."""

import numba
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ot_latent.kernels import fused
from ot_latent.kernels.dispatch import best_scores, tile_shape
from ot_latent.kernels.fused import Chunk, best_k_fused, chunk_shape
from ot_latent.kernels.product_max import ROWS, VECTORS, lanes
from ot_latent.kernels.tiled import best_k_tiled

KINDS = [torch.float32, torch.float64]


def numbers(*shape, seed, whole=False, dtype=torch.float32):
    rng = torch.Generator().manual_seed(seed)
    if whole:
        return torch.randint(-3, 4, shape, generator=rng).to(dtype)
    return torch.randn(*shape, generator=rng, dtype=dtype)


def problem(m, n, d, *, seed=0, whole=False, dtype=torch.float32):
    kind = {"whole": whole, "dtype": dtype}
    x, points = numbers(m, d, seed=seed, **kind), numbers(n, d, seed=seed + 1, **kind)
    return x, points, numbers(n, seed=seed + 2, **kind)


@settings(max_examples=40)
@given(
    m=st.integers(1, 60),
    n=st.integers(2, 300),
    d=st.integers(1, 40),
    k=st.integers(1, 2),
    blocks=st.integers(1, 4),
    panels=st.integers(1, 4),
    dtype=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
)
def test_equals_brute_force_with_many_ties_for_every_chunk(m, n, d, k, blocks, panels, dtype, seed):
    x, points, heights = problem(m, n, d, seed=seed, whole=True, dtype=dtype)
    width = VECTORS * lanes(x.element_size())
    values, indices = best_k_fused(x, points, heights, k, Chunk(blocks * ROWS, panels * width))
    scores = x @ points.T + heights  # of integers: exact, so equal scores must go by index
    expected, order = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected[:, :k])
    assert torch.equal(indices, order[:, :k])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("k", [1, 2])
def test_rows_are_bit_equal_whatever_the_batch_the_chunk_and_the_threads(dtype, k):
    x, points, heights = problem(257, 1000, 37, dtype=dtype)
    whole = best_k_fused(x, points, heights, k, Chunk(100 * ROWS, 1024))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        other = best_k_fused(x[5:200], points, heights, k, Chunk(3 * ROWS, 64))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(whole, other, strict=True):
        assert torch.equal(a[5:200], b)


@pytest.mark.parametrize("dtype", KINDS)
def test_scores_are_those_of_double_precision_up_to_rounding(dtype):
    x, points, _ = problem(64, 3000, 129, dtype=dtype)
    heights = -0.5 * points.square().sum(dim=1)
    values, indices = best_k_fused(x, points, heights, 2, Chunk(72, 3072))
    scores = x.double() @ points.double().T + heights.double()
    expected = scores.topk(2, dim=1)
    bound = 129 * torch.finfo(dtype).eps * float(scores.abs().max())
    torch.testing.assert_close(values.double(), expected.values, atol=bound, rtol=0)
    if dtype == torch.float64:
        assert torch.equal(indices, expected.indices)


def test_of_equal_targets_the_first_two_win():
    x, points = torch.ones(40, 3), torch.ones(500, 3)
    values, indices = best_k_fused(x, points, torch.full((500,), -9.0), 2, Chunk(48, 512))
    assert indices.tolist() == [[0, 1]] * 40
    assert values.unique().tolist() == [-6.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", range(3))
def test_what_is_not_finite_is_left_to_the_tiled_path(bad, where):
    arguments = problem(600, 5000, 100)
    arguments[where].view(-1)[7] = bad
    assert best_k_fused(*arguments, 1, Chunk(600, 5024)) is None
    expected = best_k_tiled(*arguments, 1, tile_shape(5000, 100, 1, arguments[0]))
    for a, b in zip(best_scores(*arguments), expected, strict=True):
        assert torch.equal(a, b) or bool((a.isnan() == b.isnan()).all())


def test_scores_beyond_all_numbers_are_left_to_the_tiled_path():
    x, points, heights = problem(40, 100, 3)
    assert best_k_fused(x * 1e30, points * 1e30, heights, 1, Chunk(48, 128)) is None


@given(
    m=st.integers(1, 10**7),
    n=st.integers(1, 10**7),
    d=st.integers(1, 5000),
    k=st.integers(1, 2),
    size=st.sampled_from([4, 8]),
    budget=st.integers(1, 10**9),
)
def test_chunks_fit_the_budget(m, n, d, k, size, budget):
    chunk = chunk_shape(m, n, d, k, size, budget)
    if chunk is None:
        assert budget < 2 * (ROWS + VECTORS * lanes(size)) * (d + 40) * (size + 12)
        return
    assert chunk.rows % ROWS == chunk.columns % (VECTORS * lanes(size)) == 0
    packed = chunk.rows * (d * size + k * lanes(size) * (size + 4)) + chunk.columns * (d + 1) * size
    assert packed <= budget


class TestDispatch:
    """Large requests are compiled, whatever ran before; the rest stays eager."""

    @pytest.fixture
    def calls(self, monkeypatch):
        made = []

        def spy(*arguments):
            made.append(arguments)
            return best_k_fused(*arguments)

        monkeypatch.setattr(fused, "best_k_fused", spy)
        return made

    @pytest.mark.parametrize(
        ("m", "n", "d", "k", "times"),
        [
            (1024, 10_000, 32, 1, 1),
            (1024, 10_000, 32, 3, 0),
            (64, 1000, 32, 1, 0),
            (16, 200_000, 64, 1, 0),
        ],
    )
    def test_by_the_work(self, calls, m, n, d, k, times):
        arguments = problem(m, n, d)
        values, indices = best_scores(*arguments, k)
        assert len(calls) == times
        expected = best_k_tiled(*arguments, k, tile_shape(n, d, k, arguments[0]))
        torch.testing.assert_close(values, expected[0], atol=1e-4, rtol=1e-5)
        assert float((indices == expected[1]).float().mean()) > 0.999

    def test_a_budget_is_passed_on_or_too_small(self, calls):
        arguments = problem(1024, 10_000, 32)
        best_scores(*arguments, memory_budget="1MB")
        chunk = calls[0][-1]
        assert chunk.rows * 32 * 4 + chunk.columns * 33 * 4 < 10**6
        with pytest.raises(ValueError, match="memory_budget must hold one tile"):
            best_scores(*arguments, memory_budget=1000)
        assert len(calls) == 1

    def test_not_where_numba_only_interprets(self, calls, monkeypatch):
        monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
        best_scores(*problem(1024, 10_000, 32))
        assert not calls
