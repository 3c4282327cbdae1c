"""Power diagrams in space, drawn as slices: each is a power diagram in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import check_array, check_positive
from ot_latent.plotting.diagrams import power_diagram
from ot_latent.plotting.style import style
from ot_latent.plotting.tints import cell_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ot_latent.transport.potential import BrenierPotential
    from ot_latent.transport.power_diagram import PowerDiagram

PANEL = 2.6  # width of a slice, inches


def slice_diagram(potential: BrenierPotential, low: Any, high: Any, level: float) -> PowerDiagram:
    r"""Return the cells on the plane :math:`x_3 = t`, a power diagram of the plane.

    On it :math:`\langle x, y_j\rangle + h_j = x_1 y_{j1} + x_2 y_{j2} + (h_j + t\,y_{j3})`, so
    the slice has the sites :math:`(y_{j1}, y_{j2})` and the heights :math:`h_j + t\,y_{j3}`; cells
    that the plane misses are empty.

    Parameters
    ----------
    potential : BrenierPotential
        Potential in space.
    low, high : array-like of shape (2,) or (3,)
        Corners of the box; the first two coordinates are used.
    level : float
        The third coordinate t.

    Returns
    -------
    PowerDiagram
        Cells in the plane, in the order of the potential's points.

    Raises
    ------
    ValueError
        If the potential is not three-dimensional.

    Examples
    --------
    >>> from ot_latent.transport import BrenierPotential
    >>> u = BrenierPotential([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [0.0, -0.7, -0.5])
    >>> [slice_diagram(u, [0, 0], [1, 1], t).masses.round(decimals=6).tolist() for t in (0.5, 1.0)]
    [[0.5, 0.0, 0.5], [0.0, 0.8, 0.2]]
    """
    import torch

    from ot_latent.transport.potential import BrenierPotential
    from ot_latent.transport.power_diagram import PowerDiagram
    from ot_latent.transport.sources import UniformBox

    if potential.dim != 3:
        raise ValueError(
            f"potential must have dimension 3, got {potential.dim}; draw a potential in the plane "
            "with power_diagram."
        )
    points, heights = potential.points.detach().cpu().double(), potential.heights.detach().cpu()
    flat = BrenierPotential(points[:, :2], heights.double() + level * points[:, 2])
    ends = (torch.as_tensor(np.asarray(end, float)[:2]) for end in (low, high))
    box = UniformBox(*ends)
    return PowerDiagram(box, flat)


def power_slices(
    potential: BrenierPotential,
    low: Any,
    high: Any,
    *,
    levels: Any = 5,
    color: Any = None,
    columns: int = 5,
    title: str = "",
) -> Figure:
    """Draw the power cells of a box in space on planes of constant third coordinate.

    Parameters
    ----------
    potential : BrenierPotential
        Potential in space.
    low, high : array-like of shape (3,)
        Corners of the box.
    levels : int or array-like, default=5
        The planes, or how many: these lie in the middle of as many equal layers.
    color : None, colour, or array-like with a row per cell
        As in `power_diagram`; a cell has one colour on all slices.
    columns : int, default=5
        Slices in a row.
    title : str, default=""
        Heading of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with axes per slice.

    Raises
    ------
    ValueError
        If the potential or the box is not three-dimensional, or a number is not positive.
    """
    from matplotlib.figure import Figure

    check_positive(columns, "columns", integer=True)
    low, high = (np.asarray(corner, dtype=np.float64) for corner in (low, high))
    if low.shape != (3,) or high.shape != (3,):
        raise ValueError(
            f"low and high must have three entries each, got shapes {low.shape} and {high.shape}; "
            "pass the corners of a box in space."
        )
    if np.ndim(levels) == 0:
        check_positive(levels, "levels", integer=True)
        levels = low[2] + (np.arange(levels) + 0.5) / levels * (high[2] - low[2])
    planes = check_array(levels, "levels", ndim=1).astype(np.float64)
    diagrams = [slice_diagram(potential, low, high, float(t)) for t in planes]
    colours = cell_colours(color, potential.points.detach().cpu().double().numpy())[0]
    rows, columns = -(-len(planes) // columns), min(columns, len(planes))
    with style():
        figure = Figure(figsize=(PANEL * columns, (PANEL + 0.35) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, diagram, level in zip(panels, diagrams, planes, strict=False):
            power_diagram(diagram, ax, color=colours)
            ax.set_title(rf"$x_3 = {level:.3g}$", fontsize=11)
        for ax in panels[len(planes) :]:
            ax.set_axis_off()
        if title:
            figure.suptitle(title, fontsize=14, weight="bold")
    return figure
