"""Small rows are trained by one thread, and PyTorch's number of threads comes back."""

import pytest
import torch

from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.classifier import train_classifier
from ot_latent.latent.threads import threads_for
from ot_latent.latent.training import train_autoencoder


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("shape", "threads"), [((1, 8, 8), 1), ((256,), 1), ((257,), 3), ((3, 32, 32), 3)]
)
def test_rows_decide_and_the_number_comes_back(three_threads, shape, threads):
    with threads_for(shape):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_number_comes_back_after_an_error(three_threads):
    with pytest.raises(KeyError), threads_for((2,)):
        raise KeyError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("side", "threads"), [(8, 1), (28, 3)])
def test_autoencoder_is_trained_so(three_threads, side, threads):
    x = torch.rand(16, 1, side, side, generator=torch.Generator().manual_seed(0))
    seen = set()
    model = Autoencoder(AutoencoderConfig(latent_dim=2, model="mlp"), (1, side, side))
    config = TrainingConfig(epochs=1)
    train_autoencoder(
        model, x, config, seed=0, callback=lambda told: seen.add(torch.get_num_threads())
    )
    assert seen == {threads}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("values", "threads"), [(4, 1), (300, 3)])
def test_classifier_is_trained_so(three_threads, values, threads, monkeypatch):
    seen = set()
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **options):
        seen.add(torch.get_num_threads())
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    train_classifier(torch.arange(8.0 * values).reshape(8, values), [0, 1] * 4, seed=0, epochs=1)
    assert seen == {threads}
    assert torch.get_num_threads() == 3
