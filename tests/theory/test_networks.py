"""What is read from a model is the model: the same function, to rounding, layer by layer."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.layers import Patches, Unpatches, Upscale
from ot_latent.theory.layers import Affine, Elementwise, Maximum
from ot_latent.theory.networks import read_network
from ot_latent.theory.pooling import pooling_windows
from ot_latent.theory.running import float64_function, row_shape


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def filled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and buffer a value that is neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(rng.uniform(0.2, 1.0, tensor.shape)))
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.weight.data -= 0.6
    return model.eval()


class Skip(nn.Module):
    """A residual block that uses everything that a `forward` may hold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.gate = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x, scale=2.0):
        y = self.body(x) * self.gate - self.gate
        y = torch.cat([x + y, torch.abs(x - 1), torch.maximum(x, y) / scale], dim=1)
        y = nn.functional.leaky_relu(1 - y, 0.1).clamp(max=0.5)
        y = nn.functional.max_pool2d(nn.functional.pad(y, (1, 0, 1, 0)), 2)
        return y.view(x.size(0), -1, y.shape[2] * y.shape[3]).flatten(1)[:, 1:]


class Functional(nn.Module):
    """A layer that keeps its weights itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(4))

    def forward(self, x):
        x = torch.relu(nn.functional.linear(x, self.weight, bias=self.bias))
        return -x.relu() @ self.weight + nn.functional.relu6(x).sum(1, keepdim=True)


MODELS = {
    "linear": (nn.Linear(3, 4), (3,)),
    "bare": (nn.Linear(3, 4, bias=False), (3,)),
    "conv1d": (nn.Conv1d(2, 3, 3, stride=2, padding=1, padding_mode="circular"), (2, 9)),
    "conv2d": (nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=1), (4, 7, 8)),
    "few outputs": (nn.Conv2d(6, 2, (3, 5), padding=(1, 3)), (6, 7, 8)),
    "few outputs, dilated": (nn.Conv2d(6, 2, 3, dilation=2), (6, 7, 8)),
    "few outputs, wide border": (nn.Conv2d(6, 2, 3, padding=4), (6, 5, 4)),
    "few outputs, same size": (nn.Conv2d(6, 2, 3, padding="same"), (6, 5, 4)),
    "transposed": (nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1), (4, 3, 2)),
    "batch norm": (nn.BatchNorm1d(5), (5,)),
    "batch norm, maps": (nn.BatchNorm2d(3, affine=False), (3, 4, 5)),
    "average": (nn.AvgPool2d(2, padding=1), (2, 5, 6)),
    "adaptive average": (nn.AdaptiveAvgPool2d(2), (2, 5, 6)),
    "maximum": (nn.MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True), (2, 6, 7)),
    "maximum, dilated": (nn.MaxPool1d(2, stride=1, dilation=3), (2, 9)),
    "adaptive maximum": (nn.AdaptiveMaxPool2d((2, 3)), (2, 5, 7)),
    "upsample": (nn.Upsample(scale_factor=2), (2, 3, 4)),
    "padding": (nn.ConstantPad2d(1, 0.7), (1, 2, 3)),
    "shapes": (
        nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 3, 1)), nn.PixelShuffle(2)),
        (12, 1),
    ),
    "identity": (nn.Sequential(nn.Identity(), nn.Dropout(0.9)), (3,)),
    "relu": (nn.ReLU(inplace=True), (3,)),
    "leaky": (nn.LeakyReLU(0.3), (3,)),
    "prelu": (nn.PReLU(), (3,)),
    "prelu, channels": (nn.PReLU(2), (2, 3, 3)),
    "rrelu": (nn.RReLU(), (3,)),
    "hardtanh": (nn.Hardtanh(-0.5, 0.25), (3,)),
    "relu6": (nn.Sequential(nn.Linear(3, 3), nn.ReLU6()), (3,)),
    "skip": (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), Skip(2), nn.Linear(71, 3)), (1, 6, 8)),
    "functional": (Functional(), (3,)),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), (3,)),
    "ours": (
        nn.Sequential(Patches((1, 5, 7), 2), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU())
        .append(Upscale(3, 4, (5, 8)))
        .append(Unpatches((1, 9, 15), 2)),
        (1, 5, 7),
    ),
    "shapes in": (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(2)), (4,)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_reading_equals_the_model(kind, rng):
    """The extracted form, and its form without maxima, equal the model to 1e-12 in float64."""
    model, shape = MODELS[kind]
    model = filled(model)
    network = read_network(model, shape)
    x = torch.from_numpy(3.0 * rng.standard_normal((11, *shape)))
    expected = model.to(torch.float64)(x.clone()).detach()
    assert network.output_shape == tuple(expected.shape[1:])
    assert network.shapes[-1] == network.output_shape
    for form in (network, network.elementary):
        assert torch.allclose(form(x), expected, rtol=0, atol=1e-12)
    assert not any(isinstance(layer, Maximum) for layer in network.elementary.layers)
    model.to(torch.float32)


@pytest.mark.parametrize("kind", MODELS)
def test_affine_layers_are_their_linear_part_and_their_bias(kind, rng):
    """Each affine layer satisfies L(ax + by) = aL(x) + bL(y); each homogeneous one f(2x) = 2f(x)."""
    model, shape = MODELS[kind]
    network = read_network(filled(model), shape)
    for layer in network.layers:
        x, y = (
            [torch.from_numpy(rng.standard_normal((2, *network.shapes[v]))) for v in layer.inputs]
            for _ in range(2)
        )
        if isinstance(layer, Affine):
            mixed = [2 * a - 3 * b for a, b in zip(x, y, strict=True)]
            expected = 2 * layer.linear(*x) - 3 * layer.linear(*y)
            assert torch.allclose(layer.linear(*mixed), expected, rtol=0, atol=1e-12)
        if layer.homogeneous:
            assert torch.allclose(layer(*(2 * a for a in x)), 2 * layer(*x), rtol=0, atol=1e-12)


def test_a_chain_is_its_matrices(rng):
    """Composing (W, b) and the kinks by hand gives the model; convolutions are matrices, too."""
    model = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    model = filled(model.extend([nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(12, 5), nn.ReLU()]))
    network = read_network(model, (16,))
    pairs = network.matrices()
    assert [tuple(w.shape) for w, _ in pairs] == [(12, 16), (5, 12), (5, 5)]
    assert network.widths == (16, 12, 5, 5)
    y = x = torch.from_numpy(rng.standard_normal((6, 16)))
    for (w, b), kink in zip(pairs, [*network.kinks, None], strict=True):
        y = y @ w.T + b
        y = y if kink is None else kink(y.reshape(-1, *kink.shape)).flatten(1)
    assert torch.allclose(y, network(x), rtol=0, atol=1e-13)
    assert torch.equal(network.layers[-2].matrix((12,)), network.layers[-2].weight)
    assert [k.rectifies for k in network.kinks] == [False, True]


def test_modules_are_the_models_own_and_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.BatchNorm1d(3), nn.ReLU()).train()
    network = read_network(model)
    assert [layer.name for layer in network.layers] == ["0.0", "1", "2"]
    assert network.layers[0].module is model[0][0]
    assert network.layers[0].weight.dtype == torch.float64
    assert model.training
    assert model[1].running_mean.abs().max() == 0
    assert model[0][0].weight.dtype == torch.float32


def test_windows_of_a_pooling():
    """2 x 2 windows on 4 x 4; at a padded border a window repeats its own places."""
    assert pooling_windows(nn.MaxPool2d(2), (1, 4, 4)).tolist()[1] == [2, 3, 6, 7]
    assert pooling_windows(nn.MaxPool1d(3, 2, 1), (2, 4)).tolist()[2] == [4, 5, 4]


def test_an_output_function_is_cut_off_on_request():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.Sigmoid())
    x = torch.ones(4, 2, dtype=torch.float64)
    cut = read_network(model, cut_output=True)
    assert torch.allclose(cut(x).sigmoid(), model.double()(x), rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="got Sigmoid at '3'; pass cut_output=True"):
        read_network(model)


def test_other_functions_are_kept_on_request():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    network = read_network(model, elementwise=True)
    x = torch.ones(4, 2)
    assert [type(layer) for layer in network.layers] == [Affine, Elementwise, Affine]
    assert network.layers[1].kind == "Tanh"
    assert torch.allclose(network(x), model.double()(x.double()), rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="piecewise linear, got Tanh at '1'"):
        _ = network.elementary


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


BAD = {
    "GELU at '1'": (nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)), (2,)),
    "SiLU at '1.0'": (nn.Sequential(nn.ReLU(), nn.Sequential(nn.SiLU()), nn.ReLU()), (2,)),
    "LayerNorm at '0'": (nn.Sequential(nn.LayerNorm(2)), (2,)),
    "MultiheadAttention at 'function'": (
        Calls(nn.MultiheadAttention(4, 1)),
        (2, 4),
    ),
    "BatchNorm1d at '0'": (nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)), (2,)),
    "MaxPool1d at '0'": (nn.Sequential(nn.MaxPool1d(2, return_indices=True)), (2, 4)),
    "softmax": (Calls(lambda x: torch.softmax(x, 1)), (2,)),
    "gelu at 'gelu'": (Calls(lambda x: nn.functional.gelu(x) + 1), (2,)),
    "mul at 'mul'": (Calls(lambda x: x * x), (2,)),
    "truediv": (Calls(lambda x: 1 / x), (2,)),
    "chunk": (Calls(lambda x: torch.chunk(x, 2, 1)), (2,)),
    "linear": (Calls(lambda x: nn.functional.linear(x, x)), (2,)),
    "wonder": (Calls(lambda x: x.wonder()), (2,)),
    "atan2": (Calls(lambda x: torch.atan2(torch.ones(2), x)), (2,)),
    "got tuple": (Calls(lambda x: (x, x)), (2,)),
    "got TraceError": (Calls(lambda x: x if x.sum() > 0 else -x), (2,)),
    "mixes rows": (Calls(lambda x: x - x.mean(0, keepdim=True)), (2,)),
}


@pytest.mark.parametrize("words", BAD)
def test_what_cannot_be_read_is_named(words):
    model, shape = BAD[words]
    with pytest.raises(ValueError, match=words):
        read_network(model, shape)


def test_our_image_networks_are_refused_by_their_norm():
    model = build_autoencoder(AutoencoderConfig(latent_dim=2, width=8), (1, 9, 13), seed=0)
    with pytest.raises(ValueError, match="got GroupNorm at '2'"):
        read_network(model.decoder)
    with pytest.raises(ValueError, match="got one of|must be traceable|must return one tensor"):
        read_network(model, (1, 9, 13))


def test_wrong_questions_are_refused():
    with pytest.raises(TypeError, match="must be a torch.nn.Module, got int"):
        read_network(3)
    with pytest.raises(ValueError, match="shape must be given .* got Conv2d"):
        read_network(nn.Conv2d(1, 1, 3))
    with pytest.raises(ValueError, match="must be a chain"):
        read_network(Functional(), (3,)).matrices()
    with pytest.raises(ValueError, match="got one of 4 x 3 entries"):
        read_network(nn.Linear(3, 4)).matrices(limit=11)


def test_rows_of_another_size_are_refused_in_a_sentence():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    words = (
        r"must take rows of shape \(1, 5, 4\), got RuntimeError \(mat1 and mat2 .*; pass the shape"
    )
    for read in (read_network, float64_function):
        with pytest.raises(ValueError, match=words):
            read(model, (1, 5, 4))
    assert read_network(model, (1, 4, 4)).input_shape == (1, 4, 4)


def test_any_model_runs_in_float64_and_stays_as_it_was():
    model = nn.Sequential(
        nn.Linear(3, 5), nn.LayerNorm(5), nn.Dropout(0.5), nn.Linear(5, 2)
    ).train()
    run = float64_function(model)
    x = np.random.default_rng(0).standard_normal((4, 3))
    twin = copy.deepcopy(model).double().eval()
    assert np.array_equal(run(x), twin(torch.from_numpy(x)).detach().numpy())
    assert model.training
    assert model[0].weight.dtype == torch.float32
    assert row_shape(nn.ReLU(), [4, 1]) == (4, 1)
    with pytest.raises(ValueError, match="must return one tensor, got tuple"):
        float64_function(Calls(lambda x: (x, x)), (2,))
    with pytest.raises(ValueError, match="got none as its first layer"):
        float64_function(nn.ReLU())


def test_a_model_that_is_not_what_its_modules_say_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_forward_hook(lambda module, inputs, output: output + 1)
    with pytest.raises(ValueError, match="must be a fixed function"):
        read_network(model)
    model = nn.Sequential(nn.Conv2d(3, 1, 3))
    model[0].register_forward_hook(lambda module, inputs, output: output + 1)
    with pytest.raises(ValueError, match="must be a fixed function"):
        read_network(model, (3, 4, 4))
