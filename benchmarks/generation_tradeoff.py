"""Trade-off curves: what each sampler of codes pays in fidelity and diversity for being new.

Every sampler has a knob that runs from copies to blur: the anchor of our local laws (how much of a code's own
offset is kept, the spread balanced so that local variance stays right; beyond that, more spread), the same for
the control, the bandwidth of a kernel density, the number of components of a mixture, the angle of the two-cell
rule. All are judged on the same codes by the same networks, so that they can be compared at equal novelty.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.generation_images import CEILING, REAL, Case, settings_of
from benchmarks.generation_images_judges import Judge, View
from benchmarks.generation_samplers import Sampler
from benchmarks.generation_tradeoff_figure import draw
from ot_latent._random import Stream, generator
from ot_latent.baselines import (
    ControlSampler,
    KernelDensitySampler,
    MixtureSampler,
    PlainMapSampler,
    ReferenceRuleSampler,
)
from ot_latent.coders import TrainedCoder
from ot_latent.estimators import OTSampler

KEY = ("data", "rows", "latent_dim", "method", "knob", "seed")
OURS, CONTROL, PLAIN = "ours", "control", "plain map"
KERNELS, MIXTURE, PAIRS = "kernel density", "mixture", "two-cell rule"
ANCHORS = (0.8, 0.5, 0.0)  # from near copies on; then a wider law
WIDER = (1.25,)  # times the balanced spread, at anchor zero
BANDWIDTHS = (0.1, 0.2, 0.3, 0.4, 0.6)
COMPONENTS, MIXED = (10, 100), 10_000  # mixtures are fitted to so many codes at most
ANGLES = (0.4, 1.2)
NOVEL = 0.9  # novelty ratio at which samplers are compared
METHODS = (REAL, CEILING, PLAIN, OURS, CONTROL, KERNELS, MIXTURE, PAIRS)
CHOSEN = {MIXTURE: "mixture, BIC"}  # here the knob takes the place of the criterion
NAMES = {
    OURS: "anchor",
    CONTROL: "anchor",
    KERNELS: "bandwidth",
    MIXTURE: "components",
    PAIRS: "angle",
}

Curve = Iterator[tuple[str, Callable[[], Sampler]]]


def with_law(sampler: OTSampler, anchor: float) -> OTSampler:
    """Return the sampler with another anchor; the spread is balanced for it."""
    rule, params = sampler.rule_, sampler.get_params() | {"anchor": anchor}
    params |= {"neighbours": rule.neighbours, "tear": rule.tear}
    other = OTSampler.from_parts(sampler.to_tensors(), sampler.to_config())
    other.set_params(**params)._finish(None)  # the spread alone is sought
    return other


def widened(sampler: OTSampler, factor: float) -> OTSampler:
    """Return the sampler with a larger spread."""
    other, b = copy(sampler), factor * sampler.rule_.b
    other.map_, other.rule_ = replace(sampler.map_, b=b), replace(sampler.rule_, b=b)
    return other


def laws(sampler: OTSampler) -> Iterator[tuple[str, OTSampler]]:
    """Yield our sampler as it was calibrated, then from near copies to wide laws, with the knob's place."""
    yield f"{sampler.rule_.a:g} (calibrated)", sampler
    for anchor in ANCHORS:
        same = anchor == sampler.rule_.a
        law = sampler if same else with_law(sampler, anchor)
        if not same:
            yield f"{anchor:g}", law
    for wider in WIDER:  # of the last anchor
        yield f"{anchor:g}, spread x {wider:g}", widened(law, wider)


def curves(sampler: OTSampler, codes: np.ndarray, seed: int) -> dict[str, Curve]:
    """Return, for each rival with a knob of its own, samplers along it."""
    few = codes[np.sort(generator(seed, Stream.SPLIT, 3).permutation(len(codes))[:MIXED])]
    return {
        PLAIN: iter([("-", lambda: PlainMapSampler(sampler))]),
        KERNELS: (
            (f"{width:g}", lambda width=width: KernelDensitySampler(width).fit(codes))
            for width in BANDWIDTHS
        ),
        MIXTURE: (
            (f"{count}", lambda count=count: MixtureSampler(count, seed).fit(few))
            for count in COMPONENTS
        ),
        PAIRS: (
            (f"{angle:g}", lambda angle=angle: ReferenceRuleSampler(sampler, angle))
            for angle in ANGLES
        ),
    }


def run(case: Case, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for every place of every knob."""
    coder, history = case.coder()
    views = case.views(coder)
    codes, judge, shared = views["train"].codes, case.judge(views), case.told(history)
    marks = {REAL: lambda: views["a"], CEILING: lambda: _seen(case, coder, views["a"].codes)}
    for method in (m for m in marks if m in methods):
        yield shared | _row(method, "-", judge, marks[method])
    if not set(methods) - set(marks):
        return
    sampler = case.transport(codes)
    shared["mass_error"] = float(sampler.transport_.mass_error)
    drawn = _drawn(case, coder)
    for method, curve in curves(sampler, codes, case.seed).items():
        for knob, make in curve if method in methods else ():
            yield shared | _row(method, knob, judge, lambda make=make: drawn(make()))
    made = {OURS: lambda s: s, CONTROL: ControlSampler}
    for knob, law in laws(sampler) if {OURS, CONTROL} & set(methods) else ():
        for method in (m for m in made if m in methods):
            row = _row(method, knob, judge, lambda law=law, of=made[method]: drawn(of(law)))
            yield shared | row | {"anchor": law.rule_.a, "spread": law.rule_.b}


def _drawn(case: Case, coder: TrainedCoder) -> Callable[[Sampler], View]:
    """Return the function from a sampler to what it shows."""
    return lambda made: _seen(case, coder, made.sample(len(case.b), random_state=case.seed))


def _seen(case: Case, coder: TrainedCoder, codes: np.ndarray) -> View:
    """Show codes to the judges."""
    return case.court.view(coder.decode(codes), codes)


def _row(method: str, knob: str, judge: Judge, make: Callable[[], View]) -> dict[str, Any]:
    """Return the row of one place."""
    cpu = time.process_time()
    made = make()
    row: dict[str, Any] = {"method": method, "knob": knob, "load": os.getloadavg()[0]}
    row["cpu_s"] = time.process_time() - cpu
    row["spaces"] = {name: judge.fidelity(name, made) for name in judge.reference.features}
    return row | judge.novelty(made)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what is asked for, place by place, and draw it."""
    settings = settings_of(options)
    record = results.read(options.out)
    for seed in options.seeds[:1]:  # one seed: a curve, not a ranking
        case = Case(options.data, seed, options.runs, **settings)
        for row in run(case, [m for m in METHODS if CHOSEN.get(m, m) in options.methods]):
            record = results.merge(options.out, [row], KEY)
    if options.figures:
        for (data, *_), rows in cases(record).items():
            options.figures.mkdir(parents=True, exist_ok=True)
            draw(rows, options.figures / f"tradeoff_{data}.png")
    return record


def cases(record: dict[str, Any]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Return the rows of each set."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        found.setdefault((row["data"], row["rows"], row["latent_dim"]), []).append(row)
    return found


def at_novelty(rows: Sequence[dict[str, Any]], novelty: float = NOVEL) -> dict[str, Any] | None:
    """Return a curve's figures where it reaches a novelty, linear between its places; else None."""
    places = sorted(rows, key=lambda row: row["novelty_ratio"][0])
    for low, high in pairwise(places):
        start, stop = (row["novelty_ratio"][0] for row in (low, high))
        if start <= novelty <= stop and stop > start:
            share = (novelty - start) / (stop - start)
            return {
                "between": (low["knob"], high["knob"]),
                "spaces": {name: _mixed(low, high, name, share) for name in low["spaces"]},
            }
    return None


def _mixed(low: dict[str, Any], high: dict[str, Any], name: str, share: float) -> dict[str, Any]:
    """Return the figures between two places."""
    pair = low["spaces"][name], high["spaces"][name]
    return {
        key: [(1 - share) * a + share * b for a, b in zip(*(p[key] for p in pair), strict=True)]
        for key in pair[0]
    }


def markdown(record: dict[str, Any]) -> str:
    """Return a table for each set: the samplers at equal novelty, and how far each reaches."""
    return "\n\n".join(_part(key, rows) for key, rows in cases(record).items())


def _part(key: tuple[Any, ...], rows: list[dict[str, Any]]) -> str:
    """Return the table of one set."""
    spaces = list(rows[0]["spaces"])
    head = ["sampler", "knob", f"at novelty {NOVEL}", *(f"FD ({space})" for space in spaces)]
    head += [f"{name} ({' / '.join(spaces)})" for name in ("precision", "recall")]
    head += ["novelty along the knob", *(f"least FD on it ({space})" for space in spaces)]
    lines = []
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if own:
            lines.append(_line(method, own, spaces))
    seeds = sorted({row["seed"] for row in rows})
    told = (
        f"**{key[0]}**: {key[1]:,} training images, {rows[0]['held_out']:,} in each held-out half, latent "
        f"dimension {key[2]}, seed {', '.join(map(str, seeds))}."
    )
    return "\n\n".join([told, results.table(head, lines)])


def _line(method: str, own: list[dict[str, Any]], spaces: list[str]) -> list[Any]:
    """Return the line of one sampler."""
    still = len(own) == 1  # no knob: its own figures
    found = own[0] if still else at_novelty(own)
    line: list[Any] = [method, NAMES.get(method, "-")]
    line.append("as it is" if still else " to ".join(found["between"]) if found else "not reached")
    for space in spaces:
        line.append(_text(found["spaces"][space]["frechet"]) if found else "-")
    for key in ("precision", "recall"):
        values = [f"{found['spaces'][s][key][0]:.2f}" for s in spaces] if found else ["-"]
        line.append(" / ".join(values))
    novelty = [row["novelty_ratio"][0] for row in own]
    line.append(f"{min(novelty):.2f}" + ("" if still else f" to {max(novelty):.2f}"))
    best = [min(row["spaces"][space]["frechet"][0] for row in own) for space in spaces]
    return [*line, *(f"{value:.2f}" for value in best)]


def _text(entry: Sequence[float]) -> str:
    """Return a distance with its interval."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*entry)
