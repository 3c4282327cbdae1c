"""Pictures of a two-dimensional model: codes, power cells of the noise, and the four-panel atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import check_array, check_same_length
from ot_latent.plotting.images import mosaic, show
from ot_latent.plotting.style import (
    INK,
    SOFT,
    class_colours,
    label_colours,
    resolve_axes,
    style,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ot_latent.atlas import Atlas, CellRaster, Panel


def codes_2d(
    codes: Any, labels: Any = None, *, title: str = "", legend: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw codes in the plane, one colour per class, on equal scales.

    Parameters
    ----------
    codes : array-like of shape (n, 2) or (n, d)
        Codes; beyond two columns the first two are drawn and the axes say so.
    labels : array-like of shape (n,), optional
        Classes.
    title : str, default=""
        Title of the axes.
    legend : bool, default=True
        Whether to name the classes (at most twenty).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    points = check_array(codes, "codes", ndim=2)
    if labels is not None:
        check_same_length(labels, points, ("labels", "codes"))
        labels = np.asarray(labels)
    with style():
        ax = resolve_axes(ax, (5.5, 5.2))
        size = float(np.clip(9000 / len(points), 0.8, 14))
        y = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
        colours = label_colours(labels, len(points))
        ax.scatter(points[:, 0], y, s=size, c=colours, linewidths=0, alpha=0.85, rasterized=True)
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_title(title)
        if points.shape[1] > 2:
            ax.set_xlabel(f"first of {points.shape[1]} coordinates")
            ax.set_ylabel("second")
        if legend and labels is not None:
            _class_legend(ax, labels)
    return ax


def _class_legend(ax: Axes, labels: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    colours = class_colours(labels)
    if len(colours) > 20:
        return
    marks = [
        Line2D([], [], ls="", marker="o", ms=6, color=c, label=str(k)) for k, c in colours.items()
    ]
    ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)


def cell_picture(raster: CellRaster, labels: np.ndarray | None, n: int) -> np.ndarray:
    """Paint a raster of cells: the class gives the colour, the cell a shade, tears are black.

    Parameters
    ----------
    raster : CellRaster
        Cells and tears.
    labels : ndarray of shape (n,) or None
        Class of each cell's code.
    n : int
        Number of cells.

    Returns
    -------
    ndarray of shape (r, r, 3)
        Unsigned bytes; pixels outside the source are white.
    """
    # a shade per cell, from a multiplicative hash of its number: neighbours differ, no randomness
    shade = ((np.arange(n, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(1000)).astype(
        float
    )
    colours = label_colours(labels, n)
    colours = colours + (1.0 - colours) * (0.28 * shade / 1000)[:, None]
    picture = np.where((raster.index < 0)[..., None], 1.0, colours[np.maximum(raster.index, 0)])
    picture[raster.torn] = 0.0
    return np.round(picture * 255).astype(np.uint8)


def cells_2d(
    potential: Any,
    source: Any,
    labels: Any = None,
    *,
    resolution: int = 600,
    tear: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the power cells that cut a two-dimensional source, tears in black.

    Parameters
    ----------
    potential : BrenierPotential
        Potential; cell j belongs to its point j.
    source : Source
        Two-dimensional source.
    labels : array-like of shape (N,), optional
        Class of each point.
    resolution : int, default=600
        Pixels along a side.
    tear : float, optional
        See :func:`ot_latent.atlas.rasterise_cells`.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with one picture in the source's coordinates.
    """
    from ot_latent.atlas import TEAR, rasterise_cells

    n = len(potential.points)
    if labels is not None:
        check_same_length(labels, potential.points, ("labels", "the potential's points"))
        labels = np.asarray(labels)
    raster = rasterise_cells(potential, source, resolution=resolution, tear=tear or TEAR)
    with style():
        ax = resolve_axes(ax, (5.2, 5.2))
        _draw_raster(ax, raster, labels, n)
        ax.set_title(title)
    return ax


def _draw_raster(ax: Axes, raster: CellRaster, labels: np.ndarray | None, n: int) -> None:
    ax.imshow(cell_picture(raster, labels, n), extent=raster.extent, interpolation="antialiased")
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])


def atlas(data: Atlas, *, names: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw the atlas of a two-dimensional model: four panels, with their numbers under them.

    (a) the codes by class; (b) the noise square cut into cells of equal mass, in the same colours,
    tears black; (c) a regular grid of noise through the map, decoded; (d) the same grid through the
    Gaussian with the codes' moments, decoded.

    Parameters
    ----------
    data : Atlas
        What :func:`ot_latent.atlas.compute` returns.
    names : sequence of str, optional
        Names of the classes, in their sorted order.
    title : str, default=""
        Heading of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(10.0, 11.7))
        sides = {"a": (0.02, 0.535), "b": (0.51, 0.535), "c": (0.02, 0.055), "d": (0.51, 0.055)}
        places = {k: figure.add_axes((*at, 0.47, 0.40)) for k, at in sides.items()}
        codes_2d(data.codes, data.labels, legend=False, ax=places["a"])
        places["a"].set_xticks([])
        places["a"].set_yticks([])
        places["a"].spines[:].set_visible(False)
        _draw_raster(places["b"], data.raster, data.labels, len(data.codes))
        show(places["c"], mosaic(data.mapped.tiles, columns=data.side, padding=0))
        show(places["d"], mosaic(data.gaussian.tiles, columns=data.side, padding=0))
        _atlas_words(figure, places, data)
        _atlas_legend(figure, data, names, title)
    return figure


def _atlas_words(figure: Figure, places: dict[str, Axes], data: Atlas) -> None:
    headings = {
        "a": "a   The codes of the data",
        "b": "b   The noise square, one cell per code",
        "c": "c   A grid of noise through the map",
        "d": "d   The same grid through a Gaussian",
    }
    for key, ax in places.items():
        ax.set_title(headings[key], fontsize=13)
    cells, error = len(data.codes), data.mass_error
    lines = {
        "a": f"{cells:,} images, two numbers each; the colour is the class",
        "b": f"{cells:,} cells of equal mass, largest error {100 * error:.2g} %; tears black",
        "c": _panel_line(data.mapped),
        "d": _panel_line(data.gaussian),
    }
    for key, ax in places.items():
        box = ax.get_position()
        figure.text(box.x0 + box.width / 2, box.y0 - 0.008, lines[key], ha="center", va="top",
                    fontsize=10.5, color=INK, linespacing=1.5)  # fmt: skip


def _panel_line(panel: Panel) -> str:
    distance = f"     Fréchet distance {panel.frechet:.3g}" if np.isfinite(panel.frechet) else ""
    return (
        f"ambiguous tiles {100 * panel.ambiguous:.1f} %{distance}\n"
        f"class shares off by at most {panel.share_error:.1f} sampling errors"
    )


def _atlas_legend(figure: Figure, data: Atlas, names: Sequence[str] | None, title: str) -> None:
    from matplotlib.lines import Line2D

    if title:
        figure.text(0.02, 0.985, title, fontsize=15, weight="bold", va="top")
    if data.labels is not None:
        colours = class_colours(data.labels)
        words = names if names is not None else [str(k) for k in colours]
        marks = [
            Line2D([], [], ls="", marker="o", ms=8, color=c, label=w)
            for w, c in zip(words, colours.values(), strict=True)
        ]
        if len(marks) <= 12:
            figure.legend(handles=marks, loc="upper right", ncols=len(marks), fontsize=10,
                          bbox_to_anchor=(0.99, 0.995), handletextpad=0.0, columnspacing=0.8)  # fmt: skip
    ceiling = (
        f"Reconstructions of held-out data: {100 * data.reconstructed.ambiguous:.1f} % ambiguous"
    )
    figure.text(0.5, 0.008, ceiling + " (classifier less sure than on 99 % of real data).",
                ha="center", fontsize=9.5, color=SOFT)  # fmt: skip
