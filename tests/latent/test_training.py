"""The loop: learning, bit-exact resume at any step, clear ends and clear refusals."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder
from ot_latent.latent.training import TrainingError, TrainingStatus, train_autoencoder
from ot_latent.latent.training_state import Schedule, TrainingState, plan

SMALL = TrainingConfig(epochs=3, batch_size=16, validation_fraction=0.1)


def images(n: int = 50, side: int = 8) -> torch.Tensor:
    """Return soft discs of random place and size: a three-dimensional family."""
    u = generator(3, Stream.FIT, 0).random((n, 3)).astype(np.float32)
    grid = np.mgrid[:side, :side].astype(np.float32) / (side - 1)
    gap = np.hypot(grid[0] - u[:, 0, None, None], grid[1] - u[:, 1, None, None])
    return torch.from_numpy(1 / (1 + np.exp(12 * (gap - 0.2 - 0.3 * u[:, 2, None, None]))))[:, None]


def network(model: str = "conv", loss: str = "mse", **more: float) -> Autoencoder:
    """Return a small network for the discs."""
    values = {"model": model, "loss": loss, "latent_dim": 3, "width": 8} | more
    return build_autoencoder(AutoencoderConfig.from_dict(values), (1, 8, 8), seed=1)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Say whether two sets of tensors agree bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("loss", ["mse", "l1", "bce"])
@pytest.mark.parametrize("model", ["mlp", "conv", "residual"])
def test_every_loss_falls_on_every_network(model: str, loss: str) -> None:
    config = TrainingConfig(epochs=12, batch_size=16, validation_fraction=0)
    result = train_autoencoder(network(model, loss), images(96), config, seed=0)
    first, last = (result.history[i]["train_loss"] for i in (0, -1))
    assert last < 0.85 * first
    assert result.status is TrainingStatus.FINISHED


def test_three_numbers_are_learnt_on_data_never_seen() -> None:
    data = images(600)
    config = TrainingConfig(epochs=30, batch_size=32, lr=5e-3)
    result = train_autoencoder(network("mlp", code_noise=0.02), data[:500], config, seed=0)
    model, held = result.model, data[500:]
    with torch.no_grad():
        gap = (model.decode(model.encode(held)) - held).square().mean()
    variance = (held - data[:500].mean(0)).square().mean()
    assert gap < 0.1 * variance
    assert not model.training


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_resume_from_any_step_has_the_same_bits(stop: int) -> None:
    whole = train_autoencoder(network(), images(), SMALL, seed=5)
    steps = []

    def interrupt(event: dict) -> bool:
        steps.append(event["progress"])
        return len(steps) == stop

    part = train_autoencoder(network(), images(), SMALL, seed=5, callback=interrupt)
    assert part.status is TrainingStatus.INTERRUPTED
    metadata = json.loads(json.dumps(part.state.to_metadata()))
    state = TrainingState.from_parts(part.state.to_tensors(), metadata)
    rest = train_autoencoder(network(), images(), SMALL, seed=5, state=state)
    assert same(whole.state.to_tensors(), rest.state.to_tensors())
    assert same(whole.model.state_dict(), rest.model.state_dict())
    assert whole.history == rest.history
    assert len(whole.history) == 3


def test_a_state_taken_along_the_way_is_not_changed_by_later_steps() -> None:
    states = []

    def keep(event: dict) -> None:
        if event["step"] == 2 and not states:
            states.append(event["state"]())

    whole = train_autoencoder(network(), images(), SMALL, seed=5, callback=keep)
    rest = train_autoencoder(network(), images(), SMALL, seed=5, state=states[0])
    assert same(whole.state.to_tensors(), rest.state.to_tensors())
    over = train_autoencoder(network(), images(), SMALL, seed=5, state=whole.state)
    assert over.status is TrainingStatus.FINISHED
    assert same(over.model.state_dict(), whole.model.state_dict())


def test_the_callback_hears_every_step_and_every_epoch() -> None:
    events: list[dict] = []
    train_autoencoder(network(), images(), SMALL, seed=5, callback=lambda e: events.append(e))
    assert [e["kind"] for e in events] == ["step", "step", "epoch"] * 3
    assert events[-1]["progress"] == 1.0
    assert {"train_loss", "validation_loss", "lr", "code_rms"} <= events[-1].keys()


def test_the_best_epoch_is_kept_and_patience_ends_the_training() -> None:
    config = TrainingConfig(epochs=40, batch_size=4, lr=2e-2, patience=2)
    noise = torch.from_numpy(generator(0, Stream.FIT, 1).random((24, 1, 8, 8), dtype=np.float32))
    held = torch.from_numpy(generator(0, Stream.FIT, 2).random((24, 1, 8, 8), dtype=np.float32))
    result = train_autoencoder(
        network("mlp", code_noise=0.0), noise, config, seed=0, x_validation=held
    )
    losses = [e["validation_loss"] for e in result.history]
    assert result.status is TrainingStatus.EARLY_STOPPED
    assert len(losses) < 40
    with torch.no_grad():
        raw, _ = result.model(held)
        best = result.model.row_losses(raw, held).mean().item()
    assert best == pytest.approx(min(losses), rel=1e-4)


def test_nothing_global_is_touched() -> None:
    before = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),
        random.getstate(),
        torch.get_num_threads(),
        dict(os.environ),
    )
    first = train_autoencoder(network(), images(), SMALL, seed=5).state
    after = (torch.get_rng_state(), np.random.get_state()[1], random.getstate())
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2:] == (after[2], torch.get_num_threads(), dict(os.environ))
    torch.rand(3)
    assert same(
        first.to_tensors(),
        train_autoencoder(network(), images(), SMALL, seed=5).state.to_tensors(),
    )


def test_an_accelerator_of_the_users_survives() -> None:
    from accelerate import Accelerator

    theirs = Accelerator(cpu=True, mixed_precision="bf16")
    train_autoencoder(network(), images(), SMALL, seed=5)
    assert theirs.mixed_precision == "bf16"
    assert theirs.state.initialized


def test_bf16_comes_close_to_full_precision_and_leaves_the_model_plain() -> None:
    model = network()
    full = train_autoencoder(network(), images(), SMALL, seed=5)
    half = train_autoencoder(
        model, images(), SMALL.model_copy(update={"mixed_precision": "bf16"}), seed=5
    )
    losses = full.history[-1]["train_loss"], half.history[-1]["train_loss"]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert "forward" not in vars(model)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_a_loss_that_explodes_is_named_and_the_last_finite_state_is_kept() -> None:
    config = SMALL.model_copy(update={"lr": 1e30})
    says = r"must be finite, got .*; try a lower lr than 1e\+30"
    with pytest.raises(TrainingError, match=says) as caught:
        train_autoencoder(network("mlp"), images(), config, seed=0)
    kept = caught.value.state.to_tensors()
    assert all(bool(torch.isfinite(v).all()) for v in kept.values())


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        (images(20).numpy(), TypeError, "must be a float32 tensor"),
        (images(20)[:1], DataError, "at least 2 rows"),
        (images(20)[:, :, :7], DataError, r"rows of shape \(1, 8, 8\)"),
        (images(20).where(torch.rand(8) < 2, torch.nan) * torch.nan, DataError, "must be finite"),
        (images(20) * 255, DataError, "out-of-range"),
        (torch.full((20, 1, 8, 8), 0.5), DataError, "must vary"),
    ],
)
def test_bad_rows_are_refused_before_training(rows: object, error: type, says: str) -> None:
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(error, match=says):
        train_autoencoder(model, rows, SMALL, seed=0)  # type: ignore[arg-type]
    assert same(before, dict(model.state_dict()))


def test_bad_validation_rows_and_bad_settings_are_refused() -> None:
    with pytest.raises(DataError, match="x_validation must be at least 1 rows"):
        train_autoencoder(network(), images(), SMALL, seed=0, x_validation=images()[:0])
    config = SMALL.model_copy(update={"mixed_precision": "fp16"})
    with pytest.raises(ValueError, match=r"must be 'no' or 'bf16' on the CPU"):
        train_autoencoder(network(), images(), config, seed=0)
    state = train_autoencoder(network(), images(), SMALL, seed=0).state
    with pytest.raises(ValueError, match=r"same training, got seed=0 .* has seed=1"):
        train_autoencoder(network(), images(), SMALL, seed=1, state=state)
    with pytest.raises(ValueError, match="number of training rows must be a positive integer"):
        plan(0, (2,), SMALL)


def test_few_rows_train_without_validation() -> None:
    result = train_autoencoder(network(), images(5), SMALL, seed=0)
    assert result.history[-1]["validation_loss"] is None


def test_the_learning_rate_rises_then_falls() -> None:
    schedule = Schedule(epochs=10, steps=20, lr=1.0)
    rates = [schedule.rate(s) for s in range(200)]
    peak = int(np.argmax(rates))
    assert peak == 9
    assert np.all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[peak] == 1.0


def test_the_plan_gives_small_data_more_epochs_and_keeps_what_the_user_says() -> None:
    few, many = (plan(n, (1, 28, 28), TrainingConfig()) for n in (1_365, 57_000))
    assert few.epochs > many.epochs
    assert few.steps * 32 >= 1_365 > (few.steps - 1) * 32
    assert 2 * plan(9_000, (3, 96, 96), TrainingConfig()).epochs == pytest.approx(
        plan(9_000, (3, 32, 32), TrainingConfig()).epochs, abs=1
    )
    assert plan(10, (1, 8, 8), TrainingConfig(epochs=7, batch_size=64)) == Schedule(7, 1, 4e-3)


SCRIPT = """
import json, sys, torch
sys.path.insert(0, {tests!r})
from test_training import SMALL, images, network
from ot_latent.latent.training import train_autoencoder
result = train_autoencoder(network(neighbour_weight={weight}), images(), SMALL, seed=5)
if int(__import__("os").environ.get("RANK", 0)) == 0:
    print(json.dumps([e["validation_loss"] for e in result.history]))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_two_processes_give_the_result_of_one(tmp_path: Path, weight: float) -> None:
    script = tmp_path / "two.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), weight=weight))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", str(script)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    losses = json.loads(next(s for s in done.stdout.splitlines() if s.startswith("[")))
    alone = train_autoencoder(network(neighbour_weight=weight), images(), SMALL, seed=5)
    assert losses == pytest.approx([e["validation_loss"] for e in alone.history], rel=1e-3)
