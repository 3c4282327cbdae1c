"""The extension's numbers come from held-out training codes, can be overridden, and travel with the model."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ot_latent import OTSampler
from ot_latent.calibration.judge import balanced, pooled, splits, within
from ot_latent.calibration.local import calibrate_local, nearest_inside, width_of_table
from ot_latent.calibration.pieces import compact_pieces, whitening
from ot_latent.calibration.record import OPEN, Calibration, Candidate, Fixed
from ot_latent.calibration.simplex import calibrate_simplex
from ot_latent.metrics import copy_rate, novelty_ratio, precision_recall
from ot_latent.transport import BrenierPotential, ExtendedMap, UniformBox
from ot_latent.transport.neighbours import TearRule, neighbour_table


def modes(n, d, count, seed, gap=10.0):
    """Normal modes on a line, `gap` deviations apart."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(n, d))
    codes[:, 0] += gap * rng.integers(count, size=n)
    return torch.from_numpy(codes)


def calibrated(points, fixed=OPEN, groups=None, seed=0):
    table = neighbour_table(points, width_of_table(len(points), fixed), groups)
    rng = np.random.default_rng(1)
    residuals = torch.from_numpy(rng.uniform(-1, 1, (4096, points.shape[1])) * math.sqrt(3))
    cells = torch.from_numpy(rng.permutation(4096) % len(points))
    found = calibrate_local(
        points, table, cells, residuals, groups=groups, fixed=fixed, seed=seed
    )  # fmt: skip
    return found, residuals


def made(points, best, residuals, groups=None):
    """New codes of the chosen law around atoms drawn evenly."""
    u = BrenierPotential(points, torch.zeros(len(points)))
    map_ = ExtendedMap.build(
        u, points, 1.0, a=best.a, b=best.b, tear=best.tear, neighbours=best.neighbours, groups=groups
    )  # fmt: skip
    atoms = torch.arange(len(residuals)) % len(points)
    return map_.local_law(atoms, residuals), atoms


def test_the_choice_is_right_on_codes_that_it_never_saw():
    points, fresh = modes(1500, 8, 3, 0), modes(2048, 8, 3, 9)
    found, residuals = calibrated(points)
    codes, _ = made(points, found.chosen, residuals[:2048])
    others = modes(2048, 8, 3, 10)
    real = precision_recall(real=fresh, generated=others)
    ours = precision_recall(real=fresh, generated=codes)
    assert ours.precision > real.precision - 0.06
    assert ours.recall > real.recall - 0.06
    assert novelty_ratio(train=points, holdout=fresh, generated=codes) > 0.87
    mode = lambda z: (z[:, 0] / 10).round().long()  # noqa: E731
    ratio = within(codes, mode(codes)) / within(fresh, mode(fresh))
    assert ratio == pytest.approx(1.0, abs=0.06)
    assert found.chosen.score == min(c.score for c in found.candidates)
    assert found.chosen.novelty >= 0.85
    assert (found.fitted, found.held_out, found.splits) == (1200, 1200, 4)


def test_the_map_varies_within_modes_as_much_as_codes_do():
    """Cells are short where codes spread far; residuals of other cells would promise too much."""
    rng = np.random.default_rng(0)
    mode = rng.integers(4, size=1500)
    codes = rng.normal(size=(1500, 8)) * 0.15
    for axis in range(8):
        codes[mode == axis // 2, axis] /= 0.15
    codes[np.arange(1500), mode] += 6.0
    sampler = OTSampler(random_state=0, tolerance=0.2).fit(codes)
    map_, points = sampler.map_, sampler.transport_.potential.points
    x = sampler.source_.sample(8192, seed=3, dtype=points.dtype)
    cells, modes_ = map_.cell_index(x), torch.from_numpy(mode)
    spread = within(map_(x).double(), modes_[cells])
    assert spread / within(points[cells].double(), modes_[cells]) == pytest.approx(1.0, abs=0.02)
    pooled = map_.spread(map_.centroids[cells] + (x - map_.centroids[cells]).roll(1, 0), cells)
    assert within(pooled.double(), modes_[cells]) > 1.03 * spread


def test_b_balances_the_variance_within_modes():
    rng = np.random.default_rng(0)
    base, local, atoms = (torch.from_numpy(rng.normal(size=(500, 3))) for _ in range(3))
    base = base / 2
    mode = torch.arange(500) % 4
    b = balanced(base, local, atoms, mode)
    assert within(base + b * local, mode) == pytest.approx(within(atoms, mode))
    assert balanced(base, 0 * local, atoms, mode) == 1.0  # nothing to balance with
    assert balanced(3 * base, local, atoms, mode) < 0.1  # too wide already: the least there is
    assert balanced(base, local / 100, atoms, mode) == 3.0  # as far as it goes


@pytest.mark.parametrize(
    "fixed", [Fixed(a=0.4), Fixed(b=0.8), Fixed(neighbours=7), Fixed(tear=2.5)]
)
def test_given_numbers_are_kept(fixed):
    found, _ = calibrated(modes(500, 4, 2, 0), fixed)
    for name, value in fixed._asdict().items():
        if value is not None:
            assert {getattr(c, name) for c in found.candidates} == {value}
    assert len(found.candidates) > 1


def test_modes_smaller_than_the_neighbourhood_are_not_mixed():
    """Ten modes of 45 codes, thirty neighbours asked for: tears or labels must keep them apart."""
    points = modes(450, 4, 10, 0, gap=30.0)
    found, residuals = calibrated(points, Fixed(neighbours=60))
    codes, atoms = made(points, found.chosen, residuals)
    assert math.isfinite(found.chosen.tear)
    assert ((codes[:, 0] - points[atoms, 0]).abs() < 15).all()
    groups = (points[:, 0] / 30).round().long()
    own, _ = calibrated(points, Fixed(tear=math.inf, neighbours=60), groups)
    codes, atoms = made(points, own.chosen, residuals, groups)
    assert ((codes[:, 0] - points[atoms, 0]).abs() < 15).all()


def test_it_repeats_itself_and_survives_json():
    points = modes(400, 3, 2, 0)
    first, _ = calibrated(points)
    assert calibrated(points)[0] == first
    assert calibrated(points, seed=1)[0] != first
    assert Calibration.from_dict(first.to_dict()) == first


def test_distances_to_the_fit():
    points = torch.arange(6.0)[:, None]
    inside = torch.tensor([True, True, False, False, True, False])
    table = neighbour_table(points, 4)
    found = nearest_inside(points, points[[2, 5]], table[[2, 5]], inside)
    assert found.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("d", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_tears_of_simplices_are_found(d):
    points = modes(800, d, 3, 0, gap=25.0)
    weights = torch.full((800,), 1 / 800, dtype=torch.float64)
    found = calibrate_simplex(points, UniformBox.centered(d), weights=weights)
    assert math.isfinite(found.chosen.tear)
    whole = next(c for c in found.candidates if c.tear == math.inf)
    assert whole.precision < found.chosen.precision
    labels = (points[:, 0] / 25).round().long()
    fixed = Fixed(a=0.3, b=0.5, tear=math.inf)
    own = calibrate_simplex(
        points, UniformBox.centered(d), weights=weights, groups=labels, fixed=fixed
    )
    assert (own.chosen.a, own.chosen.b, own.chosen.tear) == (0.3, 0.5, math.inf)
    assert own.chosen.precision > whole.precision


def candidate(a, **figures):
    usual = {
        "b": 1.0,
        "precision": 0.9,
        "recall": 0.9,
        "variance": 1.0,
        "frechet": 0.1,
        "novelty": 1.0,
    }
    return Candidate(a=a, neighbours=30, tear=math.inf, score=9.0, **(usual | figures))


def test_a_choice_goes_by_the_means_over_splits():
    real = candidate(1.0, frechet=0.0, precision=0.8)
    lucky = [candidate(0.0, recall=0.9, variance=2.0), candidate(0.0, recall=0.5, variance=0.5)]
    steady = [candidate(0.7, recall=0.8, b=0.5), candidate(0.7, recall=0.8, b=0.7)]
    each = [
        Calibration(first, (first, second), real, 80, 20)
        for first, second in zip(lucky, steady, strict=True)
    ]
    assert pooled(each[:1]) is each[0]
    found = pooled(each)
    assert (found.chosen.a, found.fitted, found.held_out, found.splits) == (0.7, 80, 40, 2)
    assert found.chosen.b == pytest.approx(0.6)
    first, second = found.candidates
    assert (first.recall, first.variance) == (pytest.approx(0.7), pytest.approx(1.0))
    assert first.score == pytest.approx(0.2 + 0.1)  # recall and Frechet distance
    assert second.score == pytest.approx(0.1 + 0.1)
    new = [
        Calibration(c, (c,), real, 80, 20) for c in (candidate(0.5, novelty=0.8), candidate(0.5))
    ]
    assert pooled(new).chosen.score == pytest.approx(0.1 + 10 * 0.02)


def test_what_chance_cannot_tell_apart_keeps_more_of_the_codes():
    """One candidate is better by .02 on average; its splits scatter by more, or by less."""
    real = candidate(1.0, frechet=0.1)
    for scatter, chosen in ((0.05, 0.7), (0.005, 0.3)):
        outcomes = []
        for sign in (-1, 1, 1, -1):
            pair = candidate(0.3, recall=0.82), candidate(0.7, recall=0.80 + sign * scatter)
            scored = [replace(one, score=0.9 - one.recall) for one in pair]
            outcomes.append(Calibration(scored[0], tuple(scored), real, 80, 20))
        assert pooled(outcomes).chosen.a == chosen


@pytest.mark.parametrize(
    ("count", "times"), [(250, 5), (1000, 5), (1500, 4), (2000, 3), (60000, 1)]
)
def test_few_codes_are_split_often(count, times):
    assert splits(count) == times


@pytest.mark.parametrize("n", [120, 250])
def test_few_codes_are_enough_to_come_near_a_known_map(n):
    """Codes drawn from the source: the map is the identity; a fixed spread of 1.1 leaves .4 of it."""
    box = UniformBox.centered(8)
    points = box.sample(n, seed=5)
    x = box.sample(4096, seed=6)
    sampler = OTSampler(box, random_state=0).fit(points.numpy())
    plain = sampler.transport_.potential.transport(x)
    raw = [
        z.double() * sampler.scale_ + torch.from_numpy(sampler.shift_)
        for z in (plain, sampler.map_(x))
    ]
    near = [(z - x).square().sum(dim=1).mean() for z in raw]
    assert near[1] < (0.25 if n < 200 else 0.16) * near[0]


# -- in the estimator ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flat():
    return OTSampler().fit(modes(600, 2, 3, 0, gap=25.0).numpy())


@pytest.fixture(scope="module")
def deep():
    return OTSampler(tolerance=0.3).fit(modes(500, 6, 3, 0).numpy())


def test_auto_takes_simplices_in_few_dimensions_and_local_laws_above(flat, deep):
    assert flat.rule_.kind == flat.map_.kind == "simplex"
    assert deep.rule_.kind == deep.map_.kind == "affine"
    for sampler in (flat, deep):
        best = sampler.calibration_.chosen
        assert (sampler.map_.a, sampler.map_.tear) == (best.a, best.tear)
        assert sampler.map_.b == pytest.approx(best.b, rel=0.1)  # settled again on all codes
    new = flat.sample(5000, random_state=1)
    assert np.abs(new[:, 0] / 25 - np.rint(new[:, 0] / 25)).max() < 0.25  # nothing between modes


def test_simplices_are_as_new_and_as_wide_as_fresh_codes():
    """Three modes in the plane: little is copied, nothing is lost, nothing falls between."""
    train, fresh, other = (modes(1200, 2, 3, seed, gap=25.0) for seed in range(3))
    sampler = OTSampler().fit(train.numpy())
    new = torch.from_numpy(sampler.sample(8192, random_state=1))
    mode = lambda z: (z[:, 0] / 25).round().long()  # noqa: E731
    assert novelty_ratio(train=train, holdout=fresh, generated=new) > 0.9
    copies = [copy_rate(train=train, holdout=fresh, generated=z) for z in (new, other)]
    assert copies[0] < copies[1] + 0.006
    ratio = (within(new, mode(new)) / len(new)) / (within(train, mode(train)) / len(train))
    assert ratio == pytest.approx(1.0, abs=0.07)
    assert (new - torch.tensor([25.0, 0.0]) * mode(new)[:, None]).norm(dim=1).max() < 5.0


def test_pieces_and_their_units():
    """Pieces of a long curve are short, and in their units codes have unit covariance."""
    t = torch.linspace(0, 6, 400, dtype=torch.float64)
    rng = np.random.default_rng(0)
    curve = torch.stack([t.cos(), t.sin()], dim=1)
    curve = curve + 0.01 * torch.from_numpy(rng.normal(size=(400, 2)))
    few = torch.full((5, 2), 9.0, dtype=torch.float64)
    points = torch.cat([curve, few])
    pieces = compact_pieces(points, torch.tensor([0] * 400 + [1] * 5))
    sizes = torch.bincount(pieces)
    assert sizes[:-1].min() >= 40
    assert sizes[:-1].max() < 80
    white = torch.einsum("nij,nj->ni", whitening(points, pieces), points)
    for piece in range(len(sizes) - 1):
        torch.testing.assert_close(
            white[pieces == piece].T.cov(correction=0), torch.eye(2).double(), rtol=0, atol=0.01
        )
    assert (white[400:] == 0).all()  # five codes tell nothing of their spread


def test_only_what_is_bent_or_lumpy_is_cut():
    """A normal mode, a square, a strip and a ball are whole; a ring, two lumps and a spiral are not."""
    rng = np.random.default_rng(0)
    t = rng.random(640)
    turn = 2 * np.pi * t
    noise = 0.03 * rng.standard_normal((640, 2))
    lumps = rng.standard_normal((640, 2)) + 9 * (np.arange(640)[:, None] % 2)
    ball = rng.standard_normal((640, 3))
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    whole = [
        rng.standard_normal((640, 2)),
        rng.random((640, 2)),
        np.stack([t, noise[:, 0]], axis=1),
    ]
    whole += [ball / np.linalg.norm(ball, axis=1)[:, None] * t[:, None] ** (1 / 3)]
    cut = {"ring": arc + noise, "lumps": lumps, "spiral": 1.5 * t[:, None] * arc + noise}
    one = torch.zeros(640, dtype=torch.int64)
    for points in whole:
        assert not compact_pieces(torch.from_numpy(points), one).any()
    found = {name: compact_pieces(torch.from_numpy(points), one) for name, points in cut.items()}
    assert int(found["lumps"].max()) == 1
    assert min(int(found[name].max()) for name in ("ring", "spiral")) > 3


def test_the_noise_across_a_curved_mode_is_kept():
    """A half circle: new codes are spread across it as the training codes are."""
    rng = np.random.default_rng(0)
    angle = np.pi * rng.random(1000)
    radius = 1 + 0.05 * rng.standard_normal(1000)
    train = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    new = OTSampler().fit(train).sample(8192, random_state=0)
    new = new[new[:, 1] > 0]  # beyond the ends nothing is across
    wanted = np.square(np.linalg.norm(train, axis=1) - 1).mean()
    assert np.square(np.linalg.norm(new, axis=1) - 1).mean() == pytest.approx(wanted, rel=0.06)


def test_stragglers_do_not_bridge_a_gap():
    rows = torch.cat([modes(200, 2, 1, 0), modes(200, 2, 1, 1) + torch.tensor([30.0, 0.0])])
    points = torch.cat([rows, torch.tensor([[15.0, 0.0]]).double()])
    pair = torch.tensor([[400, int(rows[200:, 0].argmin()) + 200]])
    assert not TearRule(points, 3.0)(pair).any()
    assert TearRule(points, 3.0, settled=True)(pair).all()


def test_simplex_maps_of_before_load_as_they_were(flat):
    """A folder without anchors and slopes: codes are the anchors, b is the overhang."""
    tensors = flat.to_tensors()
    again = OTSampler.from_parts(tensors, flat.to_config())
    assert torch.equal(again.map_.simplex.points, flat.map_.simplex.points)
    del tensors["anchors"], tensors["slopes"]
    old = OTSampler.from_parts(tensors, flat.to_config()).map_
    torch.testing.assert_close(old(old.centroids), old.potential.points)
    assert old.simplex.overhang == flat.rule_.b


def test_files_keep_rule_calibration_and_samples(flat, deep, tmp_path):
    for sampler in (flat, deep):
        sampler.save_pretrained(tmp_path)
        again = OTSampler.from_pretrained(tmp_path)
        assert (again.rule_, again.calibration_) == (sampler.rule_, sampler.calibration_)
        new = sampler.sample(1500, random_state=3)
        assert np.array_equal(again.sample(1500, random_state=3), new)
        assert np.array_equal(sampler.sample(20, random_state=3), new[:20])


def test_models_of_before_load_as_they_were():
    Z = modes(60, 4, 2, 0).numpy()
    given = {"extension": "affine", "neighbours": 12, "anchor": 0.5, "spread": 1.1}
    sampler = OTSampler(**given, tear=math.inf, tolerance=0.3).fit(Z)
    config = sampler.to_config()
    del config["rule"], config["calibration"], config["params"]["tear"]
    again = OTSampler.from_parts(sampler.to_tensors(), config)
    assert again.map_.tear == math.inf
    assert np.array_equal(again.sample(50, random_state=1), sampler.sample(50, random_state=1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("d", [2, 6])
@pytest.mark.parametrize("size", [1, 2])
def test_labels_of_one_or_two_codes_do_not_stop_it(d, size):
    Z, labels = modes(450, d, 1, 0).numpy(), np.arange(450) // size
    sampler = OTSampler(tolerance=0.3).fit(Z, labels)
    new, cells = sampler.sample(1024, random_state=1), sampler.draw(1024, 1)[1]
    pairs = Z.reshape(-1, size, d)[labels[cells.numpy()]]
    reach = np.abs(pairs - pairs.mean(axis=1, keepdims=True)).max(axis=(1, 2))
    off = np.abs(new - pairs.mean(axis=1)).max(axis=1)
    assert (off <= 4 * reach + 1e-5).all()  # codes alone stay, pairs do not leave each other


def test_nothing_is_chosen_from_few_codes_or_where_all_is_given():
    Z = modes(60, 4, 2, 0).numpy()
    few = OTSampler(tolerance=0.3).fit(Z)
    assert few.calibration_ is None
    assert (few.rule_.a, few.rule_.neighbours, few.rule_.tear) == (0.6, 30, 3.0)
    new = few.sample(8000, random_state=1)
    mode = lambda z: (z[:, 0] / 10).round().long()  # noqa: E731
    wide = [within(z, mode(z)) / len(z) for z in map(torch.from_numpy, (new, Z))]
    assert wide[0] / wide[1] == pytest.approx(1.0, abs=0.05)  # the spread is settled all the same
    small = OTSampler().fit(Z[:, :2])
    assert (small.rule_.kind, small.rule_.a, small.rule_.b) == ("simplex", 0.0, 0.95)
    assert (small.rule_.neighbours, small.rule_.tear) == (6, 3.0)
    Z = modes(450, 4, 2, 0).numpy()
    told = OTSampler(anchor=0.6, spread=0.9, neighbours=8, tear=4.0, tolerance=0.3).fit(Z)
    assert told.calibration_ is None
    assert told.map_.neighbours.shape[1] == 8
    assert (told.map_.a, told.map_.b, told.map_.tear) == (0.6, 0.9, 4.0)
    drawn = OTSampler(extension="noise", neighbours=8, tolerance=0.3).fit(Z)
    assert drawn.calibration_.chosen.neighbours == 8
    with pytest.raises(ValueError, match="tear must be"):
        OTSampler(tear=0.0).fit(Z)
