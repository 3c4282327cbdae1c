"""The pictures of a report, each made from the model and held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent import output, plotting, run_figures
from ot_latent.plotting.style import close
from ot_latent.report.markup import Picture
from ot_latent.report.words import convergence_caption
from ot_latent.run_models import sampler_of

if TYPE_CHECKING:
    from ot_latent.datasets import Dataset

TILES, ACROSS = 64, 8  # of a grid of samples
PIXELS = 900  # width of a grid, about, in whole enlargements
PAIRS, STEPS = 5, 11  # walks
REBUILT = 14
MOST_CLASSES = 30  # drawn, the largest first
ROWS = 1000  # rows, and samples, behind a histogram
ATLAS_DPI = 110


def pictures(model: Any, data: Dataset, record: Mapping[str, Any], seed: int) -> dict[str, Picture]:
    """Draw all that fit the model and the data.

    Parameters
    ----------
    model : LatentGenerator
        A fitted generator.
    data : Dataset
        Held-out rows.
    record : mapping
        The report record, whose numbers the pictures repeat.
    seed : int
        Seed of the samples.

    Returns
    -------
    dict of str to Picture
        By name; those that do not fit are left out.
    """
    made = model.sample(max(TILES, ROWS), random_state=seed)
    rows = np.asarray(data.x[:ROWS])
    found = _of_images(model, rows, made) if rows.ndim > 2 else _of_vectors(rows, made, data)
    found["convergence"] = _convergence(model)
    if model.history_:
        words = "Mean loss of each pass over the data, on training and on validation rows."
        refined = sum(bool(entry.get("refined")) for entry in model.history_)
        words += f" In the last {refined} the decoder alone was refined." if refined else ""
        found["loss"] = _drawn(run_figures.KINDS["loss"](model), words)
    if "manifold" in record:
        found |= _manifold(record["manifold"], sampler_of(model).n_features_in_)
    if sampler_of(model).labels_ is not None:
        found["classes"] = _classes(model, rows, made, data.label_names)
    found["novelty"] = _novelty(model, rows, seed, record["novelty_ratio"]["value"])
    return found | plane_pictures(model, data, seed)


def _of_images(model: Any, rows: np.ndarray, made: np.ndarray) -> dict[str, Picture]:
    """Grids of data, samples, reconstructions and walks."""
    few = rows[:REBUILT]
    half = min(PAIRS, len(rows) // 2)
    walks = model.interpolate(rows[:half], rows[half : 2 * half], steps=STEPS)
    pairs = np.concatenate([few, model.reconstruct(few)])
    return {
        "real": _grid(rows[:TILES], ACROSS, "Held-out data, the first rows."),
        "samples": _grid(made[:TILES], ACROSS, "Samples, the first of this seed; none is chosen."),
        "reconstructions": _grid(
            pairs, len(few), "Above: held-out rows. Below: the same, encoded and decoded."
        ),
        "walks": _grid(
            walks.reshape(-1, *rows.shape[1:]),
            STEPS,
            "Each row walks on a straight line of noise, between the noise of two held-out rows.",
        ),
    }


def _of_vectors(rows: np.ndarray, made: np.ndarray, data: Dataset) -> dict[str, Picture]:
    """Histograms and correlations of columns."""
    names = data.feature_names
    found = {
        "marginals": _drawn(
            plotting.marginals(rows, made, names=names),
            f"Each column in {len(rows):,} held-out rows and in {len(made):,} samples.",
        )
    }
    if rows.shape[1] > 1:
        found["correlations"] = _drawn(
            plotting.correlations(rows, made, names=names),
            "How columns go together: points on the line have the same correlation in both.",
        )
    return found


def _grid(rows: np.ndarray, columns: int, caption: str) -> Picture:
    sheet = plotting.mosaic(rows, columns=columns)
    scale = max(1, round(PIXELS / sheet.shape[1]))
    return Picture(output.to_bytes(plotting.save_image, sheet, scale=scale), caption, framed=True)


def _drawn(figure: Any, caption: str) -> Picture:
    return Picture(plotting.to_svg(figure), caption)


def _convergence(model: Any) -> Picture:
    figure = run_figures.KINDS["convergence"](model)
    return _drawn(figure, convergence_caption(model.transport_))


def _manifold(evidence: Mapping[str, Any], latent_dim: int) -> dict[str, Picture]:
    sizes = {k: v for k, v in evidence["dimension"].items() if v is not None and np.isfinite(v)}
    figure = plotting.manifold_evidence(
        dimensions=sizes,
        projection={float(k): v for k, v in evidence["projection_ratio"].items()},
        latent_dim=latent_dim,
    )
    words = (
        f"Measured on {evidence['n']:,} held-out rows. Left: estimated number of dimensions. Right: "
        "noise is added to points of the learnt set, which are then encoded and decoded."
    )
    return {"manifold": _drawn(figure, words)}


def _classes(model: Any, rows: np.ndarray, made: np.ndarray, names: Any) -> Picture:
    classes = [str(label) for label in np.unique(np.asarray(sampler_of(model).labels_))]
    words = list(names) if names is not None and len(names) == len(classes) else classes
    judge: Callable[[np.ndarray], np.ndarray] = _by_neighbour(model)
    by = "the closest training code"
    if model.classifier_ is not None:
        judge, by = (lambda x: model.classifier_(x)[1].argmax(axis=1)), "the run's classifier"
    counts = [np.bincount(judge(x), minlength=len(classes)) for x in (rows, made)]
    shown = np.sort(np.argsort(-counts[0], kind="stable")[:MOST_CLASSES])
    axes = plotting.modes(
        counts[0][shown].tolist(),
        counts[1][shown].tolist(),
        names=[words[i] for i in shown],
        n=len(made),
    )
    caption = (
        f"Classes of {len(rows):,} held-out rows and {len(made):,} samples, both told by {by}."
    )
    if len(shown) < len(classes):
        caption += f" The {len(shown)} largest of {len(classes)} are drawn."
    return _drawn(axes.figure, caption)


def _by_neighbour(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the judge of classes where there is no classifier."""
    import torch

    from ot_latent.kernels.dispatch import nearest

    sampler = sampler_of(model)
    train = torch.from_numpy(sampler.codes(sampler.transport_.potential.points)).float()
    number = np.unique(np.asarray(sampler.labels_), return_inverse=True)[1]

    def judge(rows: np.ndarray) -> np.ndarray:
        codes = torch.from_numpy(np.asarray(model.encode(rows))).float()
        return number[nearest(codes, train)[1][:, 0].numpy()]

    return judge


def _novelty(model: Any, rows: np.ndarray, seed: int, ratio: float | None) -> Picture:
    from ot_latent.metrics.novelty import distance_to_closest

    sampler = sampler_of(model)
    train = sampler.codes(sampler.transport_.potential.points)
    made, held = sampler.sample(ROWS, random_state=seed), model.encode(rows)
    distances = [distance_to_closest(train=train, points=codes) for codes in (made, held)]
    axes = plotting.novelty(*distances, ratio=ratio)
    words = "Distances between codes. Copies would pile up at zero."
    return _drawn(axes.figure, words)


def plane_pictures(model: Any, data: Dataset, seed: int) -> dict[str, Picture]:
    """Draw what only models with two-dimensional codes have.

    Parameters
    ----------
    model : LatentGenerator
        A fitted generator.
    data : Dataset
        Held-out rows.
    seed : int
        Seed of the samples.

    Returns
    -------
    dict of str to Picture
        The atlas where there are labels, else codes and cells; empty for other dimensions.
    """
    rows = np.asarray(data.x[:ROWS])
    kinds = run_figures.fitting(model, data)
    wanted = (
        ["atlas"] if "atlas" in kinds else [kind for kind in ("codes", "cells") if kind in kinds]
    )
    captions = {
        "atlas": "The atlas: codes; noise cut into cells; a grid of noise through the map, and "
        "through a Gaussian with the codes' moments.",
        "codes": "The codes of the training rows.",
        "cells": "The noise, one cell per code, each of the same mass; tears black.",
    }
    found = {}
    for kind in wanted:
        figure = run_figures.KINDS[kind](model, data, rows, seed)
        png = output.to_bytes(figure.savefig, format="png", dpi=ATLAS_DPI)
        close(figure)
        found[kind] = Picture(png, captions[kind])
    return found
