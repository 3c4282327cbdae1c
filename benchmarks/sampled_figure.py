"""Time-to-quality curves: rms against CPU seconds, one panel per problem, our limit dashed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sampled_peers import PEERS
from benchmarks.sampled_problems import SampledProblem
from ot_latent.plotting.style import GRID, PALETTE, close, style

COLUMNS = 3
WIDTHS = {"ours": 2.6}
NAMES = {
    "ours": "StochasticNewton",
    "ott": "OTT-JAX",
    "pot": "POT",
    "adam-fixed": "Adam, fixed sample",
    "averaged-sgd": "averaged SGD",
    "gauss-newton": "Gauss-Newton",
}
LIMIT = "limit at our draws"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
LEAST = 1e-2  # an unbiased estimate may be zero; it is drawn here


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw all problems that ours was raced on; the suffix chooses the format."""
    from matplotlib import pyplot

    from benchmarks.sampled import best_of, of, raced

    names = [name for name in raced(rows) if of(list(rows), name, "ours")] or raced(rows)
    columns = 2 if len(names) == 4 else min(COLUMNS, len(names))  # no empty places
    lines = math.ceil(len(names) / columns)
    with style():
        figure, axes = pyplot.subplots(
            lines,
            columns,
            figsize=(4.4 * columns, 3.3 * lines),
            layout="constrained",
            squeeze=False,
        )
        for ax, name in zip(axes.flat, names, strict=False):
            problem = SampledProblem.named(name)
            panel(ax, problem, {peer: best_of(rows, problem, peer) for peer in PEERS})
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        handles: dict[str, Any] = {}
        for ax in axes.flat:
            handles |= {label: h for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        order = [name for name in (*NAMES.values(), LIMIT) if name in handles]
        figure.legend([handles[name] for name in order], order, loc="outside lower center", ncols=4)
        figure.savefig(path)
    close(figure)


def panel(ax: Any, problem: SampledProblem, best: dict[str, Sequence[dict[str, Any]]]) -> None:
    """Draw one problem; ours is its first seed."""
    for place, (peer, rows) in enumerate(best.items()):
        if peer == "ours-solve" or not rows or not rows[0]["checkpoints"]:
            continue
        points = rows[0]["checkpoints"]
        seconds, rms, low, high = (
            [max(p[key], LEAST) if key != "cpu_s" else p[key] for p in points]
            for key in ("cpu_s", "rms", "low", "high")
        )
        colour, width = PALETTE[place], WIDTHS.get(peer, 1.4)
        label = NAMES.get(peer, peer)
        ax.plot(
            seconds, rms, color=colour, linewidth=width, marker="o", markersize=2.5, label=label
        )
        ax.fill_between(seconds, low, high, color=colour, alpha=0.15, linewidth=0)
        if peer == "ours":
            limit = [math.sqrt((problem.n - 1) / p["effective"]) for p in points]
            ax.plot(seconds, limit, color=colour, linestyle="--", linewidth=1, label=LIMIT)
    for level in problem.levels:
        ax.axhline(level, color=GRID, zorder=0)
    high = ax.get_ylim()[1]
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="CPU seconds",
        ylabel="rms cell error",
    )
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.set_ylim(0.7 * problem.goal, high)
    ax.minorticks_off()
    ax.set_title(f"{problem.kind.capitalize()}, N = {problem.n:,}, d = {problem.dim}")
