"""Baselines: closed forms they must meet, their rows, and what the control shares with the transport."""

import copy
import dataclasses
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ot_latent.baselines import (
    Baseline,
    BetaCopulaSampler,
    ControlSampler,
    FlowMatchingSampler,
    GaussianSampler,
    KernelDensitySampler,
    MixtureSampler,
    NormalisingFlowSampler,
    PlainMapSampler,
    PriorAutoencoder,
    PriorSampler,
    ReferenceRuleSampler,
    VineCopulaSampler,
)
from ot_latent.baselines.densities import likeliest_bandwidth
from ot_latent.estimators import OTSampler


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(0)
    return 5 * rng.integers(2, size=(300, 1)) + rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))


@pytest.fixture(scope="module")
def sampler(codes):
    return OTSampler(tolerance=0.1, random_state=0).fit(codes)


@pytest.fixture(scope="module")
def baselines(codes, sampler):
    fresh = [GaussianSampler(), MixtureSampler(3), KernelDensitySampler(0.3), BetaCopulaSampler()]
    borrowed = [PlainMapSampler(sampler), ControlSampler(sampler), ReferenceRuleSampler(sampler)]
    found = [b.fit(codes) for b in fresh] + borrowed
    return {type(b).__name__.removesuffix("Sampler"): b for b in found}


def check_rows(baseline):
    whole = baseline.sample(2000, random_state=5)
    assert whole.shape == (2000, 4)
    for n in (1, 7, 1030):
        assert np.array_equal(baseline.sample(n, random_state=5), whole[:n])
    assert not np.array_equal(baseline.sample(5, random_state=6), whole[:5])


def test_rows_depend_on_seed_and_number_alone(baselines):
    for baseline in baselines.values():
        check_rows(baseline)


def test_moments(codes, baselines):
    new = {name: b.sample(60_000, random_state=1) for name, b in baselines.items()}
    covariance = np.cov(codes, rowvar=False)
    for name in ("Gaussian", "Mixture"):
        np.testing.assert_allclose(new[name].mean(0), codes.mean(0), atol=0.1)
        np.testing.assert_allclose(np.cov(new[name], rowvar=False), covariance, atol=0.3)
    noise = 0.3**2 * codes.var(axis=0).mean() * np.eye(4)
    density = np.cov(new["KernelDensity"], rowvar=False)
    np.testing.assert_allclose(density, covariance + noise, atol=0.4)
    np.testing.assert_allclose(new["Control"].mean(0), codes.mean(0), atol=0.2)


def test_clones_are_unfitted_and_the_common_face_is_abstract(codes, baselines):
    for name in ("Gaussian", "Mixture", "KernelDensity", "BetaCopula"):
        twin = clone(baselines[name])
        assert twin.get_params() == baselines[name].get_params()
        with pytest.raises(NotFittedError):
            twin.sample(3)
    assert (
        clone(baselines["Control"]).sampler.get_params()
        == baselines["Control"].sampler.get_params()
    )
    with pytest.raises(TypeError, match="abstract"):
        Baseline()


# -- densities -------------------------------------------------------------------------------------


def test_the_criterion_finds_a_mixture_again():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0], [4.5, 4.5]])
    shares = np.array([0.1, 0.3, 0.2, 0.2, 0.2])
    root = np.array([[1.0, 0.0], [0.5, 0.3]])
    label = rng.choice(5, size=4000, p=shares)
    codes = centres[label] + rng.normal(size=(4000, 2)) @ root.T
    found = MixtureSampler("bic", starts=2).fit(codes)
    assert found.components_ == 5 == min(found.bic_, key=found.bic_.get)
    order = np.linalg.norm(found.means_[:, None] - centres, axis=2).argmin(0)
    np.testing.assert_allclose(found.means_[order], centres, atol=0.15)
    np.testing.assert_allclose(found.weights_[order], shares, atol=0.03)
    for place in order:
        covariance = found.roots_[place] @ found.roots_[place].T
        np.testing.assert_allclose(covariance, root @ root.T, atol=0.15)
    drawn = found.sample(20_000, random_state=0)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / 20_000, shares, atol=0.03)


def test_the_bandwidth_is_near_the_best_one_for_a_normal_law():
    """For n points of a normal law in the plane: least mean integrated square at n^(-1/6)."""
    rng = np.random.default_rng(0)
    for n in (300, 3000):
        width = likeliest_bandwidth(rng.normal(size=(n, 2)), rng.normal(size=(800, 2)))
        assert width == pytest.approx(n ** (-1 / 6), rel=0.2)
    rows = rng.normal(size=(1000, 2)) * 7
    assert KernelDensitySampler().fit(rows).bandwidth_ == pytest.approx(800 ** (-1 / 6), rel=0.25)


def test_the_bandwidth_sees_narrow_modes():
    rng = np.random.default_rng(0)
    rows = rng.integers(6, size=(1500, 2)) + 0.01 * rng.normal(size=(1500, 2))
    found = KernelDensitySampler().fit(rows)
    assert 0.002 < found.bandwidth_ * found.scale_ < 0.01


# -- copulas ---------------------------------------------------------------------------------------


def test_the_beta_copula_is_uniform_in_every_coordinate(codes):
    uniforms = BetaCopulaSampler().fit(codes).draw_uniforms(np.random.default_rng(0), 20_000)
    for column in uniforms.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_margins_are_kept(codes):
    stepped = BetaCopulaSampler("step").fit(codes).sample(60_000, random_state=0)
    for column, original in zip(stepped.T, codes.T, strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert np.array_equal(values, np.sort(original))  # every value, and no other
        assert stats.chisquare(counts).pvalue > 1e-3  # each with probability 1 / n
    linear = BetaCopulaSampler().fit(codes).sample(60_000, random_state=0)
    for column, original in zip(linear.T, codes.T, strict=True):
        assert original.min() <= column.min() <= column.max() <= original.max()
        assert stats.ks_2samp(column, original).statistic < 1 / len(original) + 0.02


def test_the_dependence_of_the_ranks_is_kept():
    """Spearman's rho of the beta copula is (n - 1) / (n + 1) that of the sample (Segers et al.)."""
    rng = np.random.default_rng(0)
    codes = np.exp(rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=50))
    made = BetaCopulaSampler().fit(codes).sample(100_000, random_state=0)
    own = stats.spearmanr(codes).statistic
    assert stats.spearmanr(made).statistic == pytest.approx(own * 49 / 51, abs=0.01)


def test_the_vine_finds_the_dependence_of_a_normal_law():
    pytest.importorskip("pyvinecopulib")
    rng = np.random.default_rng(0)
    covariance = np.array(
        [[1.0, 0.7, 0.0, 0], [0.7, 1.0, -0.5, 0], [0.0, -0.5, 1.0, 0], [0, 0, 0, 1]]
    )
    codes = np.exp(rng.multivariate_normal(np.zeros(4), covariance, size=1500))
    vine = VineCopulaSampler().fit(codes)
    check_rows(vine)
    own, found = (stats.spearmanr(rows).statistic for rows in (codes, vine.sample(20_000, 0)))
    np.testing.assert_allclose(found, own, atol=0.05)
    assert stats.ks_2samp(vine.sample(20_000, 0)[:, 0], codes[:, 0]).statistic < 0.02


# -- a normalising flow ----------------------------------------------------------------------------


def test_the_flow_is_seeded_and_touches_no_global_state(codes):
    pytest.importorskip("zuko")
    before = torch.get_rng_state()
    short = [NormalisingFlowSampler(2, width=8, random_state=s).fit(codes) for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (flow.sample(9, random_state=0) for flow in short)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    check_rows(short[0])


@pytest.mark.slow
def test_the_flow_reaches_the_entropy_of_a_known_law():
    pytest.importorskip("zuko")
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(4000, 1)), rng.normal(size=(4000, 3)) ** 2], axis=1)
    flow = NormalisingFlowSampler(150, transforms=2, width=32, learning_rate=5e-3).fit(codes)
    entropy = (
        -0.5 * np.log(2 * np.pi * np.e) - 3 * stats.chi2(1).entropy() + np.log(flow.scale_).sum()
    )
    gaussian = -2 * np.log(2 * np.pi * np.e)  # what a normal law of the same moments reaches
    assert gaussian + 1.5 < flow.held_out_ < entropy + 0.3
    made = flow.sample(8000, random_state=0)
    assert stats.ks_2samp(made[:, 0], codes[:, 0]).statistic < 0.06


# -- autoencoders with a prior ---------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["vae", "wae"])
def test_priors_generate_rows_like_the_data(prior):
    X = (np.random.default_rng(0).random((60, 8, 8)) * 255).astype(np.uint8)
    small = {"latent_dim": 3, "width": 4}
    rival = PriorAutoencoder(prior, 0.1, architecture=small, training={"epochs": 1}, device="cpu")
    rival.fit(X)
    made = rival.sample(130, random_state=3)
    assert made.shape == (130, 8, 8)
    assert made.dtype == np.uint8
    assert np.array_equal(rival.sample(7, random_state=3), made[:7])
    assert rival.encode(X).shape == (60, 3)
    noise = rival.sample_codes(5000, random_state=0)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    same = PriorSampler().fit(rival.encode(X)).sample(5000, random_state=0)
    assert np.array_equal(same, noise)
    assert same.dtype == noise.dtype
    twin = clone(rival)
    with pytest.raises(NotFittedError, match="PriorAutoencoder must be fitted"):
        twin.sample()
    assert np.array_equal(twin.fit(X).sample(9, random_state=3), made[:9])


# -- the transport's own parts ---------------------------------------------------------------------


def test_plain_map_copies_and_shares_cells(codes, sampler, baselines):
    plain = baselines["PlainMap"].sample(500, random_state=2)
    distance = np.linalg.norm(plain[:, None] - codes, axis=2).min(1)
    assert distance.max() < 1e-5
    _, cells = sampler.draw(500, 2)
    np.testing.assert_allclose(plain, codes[cells[:500]], atol=1e-5)
    assert baselines["PlainMap"].fit(codes) is baselines["PlainMap"]


def test_control_has_the_local_laws_of_the_transport_but_not_its_bond(sampler, baselines):
    new, control = sampler.sample(20_000, random_state=3), baselines["Control"].sample(20_000, 3)
    np.testing.assert_allclose(new.var(0), control.var(0), rtol=0.06)
    noise = sampler.source_.sample(20_000, seed=3).numpy()
    bond = [abs(np.corrcoef(z @ np.ones(4), noise @ np.ones(4))[0, 1]) for z in (new, control)]
    assert bond[0] > 0.3
    assert bond[1] < bond[0] / 2


@pytest.mark.parametrize("extension", ["affine", "noise", "simplex", "none"])
def test_the_control_shares_everything_but_the_transport(extension):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(400, 2)) + 40 * np.eye(4, 2)[rng.integers(3, size=400)]
    sampler = OTSampler(extension=extension, random_state=0).fit(codes)
    new = sampler.sample(8192, random_state=0)
    control = ControlSampler(sampler).sample(8192, random_state=0)
    shares = [np.bincount((z > 20) @ [1, 2], minlength=4) / 8192 for z in (new, control)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.03)
    assert new.var(0) == pytest.approx(control.var(0), rel=0.05)
    copies = np.linalg.norm(control[:, None] - codes, axis=2).min(1) < 1e-4
    assert copies.all() if extension == "none" else copies.mean() < 0.01


def test_samples_name_the_target_that_they_come_from(sampler, baselines):
    plain, control = (
        baselines[name].targets(500, random_state=2) for name in ("PlainMap", "Control")
    )
    points = sampler.codes(sampler.transport_.potential.points)
    assert (points[plain] == baselines["PlainMap"].sample(500, random_state=2)).all()
    assert (plain == sampler.draw(500, 2)[1][:500].numpy()).all()
    assert (plain != control).any()
    copies = copy.copy(sampler)
    copies.map_ = dataclasses.replace(sampler.map_, kind="none", simplex=None)
    assert (points[control] == ControlSampler(copies).sample(500, random_state=2)).all()


def test_the_control_is_no_wider_than_the_transport():
    """Cells are short where codes spread far: residuals of other cells are scaled to make up for it."""
    rng = np.random.default_rng(0)
    mode = rng.integers(4, size=1200)
    codes = rng.normal(size=(1200, 8)) * 0.15
    for axis in range(8):
        codes[mode == axis // 2, axis] /= 0.15
    sampler = OTSampler(random_state=0, tolerance=0.2).fit(codes)
    control, map_ = ControlSampler(sampler), sampler.map_
    x, cells = sampler.draw(8192, 5)
    own = map_.residual(x, cells)
    still = map_.local_law(cells, 0 * own)
    laws = [(map_.local_law(cells, r) - still).square().sum() for r in (own, own.roll(1, 0))]
    assert laws[1] > 1.1 * laws[0]
    assert control._shrinkage() ** 2 * laws[1] == pytest.approx(float(laws[0]), rel=0.05)


def test_the_two_cell_rule_mixes_two_codes_of_the_fit(codes, sampler):
    """Every sample is 1/4 y_i + 3/4 y_j with i < j, or a code where the angle is too large."""
    made = ReferenceRuleSampler(sampler).sample(300, random_state=0)
    points = sampler.codes(sampler.transport_.potential.points)
    _, cells = sampler.draw(300, 0)
    own = points[cells[:300].numpy()]
    first = (4 * made[:, None] - 3 * points[None]) - own[:, None]  # own has the smaller number
    second = (4 * made[:, None] - points[None]) - 3 * own[:, None]  # or the larger one
    plain = (made - own)[:, None]
    residual = np.concatenate([first, second, plain], axis=1)
    assert np.linalg.norm(residual, axis=2).min(1).max() < 1e-3
    narrow = ReferenceRuleSampler(sampler, angle=1e-6).sample(300, random_state=0)
    np.testing.assert_allclose(narrow, own, atol=1e-5)
    with pytest.raises(ValueError, match="angle must lie in"):
        ReferenceRuleSampler(sampler, angle=4.0).sample(3)


# -- flows by matching -----------------------------------------------------------------------------


@pytest.mark.parametrize("coupling", ["independent", "minibatch", "semidiscrete"])
def test_flows_on_every_coupling_reach_the_moments(codes, sampler, coupling):
    flow = FlowMatchingSampler(sampler, coupling, steps=80, width=32, depth=1, batch_size=128)
    with pytest.raises(NotFittedError, match="FlowMatchingSampler must be fitted"):
        flow.sample(3)
    flow.fit()
    check_rows(flow)
    made = flow.sample(4000, random_state=0)
    np.testing.assert_allclose(made.mean(0), codes.mean(0), atol=0.5)
    assert 0.5 < made.var(0).sum() / codes.var(0).sum() < 1.5
    assert np.array_equal(clone(flow).get_params()["coupling"], coupling)
    assert flow.flow_.field.waves == 0  # four dimensions


@pytest.mark.parametrize(("given", "waves"), [(None, 4), (2, 2)])
def test_flows_in_the_plane_are_given_waves(codes, given, waves):
    flat = OTSampler().fit(codes[:60, :2])
    flow = FlowMatchingSampler(flat, "independent", steps=1, width=8, depth=1, waves=given).fit()
    assert flow.flow_.field.waves == waves


def test_couplings_share_codes_and_masses_and_only_one_is_the_solved_one(sampler):
    points = sampler.transport_.potential.points
    for coupling in ("independent", "minibatch", "semidiscrete"):
        flow = FlowMatchingSampler(sampler, coupling, batch_size=512)
        noise, chosen = (part.double() for part in flow._pairs(0)(3))
        gaps = torch.cdist(chosen, points.double())
        assert float(gaps.min(1).values.max()) < 1e-6  # every code is one of the fit
        own = sampler.map_.cell_index(noise.to(points))
        solved = bool((own == gaps.argmin(1)).all())
        assert solved == (coupling == "semidiscrete")


# -- refusals --------------------------------------------------------------------------------------


def test_refusals(codes):
    with pytest.raises(NotFittedError, match="GaussianSampler must be fitted"):
        GaussianSampler().sample(3)
    with pytest.raises(ValueError, match="components must be"):
        MixtureSampler(0).fit(codes)
    with pytest.raises(ValueError, match="components must be a positive integer or 'bic'"):
        MixtureSampler("aic").fit(codes)
    with pytest.raises(ValueError, match="bandwidth must be"):
        KernelDensitySampler(-1.0).fit(codes)
    with pytest.raises(ValueError, match="bandwidth must be a positive number or 'likelihood'"):
        KernelDensitySampler("scott").fit(codes)
    with pytest.raises(ValueError, match="margins must be 'linear' or 'step'"):
        BetaCopulaSampler("smooth").fit(codes)
    with pytest.raises(ValueError, match="truncation must be"):
        VineCopulaSampler(0).fit(codes)
    with pytest.raises(ValueError, match="width must be"):
        NormalisingFlowSampler(width=0).fit(codes)
    with pytest.raises(ValueError, match="coupling must be one of"):
        FlowMatchingSampler(None, "entropic").fit()
    with pytest.raises(ValueError, match="integration_steps must be"):
        FlowMatchingSampler(None, integration_steps=0).fit()
    with pytest.raises(ValueError, match="n must be"):
        GaussianSampler().fit(codes).sample(0)


@pytest.mark.parametrize(
    ("maker", "library"),
    [(VineCopulaSampler, "pyvinecopulib"), (NormalisingFlowSampler, "zuko")],
)
def test_missing_libraries_are_named(maker, library, codes, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"{maker.__name__} must have {library}, got none"):
        maker().fit(codes)
