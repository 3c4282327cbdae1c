"""One picture of the evidence that a manifold was learnt: dimension, projection, off-manifold data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError
from ot_latent.plotting.style import CEILING, GENERATED, INK, REAL, SOFT, light_grid, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def manifold_evidence(
    *,
    dimensions: Mapping[str, float],
    projection: Mapping[float, float],
    latent_dim: int | None = None,
    scores: Mapping[str, Any] | None = None,
    title: str = "",
) -> Figure:
    """Draw what speaks for a learnt manifold.

    Left: the estimated intrinsic dimension of data, codes and reconstructions. Right: the share of
    added noise that is left after decode(encode(x + n)), below one where the model projects.

    Parameters
    ----------
    dimensions : mapping
        Name ("data", "codes", "reconstructions") to estimated dimension.
    projection : mapping
        Noise level, in units of the data's standard deviation, to the mean of
        |decode(encode(x + n)) - decode(encode(x))| or |... - x|, divided by |n|.
    latent_dim : int, optional
        Number of code coordinates, drawn as a level.
    scores : mapping, optional
        Further values in [0, 1] to print, such as {"off-manifold AUC": 0.98}.
    title : str, default=""
        Heading.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with two axes.

    Raises
    ------
    DataError
        If there is neither a dimension nor a projection ratio to draw.
    """
    if not dimensions and not projection:
        raise DataError(
            "dimensions and projection must not both be empty, got nothing to draw; run the "
            "manifold metrics first."
        )
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(9.0, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
        _dimension_bars(left, dimensions, latent_dim)
        _projection_curve(right, projection)
        words = [f"{k} {float(v):.2f}" for k, v in (scores or {}).items()]
        if title or words:
            figure.suptitle(
                title or "     ".join(words), fontsize=10.5, x=0.01, ha="left", color=INK
            )
    return figure


def _dimension_bars(ax: Axes, dimensions: Mapping[str, float], latent_dim: int | None) -> None:
    names = list(dimensions)
    values = [float(dimensions[n]) for n in names]
    ax.barh(range(len(names)), values, 0.55, color=[REAL, SOFT, GENERATED][: len(names)])
    for place, value in enumerate(values):
        ax.annotate(f"{value:.1f}", (value, place), xytext=(4, 0), textcoords="offset points",
                    va="center", fontsize=9)  # fmt: skip
    if latent_dim:
        ax.axvline(latent_dim, color=CEILING, lw=1.2, ls=(0, (4, 3)))
        ax.annotate(f"latent_dim = {latent_dim}", (latent_dim, -0.62), xytext=(-4, 0),
                    textcoords="offset points", color=CEILING, fontsize=9, ha="right")  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.8)
    ax.set_xlim(0, 1.18 * max([*values, float(latent_dim or 0), 1e-9]))
    ax.tick_params(axis="y", length=0)
    light_grid(ax, "x")
    ax.set_title("Intrinsic dimension, estimated")


def _projection_curve(ax: Axes, projection: Mapping[float, float]) -> None:
    levels = sorted(float(k) for k in projection)
    lookup = {float(k): float(v) for k, v in projection.items()}
    ratios = [lookup[k] for k in levels]
    ax.axhline(1.0, color=SOFT, lw=1.2, ls=(0, (4, 3)))
    ax.annotate("no projection: the noise stays", (0.02, 1.0), xycoords=("axes fraction", "data"),
                xytext=(0, 4), textcoords="offset points", color=SOFT, fontsize=9)  # fmt: skip
    ax.plot(levels, ratios, "o-", color=GENERATED)
    for x, y in zip(levels, ratios, strict=True):
        ax.annotate(f"{y:.2f}", (x, y), xytext=(0, 7), textcoords="offset points", ha="center",
                    fontsize=9)  # fmt: skip
    top = max([1.0, *[r for r in ratios if np.isfinite(r)]])
    ax.set_ylim(0, 1.2 * top)
    ax.set_xlabel("noise added, in standard deviations of the data")
    ax.set_ylabel("share of the noise left")
    light_grid(ax)
    ax.set_title("Projection: noise in, noise left")
