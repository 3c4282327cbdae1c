"""RAE with ex-post mixture and two-stage VAE by pythae, on our networks, judged like our samplers.

``python -m benchmarks generation_pythae --data mnist --seeds 0`` adds rows to the table of generated images. The
networks are those of our autoencoder (for the VAE with twice the outputs), the images and the number of epochs
its own, unless `--stages` names those of a model and of what is fitted to its codes; models, losses, training and
samplers are pythae's, AdamW with a cosine from 1e-3. The VAE takes the cross-entropy of pixels, with which its loss is
the evidence bound; under pythae's default, normal pixels of unit variance, its reconstructions are blurred. The library's
second stage measures codes, whose variance is about one, against normal laws of unit variance, and trains the deviation of
its own noise by that loss, which can only shrink it; *learnt deviation* is the same second stage under the likelihood of
Dai and Wipf (2019), in which the deviation is that of the law. Every row has the losses of its stages, epoch by epoch. Novelty in
codes takes the codes that each model's encoder gives to its images. ``pip install --no-deps pythae imageio`` brings the
library: what else it needs is here.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import generation_images as images, generation_images_table, results
from ot_latent import persistence
from ot_latent.architectures import new_autoencoder
from ot_latent.config import AutoencoderConfig, PriorAutoencoderConfig
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder
from ot_latent.latent.priors import split_code

RATE = 1e-3
RAE, VAE = "RAE + mixture (pythae)", "two-stage VAE (pythae)"
LEARNT = "two-stage VAE, learnt deviation (pythae)"
MODELS = {"rae": RAE, "vae": VAE, "vae-learnt": LEARNT}
REBUILT = {RAE: "reconstructions by RAE (pythae)", VAE: "reconstructions by VAE (pythae)"}
REBUILT[LEARNT] = REBUILT[VAE]
TRAINER = "pythae.trainers.base_trainer.base_trainer"  # the logger that tells losses


@contextmanager
def heard() -> Iterator[list[float]]:
    """Give the losses that pythae's trainer tells, one per epoch."""
    losses: list[float] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told = record.getMessage()
            if told.startswith("Train loss: "):
                losses.append(float(told.split()[-1]))

    ear, logger = Ear(), logging.getLogger(TRAINER)
    logger.addHandler(ear)
    try:
        yield losses
    finally:
        logger.removeHandler(ear)


def networks(own: Autoencoder) -> tuple[Any, Any]:
    """Return our encoder and decoder as pythae takes them."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = own.encoder

        def forward(self, x: Tensor) -> Any:
            codes = self.body(x)
            if not own.variational:
                return ModelOutput(embedding=codes)
            mean, spread = split_code(codes, own.config.latent_dim)
            return ModelOutput(embedding=mean, log_covariance=spread)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = own.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))

    return Encoder(), Decoder()


def untrained(method: str, shape: tuple[int, ...], latent_dim: int, seed: int) -> Any:
    """Return pythae's model with our networks."""
    import pythae.models

    size = {"input_dim": shape, "latent_dim": latent_dim}
    if method == RAE:
        own = new_autoencoder(AutoencoderConfig(latent_dim=latent_dim), shape, seed)
        encoder, decoder = networks(own)
        return pythae.models.RAE_L2(pythae.models.RAE_L2_Config(**size), encoder, decoder)
    config = PriorAutoencoderConfig(latent_dim=latent_dim, prior="vae")
    encoder, decoder = networks(build_autoencoder(config, shape, seed))
    settings = pythae.models.VAEConfig(**size, reconstruction_loss="bce")
    return pythae.models.VAE(settings, encoder, decoder)


def train(model: Any, x: Tensor, epochs: int, seed: int) -> Any:
    """Train by pythae's pipeline; returns its best model."""
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig, CoupledOptimizerTrainerConfig

    schedule = {"T_max": epochs}
    shared = {"num_epochs": epochs, "seed": seed, "no_cuda": True}
    with tempfile.TemporaryDirectory() as folder:
        if model.model_name == "RAE_L2":
            config = CoupledOptimizerTrainerConfig(
                output_dir=folder,
                encoder_optimizer_cls="AdamW",
                decoder_optimizer_cls="AdamW",
                encoder_learning_rate=RATE,
                decoder_learning_rate=RATE,
                encoder_scheduler_cls="CosineAnnealingLR",
                decoder_scheduler_cls="CosineAnnealingLR",
                encoder_scheduler_params=schedule,
                decoder_scheduler_params=schedule,
                **shared,
            )
        else:
            config = BaseTrainerConfig(
                output_dir=folder,
                optimizer_cls="AdamW",
                learning_rate=RATE,
                scheduler_cls="CosineAnnealingLR",
                scheduler_params=schedule,
                **shared,
            )
        TrainingPipeline(training_config=config, model=model)(train_data=x)
    return model.eval()


def trained(
    folder: Path, method: str, x: Tensor, latent_dim: int, epochs: int, seed: int
) -> tuple[Any, dict[str, Any]]:
    """Train a model, or read it; returns it with what its training told."""
    model = untrained(method, tuple(x.shape[1:]), latent_dim, seed)
    if (folder / persistence.CONFIG_NAME).is_file():
        tensors, config = persistence.load_folder(folder)
        if config["epochs"] != epochs:
            raise ValueError(
                f"{folder} must hold a model of {epochs} epochs, got {config['epochs']}; name another "
                "folder."
            )
        model.load_state_dict(dict(tensors["model"]))
        return model.eval(), config
    cpu = time.process_time()
    with heard() as losses:
        train(model, x, epochs, seed)
    config = {"cpu_s": time.process_time() - cpu, "epochs": epochs, "losses": losses}
    state = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    persistence.save_folder(folder, tensors={"model": state}, config=config)
    return model, config


def likelihood(second: Any) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Return the loss of a second stage that decodes codes as normal laws of one learnt deviation.

    Its decoder adds its own noise to the means already, which adds a constant to the expected square
    over the variance: the gradient is right in the mean.
    """

    def loss(made: Tensor, x: Tensor, mu: Tensor, spread: Tensor, _z: Tensor) -> Any:
        scale = second.decoder.gamma_z.abs()[0, 0]
        fit = 0.5 * ((made - x) / scale).square().sum(1) + x.shape[1] * scale.log()
        bits = 0.5 * (mu.square() + spread.exp() - spread - 1.0).sum(1)
        return (fit + bits).mean(), fit.mean(), bits.mean()

    return loss


def sampled(model: Any, method: str, x: Tensor, n: int, epochs: int, seed: int) -> Tensor:
    """Fit pythae's sampler of the model's codes and draw images."""
    from pythae.samplers import (
        GaussianMixtureSampler,
        GaussianMixtureSamplerConfig,
        TwoStageVAESampler,
    )
    from pythae.trainers import BaseTrainerConfig

    torch.manual_seed(seed)  # pythae draws from the global generators
    np.random.seed(seed)  # noqa: NPY002
    if method == RAE:
        config = GaussianMixtureSamplerConfig(n_components=10)
        sampler = GaussianMixtureSampler(model, config)
        sampler.fit(x)
    else:
        sampler = TwoStageVAESampler(model)
        if method == LEARNT:
            sampler.second_vae.loss_function = likelihood(sampler.second_vae)
        with tempfile.TemporaryDirectory() as folder:
            settings = {"num_epochs": epochs, "learning_rate": RATE, "no_cuda": True}
            settings |= {"optimizer_cls": "AdamW", "scheduler_cls": "CosineAnnealingLR"}
            settings |= {"scheduler_params": {"T_max": epochs}}
            config = BaseTrainerConfig(output_dir=folder, seed=seed, **settings)
            sampler.fit(x, training_config=config)
    with torch.no_grad():
        return sampler.sample(num_samples=n, return_gen=True)


def run(
    case: images.Case, stages: tuple[int, int], methods: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield two rows a model, reconstructions and samples, after some epochs of each stage."""
    codec = case.court.codec
    x = codec.encode(case.train)
    told = case.told({"history": [None] * stages[0], "cpu_s": None})
    for method in methods:
        name = "pythae-rae" if method == RAE else "pythae-vae-bce"
        latent_dim = case.settings["latent_dim"]
        model, first = trained(case.folder / name, method, x, latent_dim, stages[0], case.seed)
        encode, decode = _coder(model)
        views = {
            key: case.court.view(rows, encode(codec.encode(rows)).numpy())
            for key, rows in (("train", case.train), ("a", case.a), ("b", case.b))
        }
        judge = case.judge(views)
        row = told | {"failure": None, "mass_error": None, "train_cpu_s": first["cpu_s"]}
        row |= {"stages": list(stages), "losses": [first.get("losses")]}
        rebuilt = codec.decode(decode(torch.from_numpy(views["a"].codes)))
        seen = case.court.view(rebuilt, views["a"].codes)
        yield row | {"method": REBUILT[method], "cpu_s": 0.0} | judge.score(seen)
        cpu = time.process_time()
        with heard() as losses:
            made = sampled(model, method, x, len(case.b), stages[1], case.seed)
        row["losses"] = [*row["losses"], losses]
        row["cpu_s"] = time.process_time() - cpu
        made = made.reshape(len(case.b), *x.shape[1:])
        seen = case.court.view(codec.decode(made), encode(made).numpy())
        yield row | {"method": method} | judge.score(seen)


def _coder(model: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return the functions from images to codes (means, for the VAE) and back."""

    def encode(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model.encoder(part).embedding for part in x.split(256)])

    def decode(z: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model.decoder(part).reconstruction for part in z.split(256)])

    return encode, decode


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table of images with the rows of pythae."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", type=int, default=images.ROWS)
    parser.add_argument("--latent-dim", type=int, default=images.LATENT_DIM)
    parser.add_argument("--epochs", type=int, help="of our autoencoder, which is read or trained")
    told = (
        "of a model and of what is fitted to its codes (default: as many as our autoencoder took)"
    )
    parser.add_argument("--stages", type=int, nargs=2, metavar="EPOCHS", help=told)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--limit", type=int, help="rows of a held-out half at most")
    parser.add_argument("--judge-epochs", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/generation"))
    parser.add_argument("--out", type=Path, default=results.FOLDER / "generation_images.json")
    options = vars(parser.parse_args(arguments))
    if find_spec("pythae") is None:
        parser.error(
            "pythae must be installed, got none; try pip install --no-deps pythae imageio."
        )
    out, data, runs = (options.pop(key) for key in ("out", "data", "runs"))
    stages, methods = options.pop("stages"), [MODELS[name] for name in options.pop("models")]
    record = results.read(out)
    for seed in options.pop("seeds"):
        case = images.Case(data, seed, runs, **options)
        epochs = len(case.coder()[1]["history"])
        for row in run(case, tuple(stages or (epochs, epochs)), methods):
            record = results.merge(out, [row], images.KEY)
    print(generation_images_table.markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
