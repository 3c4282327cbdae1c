"""Known mixtures and curves: chi laws, distances that geometry gives."""

import numpy as np
import pytest

from ot_latent import DataError
from ot_latent.metrics.known import distance_to_curve, nearest_modes, off_mode_rate
from ot_latent.metrics.manifolds import ArchimedeanSpiral


def test_fresh_points_lie_off_as_often_as_the_chi_law_says():
    angles = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rng = np.random.default_rng(0)
    modes = rng.integers(8, size=100_000)
    points = centres[modes] + 0.02 * rng.standard_normal((100_000, 2))
    verdict = nearest_modes(points=points, centres=centres, deviation=0.02)
    assert (verdict.modes == modes).all()
    for reach in (1.0, 2.0, 3.0):
        rate = off_mode_rate(points=points, centres=centres, deviation=0.02, reach=reach)
        assert rate == pytest.approx(np.exp(-(reach**2) / 2), rel=0.1)
    between = (centres[:1] + centres[1:2]) / 2
    assert off_mode_rate(points=between, centres=centres, deviation=0.02) == 1.0


def test_distance_to_segments_by_geometry():
    bend = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]
    points = [[1.0, 0.5], [-3.0, 4.0], [2.5, 1.0], [5.0, 6.0], [2.0, 0.0]]
    assert distance_to_curve(points, bend).tolist() == pytest.approx([0.5, 5.0, 0.5, 5.0, 0.0])
    lifted = np.pad(np.array(points), ((0, 0), (0, 1)), constant_values=1.0)
    flat = np.pad(np.array(bend), ((0, 0), (0, 1)))
    assert distance_to_curve(lifted, flat)[0] == pytest.approx(np.sqrt(1.25))


def test_the_nearest_of_two_curves_counts_and_chunks_change_nothing(monkeypatch):
    from ot_latent.metrics import known

    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, size=(300, 2))
    lines = [rng.uniform(-1, 1, size=(20, 2)), rng.uniform(-1, 1, size=(9, 2))]
    oracle = np.minimum(*(distance_to_curve(points, line) for line in lines))
    monkeypatch.setattr(known, "_CHUNK", 100)
    assert distance_to_curve(points, lines) == pytest.approx(oracle, rel=1e-12)


def test_a_fine_polygon_has_the_distance_of_its_smooth_curve():
    spiral = ArchimedeanSpiral(ambient=2)
    t = np.linspace(spiral.first, spiral.last, 4000)
    vertices = spiral.surface(t[:, None]) @ spiral.frame.T
    points = spiral.sample(500, seed=0, noise=0.05).points
    assert distance_to_curve(points, vertices) == pytest.approx(spiral.distance(points), abs=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="deviation must be a positive number"):
        nearest_modes(points=[[0.0]], centres=[[0.0]], deviation=0.0)
    with pytest.raises(ValueError, match="reach must be a positive number"):
        off_mode_rate(points=[[0.0]], centres=[[0.0]], deviation=1.0, reach=-1.0)
    with pytest.raises(DataError, match="curve must have 2 columns"):
        distance_to_curve([[0.0, 0.0]], [[0.0], [1.0]])
    with pytest.raises(DataError, match="curve must have at least 2 rows"):
        distance_to_curve([[0.0, 0.0]], [[0.0, 1.0]])
