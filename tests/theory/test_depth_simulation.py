"""Simulated random networks obey their laws: survival, cut-offs, rates, and addressable chains."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import gamma

from ot_latent._validation import DataError
from ot_latent.theory import depth

HE = math.sqrt(2.0)


def uniform(width, activation="tanh"):
    return depth.RandomLayer(width, law="uniform", activation=activation)


# -- layers ----------------------------------------------------------------------------------------


def test_gaussian_images_have_the_law_of_whole_matrices():
    """The image of k vectors has the Gram matrix of the vectors as its covariance."""
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [2.0, -1.0]], dtype=torch.float64)  # (N, k)
    layer = depth.RandomLayer(3, 1.2, "linear")
    images = layer(x.expand(60_000, 3, 2), np.random.default_rng(0))
    gram = (1.2**2 / 3) * x.T @ x
    second = torch.einsum("cni,cnj->ij", images, images) / (60_000 * 3)
    assert second.numpy() == pytest.approx(gram.numpy(), abs=0.05)
    units = torch.einsum("cni,cmi->nm", images, images) / 60_000
    assert float((units - torch.diag(units.diag())).abs().max()) < 0.1


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_vectors_pass_one_layer_together(law):
    """A layer is linear before its activation: the image of a sum is the sum of the images."""
    layer = depth.RandomLayer(4, 0.9, "linear", law)
    x = torch.randn(7, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    three = torch.cat([x, x.sum(2, keepdim=True)], 2)
    images = layer(three, np.random.default_rng(1))
    assert images[..., 2].numpy() == pytest.approx(images[..., :2].sum(2).numpy(), abs=1e-12)


def test_more_vectors_than_entries():
    x = torch.randn(5, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = depth.RandomLayer(2, 1.0, "linear")(x, np.random.default_rng(0))
    weights = torch.linalg.lstsq(x.transpose(1, 2), images.transpose(1, 2)).solution
    assert (x.transpose(1, 2) @ weights).numpy() == pytest.approx(
        images.transpose(1, 2).numpy(), abs=1e-10
    )


def test_tiny_signals_do_not_underflow():
    x = torch.full((100, 5), 1e-200, dtype=torch.float64)
    images = depth.RandomLayer(5, 1.0)(x, np.random.default_rng(0))
    assert bool((images.abs() > 1e-205).all())


def test_refusals_of_layers():
    with pytest.raises(ValueError, match="law must be gaussian or uniform, got 'cauchy'"):
        depth.RandomLayer(2, law="cauchy")
    with pytest.raises(ValueError, match="x must have 2 entries per chain, the width, got 3"):
        depth.RandomLayer(2)(torch.ones(4, 3), np.random.default_rng(0))
    assert not depth.RandomLayer(2).homogeneous
    assert depth.RandomLayer(2).linearised().homogeneous


# -- rounding --------------------------------------------------------------------------------------


def test_rounding_to_a_grid():
    rho = 2.0**-10
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(1000))
    rounded = depth.round_to_grid(x, rho)
    assert bool((rounded / rho == (rounded / rho).round()).all())
    assert float((rounded - x).abs().max()) <= rho / 2
    assert torch.equal(depth.round_to_grid(rounded, rho), rounded)
    assert torch.equal(depth.round_to_grid(-x, rho), -rounded + 0.0)
    huge = torch.tensor([1.0, 1e300], dtype=torch.float64)
    assert torch.equal(depth.round_to_grid(huge, 2.0**-1074), huge)


@pytest.mark.parametrize(
    ("dtype", "flush", "length"),
    [
        (torch.float16, False, 16.64),
        (torch.bfloat16, False, 92.19),
        (torch.float32, True, 87.34),
        (torch.float32, False, 103.28),
        (torch.float64, False, 744.44),
    ],
)
def test_precision_floors(dtype, flush, length):
    assert -math.log(depth.precision_floor(dtype, flush=flush)) == pytest.approx(length, abs=0.006)


def test_refusals_of_survival():
    with pytest.raises(ValueError, match="rho or dtype must be given, and not both"):
        depth.survival_curve(uniform(1), [1.0], depth=3)
    with pytest.raises(TypeError, match="dtype must be a floating-point type of torch"):
        depth.precision_floor(torch.int32)
    with pytest.raises(
        DataError, match="signals must stay finite, got NaN or infinity after layer"
    ):
        depth.survival_curve(lambda x, rng: x * 1e200, [1.0], rho=0.1, depth=5, chains=2)
    curve = depth.survival_curve(uniform(1), [1.0], rho=0.1, depth=3, chains=2)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 2"):
        curve.interval(2)


# -- survival --------------------------------------------------------------------------------------


def test_total_variation_to_zero_is_survival():
    """Both are computed from the same chains: one by histogram of the law, one by death times."""
    layer, rho, chains = depth.RandomLayer(1, 0.8), 0.25, 512
    curve = depth.survival_curve(layer, [1.0], rho=rho, depth=8, chains=chains, seed=3)
    states = []

    def watched(x, rng):
        states.append(x.clone())
        return layer(x, rng)

    again = depth.survival_curve(watched, [1.0], rho=rho, depth=8, chains=chains, seed=3)
    assert np.array_equal(again.times, curve.times)
    for t in range(1, 8):
        law = states[t].flatten()
        values, counts = law.unique(return_counts=True)
        zero = float(counts[values == 0].sum()) / len(law)
        share = counts.double() / len(law)
        tv = 0.5 * float(share[values != 0].sum() + abs(zero - 1.0))
        assert tv == pytest.approx(curve.probability[t], abs=1e-12)


def test_uniform_law_of_width_one_is_a_gamma_law():
    curve = depth.survival_curve(uniform(1, "linear"), [0.5], rho=1e-30, depth=150, chains=4000)
    t = np.arange(1, 151)
    exact = gamma.cdf(math.log(2 * 0.5 / 1e-30), t)
    low, high = curve.interval(0.9999)
    assert (low[1:] - 0.005 <= exact).all()
    assert (exact <= high[1:] + 0.005).all()


@pytest.mark.parametrize(
    ("width", "dtype_or_rho", "mean", "deviation"),
    [
        (1, torch.float32, 104.6, 10.1),
        (2, torch.float32, 137.5, 8.7),
        (1, 1e-8, 19.6, 4.4),
        (2, 1e-8, 25.8, 4.0),
        (1, 2.0**-24, 17.9, None),
        (2, 2.0**-24, 23.4, None),
    ],
)
def test_depths_of_pytorchs_default_law(width, dtype_or_rho, mean, deviation):
    kind = "dtype" if isinstance(dtype_or_rho, torch.dtype) else "rho"
    x0 = np.full(width, 0.5)
    curve = depth.survival_curve(uniform(width), x0, depth=250, chains=3000, **{kind: dtype_or_rho})
    assert curve.times.mean() == pytest.approx(mean, abs=1.2)
    if deviation:
        assert curve.times.std() == pytest.approx(deviation, rel=0.08)


@pytest.mark.parametrize(
    ("width", "gain", "mean", "deviation", "profile"),
    [
        (1, 1.0, 110.7, 18.4, (0.876, 0.556, 0.206)),
        (2, 0.8, 136.6, 14.7, (0.884, 0.540, 0.199)),
        (5, 0.9, 332.3, 30.6, (0.885, 0.563, 0.207)),
        pytest.param(10, 0.9, 452.9, 34.4, (0.893, 0.610, 0.252), marks=pytest.mark.slow),
    ],
)
def test_survival_follows_the_theorem(width, gain, mean, deviation, profile):
    x0, rho = np.full(width, 0.5), 1e-30
    predicted = depth.predicted_cutoff(width, gain, rho, x0)
    last = int(predicted.centre + 6 * predicted.window)
    curve = depth.survival_curve(
        depth.RandomLayer(width, gain), x0, rho=rho, depth=last, chains=3000
    )
    assert curve.times.mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(3000) + 0.5)
    assert curve.times.std() == pytest.approx(deviation, rel=0.08)
    for a, expected in zip((-1, 0, 1), profile, strict=True):
        at = int(predicted.centre + a * predicted.window)
        assert curve.probability[at] == pytest.approx(expected, abs=0.04)
        late = 0.08 if width < 10 else 0.13  # at finite precision, by a few layers
        assert curve.probability[at] == pytest.approx(float(predicted.profile(at)), abs=late)
    measured = depth.cutoff(curve)
    assert abs(measured.centre - predicted.centre) < predicted.window
    assert measured.window == pytest.approx(3.29 * predicted.window, rel=0.12)


@pytest.mark.slow
def test_the_theorem_is_nearer_on_a_finer_grid():
    """The row of mesh 1e-100: 451.2 layers on average for 449.3 predicted, deviation 27.2."""
    x0, rho = np.full(2, 0.5), 1e-100
    predicted = depth.predicted_cutoff(2, 0.8, rho, x0)
    curve = depth.survival_curve(
        depth.RandomLayer(2, 0.8), x0, rho=rho, depth=620, chains=3000, seed=1
    )
    assert curve.times.mean() == pytest.approx(451.2, abs=4 * 27.2 / math.sqrt(3000) + 0.5)
    assert curve.times.std() == pytest.approx(27.2, rel=0.08)
    for a, expected in zip((-1, 0, 1), (0.853, 0.507, 0.187), strict=True):
        at = int(predicted.centre + a * predicted.window)
        assert curve.probability[at] == pytest.approx(expected, abs=0.04)
        assert curve.probability[at] == pytest.approx(float(predicted.profile(at)), abs=0.06)


def test_relu_survival_is_the_killed_walk():
    predicted = depth.predicted_cutoff(4, 1.2, 1e-60, np.full(4, 0.5), "relu")
    curve = depth.survival_curve(
        depth.RandomLayer(4, 1.2, "relu"), np.full(4, 0.5), rho=1e-60, depth=60, chains=3000
    )
    expected = predicted.profile(curve.depths)
    assert np.abs(curve.probability - expected)[:60].max() < 0.03
    t = 12
    assert 1 - curve.probability[t] == pytest.approx(depth.death_probability(4, t), abs=0.03)


def test_sharpness_grows_with_precision():
    sharpness = []
    for rho in (1e-8, 1e-30, 1e-120):
        predicted = depth.predicted_cutoff(2, 0.6, rho, [0.5, 0.5])
        last = int(predicted.centre + 8 * predicted.window)
        curve = depth.survival_curve(
            depth.RandomLayer(2, 0.6), [0.5, 0.5], rho=rho, depth=last, chains=512
        )
        sharpness.append(depth.cutoff(curve).sharpness)
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[2] < 0.4 * sharpness[0]


def test_above_the_threshold_signals_survive():
    curve = depth.survival_curve(
        depth.RandomLayer(60, 1.15), np.ones(60), rho=0.5, depth=100, chains=100
    )
    assert curve.probability[-1] == 1.0
    assert curve.depths[-1] == 100


def test_chains_are_addressable():
    layer = depth.RandomLayer(3, 0.7)
    few, many = (
        depth.survival_curve(layer, np.ones(3), rho=1e-3, depth=60, chains=n, seed=5)
        for n in (10, 700)
    )
    assert np.array_equal(few.times, many.times[:10])
    other = depth.survival_curve(layer, np.ones(3), rho=1e-3, depth=60, chains=10, seed=6)
    assert not np.array_equal(few.times, other.times)


def test_users_layers_can_be_simulated():
    """Dropout with half of the units: each of three units dies for good, the last one after t."""

    def dropout(x, rng):
        return x * torch.from_numpy(rng.random(x.shape) < 0.5)

    curve = depth.survival_curve(dropout, np.ones(3), rho=0.1, depth=12, chains=4000)
    exact = 1 - (1 - 0.5 ** np.arange(13.0)) ** 3
    assert np.abs(curve.probability - exact).max() < 0.03


# -- rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "value", "variance"),
    [
        (1, -1.0, 1.0),
        (2, -0.7581, 0.311),
        (3, -0.6889, 0.191),
        (5, -0.6358, 0.103),
        (10, -0.5947, 0.049),
    ],
)
def test_lyapunov_exponent_of_pytorchs_default_law(width, value, variance):
    found = depth.lyapunov(uniform(width, "linear"), width, depth=400, chains=256)
    slack = 2 * (found.high - found.low) + 1e-4
    assert found.low - slack <= value <= found.high + slack
    assert found.variance == pytest.approx(variance, rel=0.08)
    assert found.deaths == 0


def test_pytorchs_default_law_of_wide_layers():
    """-0.5591 with variance 0.009 at N = 50; -log(3) / 2 as the width grows."""
    found = depth.lyapunov(uniform(50, "linear"), 50, depth=200, chains=64)
    slack = 2 * (found.high - found.low)
    assert found.low - slack <= -0.5591 <= found.high + slack
    assert found.variance == pytest.approx(0.009, rel=0.15)
    limit = -0.549306
    assert limit == pytest.approx(-0.5 * math.log(3), abs=5e-7)
    wide = depth.log_norm_walk(10**5, 1 / math.sqrt(3), "linear")
    assert wide.drift == pytest.approx(limit, abs=2e-5)


@pytest.mark.parametrize(("width", "activation"), [(3, "linear"), (3, "relu"), (12, "relu")])
def test_lyapunov_exponent_is_the_closed_form(width, activation):
    walk = depth.log_norm_walk(width, HE, activation)
    found = depth.lyapunov(
        depth.RandomLayer(width, HE, activation), width, depth=300, chains=256, seed=1
    )
    slack = found.high - found.low
    assert found.low - slack <= walk.drift <= found.high + slack
    assert found.variance == pytest.approx(walk.variance, rel=0.1)
    assert found.deaths == pytest.approx(walk.death * 270 * 256, rel=0.1, abs=40)


def test_intervals_cover_the_truth():
    truth = depth.log_norm_walk(2, 1.0).drift
    layer = depth.RandomLayer(2, 1.0, "linear")
    hits = 0
    for seed in range(60):
        found = depth.lyapunov(layer, 2, depth=40, chains=20, seed=seed)
        hits += found.low <= truth <= found.high
    assert 50 <= hits <= 60  # 57 expected


def test_drift_of_random_scalings():
    """Multiplication by exp(m + G) moves a point by the modulus of a walk with drift m."""

    def scale(x, rng):
        return x * torch.from_numpy(np.exp(0.3 + 0.5 * rng.standard_normal((len(x), 1))))

    found = depth.drift(scale, "thompson", [1.0, 2.0, 5.0], depth=300, chains=200)
    assert found.low - 0.005 <= 0.3 <= found.high + 0.005
    assert found.variance == pytest.approx(0.25, rel=0.15)
    ray = depth.drift(scale, "hilbert", [1.0, 2.0, 5.0], depth=100, chains=5)
    assert ray.value == pytest.approx(0.0, abs=1e-12)


def test_drift_of_contractions_is_zero():
    found = depth.drift(depth.RandomLayer(4, 0.5), "l2", np.ones(4), depth=200, chains=50)
    assert abs(found.value) < 1e-3


def test_drift_does_not_depend_on_the_start():
    layer = depth.RandomLayer(3, 3.0, "linear")

    def logarithm(x, y):
        return (torch.linalg.vector_norm(y, dim=-1) / torch.linalg.vector_norm(x, dim=-1)).log()

    found = [
        depth.drift(layer, logarithm, start, depth=200, chains=300, seed=seed)
        for seed, start in enumerate([np.ones(3), np.array([5.0, 0.0, -1.0])])
    ]
    exact = depth.log_norm_walk(3, 3.0).drift
    for rate in found:
        slack = rate.high - rate.low
        assert rate.low - slack <= exact <= rate.high + slack


def test_refusals_of_rates():
    layer = depth.RandomLayer(2, 1.0)
    with pytest.raises(ValueError, match="sample_layer must commute with positive factors"):
        depth.lyapunov(layer, 2, depth=40)
    with pytest.raises(ValueError, match="depth must be at least 20, got 5"):
        depth.drift(layer, "l2", [1.0, 1.0], depth=5)
    with pytest.raises(DataError, match="distances must stay finite, got infinity or NaN after"):
        depth.drift(lambda x, rng: x * 1e30, "l2", [1.0, 1.0], depth=40, chains=2)
    with pytest.raises(DataError, match="chains must live through two batches"):
        depth.lyapunov(lambda x, rng: 0.0 * x, 2, depth=20, chains=3)
