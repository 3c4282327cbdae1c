"""Known manifolds: on the surface, uniform, and at the distance that brute force finds."""

import numpy as np
import pytest

from ot_latent.metrics.manifolds import (
    KNOWN_MANIFOLDS,
    KnownManifold,
    SphereWithHole,
    SwissRoll,
    TorusPatch,
)

each = pytest.mark.parametrize("name", list(KNOWN_MANIFOLDS))


@each
def test_clean_points_lie_on_it_and_noisy_ones_at_the_noise_level(name):
    manifold = KNOWN_MANIFOLDS[name]()
    sample = manifold.sample(3000, seed=1, noise=0.02)
    assert sample.points.shape == (3000, 50)
    assert manifold.distance(sample.clean).max() < 1e-7
    distance = manifold.distance(sample.points)
    level = 0.02 * np.sqrt(50 - manifold.dimension)
    assert np.sqrt((distance**2).mean()) == pytest.approx(level, rel=0.02)
    assert (distance <= np.linalg.norm(sample.points - sample.clean, axis=1) + 1e-12).all()


@each
def test_distance_equals_brute_force_far_from_the_surface_too(name):
    manifold = KNOWN_MANIFOLDS[name](ambient=4)
    points = np.random.default_rng(0).uniform(-1.6, 1.6, (200, 4))
    dense = manifold.surface(manifold.parameters(_fine_grid(manifold.dimension)))
    if name == "sphere_with_hole":  # the rim itself, which the grid by area only nears
        turn = np.linspace(0, 2 * np.pi, 2000)
        rim = np.stack([np.full(2000, np.cos(manifold.opening)), turn], axis=1)
        dense = np.concatenate([dense, manifold.surface(rim)])
    own = points @ manifold.frame
    off = np.linalg.norm(points - own @ manifold.frame.T, axis=1)
    brute = np.array([np.linalg.norm(dense - p, axis=1).min() for p in own])
    found = manifold.distance(points)
    brute = np.hypot(brute, off)
    assert (found <= brute + 1e-9).all()
    assert found == pytest.approx(brute, abs=6e-3)


def _fine_grid(dimension):
    line = np.linspace(0, 1, 300 if dimension == 2 else 20_000)
    if dimension == 1:
        return np.stack([line, line], axis=1)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def test_the_centre_of_the_sphere_is_one_away_and_the_hole_has_a_rim():
    sphere = SphereWithHole(ambient=3, opening=np.pi / 2)
    top = np.array([[0.0, 0.0, 1.0]]) @ sphere.frame.T
    assert sphere.distance(top * 0)[0] == pytest.approx(1.0)
    assert sphere.distance(top)[0] == pytest.approx(np.sqrt(2))
    assert sphere.distance(-2 * top)[0] == pytest.approx(1.0)


@each
def test_the_placement_is_an_isometry_and_does_not_depend_on_the_draw(name):
    manifold = KNOWN_MANIFOLDS[name]()
    assert manifold.frame.T @ manifold.frame == pytest.approx(np.eye(manifold.own_dimension))
    assert np.array_equal(manifold.frame, KNOWN_MANIFOLDS[name]().frame)
    assert not np.allclose(manifold.frame, KNOWN_MANIFOLDS[name](isometry_seed=1).frame)


@each
def test_rows_depend_on_seed_and_number_alone(name):
    manifold = KNOWN_MANIFOLDS[name]()
    whole = manifold.sample(1500, seed=3, noise=0.1)
    part = manifold.sample(100, seed=3, noise=0.1, start=1000)
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a[1000:1100], b)
    assert not np.array_equal(whole.points, manifold.sample(1500, seed=4, noise=0.1).points)


@pytest.mark.parametrize("manifold", [SwissRoll(), TorusPatch(), SphereWithHole()])
def test_points_are_uniform_by_area(manifold):
    # each cell of a grid in parameter space holds its share of the area, found by differences
    sample = manifold.sample(40_000, seed=0).parameters
    edges = [np.linspace(c.min(), c.max(), 9) for c in sample.T]
    counts = np.histogram2d(*sample.T, bins=edges)[0]
    fine = [np.linspace(e[0], e[-1], 161) for e in edges]
    u, v = np.meshgrid(*[(f[1:] + f[:-1]) / 2 for f in fine], indexing="ij")
    at = np.stack([u.ravel(), v.ravel()], axis=1)
    h = 1e-6
    du, dv = (
        (manifold.surface(at + step) - manifold.surface(at - step)) / (2 * h)
        for step in h * np.eye(2)
    )
    area = np.linalg.norm(np.cross(du, dv), axis=1).reshape(8, 20, 8, 20).sum((1, 3))
    assert counts / counts.sum() == pytest.approx(area / area.sum(), rel=0.2)


def test_refusals():
    with pytest.raises(ValueError, match="ambient must be at least 3, got 2"):
        SwissRoll(ambient=2)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        SwissRoll().sample(0, seed=0)
    with pytest.raises(ValueError, match="points must have 50 columns, got 3"):
        SwissRoll().distance(np.zeros((1, 3)))


def test_the_common_face_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        KnownManifold()
