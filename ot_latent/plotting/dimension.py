"""The reconstruction curve that a latent dimension is read off, with estimates beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ot_latent._validation import DataError, check_same_length
from ot_latent.plotting.style import (
    BASELINE,
    CEILING,
    GENERATED,
    PALETTE,
    REAL,
    SOFT,
    finite_values,
    light_grid,
    resolve_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = (GENERATED, PALETTE[2], PALETTE[4])


def reconstruction_curve(
    dims: Sequence[int],
    errors: Sequence[float],
    *,
    linear_errors: Sequence[float] | None = None,
    estimates: Mapping[str, float] | None = None,
    suggested: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw held-out errors against the latent dimension, and mark what else is known of it.

    Parameters
    ----------
    dims : sequence of int
        Latent dimensions, rising.
    errors : sequence of float
        Held-out error at each, in units of the data's deviation.
    linear_errors : sequence of float, optional
        The same of principal components.
    estimates : mapping of str to float, optional
        Names and values of estimated intrinsic dimensions, drawn as upright lines, at most three.
    suggested : int, optional
        One of `dims`, drawn as a ring.
    title : str, optional
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with a logarithmic scale of the dimension.

    Raises
    ------
    DataError
        If there is nothing to draw, lengths differ, `suggested` is none of `dims`, or there are
        more than three estimates.
    """
    x, y = finite_values(dims, "dims"), finite_values(errors, "errors")
    check_same_length(x, y, ("dims", "errors"))
    if suggested is not None and suggested not in x:
        raise DataError(f"suggested must be one of dims, got {suggested}; add it or leave it out.")
    if len(estimates or {}) > len(MARKS):
        raise DataError(
            f"estimates must be at most {len(MARKS)}, got {len(estimates or {})}; choose among them."
        )
    with style():
        ax = resolve_axes(ax, (6.4, 3.8))
        if linear_errors is not None:
            z = finite_values(linear_errors, "linear_errors")
            check_same_length(x, z, ("dims", "linear_errors"))
            ax.plot(x, z, "o-", color=BASELINE, lw=1.4, ms=4, label="principal components")
        ax.plot(x, y, "o-", color=REAL, ms=5, label="autoencoders, shortly trained")
        for (name, value), colour in zip((estimates or {}).items(), MARKS, strict=False):
            ax.axvline(
                value, color=colour, lw=1.6, ls=(0, (4, 3)), label=f"{name}: {value:.1f}", zorder=1
            )
        if suggested is not None:
            at = float(y[np.flatnonzero(x == suggested)[0]])
            ax.plot([suggested], [at], "o", ms=13, mfc="none", mec=CEILING, mew=2.0,
                    label=f"suggested: {suggested}")  # fmt: skip
        _finish(ax, x)
        ax.set_title("Latent dimension: what is lost" if title is None else title)
        ax.legend(loc="upper right")
    return ax


def _finish(ax: Axes, x: np.ndarray) -> None:
    """Scale, tick and name the axes."""
    ax.set_xscale("log", base=2)
    ticks = [d for i, d in enumerate(x) if i == len(x) - 1 or x[i + 1] / d > 1.2]
    ax.set_xticks(ticks, [f"{d:g}" for d in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0.0)
    ax.axhline(0.0, color=SOFT, lw=0.8)
    light_grid(ax)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("held-out error / deviation")
