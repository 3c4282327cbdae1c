"""Pictures of hierarchies: the tree of a datum, learning curves that collapse, what layers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError
from ot_latent.plotting.style import (
    BASELINE,
    GRID,
    INK,
    PALETTE,
    SOFT,
    class_colours,
    light_grid,
    resolve_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ot_latent.theory.hierarchy import Derivations, RandomHierarchy

MARKERS = "osD^vP"


def data_tree(
    model: RandomHierarchy, trees: Derivations, *, row: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw how one datum of a hierarchy came about: class above, string below.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    trees : Derivations
        Derivation trees.
    row : int, default=0
        Which one to draw.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; colours tell the symbols of a level apart, small dots are empty positions.
    """
    one = trees[row : row + 1]
    symbols, leaves = model.symbols(one), model.locations(one)[0]
    with style():
        ax = resolve_axes(ax, (9.0, 0.9 + 0.95 * model.levels))
        size = min(14.0, 0.95 * 72 * 8.3 / model.length)  # points: neighbours do not overlap
        for depth, level in enumerate(symbols):
            cell = model.patch ** (model.levels - depth)
            places = leaves[:: model.children ** (model.levels - depth)] // cell
            across = (places + 0.5) * cell
            height = float(model.levels - depth)
            if depth:
                _branches(ax, across, height, model.children)
            empty = np.setdiff1d(np.arange(model.patch**depth), places)
            ax.scatter((empty + 0.5) * cell, np.full(len(empty), height), s=9, c=GRID, zorder=2)
            kinds = model.vocabulary if depth else model.classes
            _nodes(ax, across, height, level[0], kinds, size if depth == model.levels else 14.0)
        ax.set_xlim(0, model.length)
        ax.set_ylim(-0.45, model.levels + 0.4)
        ax.set_yticks(range(model.levels + 1), _level_names(model.levels))
        ax.set_xlabel("position")
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
    return ax


def _level_names(levels: int) -> list[str]:
    """Name levels from the input up."""
    return ["string", *(f"level {level}" for level in range(1, levels)), "class"]


def _branches(ax: Axes, across: np.ndarray, height: float, children: int) -> None:
    """Join each node to its parent, drawn with the width of the parent's level."""
    parents = ax.collections[-1].get_offsets()[:, 0]
    for start, parent in enumerate(np.asarray(parents)):
        for child in across[start * children : (start + 1) * children]:
            ax.plot([parent, child], [height + 1, height], color=BASELINE, lw=1.1, zorder=1)


def _nodes(
    ax: Axes, across: np.ndarray, height: float, symbols: np.ndarray, kinds: int, size: float
) -> None:
    """Draw a level's symbols as numbered discs of `size` points."""
    colours = class_colours(range(kinds))
    ax.scatter(
        across, np.full(len(across), height), s=size**2, zorder=3,
        c=[colours[int(symbol)] for symbol in symbols], edgecolors="white", linewidths=0.8,
    )  # fmt: skip
    for x, symbol in zip(across, symbols, strict=True) if size > 5 else ():
        red, green, blue = colours[int(symbol)]
        light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55
        ax.text(
            x, height - 0.01, str(int(symbol) + 1), ha="center", va="center", zorder=4,
            fontsize=0.6 * size, color=INK if light else "white",
        )  # fmt: skip


def learning_curves(
    curves: Mapping[str, tuple[Any, Any]],
    scales: Sequence[float],
    *,
    chance: float | None = None,
    threshold: float | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw test errors against the number of data, and against that number over a law's scale.

    Where the law holds the curves of the right panel lie on one another.

    Parameters
    ----------
    curves : mapping
        Name to (sizes, errors); errors of shape (sizes,) or (repeats, sizes), whose mean is drawn
        with a band of one standard error.
    scales : sequence of float
        The law's number of data for each curve.
    chance : float, optional
        Error of guessing, drawn as a level.
    threshold : float, optional
        Error at which sizes are compared, drawn as a level.
    axes : pair of matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    DataError
        If there is not one scale per curve, or a curve has not one error per size.
    """
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if len(scales) != len(curves) or not curves:
        raise DataError(
            f"scales must hold one number per curve, got {len(scales)} for {len(curves)} curves; "
            "pass predicted_sample_complexity of each."
        )
    with style():
        if axes is None:
            _, axes = pyplot.subplots(1, 2, figsize=(9.0, 3.6), sharey=True, layout="constrained")
        for place, ((name, (sizes, errors)), scale) in enumerate(
            zip(curves.items(), scales, strict=True)
        ):
            for ax, unit in zip(axes, (1.0, scale), strict=True):
                _curve(ax, name, np.asarray(sizes) / unit, np.atleast_2d(errors), place)
        for ax, label in zip(axes, ("training data $P$", "$P$ over the law's scale"), strict=True):
            _levels(ax, chance, threshold)
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.set_xlabel(label)
        axes[0].set_ylabel("test error")
        axes[0].set_ylim(bottom=0)
        axes[0].legend()
        axes[0].set_title("As measured")
        axes[1].set_title("Rescaled")
    return axes[0].get_figure()  # type: ignore[return-value]


def _curve(ax: Axes, name: str, sizes: np.ndarray, errors: np.ndarray, place: int) -> None:
    if errors.shape[1] != len(sizes):
        raise DataError(
            f"errors must have one value per size, got shape {errors.shape} for {len(sizes)} sizes; "
            "pass (repeats, sizes)."
        )
    colour = PALETTE[(0, 6, 2, 3, 5, 8)[place % 6]]
    mean = errors.mean(axis=0)
    ax.plot(sizes, mean, color=colour, marker=MARKERS[place % 6], ms=4.5, label=name)
    if len(errors) > 1:
        band = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        ax.fill_between(sizes, mean - band, mean + band, color=colour, alpha=0.18, lw=0)


def _levels(ax: Axes, chance: float | None, threshold: float | None) -> None:
    """Draw what the curves are compared with."""
    if chance is not None:
        ax.axhline(chance, color=BASELINE, lw=1.0, ls=(0, (4, 3)))
        ax.annotate(
            "guessing", (1, chance), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", ha="right", fontsize=8.5, color=SOFT,
        )  # fmt: skip
    if threshold is not None:
        ax.axhline(threshold, color=BASELINE, lw=1.0, ls=(0, (1, 2)))
    light_grid(ax, "both")


def sensitivities(
    measured: Mapping[str, Mapping[str, Any]],
    *,
    layers: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much each layer still sees of each transformation.

    Parameters
    ----------
    measured : mapping
        Transformation to the result of `layer_sensitivity`: layers to values with errors.
    layers : sequence of str, optional
        Layers to draw, in order; all of the first transformation by default.
    names : sequence of str, optional
        What to call them on the axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes: 0 is invariance, 1 a change as large as that to another input.
    """
    layers = list(next(iter(measured.values()))) if layers is None else list(layers)
    with style():
        ax = resolve_axes(ax, (5.6, 3.6))
        for place, (transformation, found) in enumerate(measured.items()):
            values = np.array([[found[k].value, found[k].error] for k in layers])
            ax.errorbar(
                range(len(layers)), values[:, 0], yerr=1.96 * np.nan_to_num(values[:, 1]),
                color=PALETTE[(0, 6, 2, 3, 5, 8)[place % 6]], marker=MARKERS[place % 6],
                ms=4.5, capsize=2.5, elinewidth=1.0, label=transformation,
            )  # fmt: skip
        ax.axhline(1.0, color=BASELINE, lw=1.0, ls=(0, (4, 3)))
        ax.set_xticks(range(len(layers)), layers if names is None else list(names))
        ax.set_ylim(bottom=0)
        ax.set_ylabel("change / distance of two inputs")
        light_grid(ax)
        ax.legend()
    return ax
