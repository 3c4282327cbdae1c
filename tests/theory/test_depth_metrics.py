"""Cone metrics are metrics, certificates hold, and what cannot be certified is refused by name."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from ot_latent._validation import DataError
from ot_latent.theory import depth
from ot_latent.theory.depth.activations import FIXED, facts
from ot_latent.theory.depth.cones import METRICS, resolve_metric

positive = st.floats(1e-3, 1e3, allow_nan=False)
vectors = arrays(np.float64, (3, 4), elements=positive)
steady = settings(max_examples=40, deadline=None, derandomize=True)
CLOSE = 1e-9


def linear(weight, bias=None):
    weight = torch.as_tensor(weight, dtype=torch.float64)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.as_tensor(bias, dtype=torch.float64))
    return layer


def cone_points(rng, n, d=4):
    return np.exp(2.0 * rng.standard_normal((n, d)))


# -- the metrics -----------------------------------------------------------------------------------


@steady
@given(vectors)
@pytest.mark.parametrize("name", list(METRICS))
def test_triangle_inequality_and_symmetry(name, points):
    d = resolve_metric(name)
    x, y, z = torch.from_numpy(points)
    assert float(d(x, z)) <= float(d(x, y) + d(y, z)) + CLOSE * (1 + float(d(x, z)))
    assert float(d(x, y)) == pytest.approx(float(d(y, x)), abs=CLOSE)
    assert float(d(x, x)) == 0.0


@steady
@given(vectors, positive, positive)
def test_hilbert_is_blind_to_scale_and_below_twice_thompson(points, a, b):
    x, y = points[:2]
    hilbert = float(depth.hilbert_distance(x, y))
    assert float(depth.hilbert_distance(a * x, b * y)) == pytest.approx(hilbert, abs=CLOSE)
    assert hilbert <= 2.0 * float(depth.thompson_distance(x, y)) + CLOSE
    assert float(depth.thompson_distance(a * x, x)) == pytest.approx(abs(math.log(a)), abs=CLOSE)


@steady
@given(arrays(np.float64, (2, 5), elements=st.floats(-20, 20)))
def test_hilbert_of_softmax_is_the_oscillation_of_logits(logits):
    p, q = torch.from_numpy(logits).softmax(-1)
    expected = float(depth.oscillation(*logits))
    assert float(depth.hilbert_distance(p, q)) == pytest.approx(expected, abs=1e-9)


@steady
@given(vectors)
def test_total_variation_is_below_tanh_of_a_quarter_of_hilbert(points):
    p, q = (v / v.sum() for v in points[:2])
    tv = 0.5 * np.abs(p - q).sum()
    assert tv <= math.tanh(float(depth.hilbert_distance(p, q)) / 4.0) + CLOSE


def test_total_variation_bound_is_attained_by_mirrored_pairs():
    p = np.array([0.3, 0.7])
    distance = float(depth.hilbert_distance(p, p[::-1].copy()))
    assert pytest.approx(math.tanh(distance / 4.0), abs=1e-14) == 0.4


def test_zeros_count_where_the_patterns_differ():
    x, y = [1.0, 0.0, 2.0], [2.0, 0.0, 2.0]
    assert float(depth.hilbert_distance(x, y)) == pytest.approx(math.log(2))
    assert float(depth.thompson_distance(x, y)) == pytest.approx(math.log(2))
    assert float(depth.hilbert_distance(x, [1.0, 1.0, 1.0])) == math.inf
    assert float(depth.thompson_distance([0.0, 0.0], [1.0, 1.0])) == math.inf
    assert float(depth.thompson_distance([0.0, 0.0], [0.0, 0.0])) == 0.0


def test_batches_and_dtypes_come_through():
    x = torch.rand(5, 1, 3) + 0.1
    y = torch.rand(2, 3) + 0.1
    found = depth.hilbert_distance(x, y)
    assert found.shape == (5, 2)
    assert found.dtype == torch.float32
    assert torch.equal(found[3, 1], depth.hilbert_distance(x[3, 0], y[1]))


def test_refusals_of_the_metrics():
    with pytest.raises(DataError, match="y must lie in the positive cone, got a negative entry -1"):
        depth.hilbert_distance([1.0, 1.0], [1.0, -1.0])
    with pytest.raises(DataError, match="vectors of one length, got shapes"):
        depth.oscillation([1.0, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="metric must be one of l1, l2"):
        resolve_metric("cosine")


# -- Birkhoff --------------------------------------------------------------------------------------


def test_birkhoff_of_the_two_by_two_example_is_a_third():
    assert depth.projective_diameter([[2, 1], [1, 2]]) == pytest.approx(math.log(4), abs=1e-15)
    assert depth.birkhoff_coefficient([[2, 1], [1, 2]]) == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_birkhoff_is_the_sharp_constant(seed):
    matrix = torch.from_numpy(np.random.default_rng(seed).random((4, 3)) + 0.05)
    kappa = depth.birkhoff_coefficient(matrix)
    found = depth.empirical_expansion(
        lambda x: x @ matrix.T, "hilbert", lambda rng, n: cone_points(rng, n, 3), 40_000
    )
    assert 0.99 * kappa <= found.ratio <= kappa * (1 + 1e-9)
    x, y = found.x, found.y
    again = depth.hilbert_distance(matrix @ x, matrix @ y) / depth.hilbert_distance(x, y)
    assert float(again) == pytest.approx(found.ratio, rel=1e-9)


@steady
@given(arrays(np.float64, (4, 3), elements=positive), arrays(np.float64, (3, 4), elements=positive))
def test_birkhoff_is_submultiplicative_and_blind_to_transposition(a, b):
    k = depth.birkhoff_coefficient
    assert k(a @ b) <= k(a) * k(b) + CLOSE
    assert k(a) == pytest.approx(k(a.T), abs=1e-12)


def test_birkhoff_with_zeros():
    assert depth.birkhoff_coefficient([[1.0, 0.0], [1.0, 1.0]]) == 1.0
    assert depth.birkhoff_coefficient([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 2.0]]) == (
        pytest.approx(1 / 3)
    )
    with pytest.raises(DataError, match="must have a positive entry"):
        depth.birkhoff_coefficient(np.zeros((2, 2)))
    with pytest.raises(DataError, match="must not have negative entries, got -1"):
        depth.birkhoff_coefficient([[1.0, -1.0]])


# -- certificates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "order"), [("l1", 1), ("l2", 2), ("linf", math.inf)])
def test_norm_of_a_linear_layer_is_exact(metric, order):
    weight = np.random.default_rng(0).standard_normal((5, 3))
    found = depth.lipschitz_certificate(linear(weight, np.ones(5)), metric)
    assert found.bound == pytest.approx(np.linalg.norm(weight, ord=order), rel=1e-12)
    seen = depth.empirical_expansion(
        linear(weight), metric, lambda rng, n: rng.standard_normal((n, 3)), 2000
    )
    assert 0.8 * found.bound <= seen.ratio <= found.bound * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "activation",
    [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, nn.SELU, nn.ReLU6, nn.Softsign],
)
def test_positive_layers_shrink_thompson(activation, seed):
    rng = np.random.default_rng(seed)
    layer = nn.Sequential(linear(rng.random((4, 4)), rng.random(4)), activation())
    found = depth.lipschitz_certificate(layer, "thompson")
    assert found.non_expansive
    seen = depth.empirical_expansion(layer, "thompson", cone_points, 4000)
    assert seen.ratio <= found.bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("activation", "elasticity"),
    [(nn.GELU, 1.29453), (nn.SiLU, 1.27847), (nn.Mish, 1.21545), (nn.Hardswish, 1.5)],
)
def test_activations_that_expand_are_refused_and_do_expand(activation, elasticity):
    model = nn.Sequential(linear(np.ones((1, 1))), activation())
    found = depth.lipschitz_certificate(model, "thompson")
    assert found.bound is None
    assert not found.non_expansive
    assert f"{activation.__name__} is not subhomogeneous" in found.reason
    assert found.reason.startswith("layer 1")
    seen = depth.empirical_expansion(
        model, "thompson", lambda rng, n: np.exp(rng.standard_normal((n, 1))), 20_000
    )
    assert 1.0 < seen.ratio <= elasticity + 1e-3
    assert seen.ratio == pytest.approx(elasticity, abs=0.02)


@pytest.mark.parametrize(
    ("function", "degree"), [(torch.sqrt, 0.5), (lambda x: torch.relu(x) ** 2, 2.0)]
)
def test_thompson_sees_the_degree_of_homogeneity(function, degree):
    """Degree one half contracts by one half, exactly; the squared rectifier expands by two."""
    seen = depth.empirical_expansion(function, "thompson", cone_points, 500)
    assert seen.ratio == pytest.approx(degree, rel=1e-6)


MODULES = [kind() for kind in FIXED if kind is not nn.Unflatten]
MODULES += [nn.LeakyReLU(-2.0), nn.PReLU(init=1.7), nn.ELU(2.0), nn.Hardtanh(-1.0, 2.0)]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_slopes_and_elasticities_are_those_of_the_functions(module):
    t = torch.linspace(-20, 20, 400_001, dtype=torch.float64, requires_grad=True)
    y = module.eval().double()(t[None])[0]
    (slope,) = torch.autograd.grad(y.sum(), t)
    t, y, known = t.detach(), y.detach(), facts(module)
    assert float(slope.abs().max()) <= known.lipschitz + 1e-8  # Hardsigmoid's slope is a float32
    assert float(slope.abs().max()) == pytest.approx(known.lipschitz, abs=2e-4)
    right = t > 0.01
    if known.elasticity is None:
        assert bool((y[right] <= 0).any())
        return
    elasticity = (t * slope / y)[right]
    assert float(elasticity.max()) <= known.elasticity + 1e-6
    assert float(elasticity.max()) == pytest.approx(known.elasticity, abs=0.02)
    assert known.homogeneous == bool((elasticity - 1).abs().max() < 1e-6)


def test_sigmoid_contracts_thompson_by_the_value_of_lambert():
    from scipy.special import lambertw

    found = depth.lipschitz_certificate(nn.Sigmoid(), "thompson").bound
    assert found == pytest.approx(float(lambertw(1 / math.e).real), abs=1e-15)


def test_reasons_of_the_cone_metrics():
    def reason(layer, metric):
        return depth.lipschitz_certificate(layer, metric).reason

    assert reason(linear([[1.0, -0.5]]), "thompson") == "negative weight -0.5"
    assert reason(linear([[1.0]], [-2.0]), "thompson") == "negative bias -2"
    assert reason(linear([[1.0], [0.0]]), "thompson") == (
        "a row of zeros leads out of the open cone"
    )
    assert reason(linear([[1.0]], [1.0]), "hilbert") == "a bias is not homogeneous"
    assert reason(nn.Tanh(), "hilbert") == "Tanh is not homogeneous on positive numbers"
    assert reason(nn.LogSigmoid(), "hilbert") == (
        "LogSigmoid does not map positive numbers to positive ones"
    )
    assert depth.lipschitz_certificate(linear([[1.0], [0.0]], [0.0, 1.0]), "thompson").bound == 1.0


def test_hilbert_certificate_of_a_chain_is_the_product_of_birkhoff_coefficients():
    rng = np.random.default_rng(3)
    a, b = rng.random((4, 4)) + 0.1, rng.random((4, 4)) + 0.1
    model = nn.Sequential(linear(a), nn.Sequential(nn.ReLU(), linear(b)))
    found = depth.lipschitz_certificate(model, "hilbert")
    k = depth.birkhoff_coefficient
    assert found.bound == pytest.approx(k(a) * k(b), rel=1e-12)
    assert len(found.layers) == 3
    assert depth.empirical_expansion(model, "hilbert", cone_points, 4000).ratio <= found.bound


@pytest.mark.parametrize("metric", ["l1", "l2", "linf"])
def test_convolutional_network_is_bounded(metric):
    torch_rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.MaxPool2d(3, stride=2), nn.Flatten(),
        nn.Linear(27, 2),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_rng) * 0.3)
    found = depth.lipschitz_certificate(model, metric, shape=(1, 7, 7))
    seen = depth.empirical_expansion(
        lambda x: model.double()(x.reshape(-1, 1, 7, 7)),
        metric,
        lambda rng, n: rng.standard_normal((n, 49)),
        500,
    )
    assert seen.ratio <= found.bound
    pool = found.layers[2]
    assert pool.bound == pytest.approx({"l1": 4.0, "l2": 2.0, "linf": 1.0}[metric])


class Skip(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.inner = linear(np.full((3, 3), 0.5))
        self.activation = activation

    def forward(self, x):
        return x + self.activation(self.inner(x))


@pytest.mark.parametrize("metric", ["l2", "thompson", "hilbert"])
def test_skip_connections_are_certified(metric):
    model = Skip(nn.ReLU())
    found = depth.lipschitz_certificate(model, metric, shape=(3,))
    assert found.bound == pytest.approx(
        {"l2": 2.5, "thompson": 1.0, "hilbert": 1.0}[metric], abs=0.6
    )
    seen = depth.empirical_expansion(model, metric, lambda rng, n: cone_points(rng, n, 3), 1000)
    assert seen.ratio <= found.bound * (1 + 1e-9)


def test_skip_connection_around_gelu_is_refused_by_name():
    found = depth.lipschitz_certificate(Skip(nn.GELU()), "thompson", shape=(3,))
    assert found.bound is None
    assert "GELU is not subhomogeneous" in found.reason
    assert "'activation'" in found.reason


def test_functions_are_known_by_name_and_strangers_are_not():
    class Functional(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.f, self.inner = f, linear(np.eye(2))

        def forward(self, x):
            return self.f(self.inner(x))

    assert depth.lipschitz_certificate(Functional(torch.tanh), "thompson", (2,)).bound == 1.0
    found = depth.lipschitz_certificate(Functional(torch.sin), "l2", (2,))
    assert found.bound is None
    assert "nothing is known of sin" in found.reason


def test_residual_gradient_step():
    weight = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    limit = 2.0 / float(torch.linalg.matrix_norm(weight, ord=2)) ** 2
    step = limit * (1 - 1e-12)
    assert depth.residual_certificate(weight, step).non_expansive
    assert depth.residual_certificate(weight, 1.01 * limit).bound is None
    seen = depth.empirical_expansion(
        lambda x: x - step * torch.relu(x @ weight.T) @ weight,
        "l2",
        lambda rng, n: rng.standard_normal((n, 3)),
        5000,
    )
    assert seen.ratio <= 1.0 + 1e-12
    with pytest.raises(ValueError, match="step must not be negative"):
        depth.residual_certificate(weight, -1.0)


def test_refusals_of_certificates_and_expansion():
    with pytest.raises(ValueError, match="metric must be one of l1, l2, linf, thompson, hilbert"):
        depth.lipschitz_certificate(nn.ReLU(), "oscillation")
    with pytest.raises(DataError, match="sampler must return points that differ"):
        depth.empirical_expansion(torch.relu, "l2", lambda rng, n: np.zeros((n, 2)), 4)


def test_huge_matrices_are_not_formed():
    model = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU())
    found = depth.lipschitz_certificate(model, "l2", shape=(1, 64, 64))
    assert found.bound is None
    assert "entries" in found.reason
