"""Second-order variation: closed forms, invariances, and the networks that reach the minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.theory.sparsity import (
    ShallowNetwork,
    affine_share,
    feature_rank,
    merge_duplicates,
    min_rtv2_interpolant_1d,
    path_norm,
    rtv2,
    rtv2_1d,
)

seeds = given(seed=st.integers(0, 10**6))


def network(seed: int, neurons: int, d: int = 1, outputs: int = 1) -> ShallowNetwork:
    """Return a network with normal entries and an affine skip."""
    rng = generator(seed, Stream.FIT, 0)
    sizes = [(neurons, d), neurons, (neurons, outputs), (outputs, d), outputs]
    return ShallowNetwork.build(*(rng.normal(size=size) for size in sizes))


def with_duplicates(net: ShallowNetwork, seed: int, copies: int) -> ShallowNetwork:
    """Repeat neurons at other lengths, half of them looking the other way."""
    rng = generator(seed, Stream.FIT, 1)
    which = rng.integers(len(net.bias), size=copies)
    factor = rng.lognormal(size=copies) * np.where(rng.random(copies) < 0.5, -1, 1)
    w = np.concatenate([net.incoming, factor[:, None] * net.incoming[which]])
    b = np.concatenate([net.bias, factor * net.bias[which]])
    v = np.concatenate([net.outgoing, rng.normal(size=(copies, net.outgoing.shape[1]))])
    return ShallowNetwork.build(w, b, v, net.skip, net.offset)


def total_variation_of_slope(net: ShallowNetwork) -> float:
    """Sum the jumps of f' over all intervals between kinks, by evaluating f alone."""
    kinks = np.unique((-net.bias / net.incoming[:, 0])[net.incoming[:, 0] != 0])
    kinks = kinks[np.concatenate([[True], np.diff(kinks) > 1e-7])]
    edges = np.concatenate([[kinks[0] - 1], kinks, [kinks[-1] + 1]])
    inside = (edges[:-1] + edges[1:]) / 2
    step = np.diff(edges) / 8
    slopes = (net((inside + step)[:, None]) - net((inside - step)[:, None]))[:, 0] / (2 * step)
    return float(np.abs(np.diff(slopes)).sum())


# -- the value -------------------------------------------------------------------------------------


@seeds
def test_in_one_dimension_it_is_the_total_variation_of_the_slope(seed):
    net = with_duplicates(network(seed, 6), seed, 2)
    assert rtv2(net) == pytest.approx(total_variation_of_slope(net), rel=1e-5)


@seeds
def test_path_norm_bounds_it_and_merging_closes_the_gap(seed):
    rng = generator(seed, Stream.FIT, 2)
    net = with_duplicates(network(seed, 7, d=3, outputs=2), seed, 5)
    x = rng.normal(size=(50, 3))
    merged = merge_duplicates(net)
    assert merged.neurons == 7
    assert np.abs(merged(x) - net(x)).max() < 1e-11
    assert np.linalg.norm(merged.incoming, axis=1) == pytest.approx(1.0, rel=1e-12)
    assert rtv2(net) == pytest.approx(float(merged.unit_norms().sum()), rel=1e-12)
    assert rtv2(net) <= net.unit_norms().sum()
    assert rtv2(net) <= rtv2(net, out_norm=1) <= np.sqrt(2) * rtv2(net) * (1 + 1e-12)
    distinct = network(seed, 7, d=3)
    assert rtv2(distinct) == pytest.approx(float(distinct.unit_norms().sum()), rel=1e-12)


@seeds
def test_it_is_invariant_under_rigid_motions_and_affine_functions(seed):
    rng = generator(seed, Stream.FIT, 3)
    net = with_duplicates(network(seed, 8, d=3), seed, 3)
    turn, shift = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(size=3)
    moved = ShallowNetwork.build(
        net.incoming @ turn.T,
        net.bias - net.incoming @ turn.T @ shift,
        net.outgoing,
        rng.normal(size=(1, 3)),
        rng.normal(size=1),
    )
    assert rtv2(moved) == pytest.approx(rtv2(net), rel=1e-9)
    scaled = ShallowNetwork.build(2 * net.incoming, 2 * net.bias, net.outgoing / 2)
    assert rtv2(scaled) == pytest.approx(rtv2(net), rel=1e-9)
    assert affine_share(net.__call__, rng.normal(size=(40, 3))) < 1


def test_flipped_duplicates_cost_less_than_their_path_norm():
    z = ShallowNetwork.build([[1.0], [-1.0]], [0.0, 0.0], [[1.0], [-1.0]])  # max(x,0) - max(-x,0)
    assert float(z.unit_norms().sum()) == 2.0
    assert rtv2(z) == 0.0
    identity = merge_duplicates(z)
    assert (identity.neurons, identity.skip.tolist()) == (0, [[1.0]])
    assert affine_share(z, np.linspace(-1, 1, 9)[:, None]) == pytest.approx(1.0)


def test_kinks_outside_a_ball_cost_nothing_there():
    net = network(3, 30, d=2)
    far = np.abs(net.bias) / np.linalg.norm(net.incoming, axis=1) >= 0.5
    assert 0 < far.sum() < 30
    inside = merge_duplicates(net, radius=0.5)
    assert inside.neurons == 30 - far.sum()
    assert rtv2(net, radius=0.5) == pytest.approx(net.unit_norms()[~far].sum())
    x = generator(0, Stream.FIT, 4).normal(size=(200, 2))
    x *= 0.5 * generator(0, Stream.FIT, 5).random((200, 1)) / np.linalg.norm(x, axis=1)[:, None]
    assert np.abs(inside(x) - net(x)).max() < 1e-12
    with pytest.raises(ValueError, match="radius must be a positive number"):
        rtv2(net, radius=0.0)
    with pytest.raises(ValueError, match="out_norm must be 1 or 2, got 3"):
        rtv2(net, out_norm=3)


def test_neurons_without_input_are_constants_and_silent_ones_vanish():
    net = ShallowNetwork.build(
        [[0.0], [0.0], [1.0], [2.0]], [2.0, -3.0, 0.5, 1.0], [[3.0], [5.0], [0.0], [1.0]]
    )
    merged = merge_duplicates(net)
    assert (merged.neurons, merged.offset.tolist(), rtv2(net)) == (1, [6.0], 2.0)


# -- models ----------------------------------------------------------------------------------------


def test_models_and_arrays_are_the_same_function():
    net = network(1, 9, d=2, outputs=3)
    x = generator(1, Stream.FIT, 6).normal(size=(30, 2))
    model = net.to_module()
    assert np.abs(model(torch.from_numpy(x)).detach().numpy() - net(x)).max() < 1e-12
    again = ShallowNetwork.from_module(model)
    assert np.abs(again(x) - net(x)).max() < 1e-12
    assert path_norm(model.curved) == pytest.approx(net.unit_norms().sum())
    assert rtv2(model) == pytest.approx(rtv2(net))


def test_leaky_rectifiers_are_read_as_a_kink_and_a_linear_part():
    model = nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(0.3), nn.Linear(5, 1, bias=False)).double()
    x = generator(1, Stream.FIT, 7).normal(size=(30, 2))
    net = ShallowNetwork.from_module(model)
    assert np.abs(net(x) - model(torch.from_numpy(x)).detach().numpy()).max() < 1e-12
    assert rtv2(model) == pytest.approx(0.7 * path_norm(model))


def test_other_models_and_shapes_are_refused():
    deep = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="must have one layer of kinks, got 2; measure deeper"):
        rtv2(deep)
    with pytest.raises(ValueError, match=r"must have the shapes .* that fit incoming"):
        ShallowNetwork.build([[1.0]], [0.0, 1.0], [[1.0]])
    with pytest.raises(DataError, match="outgoing must be finite"):
        ShallowNetwork.build([[1.0]], [0.0], [[np.nan]])


# -- least variation on a line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "value"),
    [([0, 1, 0], 2), ([0, 1, 0, 1], 4), ([0, 0, 1, 3, 6], 3), ([1, 2, 3], 0), ([1, 5], 0)],
)
def test_golden_values_of_the_least_variation(y, value):
    x = np.arange(len(y))
    assert rtv2_1d(x, y) == pytest.approx(value)
    for sparsest in (False, True):
        net = min_rtv2_interpolant_1d(x, y, sparsest=sparsest)
        assert net(x[:, None])[:, 0] == pytest.approx(np.array(y, dtype=float), abs=1e-12)
        assert rtv2(net) == pytest.approx(value, abs=1e-12)


def test_the_tent_needs_one_neuron():
    tent = min_rtv2_interpolant_1d([0, 1, 2], [0, 1, 0])
    assert (tent.neurons, rtv2(tent)) == (1, 2.0)


def shapes(draw_signs, rng):
    """Return points whose kinks have given signs."""
    x = np.cumsum(0.3 + rng.random(len(draw_signs) + 2))
    slopes = np.concatenate(
        [[0.5], 0.5 + np.cumsum(np.array(draw_signs) * (0.2 + rng.random(len(draw_signs))))]
    )
    return x, np.concatenate([[1.0], 1.0 + np.cumsum(slopes * np.diff(x))])


@given(signs=st.lists(st.sampled_from([-1, 0, 1]), max_size=12), seed=st.integers(0, 10**6))
def test_the_sparsest_interpolant_halves_every_run_of_kinks(signs, seed):
    x, y = shapes(signs, generator(seed, Stream.FIT, 8))
    runs = [
        len(run)
        for sign in "+-"
        for run in "".join("-0+"[s + 1] for s in signs)
        .replace("-" if sign == "+" else "+", "0")
        .split("0")
        if run
    ]
    few, broken = (min_rtv2_interpolant_1d(x, y, sparsest=s) for s in (True, False))
    assert few.neurons == sum((run + 1) // 2 for run in runs)
    assert broken.neurons == sum(runs) <= len(x) - 2
    for net in (few, broken):
        assert net(x[:, None])[:, 0] == pytest.approx(y, rel=1e-9, abs=1e-9)
        assert rtv2(net) == pytest.approx(rtv2_1d(x, y), rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 10**6), n=st.integers(3, 9))
def test_no_interpolating_network_has_less_variation(seed, n):
    rng = generator(seed, Stream.FIT, 9)
    x = np.sort(rng.random(n)) + 0.01 * np.arange(n)
    hidden = network(seed, 12)
    y = hidden(x[:, None])[:, 0]  # this network interpolates its own values
    assert rtv2_1d(x, y) <= rtv2(hidden) * (1 + 1e-9)


def test_order_of_points_does_not_matter_and_bad_points_are_refused():
    assert rtv2_1d([2, 0, 1], [0, 0, 1]) == 2.0
    with pytest.raises(DataError, match="x must be distinct places, got 1 twice"):
        rtv2_1d([0, 1, 1], [0, 1, 2])
    with pytest.raises(DataError, match="x must have at least 2 rows"):
        min_rtv2_interpolant_1d([0], [0])
    with pytest.raises(DataError, match="x and y must have the same number of rows"):
        rtv2_1d([0, 1], [0, 1, 2])


def test_ranks_of_features_and_the_affine_part_of_a_model():
    rng = generator(0, Stream.FIT, 10)
    assert feature_rank(rng.normal(size=(30, 4)) @ rng.normal(size=(4, 9))) == 4
    assert feature_rank(np.zeros((3, 2))) == 0
    x = rng.normal(size=(200, 3))
    assert affine_share(nn.Linear(3, 2), x) == pytest.approx(1.0)
    assert affine_share(lambda p: np.abs(p[:, 0]), x) < 0.1
    assert affine_share(lambda p: np.ones(len(p)), x) == 1.0
