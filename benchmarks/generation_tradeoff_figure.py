"""The picture of trade-offs: distance against novelty, and precision against recall, sampler by sampler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ot_latent.plotting.style import (
    BASELINE,
    CEILING,
    GENERATED,
    GRID,
    INK,
    PALETTE,
    SOFT,
    close,
    style,
)

NOVEL = 0.9
LOOKS = {  # colour, marker, width of the line
    "ours": (GENERATED, "o", 2.4),
    "control": (PALETTE[0], "s", 1.6),
    "kernel density": (PALETTE[4], "^", 1.6),
    "mixture": (PALETTE[2], "D", 1.6),
    "two-cell rule": (PALETTE[8], "v", 1.6),
    "plain map": (INK, "X", 0.0),
}
MARKS = {  # floor and ceiling
    "real, other half": (BASELINE, "*", "real images"),
    "reconstructions": (CEILING, "P", "reconstructions of held-out images"),
}
FILLED = (
    "Precision and recall: filled marks are new enough (novelty 0.9 or more), hollow ones are not"
)
LEAST, MOST = 0.1, 60.0  # least distance drawn; the largest over the least
TICKS = (0.3, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the curves of one set; the suffix chooses the format."""
    from matplotlib import pyplot

    spaces = list(rows[0]["spaces"])
    with style():
        figure, axes = pyplot.subplots(
            2, len(spaces), figsize=(5.2 * len(spaces), 8.4), layout="constrained", squeeze=False
        )
        for column, space in enumerate(spaces):
            distances(axes[0, column], rows, space)
            shares(axes[1, column], rows, space)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, title=FILLED, title_fontsize=9
        )
        figure.savefig(path)
    close(figure)


def curve(rows: Sequence[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    """Return the places of one sampler, from old to new."""
    own = [row for row in rows if row["method"] == method]
    return sorted(own, key=lambda row: row["novelty_ratio"][0])


def distances(ax: Any, rows: Sequence[dict[str, Any]], space: str) -> None:
    """Draw the Frechet distance against the novelty ratio."""
    for method, (colour, marker, width) in LOOKS.items():
        own = curve(rows, method)
        if not own:
            continue
        x = [row["novelty_ratio"][0] for row in own]
        y, low, high = zip(*(row["spaces"][space]["frechet"] for row in own), strict=True)
        ax.plot(x, y, color=colour, marker=marker, linewidth=width, markersize=5.5, label=method)
        ax.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0)
    for method, (colour, marker, label) in MARKS.items():
        for row in curve(rows, method):
            value, *bounds = row["spaces"][space]["frechet"]
            ax.plot(row["novelty_ratio"][:1] * 2, bounds, color=colour, linewidth=1.2, zorder=4)
            ax.plot(
                row["novelty_ratio"][0], value, color=colour, marker=marker, linestyle="none",
                markersize=11, markeredgecolor="white", zorder=5, label=label,
            )  # fmt: skip
            ax.axhline(value, color=colour, linestyle=":", linewidth=1.2, zorder=0)
    _frame(ax, [row for row in rows if row["method"] in LOOKS | MARKS], space)
    ax.set(xlabel="novelty ratio (0: copies, 1: as new as fresh images)")
    ax.set_ylabel("Fréchet distance (less is better)")
    ax.set_title(f"Distance, {space} features")


def _frame(ax: Any, rows: Sequence[dict[str, Any]], space: str) -> None:
    """Set the axes of distances, and shade where images are new enough."""
    found = [row["spaces"][space]["frechet"][0] for row in rows]
    right = 1.04 * max(row["novelty_ratio"][0] for row in rows)
    least = max(min(found), LEAST)
    low, high = 0.75 * least, 1.35 * min(max(found), MOST * least)
    ax.set(yscale="log", xlim=(-0.05, max(right, 1.05)), ylim=(low, high))
    inside = [tick for tick in TICKS if low <= tick <= high]
    ax.set_yticks(inside, [f"{tick:g}" for tick in inside])
    ax.minorticks_off()
    ax.axvspan(NOVEL, ax.get_xlim()[1], color=GRID, alpha=0.6, zorder=-1, linewidth=0)
    ax.text(NOVEL + 0.01, 0.97 * high, "new enough", color=SOFT, fontsize=8.5, va="top")


def shares(ax: Any, rows: Sequence[dict[str, Any]], space: str) -> None:
    """Draw precision against recall; filled where the images are new enough."""
    for method, (colour, marker, width) in LOOKS.items():
        own = curve(rows, method)
        x, y = ([row["spaces"][space][key][0] for row in own] for key in ("recall", "precision"))
        ax.plot(x, y, color=colour, linewidth=width)
        for row, a, b in zip(own, x, y, strict=True):
            new = row["novelty_ratio"][0] >= NOVEL
            ax.plot(
                a, b, marker=marker, markersize=6, color=colour, markeredgewidth=1.2,
                markerfacecolor=colour if new else "white",
            )  # fmt: skip
    for method, (colour, marker, _) in MARKS.items():
        for row in curve(rows, method):
            entry = row["spaces"][space]
            ax.plot(
                entry["recall"][0], entry["precision"][0], color=colour, marker=marker,
                markersize=11, markeredgecolor="white", zorder=5,
            )  # fmt: skip
    ax.set(xlabel="recall (share of real images among samples)")
    ax.set_ylabel("precision (share of samples among real images)")
    ax.set_title(f"Precision and recall, {space} features")
