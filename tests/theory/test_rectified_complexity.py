"""Bounds, the complexity of curves, and whether networks encode them: tables, theorems, counterexamples."""

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
    alternating_strokes,
    arrangement_regions,
    curve_complexity,
    encodes,
    peano_curve,
    region_bounds,
    spiral,
    spiral_turning,
    straighten,
    stroke_limit,
)
from ot_latent.theory.rectified_linear.curves import _arcs, _plane_arcs
from ot_latent.theory.rectified_linear.segments import closest_approach, segment_distances


def net(widths, seed=0):
    rng, parts = np.random.default_rng(seed), []
    for i, o in itertools.pairwise(widths):
        layer = nn.Linear(i, o, dtype=torch.float64)
        layer.weight.data = torch.from_numpy(rng.standard_normal((o, i)))
        layer.bias.data = torch.from_numpy(rng.standard_normal(o))
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


# -- bounds ----------------------------------------------------------------------------------------

TABLE = [
    ((1, 3, 1), 8, 8, 4, 4, 4),
    ((1, 4, 4, 1), 256, 160, 25, 25, 20),
    ((2, 4, 1), 16, 22, 11, 11, 11),
    ((2, 4, 4, 1), 256, 352, 121, 121, 44),
    ((2, 8, 8, 1), 65536, 18944, 1369, 1369, 592),
    ((3, 6, 6, 1), 4096, 5376, 1764, 1764, 336),
    ((3, 3, 3, 3, 1), 512, 1024, 512, 211, 8),
    ((4, 8, 8, 1), 65536, 83456, 26569, 26569, 2608),
]


@pytest.mark.parametrize(("widths", "patterns", "lei", "montufar", "serra", "lower"), TABLE)
def test_the_table_of_bounds(widths, patterns, lei, montufar, serra, lower):
    bounds = region_bounds(widths)
    assert (bounds.patterns, bounds.lei, bounds.montufar) == (patterns, lei, montufar)
    assert (bounds.serra, bounds.lower) == (serra, lower)
    assert bounds.best == min(patterns, serra)
    assert bounds.lei_hidden * arrangement_regions(widths[-2], widths[-1]) == lei
    assert f"{serra:>20}   <- best" in str(bounds)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=5))
def test_bounds_are_ordered(widths):
    """Serra <= Montufar <= input dimension; lower <= Serra; one input and n > 1 give prod (n + 1)."""
    bounds = region_bounds(widths)
    assert bounds.serra <= bounds.montufar <= bounds.input_dimension
    assert bounds.montufar <= bounds.lei_hidden <= bounds.lei
    assert bounds.lower is None or bounds.lower <= bounds.best
    line = region_bounds([1, *(n + 1 for n in widths[1:])])
    assert line.serra == np.prod([n + 2 for n in widths[1:-1]], dtype=int)


def test_bounds_that_do_not_apply():
    leaky = region_bounds(nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(), nn.Linear(3, 1)))
    assert leaky.serra is None
    assert leaky.best == leaky.montufar == 7

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return x + torch.relu(self.layer(x))

    skip = region_bounds(read_network(Skip(), (2,)))
    assert skip.lei is skip.montufar is skip.serra is None
    assert skip.best == 4
    assert "does not apply" in str(skip)
    assert "about 10^" in str(region_bounds((4, 100, 100, 1)))
    assert region_bounds((3, 2, 1)).lower is None
    assert region_bounds((3, 2)).best == 1
    with pytest.raises(ValueError, match="at least 2 positive integers"):
        region_bounds((3,))


# -- curves ----------------------------------------------------------------------------------------


def circle(n):
    t = np.linspace(0, 2 * np.pi, n + 1)
    return np.column_stack([np.cos(t), np.sin(t)])


@pytest.mark.parametrize("n", [7, 64, 401])
def test_a_circle_needs_two_closed_arcs(n):
    assert curve_complexity(circle(n)).value == 2


@given(turns=st.floats(0.3, 6.0), start=st.floats(0.05, 0.9))
@settings(max_examples=20)
def test_a_spiral_needs_its_turning_over_pi(turns, start):
    """ceil(turning / pi) arcs for curves; a fine polyline needs the same up to one at the edge."""
    exact = spiral_turning(turns, start=start) / np.pi
    found = curve_complexity(spiral(turns, 4000, start=start)).value
    assert found in {np.ceil(exact), np.ceil(exact - 0.02)}


def test_turning_is_the_integral():
    points = spiral(2.5, 100_001, start=0.3)
    angle = np.unwrap(np.arctan2(*np.diff(points, axis=0).T[::-1]))
    assert spiral_turning(2.5, start=0.3) == pytest.approx(angle[-1] - angle[0], abs=1e-3)


@pytest.mark.parametrize("order", range(5))
def test_peano_curves(order):
    """A walk over all cells of a grid without repetition; 4^(n+1) units, so more arcs than that."""
    points, side = peano_curve(order), 2 ** (order + 2)
    assert len(np.unique(points, axis=0)) == side**2
    assert np.abs(np.diff(points, axis=0)).sum(axis=1) == pytest.approx(
        np.full(side**2 - 1, 1 / side)
    )
    for unit in points.reshape(-1, 4, 2)[:: max(1, 4**order // 4)]:
        assert curve_complexity(unit).value == 2  # a unit is not rectifiable
    assert curve_complexity(points).value > 4 ** (order + 1)
    assert alternating_strokes(points) == side


@given(seed=st.integers(0, 10**6), n=st.integers(1, 9))
@settings(max_examples=8)
def test_greedy_arcs_are_fewest(seed, n):
    """Against the definition: the best division over all of them, arcs tested by the LP."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n, 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    fewest = [0] + [n] * n
    for stop in range(1, n + 1):
        for start in range(stop):
            if len(_arcs(directions[start:stop])) == 1:
                fewest[stop] = min(fewest[stop], fewest[start] + 1)
    assert len(_arcs(directions)) == len(_plane_arcs(directions)) == fewest[n]


def test_curves_in_space():
    """A helix advances along its axis: one arc, however often it winds; its shadow needs many."""
    t = np.linspace(0, 8 * np.pi, 400)
    helix = np.column_stack([np.cos(t), np.sin(t), 0.3 * t])
    assert curve_complexity(helix).value == 1
    assert curve_complexity(helix * [1, 1, 0]).value == curve_complexity(helix[:, :2]).value == 8


def test_repeated_points_are_left_out():
    line = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert curve_complexity(line).starts == (1, 4)
    with pytest.raises(DataError, match="two distinct points"):
        curve_complexity(np.zeros((3, 2)))


# -- encoding --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), turns=st.floats(0.2, 2.0), n=st.integers(3, 16))
@settings(max_examples=30)
def test_the_theorem_holds(seed, turns, n):
    """Whoever is injective on a curve runs through at least as many pieces as the curve demands."""
    got = encodes(net((2, n, 1), seed), spiral(turns, 60))
    assert got.pieces >= got.demanded or not got.injective
    assert got.injective == (len(got.folds) == 0)
    assert np.isnan(got.separation)


def polyhedral_norm(sides):
    """The greatest of linear functions: a norm whose ball has `sides` sides, as a ReLU network."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            t = 2 * np.pi * torch.arange(sides, dtype=torch.float64) / sides
            self.register_buffer("directions", torch.stack([t.cos(), t.sin()]))

        def forward(self, x):
            return nn.functional.max_pool1d((x @ self.directions).unsqueeze(1), sides).flatten(1)

    return read_network(Norm(), (2,))


def test_a_norm_with_enough_sides_encodes_a_spiral():
    """|x| grows along the spiral; a polygon's norm does if it is round enough: many pieces."""
    curve = spiral(1.5, 400)
    good, bad = encodes(polyhedral_norm(48), curve), encodes(polyhedral_norm(6), curve)
    assert good.injective
    assert good.pieces >= good.demanded == 4
    assert not bad.injective
    turned = np.linalg.norm(bad.folds, axis=1)
    assert 0.2 < turned.min() < turned.max() <= 1.0


def test_closed_curves_and_planes():
    """A circle cannot be encoded by a line; the identity encodes it; |x| folds the plane."""
    identity = read_network(nn.Identity(), (2,))
    assert encodes(identity, circle(30)[:-1], closed=True).injective
    assert not encodes(net((2, 8, 1)), circle(30)[:-1], closed=True).injective
    eight = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    crossed = encodes(identity, eight)
    assert not crossed.injective
    assert crossed.separation == pytest.approx(0.0, abs=1e-12)
    assert len(crossed.folds) == 0
    back = encodes(identity, [[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    assert back.folds.tolist() == [[2.0, 0.0]]


class Fold(nn.Module):
    """(x, y) to (|x|, y)."""

    def forward(self, x):
        return torch.cat([torch.abs(x[:, :1]), x[:, 1:2]], dim=1)


def test_surfaces():
    """Of a graph over [-1, 1]^2 the projection is injective; folded at x = 0, half is turned over."""
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 7), indexing="ij")
    surface = np.stack([x, y, np.sin(3 * x)], axis=-1)
    flat = nn.Linear(3, 2, bias=False)
    flat.weight.data = torch.eye(3)[:2]
    good, bad = encodes(flat, surface), encodes(read_network(Fold(), (3,)), surface)
    assert good.injective
    assert good.folded_share == 0
    assert bad.folded_share == pytest.approx(0.5)
    assert not bad.injective
    assert bad.folded[:4].all() != bad.folded[4:].all()
    # locally injective, but the ends of the strip lie on one another
    t = np.linspace(0, 2.3 * np.pi, 40)
    ring = np.stack([np.outer(np.cos(t), [1, 2]), np.outer(np.sin(t), [1, 2])], axis=-1)
    wound = encodes(read_network(nn.Identity(), (2,)), ring)
    assert wound.folded_share == 0
    assert not wound.injective


def test_strokes_bound_every_network():
    """No network 2-4-1 (limit 10) encodes C_2 (16 strokes); comb and limit meet in one unit."""
    assert stroke_limit((2, 4, 1)) == 10 < alternating_strokes(peano_curve(2))
    assert stroke_limit(net((2, 3, 5, 1))) == 2 * 4 * 6
    with pytest.raises(ValueError, match="must be a chain"):
        stroke_limit(polyhedral_norm(5))
    with pytest.raises(DataError, match="in the plane"):
        alternating_strokes(np.zeros((4, 3)))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_no_random_network_encodes_more_strokes_than_its_limit(seed):
    assert not encodes(net((2, 4, 1), seed), peano_curve(2) * 4 - 2).injective


def test_training_straightens_what_can_be_straightened():
    """Half a turn is encoded, and the seed decides; beyond the bound nothing helps."""
    curve = spiral(0.5, 200)
    nets = [straighten(curve, (6,), seed=1, steps=300) for _ in range(2)]
    assert encodes(nets[0], curve).injective
    assert torch.equal(nets[0][1].weight, nets[1][1].weight)
    failed = encodes(straighten(peano_curve(2), (6,), steps=50), peano_curve(2))
    assert not failed.injective
    with pytest.raises(DataError, match="two distinct points, got none"):
        straighten(np.ones((3, 2)))
    with pytest.raises(ValueError, match="hidden must be a positive integer"):
        straighten(curve, (0,))
    with pytest.raises(ValueError, match="steps must be a positive integer"):
        straighten(curve, steps=0)


# -- segments --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), d=st.integers(1, 4))
def test_distances_of_segments(seed, d):
    """Against a fine search over both parameters."""
    a, u, b, v = np.random.default_rng(seed).standard_normal((4, d))
    s = np.linspace(0, 1, 101)
    gap = (a + s[:, None] * u)[:, None] - (b + s[:, None] * v)[None]
    found = np.linalg.norm(gap, axis=-1).min()
    exact = float(segment_distances(a, u, b, v))
    assert exact <= found + 1e-12
    assert found - exact <= 0.01 * (np.linalg.norm(u) + np.linalg.norm(v))


def test_degenerate_segments():
    assert closest_approach(np.array([[0.0], [1.0]])) == float("inf")
    zero = np.zeros(2)
    assert float(segment_distances(zero, zero, np.array([3.0, 4.0]), zero)) == 5.0


def test_refusals():
    with pytest.raises(ValueError, match="positive integer"):
        peano_curve(-1)
    with pytest.raises(ValueError, match="turns must be a positive number"):
        spiral(0.0)
    with pytest.raises(DataError, match="must be a polyline"):
        encodes(net((2, 3, 1)), np.zeros((2, 2, 2, 2)))
    with pytest.raises(DataError, match="to the plane, got 1 outputs"):
        encodes(net((3, 3, 1)), np.zeros((3, 3, 3)))
