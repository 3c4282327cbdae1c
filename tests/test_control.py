"""Control of the distribution: labels by construction, other masses from the old heights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.estimators import OTSampler
from ot_latent.transport import PowerDiagram
from ot_latent.transport.sources import UniformBox


def mixture(n=400, d=6, modes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % modes
    return 6 * rng.standard_normal((modes, d))[labels] + rng.standard_normal((n, d)), labels


@pytest.fixture(scope="module")
def fitted():
    return OTSampler(tolerance=0.1, random_state=0).fit(*mixture())


@pytest.fixture
def fresh(fitted):
    return OTSampler.from_parts(fitted.to_tensors(), fitted.to_config())


def shares(sampler, n=2**15):
    _, cells = sampler.draw(n, seed=3, stratified=True)
    return np.bincount(np.unique(sampler.labels_, return_inverse=True)[1][cells.numpy()]) / n


# -- labels ----------------------------------------------------------------------------------------


def test_all_noise_goes_to_the_label(fitted):
    """By construction: the potential of a class has no other targets, wherever the noise lies."""
    x = 10 * UniformBox.centered(6).sample(2000, seed=1).numpy()
    plain = OTSampler.from_parts(fitted.to_tensors(), fitted.to_config() | {})
    plain.set_params(extension="none")
    plain._finish(None)
    points = plain.codes(plain.transport_.potential.points)
    for label in range(3):
        codes = plain.sample(noise=x, label=label)
        own = {row.tobytes() for row in points[plain.labels_ == label]}
        assert all(row.tobytes() in own for row in codes)


def test_one_row_of_noise_serves_every_label(fitted):
    noise = [fitted.draw(50, 7, label=label)[0] for label in (None, 0, 1, 2)]
    assert all(torch.equal(x, noise[0]) for x in noise)
    for label in range(3):
        _, cells = fitted.draw(50, 7, label=label)
        assert (fitted.labels_[cells.numpy()] == label).all()


def test_classes_are_solved_when_asked_for_and_leave_the_rest_alone(fresh):
    before = fresh.sample(100, random_state=1)
    heights = fresh.transport_.potential.heights.clone()
    fresh._forget_classes()
    fresh.sample(10, random_state=1, label=2)
    assert set(fresh.class_solutions_) == {2}
    events = []
    fresh.solve_classes(callback=events.append)
    assert set(fresh.class_solutions_) == {0, 1, 2}
    assert [event["progress"] for event in events] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(found.mass_error <= 0.1 for found in fresh.class_solutions_.values())
    assert torch.equal(fresh.transport_.potential.heights, heights)
    assert np.array_equal(fresh.sample(100, random_state=1), before)


def test_all_classes_cost_less_than_the_joint_solve(fitted):
    """A class of a share s has s N targets and needs s T draws: s^2 of the scores."""
    fitted.solve_classes()
    found = fitted.class_solutions_.values()
    scores = sum(len(one.potential.points) * one.samples for one in found)
    assert scores < 0.6 * len(fitted.weights_) * fitted.transport_.samples


def test_solved_classes_are_saved(fitted, tmp_path):
    fitted.solve_classes()
    fitted.save_pretrained(tmp_path / "model")
    twin = OTSampler.from_pretrained(tmp_path / "model")
    assert set(twin.class_solutions_) == {0, 1, 2}
    for options in ({"label": 0}, {"label": 1, "stratified": True}):
        expected = fitted.sample(70, random_state=1, **options)
        assert np.array_equal(twin.sample(70, random_state=1, **options), expected)


@pytest.mark.parametrize("dim", [2, 5])
def test_few_codes_of_a_label_have_a_map_too(dim):
    Z = np.random.default_rng(0).normal(size=(90, dim))
    y = np.concatenate([[1], [2, 2], [3, 3, 3], np.zeros(84, dtype=int)])
    sampler = OTSampler(tolerance=0.3).fit(Z, y)
    for label in (1, 2, 3):
        new = sampler.sample(20, random_state=0, label=label)
        away = abs(new - Z[y == label].mean(axis=0)).max()
        assert np.isfinite(new).all()
        assert away <= 4 * np.ptp(Z[y == label], axis=0).max() + 1e-5


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_class_of_one_code_takes_all_noise(dim):
    Z = np.random.default_rng(0).normal(size=(60, dim))
    y = np.where(np.arange(60) == 7, "rare", "common")
    sampler = OTSampler(tolerance=0.3, extension="none").fit(Z, y)
    np.testing.assert_allclose(sampler.sample(9, label="rare"), np.repeat(Z[7:8], 9, 0), atol=1e-6)
    found = sampler.class_solutions_[1]
    assert (found.solver, found.mass_error) == ("closed form", 0.0)
    x = sampler.source_.sample(2**14, seed=0)
    point = found.potential.points[0].double()
    assert found.cost == pytest.approx(float((x - point).square().sum(1).mean()), rel=0.05)


def test_the_coupling_has_the_labels_and_classes_of_the_fit(fitted):
    pairs = fitted.coupling(labelled=True, seed=3).batch(0)
    assert (fitted.labels_[pairs.cell.numpy()] == pairs.label.numpy()).all()
    for label in range(3):
        own = fitted.class_transport(label)
        rows = pairs.label == label
        cells = own.solution.potential.cell_index(pairs.noise[rows])
        assert torch.equal(own.members[cells], pairs.cell[rows])
    plain = fitted.coupling(batch_size=64).batch(0)
    assert (plain.label == -1).all()
    with pytest.raises(ValueError, match="fitted without labels"):
        OTSampler(tolerance=0.5).fit(mixture(60)[0]).coupling(labelled=True)


# -- stratified noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [None, 1])
def test_stratified_rows_depend_on_seed_and_number_alone(fitted, label):
    whole = fitted.sample(2048, random_state=7, label=label, stratified=True)
    for n in (1, 64, 1025):
        part = fitted.sample(n, random_state=7, label=label, stratified=True)
        assert np.array_equal(part, whole[:n])
    assert not np.array_equal(fitted.sample(2048, random_state=7, label=label), whole)


# -- other masses ----------------------------------------------------------------------------------


def close(sampler, wanted):
    # Cauchy-Schwarz: |w(class) - nu(class)| <= rms sqrt(nu (1 - nu)), plus the noise of the draws
    wanted = np.asarray(wanted)
    room = sampler.transport_.mass_error * np.sqrt(wanted * (1 - wanted)) + 0.01
    return (abs(shares(sampler) - wanted) <= room).all()


REQUESTS = [
    ({"class_weights": {0: 0.5}}, [1 / 5, 2 / 5, 2 / 5]),
    ({"class_weights": {0: 3, 1: 3}}, [3 / 7, 3 / 7, 1 / 7]),
    ({"class_shares": {2: 0.5}}, [0.25, 0.25, 0.5]),
    ({"class_shares": {0: 0.1, 1: 0.2, 2: 0.7}}, [0.1, 0.2, 0.7]),
    ({"class_weights": {0: 1.01}}, [1.01 / 3.01, 1 / 3.01, 1 / 3.01]),
]


@pytest.mark.parametrize(("request_", "wanted"), REQUESTS)
def test_classes_get_their_masses(fresh, request_, wanted):
    assert fresh.reweight(**request_) is fresh
    assert fresh.transport_.converged
    assert fresh.transport_.mass_error <= 0.1
    masses = np.bincount(fresh.labels_, fresh.weights_.numpy())
    np.testing.assert_allclose(masses, wanted, atol=0.004)  # the fit has 134, 133 and 133 codes
    assert close(fresh, masses)


def test_a_small_change_is_cheap_and_is_made(fresh):
    samples = fresh.transport_.samples
    fresh.reweight({0: 1.05})
    assert fresh.transport_.samples < samples / 2  # 16,384 of them move the classes
    wanted = np.bincount(fresh.labels_, fresh.weights_)
    np.testing.assert_allclose(shares(fresh), wanted, atol=0.01)


def test_codes_keep_their_neighbours(fresh):
    fresh.reweight({0: 2.0})
    x = fresh.source_.sample(500, seed=3, dtype=torch.float32)
    anew = fresh._extended(fresh.transport_, fresh._groups())
    assert torch.equal(fresh.map_(x), anew(x))
    assert fresh.map_.potential is fresh.transport_.potential


def test_masses_are_those_of_the_fit_times_the_weights(fresh):
    given = fresh.weights_.clone()
    fresh.reweight({0: 0.5}).reweight({0: 0.5})
    assert torch.equal(fresh.fit_weights_, given)
    assert np.bincount(fresh.labels_, fresh.weights_)[0] == pytest.approx(0.2, abs=0.004)
    fresh.reweight()
    torch.testing.assert_close(fresh.weights_, given)
    assert fresh.transport_.converged


def test_rows_get_their_masses_and_balance_evens_them():
    Z, y = mixture()
    Z[300:] = Z[:100]
    y[300:] = y[:100]
    with pytest.warns(UserWarning, match="repeated rows"):
        sampler = OTSampler(tolerance=0.2).fit(Z, y)
    sampler.solve_classes([0])
    weight = np.random.default_rng(0).uniform(0.5, 2, 400)
    sampler.reweight(sample_weight=weight, tolerance=0.15)
    expected = np.bincount(sampler.inverse_, weight) / weight.sum()
    np.testing.assert_allclose(sampler.weights_, expected, rtol=1e-12)
    assert (sampler.transport_.tolerance, sampler.class_solutions_) == (0.15, {})
    sampler.reweight("balanced", weight)
    np.testing.assert_allclose(np.bincount(sampler.labels_, sampler.weights_), 1 / 3)
    assert close(sampler, [1 / 3] * 3)


@pytest.mark.parametrize("dim", [1, 2])
def test_exact_cells_get_their_masses(dim):
    Z, y = mixture(300, dim)
    sampler = OTSampler(random_state=0).fit(Z, y)
    steps = sampler.transport_.steps
    sampler.reweight({1: 0.5})
    assert sampler.transport_.mass_error <= 1e-6
    if dim > 1:
        assert sampler.transport_.steps <= steps
        masses = PowerDiagram(sampler.source_, sampler.transport_.potential).masses
        np.testing.assert_allclose(masses, sampler.weights_, rtol=1e-5)
        found = np.bincount(sampler.labels_, masses)
        np.testing.assert_allclose(found, [0.4, 0.2, 0.4], rtol=1e-5)


def test_codes_without_labels_get_other_masses():
    Z, y = mixture(200)
    sampler = OTSampler(tolerance=0.2).fit(Z)
    sampler.reweight(sample_weight=np.where(y == 0, 4.0, 1.0))
    assert sampler.transport_.mass_error <= 0.2


def test_a_reweighted_sampler_is_saved(fresh, tmp_path):
    fresh.reweight({0: 0.5})
    fresh.save_pretrained(tmp_path / "model")
    twin = OTSampler.from_pretrained(tmp_path / "model")
    assert np.array_equal(twin.sample(50, random_state=1), fresh.sample(50, random_state=1))
    assert torch.equal(twin.fit_weights_, fresh.fit_weights_)
    tensors = fresh.to_tensors()
    del tensors["fit_weights"]  # a model of an earlier version
    assert torch.equal(
        OTSampler.from_parts(tensors, fresh.to_config()).fit_weights_, fresh.weights_
    )


REFUSED = [
    ({"class_weights": {9: 1.0}}, ValueError, "label must be one of 0, 1, 2, got 9"),
    (
        {"class_weights": {1: 0.0}},
        ValueError,
        r"class_weights\[1\] must be a positive number, got 0",
    ),
    ({"class_weights": {1: "x"}}, ValueError, r"class_weights\[1\] must be a positive number"),
    ({"class_shares": {1: 1.2}}, ValueError, "class_shares must sum to less than 1 for some"),
    ({"class_shares": {1: 1.0}}, ValueError, "class_shares must sum to less than 1 for some"),
    ({"class_shares": {0: 0.2, 1: 0.2, 2: 0.2}}, ValueError, "must sum to 1 for all"),
    (
        {"class_shares": {1: 0.5}, "class_weights": {1: 2}},
        ValueError,
        "class_weights or class_shares",
    ),
    ({"sample_weight": np.ones(3)}, DataError, "same number of rows"),
    (
        {"sample_weight": np.arange(400.0)},
        DataError,
        "every target a positive mass, got none for 1",
    ),
    ({"tolerance": -1.0}, ValueError, "tolerance must be"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_cannot_be_is_refused(fitted, options, error, message):
    before = fitted.transport_
    with pytest.raises(error, match=message):
        fitted.reweight(**options)
    assert fitted.transport_ is before


def test_labels_need_labels():
    sampler = OTSampler(tolerance=0.5).fit(mixture(60)[0])
    for weights in ({1: 2.0}, "balanced"):
        with pytest.raises(ValueError, match="fitted without labels"):
            sampler.reweight(weights)
    assert sampler.solve_classes() is sampler
