"""Pictures of piecewise-linear networks: cells of a plane, the surface they make, cuts of a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent.plotting.style import GENERATED, INK, REAL, SOFT, resolve_axes, style
from ot_latent.plotting.tints import cell_colours, place_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_latent.theory.rectified_linear import CurveEncoding, PathPieces, SliceRegions

MANY = 20_000  # more cells than this are drawn without their outlines
GOLDEN = 0.618033988749895  # steps of the golden ratio spread hues evenly


def linear_regions(
    regions: SliceRegions,
    ax: Axes | None = None,
    *,
    color: Any = "map",
    points: Any = None,
    edges: bool | None = None,
    borders: bool = False,
    title: str = "",
) -> Axes:
    """Draw the activation cells of a network on a slice.

    Parameters
    ----------
    regions : SliceRegions
        What `ot_latent.theory.rectified_linear.slice_regions` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    color : "map", "pieces", colour, or array-like with a row per cell, default="map"
        "map": close affine maps look alike (by the two main directions of all slopes). "pieces":
        a colour for each linear piece. Floats: values on a colour scale. (cells, 3): the colours.
    points : array-like of shape (n, 2), optional
        Points to mark, in slice coordinates, such as codes of data.
    edges : bool, optional
        Whether to outline the cells; by default where there are at most 20,000.
    borders : bool, default=False
        Whether to draw the borders of linear pieces in dark over the outlines of cells.
    title : str, default=""
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in slice coordinates.
    """
    from matplotlib.collections import LineCollection, PolyCollection

    polygons = [cell.polygon for cell in regions]
    colours = region_colours(regions, color)
    drawn = len(regions) <= MANY if edges is None else edges
    with style():
        ax = resolve_axes(ax, (5.2, 5.2))
        ax.add_collection(PolyCollection(polygons, facecolors=colours, edgecolors=colours, lw=0.3))
        if drawn:
            width = float(np.clip(12 / np.sqrt(len(regions)), 0.15, 0.8))
            ax.add_collection(LineCollection(regions.edges, colors="white", lw=width))
        if borders:
            own = regions.labels[regions.owners]
            ax.add_collection(
                LineCollection(_borders(regions, own), colors=INK, lw=0.9, capstyle="round")
            )
        if points is not None:
            at = np.asarray(points)
            ax.plot(at[:, 0], at[:, 1], ".", color=INK, ms=2.5, alpha=0.6, mew=0)
        _frame(ax, regions.corners)
        ax.set_title(title)
    return ax


def region_colours(regions: SliceRegions, color: Any = "map") -> np.ndarray:
    """Return a colour for each cell of a slice.

    Parameters
    ----------
    regions : SliceRegions
        The cells.
    color : "map", "pieces", colour, or array-like with a row per cell, default="map"
        As in `linear_regions`.

    Returns
    -------
    numpy.ndarray of shape (cells, 3 or 4)
        RGB or RGBA in [0, 1].
    """
    if isinstance(color, str) and color == "map":
        slopes = regions.maps[:, :2].reshape(len(regions), -1)
        return place_colours(_ranked(_main_plane(slopes)))
    if isinstance(color, str) and color == "pieces":
        turn = 2 * np.pi * GOLDEN * regions.labels
        radius = 0.55 + 0.45 * ((regions.labels * GOLDEN**2) % 1.0)
        return place_colours(radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)]))
    return np.asarray(cell_colours(color, regions.maps[:, 2, :1].repeat(2, axis=1))[0])


def _main_plane(slopes: np.ndarray) -> np.ndarray:
    """Return slopes in their two main directions."""
    centred = slopes - slopes.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def _ranked(values: np.ndarray) -> np.ndarray:
    """Return ranks in [-1, 1] column by column, so that few steep maps leave colour to the rest."""
    ranks = np.argsort(np.argsort(values, axis=0), axis=0)
    return 2 * ranks / max(1, len(values) - 1) - 1


def _borders(regions: SliceRegions, own: np.ndarray) -> np.ndarray:
    """Return the edges between different linear pieces, and those of the domain."""
    from scipy.spatial import cKDTree

    middles = regions.edges.mean(axis=1)
    extent = float(np.ptp(regions.corners, axis=0).max())
    pairs = cKDTree(middles).query_pairs(1e-9 * extent, output_type="ndarray")
    inside = pairs[own[pairs[:, 0]] == own[pairs[:, 1]]].ravel()
    return np.delete(regions.edges, inside, axis=0)


def _frame(ax: Axes, corners: np.ndarray) -> None:
    """Show the domain and nothing else, in true proportions."""
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.tick_params(length=3)


def linear_surface(
    regions: SliceRegions, ax: Axes | None = None, *, color: Any = "map", title: str = ""
) -> Axes:
    """Draw what a network to space makes of a slice: a surface of flat pieces, one per cell.

    Parameters
    ----------
    regions : SliceRegions
        Cells of a network with three outputs.
    ax : matplotlib.axes.Axes, optional
        Three-dimensional axes; a new figure by default.
    color : "map", "pieces", colour, or array-like with a row per cell, default="map"
        As in `linear_regions`.
    title : str, default=""
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the network has not three outputs.
    """
    from matplotlib import pyplot
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    images = regions.images()
    if images.shape[1] != 3:
        raise ValueError(
            f"regions must be of a network with 3 outputs, got {images.shape[1]}; draw them with "
            "linear_regions."
        )
    polygons = np.split(images, regions.offsets[1:-1])
    with style():
        if ax is None:
            figure = pyplot.figure(figsize=(5.6, 5.2), layout="constrained")
            ax = figure.add_subplot(projection="3d")
        axes: Any = ax
        faces = Poly3DCollection(polygons, facecolors=region_colours(regions, color))
        faces.set_edgecolor((1, 1, 1, 0.55))
        faces.set_linewidth(0.35)
        axes.add_collection3d(faces)
        low, high = images.min(axis=0), images.max(axis=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
        axes.set_box_aspect(np.maximum(high - low, 1e-9))
        axes.set_axis_off()
        axes.set_title(title)
    return axes


def path_values(
    pieces: PathPieces, ax: Axes | None = None, *, outputs: int = 6, title: str = ""
) -> Axes:
    """Draw the outputs of a network along a path, with its breakpoints as ticks below.

    Parameters
    ----------
    pieces : PathPieces
        What `ot_latent.theory.rectified_linear.path_regions` or `line_regions` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    outputs : int, default=6
        How many outputs to draw: those that change most.
    title : str, default=""
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; the place on the path runs from 0 to the number of its segments.
    """
    at = np.append(pieces.segment + pieces.low, pieces.segment[-1] + pieces.high[-1])
    values = pieces.values()
    chosen = np.argsort(-np.ptp(values, axis=0), kind="stable")[:outputs]
    with style():
        ax = resolve_axes(ax, (7.0, 3.0))
        for rank, output in enumerate(chosen):
            share = rank / max(1, len(chosen) - 1)
            ax.plot(at, values[:, output], color=_blend(share), lw=1.3)
        ax.plot(
            pieces.breakpoints,
            np.zeros(len(pieces.breakpoints)),
            "|",
            transform=ax.get_xaxis_transform(),
            color=SOFT,
            ms=9,
            mew=0.4,
            clip_on=False,
        )
        ax.set(xlabel="place on the path", ylabel="output", xlim=(at[0], at[-1]))
        ax.set_title(title or f"{pieces.n_cells:,} cells, {pieces.n_pieces:,} linear pieces")
    return ax


def _blend(share: float) -> np.ndarray:
    """Return a colour between the package's two main ones."""
    from matplotlib.colors import to_rgb

    return (1 - share) * np.asarray(to_rgb(REAL)) + share * np.asarray(to_rgb(GENERATED))


def encoded_curve(encoding: CurveEncoding, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Draw a curve of the plane in the colours of its code, and mark where the code turns back.

    Parameters
    ----------
    encoding : CurveEncoding
        What `ot_latent.theory.rectified_linear.encodes` returns for a curve of the plane.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, default=""
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in the plane of the curve.

    Raises
    ------
    ValueError
        If the curve does not lie in a plane.
    """
    from matplotlib.collections import LineCollection

    points = encoding.path.points()
    if points.shape[1] != 2:
        raise ValueError(
            f"encoding must be of a curve of the plane, got {points.shape[1]} coordinates; draw "
            "its path with path_values."
        )
    code = encoding.path.values()[:, 0]
    lines = np.stack([points[:-1], points[1:]], axis=1)
    with style():
        ax = resolve_axes(ax, (3.2, 3.4))
        drawn = LineCollection(lines, cmap="viridis", lw=2.2, capstyle="round")
        drawn.set_array((code[1:] + code[:-1]) / 2)
        ax.add_collection(drawn)
        if len(encoding.folds):
            ax.plot(*encoding.folds.T, "o", color="#CC3311", ms=3.2, mew=0.5, mec="white")
        pad = 0.05 * float(np.ptp(points, axis=0).max())
        (left, bottom), (right, top) = points.min(axis=0) - pad, points.max(axis=0) + pad
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_title(title, color=INK if encoding.injective else "#CC3311", fontsize=9.5)
    return ax
