"""Theorems of the singular set: tears are gaps in the codes, in any units, exact or from draws."""

import math

import numpy as np
import pytest
import torch

from ot_latent._random import Stream
from ot_latent.transport import (
    BrenierPotential,
    DampedNewton,
    DiscreteMeasure,
    PowerDiagram,
    StochasticNewton,
    UniformBall,
    UniformBox,
    detect_singular_set,
)
from ot_latent.transport.intervals import wilson
from ot_latent.transport.neighbours import (
    dihedral_angle,
    local_spacing,
    neighbour_table,
    relative_jump,
    sides,
)
from ot_latent.transport.surroundings import surrounding_jumps

UNIT = UniformBox.unit(2)


def split_codes(n=600, d=2, gap=3.0, seed=0):
    """Uniform codes on the unit box, those on the right moved away by a gap."""
    codes = UniformBox.unit(d).sample(n, seed=seed, stream=Stream.FIT)
    codes[codes[:, 0] > 0.4, 0] += gap
    return codes


def line(n):
    """The potential on [0, 1] whose n equal cells go to 0, 1, ..., n - 1."""
    y = torch.arange(float(n), dtype=torch.float64)
    return BrenierPotential(y[:, None], -y * (y - 1) / (2 * n) - y / n)


@pytest.fixture(scope="module")
def split():
    codes = split_codes()
    return codes, DampedNewton().solve(UNIT, DiscreteMeasure.uniform(codes))


def test_a_gap_tears_the_square_from_bottom_to_top(split):
    codes, solution = split
    found = detect_singular_set(solution, UNIT)
    across = (codes[found.pairs, 0] > 2).sum(dim=1) == 1
    assert found.exact
    assert torch.equal(found.torn, across)
    # the gap is horizontal: torn facets are nearly vertical and span the square
    assert found.measures[found.torn].sum() == pytest.approx(1.0, abs=0.1)
    assert torch.equal(found.sides() == found.sides()[0], (codes[:, 0] > 2) == (codes[0, 0] > 2))
    assert "torn" in repr(found)


def test_facets_are_those_of_the_diagram(split):
    _, solution = split
    facets = PowerDiagram(UNIT, solution.potential).facets
    found = detect_singular_set(solution.state.diagram, samples=0)
    assert torch.equal(found.pairs, facets.pairs)
    torch.testing.assert_close(found.measures, facets.measures)
    assert math.isnan(found.share)


def test_no_gap_no_tear():
    codes = UNIT.sample(500, seed=1)
    found = detect_singular_set(DampedNewton().solve(UNIT, DiscreteMeasure.uniform(codes)), UNIT)
    assert int(found.torn.sum()) == 0
    assert found.share == 0.0
    assert int(found.sides().max()) == 0


@pytest.mark.parametrize("criterion", ["spacing", "surroundings"])
def test_strays_in_the_gap_hide_the_tear_from_spacings_alone(criterion):
    codes = split_codes()
    strays = torch.linspace(0.7, 2.7, 12).double()[:, None] * torch.tensor([1.0, 0.0])
    strays[:, 1] = torch.linspace(0.02, 0.98, 12)[torch.arange(12) * 5 % 12]
    codes = torch.cat([codes, strays])
    solution = DampedNewton().solve(UNIT, DiscreteMeasure.uniform(codes))
    found = detect_singular_set(solution.state.diagram, samples=0, criterion=criterion)
    gap = (codes[found.pairs, 0] > 3).sum(dim=1) == 1  # from or over the gap to the right side
    torn = float(found.measures[found.torn & gap].sum() / found.measures[gap].sum())
    assert (torn > 0.9) == (criterion == "surroundings")
    beside = (codes[found.pairs, 0] < 0.4).all(dim=1) | (codes[found.pairs, 0] > 3).all(dim=1)
    assert float(found.measures[found.torn & beside].sum()) < 0.2


def test_surroundings_do_not_see_units(split):
    codes, solution = split
    found = detect_singular_set(solution, UNIT, samples=0, criterion="surroundings")
    across = (codes[found.pairs, 0] > 2).sum(dim=1) == 1
    assert found.torn[across].all()
    assert float(found.measures[found.torn & ~across].sum()) < 0.2
    for labels in (None, (codes[:, 0] > 2).long()):
        one = detect_singular_set(
            solution, UNIT, samples=0, criterion="surroundings", labels=labels
        )
        turn, _ = torch.linalg.qr(UNIT.sample(2, seed=9))
        u = BrenierPotential(100 * codes @ turn + 7, 100 * solution.potential.heights)
        spacing = surrounding_jumps(100 * one.jumps, one.pairs, len(codes))
        torch.testing.assert_close(
            relative_jump(u.points, one.pairs, spacing)[1],
            detect_singular_set(solution, UNIT, samples=0, criterion="surroundings").relative_jumps,
        )
        assert one.torn[across].all()
    drawn = detect_singular_set(
        solution.potential, UniformBall(2, 0.5), criterion="surroundings", samples=2**14
    )
    across = (codes[drawn.pairs, 0] > 2).sum(dim=1) == 1
    assert drawn.torn[across].double().mean() > 0.95


def test_tears_do_not_see_units_but_angles_do(split):
    codes, solution = split
    turn, _ = torch.linalg.qr(UNIT.sample(2, seed=9))
    moved = BrenierPotential(
        100 * codes @ turn + 7, 100 * (solution.potential.heights)
    )  # another map, the same codes up to a similarity
    pairs = detect_singular_set(solution, UNIT).pairs
    spacings = [local_spacing(p, neighbour_table(p, 6)) for p in (codes, moved.points)]
    ratios = [
        relative_jump(p, pairs, s)[1] for p, s in zip((codes, moved.points), spacings, strict=True)
    ]
    torch.testing.assert_close(*ratios)
    angles = [dihedral_angle(*p[pairs].unbind(1)) for p in (codes, moved.points)]
    assert not torch.allclose(*angles, rtol=0.1)


def test_angle_of_the_paper():
    """By hand: between (1, 0, -1) and (0, 1, -1) the cosine is 1/2."""
    angle = dihedral_angle(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert angle.item() == pytest.approx(math.pi / 3, abs=1e-6)
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    u = BrenierPotential(codes, torch.zeros(3))
    found = detect_singular_set(u, UniformBox.centered(2), angle=1.0)
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(
        found.angles, [math.pi / 4, math.atan(3), math.acos(1 / math.sqrt(20))]
    )
    assert found.torn.tolist() == [False, True, True]


@pytest.mark.parametrize("n", [4, 10])
def test_share_near_one_tear_of_the_line(n):
    """Half of the two middle cells has the tear as its nearest facet: 1/n of the noise."""
    labels = torch.arange(n) >= n // 2
    found = detect_singular_set(line(n), UniformBox.unit(1), labels=labels.long())
    assert found.pairs[found.torn].tolist() == [[n // 2 - 1, n // 2]]
    low, high = found.share_interval
    assert low < 1 / n < high
    assert high - low < 0.01
    assert found.measures.sum() == found.samples == 2**16


def test_draws_find_the_facets_that_the_diagram_has(split):
    codes, solution = split
    exact = detect_singular_set(solution, UNIT)
    # a ball around the square has no diagram: inside the square the facets are the same
    ball = UniformBall(2, 0.5)
    shifted = BrenierPotential(
        solution.potential.points, solution.potential(torch.full((1, 2), 0.5)) * 0
        + solution.potential.heights + solution.potential.points @ torch.full((2,), 0.5).double()
    )  # fmt: skip
    found = detect_singular_set(shifted, ball)
    assert not found.exact
    known = set(map(tuple, exact.pairs.tolist()))
    met = found.pairs[found.measures > 20].tolist()
    assert len(met) > 500
    assert sum(tuple(pair) in known for pair in met) > 0.99 * len(met)
    across = (codes[found.pairs, 0] > 2).sum(dim=1) == 1
    assert torch.equal(found.torn, across)


def test_tears_in_eight_dimensions():
    source = UniformBox.centered(8)
    codes = split_codes(400, 8, gap=8.0).to(torch.float32)
    solution = StochasticNewton(tolerance=0.2, seed=0).solve(source, DiscreteMeasure.uniform(codes))
    found = detect_singular_set(solution, source, samples=4096, cells=3)
    points = solution.potential.points
    across = (points[found.pairs, 0] > 4).sum(dim=1) == 1
    assert torch.equal(found.torn, across)
    assert 0 < found.share_interval[0] < found.share < found.share_interval[1]
    side = sides(points, neighbour_table(points, 30), 3.0)
    assert torch.equal(side == side[0], (points[:, 0] > 4) == (points[0, 0] > 4))


def test_crumbs_join_the_nearest_side_of_their_group():
    y = torch.cat([torch.arange(10.0), 50 + torch.arange(10.0), torch.tensor([30.0, 31.0])])
    table = neighbour_table(y[:, None], 4)
    side = sides(y[:, None], table, 0.9)
    assert side[20] == side[21] == side[19]
    groups = torch.tensor([0] * 10 + [1] * 10 + [0] * 2)
    side = sides(y[:, None], neighbour_table(y[:, None], 4, groups), 0.9, groups)
    assert side[20] == side[21] == side[0]


def test_one_cell_has_no_facets():
    u = BrenierPotential(torch.zeros(1, 2), torch.zeros(1))
    for source in (UNIT, UniformBall(2)):
        found = detect_singular_set(u, source)
        assert found.pairs.shape == (0, 2)
        assert found.share == 0.0
        assert found.sides().tolist() == [0]


def test_wilson_covers():
    """Over all outcomes of 40 draws at share 0.1 the interval covers about 95 %."""
    covered = sum(
        math.comb(40, k) * 0.1**k * 0.9 ** (40 - k)
        for k in range(41)
        if wilson(k, 40)[1][0] <= 0.1 <= wilson(k, 40)[1][1]
    )
    assert 0.93 < covered < 0.98


def test_refusals():
    u = line(3)
    with pytest.raises(ValueError, match="transport must be a PowerDiagram"):
        detect_singular_set(u)
    with pytest.raises(ValueError, match="samples must be positive"):
        detect_singular_set(u, UniformBox.unit(1), samples=0)
    with pytest.raises(ValueError, match="tear must be"):
        detect_singular_set(u, UniformBox.unit(1), tear=0.0)
    with pytest.raises(ValueError, match="criterion must be one of spacing, surroundings, got 'x'"):
        detect_singular_set(u, UniformBox.unit(1), criterion="x")
    with pytest.raises(ValueError, match="angle must be"):
        detect_singular_set(u, UniformBox.unit(1), angle=-1.0)
