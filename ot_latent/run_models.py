"""The model of a run: saved into the folder, loaded from it, told in numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ot_latent import persistence
from ot_latent.run_folder import RunError, RunFolder

if TYPE_CHECKING:
    from ot_latent.code_model import CodeModel
    from ot_latent.estimators import OTSampler
    from ot_latent.generator import LatentGenerator

NUMBERS = (
    "solver",
    "tolerance",
    "mass_error",
    "error_norm",
    "samples",
    "effective_samples",
    "evaluation_samples",
    "steps",
    "cost",
)


def save_model(folder: RunFolder, model: LatentGenerator | OTSampler) -> None:
    """Save a fitted model into the folder itself.

    Parameters
    ----------
    folder : RunFolder
        Where to.
    model : LatentGenerator or OTSampler
        What was fitted.
    """
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder.path)
        return
    config = {"class": "OTSampler", "sampler": model.to_config()}
    persistence.save_folder(folder.path, tensors={"transport": model.to_tensors()}, config=config)


def require_model(path: str | os.PathLike[str]) -> None:
    """Refuse a path that holds no finished model.

    Parameters
    ----------
    path : path
        A run folder, or a folder written by `save_pretrained`.

    Raises
    ------
    RunError
        If there is nothing, or a run that is not finished.
    """
    folder = RunFolder(path)
    if (folder.path / persistence.CONFIG_NAME).is_file():
        return
    if folder.started:
        raise RunError(
            f"{path} must be a finished run, got one that was interrupted; continue it with "
            f"ot-latent train --out {path} --resume."
        )
    folder.config()  # says what is missing


def load_model(path: str | os.PathLike[str], device: str = "cpu") -> LatentGenerator | OTSampler:
    """Load the model of a run.

    Parameters
    ----------
    path : path
        A run folder, or a folder written by `save_pretrained`.
    device : str, default="cpu"
        Where to compute.

    Returns
    -------
    LatentGenerator or OTSampler
        The latter where only codes were given to train.
    """
    require_model(path)
    document = persistence.read_json(Path(path) / persistence.CONFIG_NAME)
    if document.get("config", {}).get("class") != "OTSampler":
        from ot_latent.generator import LatentGenerator

        return LatentGenerator.from_pretrained(path, device=device)
    from ot_latent.estimators import OTSampler

    tensors, config = persistence.load_folder(path, device)
    return OTSampler.from_parts(tensors["transport"], config["sampler"], device)


def load_generator(path: str | os.PathLike[str], device: str = "cpu") -> LatentGenerator:
    """Load the model of a run that has an autoencoder.

    Parameters
    ----------
    path : path
        A run folder, or a folder written by `save_pretrained`.
    device : str, default="cpu"
        Where to compute.

    Returns
    -------
    LatentGenerator
        The model.

    Raises
    ------
    RunError
        If the run was trained on codes alone.
    """
    model = load_model(path, device)
    if not hasattr(model, "coder_"):
        raise RunError(
            f"{path} must be a run with an autoencoder, got one trained on codes alone; use sample, "
            "solve, evaluate, plot, report or info."
        )
    return model  # type: ignore[return-value]


def load_judged(path: str | os.PathLike[str], device: str = "cpu") -> LatentGenerator | CodeModel:
    """Load the model of any run with the face that judges, figures and the report know.

    Parameters
    ----------
    path : path
        A run folder, or a folder written by `save_pretrained`.
    device : str, default="cpu"
        Where to compute.

    Returns
    -------
    LatentGenerator or CodeModel
        The latter where only codes were given to train.
    """
    model = load_model(path, device)
    if hasattr(model, "coder_"):
        return model  # type: ignore[return-value]
    from ot_latent.code_model import CodeModel

    return CodeModel(model)  # type: ignore[arg-type]


def load_beside(path: str | os.PathLike[str]) -> LatentGenerator | None:
    """Load the second model that ``ot-latent demo`` trains in a run's folder ``plane``.

    Parameters
    ----------
    path : path
        Run folder.

    Returns
    -------
    LatentGenerator or None
        The model with two-dimensional codes, where the run has one.
    """
    beside = RunFolder(Path(path) / "plane")
    return load_generator(beside.path) if beside.complete else None


def find_label(path: str | os.PathLike[str], model: Any, text: str | None) -> Any:
    """Return the label that is written so.

    Parameters
    ----------
    path : path
        The run folder, whose summary knows the labels' names.
    model : LatentGenerator or OTSampler
        The run's model.
    text : str or None
        A label, or its name; None stands for none.

    Returns
    -------
    object
        The label as the model knows it.

    Raises
    ------
    RunError
        If there are no labels, or not this one.
    """
    if text is None:
        return None
    labels = sampler_of(model).labels_
    if labels is None:
        raise RunError(
            f"--label must be left out for {path}, got {text!r}: it was trained without labels; "
            "train with --labels or --label-column."
        )
    known = {str(label): label for label in sorted(set(labels.tolist()))}
    folder = RunFolder(path)
    names = folder.summary().get("label_names") if folder.complete else None
    known |= {name: number for number, name in enumerate(names or ()) if str(number) in known}
    if text not in known:
        shown = ", ".join(list(known)[:20])
        raise RunError(f"--label must be one of {shown}, got {text!r}; choose one of these.")
    return known[text]


def summarise(
    model: LatentGenerator | OTSampler, seconds: float, label_names: Any = None
) -> dict[str, Any]:
    """Return what is to be known of a fitted model, ready for JSON.

    Parameters
    ----------
    model : LatentGenerator or OTSampler
        The model.
    seconds : float
        Time that it took.
    label_names : sequence of str, optional
        Names of the labels 0, 1, ...

    Returns
    -------
    dict
        Kind, sizes, labels, and how far the transport converged.
    """
    sampler = sampler_of(model)
    solution = sampler.transport_
    interval = solution.mass_error_interval
    labels = None if sampler.labels_ is None else sorted(set(sampler.labels_.tolist()))
    return {
        "kind": type(model).__name__,
        "latent_dim": sampler.n_features_in_,
        "targets": len(sampler.weights_),
        "labels": labels,
        "label_names": None if label_names is None else list(label_names),
        "seconds": round(seconds, 2),
        "transport": {
            "status": solution.status.name,
            "advice": solution.status.value,
            **{name: getattr(solution, name) for name in NUMBERS},
            "mass_error_interval": None if interval is None else list(interval),
        },
    }


def sampler_of(model: LatentGenerator | OTSampler) -> OTSampler:
    """Return the part of a model that goes from noise to codes.

    Parameters
    ----------
    model : LatentGenerator or OTSampler
        The model.

    Returns
    -------
    OTSampler
        The model itself, or the generator's.
    """
    return model.sampler_ if hasattr(model, "sampler_") else model  # type: ignore[return-value]
