"""Exact pieces: golden counts, areas, Euler's formula, and three algorithms that must agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from ot_latent._validation import DataError
from ot_latent.theory.networks import read_network
from ot_latent.theory.rectified_linear import (
    arrangement_regions,
    enumerate_regions,
    line_regions,
    linear_pieces,
    path_regions,
    region_bounds,
    slice_regions,
    trajectory_length,
)

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def dense(widths, seed=0, bias=0.5, kink=nn.ReLU):
    """The recipe of the golden values: W ~ N(0, 2 / fan_in), b ~ N(0, bias^2), layer by layer."""
    rng, parts = np.random.default_rng(seed), []
    for i, o in itertools.pairwise(widths):
        layer = nn.Linear(i, o, dtype=torch.float64)
        layer.weight.data = torch.from_numpy(rng.standard_normal((o, i)) * np.sqrt(2 / i))
        layer.bias.data = torch.from_numpy(rng.standard_normal(o) * bias)
        parts += [layer, kink()]
    return nn.Sequential(*parts[:-1])


def convolutional(seed=0):
    """A decoder with convolutions, a skip connection and max-pooling, from 2 numbers to 2 x 4 x 4."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return x + torch.relu(self.conv(x))

    net = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)), nn.LeakyReLU(0.2), Block())
    net.extend([nn.Upsample(scale_factor=2), nn.Conv2d(3, 2, 3, padding=1), nn.MaxPool2d(2, 1)])
    net = net.double()
    rng = np.random.default_rng(seed)
    for p in net.parameters():
        p.data = torch.from_numpy(rng.standard_normal(p.shape) * 0.5)
    return net


def cells_of(patterns):
    return {p.tobytes() for p in np.asarray(patterns, dtype=bool)}


# -- golden values ---------------------------------------------------------------------------------

GOLDEN = [
    ((2, 8, 1), 0, 37, 37),
    ((2, 8, 8, 1), 0, 105, 105),
    ((2, 8, 8, 1), 1, 109, 108),
    ((2, 8, 8, 1), 2, 166, 163),
    ((2, 8, 8, 1), 3, 164, 164),
    ((2, 16, 16, 1), 0, 430, 430),
    ((2, 10, 10, 10, 1), 0, 384, 384),
    ((2, 4, 4, 4, 1), 0, 36, 36),
    ((2, 4, 4, 4, 1), 1, 38, 36),
]


@pytest.mark.parametrize(("widths", "seed", "cells", "pieces"), GOLDEN)
def test_golden_counts_by_two_algorithms(widths, seed, cells, pieces):
    net = dense(widths, seed)
    plane = slice_regions(net, polygon=10 * SQUARE)
    whole = list(enumerate_regions(net, 10.0))
    assert (len(plane), len(plane.linear_pieces())) == (cells, pieces)
    assert (len(whole), len(linear_pieces(whole))) == (cells, pieces)
    assert cells_of(plane.patterns) == cells_of([r.pattern for r in whole])
    assert len(cells_of(plane.patterns)) == cells <= region_bounds(widths).best


@pytest.mark.parametrize(
    ("widths", "serra"),
    [
        ((2, 8, 1), 37),
        ((2, 8, 8, 1), 1369),
        ((2, 16, 16, 1), 18_769),
        ((2, 10, 10, 10, 1), 175_616),
        ((3, 6, 6, 1), 1764),
        ((3, 7, 1), 64),
    ],
)
def test_bounds_of_the_golden_networks(widths, serra):
    assert region_bounds(widths).best == serra


@pytest.mark.parametrize(
    ("widths", "cells"), [((2, 32, 32, 1), 1893), ((2, 64, 64, 64, 1), 15_251)]
)
def test_golden_counts_of_larger_slices(widths, cells):
    """About N^2 / 2 for N units, whatever the depth: half of the largest number in the plane."""
    assert len(slice_regions(dense(widths), polygon=10 * SQUARE)) == cells
    assert 0.8 < cells / (sum(widths[1:-1]) ** 2 / 2) < 1


@pytest.mark.parametrize(
    ("widths", "bias", "box", "cells"),
    [((3, 6, 6, 1), 0.5, 10.0, 210), ((3, 7, 1), 0.5, 1e4, 64), ((3, 6, 1), 0.0, 1.0, 32)],
)
def test_golden_counts_in_space(widths, bias, box, cells):
    assert len(list(enumerate_regions(dense(widths, bias=bias), box))) == cells


def test_general_position():
    """D1, D2: generic hyperplanes in a large box, and central ones, cut as Zaslavsky counts."""
    net = dense((2, 8, 1))
    assert len(slice_regions(net, polygon=1e4 * SQUARE)) == arrangement_regions(2, 8) == 37
    assert arrangement_regions(3, 7) == 64
    assert arrangement_regions(3, 6, central=True) == 32
    central = dense((2, 7, 1), bias=0.0)
    assert len(slice_regions(central)) == arrangement_regions(2, 7, central=True) == 14


def test_golden_line():
    """15 intervals; two million samples see the same patterns."""
    net = dense((2, 8, 8, 1))
    parts = line_regions(net, (-10, -7.3), (10, 9.1))
    assert parts.n_cells == parts.n_pieces == 15
    t = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:, None]
    x = torch.tensor([[-10, -7.3]]) * (1 - t) + torch.tensor([[10, 9.1]]) * t
    first = net[1](net[0](x.double()))
    seen = torch.cat([first > 0, net[2](first) > 0], dim=1)
    assert 1 + int((seen[1:] != seen[:-1]).any(dim=1).sum()) == 15


@pytest.mark.parametrize(
    ("widths", "mean"),
    [
        ((1, 20, 1), 20.5),
        ((1, 10, 10, 1), 20.2),
        ((1, 5, 5, 5, 5, 1), 17.8),
        ((1, 40, 1), 40.1),
        ((1, 20, 20, 1), 39.5),
    ],
)
def test_pieces_along_a_line_grow_with_the_units(widths, mean):
    """The tabulated means over 200 seeds, about one piece per unit, from fewer seeds."""
    found = [line_regions(dense(widths, seed), [-10.0], [10.0]).n_pieces for seed in range(50)]
    assert np.mean(found) == pytest.approx(mean, abs=4 * np.std(found) / 50**0.5 + 0.1)


@pytest.mark.parametrize("depth", range(1, 8))
def test_tent_network_has_two_to_the_depth_pieces(depth):
    """D3: the L-fold composition of the tent map on [0, 1]."""
    parts = []
    for layer in range(depth):
        rows = [[2.0, -4.0]] * 2 if layer else [[1.0]] * 2
        linear = nn.Linear(len(rows[0]), 2)
        linear.weight.data, linear.bias.data = torch.tensor(rows), torch.tensor([0.0, -0.5])
        parts += [linear, nn.ReLU()]
    last = nn.Linear(2, 1, bias=False)
    last.weight.data = torch.tensor([[2.0, -4.0]])
    pieces = line_regions(nn.Sequential(*parts, last), [0.0], [1.0])
    assert pieces.n_pieces == 2**depth
    assert pieces.length == pytest.approx(2**depth)  # up and down 2^L times, by 1 each
    assert np.diff(pieces.values().ravel()) == pytest.approx([1.0, -1.0] * 2 ** (depth - 1))


class Nothing(nn.Module):
    """relu(w x + b) - relu(w x + b)."""

    def __init__(self, inputs) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 1)

    def forward(self, x):
        return torch.relu(self.layer(x)) - torch.relu(self.layer(x))


def test_cells_are_not_pieces():
    """The definitional test: two activation cells, one linear piece, by all three algorithms."""
    net = read_network(Nothing(2))
    line = line_regions(net, -np.ones(2) * 9, np.ones(2) * 9)
    plane, whole = slice_regions(net, polygon=9 * SQUARE), list(enumerate_regions(net, 9.0))
    assert (line.n_cells, line.n_pieces) == (2, 1)
    assert (len(plane), len(plane.linear_pieces())) == (2, 1)
    assert (len(whole), len(linear_pieces(whole))) == (2, 1)


# -- identities ------------------------------------------------------------------------------------

WIDTHS = st.lists(st.integers(1, 9), min_size=1, max_size=3)
KINKS = st.sampled_from([nn.ReLU, lambda: nn.LeakyReLU(0.3), nn.PReLU])


@given(hidden=WIDTHS, seed=st.integers(0, 10**6), kink=KINKS)
def test_slices_tile_their_domain_and_obey_euler(hidden, seed, kink):
    """Areas add up; patterns are distinct; F = E - V + 1; counts are below the best bound."""
    net = dense((2, *hidden, 2), seed, kink=kink)
    plane = slice_regions(net, polygon=4 * SQUARE)
    assert plane.areas.sum() == pytest.approx(64.0, rel=1e-12)
    assert (plane.areas > 0).all()
    assert len(cells_of(plane.patterns)) == len(plane)
    vertices = np.unique(np.round(plane.corners, 7), axis=0)
    middles = np.unique(np.round(plane.edges.mean(axis=1), 7), axis=0)
    assert len(plane) == len(middles) - len(vertices) + 1
    assert len(plane.linear_pieces()) <= len(plane) <= region_bounds(net).best


@settings(max_examples=15)
@given(hidden=WIDTHS, seed=st.integers(0, 10**6))
def test_the_affine_maps_are_the_network(hidden, seed):
    """On cells, on parts of a path and in a box: the map equals the network inside, the signs too."""
    net = dense((2, *hidden, 3), seed)
    network = read_network(net)
    plane = slice_regions(net, [0.3, -0.2], [[1.0, 0.5], [0.1, 2.0]], 3 * SQUARE)
    inside = np.stack([cell.polygon.mean(axis=0) for cell in plane])
    got = np.stack([c.linear @ u + c.offset for c, u in zip(plane, inside, strict=True)])
    assert got == pytest.approx(network(plane.embed(inside)).numpy(), abs=1e-10)
    path = path_regions(net, np.random.default_rng(seed).standard_normal((4, 2)) * 5)
    assert path.values() == pytest.approx(network(path.points()).numpy(), abs=1e-10)
    for cell in enumerate_regions(net, 3.0):
        x = cell.interior_point
        assert cell.linear @ x + cell.offset == pytest.approx(network(x[None])[0].numpy())
        assert (cell.halfspaces[:, :-1] @ x + cell.halfspaces[:, -1] < 0).all()
        at = cell.corners @ cell.halfspaces[:, :-1].T + cell.halfspaces[:, -1]
        assert at.max() < 1e-9


@settings(max_examples=25)
@given(hidden=WIDTHS, seed=st.integers(0, 10**6))
def test_a_line_meets_the_cells_of_the_plane(hidden, seed):
    """Along a segment one runs through exactly those cells of the plane that contain it."""
    net = dense((2, *hidden, 1), seed)
    ends = np.random.default_rng(seed).uniform(-1, 1, (2, 2))
    line = line_regions(net, *ends)
    across = cells_of([line.pattern(i) for i in range(len(line))])
    assert across <= cells_of(slice_regions(net).patterns)
    assert len(across) == line.n_cells == len(line)  # cells are convex: none is met twice


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_cells_fill_a_cube(seed):
    """In three dimensions: volumes (by hulls) add up, and every slice sees cells of the cube."""
    from scipy.spatial import ConvexHull

    net = dense((3, 4, 3, 1), seed)
    cells = list(enumerate_regions(net, 2.0))
    assert sum(ConvexHull(c.corners).volume for c in cells) == pytest.approx(64.0, rel=1e-9)
    assert len(cells) <= region_bounds(net).best
    plane = slice_regions(net, [0, 0, 0.5], [[1, 0, 0], [0, 1, 0]], 2 * SQUARE)
    assert cells_of(plane.patterns) <= cells_of([c.pattern for c in cells])


def test_convolutions_skips_and_maxima(rng):
    """A decoder of images: slices and paths carry the exact function, and see the same cells."""
    network = read_network(convolutional(), (2,))
    plane = slice_regions(network, polygon=3 * SQUARE)
    assert plane.areas.sum() == pytest.approx(36.0)
    assert plane.images() == pytest.approx(
        network(plane.embed(plane.corners)).flatten(1).numpy(), abs=1e-10
    )
    path = path_regions(network, rng.uniform(-3, 3, (5, 2)))
    assert path.values() == pytest.approx(network(path.points()).flatten(1).numpy(), abs=1e-10)
    seen = cells_of([path.pattern(i) for i in range(len(path))])
    assert seen <= cells_of(plane.patterns)


def test_fronts_in_groups_give_the_same(monkeypatch):
    """Pushing few pieces at a time, depth first, changes neither pieces nor their order."""
    net = dense((2, 12, 12, 2))
    path = np.random.default_rng(0).standard_normal((9, 2)) * 3
    whole = path_regions(net, path), slice_regions(net)
    monkeypatch.setattr("ot_latent.theory.rectified_linear.pushing.BUDGET", 120)
    parts = path_regions(net, path), slice_regions(net)
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a.patterns, b.patterns)
    assert whole[0].low == pytest.approx(parts[0].low, abs=1e-13)
    assert whole[1].corners == pytest.approx(parts[1].corners, abs=1e-13)


def test_equal_units_are_cut_once():
    """A layer with every unit twice has the cells of the layer with every unit once."""
    once = dense((2, 6, 1))
    twice = dense((2, 12, 1))
    twice[0].weight.data = once[0].weight.data.repeat(2, 1) * torch.tensor(
        [[1.0]] * 6 + [[3.0]] * 6
    )
    twice[0].bias.data = once[0].bias.data.repeat(2) * torch.tensor([1.0] * 6 + [3.0] * 6)
    for net in (once, twice):
        assert len(slice_regions(net, polygon=10 * SQUARE)) == len(
            slice_regions(once, polygon=10 * SQUARE)
        )
        assert len(list(enumerate_regions(net, 10.0))) == len(list(enumerate_regions(once, 10.0)))
    assert (
        line_regions(twice, [-9, -9], [9, 8]).n_cells
        == line_regions(once, [-9, -9], [9, 8]).n_cells
    )


def test_polylines_and_their_length():
    """The identity keeps lengths; doubling doubles them; corners inside one cell are no pieces."""
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = 2 * torch.eye(2)
    path = [[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]
    assert trajectory_length(net, path) == pytest.approx(18.0)
    parts = path_regions(net, path)
    assert (len(parts), parts.n_cells, parts.n_pieces) == (2, 1, 1)
    assert parts.path_length == pytest.approx(9.0)
    assert parts.breakpoints.tolist() == []


def test_a_region_is_a_record():
    plane = slice_regions(dense((2, 5, 1)))
    assert len(plane[:2]) == 2
    assert np.array_equal(plane[-1].polygon, list(plane)[-1].polygon)
    with pytest.raises(IndexError):
        plane[len(plane)]


def test_the_first_regions_come_without_the_rest():
    found = enumerate_regions(dense((4, 40, 40, 1)), 5.0, max_regions=3)
    assert len(list(found)) == 3


# -- refusals --------------------------------------------------------------------------------------


def test_refusals():
    net = dense((2, 3, 1))
    with pytest.raises(ValueError, match="must have 2 coordinates for this network, got 3"):
        line_regions(net, [0, 0, 0], [1, 1, 1])
    with pytest.raises(DataError, match="equally many coordinates, got 2 and 1"):
        line_regions(net, [0, 0], [1])
    with pytest.raises(DataError, match="at least 2 corners, got 1"):
        path_regions(net, [[0, 0]])
    with pytest.raises(DataError, match="basis must be given in 3 dimensions"):
        slice_regions(dense((3, 3, 1)))
    with pytest.raises(DataError, match="of rank 1"):
        slice_regions(net, [0, 0], [[1, 1], [2, 2]])
    with pytest.raises(DataError, match="polygon must be convex"):
        slice_regions(net, polygon=[[0, 0], [2, 0], [0.5, 0.5], [0, 2]])
    with pytest.raises(DataError, match="polygon must be convex"):
        slice_regions(net, polygon=SQUARE[[0, 1, 2, 3, 0, 1, 2, 3]] + 0.0)
    with pytest.raises(DataError, match="polygon must be convex"):
        slice_regions(net, polygon=np.ones((3, 3)))
    with pytest.raises(ValueError, match="at most 10 inputs to be enumerated, got 11"):
        enumerate_regions(dense((11, 2, 1)))
    with pytest.raises(DataError, match="box must be a least and a greatest corner"):
        enumerate_regions(net, [[0, 0], [1, 0]])
    with pytest.raises(ValueError, match="max_regions must be a positive integer"):
        enumerate_regions(net, max_regions=0)
    with pytest.raises(DataError, match="at least one cell, got none"):
        linear_pieces([])


@pytest.fixture
def rng():
    return np.random.default_rng(3)
