"""The tree gives the bits of the comparison with all targets, or says that it is not certain."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from ot_latent.kernels import lifted_tree
from ot_latent.kernels.dispatch import best_scores, nearest
from ot_latent.kernels.fused import best_k_fused, chunk_shape
from ot_latent.kernels.lifted_tree import LiftedTree, needed_bytes, pays

FOREVER = float("inf")


def plain(x, points, heights, k):
    shape = chunk_shape(len(x), len(points), points.shape[1], k, x.element_size())
    return best_k_fused(x, points, heights, k, shape)


def certain_rows_agree(x, points, heights, k):
    values, indices, certain = LiftedTree(points, heights).best(x, k, FOREVER)
    expected_values, expected = plain(x, points, heights, k)
    assert torch.equal(values[certain], expected_values[certain])
    assert torch.equal(indices[certain], expected[certain])
    return float(certain.float().mean())


def cloud(m, n, d, dtype=torch.float32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(m, d, generator=rng, dtype=dtype), torch.rand(
        n, d, generator=rng, dtype=dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("k", [1, 2])
def test_nearest_neighbours_have_the_same_bits_and_few_rows_are_left(dtype, d, k):
    n = 100 if d == 1 else 3000  # in one dimension float32 cannot tell apart many more
    x, points = cloud(300, n, d, dtype)
    assert certain_rows_agree(x, points, -0.5 * points.square().sum(dim=1), k) > 0.95


@settings(max_examples=40)
@given(
    d=st.integers(1, 8),
    n=st.integers(6, 200),
    k=st.integers(1, 2),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e6, 1e12]),
    seed=st.integers(0, 10**6),
)
def test_any_heights_ties_and_duplicates(d, n, k, scale, seed):
    rng = torch.Generator().manual_seed(seed)
    points = torch.randint(-2, 3, (n, d), generator=rng).float()  # few places: many duplicates
    x = torch.randint(-2, 3, (50, d), generator=rng).float() / 2
    heights = scale * torch.randint(-2, 3, (n,), generator=rng).float()
    certain_rows_agree(x, points, heights, k)


def test_rounding_is_never_mistaken_for_a_difference():
    x, points = cloud(200, 2000, 2)
    points = points[:40].repeat(50, 1) + 1e-7 * torch.arange(2000)[:, None]  # all but equal
    certain_rows_agree(x, points, torch.zeros(2000), 1)


class TestDispatch:
    """It is asked where it pays, answers as the comparison would, and steps aside."""

    @pytest.fixture
    def trees(self, monkeypatch):
        made = []

        class Spy(LiftedTree):
            def best(self, *arguments):
                made.append(super().best(*arguments))
                return made[-1]

        monkeypatch.setattr(lifted_tree, "LiftedTree", Spy)
        monkeypatch.setattr(lifted_tree, "comparing", lambda *_: 1.0)  # slow: trees always pay
        return made

    def test_many_neighbours_in_the_plane(self, trees):
        x, points = cloud(12_000, 30_000, 2)
        x[-200:], points[20:70] = 0.5, 0.5  # more equal targets than candidates
        heights = -0.5 * points.square().sum(dim=1)
        found = best_scores(x, points, heights, 2)
        assert len(trees) == 1
        assert 200 <= int((~trees[0][2]).sum()) < 400
        for a, b in zip(found, plain(x, points, heights, 2), strict=True):
            assert torch.equal(a, b)
        assert found[1][-200:].tolist() == [[20, 21]] * 200

    def test_many_neighbours_of_each(self, trees):
        points = cloud(1, 10_000, 3, torch.float64)[1]
        distances, indices = nearest(points, points, 7)
        assert len(trees) == 1
        oracle = torch.cdist(points[:50], points).topk(7, largest=False)
        assert torch.equal(indices[:50], oracle.indices)
        torch.testing.assert_close(distances[:50], oracle.values)

    def test_not_for_heights_that_move_the_cells(self, trees):
        x, points = cloud(12_000, 30_000, 2)
        best_scores(x, points, torch.zeros(30_000))
        assert not trees

    def test_not_where_memory_is_short(self, trees):
        x, points = cloud(12_000, 30_000, 2)
        heights = -0.5 * points.square().sum(dim=1)
        best_scores(x, points, heights, memory_budget=needed_bytes(30_000, 2, 1) - 1)
        assert not trees

    def test_not_for_rows_that_are_not_finite(self, trees):
        x, points = cloud(12_000, 30_000, 2)
        x[5] = float("nan")
        values, _ = best_scores(x, points, -0.5 * points.square().sum(dim=1))
        assert not trees
        assert bool(values[5].isnan())

    def test_far_rows_make_it_give_up(self, trees, monkeypatch):
        monkeypatch.setattr(lifted_tree, "comparing", lambda *_: 1e-12)
        monkeypatch.setattr(lifted_tree, "pays", lambda *_: True)
        x, points = cloud(12_000, 30_000, 2)
        heights = -0.5 * points.square().sum(dim=1)
        values, _ = best_scores(x, points, heights)
        assert trees == [None]
        assert torch.equal(values, plain(x, points, heights, 1)[0])
        best_scores(x[:4000], points, heights, 3)  # eager code rounds otherwise: no clock decides
        assert trees[1] is not None


def test_it_pays_for_many_rows_many_targets_and_few_dimensions():
    assert pays(10**5, 10**5, 2, 1, True)
    assert pays(10**4, 10**5, 6, 10, False)
    assert not pays(100, 10**5, 2, 1, True)
    assert not pays(10**5, 1000, 6, 1, True)
    assert not pays(10**5, 10**5, 8, 1, True)
    assert not pays(10**5, 10**5, 9, 5, False)
