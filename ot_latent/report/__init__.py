"""One self-contained HTML page about a run: numbers with their intervals, pictures, and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent import _files
from ot_latent.report import markup
from ot_latent.report.figures import pictures, plane_pictures
from ot_latent.report.geometry import geometry_section
from ot_latent.report.limits import limits
from ot_latent.report.markup import Picture
from ot_latent.report.origin import Origin
from ot_latent.report.words import (
    FIDELITY,
    SAMPLERS,
    SCORES,
    cards,
    interval,
    manifold,
    number,
    solver_story,
    verdicts,
)
from ot_latent.run_models import sampler_of

if TYPE_CHECKING:
    from ot_latent.datasets import Dataset

Section = tuple[str, str]


def write_report(
    run_path: str | Path,
    model: Any,
    data: Dataset,
    out: str | Path,
    *,
    seed: int = 0,
    features: Callable[[np.ndarray], Any] | None = None,
    record: Mapping[str, Any] | None = None,
    plane: Any = None,
) -> dict[str, Any]:
    """Judge a model on held-out data and write the page about it.

    Parameters
    ----------
    run_path : path
        Run folder, or a folder written by `save_pretrained`: where the model comes from.
    model : LatentGenerator or CodeModel
        The model.
    data : Dataset
        Held-out rows, at least 40.
    out : path
        The page. It loads nothing from elsewhere.
    seed : int, default=0
        Seed of samples and intervals.
    features : callable, optional
        As in `evaluation.evaluate`.
    record : mapping, optional
        What `evaluate` returned for the same model and data; by default it is computed.
    plane : LatentGenerator, optional
        A second model of the same data with two-dimensional codes, for a picture of the noise.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    DataError
        If the held-out rows are too few, or not like the data of the fit.
    SaveError
        If the page cannot be written.
    """
    if record is None:
        record = model.evaluate(data.x, data.y, features=features, seed=seed, groups=data.groups)
    if _bare(record):  # then the ceiling is the floor: data do not pass through networks
        others = {k: v for k, v in record["baselines"].items() if k != "heldout"}
        record = {**record, "baselines": others}
    drawn = pictures(model, data, record, seed)
    origin = Origin.read(run_path)
    sections = {
        "glance": ("At a glance", _glance(record, model, drawn)),
        "compare": ("Comparison", _comparison(record)),
        "manifold": ("Manifold", _manifold(record, drawn)),
        "geometry": ("Geometry", geometry_section(model, data.x, seed, told="manifold" in record)),
        "transport": ("Transport", _transport(model, drawn)),
        "plane": ("In the plane", _plane(plane, data, seed)),
        "pictures": ("Reconstructions and walks", _show(drawn)),
        "spread": ("Classes and novelty", _spread(record, drawn)),
        "limits": ("Limits", _limits(record, model)),
        "again": ("Do it again", _again(origin, run_path, record)),
    }
    kept = {anchor: part for anchor, part in sections.items() if part[1]}
    title = f"{data.name}: a learnt generator, judged"
    html = markup.page(title, _lead(model), _head(origin, data, record), kept, dict(record))
    _files.make_folder(Path(out).parent)
    _files.write_bytes(Path(out), html.encode())
    return dict(record)


def _bare(record: Mapping[str, Any]) -> bool:
    """Whether codes are judged that nothing decodes."""
    return bool(record["protocol"]["items"] == "codes")


def _lead(model: Any) -> str:
    sampler = sampler_of(model)
    if model.coder_ is None:
        return (
            f"The data are codes of {sampler.n_features_in_} numbers each. Optimal transport cuts a "
            f"simple noise into {len(sampler.weights_):,} cells, one per training code, each of its "
            "right mass. A sample is a draw of noise, carried to the codes."
        )
    return (
        f"An autoencoder gives each record {sampler.n_features_in_} numbers, its code. Optimal "
        f"transport then cuts a simple noise into {len(sampler.weights_):,} cells, one per training "
        "code, each of its right mass. A sample is a draw of noise, carried to the codes and decoded."
    )


def _head(origin: Origin, data: Dataset, record: Mapping[str, Any]) -> str:
    seed = "unknown" if origin.seed is None else str(origin.seed)
    pairs = {
        "Command": " ; ".join(origin.commands) or "none: the model was saved from Python",
        "Date": origin.date or "unknown",
        "Seeds": f"{seed} of the run, {record['protocol']['seed']} of samples and intervals here",
        "Held-out data": f"{data.name}, {len(data.x):,} rows",
        "Versions": ", ".join(f"{name} {text}" for name, text in origin.versions.items()),
    }
    return markup.facts(pairs)


def _glance(record: Mapping[str, Any], model: Any, drawn: Mapping[str, Picture]) -> str:
    sampler, protocol = sampler_of(model), record["protocol"]
    classes = 0 if sampler.labels_ is None else len(np.unique(sampler.labels_))
    found = cards(record, model.transport_, classes)
    parts = ['<div class="cards">', *(markup.card(*texts) for texts in found), "</div>"]
    if model.transport_.status.name != "CONVERGED":
        advice = f"The transport stopped early. {model.transport_.status.value}"
        parts.insert(0, markup.paragraph(advice, "warn"))
    beside = [drawn[name].html() for name in ("real", "samples") if name in drawn]
    if beside:
        parts.append(markup.side_by_side(beside))
    parts += [drawn[name].html() for name in ("marginals", "correlations") if name in drawn]
    seen = {"classifier": "in features of the run's classifier", "codes": "by their codes"}
    by = seen.get(protocol["features"], f"in features from {protocol['features']}")
    words = f"Judged against {protocol['reference']}, {by}."
    return markup.section("glance", "At a glance", [markup.paragraph(words), *parts])


def _comparison(record: Mapping[str, Any]) -> str:
    rest = [key for key in SCORES if key not in FIDELITY and key in record]
    n = record["protocol"]["generated"]
    bound = "real data" if _bare(record) else "its ceiling"
    words = (
        f"All rows are judged against the same {n:,} held-out rows. Small figures: 95 % intervals. The "
        f"model can be expected between {bound} and the baselines; “Same extension, no transport” "
        "shows what transport itself adds to plain sampling."
    )
    parts = [markup.paragraph(words), _table(record, FIDELITY)]
    if said := list(verdicts(record)):
        parts += ["<h3>What the intervals tell apart</h3>", markup.bullets(said)]
    parts += ["<h3>Further scores</h3>", _table(record, rest)]
    return markup.section("compare", "Beside baselines, a floor and a ceiling", parts)


def _table(record: Mapping[str, Any], keys: Any) -> str:
    return markup.table([SCORES[key][:2] for key in keys], _rows(record, keys))


def _rows(record: Mapping[str, Any], keys: Any) -> Iterator[tuple[str, str, str, list[Any]]]:
    """Yield floor, ceiling, the model, then its rivals."""
    lines = [(name, record["baselines"].get(name)) for name in SAMPLERS]
    lines.insert(2, ("model", record))
    way = "noise, transported" + ("" if _bare(record) else " and decoded")
    for name, scores in lines:
        if scores is not None:
            title, role = SAMPLERS.get(name, ("This model", way))
            kind = {"model": "own", "real": "bound", "heldout": "bound"}.get(name, "rival")
            cells = [(number(scores[key]["value"]), interval(scores[key])) for key in keys]
            yield kind, title, role, cells


def _manifold(record: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    if "manifold" not in record:
        return ""
    parts = [drawn["manifold"].html(), markup.bullets(manifold(record["manifold"]))]
    return markup.section("manifold", "Was a manifold learnt?", parts)


def _transport(model: Any, drawn: Mapping[str, Picture]) -> str:
    words = solver_story(model.transport_)
    parts = [markup.paragraph(words), drawn["convergence"].html()]
    if "loss" in drawn:
        parts.append(drawn["loss"].html())
    plane = [drawn[name].html() for name in ("atlas", "codes", "cells") if name in drawn]
    parts += [markup.side_by_side(plane)] if len(plane) == 2 else plane
    return markup.section("transport", "How far the transport and the training came", parts)


def _plane(plane: Any, data: Dataset, seed: int) -> str:
    if plane is None:
        return ""
    words = (
        "A second model of the same data, with two numbers per code, made to be looked at: its "
        "noise is a square, and its cells are exact. It is not the model judged on this page."
    )
    drawn = plane_pictures(plane, data, seed)
    parts = [markup.paragraph(words), *(picture.html() for picture in drawn.values())]
    return markup.section("plane", "The same data in the plane", parts)


def _show(drawn: Mapping[str, Picture]) -> str:
    parts = [drawn[name].html() for name in ("reconstructions", "walks") if name in drawn]
    return markup.section("pictures", "Reconstructions and walks", parts) if parts else ""


def _spread(record: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    parts = [drawn[name].html() for name in ("classes", "novelty") if name in drawn]
    return markup.section("spread", "Is every class there, and are samples new?", parts)


def _limits(record: Mapping[str, Any], model: Any) -> str:
    found = markup.bullets(limits(record, model))
    return markup.section("limits", "What these numbers do not say", [found])


def _again(origin: Origin, run_path: str | Path, record: Mapping[str, Any]) -> str:
    from html import escape

    seed = record["protocol"]["seed"]
    lines = [*origin.commands, f"ot-latent report {run_path} --seed {seed} --out report.html"]
    parts = [f"<pre>{escape(chr(10).join(lines))}</pre>"]
    if origin.seconds:
        parts.append(markup.paragraph(f"Training and transport took {origin.seconds:,.0f} s."))
    if origin.sources:
        parts += ["<h3>Data files</h3>", markup.facts(dict(origin.sources))]
    if origin.config:
        text = escape(origin.config)
        parts.append(
            f"<details><summary>Resolved configuration</summary><pre>{text}</pre></details>"
        )
    return markup.section("again", "Do it again", parts)
