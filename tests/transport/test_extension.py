"""Theorems of the extended map: its local moments, monotonicity, invariances, and its blocks."""

import math

import pytest
import torch

from ot_latent._random import Stream
from ot_latent.kernels.dispatch import best_scores
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


def two_modes(n=80, d=4, gap=30.0):
    u, centroids = problem(n, d)
    points = u.points.clone()
    points[n // 2 :, 0] += gap
    return BrenierPotential(points, u.heights), centroids


@pytest.mark.parametrize("kind", ["affine", "noise"])
def test_neighbours_stay_on_their_side_of_a_tear(kind):
    u, centroids = two_modes()
    map_ = ExtendedMap.build(u, centroids, 0.4, kind=kind, neighbours=50)
    table = map_.neighbours.long()
    assert (table >= 0).sum(dim=1).tolist() == [40] * 80
    assert ((table < 40) == (torch.arange(80) < 40)[:, None])[table >= 0].all()
    mixed = ExtendedMap.build(u, centroids, 0.4, kind=kind, neighbours=50, tear=math.inf)
    assert (mixed.neighbours >= 0).all()


def test_rejected_rows_keep_their_target_and_draw_again():
    """A spread so large that most rows are rejected at first."""
    u, centroids = problem(n=200)
    wild = ExtendedMap.build(u, centroids, 0.4, neighbours=20, a=1.0, b=2.0, tear=1.0)
    x = UniformBox.centered(4).sample(1500, seed=2)
    cells = wild.cell_index(x)
    codes, attempts = wild.place(x, cells, seed=3)
    assert {-1, 0, 1, 2} <= set(attempts.tolist())
    assert attempts.max() <= 16
    torch.testing.assert_close(codes[attempts == -1], u.points[cells[attempts == -1]])
    # what is kept lies within the spacing of a neighbour
    table = wild.neighbours.long()
    spacing = (u.points[table[:, 5]] - u.points).norm(dim=1)
    nearest = (u.points[table[cells]] - codes[:, None]).norm(dim=2).amin(dim=1)
    assert (nearest <= spacing[cells] * (1 + 1e-9)).all()
    # a row is a function of (seed, row) alone, redraws included
    for rows in (slice(0, 700), slice(1024, 1500)):
        part = wild.place(x[rows], cells[rows], seed=3, start=rows.start)
        assert torch.equal(part.codes, codes[rows])
    assert torch.equal(wild.spread(x, cells, seed=3), codes)
    # given noise is not redrawn: the map is a function of it
    assert torch.equal(wild(x, seed=3), wild(x, seed=4))
    first = attempts == 0
    torch.testing.assert_close(wild(x)[first], codes[first])
    torch.testing.assert_close(wild(x)[~first], u.points[cells[~first]])
    told = wild.report(UniformBox.centered(4))
    assert told.redrawn > 0.1
    assert 0 < told.plain < told.redrawn


def test_the_two_cell_rule_is_the_reference_codes():
    u, centroids = problem(n=30)
    map_ = ExtendedMap.build(u, centroids, 0.4, kind="two-cell", angle=10.0)
    x = UniformBox.centered(4).sample(300, seed=2)
    pair = best_scores(x, u.points, u.heights, 2)[1].sort(dim=1)[0]
    expected = 0.25 * u.points[pair[:, 0]] + 0.75 * u.points[pair[:, 1]]
    torch.testing.assert_close(map_(x), expected)
    strict = ExtendedMap.build(u, centroids, 0.4, kind="two-cell", angle=0.5)
    codes, attempts = strict.place(x, strict.cell_index(x))
    assert (attempts == -1).any()
    assert (attempts > 0).any()
    torch.testing.assert_close(codes[attempts == -1], u.transport(x)[attempts == -1])


@pytest.mark.parametrize("k", [3, 30])  # fewer and more neighbours than dimensions
def test_the_inverse_finds_the_noise_of_a_cell(k):
    u, _ = problem()  # a Voronoi diagram: a point lies in its own cell
    map_ = ExtendedMap.build(u, u.points, 0.4, neighbours=k, tear=math.inf)
    x = UniformBox.centered(4).sample(100, seed=2)
    cells = u.cell_index(x)
    found = map_.inverse(map_(x), cells)
    assert torch.equal(found.cells, cells)
    whole = found.errors < 1e-9
    if k == 30:
        torch.testing.assert_close(found.noise, x)
        assert whole.all()
    else:  # directions are missing: the noise within the neighbours' span is found
        assert (found.noise - u.points[cells]).norm(dim=1).le((x - u.points[cells]).norm(dim=1) + 1e-9).all()  # fmt: skip


def test_the_inverse_lands_in_a_cell_that_it_names():
    """Without a given cell: codes of the map itself come back, foreign ones nearly."""
    u, _ = problem(n=300)
    map_ = ExtendedMap.build(u, u.points, 0.4, neighbours=20, tear=math.inf)
    found = map_.inverse(map_(UniformBox.centered(4).sample(300, seed=2)))
    assert torch.equal(map_.cell_index(found.noise), found.cells)
    assert (found.errors < 1e-6).double().mean() > 0.5
    plain = ExtendedMap.build(u, u.points, 0.4, kind="none").inverse(u.points)
    torch.testing.assert_close(plain.noise, u.points)
    still = ExtendedMap.build(u, u.points, 0.4, b=0.0).inverse(u.points, torch.arange(300))
    torch.testing.assert_close(still.noise, u.points)
    with pytest.raises(ValueError, match="the inverse must be asked of"):
        ExtendedMap.build(u, None, 0.0, kind="noise").inverse(u.points)


def test_the_report_needs_a_scale():
    u, _ = problem()
    noise = ExtendedMap.build(u, None, 0.0, kind="noise")
    with pytest.raises(ValueError, match="step must be"):
        noise.report(UniformBox.centered(4))
    told = noise.report(UniformBox.centered(4), step=0.01, labels=torch.arange(60) % 2)
    assert told.torn > 0.3
    alone = ExtendedMap.build(BrenierPotential(u.points[:1], u.heights[:1]), None, 0.0, kind="none")
    assert alone.report(UniformBox.centered(4), step=0.1).pairs == 0


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
