"""Rectified autoencoders: their units are those of the theory, shrink to zero, resume bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from ot_latent._random import Stream, generator
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder
from ot_latent.latent.homogeneous import autoencoder_units
from ot_latent.latent.training import TrainingStatus, train_autoencoder
from ot_latent.latent.training_state import TrainingState

SMALL = TrainingConfig(epochs=3, batch_size=16, validation_fraction=0.1, weight_decay=0.3)


def images(n: int = 50, side: int = 8) -> torch.Tensor:
    """Return soft discs of random place and size."""
    u = generator(3, Stream.FIT, 0).random((n, 3)).astype(np.float32)
    grid = np.mgrid[:side, :side].astype(np.float32) / (side - 1)
    gap = np.hypot(grid[0] - u[:, 0, None, None], grid[1] - u[:, 1, None, None])
    return torch.from_numpy(1 / (1 + np.exp(12 * (gap - 0.2 - 0.3 * u[:, 2, None, None]))))[:, None]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Say whether two sets of tensors agree bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def network(model: str = "mlp", shape: tuple[int, ...] = (1, 9, 12), **more: object) -> Autoencoder:
    values = {"model": model, "latent_dim": 3, "width": 8} | more
    return build_autoencoder(AutoencoderConfig.from_dict(values), shape, seed=1)


@pytest.mark.parametrize("kind", ["mlp", "conv", "residual"])
def test_defaults_leave_every_network_as_it_was(kind):
    """Smooth, with norms, an affine path in the mlp alone, no factors."""
    model = network(kind)
    names = [type(m).__name__ for m in model.modules()]
    assert "SiLU" in names
    assert "ReLU" not in names
    assert "AffineSkip" not in names
    plain = network(kind, activation="silu", skip=True if kind == "mlp" else None)
    assert same(model.state_dict(), plain.state_dict())
    assert [type(m) for m in plain.modules()] == [type(m) for m in model.modules()]


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("skip", [None, True, False])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_units_are_what_the_theory_reads_off_the_model(kind, skip, rank):
    from ot_latent.theory.sparsity import disjoint_units

    model = network(kind, regulariser="pathprox", skip=skip, bottleneck_rank=rank).double()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            draws = generator(0, Stream.FIT, number).normal(size=tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(draws))
    own = autoencoder_units(model)
    encoder = Seen(model.encoder) if kind == "conv" else model.encoder
    shape = (1, 10, 12) if kind == "conv" else (1, 9, 12)
    read = disjoint_units(encoder, shape) + disjoint_units(model.decoder, (3,))
    assert len(own) == len(read) >= 2
    for ours, theirs in zip(own, read, strict=True):
        assert [id(p) for p in ours.parameters()] == [id(p) for p in theirs.parameters()]
        assert torch.allclose(ours.in_norms(bias=True), theirs.in_norms(bias=True))
        assert torch.allclose(ours.out_norms(), theirs.out_norms())


class Seen(nn.Module):
    """An image encoder without the padding that torch.fx cannot trace on odd sizes."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = getattr(encoder, "curved", encoder)
        patches, *rest = self.encoder
        self.rest = nn.Sequential(nn.PixelUnshuffle(patches.side), *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(x)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_rescaling_the_units_keeps_the_autoencoder(kind):
    model = network(kind, regulariser="pathprox", skip=True).double()
    x = torch.rand(5, 1, 9, 12, dtype=torch.float64)
    before = model(x)[0]
    for block in autoencoder_units(model):
        block.rescale_(torch.linspace(0.5, 2, len(block.in_norms()), dtype=torch.float64))
    assert torch.allclose(model(x)[0], before, rtol=1e-10, atol=1e-12)


def test_a_bottleneck_bounds_the_rank_and_a_skip_can_be_left_out():
    from ot_latent.theory.sparsity import bottleneck_ranks

    model = network("mlp", activation="relu", bottleneck_rank=3, skip=False)
    found = bottleneck_ranks(model.decoder)
    assert [r.rank for r in found[1:3]] == [3, 3]
    assert "straight" not in dict(model.encoder.named_children())
    assert tuple(model.decode(model.encode(torch.rand(2, 1, 9, 12))).shape) == (2, 1, 9, 12)


def test_an_affine_skip_beside_convolutions_is_added():
    model = network("conv", skip=True)
    x = torch.rand(2, 1, 9, 12)
    with torch.no_grad():
        for part in model.encoder.curved, model.decoder.curved:
            for parameter in part.parameters():
                parameter.zero_()
        z = model.encode(x)
        flat = model.decoder.straight(z).reshape(2, 1, 9, 12)
        assert torch.allclose(z, model.encoder.straight(x.flatten(1)))
        assert torch.allclose(model.decode(z), torch.sigmoid(flat))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_proximal_training_has_the_same_bits(kind, stop):
    options = {"shape": (1, 8, 8), "regulariser": "pathprox", "skip": True}
    whole = train_autoencoder(network(kind, **options), images(), SMALL, seed=5)
    steps = []

    def interrupt(event: dict) -> bool:
        steps.append(event["progress"])
        return len(steps) == stop

    part = train_autoencoder(network(kind, **options), images(), SMALL, seed=5, callback=interrupt)
    assert part.status is TrainingStatus.INTERRUPTED
    metadata = json.loads(json.dumps(part.state.to_metadata()))
    state = TrainingState.from_parts(part.state.to_tensors(), metadata)
    rest = train_autoencoder(network(kind, **options), images(), SMALL, seed=5, state=state)
    assert same(whole.state.to_tensors(), rest.state.to_tensors())
    assert same(whole.model.state_dict(), rest.model.state_dict())
    assert whole.history == rest.history


def test_units_become_exactly_zero_and_the_training_still_learns():
    config = TrainingConfig(epochs=12, batch_size=16, validation_fraction=0, weight_decay=1.0)
    model = network("mlp", (1, 8, 8), regulariser="pathprox")
    result = train_autoencoder(model, images(96), config, seed=0)
    first, last = (result.history[i]["train_loss"] for i in (0, -1))
    assert last < 0.8 * first
    blocks = autoencoder_units(result.model)
    norms = [b.in_norms().detach() for b in blocks]
    assert all(np.allclose(n, 1.0, atol=1e-5) for n in norms)
    silent = sum(int((b.out_norms() == 0).sum()) for b in blocks)
    assert silent > 10
    plain = train_autoencoder(
        network("mlp", (1, 8, 8), activation="relu"), images(96), config, seed=0
    )
    assert all(bool((b.out_norms() > 0).all()) for b in autoencoder_units(plain.model))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"activation": "silu", "regulariser": "pathprox"}, "activation must be 'relu' or 'auto'"),
        ({"model": "residual", "activation": "relu"}, "model must be 'mlp' or 'conv' with rect"),
        (
            {"model": "residual", "bottleneck_rank": 2},
            "got 'residual', whose blocks .* are no units; change model",
        ),
    ],
)
def test_networks_that_cannot_be_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        network(**{"model": "mlp", **options})
