"""Starting heights: a Gaussian coupling of the right marginals and information; good for real targets."""

import math

import numpy as np
import pytest
import torch

from ot_latent.transport import warm_start
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Gaussian, UniformBox
from ot_latent.transport.survey import survey_cells
from ot_latent.transport.warm_start import gaussian_heights, voronoi_heights


def error(source, target, heights, draws=40_000):
    survey = survey_cells(BrenierPotential(target.points, heights), source, draws, seed=0)
    return survey.mass_error(target.weights)[0]


def blobs(n, d, seed=7):
    rng = np.random.default_rng(seed)
    centres = 0.2 + 0.6 * rng.random((10, d))
    return centres[rng.integers(10, size=n)] + 0.1 * rng.standard_normal((n, d))


def bures_heights(source, target):
    """Heights of the optimal map between the Gaussians of the same moments (isotropic source)."""
    values, vectors = torch.linalg.eigh(target.covariance())
    z = (target.points.double() - target.mean()) @ vectors
    scale = float(source.covariance[0, 0]) ** 0.5
    linear = (target.points.double() - target.mean()) @ source.mean
    return -0.5 * scale * (z.square() / values.sqrt()).sum(1) - linear


def test_heights_belong_to_the_coupling_that_carries_the_entropy():
    """Nodes of Gauss and Hermite with their weights have every moment of N(0, 4)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    y, nu = 2 * nodes, weights / weights.sum()
    heights = gaussian_heights(Gaussian.standard(1), DiscreteMeasure(y[:, None], nu)).numpy()
    near = np.abs(nodes) < 3
    columns = np.stack([np.log(nu), -(y**2) / 2, np.ones(60)], axis=1)
    (epsilon, g, _), residual, *_ = np.linalg.lstsq(columns[near], heights[near], rcond=None)
    assert residual < 1e-16
    # N(0, 4) exp((x y - g y^2 / 2) / epsilon) over a function of x that makes x standard normal
    q = 1 / 4 + g / epsilon
    p = 1 + 1 / (epsilon**2 * q)
    covariance = np.linalg.inv([[p, -1 / epsilon], [-1 / epsilon, q]])
    np.testing.assert_allclose(covariance.diagonal(), [1, 4], rtol=1e-6)
    correlation = covariance[0, 1] / 2
    entropy = -(nu * np.log(nu)).sum()
    assert math.isclose(-0.5 * math.log(1 - correlation**2), entropy, rel_tol=1e-6)
    assert 0.95 < 2 * g < 1  # the optimal map between the Gaussians has g = 1 / 2


def test_it_is_the_same_problem_in_other_coordinates():
    rng = np.random.default_rng(3)
    points, mixing = rng.standard_normal((200, 4)), rng.standard_normal((4, 4))
    plain = gaussian_heights(Gaussian.standard(4), DiscreteMeasure.uniform(points))
    source = Gaussian(np.ones(4), mixing @ mixing.T)  # <M x + 1, y> = <x, M^T y> + <1, y>
    target = DiscreteMeasure.uniform(points @ np.linalg.inv(mixing))
    linear = (target.points - target.mean()).sum(1)
    torch.testing.assert_close(gaussian_heights(source, target) + linear, plain)


def test_it_starts_closer_than_the_map_between_the_gaussians():
    target, source = DiscreteMeasure.uniform(blobs(1000, 32)), UniformBox.unit(32)
    found = error(source, target, gaussian_heights(source, target))
    assert found < 0.5
    assert found < error(source, target, bures_heights(source, target)) / 2
    assert found < error(source, target, voronoi_heights(target)) / 2


def test_unequal_masses_are_met_too():
    rng = np.random.default_rng(1)
    target = DiscreteMeasure(blobs(500, 32), rng.dirichlet(np.full(500, 1.0) + 0.5))
    source = UniformBox.unit(32)
    equal = DiscreteMeasure.uniform(target.points)
    found = error(source, target, gaussian_heights(source, target))
    assert found < 0.5
    assert found < error(source, target, gaussian_heights(source, equal)) / 2


def test_a_target_far_outside_does_not_start_below_all_others():
    rng = np.random.default_rng(2)
    points = rng.standard_normal((400, 8))
    points[0] = 40.0
    target, source = DiscreteMeasure.uniform(points), Gaussian.standard(8)
    heights = gaussian_heights(source, target)
    survey = survey_cells(BrenierPotential(target.points, heights), source, 100_000, seed=0)
    assert 0.2 < 400 * float(survey.masses()[0]) < 20
    without = bures_heights(source, target)
    assert float(heights[0]) > float(without[0]) + 500


def test_one_target_has_height_zero():
    target = DiscreteMeasure.uniform([[3.0, 4.0]])
    assert gaussian_heights(UniformBox.unit(2), target).tolist() == [0.0]


def test_many_targets_give_their_covariance_by_some(monkeypatch):
    target, source = DiscreteMeasure.uniform(blobs(3000, 4)), UniformBox.unit(4)
    whole = gaussian_heights(source, target)
    monkeypatch.setattr(warm_start, "MOST_ROWS", 1000)
    some = gaussian_heights(source, target)
    assert not torch.equal(some, whole)
    assert float((some - whole).std()) < 0.1 * float(whole.std())


def test_fewer_targets_than_dimensions_are_enough():
    rng = np.random.default_rng(4)
    target, source = DiscreteMeasure.uniform(rng.standard_normal((40, 64))), Gaussian.standard(64)
    found = error(source, target, gaussian_heights(source, target))
    assert found < 0.3
    assert found < error(source, target, voronoi_heights(target)) / 3


def test_axes_that_hardly_differ_share_a_gain(monkeypatch):
    """Few coordinates are asked for, and heights deviate by no more than was allowed."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(4000, 200, generator=generator, dtype=torch.float64)
    points[:, :3] *= 3  # the other variances differ by the chance of so many draws
    source, target = Gaussian.standard(200), DiscreteMeasure.uniform(points)
    asked = []
    monkeypatch.setattr(warm_start, "_alike", _recorded(warm_start._alike, asked))
    found = gaussian_heights(source, target)
    monkeypatch.setattr(warm_start, "UNFELT", 0.0)
    every = gaussian_heights(source, target)
    values, gains, most, alike = asked[0]
    assert 200 - alike < 20
    assert asked[1][3] == 1
    gap = found - every
    assert 0 < float(gap.std()) < 1.2 * most
    weights = values[:alike].square()
    common = float(weights @ gains[:alike] / weights.sum())
    told = float((weights * (gains[:alike] - common).square()).sum() / 2) ** 0.5
    assert float(gap.std()) == pytest.approx(told, rel=0.2)  # of a Gaussian; these are draws


def _recorded(function, calls):
    """Return a function that notes what it was given and how many it returned."""

    def call(values, gains, most):
        found = function(values, gains, most)
        calls.append((values, gains, most, found[0]))
        return found

    return call
