"""Training on deformed images: off by default and bit-equal then, resumable, of the size asked for."""

import numpy as np
import pytest
import torch

from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.batches import Batches
from ot_latent.latent.training import train_autoencoder

SMALL = TrainingConfig(epochs=2, batch_size=16, validation_fraction=0.1)


def images(n=40, side=12):
    y, x = np.mgrid[:side, :side] / side
    rng = np.random.default_rng(0)
    centres, width = rng.uniform(0.3, 0.7, (n, 2, 1, 1)), 0.15
    blobs = np.exp(-((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2) / width**2)
    return torch.from_numpy(blobs[:, None]).float()


def network(**settings):
    config = AutoencoderConfig(latent_dim=2, width=8, **settings)
    return build_autoencoder(config, (1, 12, 12), seed=0)


def parameters(result):
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


def test_without_deformation_rows_are_the_rows_themselves():
    x = images()
    batches = Batches(x, steps=3, seed=0)
    batch = batches.rows(0, 1)
    assert torch.equal(batches.inputs(1, batch), x[torch.from_numpy(batch)])
    before = parameters(train_autoencoder(network(), x, SMALL, seed=1))
    same = parameters(train_autoencoder(network(deformation=0.0), x, SMALL, seed=1))
    other = parameters(train_autoencoder(network(deformation=0.5), x, SMALL, seed=1))
    assert torch.equal(before, same)
    assert not torch.equal(before, other)


def test_processes_share_the_deformations_of_a_batch():
    x = images()
    whole = Batches(x, steps=2, seed=3)
    batch = whole.rows(0, 0)
    seen = whole.inputs(5, batch, 1.0)
    parts = [Batches(x, steps=2, seed=3, process=k, processes=2) for k in range(2)]
    assert torch.equal(torch.cat([part.inputs(5, batch, 1.0) for part in parts]), seen)
    assert torch.equal(seen[:, :, 0], x[torch.from_numpy(batch)][:, :, 0])  # borders stay
    assert not torch.equal(seen, whole.inputs(6, batch, 1.0))
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_displacements_are_as_long_as_asked_for():
    """An affine image shows its displacement: x moved by tau is x - tau where nothing is clamped."""
    side = 33
    ramp = torch.arange(side).float().expand(600, 1, side, side).contiguous()
    moved = Batches(ramp, steps=1, seed=0).inputs(0, np.arange(600), 0.8)
    shift = (ramp - moved)[:, 0]
    rms = (shift.square().sum((1, 2)) / (side - 1) ** 2).mean().sqrt()
    assert float(rms) * 2**0.5 == pytest.approx(0.8, rel=0.05)  # one of two components


def test_an_interrupted_training_goes_on_bit_for_bit():
    x = images()
    whole = train_autoencoder(network(deformation=0.7), x, SMALL, seed=2)
    states = []

    def interrupt(event):
        states.append(event["state"]())
        return len(states) == 3

    train_autoencoder(network(deformation=0.7), x, SMALL, seed=2, callback=interrupt)
    rest = train_autoencoder(network(deformation=0.7), x, SMALL, seed=2, state=states[-1])
    assert torch.equal(parameters(whole), parameters(rest))


def test_rows_that_are_no_images_are_refused():
    rows = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    model = build_autoencoder(AutoencoderConfig(latent_dim=2, width=4, deformation=1.0), (5,), 0)
    with pytest.raises(ValueError, match=r"deformation must be 0 for rows of shape \(5,\), got 1"):
        train_autoencoder(model, rows, SMALL, seed=0)
