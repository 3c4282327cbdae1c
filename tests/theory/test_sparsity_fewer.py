"""Few neurons with the same fit: linear programs, group lasso, and the proximal optimiser."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from ot_latent._random import Stream, generator
from ot_latent._units import shrink_
from ot_latent.theory.sparsity import (
    PathProx,
    ShallowNetwork,
    SkipNetwork,
    active_units,
    compress_layer,
    disjoint_units,
    homogeneous_units,
    path_norm,
    rtv2,
    rtv2_1d,
    sparsify_neurons,
)
from ot_latent.theory.sparsity.sparsify import basic_solution

seeds = given(seed=st.integers(0, 10**6))


def network(seed: int, neurons: int, d: int, outputs: int = 1) -> ShallowNetwork:
    """Return a network with normal entries and an affine skip."""
    rng = generator(seed, Stream.FIT, 0)
    sizes = [(neurons, d), neurons, (neurons, outputs), (outputs, d), outputs]
    return ShallowNetwork.build(*(rng.normal(size=size) for size in sizes))


# -- at most N neurons -----------------------------------------------------------------------------


@seeds
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("skip", [True, False])
def test_as_many_neurons_as_points_and_no_more(seed, skip, outputs):
    n, d = 9, 2
    net, x = network(seed, 60, d, outputs), generator(seed, Stream.FIT, 1).normal(size=(n, d))
    few = sparsify_neurons(net, x, skip=skip)
    assert few.neurons <= (n - (d + 1) if skip else n) * outputs
    assert np.abs(few(x) - net(x)).max() < 1e-9
    assert few.unit_norms().sum() <= net.unit_norms().sum() * (1 + 1e-9)
    assert (few.skip is net.skip) or skip


def test_a_wide_net_becomes_the_interpolant_of_least_variation():
    """Neurons at all data points and both signs: the linear program finds the minimum over functions."""
    x = np.sort(generator(4, Stream.FIT, 2).random(8))
    y = generator(4, Stream.FIT, 3).normal(size=8)
    knots = np.tile(x, 2)
    signs = np.repeat([1.0, -1.0], 8)
    base = ShallowNetwork.build(np.ones((16, 1)), -knots, 40 * signs[:, None])
    slopes = np.diff(y) / np.diff(x)
    jumps = np.concatenate([np.diff(slopes, prepend=slopes[0]), [0.0]])
    v = base.outgoing.copy()
    v[:8, 0] += jumps  # now it interpolates, at a path norm far above the least
    wide = ShallowNetwork.build(
        base.incoming, base.bias, v, [[slopes[0]]], [y[0] - slopes[0] * x[0]]
    )
    assert wide(x[:, None])[:, 0] == pytest.approx(y)
    few = sparsify_neurons(wide, x[:, None])
    assert few.neurons <= 6
    assert rtv2(few) == pytest.approx(rtv2_1d(x, y), rel=1e-9)


def test_duplicate_points_and_affine_networks_need_fewer_neurons():
    net, x = (
        network(0, 40, 2),
        np.repeat(generator(0, Stream.FIT, 4).normal(size=(5, 2)), 3, axis=0),
    )
    assert sparsify_neurons(net, x).neurons <= 2
    flat = ShallowNetwork.build([[1.0, 0.0]], [9.0], [[2.0]])  # active on all the data
    few = sparsify_neurons(flat, x)
    assert few.neurons == 0
    assert few(x) == pytest.approx(flat(x))


@seeds
def test_basic_solutions_are_vertices_even_where_the_program_is_degenerate(seed):
    rng = generator(seed, Stream.FIT, 5)
    columns = rng.integers(-2, 3, size=(4, 12)).astype(float)  # many ties and repeated columns
    start = 0.1 + rng.random(12)
    found = basic_solution(columns, start)
    assert (found >= 0).all()
    assert (found > 0).sum() <= np.linalg.matrix_rank(columns)
    assert found.sum() <= start.sum() * (1 + 1e-9)
    assert columns @ found == pytest.approx(columns @ start, abs=1e-8)


def test_the_walk_along_null_vectors_serves_where_the_program_fails(monkeypatch):
    import scipy.optimize

    class Failed:
        status = 4

    monkeypatch.setattr(scipy.optimize, "linprog", lambda *_, **__: Failed())
    net, x = network(1, 50, 2), generator(1, Stream.FIT, 6).normal(size=(10, 2))
    few = sparsify_neurons(net, x)
    assert few.neurons <= 7
    assert np.abs(few(x) - net(x)).max() < 1e-9
    assert few.unit_norms().sum() <= net.unit_norms().sum() * (1 + 1e-9)


# -- group lasso -----------------------------------------------------------------------------------


@seeds
def test_compression_is_certified_and_meets_the_optimality_conditions(seed):
    rng = generator(seed, Stream.FIT, 7)
    phi, weight = rng.normal(size=(12, 20)), rng.normal(size=(3, 12))
    psi = weight @ phi
    costs = 0.5 + rng.random(12)
    strength = 0.4 * float((np.linalg.norm(psi @ phi.T, axis=0) / costs).max())
    found = compress_layer(phi, psi, strength, costs=costs, tolerance=1e-10)
    rest = psi - found.weight @ phi
    sizes = np.linalg.norm(found.weight, axis=0)
    value = 0.5 * (rest**2).sum() + strength * (costs * sizes).sum()
    assert found.objective == pytest.approx(value, rel=1e-9)
    assert 0 <= found.gap <= 1e-10 * 0.5 * (psi**2).sum()
    pull = np.linalg.norm(rest @ phi.T, axis=0) / costs
    assert pull.max() <= strength * (1 + 1e-4)
    assert pull[found.active] == pytest.approx(strength, rel=1e-3)
    assert 0 < len(found.active) < 12
    for _ in range(5):  # nothing near is better than the certificate allows
        other = found.weight + 1e-2 * rng.normal(size=found.weight.shape)
        worse = 0.5 * ((psi - other @ phi) ** 2).sum()
        worse += strength * (costs * np.linalg.norm(other, axis=0)).sum()
        assert worse >= found.objective - found.gap


def test_a_strong_penalty_leaves_nothing_and_bad_input_is_refused():
    rng = generator(0, Stream.FIT, 8)
    phi, psi = rng.normal(size=(4, 9)), rng.normal(size=(2, 9))
    top = np.linalg.norm(psi @ phi.T, axis=0).max()
    nothing = compress_layer(phi, psi, 1.01 * top)
    assert len(nothing.active) == nothing.iterations == 0
    assert nothing.gap < 1e-9
    assert len(compress_layer(phi, psi, 0.99 * top).active) == 1
    short = compress_layer(phi, psi, 0.01 * top, tolerance=1e-15, max_iterations=3)
    assert short.iterations == 3
    assert short.gap > 0
    with pytest.raises(ValueError, match="a column per row of data, got 9 and 8"):
        compress_layer(phi, psi[:, :8], 1.0)
    with pytest.raises(ValueError, match="costs must be 4 positive numbers, got shape"):
        compress_layer(phi, psi, 1.0, costs=[1.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="strength must be a positive number"):
        compress_layer(phi, psi, 0.0)


# -- PathProx --------------------------------------------------------------------------------------


def chain(*sizes: int, seed: int = 0) -> nn.Sequential:
    """Return a float64 chain with ReLU between its layers."""
    rng = generator(seed, Stream.INITIALISATION, 0)
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layer = nn.Linear(a, b).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                draws = rng.normal(size=tuple(parameter.shape)) / np.sqrt(a)
                parameter.copy_(torch.from_numpy(draws))
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def wiggle(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of a wave."""
    x = torch.linspace(-1, 1, n, dtype=torch.float64)[:, None]
    return x, torch.sin(3 * x)


def test_the_proximal_step_by_hand():
    model = chain(1, 1, 2)
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[3.0], [4.0]]))
    shrink_(homogeneous_units(model)[0], 1.0)
    assert model[2].weight.detach().ravel().tolist() == pytest.approx([2.4, 3.2])
    shrink_(homogeneous_units(model)[0], 4.1)
    assert model[2].weight.detach().ravel().tolist() == [0.0, 0.0]


def test_the_constructor_keeps_the_function_and_repeats_itself_bit_for_bit():
    model = chain(1, 20, 6, 20, 1).float()
    x = wiggle()[0].float()
    before = model(x)
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    PathProx(base, disjoint_units(model), 1e-3)
    assert (model(x) - before).abs().max() < 1e-5
    norms = disjoint_units(model)[0].in_norms()
    assert torch.allclose(norms, torch.ones(20))
    twin = copy.deepcopy(model)
    PathProx(torch.optim.SGD(twin.parameters(), lr=0.1), disjoint_units(twin), 1e-3)
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def ridges(width: int) -> nn.Sequential:
    """Return a chain whose kinks lie among the data: steps of moderate size suffice."""
    model = chain(1, width, 1)
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.sign())
        model[0].bias.clamp_(-1, 1)
        model[2].weight.mul_(0.3)
    return model


def fit(strength: float, steps: int, lr: float) -> tuple[nn.Sequential, list[float]]:
    """Run PathProx on the wave; the objective at every step."""
    (x, y), model, values = wiggle(), ridges(20), []
    base = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer = PathProx(base, homogeneous_units(model), strength)
    for _ in range(steps):
        loss = (model(x) - y).square().mean()
        values.append(loss.item() + strength * float(model[2].weight.detach().abs().sum()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, values


def test_the_objective_falls_and_units_become_exactly_zero():
    model, values = fit(strength=1e-2, steps=2000, lr=0.02)
    assert np.diff(values).max() < 1e-4  # it may rise a little where a kink passes a point
    zeros = int((model[2].weight == 0).sum())
    assert zeros > 0
    assert active_units(model)[0] <= 20 - zeros
    x, _ = wiggle()
    few = sparsify_neurons(model, x.numpy())
    assert few.neurons <= 8 - 2
    assert np.abs(few(x.numpy()) - model(x).detach().numpy()).max() < 1e-6


def test_weight_decay_and_its_proximal_form_meet_at_one_objective():
    """The same minimum, reached by gradient descent on squares and by shrinking units."""
    strength, steps, lr = 5e-2, 1500, 0.1
    _, values = fit(strength, steps, lr)
    (x, y), decayed = wiggle(), ridges(20)
    weights = [decayed[0].weight, decayed[2].weight]
    optimizer = torch.optim.SGD(decayed.parameters(), lr=lr)
    for _ in range(steps):
        loss = (decayed(x) - y).square().mean()
        loss = loss + 0.5 * strength * sum(w.square().sum() for w in weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] == pytest.approx(loss.item(), rel=2e-2)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_resumed_run_has_the_same_bits_and_schedulers_reach_the_base(kind):
    (x, y), strength = wiggle(), 1e-2

    def begin() -> tuple[nn.Sequential, PathProx]:
        model = chain(1, 10, 3, 10, 1)
        return model, PathProx(kind(model.parameters(), lr=0.01), disjoint_units(model), strength)

    def go(model: nn.Sequential, optimizer: PathProx, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()

    model, optimizer = begin()
    go(model, optimizer, 7)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    go(model, optimizer, 9)
    again, resumed = begin()
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    go(again, resumed, 9)
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    scheduler = torch.optim.lr_scheduler.StepLR(resumed, 1, gamma=0.5)
    go(again, resumed, 1)
    scheduler.step()
    assert resumed.base.param_groups[0]["lr"] == 0.005
    assert resumed.defaults["lr"] == 0.01
    assert isinstance(repr(resumed), str)


def test_closures_new_groups_and_units_without_input():
    (x, y), model = wiggle(), chain(1, 5, 1)
    extra = nn.Parameter(torch.ones(2, dtype=torch.float64))
    with torch.no_grad():
        model[0].weight[2] = 0.0
    optimizer = PathProx(
        torch.optim.SGD(model.parameters(), lr=0.1), homogeneous_units(model), 1e-2
    )
    optimizer.add_param_group({"params": [extra], "lr": 0.5})
    assert len(optimizer.param_groups) == 2

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_shared_unknown_and_missing_units_are_refused():
    model = chain(1, 3, 3, 1)
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"share no parameter, got 0 -> 2 and 2 -> 4; try theory"):
        PathProx(base, homogeneous_units(model), 0.1)
    with pytest.raises(ValueError, match="units must be at least one block"):
        PathProx(base, [], 0.1)
    with pytest.raises(ValueError, match="strength must be a number >= 0, got -1"):
        PathProx(base, disjoint_units(model), -1.0)
    part = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"must hold every parameter of the units, got 1 unknown"):
        PathProx(part, disjoint_units(model), 0.1)


class Block(nn.Module):
    """x + b relu(a relu(x)): the channels of x are read by two and added to others; those of a are units."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.b(torch.relu(self.a(torch.relu(x))))


def test_in_residual_networks_the_units_are_those_inside_the_branches():
    """Shrunk to zero, a branch leaves the identity: what is superfluous is a whole block."""
    draws = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), Block(4, 20), Block(4, 20), nn.ReLU(), nn.Linear(4, 1))
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=draws) / max(p.shape) ** 0.5
    model = model.double()
    units = disjoint_units(model)
    assert [(b.names, len(b.in_norms())) for b in units] == [
        (("1.a", "1.b"), 20),
        (("2.a", "2.b"), 20),
    ]
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    before = model(x)
    optimizer = PathProx(torch.optim.SGD(model.parameters(), lr=0.02), units, 1.0)
    assert torch.allclose(model(x), before, rtol=1e-12)
    for _ in range(300):
        optimizer.zero_grad()
        (model(x) - x.abs()).square().mean().backward()
        optimizer.step()
    assert active_units(units) == [0, 0]
    z = torch.randn(5, 4, generator=draws, dtype=torch.float64)
    assert torch.equal(model[1](z), z + model[1].b.bias)
    rest = (model(x) - x.abs()).detach().square().mean()
    assert float(rest) < 0.05  # stem and read-out do what is left


def test_a_skip_network_trains_under_the_proximal_step():
    """A line costs nothing: its slope stays while the units that bend it are shrunk away."""
    (x, _), model = wiggle(), SkipNetwork(1, 30, 1).double()
    units = homogeneous_units(model)
    optimizer = PathProx(torch.optim.SGD(model.parameters(), lr=0.05), units, 0.3)
    for _ in range(600):
        optimizer.zero_grad()
        (model(x) - 3 * x - 1).square().mean().backward()
        optimizer.step()
    assert path_norm(units) < 0.2
    assert rtv2(model) <= path_norm(units) * (1 + 1e-12)
    assert model.straight.weight.item() == pytest.approx(3.0, abs=0.1)
