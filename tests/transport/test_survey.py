"""The survey: unbiased, with intervals that hold, and the same sums however they are cut."""

import math

import numpy as np
import pytest
import torch

from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.survey import chi_square, survey_cells


def test_chi_square_is_unbiased_and_its_interval_covers():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(50, 5.0))
    masses = rng.dirichlet(200 * weights)  # a wrong solve
    truth = float(((masses - weights) ** 2 / weights).sum())
    nu = torch.from_numpy(weights)
    found = [chi_square(torch.from_numpy(rng.multinomial(400, masses)), nu) for _ in range(2000)]
    estimates, deviations = np.array(found).T
    spread = estimates.std()
    assert abs(estimates.mean() - truth) < 4 * spread / math.sqrt(2000)
    assert deviations.mean() == pytest.approx(spread, rel=0.1)
    covered = np.abs(estimates - truth) < 1.96 * deviations
    assert 0.92 < covered.mean() < 0.98


def test_chi_square_of_a_perfect_solve_centres_on_zero():
    rng = np.random.default_rng(1)
    nu = torch.full((300,), 1 / 300, dtype=torch.float64)
    found = [
        chi_square(torch.from_numpy(rng.multinomial(900, nu.numpy())), nu)[0] for _ in range(800)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(800)
    assert np.std(found) == pytest.approx(math.sqrt(2 * 299) / 900, rel=0.15)


def test_too_few_draws_say_nothing():
    assert chi_square(torch.tensor([1, 1]), torch.tensor([0.5, 0.5])) == (math.inf, math.inf)


def halves():
    """Cells of two targets that split the unit square at x = 1/4."""
    return BrenierPotential([[0.25, 0.5], [0.75, 0.5]], [0.0625, -0.0625])


def test_masses_centroids_cost_and_spread_of_two_half_boxes():
    survey = survey_cells(halves(), UniformBox.unit(2), 400_000, seed=0)
    expected = torch.tensor([0.25, 0.75], dtype=torch.float64)
    torch.testing.assert_close(survey.masses(), expected, atol=3e-3, rtol=0)
    centroids = survey.centroids(torch.zeros(2, 2, dtype=torch.float64))
    expected = torch.tensor([[0.125, 0.5], [0.625, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(centroids, expected, atol=4e-3, rtol=0)
    cost, (low, high) = survey.cost()
    assert low < 13 / 96 < high  # half of it is 13/192, the closed form of this problem
    assert cost == pytest.approx(13 / 96, abs=1e-3)
    inside = (0.25 * 0.25**2 / 12 + 0.75 * 0.75**2 / 12 + 1 / 12) / 2
    assert survey.within_scale() == pytest.approx(math.sqrt(inside), rel=5e-3)


def test_pieces_add_up_to_the_whole():
    source = UniformBox.unit(2)
    whole = survey_cells(halves(), source, 30_000, seed=0)
    first = survey_cells(halves(), source, 12_345, seed=0)
    both = first.merged(survey_cells(halves(), source, 30_000 - 12_345, seed=0, start=12_345))
    assert torch.equal(both.counts, whole.counts)
    assert torch.equal(both.sums, whole.sums)
    assert (both.square_sum, both.cost_sums) == (whole.square_sum, whole.cost_sums)


def test_cells_without_draws_fall_back():
    potential = BrenierPotential([[0.0], [1.0]], [0.0, -50.0])
    survey = survey_cells(potential, UniformBox.unit(1), 10, seed=0)
    assert survey.centroids(torch.full((2, 1), 9.0)).tolist()[1] == [9.0]
    alone = survey_cells(potential, UniformBox.unit(1), 1, seed=0)
    assert alone.within_scale() == 0.0
