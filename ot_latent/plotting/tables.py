"""Pictures of rows of numbers: each column's histogram, and how columns go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_array
from ot_latent.plotting.style import GENERATED, REAL, light_grid, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 12  # histograms of one figure
MOST_NAMED = 16  # columns whose names fit beside a matrix


def marginals(
    real: Any, generated: Any, *, names: Sequence[str] | None = None, most: int = MOST_COLUMNS
) -> Figure:
    """Draw the histogram of each column, of data and samples over common bins.

    Parameters
    ----------
    real, generated : array-like of shape (n, features)
        Rows.
    names : sequence of str, optional
        Names of the columns.
    most : int, default=12
        Columns drawn at most; the heading says how many there are.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with one pair of axes per column.
    """
    first, second, words = _columns(real, generated, names)
    shown = min(most, len(words))
    across = min(4, shown)
    down = math.ceil(shown / across)
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(2.4 * across, 0.4 + 1.7 * down), layout="constrained")
        places = figure.subplots(down, across, squeeze=False).ravel()
        for place in places[shown:]:
            place.set_visible(False)
        for place, name, a, b in zip(places, words, first.T, second.T, strict=False):
            _histograms(place, a, b)
            place.set_title(name if len(name) <= 28 else f"{name[:27]}…", fontsize=9.5)
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        if shown < len(words):
            figure.suptitle(f"The first {shown} of {len(words)} columns", fontsize=10, x=0.01,
                            ha="left")  # fmt: skip
    return figure


def _histograms(ax: Any, real: np.ndarray, generated: np.ndarray) -> None:
    ends = np.quantile(real, [0.002, 0.998])
    width = float(ends[1] - ends[0]) or 1.0
    bins = np.linspace(ends[0] - 0.1 * width, ends[1] + 0.1 * width, 31)
    for values, colour, name in ((real, REAL, "data"), (generated, GENERATED, "generated")):
        inside = np.clip(values, bins[0], bins[-1])  # what lies outside is counted at the ends
        weights = np.full(len(values), 1.0 / len(values))
        ax.hist(inside, bins, weights=weights, color=colour, alpha=0.25)
        ax.hist(inside, bins, weights=weights, color=colour, histtype="step", lw=1.3, label=name)
    ax.set_yticks([])
    ax.tick_params(labelsize=8)


def correlations(real: Any, generated: Any, *, names: Sequence[str] | None = None) -> Figure:
    """Draw the correlation of each pair of columns in the samples against that in the data.

    Parameters
    ----------
    real, generated : array-like of shape (n, features)
        Rows, of at least two columns.
    names : sequence of str, optional
        Names of the columns.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: both matrices, and one point per pair.

    Raises
    ------
    DataError
        If there is only one column.
    """
    first, second, words = _columns(real, generated, names)
    if len(words) < 2:
        raise DataError("real must have at least 2 columns, got 1; draw its histogram.")
    matrices = [_correlation(rows) for rows in (first, second)]
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(9.6, 3.5), layout="constrained")
        *maps, ax = figure.subplots(1, 3)
        for place, matrix, title in zip(maps, matrices, ("data", "generated"), strict=True):
            image = place.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
            place.spines[:].set_visible(False)
            place.set_title(title)
            named = range(len(words)) if len(words) <= MOST_NAMED else []
            short = [words[i][:14] for i in named]
            place.set_xticks(named, short, rotation=90, fontsize=7)
            place.set_yticks(named, short if place is maps[0] else [""] * len(short), fontsize=7)
            place.tick_params(length=0)
        figure.colorbar(image, ax=maps, shrink=0.75, label="correlation")
        pairs = np.triu_indices(len(words), 1)
        ax.plot([-1, 1], [-1, 1], color="#9aa1ad", lw=1.0)
        ax.plot(matrices[0][pairs], matrices[1][pairs], "o", ms=4, alpha=0.7, color=GENERATED)
        ax.set_xlabel("in the data")
        ax.set_ylabel("in the samples")
        ax.set_title("each pair of columns")
        ax.set_aspect("equal")
        light_grid(ax, "both")
    return figure


def _columns(
    real: Any, generated: Any, names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    first = check_array(real, "real", ndim=2).astype(np.float64)
    second = check_array(generated, "generated", ndim=2).astype(np.float64)
    count = first.shape[1]
    words = [f"column {i}" for i in range(count)] if names is None else [str(n) for n in names]
    if second.shape[1] != count or len(words) != count:
        raise DataError(
            f"real, generated and names must have the same columns, got {count}, "
            f"{second.shape[1]} and {len(words)}; leave the same columns out of each."
        )
    return first, second, words


def _correlation(rows: np.ndarray) -> np.ndarray:
    """Correlations; those of a constant column are zero."""
    centred = rows - rows.mean(axis=0)
    scale = np.sqrt((centred**2).mean(axis=0))
    centred = centred / np.where(scale > 0, scale, 1.0)
    return centred.T @ centred / len(rows)
