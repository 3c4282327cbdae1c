"""Chords along the image of a segment: circles, tents, the law of curvature, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from torch import nn

from ot_latent._validation import DataError
from ot_latent.theory.rectified_linear import line_regions, segment_chords


def circle(t):
    angle = 2 * np.pi * t[:, 0]
    return np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("tolerance", [1e-2, 3e-3, 1e-3])
def test_a_circle_needs_as_many_chords_as_its_sagitta_says(tolerance):
    """1 - cos(pi / n) <= tolerance 2 pi, with chords of whole steps of the grid."""
    found = segment_chords(circle, [0.0], [1.0], tolerance=tolerance)
    exact = math.pi / math.acos(1 - 2 * math.pi * tolerance)
    assert exact <= found.n_chords <= math.ceil(256 / math.floor(256 / exact))
    assert found.length == pytest.approx(2 * math.pi, rel=1e-3)
    assert found.turning == pytest.approx(2 * math.pi, rel=0.01)
    assert found.span == pytest.approx(0.0, abs=1e-12)


def test_the_number_grows_like_the_root_of_the_curvature():
    """About the integral of sqrt(|f''| / 8 eps) for small tolerances: here f'' = 6 t."""
    found = segment_chords(lambda t: t**3, [0.0], [1.0], tolerance=3e-4, steps=400)
    integral = math.sqrt(6 / (8 * 3e-4)) * 2 / 3
    assert found.n_chords == pytest.approx(integral, rel=0.05)
    assert found.turning == 0.0  # a graph in one dimension does not turn


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_a_tent_network_needs_its_pieces(depth):
    """2^L pieces of slope 2^L: none can be spared, and cuts at the breakpoints suffice."""

    def tents(t):
        for _ in range(depth):
            t = 1 - np.abs(1 - 2 * t)
        return t

    found = segment_chords(tents, [0.0], [1.0], tolerance=1e-6)
    assert found.n_chords == 2**depth
    assert found.breakpoints * 2**depth == pytest.approx(np.arange(1, 2**depth))
    assert found.turning == pytest.approx(math.pi * (2**depth - 1))


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([1e-3, 1e-2, 0.1]))
def test_chords_follow_within_the_tolerance_and_are_fewest_of_greedy_and_pieces(seed, tolerance):
    rng = np.random.default_rng(seed)
    weights, offsets, out = (
        rng.standard_normal((3, 9)),
        rng.standard_normal(9),
        rng.standard_normal((9, 4)),
    )

    def function(points):
        return np.maximum(points @ weights + offsets, 0) @ out

    start, end = rng.standard_normal((2, 3)) * 3
    found = segment_chords(function, start, end, tolerance=tolerance, steps=64)
    t = np.linspace(0, 1, 65)
    values = function(start + t[:, None] * (end - start))
    knots = np.concatenate([[0.0], found.breakpoints, [1.0]])
    at = np.round(knots * 64).astype(int)
    chords = np.column_stack([np.interp(t, knots, column[at]) for column in values.T])
    gaps = np.linalg.norm(values - chords, axis=1)
    assert gaps.max() <= tolerance * found.length * (1 + 1e-6) + 1e-12
    assert (
        found.n_chords
        <= segment_chords(function, start, end, tolerance=tolerance / 3, steps=64).n_chords
    )
    net = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 4, bias=False)).double()
    for layer, value in (
        (net[0].weight, weights.T),
        (net[0].bias, offsets),
        (net[2].weight, out.T),
    ):
        layer.data.copy_(layer.new_tensor(value))
    exact = line_regions(net, start, end)
    assert found.length <= exact.length * (1 + 1e-12)  # a polyline inscribed in the image


def test_a_straight_image_needs_one_chord_and_a_constant_has_no_length():
    line = segment_chords(lambda t: 3 * t + 1, [0.0, 1.0], [2.0, 5.0])
    assert (line.n_chords, line.breakpoints.tolist()) == (1, [])
    assert line.length == pytest.approx(line.span)
    assert line.turning == pytest.approx(0.0, abs=1e-6)
    still = segment_chords(np.zeros_like, [0.0], [1.0])
    assert (still.n_chords, still.length, still.turning) == (1, 0.0, 0.0)


def test_wrong_questions_are_refused():
    with pytest.raises(ValueError, match=r"at least 1e-06 and 2, got 1e-09 and 256"):
        segment_chords(circle, [0.0], [1.0], tolerance=1e-9)
    with pytest.raises(ValueError, match="steps must be a positive integer"):
        segment_chords(circle, [0.0], [1.0], steps=0)
    with pytest.raises(DataError, match="equally many coordinates, got 1 and 2"):
        segment_chords(circle, [0.0], [1.0, 2.0])
    with pytest.raises(DataError, match="one row per point, got 1 for 257"):
        segment_chords(lambda t: t[:1], [0.0], [1.0])
    with pytest.raises(DataError, match="value of function must be finite"):
        segment_chords(lambda t: t * np.nan, [0.0], [1.0])
