"""The crossed kernel: exact winners, ties to the smallest index, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from ot_latent.kernels import crossed
from ot_latent.kernels.crossed import ROWS, cross_packed, pack_targets
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.tally import block_products, tally_blocks, tally_halves


def problem(n, d, rows, blocks, *, whole=False, seed=0):
    rng = np.random.default_rng(seed)
    # small whole numbers are exact in float32 and full of ties
    draw = (lambda *s: rng.integers(-2, 3, s)) if whole else (lambda *s: rng.standard_normal(s))
    split = (d + 1) // 2
    points, heights = draw(n, d).astype(np.float32), draw(n).astype(np.float32)
    u, v = draw(blocks, rows, split), draw(blocks, rows, d - split)
    return points, heights, u.astype(np.float32), v.astype(np.float32), split


def brute(points, heights, u, v, split):
    p = u.astype(float) @ points[:, :split].T.astype(float)
    q = v.astype(float) @ points[:, split:].T.astype(float) + heights
    scores = p[:, :, None] + q[:, None]
    ordered = np.sort(scores, axis=3)
    runner = ordered[..., -2] if len(heights) > 1 else np.full(scores.shape[:3], -np.inf)
    return ordered[..., -1], runner, scores.argmax(axis=3)


SIZES = [(1, 2, 8), (2, 3, 8), (127, 5, 16), (128, 2, 8), (129, 40, 8), (4097, 8, 16), (9000, 6, 8)]


@pytest.mark.parametrize(("n", "d", "rows"), SIZES)
def test_winners_are_exact_with_ties_to_the_smallest_index(n, d, rows):
    given_ = problem(n, d, rows, 2, whole=True)
    best, runner, winner = brute(*given_)
    points, heights, u, v, split = given_
    found = cross_packed(u, v, pack_targets(points, split), heights)
    np.testing.assert_array_equal(found.best, best)
    np.testing.assert_array_equal(found.runner, runner)
    np.testing.assert_array_equal(found.winner, winner)


@given(st.integers(1, 600), st.integers(2, 9), st.integers(0, 1000))
def test_any_cloud_has_the_winners_of_brute_force(n, d, seed):
    given_ = problem(n, d, ROWS, 1, whole=seed % 2 == 0, seed=seed)
    best, runner, winner = brute(*given_)
    points, heights, u, v, split = given_
    found = cross_packed(u, v, pack_targets(points, split), heights)
    np.testing.assert_allclose(found.best, best, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.runner, runner, rtol=1e-5, atol=1e-5)
    differ = found.winner != winner
    assert (best - runner)[differ].max(initial=0.0) < 1e-5


def test_the_eager_road_agrees_and_cuts_its_rows(monkeypatch):
    points, heights, u, v, split = problem(700, 7, 16, 3, whole=True)
    found = cross_packed(u, v, pack_targets(points, split), heights)
    monkeypatch.setattr("ot_latent.kernels.crossed_eager.TILE_BYTES", 4 * 16 * 700 * 3)
    tensors = (torch.from_numpy(a) for a in (u, v, points[:, :split], points[:, split:], heights))
    eager = cross_eager(*tensors)
    for ours, theirs in zip(found, eager, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


def test_chunks_of_targets_change_nothing(monkeypatch):
    points, heights, u, v, split = problem(5000, 6, 8, 2, whole=True)
    targets = pack_targets(points, split)
    whole = cross_packed(u, v, targets, heights)
    monkeypatch.setattr(crossed, "CHUNK", 512)
    for once, often in zip(whole, cross_packed(u, v, targets, heights), strict=True):
        np.testing.assert_array_equal(once, often)


def test_infinite_and_missing_scores_show():
    points, heights, u, v, split = problem(300, 4, 8, 1)
    heights[17] = np.nan  # loses everywhere
    found = cross_packed(u, v, pack_targets(points, split), heights)
    assert np.isfinite(found.best).all()
    assert not (found.winner == 17).any()
    found = cross_packed(u * np.nan, v, pack_targets(points, split), heights)
    assert (found.best == -np.inf).all()


def test_tallies_are_counts_squares_and_sums():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 7, (5, 16))
    u, v = rng.integers(-9, 9, (5, 4, 2)), rng.integers(-9, 9, (5, 4, 3))
    counts, squares, sums = np.zeros(7, int), np.zeros(7, int), np.zeros((7, 5), int)
    tally_blocks(cells, counts, squares)
    tally_halves(cells, u, v, sums)
    single = np.stack([np.bincount(block, minlength=7) for block in cells])
    np.testing.assert_array_equal(counts, single.sum(0))
    np.testing.assert_array_equal(squares, (single**2).sum(0))
    pairs = [(u[b, i // 4], v[b, i % 4]) for b in range(5) for i in range(16)]
    expected = np.zeros((7, 5), int)
    for cell, (first, second) in zip(cells.ravel(), pairs, strict=True):
        expected[cell] += np.concatenate([first, second])
    np.testing.assert_array_equal(sums, expected)
    ratio, inverse = rng.random(7), rng.random(7)
    cross, own = block_products(cells, ratio, inverse)
    np.testing.assert_allclose(cross, single @ ratio)
    np.testing.assert_allclose(own, single**2 @ inverse)
