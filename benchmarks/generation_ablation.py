"""Which numbers of the extension matter, and how well the transport must be solved: one number at a time.

Everything starts from the calibrated map of one transport. One number is then moved, the others kept; in the
rows "b balanced" the spread follows, as it does in a calibration. For images on one autoencoder, by the judges
of the table of images; for laws in the plane by the judge of those.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import generation_images_models as models, results
from benchmarks.generation_images import CEILING, REAL, Case, trained_here
from benchmarks.generation_images_table import Group, text
from benchmarks.generation_toys import FRESH, TOYS, TRAIN, judge
from ot_latent.baselines import ControlSampler
from ot_latent.estimators import OTSampler
from ot_latent.latent_dim import suggest_latent_dim

KEY = ("data", "rows", "epochs", "latent_dim", "knob", "value", "seed")
BASE, SOLVER, DIMENSION, CHOOSER = "calibrated", "cell error", "latent dimension", "chooser"
NUMBERS = ("anchor", "spread", "neighbours", "tear")
TOLERANCES, LOW_TOLERANCES = (0.3, 0.15, 0.05), (0.3, 0.1, 0.01)
DIMENSIONS = (8, 16, 64)
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Knob:
    """A number that is moved, its values, and whether the spread is balanced for each of them."""

    number: str
    values: tuple[float, ...]
    balanced: bool = False


_ANCHORS = (0.0, 0.3, 0.5, 0.7, 1.0)
KNOBS = {
    "anchor a": Knob("anchor", _ANCHORS),
    "spread b": Knob("spread", (0.5, 0.8, 0.9, 1.0, 1.1, 1.3)),
    "neighbours k": Knob("neighbours", (5, 10, 30, 60)),
    "tear t": Knob("tear", (math.inf, 3.0, 2.0, 1.5)),
    "anchor a, b balanced": Knob("anchor", _ANCHORS, balanced=True),
    "neighbours k, b balanced": Knob("neighbours", (5, 10, 30, 60), balanced=True),
}
LOW_KNOBS = {
    "anchor a": Knob("anchor", (0.0, 0.25, 0.5, 1.0)),
    "spread b": Knob("spread", (0.0, 0.8, 0.9, 1.0, 1.1)),
    "neighbours k": Knob("neighbours", (3, 6, 12, 20, 40)),
    "tear t": Knob("tear", (math.inf, 6.0, 4.0, 3.0, 2.0, 1.5)),
}
PARTS = (BASE, *KNOBS, SOLVER, DIMENSION)


def with_numbers(sampler: OTSampler, **numbers: Any) -> OTSampler:
    """Return the sampler with other numbers of its extension, on the same transport."""
    other = copy.copy(sampler).set_params(**numbers)
    other._finish(None)
    return other


def settled(sampler: OTSampler) -> dict[str, Any]:
    """Return the numbers that a sampler was calibrated to, as parameters."""
    rule = sampler.rule_
    return dict(zip(NUMBERS, (rule.a, rule.b, rule.neighbours, rule.tear), strict=True))


def moved(base: OTSampler, knob: Knob) -> Iterator[tuple[str, OTSampler]]:
    """Yield values as text with the samplers that have them."""
    rest = settled(base) | ({"spread": None} if knob.balanced else {})
    for value in knob.values:
        yield shown(value), with_numbers(base, **(rest | {knob.number: value}))


def shown(value: float) -> str:
    """Return a value as the table names it."""
    return "none" if math.isinf(value) else f"{value:.3g}"


def _rule(sampler: OTSampler) -> dict[str, Any]:
    """Return the numbers of a map, ready for JSON."""
    found = {key: shown(value) for key, value in settled(sampler).items()}
    return {"rule": found, "mass_error": float(sampler.transport_.mass_error)}


# -- images ----------------------------------------------------------------------------------------


class Images:
    """One set, seed and autoencoder: its codes, its views and its judge."""

    def __init__(self, case: Case, dim: int | None = None) -> None:
        self.case, self.dim = case, dim
        self.name = "coder" if dim is None else f"latent-dimension-{dim}"
        self.coder, history = case.coder(self.name, **({} if dim is None else {"latent_dim": dim}))
        self.views = case.views(self.coder)
        self.judge = case.judge(self.views)
        self.told = case.told(history) | {"failure": None}

    def transport(self, tolerance: float | None) -> OTSampler:
        """Return the transport onto the codes, solved to a tolerance, or read."""
        start = "" if self.dim is None else f"{self.name}-"
        end = "" if tolerance is None else f"-{tolerance:g}"
        folder = self.case.folder / f"{start}transport{end}".replace(".", "_")
        codes, seed = self.views["train"].codes, self.case.seed
        return models.transport(folder, codes, seed=seed, tolerance=tolerance)

    def row(self, knob: str, value: str, sampler: Any = None) -> dict[str, Any]:
        """Return the row of a sampler; without one that of the images `value` names."""
        began = time.process_time()
        view, row = self.views["a"], self.told | {"knob": knob, "value": value}
        row["load"] = os.getloadavg()[0]
        if sampler is not None or value != REAL:
            codes = view.codes
            if sampler is not None:
                codes = sampler.sample(len(self.case.b), random_state=self.case.seed)
            view = self.case.court.view(self.coder.decode(codes), codes)
        row["cpu_s"] = time.process_time() - began
        return row | self.judge.score(view)


def of_images(case: Case, parts: Sequence[str]) -> Rows:
    """Yield the rows of one set and seed."""
    own = Images(case)
    base = own.transport(None)
    if BASE in parts:
        yield own.row(BASE, REAL)
        yield own.row(BASE, CEILING)
        yield own.row(BASE, "control", ControlSampler(base)) | _rule(base)
        yield own.row(BASE, BASE, base) | _rule(base)
    for name, knob in KNOBS.items():
        for value, sampler in moved(base, knob) if name in parts else ():
            yield own.row(name, value, sampler) | _rule(sampler)
    for tolerance in TOLERANCES if SOLVER in parts else ():
        sampler = with_numbers(own.transport(tolerance), **settled(base))
        yield own.row(SOLVER, shown(tolerance), sampler) | _rule(sampler)
    if DIMENSION in parts:
        yield from of_dimensions(case)
        yield own.told | {"knob": DIMENSION, "value": CHOOSER} | chosen(case)


def of_dimensions(case: Case) -> Rows:
    """Yield the rows of other latent dimensions, each with an autoencoder of its own."""
    for dim in DIMENSIONS:
        other = Images(case, dim)
        sampler = other.transport(None)
        yield other.row(DIMENSION, f"{dim}", sampler) | _rule(sampler)
        yield other.row(DIMENSION, f"{dim}, {CEILING}")


def chosen(case: Case) -> dict[str, Any]:
    """Return what the chooser of latent dimensions says of the training images, before any long training."""
    began = time.process_time()
    found = suggest_latent_dim(case.train, seed=case.seed, device="cpu")
    told = {"advice": found.advice, "two_nn": found.two_nn, "lpca": found.lpca}
    told |= {"dims": found.dims, "errors": found.errors, "linear_errors": found.linear_errors}
    return told | {"cpu_s": time.process_time() - began}


# -- laws in the plane -----------------------------------------------------------------------------


def of_toy(name: str, seed: int, parts: Sequence[str]) -> Rows:
    """Yield the rows of one law in the plane."""
    toy = TOYS[name]()
    train = toy.draw(TRAIN, seed)

    def row(knob: str, value: str, made: np.ndarray) -> dict[str, Any]:
        told = {"data": name, "rows": TRAIN, "epochs": None, "latent_dim": 2, "seed": seed}
        told |= {"knob": knob, "value": value, "failure": None}
        return told | judge(toy, made, train, seed)

    draw: Callable[[Any], np.ndarray] = lambda s: s.sample(FRESH, random_state=seed)  # noqa: E731
    base = OTSampler(random_state=seed).fit(train)
    if BASE in parts:
        yield row(BASE, REAL, toy.draw(FRESH, seed + 1000))
        yield row(BASE, "control", draw(ControlSampler(base))) | _rule(base)
        yield row(BASE, BASE, draw(base)) | _rule(base)
    for knob_name, knob in LOW_KNOBS.items():
        for value, sampler in moved(base, knob) if knob_name in parts else ():
            yield row(knob_name, value, draw(sampler)) | _rule(sampler)
    for tolerance in LOW_TOLERANCES if SOLVER in parts else ():
        numbers = settled(base) | {"tolerance": tolerance}
        sampler = OTSampler(random_state=seed, **numbers).fit(train)
        yield row(SOLVER, shown(tolerance), draw(sampler)) | _rule(sampler)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts asked for; each row is written as soon as it is there."""
    record = results.read(options.out)
    for seed in options.seeds:
        if options.data in TOYS:
            rows = of_toy(options.data, seed, options.parts)
        else:
            rows = of_images(trained_here(options, seed), options.parts)
        for row in rows:
            record = results.merge(options.out, [row], KEY)
    return record


# -- tables ----------------------------------------------------------------------------------------


def markdown(record: dict[str, Any]) -> str:
    """Return a table for each set: in every part the calibrated map beside the others."""
    cases: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        cases.setdefault((row["data"], row["rows"]), []).append(row)
    return "\n\n".join(_part(rows) for rows in cases.values())


def _part(rows: list[dict[str, Any]]) -> str:
    """Return the table of one set."""
    advice = [f"Seed {row['seed']}: {row['advice']}" for row in rows if row["value"] == CHOOSER]
    rows = [row for row in rows if row["value"] != CHOOSER]
    plane = rows[0]["data"] in TOYS
    heads, cells = (_toy_head(), _toy_cells) if plane else (_head(rows), _cells)
    named: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        named.setdefault(row["knob"], {}).setdefault(row["value"], []).append(row)
    base = named.get(BASE, {}).get(BASE, [])
    lines = []
    for knob, values in named.items():
        chosen = _calibrated(base, knob) if base and knob != BASE else None
        if chosen is not None:
            values = dict(sorted(({chosen: base} | values).items(), key=_place))
        for value, own in values.items():
            shown_as = f"**{value}**" if value == chosen else value
            lines.append([knob, shown_as, len(own), *cells(own)])
    shown_rows = results.table(["part", "value", "seeds", *heads], lines)
    return "\n\n".join([_told(rows), shown_rows, *(f"- {said}" for said in advice)])


def _calibrated(base: list[dict[str, Any]], knob: str) -> str:
    """Return the calibrated value of a part, or the least and the largest over the seeds."""
    if knob == DIMENSION:
        return f"{base[0]['latent_dim']}"
    if knob == SOLVER:
        found = [shown(row["mass_error"]) for row in base]
    else:
        number = (KNOBS | LOW_KNOBS)[knob].number
        found = [row["rule"][number] for row in base]
    order = sorted(set(found), key=lambda v: math.inf if v == "none" else float(v))
    return order[0] if len(order) == 1 else f"{order[0]} to {order[-1]}"


def _place(entry: tuple[str, Any]) -> float:
    """Return where a value stands among the others of its part."""
    first = entry[0].replace(",", " ").split()[0]
    return math.inf if first == "none" else float(first)


def _told(rows: list[dict[str, Any]]) -> str:
    """Say what the rows were measured with."""
    if rows[0]["data"] in TOYS:
        return f"**{rows[0]['data']}**: {TRAIN:,} training points, {FRESH:,} draws; simplices."
    row = rows[0]
    return (
        f"**{row['data']}**: {row['rows']:,} training images, {row['held_out']:,} in each held-out half, "
        f"latent dimension {row['latent_dim']}, {row['epochs']} epochs; affine local laws."
    )


def _head(rows: list[dict[str, Any]]) -> list[str]:
    """Return the columns of images."""
    spaces = list(rows[0]["judges"])
    both = " / ".join(spaces)
    head = ["b", "cell error", *(f"FD ({space})" for space in spaces)]
    return [*head, f"precision ({both})", f"recall ({both})", "novelty", "mixture, %", "class KL"]


def _cells(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the figures of images."""
    group = Group([row | {"method": row["knob"]} for row in rows])
    spaces = list(rows[0]["judges"])
    cells: list[Any] = _settings(rows)
    cells += [text(group.of("frechet", space)) for space in spaces]
    for key in ("precision", "recall"):
        found = [group.of(key, space) for space in spaces]
        cells.append(" / ".join(f"{value[0]:.2f}" for value in found if value))
    cells += [text(group.of("novelty_ratio")), text(group.of("mixture_rate"), 100)]
    kl = group.of("mode_kl")
    return [*cells, "-" if kl is None else f"{kl[0]:.4f}"]


def _settings(rows: list[dict[str, Any]]) -> list[Any]:
    """Return spread and cell error, where there is a map."""
    if "rule" not in rows[0]:
        return ["-", "-"]
    spread = np.mean([float(row["rule"]["spread"]) for row in rows])
    return [f"{spread:.2f}", f"{np.mean([row['mass_error'] for row in rows]):.2g}"]


def _toy_head() -> list[str]:
    """Return the columns of laws in the plane."""
    head = ["b", "cell error", "all modes", "off modes, %", "variance ratio", "copies, %"]
    return [*head, "novelty", "data-copying"]


def _toy_cells(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the figures of laws in the plane."""
    whole = sum(row["modes"] == row["mode_count"] for row in rows)
    cells: list[Any] = [*_settings(rows), f"{whole}/{len(rows)}"]
    for key, scale, form in (
        ("mixture_rate", 100, ".3f"), ("variance_ratio", 1, ".2f"), ("copy_rate", 100, ".2f"),
        ("novelty_ratio", 1, ".2f"), ("data_copying", 1, ".2f"),
    ):  # fmt: skip
        cells.append(results.interval([scale * row[key] for row in rows], form))
    return cells
