"""The tables of stacked digits: what all methods show, and what becomes of rare classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.generation_stacked import DIGITS, VARIANTS, training_divergence

HEAD = ["variant", "autoencoder", "method", "rows", "seeds", "modes", "KL", "of draws"]
HEAD += ["of training rows", "of misreading", "novelty", "copies, %", "absent classes, %"]
HEAD += ["read as another, %"]
TAIL = ["autoencoder", "method", "seeds", "made: in own interval", "outside all", "together"]
TAIL += ["read: in own interval", "outside all", "together", "misreading alone: together"]
TAIL += ["read beyond misreading: in own interval", "outside all", "together"]


def markdown(record: dict[str, Any]) -> str:
    """Return both tables: means over seeds of what was measured, with 95 % intervals."""
    told = sorted({_settings(row) for row in record["rows"]})
    parts = [results.table(HEAD, [_line(own) for own in _groups(record["rows"])])]
    rare = [own for own in _groups(record["rows"]) if own[0]["variant"] == "tail"]
    rare = [own for own in rare if "read_outside" in own[0]]
    if rare:
        parts.append("**Rare classes** (variant *tail*)")
        parts.append(results.table(TAIL, [_rare_line(own) for own in rare]))
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in told)])


def _groups(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each method that differ in their seed alone, variant by variant."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["failure"] is None:
            key = (VARIANTS.index(row["variant"]), row["coder"], row["rows"], row["method"])
            found.setdefault(key, []).append(row)
    order = list(found)
    yield from (found[key] for key in sorted(order, key=lambda key: (key[:3], order.index(key))))


def _line(own: list[dict[str, Any]]) -> list[Any]:
    """Return the line of a method."""
    first = own[0]
    modes = ", ".join(sorted({f"{row['modes']}/{row['mode_count']}" for row in own}))
    known = [training_divergence(first["variant"], row["seed"], first["rows"]) for row in own]
    line = [first["variant"], first["coder"], first["method"], first["rows"], len(own), modes]
    line += [_mean(own, "kl"), f"{first['kl_floor']:.4f}", f"{np.mean(known):.4f}"]
    line += [_mean(own, "kl_reading", ".4f"), _mean(own, "novelty_ratio")]
    line += [_mean(own, "copy_rate", ".2f", 100), _mean(own, "absent_rate", ".2f", 100)]
    misread = [_mean(own, key, ".2f", 100) for key in ("misread", "misread_expected")]
    return [*line, "-" if "-" in misread else f"{misread[0]} ({misread[1]})"]


def _rare_line(own: list[dict[str, Any]]) -> list[Any]:
    """Return the line of a method about rare classes."""
    line = [
        own[0]["coder"],
        own[0]["method"],
        len(own),
        *_judged(own, "made"),
        *_judged(own, "read"),
    ]
    keys = ("reading", "reading_low", "reading_high")
    if keys[0] in own[0]:
        reading, low, high = (np.mean([row[key] for row in own]) for key in keys)
        line.append(f"{reading:.2f} [{low:.2f}, {high:.2f}]")
    else:
        line.append("-")
    return line + _judged(own, "coder")


def _judged(own: list[dict[str, Any]], name: str) -> list[str]:
    """Return share within own intervals (and that of draws), counts outside all, excess."""
    within = _mean(own, f"{name}_within", ".2f")
    if f"{name}_within_expected" in own[0]:
        within += f" ({np.mean([row[f'{name}_within_expected'] for row in own]):.2f})"
    outside = ", ".join(str(row.get(f"{name}_outside", "-")) for row in own)
    return [within, outside, _mean(own, f"{name}_together", ".2f")]


def _mean(own: list[dict[str, Any]], key: str, form: str = ".3f", unit: float = 1.0) -> str:
    """Return mean and half width over the seeds that have a figure."""
    values = [unit * row[key] for row in own if row.get(key) is not None]
    return results.interval(values, form)


def _settings(row: dict[str, Any]) -> str:
    """Say what a row's samplers were fitted to."""
    what = "digits" if row["coder"] == DIGITS else "rows"
    return (
        f"{row['variant']}, {row['rows']:,} rows, seed {row['seed']}: autoencoder {row['coder']}, "
        f"{row['latent_dim']} dimensions, trained on {row['coder_rows']:,} {what} for "
        f"{row['epochs']} epochs; cells solved to rms {row['mass_error']:.3f}."
    )
