"""The figures of a run, each a PNG file, and the atlas as a page: what ``ot-latent plot`` draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent import _files, output, plotting
from ot_latent.atlas_page import atlas_page
from ot_latent.config import ConfigError, suggestion
from ot_latent.plotting.style import close
from ot_latent.raster import CellRaster
from ot_latent.run_models import sampler_of

if TYPE_CHECKING:
    from ot_latent.atlas import Atlas
    from ot_latent.datasets import Dataset

ROWS = 1000  # held-out rows, and samples, that the statistics of a figure use
PATHS = 4  # pairs of rows that are joined
DPI = 150


def draw(
    model: Any,
    data: Dataset | None,
    folder: Path,
    kinds: Iterable[str] = (),
    *,
    seed: int = 0,
) -> list[Path]:
    """Draw figures of a model and write them as PNG files, the atlas as a page to explore too.

    Parameters
    ----------
    model : LatentGenerator or CodeModel
        A fitted model.
    data : Dataset or None
        Held-out rows; without them what needs none is drawn.
    folder : Path
        Where to; each file is named after its kind.
    kinds : iterable of str
        Any of `KINDS`; none means all that fit the model, the atlas apart.
    seed : int, default=0
        Seed of the samples.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        If a kind is unknown or does not fit the model.
    """
    wanted = list(kinds) or [kind for kind in fitting(model, data) if kind != "atlas"]
    possible = fitting(model, data)
    for kind in wanted:
        if kind not in KINDS:
            raise ConfigError(f"{kind} is not a kind of figure; {suggestion(kind, KINDS)}")
        if kind not in possible:
            raise ConfigError(
                f"--kind must fit the run, got {kind}, which needs {NEEDS[kind]}; this run has "
                f"{', '.join(possible)}."
            )
    _files.make_folder(folder)
    rows = np.empty(0) if data is None else np.asarray(data.x[:ROWS])
    files = []
    for kind in wanted:
        if kind == "atlas":
            files += _write_atlas(model, data, folder)
        else:
            files.append(_write(KINDS[kind](model, data, rows, seed), folder / f"{kind}.png"))
    return files


def _write(figure: Any, path: Path) -> Path:
    _files.write_bytes(path, output.to_bytes(figure.savefig, format="png", dpi=DPI))
    close(figure)
    return path


def _write_atlas(model: Any, data: Any, folder: Path) -> list[Path]:
    """Write the atlas as a picture and, where its cells are exact, as a page to explore."""
    found, names = _atlas_of(model, data), data.label_names
    files = [_write(plotting.atlas(found, names=names), folder / "atlas.png")]
    if not isinstance(found.cells, CellRaster):
        title = f"{data.name} in two dimensions"
        page = atlas_page(found, model.decode, names=names, title=title)
        files.append(folder / "atlas.html")
        _files.write_bytes(files[-1], page.encode())
    return files


def fitting(model: Any, data: Dataset | None) -> list[str]:
    """Return the kinds of figures that a model and its data allow.

    Parameters
    ----------
    model : LatentGenerator or CodeModel
        A fitted model.
    data : Dataset or None
        Held-out rows.

    Returns
    -------
    list of str
        Keys of `KINDS`.
    """
    plane = sampler_of(model).n_features_in_ == 2
    images = data is not None and data.x.ndim > 2
    judged = data is not None and model.classifier_ is not None
    fits = {
        "loss": bool(model.history_),
        "samples": images,
        "reconstructions": images,
        "interpolation": images,
        "modes": judged,
        "novelty": data is not None,
        "codes": plane,
        "cells": plane,
        "atlas": plane and images and judged,
    }
    return [kind for kind in KINDS if fits.get(kind, True)]


def _convergence(model: Any, *_: Any) -> Any:
    solution = model.transport_
    axes = plotting.convergence(
        solution.history,
        mass_error=solution.mass_error,
        interval=solution.mass_error_interval,
        tolerance=solution.tolerance,
    )
    return axes.figure


def _loss(model: Any, *_: Any) -> Any:
    names = [name for name in ("train_loss", "validation_loss") if model.history_[0].get(name)]
    curves = {name: [epoch[name] for epoch in model.history_] for name in names}
    return plotting.loss_curves(curves).figure


def _samples(model: Any, data: Any, rows: Any, seed: int) -> Any:
    return plotting.image_grid(model.sample(100, random_state=seed), columns=10).figure


def _reconstructions(model: Any, data: Any, rows: np.ndarray, seed: int) -> Any:
    return plotting.reconstructions(rows[:16], model.reconstruct(rows[:16])).figure


def _interpolation(model: Any, data: Any, rows: np.ndarray, seed: int) -> Any:
    ends = rows[: 2 * PATHS]
    half = len(ends) // 2
    paths = model.interpolate(ends[:half], ends[half : 2 * half], steps=9)
    return plotting.interpolation(list(paths)).figure


def _modes(model: Any, data: Any, rows: np.ndarray, seed: int) -> Any:
    made = model.sample(ROWS, random_state=seed)
    real, generated = (model.classifier_(x)[1].argmax(axis=1) for x in (rows, made))
    names = data.label_names or [str(label) for label in np.unique(model.sampler_.labels_)]
    counts = [np.bincount(found, minlength=len(names)).tolist() for found in (real, generated)]
    return plotting.modes(counts[0], counts[1], names=names, n=ROWS).figure


def _novelty(model: Any, data: Any, rows: np.ndarray, seed: int) -> Any:
    from ot_latent.metrics.novelty import distance_to_closest

    sampler = sampler_of(model)
    train = sampler.codes(sampler.transport_.potential.points)
    made = sampler.sample(ROWS, random_state=seed)
    distances = [
        distance_to_closest(train=train, points=codes) for codes in (made, model.encode(rows))
    ]
    return plotting.novelty(*distances).figure


def _codes(model: Any, *_: Any) -> Any:
    sampler = sampler_of(model)
    return plotting.codes_2d(sampler.potential_.points.cpu().numpy(), sampler.labels_).figure


def _cells(model: Any, *_: Any) -> Any:
    sampler = sampler_of(model)
    return plotting.cells_2d(sampler.transport_.potential, sampler.source_, sampler.labels_).figure


def _atlas(model: Any, data: Any, rows: np.ndarray, seed: int) -> Any:
    return plotting.atlas(_atlas_of(model, data), names=data.label_names)


def _atlas_of(model: Any, data: Any) -> Atlas:
    from ot_latent import atlas

    sampler = sampler_of(model)
    held_out = np.asarray(data.x[: 4 * ROWS])
    half = len(held_out) // 2  # reconstructions are judged against others, not against themselves
    return atlas.compute(
        potential=sampler.potential_,
        source=sampler.source_,
        labels=sampler.labels_,
        transport=sampler.inverse_transform,
        decode=model.decode,
        probabilities=lambda x: model.classifier_(x)[1],
        features=lambda x: model.classifier_(x)[0],
        real=held_out[half:],
        reconstructed=model.reconstruct(held_out[:half]),
        solution=sampler.transport_,
        weights=sampler.weights_.cpu(),
    )


KINDS: dict[str, Callable[..., Any]] = {
    "convergence": _convergence,
    "loss": _loss,
    "samples": _samples,
    "reconstructions": _reconstructions,
    "interpolation": _interpolation,
    "modes": _modes,
    "novelty": _novelty,
    "codes": _codes,
    "cells": _cells,
    "atlas": _atlas,
}

NEEDS = {
    "loss": "a trained autoencoder",
    "samples": "images",
    "reconstructions": "images",
    "interpolation": "images",
    "modes": "labels",
    "novelty": "held-out rows (--data)",
    "codes": "codes in two dimensions",
    "cells": "codes in two dimensions",
    "atlas": "images with labels and codes in two dimensions",
}
