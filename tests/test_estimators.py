"""`OTSampler`: scikit-learn's contract, rows that do not see each other, labels, masses, files."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ot_latent._validation import DataError
from ot_latent.estimators import OTSampler
from ot_latent.transport import GridDensity, PowerDiagram, UniformPolytope
from ot_latent.transport.measures import DuplicatePointsWarning
from ot_latent.transport.solution import ConvergenceWarning, SolverError, Status
from ot_latent.transport.sources import Gaussian, UniformBall, UniformBox


def mixture(n=400, d=6, modes=3, seed=0):
    """Codes of separated modes of equal mass, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % modes
    centres = 6 * rng.standard_normal((modes, d))
    return centres[labels] + rng.standard_normal((n, d)), labels


@pytest.fixture(scope="module")
def fitted():
    Z, y = mixture()
    return OTSampler(tolerance=0.1, random_state=0).fit(Z, y)


@pytest.mark.filterwarnings("ignore::ot_latent.transport.measures.DuplicatePointsWarning")
@pytest.mark.filterwarnings("ignore::ot_latent.transport.solution.ConvergenceWarning")
@parametrize_with_checks([OTSampler(tolerance=0.3, max_samples=20_000)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_fit_reports_convergence_in_standard_units(fitted):
    solution = fitted.transport_
    assert solution.status is Status.CONVERGED
    assert solution.mass_error <= 0.1
    points = solution.potential.points.double().numpy()
    assert abs(points.mean()) < 1e-6
    assert np.sqrt((points**2).mean()) == pytest.approx(1, abs=1e-5)
    # the public potential is in the units of the codes and has the same cells
    x = UniformBox.centered(6).sample(500, seed=1, dtype=torch.float32)
    agree = fitted.potential_.cell_index(x) == solution.potential.cell_index(x)
    assert agree.float().mean() > 0.99  # rounding may flip a tie


def test_rows_depend_on_seed_and_number_alone(fitted):
    whole = fitted.sample(3000, random_state=7)
    for n in (1, 7, 64, 1025):
        assert np.array_equal(fitted.sample(n, random_state=7), whole[:n])
    assert not np.array_equal(fitted.sample(5, random_state=8), whole[:5])


def test_labelled_rows_depend_on_seed_and_number_alone(fitted):
    whole = fitted.sample(1500, random_state=7, label=2)
    for n in (1, 7, 1030):
        assert np.array_equal(fitted.sample(n, random_state=7, label=2), whole[:n])


def test_label_is_exact(fitted):
    Z, y = mixture()
    centres = np.stack([Z[y == c].mean(0) for c in range(3)])
    for label in range(3):
        new = fitted.sample(300, random_state=3, label=label)
        nearest = np.linalg.norm(new[:, None] - centres, axis=2).argmin(1)
        assert (nearest == label).all()


def test_shares_follow_the_masses():
    Z, y = mixture()
    weight = np.array([1.0, 2.0, 5.0])[y]
    sampler = OTSampler(tolerance=0.1).fit(Z, y, sample_weight=weight)
    _, cells = sampler.draw(20_000, seed=1)
    shares = np.bincount(sampler.labels_[cells.numpy()][:20_000], minlength=3) / 20_000
    wanted = np.array([1, 2, 5]) / 8
    # Cauchy-Schwarz: |w(class) - nu(class)| <= rms sqrt(nu (1 - nu)), plus the noise of 20,000 draws
    assert (abs(shares - wanted) <= 0.1 * np.sqrt(wanted * (1 - wanted)) + 0.01).all()


def test_spread_within_modes_is_that_of_the_codes(fitted):
    Z, y = mixture()
    centres = np.stack([Z[y == c].mean(0) for c in range(3)])
    new = fitted.sample(3000, random_state=1)
    mode = np.linalg.norm(new[:, None] - centres, axis=2).argmin(1)
    ratio = np.mean((new - centres[mode]) ** 2) / np.mean((Z - centres[y]) ** 2)
    assert 0.8 < ratio < 1.2


def test_noise_there_and_back():
    Z, _ = mixture()
    sampler = OTSampler(extension="none").fit(Z)
    np.testing.assert_allclose(sampler.inverse_transform(sampler.transform(Z)), Z, atol=1e-4)
    x = sampler.source_.sample(5, seed=2).numpy()
    assert np.array_equal(sampler.sample(noise=x), sampler.inverse_transform(x))
    assert sampler.transform(torch.from_numpy(Z[:3])).shape == (3, 6)


def test_calls_without_a_seed_differ_and_repeat_as_a_whole():
    Z, _ = mixture(100)
    first, second = (OTSampler(tolerance=0.3).fit(Z) for _ in range(2))
    a, b = first.sample(5), first.sample(5)
    assert not np.array_equal(a, b)
    assert np.array_equal(second.sample(5), a)
    generator = np.random.default_rng(0)
    assert not np.array_equal(first.sample(5, generator), first.sample(5, generator))


@pytest.mark.parametrize("kind", ["affine", "noise", "none"])
def test_parts_rebuild_the_sampler(kind):
    Z, y = mixture(150)
    names = np.array(["ant", "bee", "cat"])[y]
    sampler = OTSampler(tolerance=0.3, extension=kind, random_state=4).fit(Z, names)
    twin = OTSampler.from_parts(sampler.to_tensors(), sampler.to_config())
    for options in ({}, {"label": "bee"}):
        expected = sampler.sample(70, random_state=1, **options)
        assert np.array_equal(twin.sample(70, random_state=1, **options), expected)
    assert twin.transport_.status is sampler.transport_.status
    assert twin.transport_.mass_error_interval == sampler.transport_.mass_error_interval
    assert np.array_equal(twin.labels_, sampler.labels_)
    assert np.array_equal(twin.sample(3), sampler.sample(3))


def test_folder_rebuilds_the_sampler(tmp_path):
    Z, _ = mixture(100)
    sampler = OTSampler(tolerance=0.3).fit(Z.astype(np.float32))
    sampler.save_pretrained(tmp_path / "model")
    twin = OTSampler.from_pretrained(tmp_path / "model")
    new = twin.sample(9, random_state=1)
    assert new.dtype == np.float32
    assert np.array_equal(new, sampler.sample(9, random_state=1))


def test_resolve_starts_from_the_stored_heights():
    Z, _ = mixture(200)
    sampler = OTSampler(tolerance=0.3).fit(Z)
    before = sampler.transport_
    sampler.resolve(tolerance=0.1)
    assert sampler.transport_.mass_error < min(0.1, before.mass_error)
    assert sampler.transport_.tolerance == 0.1


def test_interrupted_solve_continues_bit_for_bit():
    Z, _ = mixture(200)
    whole = OTSampler(tolerance=0.1).fit(Z)
    states = []

    def stop(event):
        if event["stage"] != "transport" or event["progress"] == 1:
            return None
        assert 0 <= event["progress"] <= 1
        state = event["state"]
        states.append(state() if callable(state) else state)
        return len(states) == 3

    with pytest.warns(ConvergenceWarning):
        halted = OTSampler(tolerance=0.1).fit(Z, callback=stop)
    assert halted.transport_.status is Status.INTERRUPTED
    resumed = OTSampler(tolerance=0.1).fit(Z, state=states[-1])
    heights = [s.transport_.potential.heights for s in (whole, resumed)]
    assert torch.equal(*heights)


def test_equal_codes_merge_with_a_warning():
    Z, _ = mixture(60)
    twice = np.concatenate([Z, Z[:20]])
    with pytest.warns(DuplicatePointsWarning):
        sampler = OTSampler(tolerance=0.3).fit(twice)
    assert len(sampler.weights_) == 60
    assert np.array_equal(sampler.inverse_[60:], np.arange(20))
    assert sampler.weights_[0] == pytest.approx(2 / 80)


def test_equal_codes_of_different_labels_stay_apart():
    Z, _ = mixture(60)
    both = np.concatenate([Z, Z])
    labels = np.repeat(["a", "b"], 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sampler = OTSampler(tolerance=0.5, max_samples=50_000).fit(both, labels)
    assert len(sampler.weights_) == 120
    assert (sampler.labels_[sampler.inverse_] == labels).all()


def test_rows_of_zero_mass_are_left_out():
    Z, _ = mixture(60)
    weight = np.ones(60)
    weight[:10] = 0
    sampler = OTSampler(tolerance=0.3).fit(Z, sample_weight=weight)
    assert len(sampler.weights_) == 50
    assert (sampler.inverse_[:10] == -1).all()


@pytest.mark.parametrize("source", ["ball", "gaussian", Gaussian.standard(6)])
def test_other_sources(source):
    Z, _ = mixture(100)
    sampler = OTSampler(source, tolerance=0.3).fit(Z)
    assert sampler.sample(10, random_state=0).shape == (10, 6)


# -- the exact solver ------------------------------------------------------------------------------

FLAT = [1, 2, 3]


def low_dimensional(dim, n=300, dtype=np.float64):
    """Codes in clusters, and their labels."""
    Z, y = mixture(n, dim)
    return Z.astype(dtype), y


@pytest.mark.parametrize("dim", FLAT)
def test_up_to_three_dimensions_are_solved_exactly(dim):
    Z, y = low_dimensional(dim)
    sampler = OTSampler(random_state=0).fit(Z, y)
    found = sampler.transport_
    assert (found.solver, found.error_norm, found.tolerance) == (
        "DampedNewton",
        "max relative",
        1e-6,
    )
    assert found.status is Status.CONVERGED
    assert found.mass_error <= 1e-6
    assert sampler.sample(9, random_state=1, label=2).shape == (9, dim)
    # the noise of a code is the centroid of its cell, and goes back to the code
    there = OTSampler(extension="none").fit(Z)
    np.testing.assert_allclose(there.inverse_transform(there.transform(Z)), Z, atol=1e-5)


def test_other_dimensions_and_tolerances_keep_their_solver():
    six = OTSampler(max_samples=20_000, tolerance=0.4).fit(mixture(60)[0])
    assert six.transport_.solver == "StochasticNewton"
    sampled = OTSampler(solver="sampled", tolerance=0.5).fit(low_dimensional(2, 60)[0])
    assert (sampled.transport_.solver, sampled.transport_.tolerance) == ("StochasticNewton", 0.5)
    rough = OTSampler(tolerance=0.5).fit(low_dimensional(2, 60)[0])
    assert (rough.transport_.solver, rough.transport_.tolerance) == ("DampedNewton", 0.5)
    with pytest.warns(DuplicatePointsWarning):
        same = OTSampler().fit(np.ones((4, 2)))
    assert same.transport_.status is Status.CONVERGED  # one code takes all noise


SOURCES = [
    (UniformBox([0, 0], [3, 1]), "DampedNewton"),
    (UniformPolytope([[-1, 0], [0, -1], [1, 1]], [0, 0, 1]), "DampedNewton"),
    (GridDensity(np.arange(1.0, 13).reshape(3, 4), [0, 0], [1, 1]), "DampedNewton"),
    (UniformBall(2), "StochasticNewton"),
    ("gaussian", "StochasticNewton"),
]


@pytest.mark.parametrize(("source", "solver"), SOURCES)
def test_the_source_decides_whether_cells_can_be_exact(source, solver):
    sampler = OTSampler(source, tolerance=0.3).fit(low_dimensional(2, 80)[0])
    assert sampler.transport_.solver == solver
    twin = OTSampler.from_parts(sampler.to_tensors(), sampler.to_config())
    assert np.array_equal(twin.sample(5, random_state=0), sampler.sample(5, random_state=0))
    if solver != "DampedNewton":
        with pytest.raises(ValueError, match=r"solver 'exact' must have a box.*solver='sampled'"):
            OTSampler(source, solver="exact").fit(low_dimensional(2, 80)[0])


def test_a_ball_is_an_interval_in_one_dimension():
    assert OTSampler("ball").fit(low_dimensional(1)[0]).transport_.solver == "DampedNewton"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_stay_exact_through_files_and_units(tmp_path, dtype):
    Z = np.random.default_rng(0).normal(size=(2000, 2)).astype(dtype)
    sampler = OTSampler(extension="none").fit(Z)
    sampler.save_pretrained(tmp_path / "model")
    twin = OTSampler.from_pretrained(tmp_path / "model")
    for potential in (twin.transport_.potential, twin.potential_):
        masses = PowerDiagram(twin.source_, potential).masses
        assert float((masses * 2000 - 1).abs().max()) < 1.1e-6
    assert sampler.sample(4, random_state=0).dtype == dtype
    assert sampler.transform(Z[:4]).dtype == dtype
    assert np.array_equal(twin.sample(50, random_state=0), sampler.sample(50, random_state=0))


def test_the_exact_solver_tells_how_far_it_is_and_stops_when_asked():
    Z, _ = low_dimensional(2)
    events = []
    whole = OTSampler().fit(Z, callback=events.append)
    own = [event for event in events if event["stage"] == "transport"]
    shares = [event["progress"] for event in own]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(own) == whole.transport_.steps + 1
    assert all(event["state"] is None for event in own)  # it takes seconds: nothing to keep
    with pytest.warns(ConvergenceWarning):
        halted = OTSampler().fit(Z, callback=lambda event: True)
    assert halted.transport_.status is Status.INTERRUPTED
    resumed = OTSampler().fit(Z, state=halted.transport_.state)
    assert torch.equal(resumed.transport_.potential.heights, whole.transport_.potential.heights)
    foreign = OTSampler().fit(Z, state=object())  # a checkpoint of another solver is no use
    assert torch.equal(foreign.transport_.potential.heights, whole.transport_.potential.heights)


def test_resolve_of_exact_cells_goes_on_from_the_heights():
    sampler = OTSampler(tolerance=0.1).fit(low_dimensional(2)[0])
    rough = sampler.transport_
    sampler.resolve(1e-9)
    assert sampler.transport_.mass_error <= 1e-9
    assert sampler.transport_.history["error"][0] == pytest.approx(rough.mass_error)


def test_heights_with_empty_cells_are_no_start(monkeypatch):
    Z, _ = low_dimensional(2)
    sampler = OTSampler().fit(Z)
    heights = sampler.transport_.potential.heights
    heights[0] = -1e3
    sampler.resolve()
    assert sampler.transport_.status is Status.CONVERGED

    def broken(self, source, target, **_):
        solution = replace(sampler.transport_, status=Status.NONFINITE)
        raise SolverError("overflow", solution)

    monkeypatch.setattr("ot_latent.transport.newton.DampedNewton.solve", broken)
    with pytest.raises(SolverError, match="overflow"):
        sampler.resolve()


def test_clone_and_pipeline():
    Z, _ = mixture(100)
    sampler = clone(OTSampler(tolerance=0.3, neighbours=7))
    assert sampler.neighbours == 7
    x = make_pipeline(StandardScaler(), sampler).fit_transform(Z)
    assert x.shape == Z.shape
    assert sampler.get_feature_names_out()[0] == "otsampler0"


REFUSED_CODES = [
    (np.zeros((0, 3)), "minimum of"),
    (np.zeros((1, 3)), "1 sample|minimum of 2"),
    (np.zeros(5), "2D"),
    (np.array([[0.0, np.nan], [1.0, 2.0]]), "finite, got 1 NaN"),
    (np.array([[1j, 0], [0, 1]]), "[Cc]omplex"),
]


@pytest.mark.parametrize(("Z", "message"), REFUSED_CODES)
def test_bad_codes_are_refused(Z, message):
    with pytest.raises(DataError, match=message):
        OTSampler().fit(Z)


REFUSED_PARAMETERS = [
    ({"solver": "exact"}, r"at most 3 dimensions as its source, got UniformBox of dimension 6"),
    ({"solver": "magic"}, "solver must be one of"),
    ({"extension": "magic"}, "extension must be one of"),
    ({"tolerance": -1.0}, "tolerance must be"),
    ({"neighbours": 0}, "neighbours must be"),
    ({"source": "torus"}, "source must be"),
    ({"source": 3}, "source must be"),
    ({"source": UniformBox.unit(2)}, "source must have the dimension 6"),
    ({"device": "tpu"}, "device must be"),
    ({"random_state": "lucky"}, "random_state must be"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED_PARAMETERS)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        OTSampler(**parameters).fit(mixture(50)[0])


REFUSED_ROWS = [
    ({"y": np.zeros(3)}, "same number of rows"),
    ({"y": np.full(50, 0.5)}, "labels"),
    ({"y": np.full(50, np.nan)}, "finite"),
    ({"y": np.zeros((50, 2))}, "one label per row"),
    ({"sample_weight": -np.ones(50)}, "non-negative"),
    ({"sample_weight": np.zeros(50)}, "not all zero"),
    ({"sample_weight": np.ones(3)}, "same number of rows"),
]


@pytest.mark.parametrize(("rows", "message"), REFUSED_ROWS)
def test_bad_labels_and_masses_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        OTSampler().fit(mixture(50)[0], **rows)


def test_bad_requests_are_refused(fitted):
    for options, message in [
        ({"n": 0}, "n must be"),
        ({"n": 2.5}, "n must be"),
        ({"label": 9}, "label must be one of 0, 1, 2"),
        ({"noise": np.zeros((2, 5))}, "noise must have 6 columns"),
        ({"random_state": -1}, "random_state must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            fitted.sample(**options)
    with pytest.raises(ValueError, match="fitted without labels"):
        OTSampler(tolerance=0.3).fit(mixture(50)[0]).sample(3, label=1)
    with pytest.raises(NotFittedError, match="fit"):
        OTSampler().sample(3)
