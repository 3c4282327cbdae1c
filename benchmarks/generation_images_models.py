"""What tables of generation train, kept in folders: autoencoders, transports, judges.

A folder that holds what is asked for is read; one made with other settings is refused. So a table can be
measured again, with other samplers or other judges, without training anything.
"""

from __future__ import annotations

import copy
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ot_latent import persistence
from ot_latent.architectures import new_autoencoder
from ot_latent.coders import TrainedCoder
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.estimators import OTSampler
from ot_latent.generator import LatentGenerator
from ot_latent.latent.accelerator import own_accelerator
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.batches import split_rows
from ot_latent.latent.classifier import Classifier, train_classifier
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.refinement import Refinement
from ot_latent.latent.training import train_autoencoder
from ot_latent.latent.training_state import Progress, TrainingState, copy_parameters

REFINE: dict[str, Any] = {"refine_epochs": 1, "refine_local": 1.0}
Build = Callable[[AutoencoderConfig, tuple[int, ...], int], Autoencoder]


def _read(folder: Path, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return tensors and configuration of a folder, None where there is none."""
    if not (folder / persistence.CONFIG_NAME).is_file():
        return None
    tensors, config = persistence.load_folder(folder)
    if config["asked"] != wanted:
        raise ValueError(
            f"{folder} must have been made with {wanted}, got {config['asked']}; name another folder."
        )
    return tensors, config


def digest(folder: Path, name: str = "") -> str:
    """Return the SHA-256 of the largest file of a folder: that of its parameters, or of the network named."""
    largest = max(folder.glob(f"{name}*.safetensors"), key=lambda path: path.stat().st_size)
    return hashlib.sha256(largest.read_bytes()).hexdigest()


def coder(
    folder: Path,
    X: np.ndarray,
    *,
    seed: int,
    build: Build = new_autoencoder,
    groups: np.ndarray | None = None,
    **settings: Any,
) -> tuple[TrainedCoder, dict[str, Any]]:
    """Train an autoencoder, or read it; returns it with its history, seconds of CPU and settings.

    Early stopping looks at rows whose groups the others have no part of.
    """
    wanted = {"rows": len(X), "seed": seed} | settings
    found = _read(folder, wanted)
    shapes = {k: v for k, v in settings.items() if k in AutoencoderConfig.model_fields}
    training = {k: v for k, v in settings.items() if k in TrainingConfig.model_fields}
    architecture = AutoencoderConfig.from_dict(shapes)
    if found:
        tensors, config = found
        codec = DataCodec.from_dict(config["codec"])
        model = build(architecture, codec.shape, seed)
        model.load_state_dict(dict(tensors["autoencoder"]))
        return TrainedCoder(codec, model.eval()), config
    codec = DataCodec.fit(X)
    began = time.process_time()
    network = build(architecture, codec.shape, seed)
    how, rows, unseen = TrainingConfig.from_dict(training), codec.encode(X), None
    if groups is not None:
        rows, unseen = split_rows(rows, how.validation_fraction, seed, groups)
    result = train_autoencoder(network, rows, how, seed=seed, x_validation=unseen)
    config = {
        "asked": wanted,
        "codec": codec.to_dict(),
        "history": result.history,
        "cpu_s": time.process_time() - began,
        "load": os.getloadavg()[0],
    }
    state = {k: v.detach().contiguous() for k, v in result.model.state_dict().items()}
    persistence.save_folder(folder, tensors={"autoencoder": state}, config=config)
    return TrainedCoder(codec, result.model), config


def refined(
    folder: Path, model: LatentGenerator, X: np.ndarray, groups: np.ndarray | None = None
) -> TrainedCoder:
    """Refine the decoder of a fitted generator, or read it; encoder and codes stay.

    The parameters are those that its training would have had with `REFINE`.
    """
    codec, network, seed = model.coder_.codec, copy.deepcopy(model.coder_.model), model.seed_
    wanted = {"rows": len(X), "seed": seed} | REFINE
    found = _read(folder, wanted)
    if found:
        network.decoder.load_state_dict(dict(found[0]["decoder"]))
        return TrainedCoder(codec, network.eval())
    given = {k: v for k, v in model.get_params().items() if k in TrainingConfig.model_fields}
    how, began = TrainingConfig.from_dict(given | REFINE), time.process_time()
    rows, unseen = split_rows(codec.encode(X), how.validation_fraction, seed, groups)
    with own_accelerator(torch.device("cpu"), "no") as accelerator:
        loop = Refinement(accelerator, network, rows, unseen, how, seed)
        trained, scale = copy_parameters(network), model.history_[-1]["code_rms"]
        scale = torch.tensor(scale, dtype=torch.float64)
        progress = Progress(history=model.history_).copy()
        loop.restore(TrainingState(trained, trained, {}, scale, progress, loop.fingerprint))
        result = loop.run(None)
    told = {"history": result.history, "cpu_s": time.process_time() - began}
    config = {"asked": wanted, "load": os.getloadavg()[0]} | told
    state = {k: v.detach().contiguous() for k, v in network.decoder.state_dict().items()}
    persistence.save_folder(folder, tensors={"decoder": state}, config=config)
    return TrainedCoder(codec, network)


def transport(
    folder: Path,
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    seed: int,
    again: bool = False,
    groups: np.ndarray | None = None,
    **settings: Any,
) -> OTSampler:
    """Solve the transport onto codes, or read it; `again` calibrates its extension anew."""
    wanted = {"rows": len(codes), "seed": seed} | settings
    found = _read(folder, wanted)
    if found is None:
        began = time.process_time()
        sampler = OTSampler(random_state=seed, **settings).fit(codes, labels, groups=groups)
        config = {"asked": wanted, "sampler": sampler.to_config()}
        config["cpu_s"] = time.process_time() - began
        persistence.save_folder(folder, tensors={"transport": sampler.to_tensors()}, config=config)
        return sampler
    return extended(OTSampler.from_parts(found[0]["transport"], found[1]["sampler"]), again)


def extended(sampler: OTSampler, again: bool) -> OTSampler:
    """Return a sampler that was read; `again` calibrates its extension anew."""
    if again:
        sampler._finish(None)  # the extension alone: the solved transport stays
    return sampler


def blind(sampler: OTSampler) -> OTSampler:
    """Return the same transport, its extension calibrated without knowing of variants."""
    tensors = {key: value for key, value in sampler.to_tensors().items() if key != "groups"}
    return extended(OTSampler.from_parts(tensors, sampler.to_config()), again=True)


def classifier(
    folder: Path, x: Any, labels: Any, *, seed: int = 0, epochs: int | None = None
) -> Classifier:
    """Train a classifier on encoded rows, or read it."""
    wanted = {"rows": len(x), "seed": seed, "epochs": epochs}
    found = _read(folder, wanted)
    if found:
        return Classifier.from_parts(dict(found[0]["classifier"]), found[1]["classifier"])
    model = train_classifier(x, labels, seed=seed, epochs=epochs)
    config = {"asked": wanted, "classifier": model.to_config()}
    persistence.save_folder(folder, tensors={"classifier": model.to_tensors()}, config=config)
    return model
