"""Closed forms of random depth: golden values, limits, and two ways to each figure."""

import math

import numpy as np
import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.theory import depth

HE = math.sqrt(2.0)


# -- gains and walks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "gain"),
    [(1, 1.887365), (2, 1.334568), (5, 1.112453), (10, 1.053018), (100, 1.005029)],
)
def test_critical_gain_of_tanh(width, gain):
    assert depth.critical_gain(width) == pytest.approx(gain, abs=5e-7)
    assert depth.log_norm_walk(width, depth.critical_gain(width)).drift == pytest.approx(
        0, abs=1e-14
    )


@pytest.mark.parametrize(
    ("width", "drift", "variance"),
    [
        (1, -0.288608, 1.233701),
        (2, -0.404132, 1.066312),
        (5, -0.311696, 0.590567),
        (10, -0.153731, 0.216684),
        (20, -0.068593, 0.077940),
        (50, -0.025869, 0.027042),
        (100, -0.012710, 0.012985),
        (1000, -0.001252, 0.001255),
    ],
)
def test_relu_walk_at_he_initialisation(width, drift, variance):
    walk = depth.log_norm_walk(width, HE, "relu")
    assert walk.drift == pytest.approx(drift, abs=6e-7)
    assert walk.variance == pytest.approx(variance, abs=6e-7)
    assert walk.death == 2.0**-width
    assert depth.critical_gain(width, "relu") == pytest.approx(
        HE * math.exp(-walk.drift), rel=1e-12
    )


def test_relu_walk_tends_to_five_over_four_widths():
    drift, variance, _ = depth.log_norm_walk(2000, HE, "relu")
    assert 2000 * drift == pytest.approx(-1.25, abs=2e-3)
    assert 2000 * variance == pytest.approx(1.25, abs=4e-3)


@pytest.mark.parametrize(
    ("width", "factor"),
    [(2, 0.712271), (5, 0.869781), (10, 0.935637), (20, 0.968289), (50, 0.987427), (100, 0.993732)],
)
def test_length_factor_at_he_initialisation(width, factor):
    assert depth.expected_length_factor(width) == pytest.approx(factor, abs=6e-7)


def test_length_factor_of_ten_layers_and_its_limit():
    """f^10 = 0.7245 at N = 20, where 0.745 +- 0.028 was simulated; 1 - 5 / 8N for wide layers."""
    assert depth.expected_length_factor(20) ** 10 == pytest.approx(0.7245, abs=5e-5)
    assert 4000 * (1 - depth.expected_length_factor(4000)) == pytest.approx(0.625, abs=1e-3)


def test_length_factor_is_the_mean_of_a_layer():
    rng = np.random.default_rng(0)
    x = torch.full((40_000, 6), 1.0, dtype=torch.float64)
    norms = torch.linalg.vector_norm(depth.RandomLayer(6, HE, "relu")(x, rng), dim=1) / math.sqrt(6)
    assert float(norms.mean()) == pytest.approx(depth.expected_length_factor(6), abs=0.006)


def test_death_probability():
    assert depth.death_probability(2, 10) == pytest.approx(1 - 0.75**10, rel=1e-12)
    assert depth.death_probability(100, 5) == pytest.approx(5 * 2.0**-100, rel=1e-12)


# -- predicted cut-offs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "gain", "rho", "centre", "window"),
    [
        (1, 1.0, 1e-30, 107.7, 18.1),
        (2, 0.8, 1e-30, 134.3, 14.5),
        (2, 0.8, 1e-100, 449.3, 26.6),
        (5, 0.9, 1e-30, 326.5, 29.9),
        (10, 0.9, 1e-30, 442.8, 31.5),
    ],
)
def test_predicted_cutoff(width, gain, rho, centre, window):
    found = depth.predicted_cutoff(width, gain, rho, np.full(width, 0.5))
    assert found.centre == pytest.approx(centre, abs=0.06)
    assert found.window == pytest.approx(window, abs=0.06)
    values = found.profile(found.centre + found.window * np.array([-1.0, 0.0, 1.0]))
    assert values == pytest.approx([0.841345, 0.5, 0.158655], abs=1e-6)
    assert found.quantile(0.5) == pytest.approx(found.centre)
    assert float(found.profile(found.quantile(0.95))) == pytest.approx(0.95, abs=1e-9)


def test_settings_of_the_vanishing_mesh():
    walk = depth.log_norm_walk(20, 0.7)
    assert -walk.drift == pytest.approx(0.382091, abs=6e-7)
    assert math.sqrt(walk.variance) == pytest.approx(0.162147, abs=6e-7)


def test_predicted_cutoff_of_relu_dies_by_chance_too():
    found = depth.predicted_cutoff(3, 1.0, 1e-20, [1.0, 0.0, 0.0], "relu")
    assert found.death == 0.125
    assert float(found.profile(5)) == pytest.approx(0.875**5, rel=1e-3)


def test_refusals_of_predictions():
    with pytest.raises(ValueError, match="exponent must be negative for a cut-off, got 0.05"):
        depth.predicted_cutoff(100, 1.06, 1e-8, 1.0)
    with pytest.raises(ValueError, match="x0 must exceed the grid, got norm 0.1 and mesh 0.5"):
        depth.predicted_cutoff(2, 0.5, 0.5, 0.1)
    with pytest.raises(ValueError, match="activation must be one of tanh, linear, relu"):
        depth.critical_gain(10, "gelu")
    with pytest.raises(ValueError, match="activation must be one of linear, relu, tanh"):
        depth.chi("sine", 1.0)
    with pytest.raises(ValueError, match="width must be a positive integer"):
        depth.critical_gain(0)


# -- cut-offs of curves ----------------------------------------------------------------------------


def test_cutoff_of_a_step_is_sharp():
    found = depth.cutoff([1.0] * 30 + [0.0] * 5)
    assert (found.centre, found.window, found.sharpness) == (30, 0, 0.0)


def test_cutoff_of_a_slope():
    curve = np.arange(100, -1, -1) / 100
    found = depth.cutoff(curve)
    assert (found.start, found.centre, found.end) == (5, 50, 95)
    assert (found.window, found.sharpness) == (90, 1.8)


def test_window_of_the_normal_profile_spans_three_point_three_deviations():
    predicted = depth.first_passage(-0.01, 0.0004, 40.0)
    found = depth.cutoff(predicted.profile(np.arange(8000)))
    assert found.centre == pytest.approx(4000, abs=1)
    assert found.window == pytest.approx(3.28971 * predicted.window, abs=2)


def test_curves_that_do_not_fall_are_refused():
    with pytest.raises(DataError, match="curve must fall to 0.05, got 0.5 after 3 layers"):
        depth.cutoff([1.0, 1.0, 0.7, 0.5])
    with pytest.raises(DataError, match="curve must hold probabilities, got values from 0 to 2"):
        depth.cutoff([2.0, 0.0])
    assert depth.mixing_time([1.0, 1.0, 0.7], 0.5) is None


# -- wide networks on a grid -----------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "moment"), [(0.5, 0.325413), (1, 1.083333), (2, 4.083333)])
def test_rounded_second_moment(alpha, moment):
    assert depth.rounded_second_moment(alpha) == pytest.approx(moment, abs=6e-7)
    draws = alpha * torch.from_numpy(np.random.default_rng(0).standard_normal(400_000))
    sampled = depth.round_to_grid(draws, 1.0).square().mean()
    assert float(sampled) == pytest.approx(moment, rel=0.01)


def test_lattice_threshold():
    assert depth.lattice_threshold() == pytest.approx(0.866303, abs=6e-7)
    assert depth.lattice_threshold() ** 2 == pytest.approx(0.750481, abs=6e-7)
    alpha = 0.428697
    ratio = alpha / math.sqrt(depth.rounded_second_moment(alpha))
    assert ratio == pytest.approx(depth.lattice_threshold(), rel=1e-11)
    assert depth.lattice_threshold(0.5) == pytest.approx(0.887276, abs=6e-7)
    assert depth.lattice_threshold(0.1) == pytest.approx(0.867236, abs=6e-7)
    assert depth.lattice_threshold(1e-3) == pytest.approx(depth.lattice_threshold(), abs=1e-6)


def test_rounded_length_map_is_the_mean_square_of_a_wide_layer():
    q, gain, rho = 4.0, 0.7, 0.5
    normals = torch.from_numpy(np.random.default_rng(1).standard_normal(400_000))
    signal = depth.round_to_grid(torch.tanh(rho * gain * math.sqrt(q) * normals), rho)
    expected = float(signal.square().mean()) / rho**2
    assert depth.rounded_length_map(q, gain, rho) == pytest.approx(expected, rel=0.01)
    assert depth.rounded_length_map(0.0, gain, rho) == 0.0


def test_wide_networks_are_absorbed_within_three_layers_of_the_prediction():
    width, gain, rho = 2000, 0.7, 0.5
    found = depth.absorption_depth(width, gain, rho, 1.0)
    curve = depth.survival_curve(
        depth.RandomLayer(width, gain), np.ones(width), rho=rho, depth=found + 6, chains=100
    )
    assert curve.probability[found - 1] > 0.9
    assert curve.probability[found + 2] < 0.1


def test_refusals_of_the_lattice():
    with pytest.raises(ValueError, match="gain must be below the threshold 0.887276"):
        depth.absorption_depth(100, 0.95, 0.5, 1.0)
    with pytest.raises(ValueError, match="width must be at least 3, got 2"):
        depth.absorption_depth(2, 0.5, 0.5, 1.0)
    with pytest.raises(ValueError, match="rho must be below 1, the bound of tanh, got 1.5"):
        depth.lattice_threshold(1.5)
    with pytest.raises(ValueError, match="q must be a mean square, got -1"):
        depth.rounded_length_map(-1.0, 0.5, 0.5)


# -- infinitely wide networks ----------------------------------------------------------------------


def test_relu_correlations_at_he_initialisation():
    values, c = {}, 0.0
    for layer in range(1, 10_001):
        c = depth.correlation_map(c, "relu", HE)
        values[layer] = c
    assert [values[1], values[2], values[3]] == pytest.approx(
        [0.318310, 0.493731, 0.604826], abs=6e-7
    )
    assert values[10] == pytest.approx(0.871536, abs=6e-7)
    assert values[100] == pytest.approx(0.996423, abs=6e-7)
    assert values[1000] == pytest.approx(0.99995687, abs=6e-9)
    ratios = [math.acos(values[l]) * l / (3 * math.pi) for l in (100, 1000, 10_000)]
    assert ratios == pytest.approx([0.8977, 0.98545, 0.99818], abs=6e-5)


@pytest.mark.parametrize(
    ("gain", "fixed", "rate", "factor"),
    [
        (1.1, 0.09318172, 0.83606786, 1.01018936),
        (1.5, 0.35260180, 0.50467776, 1.13932322),
        (2.0, 0.53036839, 0.33096715, 1.36267334),
        (3.0, 0.70059972, 0.19035422, 1.85975188),
    ],
)
def test_tanh_above_the_critical_gain(gain, fixed, rate, factor):
    found = depth.relaxation(gain)
    assert found.fixed_point == pytest.approx(fixed, abs=6e-9)
    assert found.rate == pytest.approx(rate, abs=6e-9)
    assert depth.chi("tanh", gain) == pytest.approx(factor, abs=6e-9)
    step = 1e-4
    up, down = (
        depth.length_map(gain**2 * (fixed + s), "tanh", gain) / gain**2 for s in (step, -step)
    )
    assert (up - down) / (2 * step) == pytest.approx(rate, abs=1e-6)


def test_supercritical_cutoff():
    assert depth.relaxation(1.5).amplitude == pytest.approx(0.255181, abs=6e-7)
    assert depth.supercritical_depth(1000, 1.5) == pytest.approx(3.0535, abs=6e-5)


def test_power_law_exponent():
    assert depth.power_law_exponent(1, 2.5) == pytest.approx(0.357005, abs=6e-7)
    near = depth.critical_gain(8) * 1.001
    assert 0 < depth.power_law_exponent(8, near) < 0.05
    with pytest.raises(ValueError, match="gain must be above the critical 1.887365, got 1.5"):
        depth.power_law_exponent(1, 1.5)


def test_edge_of_chaos_and_depth_scales():
    assert depth.chi("relu", HE) == pytest.approx(1.0, abs=1e-14)
    assert depth.chi("tanh", 1.0) == pytest.approx(1.0, abs=1e-3)
    assert depth.depth_scale("relu", HE) == math.inf
    assert depth.depth_scale("tanh", 1.2) == math.inf
    assert depth.depth_scale("relu", 1.0) == pytest.approx(1 / math.log(2), rel=1e-12)
    assert depth.depth_scale("tanh", 1 / math.sqrt(3)) == pytest.approx(1 / math.log(3), rel=1e-9)


def test_fixed_lengths():
    assert depth.fixed_length("relu", HE, q0=2.5) == 2.5
    assert depth.fixed_length("relu", 1.0, bias=0.5) == pytest.approx(0.5)
    assert depth.fixed_length("relu", 2.0) == math.inf
    assert depth.fixed_length("linear", 1.0, bias=0.1) == math.inf
    assert depth.fixed_length("gelu", 1.0) == 0.0
    q = depth.fixed_length("tanh", 1.3, bias=0.3)
    assert depth.length_map(q, "tanh", 1.3, 0.3) == pytest.approx(q, rel=1e-12)
    with pytest.raises(ValueError, match="gain must keep lengths finite"):
        depth.chi("gelu", 3.0)
    with pytest.raises(ValueError, match="gain must be above 1, got 0.9"):
        depth.relaxation(0.9)
    with pytest.raises(ValueError, match="bias must be finite and not negative"):
        depth.length_map(1.0, "tanh", 1.0, -0.1)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear", "silu", "gelu"])
def test_maps_are_the_moments_of_wide_layers(activation):
    gain, bias, q, c = 1.4, 0.3, 1.7, 0.4
    rng = np.random.default_rng(2)
    u, w = (torch.from_numpy(rng.standard_normal(600_000)) for _ in range(2))
    v = c * u + math.sqrt(1 - c * c) * w
    from ot_latent.theory.depth.activations import function, slope

    f, df = function(activation), slope(activation)
    a, b = f(math.sqrt(q) * u), f(math.sqrt(q) * v)
    length = float(gain**2 * a.square().mean() + bias**2)
    assert depth.length_map(q, activation, gain, bias) == pytest.approx(length, rel=0.01)
    both = float(gain**2 * (a * b).mean() + bias**2)
    assert depth.correlation_map(c, activation, gain, bias, q) == pytest.approx(
        both / length, rel=0.02
    )
    factor = float(gain**2 * df(math.sqrt(q) * u).square().mean())
    assert depth.chi(activation, gain, bias, q) == pytest.approx(factor, rel=0.01)
    assert depth.correlation_map(1.0, activation, gain, bias, q) == pytest.approx(1.0, abs=1e-9)


def test_correlations_lie_between_minus_one_and_one():
    with pytest.raises(ValueError, match="c must be a correlation"):
        depth.correlation_map(1.5, "tanh", 1.0)


# -- the suggestion --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("width", [16, 64, 256])
def test_suggestion_stays_before_both_limits(activation, width):
    default = depth.suggest_depth("pytorch", width, activation=activation)
    critical = depth.suggest_depth("critical", width, activation=activation)
    assert default.depth <= default.cutoff.quantile(0.95)
    assert default.depth <= default.fluctuation
    assert critical.cutoff is None
    assert critical.depth == int(math.log(2) / (4 * critical.walk.variance))
    assert default.depth <= critical.depth


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_suggestion_is_continuous_at_the_critical_gain(activation):
    """Where the drift vanishes, chance alone decides, however the drift is rounded."""
    for width in (7, 48, 56, 96, 110):
        at = depth.suggest_depth("critical", width, activation=activation)
        assert at.depth == max(1, int(at.fluctuation))
        for factor in (0.998, 0.9999, 1.0001, 1.02, 1.05):
            near = depth.suggest_depth(factor * at.gain, width, activation=activation)
            assert abs(near.depth - at.depth) <= 1


@pytest.mark.parametrize(("gain", "activation"), [("pytorch", "tanh"), (1.1, "relu")])
def test_eight_bits_are_left_with_the_probability_that_is_said(gain, activation):
    """The normal walk of the round trip, at the depth before it is cut to a whole number."""
    from scipy.special import ndtr

    from ot_latent.theory.depth.suggestion import _kept

    found = depth.suggest_depth(gain, 256, activation=activation)
    drift, variance = 2 * found.walk.drift, 4 * found.walk.variance
    distance = -math.log(256 * torch.finfo(torch.float32).eps)
    t = _kept(drift, variance, distance)
    assert found.depth == int(t) < found.fluctuation
    assert float(ndtr((distance + drift * t) / math.sqrt(variance * t))) == pytest.approx(0.95)
    assert _kept(0.0, variance, distance) > _kept(drift, variance, distance)
    assert _kept(drift, variance, 0.0) == 0.0


def test_suggestion_grows_with_precision_and_width():
    kinds = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
    found = [depth.suggest_depth("pytorch", 256, kind).depth for kind in kinds]
    assert depth.suggest_depth("pytorch", 256, 0.1).depth == 1  # less than eight bits
    assert found == sorted(found)
    assert found[1] < found[2] < found[3]
    assert depth.suggest_depth("pytorch", 256, 2.0**-23) == depth.suggest_depth("pytorch", 256)
    wide = [depth.suggest_depth("critical", n, activation="relu").depth for n in (8, 64, 512)]
    assert wide == sorted(set(wide))


def test_suggestion_above_the_critical_gain():
    assert depth.suggest_depth(3.0, 256).cutoff.centre == pytest.approx(
        -math.log(2.0**-23) / math.log(1.85975188), rel=1e-6
    )
    assert depth.suggest_depth(2.0, 256, activation="relu").depth < 30
    assert depth.suggest_depth("he", 64, activation="relu").gain == pytest.approx(HE)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_wide_walks_are_the_limit_of_exact_ones(activation):
    exact, wide = (f(2000, 1.3, activation) for f in (depth.log_norm_walk, depth.wide_walk))
    assert wide.variance == pytest.approx(exact.variance, rel=2e-3)
    assert wide.drift == pytest.approx(exact.drift, abs=1e-3)


def test_wide_walk_of_silu_is_that_of_layers():
    width, gain = 400, depth.length_gain("silu")
    rng = np.random.default_rng(3)
    z = torch.from_numpy(rng.standard_normal((4000, width)))  # unit pre-activations
    signal = torch.nn.functional.silu(z)
    images = gain * signal.square().mean(1).sqrt()  # their length after the next weights
    walk = depth.wide_walk(width, gain, "silu")
    assert float(images.log().mean()) == pytest.approx(walk.drift, abs=5e-3)
    assert float(images.log().var()) == pytest.approx(walk.variance, rel=0.08)


def test_norms_leave_only_chance():
    free = depth.suggest_depth("he", 256, 1e-3, activation="silu")
    held = depth.suggest_depth("he", 256, 1e-3, activation="silu", norms=True)
    assert free.depth < held.depth == int(held.fluctuation)
    assert held.cutoff is None
    assert depth.suggest_depth("critical", 256, activation="silu").gain == pytest.approx(
        depth.length_gain("silu")
    )


def test_refusals_of_the_suggestion():
    with pytest.raises(ValueError, match="initialisation must be one of pytorch, xavier, he"):
        depth.suggest_depth("kaiming", 64)
    with pytest.raises(ValueError, match="precision must be below 1, got 2"):
        depth.suggest_depth("he", 64, 2.0)
    with pytest.raises(ValueError, match="precision must be a floating-point type, got torch.int"):
        depth.suggest_depth("he", 64, torch.int64)
