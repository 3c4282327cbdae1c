"""The kernel against brute force, ties, and its memory."""

import threading
import time

import pytest
import torch
from hypothesis import given, strategies as st

from ot_latent.kernels.dispatch import best_scores, nearest, parse_bytes, tile_shape
from ot_latent.kernels.tiled import TileShape, best_k_tiled


def brute_force(x, points, heights, k):
    scores = x @ points.T + heights
    values, indices = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], indices[:, :k]


def integers(*shape, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, shape, generator=rng).float()


@given(
    m=st.integers(0, 40),
    n=st.integers(1, 300),
    d=st.integers(1, 5),
    k=st.integers(1, 9),
    rows=st.integers(1, 50),
    groups=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_equals_brute_force_with_many_ties_for_every_tile(m, n, d, k, rows, groups, seed):
    k = min(k, n)
    x, points, heights = integers(m, d, seed=seed), integers(n, d, seed=seed + 1), None
    heights = integers(n, seed=seed + 2)
    values, indices = best_k_tiled(x, points, heights, k, TileShape(rows, 64 * groups))
    expected_values, expected = brute_force(x, points, heights, k)
    assert torch.equal(values, expected_values)
    assert torch.equal(indices, expected)  # integers are exact, so ties must go by index


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    values, indices = best_scores(
        torch.ones(2, 3, dtype=dtype), torch.eye(3, dtype=dtype), torch.zeros(3, dtype=dtype)
    )
    assert values.dtype == dtype
    assert indices.dtype == torch.int64


def test_nearest_is_euclidean_and_survives_a_far_origin():
    points = (
        integers(500, 3, seed=0).double()
        + torch.rand(500, 3, generator=torch.Generator().manual_seed(1)).double()
    )
    x = points[:50] + 1e-3
    distances, indices = nearest(x + 1e4, points + 1e4, 4)
    oracle, order = torch.cdist(x, points).sort(dim=1)
    assert torch.equal(indices, order[:, :4])
    torch.testing.assert_close(distances, oracle[:, :4], rtol=1e-7, atol=1e-9)


def test_budget_shrinks_tiles_and_changes_nothing():
    x, points, heights = integers(300, 4, seed=3), integers(5000, 4, seed=4), integers(5000, seed=5)
    small = tile_shape(5000, 4, 2, x, "400KB")
    assert small.rows * small.columns < 1024 * 1024
    for a, b in zip(
        best_scores(x, points, heights, 2),
        best_scores(x, points, heights, 2, memory_budget="400KB"),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_peak_memory_stays_near_the_budget():
    # 20,000 x 20,000 scores would take 1.6 GB
    x = torch.rand(20_000, 8, generator=torch.Generator().manual_seed(0))
    heights = torch.zeros(20_000)
    before, peak, done = resident(), [0], threading.Event()

    def watch():
        while not done.is_set():
            peak[0] = max(peak[0], resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    best_scores(x, x, heights, memory_budget="50MB")
    done.set()
    watcher.join()
    assert peak[0] - before < 150e6


def resident() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), (" 1.5 mb ", 1_500_000), (7, 7), ("10", 10), ("1K", None)],
)
def test_bytes_are_read(text, size):
    if size is None:
        with pytest.raises(ValueError, match="memory_budget must be a positive number of bytes"):
            parse_bytes(text)
    else:
        assert parse_bytes(text) == size


def test_refusals():
    x, points, heights = torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4)
    with pytest.raises(ValueError, match="shapes"):
        best_scores(x[:, :2], points, heights)
    with pytest.raises(ValueError, match=r"heights must have shape \(4,\)"):
        best_scores(x, points, heights[:, None])
    with pytest.raises(TypeError, match="share dtype"):
        best_scores(x.double(), points, heights)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.4"):
        best_scores(x, points, heights, 5)
    with pytest.raises(ValueError, match="memory_budget must hold"):
        best_scores(x, points, heights, memory_budget=100)


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    x, points, heights = integers(500, 6, seed=0), integers(3000, 6, seed=1), integers(3000, seed=2)
    _values, indices = best_scores(x.to("cuda"), points.to("cuda"), heights.to("cuda"), 3)
    assert torch.equal(indices.cpu(), best_scores(x, points, heights, 3)[1])
