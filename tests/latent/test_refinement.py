"""Refinement of decoders: plain training without weights, codes that stay, resumption, sharp edges."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ot_latent import LatentGenerator
from ot_latent._random import Stream, generator
from ot_latent.config import AutoencoderConfig, RunConfig, TrainingConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.batches import Batches, split_rows
from ot_latent.latent.critic import feature_distances, moment_gap, new_critic
from ot_latent.latent.local_codes import ANCHOR, SPREAD, LocalCodes
from ot_latent.latent.loop import CLIP_NORM, TrainingError, TrainingStatus
from ot_latent.latent.refinement import AVERAGE, DECODER_RATE
from ot_latent.latent.training import train_autoencoder
from ot_latent.latent.training_state import Schedule, TrainingState

PLAIN = TrainingConfig(epochs=2, batch_size=16, validation_fraction=0.1)
WEIGHTS = {"refine_features": 0.3, "refine_adversarial": 0.03}
REFINED = PLAIN.model_copy(update={"refine_epochs": 2, **WEIGHTS})
BESIDE = REFINED.model_copy(update={"refine_local": 2.0})


def images(n=50, side=8):
    rng = generator(3, Stream.FIT, 0)
    centre, (y, x) = rng.random((n, 2, 1, 1)), np.mgrid[:side, :side] / side
    gap = np.hypot(y - centre[:, 0], x - centre[:, 1])
    return torch.from_numpy(1 / (1 + np.exp(12 * (gap - 0.4)))).float()[:, None]


def network(shape=(1, 8, 8), **settings):
    config = AutoencoderConfig.from_dict({"latent_dim": 3, "width": 8} | settings)
    return build_autoencoder(config, shape, seed=1)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def part(model, name):
    return {k: v.clone() for k, v in model.state_dict().items() if k.startswith(name)}


def through_files(state):
    metadata = json.loads(json.dumps(state.to_metadata()))
    return TrainingState.from_parts(state.to_tensors(), metadata)


def test_the_encoder_stays_bit_for_bit_and_the_decoder_moves():
    before = train_autoencoder(network(), images(), PLAIN, seed=5)
    after = train_autoencoder(network(), images(), REFINED, seed=5)
    assert same(part(before.model, "encoder"), part(after.model, "encoder"))
    assert not same(part(before.model, "decoder"), part(after.model, "decoder"))
    assert torch.equal(before.model.encode(images()), after.model.encode(images()))
    assert after.history[:2] == before.history
    for number, entry in enumerate(after.history[2:], start=3):
        assert entry["epoch"] == number
        assert entry["refined"]
        assert entry["feature_distance"] > 0 < entry["critic_loss"]
    assert after.status is TrainingStatus.FINISHED
    assert not after.model.training


def test_without_weights_it_is_plain_training_of_the_decoder():
    x, _ = split_rows(images(), 0.1, 5)
    config = PLAIN.model_copy(
        update={"refine_epochs": 1, "refine_features": 0.0, "refine_adversarial": 0.0}
    )
    start = train_autoencoder(network(code_noise=0.0), images(), PLAIN, seed=5)
    found = train_autoencoder(network(code_noise=0.0), images(), config, seed=5)
    model, steps = start.model.train(), start.state.fingerprint["steps"]
    parameters = list(model.decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    mean = part(model, "decoder")
    for step in range(steps):
        rows = x[torch.from_numpy(Batches(x, steps=steps, seed=5).rows(2, step))]
        raw = model.decoder(model.encode(rows).detach())
        model.row_losses(raw, rows).mean().backward()
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.param_groups[0]["lr"] = DECODER_RATE * Schedule(1, steps, config.lr).rate(step)
        optimizer.step()
        optimizer.zero_grad()
        keep = min(AVERAGE, (step + 1) / (step + 11))
        for name, value in part(model, "decoder").items():
            mean[name].lerp_(value, 1 - keep)
    refined = part(found.model, "decoder")
    assert all(torch.allclose(refined[k], mean[k], atol=1e-7) for k in mean)
    assert "critic_loss" not in found.history[-1]
    assert found.state.critic == {}


@pytest.mark.parametrize(
    ("stop", "how"), [(2, REFINED), (6, REFINED), (8, REFINED), (9, REFINED), (8, BESIDE)]
)
def test_resume_from_any_step_has_the_same_bits(stop, how):
    whole = train_autoencoder(network(), images(), how, seed=5)
    shares = []

    def interrupt(event):
        shares.append(event["progress"])
        return len(shares) == stop

    halted = train_autoencoder(network(), images(), how, seed=5, callback=interrupt)
    assert halted.status is TrainingStatus.INTERRUPTED
    assert halted.state.progress.refining == (stop > 6)
    assert shares == sorted(shares)
    state = through_files(halted.state)
    rest = train_autoencoder(network(), images(), how, seed=5, state=state)
    assert same(whole.state.to_tensors(), rest.state.to_tensors())
    assert same(whole.model.state_dict(), rest.model.state_dict())
    assert whole.history == rest.history
    again = train_autoencoder(network(), images(), how, seed=5, state=whole.state)
    assert same(whole.model.state_dict(), again.model.state_dict())


def test_a_finished_training_can_be_refined_later():
    whole = train_autoencoder(network(), images(), REFINED, seed=5)
    plain = train_autoencoder(network(), images(), PLAIN, seed=5)
    later = train_autoencoder(
        network(), images(), REFINED, seed=5, state=through_files(plain.state)
    )
    assert same(whole.model.state_dict(), later.model.state_dict())
    assert plain.state.to_metadata()["progress"]["terms"] == {}


def test_an_early_stop_of_the_training_is_still_told_after_the_refinement():
    noise = torch.from_numpy(generator(0, Stream.FIT, 1).random((40, 1, 8, 8), dtype=np.float32))
    config = REFINED.model_copy(update={"epochs": 40, "patience": 1, "lr": 2e-2, "batch_size": 4})
    result = train_autoencoder(network(), noise, config, seed=0)
    assert result.status is TrainingStatus.EARLY_STOPPED
    assert sum(entry.get("refined", False) for entry in result.history) == 2


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((6,), {}),
        ((6,), {"prior": "vae", "code_noise": 0.0}),
        ((1, 8, 8), {"loss": "bce", "deformation": 0.5}),
        ((3, 9, 12), {"model": "mlp", "loss": "l1"}),
    ],
)
def test_every_kind_of_network_can_be_refined(shape, settings):
    rows = torch.from_numpy(generator(2, Stream.FIT, 0).random((40, *shape), dtype=np.float32))
    result = train_autoencoder(network(shape, **settings), rows, BESIDE, seed=0)
    assert [entry.get("refined", False) for entry in result.history] == [False] * 2 + [True] * 2
    assert all(np.isfinite(entry["validation_loss"]) for entry in result.history)


class FirstRow(nn.Module):
    """An encoder that sees one number of an image: the mean of its first row of pixels."""

    def forward(self, x):
        return x[:, :, 0].mean((1, 2))[:, None]


def test_of_two_equally_likely_edges_one_is_drawn_not_their_mean():
    rng = generator(4, Stream.FIT, 0)
    light, right = rng.random((256, 1)), rng.random(256) < 0.5
    x = np.zeros((256, 1, 8, 8), np.float32)
    x[:, 0, 0] = light
    x[:, 0, 1:, :2] = 1.0
    x[right, 0, 1:, 2:6] = 1.0  # the code cannot know whether the edge lies here
    model = network(latent_dim=1, code_noise=0.0)
    model.encoder = FirstRow()
    config = TrainingConfig(epochs=15, batch_size=32, lr=1e-2, validation_fraction=0.0)
    rows = torch.from_numpy(x)
    plain = train_autoencoder(model, rows, config, seed=0)

    def decided(model):
        with torch.no_grad():
            made = model.decode(model.encode(rows))
        return float((made[:, 0, 1:, 2:6] - 0.5).abs().mean())

    before = decided(plain.model)
    sharper = config.model_copy(
        update={"refine_epochs": 25, "refine_features": 1.0, "refine_adversarial": 0.3}
    )
    after = decided(train_autoencoder(model, rows, sharper, seed=0, state=plain.state).model)
    assert before < 0.1
    assert after > 0.3


def test_features_agree_with_themselves_and_have_no_scale():
    critic, x = new_critic((1, 8, 8), 8, seed=0), images(6)
    scores, features = critic(x)
    assert scores.shape == (6,)
    assert bool((feature_distances(features, features) == 0).all())
    other = critic(x.flip(0))[1]
    found = feature_distances(features, other)
    scaled = feature_distances([7.0 * f for f in features], [7.0 * f for f in other])
    assert torch.allclose(found, scaled)
    assert torch.allclose(critic(x[2:3])[0], scores[2:3], atol=1e-6)
    assert same(critic.state_dict(), new_critic((1, 8, 8), 8, seed=0).state_dict())


def test_moved_codes_have_mean_and_covariance_of_their_neighbours():
    codes = torch.from_numpy(generator(6, Stream.FIT, 0).standard_normal((40, 3)))
    around = LocalCodes(codes)
    assert around.nearest.shape == (40, 30)
    rows = torch.arange(40)
    near = codes[around.nearest]
    mean = around.shifts(rows, torch.zeros(40, 30, dtype=codes.dtype))
    assert torch.allclose(codes + mean, near.mean(1) + ANCHOR * (codes - near.mean(1)))
    # the shift is affine in the draws, so the sum over their unit vectors is the covariance
    unit = torch.eye(30, dtype=codes.dtype)
    spread = torch.stack([around.shifts(rows, e.expand(40, 30)) - mean for e in unit])
    covariance = torch.einsum("kmi,kmj->mij", spread, spread)
    wanted = torch.stack([SPREAD**2 * torch.cov(part.T, correction=0) for part in near])
    assert torch.allclose(covariance, wanted)


def test_moments_agree_whatever_the_order_and_have_no_scale():
    rng = generator(7, Stream.FIT, 0)
    x, r = (torch.from_numpy(rng.standard_normal((50, 4, 3))) for _ in range(2))
    x.requires_grad_(True), r.requires_grad_(True)
    gap = moment_gap([x], [r], 50)
    parts = (x.mean(0) - r.mean(0)).abs() + (x.std(0) - r.std(0)).abs()
    assert torch.allclose(gap, parts.mean() / x.abs().mean())
    assert torch.allclose(moment_gap([3 * x], [3 * r.flip(0)], 50), gap)
    assert moment_gap([x], [x.flip(0)], 50) < 1e-12
    wanted = torch.autograd.grad(parts.mean() / x.detach().abs().mean(), r, retain_graph=True)[0]
    given, found = torch.autograd.grad(gap, (x, r), allow_unused=True)
    assert given is None
    assert torch.allclose(found, wanted)


def test_without_a_weight_no_code_is_moved():
    result = train_autoencoder(network(), images(), REFINED, seed=5)
    assert "moment_gap" not in result.history[-1]
    alone = {"refine_features": 0.0, "refine_adversarial": 0.0, "refine_local": 1.0}
    told = train_autoencoder(network(), images(), REFINED.model_copy(update=alone), seed=5)
    assert told.history[-1]["moment_gap"] > 0 < told.history[-1]["critic_loss"]


SCRIPT = """
import json, sys, torch
sys.path.insert(0, {tests!r})
from test_refinement import BESIDE, images, network
from ot_latent.latent.training import train_autoencoder
result = train_autoencoder(network(), images(), BESIDE, seed=5)
if torch.distributed.get_rank() == 0:
    told = [e["validation_loss"] for e in result.history]
    print(json.dumps(told + [e["moment_gap"] for e in result.history[2:]]))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--standalone", str(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    losses = json.loads(next(s for s in done.stdout.splitlines() if s.startswith("[")))
    alone = train_autoencoder(network(), images(), BESIDE, seed=5)
    told = [e["validation_loss"] for e in alone.history]
    told += [e["moment_gap"] for e in alone.history[2:]]
    assert losses == pytest.approx(told, rel=1e-3)


def test_what_cannot_be_is_refused():
    shrunk = network(model="mlp", regulariser="pathprox")
    with pytest.raises(ValueError, match="refine_epochs must be 0 with regulariser='pathprox'"):
        train_autoencoder(shrunk, images(), REFINED, seed=0)
    state = train_autoencoder(network(), images(), REFINED, seed=0).state
    other = REFINED.model_copy(update={"refine_features": 0.1})
    with pytest.raises(ValueError, match=r"got refine_features=0\.3 .* refine_features=0\.1"):
        train_autoencoder(network(), images(), other, seed=0, state=state)
    wild = REFINED.model_copy(update={"refine_features": 1e38})
    with pytest.raises(TrainingError, match="the gradient of the autoencoder must be finite"):
        train_autoencoder(network(), images(), wild, seed=0)


def test_a_generator_refines_and_an_interrupted_fit_continues():
    X = images(60).numpy()
    config = RunConfig.from_dict(
        {
            "autoencoder": {"latent_dim": 4, "width": 8},
            "training": {"epochs": 1, "refine_epochs": 2, **WEIGHTS},
            "transport": {"tolerance": 0.5},
            "extension": {"kind": "none"},
        }
    )
    whole = LatentGenerator.from_config(config).fit(X)
    assert [entry.get("refined", False) for entry in whole.history_] == [False, True, True]
    kept = {}

    class Stop(Exception):
        """What a run raises from inside the callback."""

    def stop(event):
        if event["stage"] == "autoencoder" and event["progress"] > 0.7:
            kept["autoencoder"] = event["state"]()
            raise Stop

    with pytest.raises(Stop):
        LatentGenerator.from_config(config).fit(X, callback=stop)
    assert kept["autoencoder"].progress.refining
    again = LatentGenerator.from_config(config).fit(X, state=kept)
    assert np.array_equal(again.sample(5, random_state=1), whole.sample(5, random_state=1))
