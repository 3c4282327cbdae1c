"""Pictures of a two-dimensional model: its codes, and the power cells of its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import check_array, check_same_length
from ot_latent.plotting.style import class_colours, label_colours, resolve_axes, style
from ot_latent.raster import CellRaster

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_latent.transport.power_diagram import PowerDiagram

HAIR = 0.15  # outline of a polygon in its own colour, points: no seams between the fills
THIN, THICK = 0.3, 1.8  # widths of the weakest and of the strongest tear, points


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
    colours = shaded_colours(labels, n)
    picture = np.where((raster.index < 0)[..., None], 1.0, colours[np.maximum(raster.index, 0)])
    picture[raster.torn] = 0.0
    return np.round(picture * 255).astype(np.uint8)


def shaded_colours(labels: np.ndarray | None, n: int) -> np.ndarray:
    """Give each cell the colour of its class, in a shade of its own.

    Parameters
    ----------
    labels : ndarray of shape (n,) or None
        Class of each cell's code.
    n : int
        Number of cells.

    Returns
    -------
    ndarray of shape (n, 3)
        Colours in [0, 1].
    """
    # a shade per cell, from a multiplicative hash of its number: neighbours differ, no randomness
    shade = ((np.arange(n, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(1000)).astype(
        float
    )
    colours = label_colours(labels, n)
    return colours + (1.0 - colours) * (0.28 * shade / 1000)[:, None]


def draw_polygons(ax: Axes, diagram: PowerDiagram, labels: np.ndarray | None) -> None:
    """Put exact cells into axes, without frame and ticks; tears are black, strong where wide.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to fill.
    diagram : PowerDiagram
        Cells in the plane.
    labels : ndarray of shape (N,) or None
        Class of each cell's code.
    """
    from matplotlib.collections import LineCollection, PolyCollection

    from ot_latent.tears import find_tears

    vertices, offsets, _ = diagram.polygons()
    held = np.flatnonzero(np.diff(offsets) > 2)
    colours = shaded_colours(labels, len(offsets) - 1)[held]
    polygons = [vertices[offsets[j] : offsets[j + 1]] for j in held]
    ax.add_collection(
        PolyCollection(
            polygons, facecolors=colours, edgecolors=colours, linewidths=HAIR, rasterized=True
        )
    )
    torn = find_tears(diagram)
    ink = np.zeros((len(torn.strengths), 4))
    ink[:, 3] = 0.1 + 0.9 * torn.strengths
    widths = THIN + (THICK - THIN) * torn.strengths
    lines = LineCollection(
        torn.segments, colors=ink, linewidths=widths, capstyle="round", rasterized=True
    )
    ax.add_collection(lines)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    _bare(ax)


def draw_cells(
    ax: Axes, cells: PowerDiagram | CellRaster, labels: np.ndarray | None, n: int
) -> None:
    """Put cells into axes, as polygons or as pixels.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to fill.
    cells : PowerDiagram or CellRaster
        What `ot_latent.atlas.cells_of` returns.
    labels, n
        As in `cell_picture`.
    """
    if isinstance(cells, CellRaster):
        draw_raster(ax, cells, labels, n)
    else:
        draw_polygons(ax, cells, labels)


def cells_2d(
    potential: Any,
    source: Any,
    labels: Any = None,
    *,
    resolution: int = 600,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the power cells that cut a two-dimensional source, tears in black.

    Cells of a box, a polytope or a grid are drawn as exact polygons, those of other sources as
    pixels.

    Parameters
    ----------
    potential : BrenierPotential
        Potential; cell j belongs to its point j.
    source : Source
        Two-dimensional source.
    labels : array-like of shape (N,), optional
        Class of each point.
    resolution : int, default=600
        Pixels along a side, where cells are pixels.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in the source's coordinates.
    """
    from ot_latent.atlas import cells_of

    n = len(potential.points)
    if labels is not None:
        check_same_length(labels, potential.points, ("labels", "the potential's points"))
        labels = np.asarray(labels)
    cells = cells_of(potential, source, resolution=resolution)
    with style():
        ax = resolve_axes(ax, (5.2, 5.2))
        draw_cells(ax, cells, labels, n)
        ax.set_title(title)
    return ax


def draw_raster(ax: Axes, raster: CellRaster, labels: np.ndarray | None, n: int) -> None:
    """Put the picture of the cells into axes, without frame and ticks.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to fill.
    raster, labels, n
        As in `cell_picture`.
    """
    ax.imshow(cell_picture(raster, labels, n), extent=raster.extent, interpolation="antialiased")
    _bare(ax)


def _bare(ax: Axes) -> None:
    """Take frame and ticks away, and keep squares square."""
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
