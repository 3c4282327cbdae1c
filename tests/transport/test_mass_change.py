"""Heights for other masses: what a change asks for is moved, and what was known stays."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport import DiscreteMeasure, StochasticNewton, UniformBox
from ot_latent.transport.mass_change import _rivals, _solved, _told, heights_for_masses
from ot_latent.transport.stratified import stratified_noise
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
    assert after**2 < found.mass_error**2 + (0.2 * before) ** 2 + 0.02
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


def test_some_targets_stand_for_all(solved):
    found, old = solved
    new = changed("halved", old)
    moved = heights_for_masses(
        found.potential, BOX, old, new, GROUPS, seed=1, draws=2**13, most=200
    )
    after = rms(found.potential.with_heights(moved.heights.float()), new)
    assert after**2 < found.mass_error**2 + (0.5 * rms(found.potential, new)) ** 2 + 0.01


@pytest.mark.parametrize("kind", ["halved", "nearly removed", "random"])
def test_entropic_masses_are_those_that_were_asked_for(solved, kind):
    """What is solved with the rivals of each draw alone holds for all targets."""
    found, old = solved
    u, x = found.potential, stratified_noise(BOX, 2**12, seed=3, dtype=torch.float32)
    goal = changed(kind, old)
    scores = (x @ u.points.T).double()
    best = (scores + u.heights).topk(2).values
    temperature = float((best[:, 0] - best[:, 1]).quantile(0.1)) / 0.1
    after = _solved(x, u.points, u.heights.double(), goal, temperature)
    before, now = (
        torch.softmax((scores + heights) / temperature, dim=1).mean(dim=0)
        for heights in (u.heights.double(), after)
    )
    assert float(((now - goal).square() / goal).sum().sqrt()) < 0.05
    assert float(((before - goal).square() / goal).sum().sqrt()) > 0.3


def test_groups_have_their_entropic_masses_after_smoothing(solved):
    """On the draws that the change is made of, up to what the solver of shifts leaves."""
    found, old = solved
    u, new, draws = found.potential, changed("nearly removed", old), 2**12
    after = heights_for_masses(u, BOX, old, new, GROUPS, seed=3, draws=draws).heights
    x = stratified_noise(BOX, draws, seed=3, dtype=torch.float32)
    scores = (x @ u.points.T).double()
    best = (scores + u.heights).topk(2).values
    temperature = float((best[:, 0] - best[:, 1]).quantile(0.1)) / 0.1
    before, now = (
        _rivals(x, u.points, heights, temperature).masses(heights, temperature)
        for heights in (u.heights.double(), after)
    )
    cells = u.cell_index(x)
    told = _told(cells.bincount(minlength=600), old, GROUPS)
    goal = before * new / told
    shares = torch.stack([part[GROUPS == 1].sum() / part.sum() for part in (now, goal)])
    assert float(shares[0] / shares[1]) == pytest.approx(1, abs=0.06)


def test_a_change_to_and_fro_ends_where_it_began(solved):
    found, old = solved
    new = changed("halved", old)
    there = heights_for_masses(found.potential, BOX, old, new, GROUPS, seed=4, draws=2**13)
    u = found.potential.with_heights(there.heights.float())
    back = heights_for_masses(u, BOX, new, old, GROUPS, seed=5, draws=2**13)
    assert rms(found.potential.with_heights(back.heights.float()), old) < 0.15  # of 0.34
