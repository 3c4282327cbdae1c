"""The table of generated images, and what it says: which of the aims hold, and where a rival wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.generation_images import CEILING, REAL, SAMPLERS, SEEN

Interval = tuple[float, float, float]
NOVEL = 0.9  # novelty ratio from which samplers are compared
SLACK = 0.03  # what precision and recall may lack against the ceiling
ORDER = (REAL, SEEN, CEILING, *SAMPLERS)  # of a table; then what others add
LEAST = 1e-3  # seconds below which nothing was computed


def over_seeds(entries: list[list[float]]) -> Interval:
    """Return one seed's bootstrap interval, or the mean over seeds with Student's interval."""
    from scipy.stats import t

    if len(entries) == 1:
        value, low, high = entries[0]
        return value, low, high
    x = np.array([entry[0] for entry in entries])
    half = t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    low = max(float(x.mean() - half), 0.0)  # nothing here is negative
    return float(x.mean()), low, float(x.mean() + half)


class Group:
    """The rows of one method on one set: figures over its seeds."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.method = rows, rows[0]["method"]

    def of(self, key: str, space: str | None = None) -> Interval | None:
        """Return a figure with its interval, None where it was not measured."""
        entries = [(row if space is None else row["spaces"][space])[key] for row in self.rows]
        return None if entries[0] is None else over_seeds(entries)


def groups(rows: list[dict[str, Any]]) -> dict[str, Group]:
    """Return the groups of one set by their method: marks, ours, rivals."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["failure"] is None:
            found.setdefault(row["method"], []).append(row)
    named = [method for method in ORDER if method in found]
    named += [method for method in found if method not in ORDER]
    return {method: Group(found[method]) for method in named}


def text(entry: Interval | None, scale: float = 1.0) -> str:
    """Return a figure with its interval."""
    if entry is None:
        return "-"
    value, low, high = (scale * v for v in entry)
    digits = 1 if value >= 10 else 2
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _lines(found: dict[str, Group], spaces: list[str]) -> list[list[Any]]:
    """Return the rows of a table."""
    lines = []
    for method, group in found.items():
        line: list[Any] = [method, len(group.rows)]
        line += [text(group.of("frechet", space)) for space in spaces]
        for key in ("precision", "recall", "coverage"):
            values = [group.of(key, space) for space in spaces]
            line.append(" / ".join(f"{value[0]:.2f}" for value in values if value))
        line += [text(group.of("novelty_ratio")), text(group.of("feature_novelty"))]
        line += [text(group.of("copy_rate"), 100), text(group.of("mixture_rate"), 100)]
        kl = group.of("mode_kl")
        line += ["-" if kl is None else f"{kl[0]:.4f}"]
        seconds = float(np.median([row["cpu_s"] for row in group.rows]))
        lines.append([*line, seconds if seconds > LEAST else None])
    return lines


def verdict(found: dict[str, Group], spaces: list[str], by: str = "") -> list[str]:
    """Return sentences on the aims: against the ceiling of the same decoder, and rivals that win."""
    if f"ours{by}" not in found or CEILING + by not in found:
        return []
    ours, ceiling, said = found[f"ours{by}"], found[CEILING + by], []
    for space in spaces:
        own, top = _entry(ours, "frechet", space), _entry(ceiling, "frechet", space)
        how = "intervals overlap" if own[1] <= top[2] else "ours is wholly above"
        if own[0] <= top[0]:
            how = "ours is not above"
        said.append(f"FD ({space}) against the ceiling: {own[0]:.2f} and {top[0]:.2f}, {how}.")
        lacking = [
            f"{key} {_entry(ours, key, space)[0]:.2f} of {_entry(ceiling, key, space)[0]:.2f}"
            for key in ("precision", "recall")
            if _entry(ours, key, space)[0] < _entry(ceiling, key, space)[0] - SLACK
        ]
        if lacking:
            said.append(f"More than {SLACK} below the ceiling ({space}): {', '.join(lacking)}.")
        better = [
            method
            for method, group in found.items()
            if method not in ("ours", f"ours{by}")
            and (by or not method.endswith(", refined"))  # another decoder is no other sampler
            and not method.startswith((CEILING, REAL))  # other decoders have ceilings, too
            and _entry(group, "novelty_ratio")[0] >= NOVEL
            and _entry(group, "frechet", space)[2] < own[1]
        ]
        told = ", ".join(better) if better else "none"
        said.append(
            f"Rivals at novelty {NOVEL} or more with an interval wholly below ours ({space}): {told}."
        )
    for key, name in (("copy_rate", "copies"), ("mixture_rate", "mixtures")):
        own, top = _entry(ours, key), _entry(ceiling, key)
        if own[0] > top[2]:
            said.append(f"More {name} than the ceiling's interval: {100 * own[0]:.1f} %.")
    novelty = _entry(ours, "novelty_ratio")
    if novelty[0] < NOVEL:
        said.append(f"The novelty ratio of ours, {novelty[0]:.2f}, is below {NOVEL}.")
    return said


def _entry(group: Group, key: str, space: str | None = None) -> Interval:
    """Return a figure that is there."""
    found = group.of(key, space)
    return (np.nan, np.nan, np.nan) if found is None else found


def markdown(record: dict[str, Any]) -> str:
    """Return a table for each set with its settings, and what it says."""
    cases: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        cases.setdefault((row["data"], row["rows"], row["latent_dim"]), []).append(row)
    parts = [_part(key, rows) for key, rows in cases.items()]
    return "\n\n".join(parts)


def _part(key: tuple[Any, ...], rows: list[dict[str, Any]]) -> str:
    """Return the table of one set."""
    found, spaces = groups(rows), list(rows[0]["judges"])
    head = ["sampler", "seeds", *(f"FD ({space})" for space in spaces)]
    both = " / ".join(spaces)
    head += [f"{name} ({both})" for name in ("precision", "recall", "coverage")]
    head += ["novelty (codes)", f"novelty ({spaces[0]})", "copies, %", "mixture, %"]
    head += ["class KL", "cpu s"]
    epochs, errors = ({row.get(k) for row in rows} - {None} for k in ("epochs", "mass_error"))
    digests = ", ".join(f"{name} {value[:12]}" for name, value in rows[0]["judges"].items())
    told = (
        f"**{key[0]}**: {key[1]:,} training images, {rows[0]['held_out']:,} in each held-out half, "
        f"latent dimension {key[2]}, {_span(epochs)} epochs, cells solved to rms {_span(errors)}. "
        f"Judges (SHA-256): {digests}."
    )
    failed = sorted({f"{r['method']}: {r['failure']}" for r in rows if r["failure"]})
    refined = [f"Refined: {said}" for said in verdict(found, spaces, ", refined")]
    notes = [
        *verdict(found, spaces),
        *refined,
        *_fitted(found),
        *(f"Not measured: {r}" for r in failed),
    ]
    return "\n\n".join(
        [told, results.table(head, _lines(found, spaces)), "\n".join(f"- {n}" for n in notes)]
    )


def _fitted(found: dict[str, Group]) -> list[str]:
    """Say which samplers were fitted to a part of the codes."""
    parts = {
        method: _span({row.get("fitted") for row in group.rows} - {None}, ",")
        for method, group in found.items()
    }
    named = [f"{method} {count}" for method, count in parts.items() if count != "-"]
    return [f"Fitted to a part of the codes: {', '.join(named)}."] if named else []


def _span(values: set[Any], form: str = "") -> str:
    """Return one number, or the least and the largest."""
    show: Callable[[Any], str] = lambda v: f"{v:.3f}" if isinstance(v, float) else f"{v:{form}}"  # noqa: E731
    if not values:
        return "-"
    low, high = min(values), max(values)
    return show(low) if low == high else f"{show(low)} to {show(high)}"
