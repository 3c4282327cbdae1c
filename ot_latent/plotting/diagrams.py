"""Pictures of power diagrams in the plane: cells, sites, centroids, and where the map is torn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent.plotting.style import INK, resolve_axes, style
from ot_latent.plotting.tints import cell_colours
from ot_latent.tears import facet_segments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_latent.transport.power_diagram import PowerDiagram

MANY = 20_000  # more cells than this are drawn without their outlines
FULL_JUMP = 8.0  # jumps this many times the median are drawn with full strength
LINE, DOT = "#ffffff", INK
MARGIN = 0.02  # of the domain's width


def power_diagram(
    diagram: PowerDiagram,
    ax: Axes | None = None,
    *,
    color: Any = None,
    limits: tuple[float, float] | None = None,
    bar: str = "",
    edges: bool | None = None,
    sites: bool = False,
    centroids: bool = False,
    arrows: bool = False,
    singular_set: bool = False,
    title: str = "",
) -> Axes:
    r"""Draw the exact cells of a power diagram in the plane.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    color : None, colour, or array-like with a row per cell
        None: a colour by the place of the target, so that close targets look alike. Integers and
        strings: classes. Floats: values on a colour scale. (N, 3) or (N, 4): the colours.
    limits : tuple of float, optional
        Values at the ends of the colour scale.
    bar : str, default=""
        Caption of a bar that explains values; none is drawn without it.
    edges : bool, optional
        Whether to outline the cells; by default where there are at most 20,000.
    sites, centroids : bool, default=False
        Whether to mark targets (dots) and centroids (rings).
    arrows : bool, default=False
        Whether to draw an arrow from each target to the centroid of its cell.
    singular_set : bool, default=False
        Whether to draw the set where :math:`\nabla u` jumps: each edge as strong as the jump
        :math:`|y_i - y_j|` over the median of all jumps.
    title : str, default=""
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in the coordinates of the source.

    Raises
    ------
    ValueError
        If the diagram is three-dimensional.
    """
    from matplotlib.collections import PolyCollection

    points = diagram.potential.points.detach().cpu().double().numpy()
    polygons, held = cell_polygons(diagram)
    colours, scale = cell_colours(color, points, limits)
    with style():
        ax = resolve_axes(ax, (5.2, 5.2))
        # outlined in their own colour: no seams between the fills
        faces = colours[held]
        ax.add_collection(PolyCollection(polygons, facecolors=faces, edgecolors=faces, lw=0.3))
        _draw_edges(ax, diagram, edges, singular_set)
        _draw_marks(ax, diagram, points, (sites, centroids, arrows))
        _frame(ax, diagram, points if sites or arrows else points[:0])
        ax.set_title(title)
        if bar and scale is not None:
            ax.figure.colorbar(scale, ax=ax, label=bar, shrink=0.8, pad=0.02)
    return ax


def cell_polygons(diagram: PowerDiagram) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the corners of every cell that is not empty, and which cells these are.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.

    Returns
    -------
    polygons : list of ndarray of shape (m, 2)
        Corners, counter-clockwise.
    held : ndarray of shape (n,)
        Indices of the cells.
    """
    vertices, offsets, _ = diagram.polygons()
    held = np.flatnonzero(np.diff(offsets) > 2)
    return [vertices[offsets[j] : offsets[j + 1]] for j in held], held


def _draw_edges(ax: Axes, diagram: PowerDiagram, edges: bool | None, singular: bool) -> None:
    """Draw outlines, or the singular set by the strength of its jumps."""
    from matplotlib.collections import LineCollection

    count = len(diagram.masses)
    if not (singular or (edges if edges is not None else count <= MANY)):
        return
    segments, pairs = facet_segments(diagram)
    width = float(np.clip(14 / np.sqrt(count), 0.12, 1.4))
    if not singular:
        ax.add_collection(LineCollection(segments, colors=LINE, linewidths=width))
        return
    strength = jump_strength(diagram, pairs)
    turn = np.argsort(strength)  # the strongest on top
    colours = np.tile([0.07, 0.08, 0.11, 1.0], (len(turn), 1))
    colours[:, 3] = 0.12 + 0.88 * strength[turn]
    widths = max(width, 0.3) * (0.5 + 2.2 * strength[turn])
    lines = LineCollection(segments[turn], colors=colours, linewidths=widths, capstyle="round")
    ax.add_collection(lines)


def jump_strength(diagram: PowerDiagram, pairs: np.ndarray) -> np.ndarray:
    """Return how strongly the map is torn between cells, 0 at the median jump and 1 far above.

    Parameters
    ----------
    diagram : PowerDiagram
        The cells.
    pairs : ndarray of shape (F, 2)
        Neighbours.

    Returns
    -------
    ndarray of shape (F,)
        Logarithm of the jump over the median, in [0, 1]: 1 from eight times the median on.
    """
    points = diagram.potential.points.detach().cpu().double().numpy()
    jumps = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    middle = float(np.median(jumps)) if len(jumps) else 1.0
    return np.clip(np.log(jumps / middle) / np.log(FULL_JUMP), 0, 1)


def _draw_marks(
    ax: Axes, diagram: PowerDiagram, points: np.ndarray, which: tuple[bool, bool, bool]
) -> None:
    """Mark targets and centroids, and join them by arrows."""
    sites, centroids, arrows = which
    means = diagram.centroids.numpy()
    held = ~diagram.empty.numpy()
    size = float(np.clip(6000 / len(points), 0.5, 22))
    if arrows:
        moves = (means - points)[held]
        ax.quiver(*points[held].T, *moves.T, angles="xy", scale_units="xy", scale=1, color=INK,
                  width=0.0028, headwidth=4.5, headlength=6, headaxislength=5.4, alpha=0.75,
                  zorder=3)  # fmt: skip
    if sites:
        ax.scatter(*points.T, s=size, c=DOT, linewidths=0, zorder=4)
    if centroids:
        ax.scatter(*means[held].T, s=size, facecolors="white", edgecolors=DOT,
                   linewidths=0.1 * np.sqrt(size) + 0.2, zorder=4)  # fmt: skip


def _frame(ax: Axes, diagram: PowerDiagram, points: np.ndarray) -> None:
    """Show the whole domain and the points on equal scales, without ticks."""
    corners = np.concatenate([diagram.polygons()[0], points])
    low, high = corners.min(axis=0), corners.max(axis=0)
    pad = MARGIN * float((high - low).max())
    ax.set_xlim(low[0] - pad, high[0] + pad)
    ax.set_ylim(low[1] - pad, high[1] + pad)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
