"""Priors of codes: closed forms, unbiasedness, and what training with them does."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ot_latent.config import AutoencoderConfig, ConfigError, PriorAutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.priors import normal_discrepancy, normal_divergence, prior_penalty
from ot_latent.latent.training import train_autoencoder


def draws(n, d, seed):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


def test_divergence_equals_that_of_torch():
    mean, spread = draws(20, 5, 0), draws(20, 5, 1)
    oracle = kl_divergence(Normal(mean, (spread / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(normal_divergence(mean, spread), oracle)
    assert normal_divergence(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0.0


def test_discrepancy_is_unbiased_and_sees_shift_and_scale():
    values = [normal_discrepancy(draws(30, 4, 2 * i), draws(30, 4, 2 * i + 1)) for i in range(300)]
    found = torch.stack(values)
    assert abs(float(found.mean())) < 4 * float(found.std()) / np.sqrt(300)
    codes, other = draws(500, 4, 0), draws(500, 4, 1)
    for wrong in (codes + 1.0, 2.0 * codes, 0.3 * codes):
        assert normal_discrepancy(wrong, other) > 0.1


def test_discrepancy_equals_the_dense_double_sum():
    x, y = draws(7, 3, 0), 1.5 * draws(5, 3, 1)
    kernel = lambda a, b: sum(  # noqa: E731
        6 * s / (6 * s + torch.cdist(a, b).square()) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    )
    off = lambda k: (k.sum() - k.trace()) / (len(k) * (len(k) - 1))  # noqa: E731
    oracle = off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()
    assert float(normal_discrepancy(x, y)) == pytest.approx(float(oracle), rel=1e-9)


def test_a_configuration_without_prior_has_no_penalty():
    penalty = prior_penalty(AutoencoderConfig(), torch.ones(3, 16), lambda d: torch.ones(3, d), 9)
    assert penalty.item() == 0.0


def test_the_default_network_and_its_training_are_what_they_were():
    """A prior of weight zero leaves the training of the default network bit for bit alone."""
    x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    options = {"latent_dim": 3, "width": 4, "code_noise": 0.05, "code_penalty": 1e-4}
    made = []
    for config in (
        AutoencoderConfig(**options),
        PriorAutoencoderConfig(**options, prior="wae", prior_weight=0.0),
    ):
        network = build_autoencoder(config, (1, 8, 8), seed=1)
        train_autoencoder(network, x, TrainingConfig(epochs=1, batch_size=16), seed=2)
        made.append(network.state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize("prior", ["vae", "wae"])
def test_a_prior_makes_codes_normal(prior):
    rng = np.random.default_rng(0)
    latent = 5 + 3 * rng.exponential(size=(600, 2))
    x = torch.from_numpy(np.tanh(latent @ rng.normal(size=(2, 6)) / 6)).float()
    x = (x - x.mean(0)) / x.std(0)
    spread = []
    for weight in (0.0, 2.0):
        config = PriorAutoencoderConfig(
            model="mlp", latent_dim=2, width=4, prior=prior, prior_weight=weight
        )
        network = build_autoencoder(config, (6,), seed=0)
        assert network.encode(x).shape == (600, 2)
        train_autoencoder(network, x, TrainingConfig(epochs=8, batch_size=50, patience=15), seed=0)
        codes = network.encode(x).detach().double()
        if prior == "vae":  # the codes that the decoder saw
            log_variance = network.encoder(x)[:, 2:].detach()
            codes = codes + (log_variance / 2).exp() * draws(600, 2, 5)
        spread.append(abs(float(normal_discrepancy(codes, draws(600, 2, 7)))))
    assert spread[1] < 0.5 * spread[0]


def test_refusals():
    with pytest.raises(ConfigError, match="prior must"):
        PriorAutoencoderConfig.from_dict({"prior": "gan"})
