"""Flows on codes: learnt from pairs, resumable bit for bit, few steps where paths are straight."""

from __future__ import annotations

import itertools

import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.latent.flow import FlowConfig, VelocityField, train_flow
from ot_latent.latent.pairing import assigned, pairs_of
from ot_latent.latent.training_state import TrainingState

SMALL = FlowConfig(width=32, depth=2, steps=60)


def noise(start, rows):
    every = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(7))
    return every[start : start + rows]


def shifted(step, offset=3.0):
    """Pairs of a translation."""
    x = noise(64 * step, 64)
    return x, x + offset


def parameters(flow):
    return torch.cat([p.flatten() for p in flow.field.parameters()])


def test_a_translation_is_learnt_and_needs_one_step():
    """Theorem: the field of a translation is constant, so Euler with one step is exact."""
    flow = train_flow(shifted, 2, FlowConfig(width=32, depth=1, steps=400), seed=0)
    assert flow.finished
    assert flow.history[-1]["loss"] < 1e-2 < flow.history[0]["loss"]
    x = noise(50_000, 200)
    for options in ({"steps": 1, "method": "euler"}, {"steps": 4}):
        torch.testing.assert_close(flow(x, **options), x + 3.0, atol=0.15, rtol=0)


def test_waves_teach_a_field_with_teeth():
    """Noise goes to the nearest of nine places: a sawtooth, which few steps do not learn without."""

    def nearest(step):
        x = 4 * torch.rand(128, 1, generator=torch.Generator().manual_seed(step)) - 2
        return x, (2.25 * x).round() / 2.25

    small = {"width": 32, "depth": 1, "steps": 300}
    losses = {}
    for waves in (0, 9):
        flow = train_flow(nearest, 1, FlowConfig(**small, waves=waves), seed=0)
        assert flow.field.enter.in_features == 1 + 17 + 2 * waves
        losses[waves] = flow.history[-1]["loss"]
    assert losses[9] < 0.3 * losses[0]


def test_rows_do_not_see_each_other():
    flow = train_flow(shifted, 2, SMALL, seed=0)
    x = noise(0, 150)
    whole = flow(x)
    assert torch.equal(flow(x[:7]), whole[:7])
    assert torch.equal(flow(x[:130])[-1], whole[129])


def test_a_resumed_training_ends_with_the_same_bits():
    whole = train_flow(shifted, 2, SMALL, seed=3)
    halted = train_flow(shifted, 2, SMALL, seed=3, callback=lambda event: event["step"] == 23)
    assert not halted.finished
    state = halted.state
    state = TrainingState.from_parts(state.to_tensors(), state.to_metadata())
    resumed = train_flow(shifted, 2, SMALL, seed=3, state=state)
    assert torch.equal(parameters(resumed), parameters(whole))
    assert resumed.history == whole.history
    assert not torch.equal(parameters(train_flow(shifted, 2, SMALL, seed=4)), parameters(whole))
    with pytest.raises(ValueError, match="state must come from the same training, got seed=3"):
        train_flow(shifted, 2, SMALL, seed=4, state=state)


def test_labels_steer_the_flow():
    def pairs(step):
        x, label = noise(64 * step, 64), torch.arange(64) % 2
        return x, x + 4.0 * label[:, None], label

    flow = train_flow(pairs, 2, FlowConfig(width=32, depth=1, steps=300), seed=0, classes=2)
    x = noise(60_000, 100)
    for label in (0, 1):
        moved = flow(x, label=torch.full((100,), label))
        assert (moved - x - 4.0 * label).mean(dim=0).abs().max() < 0.2


def test_field_is_a_function_of_its_arguments():
    field = VelocityField(3, 16, 1)
    x, t = torch.randn(5, 3), torch.rand(5)
    assert field(x, t).shape == (5, 3)
    assert not torch.equal(field(x, t), field(x, 1 - t))


def test_events_tell_how_far_it_is():
    events = []
    train_flow(shifted, 2, SMALL, seed=0, callback=events.append)
    assert [event["step"] for event in events] == list(range(1, 61))
    assert events[-1]["progress"] == 1.0


# -- pairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["independent", "minibatch"])
def test_batches_are_a_function_of_the_step(kind):
    codes, labels = torch.randn(50, 2), torch.arange(50) % 3
    weights = torch.linspace(0.5, 2, 50)
    pairs = pairs_of(codes, noise, kind=kind, labels=labels, weights=weights, batch_size=90)
    x, y, label = pairs(3)
    again = pairs(3)
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert {tuple(row) for row in x.tolist()} == {tuple(row) for row in noise(270, 90).tolist()}
    place = torch.cdist(y, codes).argmin(dim=1)
    assert torch.equal(labels[place], label)


def test_codes_come_by_their_masses():
    codes = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    pairs = pairs_of(codes, noise, weights=torch.tensor([1.0, 3.0]), batch_size=4000)
    assert float(pairs(0)[1][:, 0].mean()) == pytest.approx(0.75, abs=0.03)


def test_the_assignment_is_the_cheapest():
    """Against all permutations of a small batch."""
    x, y = noise(0, 6), noise(100, 6)
    cost = torch.cdist(y, x).square()
    best = min(
        sum(float(cost[i, p[i]]) for i in range(6)) for p in itertools.permutations(range(6))
    )
    found = assigned(x, y)
    assert sorted(found.tolist()) == list(range(6))
    assert float(cost[torch.arange(6), found].sum()) == pytest.approx(best, rel=1e-6)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    within = assigned(x, y, labels)
    assert torch.equal(labels[within], labels)


# -- refusals --------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused():
    flow = train_flow(shifted, 2, FlowConfig(width=8, depth=1, steps=1), seed=0)
    zeros = torch.zeros(3, dtype=torch.int64)
    cases = [
        (lambda: flow(noise(0, 3), method="heun"), "method must be one of euler, midpoint"),
        (lambda: flow(noise(0, 3), steps=0), "steps must be"),
        (lambda: flow(noise(0, 3), label=zeros), "label must be left out for a flow of 0 classes"),
        (
            lambda: train_flow(shifted, 2, SMALL, seed=0, classes=2),
            "label must be integers below 2",
        ),
        (lambda: train_flow(shifted, 3, SMALL, seed=0), r"pairs must be .* of shape \(B, 3\)"),
        (lambda: FlowConfig(width=0), "width must be"),
        (lambda: FlowConfig(lr=-1.0), "lr must be"),
        (lambda: FlowConfig(waves=-1), "waves must be an integer, none negative"),
        (lambda: pairs_of(torch.eye(2), noise, kind="best"), "kind must be one of independent"),
        (lambda: pairs_of(torch.eye(2), noise, batch_size=0), "batch_size must be"),
        (lambda: pairs_of(torch.eye(2), noise, weights=torch.ones(3)), "weights and codes"),
        (lambda: pairs_of(torch.eye(2), noise, labels=zeros), "labels and codes"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="the loss of the flow must be finite, got nan in step 1"):
        train_flow(lambda step: shifted(step, float("nan")), 2, SMALL, seed=0)
