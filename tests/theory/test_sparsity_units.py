"""Units are read off models as views: rescaling them leaves every network's function as it is."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from ot_latent._random import Stream, generator
from ot_latent._units import UnitBlock
from ot_latent.theory.sparsity import (
    SkipNetwork,
    active_units,
    balance_,
    balance_residual,
    bottleneck_ranks,
    disjoint_units,
    homogeneous_units,
    layer_balance_,
    path_norm,
    path_penalty,
    unit_norms,
    weight_decay_gap,
)


def filled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return the model in float64, with weights and biases from a seed."""
    rng = generator(seed, Stream.INITIALISATION, 0)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return model


def points(n: int, d: int, block: int = 0) -> torch.Tensor:
    """Return normal rows in float64."""
    return torch.from_numpy(generator(9, Stream.FIT, block).normal(size=(n, d)))


def dense(*sizes: int) -> nn.Sequential:
    """Return a chain of linear layers with ReLU between them."""
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


ZOO = {
    "dense": (lambda: dense(3, 8, 2), (3,)),
    "deep": (lambda: dense(4, 7, 6, 5, 2), (4,)),
    "no bias": (
        lambda: nn.Sequential(
            nn.Linear(3, 8, bias=False), nn.LeakyReLU(0.2), nn.Linear(8, 2, bias=False)
        ),
        (3,),
    ),
    "nested": (
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Sequential(nn.Linear(6, 5), nn.PReLU()),
            nn.Dropout(0.5),
            nn.Linear(5, 3),
            nn.Sigmoid(),
        ),
        (2, 3),
    ),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 4, 3),
        ),
        (2, 12, 12),
    ),
    "decoder": (
        lambda: nn.Sequential(
            nn.Linear(2, 24),
            nn.Unflatten(1, (6, 2, 2)),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 1, 3, padding=1),
        ),
        (2,),
    ),
    "signals": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, groups=2), nn.ReLU(), nn.Conv1d(4, 2, 2)),
        (2, 9),
    ),
}
each_network = pytest.mark.parametrize("name", ZOO)


def network(name: str) -> tuple[nn.Module, torch.Tensor, list[UnitBlock]]:
    """Return a model, rows for it, and its units."""
    build, shape = ZOO[name]
    x = generator(1, Stream.FIT, 0).normal(size=(20, *shape))
    model = filled(build())
    return model, torch.from_numpy(x), homogeneous_units(model, shape)


# -- reading ---------------------------------------------------------------------------------------


@each_network
def test_rescaling_units_by_any_factors_keeps_the_function(name):
    model, x, blocks = network(name)
    before = model(x)
    rng = generator(2, Stream.FIT, 0)
    for block in blocks:
        assert len(block.in_norms()) == len(block.out_norms())
        block.rescale_(torch.from_numpy(rng.lognormal(size=len(block.in_norms()))))
    assert (model(x) - before).abs().max() < 1e-11 * before.abs().max()
    assert not torch.equal(
        blocks[0].incoming.parameter,
        filled(ZOO[name][0]()).get_parameter(f"{blocks[0].names[0]}.weight"),
    )


def test_a_convolution_before_a_linear_layer_has_one_unit_per_channel():
    model, _, (first, last) = network("convolutions")
    filters = model[0].weight.detach().flatten(1).norm(dim=1)
    assert torch.allclose(first.in_norms().detach(), filters)
    columns = model[7].weight.detach().reshape(3, 6, 4)
    assert torch.allclose(last.out_norms().detach(), columns.norm(dim=(0, 2)))
    grouped = model[3].weight.detach()  # channel 3 is the second of the second group
    expected = grouped[3:, 1].norm()
    assert torch.allclose(first.out_norms().detach()[3], expected)


def test_units_of_an_unflattened_layer_are_channels():
    model, _, (block, *_) = network("decoder")
    rows = model[0].weight.detach().reshape(6, -1)
    assert torch.allclose(block.in_norms().detach(), rows.norm(dim=1))
    bias = model[0].bias.detach().reshape(6, -1)
    expected = torch.hypot(rows.norm(dim=1), bias.norm(dim=1))
    assert torch.allclose(block.in_norms(bias=True).detach(), expected)


class Wired(nn.Module):
    """Networks whose values are read twice, added, joined and cut."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.wide, self.skip = nn.Linear(16, 2), nn.Linear(3, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.a(x))
        if self.way == "residual":
            return self.c(h + self.b(h))
        if self.way == "inner":
            return self.skip(x) + self.b(h)
        if self.way == "joined":
            return self.wide(torch.cat([h, torch.abs(self.a(x))], dim=1))
        if self.way == "doubled":  # one reader, twice the same units
            z = self.b(h)
            return self.wide(torch.cat([torch.relu(z), torch.abs(z)], dim=1))
        if self.way == "cut":
            return self.c(torch.nn.functional.pad(h[:, 2:6], (2, 2)))
        pairs = torch.nn.functional.avg_pool1d(h, 2)  # neighbours are mixed
        return self.c(torch.cat([pairs, pairs], dim=1))


@pytest.mark.parametrize(
    ("way", "expected", "count"),
    [
        ("residual", [], 0),
        ("inner", [("a", "b")], 8),
        ("doubled", [("a", "b"), ("b", "wide")], 8),
        ("cut", [], 0),
        ("mixed", [], 0),
    ],
)
def test_only_channels_with_one_reader_of_their_own_are_units(way, expected, count):
    model, x = filled(Wired(way)), points(12, 3)
    blocks = homogeneous_units(model, strict=False)
    assert [b.names for b in blocks] == expected
    before = model(x)
    for block in blocks:
        assert len(block.in_norms()) == count
        block.rescale_(torch.linspace(0.5, 2, count, dtype=torch.float64))
    assert torch.allclose(model(x), before, rtol=1e-12)


def test_channels_that_one_reader_mixes_are_one_unit():
    shuffle = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(2, 3, 3)
    )
    model = filled(shuffle)
    x = points(4, 25).reshape(4, 1, 5, 5)
    (block,) = homogeneous_units(model, (1, 5, 5))
    assert len(block.in_norms()) == 2
    before = model(x)
    block.rescale_(torch.tensor([3.0, 0.2], dtype=torch.float64))
    assert torch.allclose(model(x), before, rtol=1e-11)


def test_a_layer_used_twice_is_refused():
    with pytest.raises(ValueError, match="layer a must be used once, got a model that uses it 2"):
        homogeneous_units(Wired("joined"))


def test_a_final_sigmoid_does_not_matter_and_a_skip_network_has_one_block():
    model = SkipNetwork(3, 6, 2)
    assert [b.names for b in homogeneous_units(model)] == [("curved.0", "curved.2")]
    assert path_norm(nn.Sequential(model, nn.Sigmoid())) == path_norm(model)
    with pytest.raises(ValueError, match="units must be at least one block, got none"):
        path_norm([])


def test_disjoint_units_take_every_second_block():
    model = dense(2, 3, 4, 5, 1)
    assert [b.names for b in homogeneous_units(model)] == [("0", "2"), ("2", "4"), ("4", "6")]
    assert [b.names for b in disjoint_units(model)] == [("0", "2"), ("4", "6")]


@pytest.mark.parametrize(
    ("middle", "says"),
    [
        (nn.GELU(), r"layers between 0 and 2 must be positively homogeneous, got 1 \(GELU\); use"),
        (nn.BatchNorm1d(4), r"got 1 \(BatchNorm1d\); fold it into the layer before"),
        (nn.ReLU6(), r"layers between 0 and 2 must be positively homogeneous, got 1; use"),
    ],
)
def test_maps_that_are_not_homogeneous_are_refused_by_name(middle, says):
    model = nn.Sequential(nn.Linear(2, 4), middle, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=says):
        homogeneous_units(model)
    assert [b.names for b in homogeneous_units(model, strict=False)] == [("2", "4")]


def test_models_without_units_and_parametrised_weights_are_refused():
    with pytest.raises(
        ValueError, match="must have units between two affine layers, got Sequential"
    ):
        path_norm(nn.Sequential(nn.Linear(2, 1), nn.ReLU()))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 4))
    with pytest.raises(ValueError, match="layer 0 must own its weights, got a parametrisation"):
        homogeneous_units(nn.Sequential(normed, nn.ReLU(), nn.Linear(4, 1)))


# -- norms and balance -----------------------------------------------------------------------------


def test_path_norm_by_hand_and_as_a_penalty():
    model = dense(2, 2, 1)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
        model[0].bias.copy_(torch.tensor([12.0, 0.0]))
        model[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
    assert path_norm(model) == pytest.approx(12.0)
    assert path_norm(model, bias=True) == pytest.approx(28.0)
    penalty = path_penalty(homogeneous_units(model))
    penalty.backward()
    assert penalty.item() == pytest.approx(12.0)
    wanted = torch.tensor([[1.2, 1.6], [0.0, 1.0]])  # |v| w / |w|
    assert torch.allclose(model[0].weight.grad, wanted)
    assert active_units(model) == [2]
    assert weight_decay_gap(model) == pytest.approx(0.5 * (3**2 + 1))


@each_network
@pytest.mark.parametrize("bias", [False, True])
def test_balance_keeps_the_function_and_equals_the_norms(name, bias):
    model, x, blocks = network(name)
    before, units = model(x), unit_norms(blocks)
    deep = len(blocks) > 1
    report = balance_(blocks, bias=bias)
    assert (model(x) - before).abs().max() < 1e-12 * max(1.0, before.abs().max().item())
    assert report.residual == balance_residual(blocks, bias=bias) < 1e-12
    assert report.sweeps > 1 if deep else report.sweeps == 1
    assert weight_decay_gap(blocks, bias=bias) < 1e-12
    if not deep:  # rescaling a unit leaves its share of the path norm
        assert torch.allclose(unit_norms(blocks)[0], units[0], rtol=1e-12)


@torch.no_grad()
def sum_of_squares(model: nn.Module) -> float:
    """Half the sum of squares of all weights, biases left out."""
    weights = [p for n, p in model.named_parameters() if "bias" not in n]
    return 0.5 * sum(w.square().sum().item() for w in weights)


@given(seed=st.integers(0, 10**6))
def test_after_balance_weight_decay_equals_the_path_norm(seed):
    model = filled(dense(1, 8, 1), seed)
    norm = path_norm(model)
    assert sum_of_squares(model) >= norm * (1 - 1e-12)
    balance_(model)
    assert sum_of_squares(model) == pytest.approx(norm, rel=1e-12)
    assert path_norm(model) == pytest.approx(norm, rel=1e-12)


def test_sweeps_reach_the_least_sum_of_squares_of_a_chain():
    """The minimiser is unique: another start by rescaling leads to the same weights."""
    model, _, _ = network("deep")
    other = copy.deepcopy(model)
    for block in homogeneous_units(other):
        rng = generator(5, Stream.FIT, 0)
        block.rescale_(torch.from_numpy(rng.lognormal(sigma=1.0, size=len(block.in_norms()))))
    first, _ = balance_(model), balance_(other)
    assert 5 < first.sweeps < 100
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
    lengths = [float(p.detach().norm()) for n, p in model.named_parameters() if "bias" not in n]
    assert lengths == pytest.approx([lengths[0]] * 4, rel=1e-12)  # layers are even, too
    least = sum_of_squares(model)
    rng = generator(6, Stream.FIT, 0)
    for _ in range(20):
        moved = copy.deepcopy(model)
        for block in homogeneous_units(moved):
            factors = rng.lognormal(sigma=0.1, size=len(block.in_norms()))
            block.rescale_(torch.from_numpy(factors))
        assert sum_of_squares(moved) > least


def test_silent_units_become_zero_and_constant_ones_stay():
    model = filled(dense(2, 4, 1))
    with torch.no_grad():
        model[2].weight[0, 0] = 0.0  # no output
        model[0].weight[1], model[0].bias[1] = 0.0, 0.0  # no input at all
        model[0].weight[2], model[0].bias[2] = 0.0, 1.5  # constant
    x = points(9, 2)
    before, constant = model(x), model[2].weight[0, 2].item()
    balance_(model)
    assert torch.allclose(model(x), before, rtol=1e-13, atol=1e-13)
    assert not model[0].weight[0].any()
    assert not model[0].bias[0]
    assert not model[2].weight[0, 1]
    assert model[2].weight[0, 2].item() == constant
    assert active_units(model) == [1]


def test_float32_models_balance_to_their_precision():
    model = filled(dense(3, 30, 20, 2)).float()
    assert balance_(model).residual < 1e-5
    with pytest.raises(RuntimeError, match=r"must fall to 0.0e\+00, got .* after 2 sweeps; allow"):
        balance_(filled(dense(3, 30, 20, 2)), tolerance=0.0, max_sweeps=2)


def test_layer_balance_evens_out_path_norms_and_keeps_the_function():
    model = filled(dense(3, 8, 4, 9, 5, 7, 2))
    x = points(9, 3)
    before, blocks = model(x), disjoint_units(model)
    norms = layer_balance_(model)
    after = [float(p.sum()) for p in unit_norms(blocks)]
    mean = float(np.exp(np.log(norms).mean()))
    assert after == pytest.approx([mean] * 3, rel=1e-12)
    assert sum(after) < sum(norms)
    assert (model(x) - before).abs().max() < 1e-12 * before.abs().max()
    with pytest.raises(ValueError, match="even number of affine layers, got 3"):
        layer_balance_(dense(2, 3, 3, 1))
    with torch.no_grad():
        model[2].weight.zero_()
    with pytest.raises(ValueError, match="path norm > 0, got 0"):
        layer_balance_(model)


def test_gradient_flow_with_weight_decay_forgets_imbalance_at_a_known_rate():
    """d/dt (|w|^2 + b^2 - |v|^2) = -2 decay (|w|^2 + b^2 - |v|^2), whatever the loss."""
    model = filled(dense(2, 6, 1), 3)
    x, y = points(20, 2, 1), points(20, 1, 2)
    decay, step, steps = 0.6, 1e-3, 500
    block = homogeneous_units(model)[0]

    def imbalance() -> torch.Tensor:
        return (block.in_norms(bias=True).square() - block.out_norms().square()).detach()

    start, parameters = imbalance(), block.parameters()
    for _ in range(steps):  # Euler's method follows the flow up to the order of its step
        loss = (model(x) - y).square().mean()
        loss = loss + 0.5 * decay * sum(p.square().sum() for p in parameters)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= step * gradient
    expected = start * np.exp(-2 * decay * step * steps)
    assert torch.allclose(imbalance(), expected, rtol=0.02, atol=5e-3)
    assert (start - expected).abs().max() > 0.5  # there was something to forget


# -- ranks -----------------------------------------------------------------------------------------


def test_a_bottleneck_bounds_the_rank_between_kinks():
    model = filled(
        nn.Sequential(
            nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2), nn.Linear(2, 7), nn.ReLU(), nn.Linear(7, 3)
        )
    )
    found = bottleneck_ranks(model)
    assert [r.shape for r in found] == [(8, 6), (7, 8), (3, 7)]
    assert [r.rank for r in found] == [6, 2, 3]
    assert all(1 <= r.stable_rank <= r.rank for r in found)
    assert [b.names for b in disjoint_units(model)] == [("0", "2"), ("3", "5")]


def test_convolutions_have_ranks_and_zero_matrices_have_none():
    model, _, _ = network("signals")
    assert [r.shape for r in bottleneck_ranks(model, (2, 9))] == [(28, 18), (12, 28)]
    with torch.no_grad():
        model[0].weight.zero_()
    first = bottleneck_ranks(model, (2, 9))[0]
    assert first.rank == first.stable_rank == 0
