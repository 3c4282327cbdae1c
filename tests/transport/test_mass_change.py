"""Heights for other masses: what a change asks for is moved, and what was known stays."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport import BrenierPotential, DiscreteMeasure, StochasticNewton, UniformBox
from ot_latent.transport.mass_change import heights_for_masses
from ot_latent.transport.smooth_functions import SmoothFunctions
from ot_latent.transport.survey import survey_cells

BOX = UniformBox.centered(6)
GROUPS = torch.arange(600) % 3


def codes():
    generator = torch.Generator().manual_seed(0)
    means = 2 * torch.randn(3, 6, generator=generator)
    return means[GROUPS] + torch.randn(600, 6, generator=generator)


@pytest.fixture(scope="module")
def solved():
    target = DiscreteMeasure.uniform(codes())
    return StochasticNewton(tolerance=0.08).solve(BOX, target), target.weights


def changed(kind, old):
    factor = torch.ones_like(old)
    if kind == "halved":
        factor[GROUPS == 1] = 0.5
    elif kind == "nearly removed":
        factor[GROUPS == 1] = 0.01
    else:
        generator = torch.Generator().manual_seed(1)
        factor = 0.5 + 1.5 * torch.rand(600, generator=generator).double()
    return old * factor / (old * factor).sum()


def rms(potential, masses):
    return survey_cells(potential, BOX, 2**16, seed=5).mass_error(masses)[0]


@pytest.mark.parametrize("groups", [GROUPS, None], ids=["grouped", "together"])
@pytest.mark.parametrize("kind", ["halved", "nearly removed", "random"])
def test_most_of_a_change_is_made_at_once(solved, kind, groups):
    found, old = solved
    new = changed(kind, old)
    moved = heights_for_masses(found.potential, BOX, old, new, groups, seed=1, draws=2**13)
    after = rms(found.potential.with_heights(moved.heights.float()), new)
    before = rms(found.potential, new)
    # what the old heights lacked stays; of the change a small share is left
    left = 0.2 if groups is not None or kind == "random" else 0.8  # a jump is no smooth function
    assert after**2 < found.mass_error**2 + (left * before) ** 2 + 0.02
    assert moved.draws == 2**13
    assert abs(float(moved.heights.mean())) < 1e-9


def test_masses_that_stay_leave_the_heights(solved):
    found, old = solved
    moved = heights_for_masses(found.potential, BOX, old, old.clone(), GROUPS, seed=1)
    assert torch.equal(moved.heights, found.potential.heights.double())
    assert moved.draws == 0


def test_groups_have_their_masses(solved):
    found, old = solved
    new = changed("halved", old)
    moved = heights_for_masses(found.potential, BOX, old, new, GROUPS, seed=2, draws=2**14)
    u = found.potential.with_heights(moved.heights.float())
    masses = survey_cells(u, BOX, 2**16, seed=6).masses()
    for group in range(3):
        own = group == GROUPS
        assert float(masses[own].sum()) == pytest.approx(float(new[own].sum()), abs=0.01)


def test_a_change_by_quadratic_functions_is_made_to_the_draws_accuracy():
    """On the line a half of the targets at half their mass shrinks all its borders alike.

    Heights are sums of borders, so each half moves by a quadratic function of its targets.
    """
    y, halves = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None], torch.arange(50) // 25
    old = torch.full((50,), 0.02, dtype=torch.float64)
    new = torch.where(halves == 0, 0.5, 1.0).double() / 37.5
    before, after = (masses.cumsum(0)[:-1] for masses in (old, new))
    steps = y.diff(dim=0)[:, 0]
    u = BrenierPotential(y, torch.cat([torch.zeros(1), -(steps * before).cumsum(0)]))
    moved = heights_for_masses(u, UniformBox.unit(1), old, new, halves, seed=0, draws=2**13)
    borders = -moved.heights.diff() / steps
    assert float((before - after).abs().max()) > 0.16
    assert float((borders - after).abs().max()) < 0.003


# -- the functions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("draws", [2**6, 2**9, 2**13])
def test_sums_over_targets_are_adjoint_to_values(draws):
    response, masses = torch.randn(600).double(), torch.rand(600).double()
    smooth = SmoothFunctions.of(codes(), GROUPS, masses / masses.sum(), response, draws)
    theta, residual = torch.randn(smooth.count).double(), torch.randn(600).double()
    torch.testing.assert_close(residual @ smooth(theta), smooth.projected(residual) @ theta)
    rows = smooth.rows(torch.arange(600))
    torch.testing.assert_close(smooth.moments(masses), rows.T @ (rows * masses[:, None]))
    # constants and response; with more draws coordinates, then products
    assert smooth.count == {2**6: 6, 2**9: 24, 2**13: 87}[draws]
    for group in range(3):
        own = smooth.places[group]
        assert (rows[group != GROUPS][:, own[own < smooth.count]] == 0).all()
    # all but the constants have mean zero within their group
    others = torch.ones(smooth.count, dtype=torch.bool)
    others[smooth.places[:, 0]] = False
    assert (masses @ rows[:, others]).abs().max() < 1e-12


def test_few_targets_have_few_functions():
    groups = torch.cat([torch.zeros(595), torch.ones(5)]).long()
    masses = torch.full((600,), 1 / 600).double()
    smooth = SmoothFunctions.of(codes(), groups, masses, torch.zeros(600).double(), 2**16)
    assert (smooth.places[1] < smooth.count).sum() == 1
    assert smooth.count == 1 + 1 + 6 + 21
    wide = torch.randn(3000, 60).float()
    many = [torch.arange(3000) % k for k in (1, 10, 30)]
    masses = torch.full((3000,), 1 / 3000).double()
    counts = [
        SmoothFunctions.of(wide, g, masses, torch.zeros(3000).double(), 2**20).count for g in many
    ]
    assert counts == [61, 610, 30]
