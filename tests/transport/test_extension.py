"""Theorems of the extended map: its local moments, monotonicity, invariances, and its blocks."""

import pytest
import torch

from ot_latent._random import Stream
from ot_latent.transport.extension import ExtendedMap, in_blocks
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBox


def problem(n=60, d=4, seed=0, dtype=torch.float64):
    points = UniformBox.centered(d).sample(n, seed=seed, stream=Stream.FIT, dtype=dtype)
    centroids = UniformBox.centered(d).sample(n, seed=seed + 1, stream=Stream.FIT, dtype=dtype)
    return BrenierPotential(points, -points.square().sum(1) / 2), centroids


def local_moments(u, map_, cell):
    table = map_.neighbours[cell].long()
    codes = u.points[table[table >= 0]]
    mean = codes.mean(0)
    return mean, (codes - mean).T @ (codes - mean) / len(codes)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


@pytest.mark.parametrize("k", [3, 30])  # fewer and more neighbours than dimensions
def test_affine_law_is_anchor_plus_root_of_local_covariance(k):
    u, centroids = problem()
    map_ = ExtendedMap.build(u, centroids, 0.4, neighbours=k, a=0.3, b=0.9)
    x = UniformBox.centered(4).sample(50, seed=5)
    for row, cell in zip(x, u.cell_index(x), strict=True):
        mean, covariance = local_moments(u, map_, cell)
        expected = mean + 0.3 * (u.points[cell] - mean)
        expected = expected + 0.9 * root(covariance) @ (row - centroids[cell]) / 0.4
        torch.testing.assert_close(map_(row[None])[0], expected)


def test_noise_has_the_same_two_moments_as_the_affine_law():
    u, _ = problem()
    map_ = ExtendedMap.build(u, None, 0.0, kind="noise", neighbours=8, a=0.5, b=0.7)
    n = 20_000
    x = u.points[3].expand(n, -1)  # the heights are those of a Voronoi diagram: cell 3
    codes = map_(x, seed=1)
    mean, covariance = local_moments(u, map_, 3)
    sample = codes.T.cov()
    assert (codes.mean(0) - (mean + 0.5 * (u.points[3] - mean))).abs().max() < 0.02
    assert (sample - 0.49 * covariance).abs().max() < 0.02


def test_affine_map_is_monotone_within_a_cell():
    u, centroids = problem()
    map_ = ExtendedMap.build(u, centroids, 0.4)
    x = UniformBox.centered(4).sample(200, seed=2)
    cells = torch.full((200,), 7)
    codes = map_.spread(x, cells)
    step = x[:, None] - x[None]
    assert ((codes[:, None] - codes[None]) * step).sum(-1).min() >= -1e-12


@pytest.mark.parametrize("options", [{"kind": "none"}, {"a": 1.0, "b": 0.0}])
def test_without_spread_it_is_the_transport_map(options):
    u, centroids = problem()
    x = UniformBox.centered(4).sample(100, seed=3)
    map_ = ExtendedMap.build(u, centroids, 0.4, **options)
    torch.testing.assert_close(map_(x), u.transport(x))
    torch.testing.assert_close(map_.local_law(u.cell_index(x), x), u.transport(x))


def test_rotating_everything_rotates_the_map():
    u, centroids = problem()
    turn, _ = torch.linalg.qr(UniformBox.centered(4).sample(4, seed=9))
    x = UniformBox.centered(4).sample(40, seed=4)
    plain = ExtendedMap.build(u, centroids, 0.4, neighbours=6)
    turned = ExtendedMap.build(
        BrenierPotential(u.points @ turn, u.heights), centroids @ turn, 0.4, neighbours=6
    )
    torch.testing.assert_close(turned(x @ turn), plain(x) @ turn)


@pytest.mark.parametrize("kind", ["affine", "noise"])
def test_rows_do_not_see_each_other(kind):
    u, centroids = problem(n=3000, d=16, dtype=torch.float32)
    map_ = ExtendedMap.build(u, centroids, 0.4, kind=kind)
    x = UniformBox.centered(16).sample(1500, seed=6, dtype=torch.float32)
    whole = map_(x, seed=8)
    for n in (1, 7, 64):
        assert torch.equal(map_(x[:n], seed=8), whole[:n])
    assert torch.equal(map_(x[1024:1030], seed=8, start=1024), whole[1024:1030])
    assert map_(x[:0], seed=8).shape == (0, 16)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["affine", "noise"])
def test_few_codes_borrow_what_there_is(n, kind):
    u, centroids = problem(n=n)
    map_ = ExtendedMap.build(u, centroids, 0.4, kind=kind)
    assert map_.neighbours.shape == (n, n)
    codes = map_(UniformBox.centered(4).sample(20, seed=1), seed=0)
    assert torch.isfinite(codes).all()
    if n == 1:
        torch.testing.assert_close(codes, u.points.expand(20, -1))


def test_groups_keep_neighbours_apart():
    u, centroids = problem(n=20)
    groups = torch.tensor([0] * 15 + [1] * 4 + [2])
    map_ = ExtendedMap.build(u, centroids, 0.4, neighbours=6, groups=groups)
    assert map_.neighbours.dtype == torch.int32
    for own, row in zip(groups, map_.neighbours.long(), strict=True):
        assert (groups[row[row >= 0]] == own).all()
    assert (map_.neighbours >= 0).sum(1).tolist() == [6] * 15 + [4] * 4 + [1]
    codes = map_.spread(torch.zeros(1, 4, dtype=torch.float64), torch.tensor([19]))
    torch.testing.assert_close(codes[0], u.points[19])  # alone in its group


def test_blocks_are_padded_and_trimmed():
    seen = []
    out = in_blocks(lambda x: (seen.append(len(x)), x)[1], 8, torch.arange(19))
    assert seen == [8, 8, 8]
    assert torch.equal(out, torch.arange(19))


def test_refusals():
    u, centroids = problem()
    with pytest.raises(ValueError, match="extension must be one of"):
        ExtendedMap.build(u, centroids, 0.4, kind="linear")
    with pytest.raises(ValueError, match="must have the centroids"):
        ExtendedMap.build(u, None, 0.4)
    with pytest.raises(ValueError, match="within_scale must be"):
        ExtendedMap.build(u, centroids, 0.0)
    with pytest.raises(ValueError, match="neighbours must be"):
        ExtendedMap.build(u, centroids, 0.4, neighbours=0)


def test_neighbours_by_a_tree_are_those_of_the_search():
    points = UniformBox.centered(2).sample(4200, seed=0)
    groups = torch.arange(4200) % 2
    u = BrenierPotential(points, torch.zeros(4200))
    for sets in (None, groups):
        by_tree = ExtendedMap.build(
            u, None, 0.0, kind="noise", neighbours=9, groups=sets
        ).neighbours
        wide = BrenierPotential(torch.cat([points, 0 * points], dim=1), torch.zeros(4200))
        searched = ExtendedMap.build(wide, None, 0.0, kind="noise", neighbours=9, groups=sets)
        assert torch.equal(by_tree, searched.neighbours)
