"""A Brenier potential and its Legendre dual as one plate: two polyhedra over their shadows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ot_latent.plotting.diagrams import cell_polygons
from ot_latent.plotting.style import INK, SOFT, style
from ot_latent.plotting.tints import cell_colours
from ot_latent.tears import facet_segments

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d.axes3d import Axes3D

    from ot_latent.transport.power_diagram import PowerDiagram
    from ot_latent.transport.triangulation import RegularTriangulation

HEIGHT, GAP = 0.36, 0.95  # of a surface, and from it to its shadow, in widths of the picture
ELEVATION, AZIMUTH = 36, -63
LIGHT = (-0.35, -0.25, 0.9)  # towards the light
DEPTH = 0.25  # how much darker a face turned away by a right angle is
DARK = 0.55  # share of their colour that edges and vertices keep
UNPAIRED = "#c4c9d1"  # what has no partner inside the domain
NAMED = 40  # more cells than this are not numbered
Array = np.ndarray


class Polyhedron(NamedTuple):
    """A surface of flat faces over the plane, each part in its colour.

    Attributes
    ----------
    faces : list of ndarray of shape (m, 3)
        Corners of each face.
    face_colours : ndarray of shape (F, 3)
        RGB.
    edges : ndarray of shape (E, 2, 3)
        Both ends of each edge.
    edge_colours : ndarray of shape (E, 3)
        RGB.
    corners : ndarray of shape (V, 3)
        Vertices to mark.
    corner_colours : ndarray of shape (V, 3)
        RGB.
    """

    faces: list[Array]
    face_colours: Array
    edges: Array
    edge_colours: Array
    corners: Array
    corner_colours: Array


def brenier_potential(diagram: PowerDiagram, *, color: Any = None, title: str = "") -> Figure:
    r"""Draw a potential in the plane and its Legendre dual, paired by colour; for about 12 cells.

    Left the graph of :math:`u(x) = \max_j \langle x, y_j\rangle + h_j` over the domain, with the
    power diagram as its shadow; right the graph of :math:`u^*`, the lower hull of the points
    :math:`(y_j, -h_j)`, with the weighted Delaunay triangulation as its shadow. A face of either
    has the colour of the vertex of the other that it is dual to, and so have edges: the edge
    between the cells i and j, and the edge from :math:`y_i` to :math:`y_j`. What is dual to
    something outside the domain is grey.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.
    color : None, colour, or array-like with a row per cell
        As in `power_diagram`.
    title : str, default=""
        Heading of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with two axes in three dimensions.

    Raises
    ------
    ValueError
        If the diagram is three-dimensional.
    """
    from matplotlib.figure import Figure

    primal, dual = polyhedra(diagram, color)
    with style():
        figure = Figure(figsize=(11.0, 6.6))
        for k, (part, heading) in enumerate(
            [
                (primal, r"$u(x)=\max_j\ \langle x,y_j\rangle+h_j$  over its power diagram"),
                (dual, r"$u^*(y)$, lower hull of $(y_j,-h_j)$, over its triangulation"),
            ]
        ):
            ax = figure.add_axes(
                (0.5 * k, -0.02, 0.5, 0.97), projection="3d", computed_zorder=False
            )
            _draw(ax, part)
            figure.text(0.25 + 0.5 * k, 0.04, heading, ha="center", fontsize=12, color=INK)
        means = diagram.centroids.numpy()
        _number(figure.axes[0], primal, means, ~diagram.empty.numpy())
        sites = _sites(diagram)
        _number(figure.axes[1], dual, sites, np.ones(len(sites), dtype=bool), dy=0.07)
        if title:
            figure.text(0.02, 0.955, title, fontsize=15, weight="bold")
    return figure


def polyhedra(diagram: PowerDiagram, color: Any = None) -> tuple[Polyhedron, Polyhedron]:
    """Return the graphs of the potential and of its Legendre dual, coloured in pairs.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.
    color : None, colour, or array-like with a row per cell
        As in `power_diagram`.

    Returns
    -------
    primal, dual : Polyhedron
        Both graphs; faces of one are vertices of the other.
    """
    from ot_latent.transport.triangulation import RegularTriangulation

    triangulation = RegularTriangulation(diagram.potential)
    colours = cell_colours(color, _sites(diagram))[0][:, :3]
    return _primal(diagram, triangulation, colours), _dual(diagram, triangulation, colours)


def _sites(diagram: PowerDiagram) -> Array:
    """Return the targets."""
    return diagram.potential.points.detach().cpu().double().numpy()


def _lifted(diagram: PowerDiagram, places: Array) -> Array:
    """Return places with the value of the potential as third coordinate."""
    flat = places.reshape(-1, 2)
    heights = diagram.potential.heights.detach().cpu().double().numpy()
    values = (flat @ _sites(diagram).T + heights).max(axis=1)
    return np.concatenate([flat, values[:, None]], axis=1).reshape(*places.shape[:-1], 3)


def _inside(diagram: PowerDiagram, triangulation: RegularTriangulation) -> Array:
    """Return which vertices of the unbounded diagram lie in the domain."""
    places = triangulation.vertices.numpy()
    corners = diagram.polygons()[0]
    near = np.linalg.norm(places[:, None] - corners[None], axis=2).min(axis=1)
    return near < 1e-9 * np.ptp(corners)


def _primal(
    diagram: PowerDiagram, triangulation: RegularTriangulation, colours: Array
) -> Polyhedron:
    """Return the graph of the potential over the domain."""
    polygons, held = cell_polygons(diagram)
    segments, pairs = facet_segments(diagram)
    inside = _inside(diagram, triangulation)
    mixed = colours[triangulation.simplices.numpy()].mean(axis=1)[inside]
    return Polyhedron(
        [_lifted(diagram, p) for p in polygons],
        colours[held],
        _lifted(diagram, segments),
        DARK * colours[pairs].mean(axis=1),
        _lifted(diagram, triangulation.vertices.numpy()[inside]),
        mixed,
    )


def _dual(diagram: PowerDiagram, triangulation: RegularTriangulation, colours: Array) -> Polyhedron:
    """Return the lower hull of the targets at minus their heights."""
    from matplotlib.colors import to_rgb

    grey = np.array(to_rgb(UNPAIRED))
    heights = diagram.potential.heights.detach().cpu().double().numpy()
    lifted = np.concatenate([_sites(diagram), -heights[:, None]], axis=1)
    simplices, edges = triangulation.simplices.numpy(), triangulation.edges.numpy()
    mixed = colours[simplices].mean(axis=1)
    mixed[~_inside(diagram, triangulation)] = 0.35 * grey + 0.65
    held = {tuple(pair) for pair in facet_segments(diagram)[1].tolist()}
    paired = np.array([tuple(edge) in held for edge in edges.tolist()], dtype=bool)
    edge_colours = np.where(paired[:, None], DARK * colours[edges].mean(axis=1), grey)
    shown = ~triangulation.hidden.numpy()
    return Polyhedron(
        list(lifted[simplices]), mixed, lifted[edges], edge_colours, lifted[shown], colours[shown]
    )


def _shaded(part: Polyhedron, stretch: Array) -> Array:
    """Return the colours of the faces under the light."""
    light = np.array(LIGHT) / np.linalg.norm(LIGHT)
    level = np.ones(len(part.faces))
    for k, face in enumerate(part.faces):
        scaled = face * stretch
        normal = np.cross(scaled, np.roll(scaled, -1, axis=0)).sum(axis=0)
        level[k] = abs(normal @ light) / max(np.linalg.norm(normal), 1e-300)
    return part.face_colours * (1 - DEPTH + DEPTH * level / max(level.max(), 1e-9))[:, None]


def _floor(part: Polyhedron) -> tuple[float, Array, Array]:
    """Return the height of the shadow, and the lowest and highest corner of the surface."""
    corners = np.concatenate(part.faces)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return low[2] - GAP / HEIGHT * max(high[2] - low[2], 1e-12), low, high


def _draw(ax: Axes3D, part: Polyhedron) -> None:
    """Draw a surface, its shadow, and the lines in which its vertices fall."""
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

    floor, low, high = _floor(part)
    width = max(high[0] - low[0], high[1] - low[1])
    stretch = np.array([1 / width, 1 / width, HEIGHT / max(high[2] - low[2], 1e-12)])

    def dropped(rows: Array) -> Array:
        return np.concatenate([rows[..., :2], np.full((*rows.shape[:-1], 1), floor)], axis=-1)

    for faces, edges, colours, layer in (
        ([dropped(f) for f in part.faces], dropped(part.edges), part.face_colours, 1),
        (part.faces, part.edges, _shaded(part, stretch), 4),
    ):
        ax.add_collection3d(
            Poly3DCollection(faces, facecolors=colours, edgecolors=colours, lw=0.4, zorder=layer)
        )
        ax.add_collection3d(
            Line3DCollection(edges, colors=part.edge_colours, linewidths=1.7, zorder=layer + 1,
                             capstyle="round")
        )  # fmt: skip
        corners = dropped(part.corners) if layer == 1 else part.corners
        ax.scatter(*corners.T, s=34, c=part.corner_colours, edgecolors=INK, linewidths=0.9,
                   depthshade=False, zorder=layer + 2)  # fmt: skip
    falls = np.stack([part.corners, dropped(part.corners)], axis=1)
    ax.add_collection3d(
        Line3DCollection(falls, colors=SOFT, linewidths=0.6, linestyles=(0, (3, 3)), zorder=3.5)
    )
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(floor, high[2]))
    ax.set_box_aspect(
        ((high[0] - low[0]) / width, (high[1] - low[1]) / width, HEIGHT + GAP), zoom=0.98
    )
    ax.view_init(ELEVATION, AZIMUTH)
    ax.set_proj_type("ortho")
    ax.set_axis_off()


def _number(ax: Any, part: Polyhedron, places: Array, held: Array, *, dy: float = 0.0) -> None:
    """Write the number of each cell beside its place in the shadow."""
    floor, low, high = _floor(part)
    for j in np.flatnonzero(held) if len(held) <= NAMED else []:
        ax.text(places[j, 0], places[j, 1] + dy * (high[1] - low[1]), floor, str(j + 1), fontsize=9,
                color=INK, ha="center", va="center", zorder=9)  # fmt: skip
