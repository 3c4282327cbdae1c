"""Newton's iterations as a strip and as a film: cells from their start to their target masses."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent import _files
from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.plotting.diagrams import power_diagram
from ot_latent.plotting.style import SOFT, style

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from ot_latent.transport.power_diagram import PowerDiagram

OCTAVES = 2.0  # masses four times too large or too small have the full colour
COLOURS = "RdBu_r"
BAR = "cell mass / target mass"


def newton_strip(
    states: Sequence[Any], weights: Any = None, *, columns: int = 5, title: str = ""
) -> Figure:
    """Draw the cells after some of the steps of a solve, with the error under each.

    Parameters
    ----------
    states : sequence of PowerDiagram or DampedNewtonState
        Cells in the plane, from the start on.
    weights : array-like of shape (N,), optional
        Target masses; by default those of the states, for bare diagrams equal ones.
    columns : int, default=5
        Largest number of panels: the first, the last, and some between them, evenly spaced.
    title : str, default=""
        Heading of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: panels in a row, a scale under them. Red cells have too much, blue too little.

    Raises
    ------
    DataError
        If there are no states, or they do not fit the weights.
    ValueError
        If `columns` is not positive, or the cells are not in the plane.

    Examples
    --------
    >>> from ot_latent.transport import DampedNewton, DiscreteMeasure, UniformBox
    >>> nu = DiscreteMeasure.uniform([[0.1, 0.2], [0.3, 0.9], [0.8, 0.4]])
    >>> states = [DampedNewton().init(UniformBox.unit(2), nu)]
    >>> _ = DampedNewton().solve(UniformBox.unit(2), nu, callback=states.append)
    >>> figure = newton_strip(states)
    """
    from matplotlib.figure import Figure

    check_positive(columns, "columns", integer=True)
    diagrams, nu = _unpacked(states, weights)
    count = min(columns, len(diagrams))
    shown = np.unique(np.linspace(0, len(diagrams) - 1, count).round().astype(int))
    with style():
        figure = Figure(figsize=(2.5 * len(shown), 3.6 + 0.3 * bool(title)), layout="constrained")
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for ax, k in zip(panels, shown, strict=True):
            draw_masses(ax, diagrams[k], nu, _name(int(k)))
        _bar(figure, panels)
        if title:
            figure.suptitle(title, fontsize=14, weight="bold")
    return figure


def newton_gif(
    states: Sequence[Any],
    path: str | os.PathLike[str],
    weights: Any = None,
    *,
    between: int = 4,
    seconds: float = 0.6,
    pixels: int = 480,
) -> None:
    """Write the steps of a solve as an animated picture (GIF), the whole file or none.

    Between two states the heights move in a straight line, as they do along a Newton step.

    Parameters
    ----------
    states, weights
        As in `newton_strip`.
    path : path
        The file; its folder must exist.
    between : int, default=4
        Pictures between two states; their cells are computed.
    seconds : float, default=0.6
        Time from one state to the next; the last is shown four times as long.
    pixels : int, default=480
        Width; the height is a sixth more.

    Raises
    ------
    DataError
        If there are no states, or they do not fit the weights.
    ValueError
        If a number is negative, `pixels` or `seconds` is zero, or the cells are not in the plane.
    SaveError
        If the file cannot be written; an older one is unchanged.
    """
    from pathlib import Path

    check_positive(pixels, "pixels", integer=True)
    check_positive(seconds, "seconds")
    if between < 0:
        raise ValueError(f"between must be 0 or more, got {between}; 0 shows the states alone.")
    diagrams, nu = _unpacked(states, weights)
    frames = []
    for k, diagram in enumerate(diagrams):
        frames.append(_frame(diagram, nu, _name(k), pixels))
        if k + 1 < len(diagrams):
            steps = np.arange(1, between + 1) / (between + 1)
            moved = [_moved(diagram, diagrams[k + 1], t) for t in steps]
            frames += [_frame(d, nu, f"to {_name(k + 1)}", pixels) for d in moved]
    pause = round(1000 * seconds / (between + 1))
    durations = [pause] * (len(frames) - 1) + [round(4000 * seconds)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations,
                   loop=0, optimize=True)  # fmt: skip
    _files.write_bytes(Path(path), buffer.getvalue())


def draw_masses(ax: Axes, diagram: PowerDiagram, weights: np.ndarray, name: str) -> None:
    """Draw cells coloured by their masses over the target masses, and write the largest error.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    diagram : PowerDiagram
        Cells in the plane.
    weights : ndarray of shape (N,)
        Target masses.
    name : str
        Heading.
    """
    ratio = diagram.masses.numpy() / weights
    octaves = np.log2(np.maximum(ratio, 2.0 ** (-2 * OCTAVES)))
    power_diagram(diagram, ax, color=_scale().to_rgba(octaves), sites=True)
    ax.set_title(name, fontsize=10.5)
    error = float(np.abs(ratio - 1).max())
    ax.text(0.5, -0.02, f"largest error {_short(error)}", transform=ax.transAxes, ha="center",
            va="top", fontsize=9.5, color=SOFT)  # fmt: skip


def _unpacked(states: Sequence[Any], weights: Any) -> tuple[list[PowerDiagram], np.ndarray]:
    """Return diagrams and target masses."""
    if len(states) == 0:
        raise DataError("states must hold at least one state or diagram, got none; pass `init`'s.")
    diagrams = [getattr(state, "diagram", state) for state in states]
    count = len(diagrams[0].masses)
    if weights is None:
        weights = getattr(states[0], "weights", np.full(count, 1 / count))
    nu = check_array(weights, "weights", ndim=1)
    if any(len(d.masses) != len(nu) for d in diagrams):
        raise DataError(
            f"weights must have one entry per cell of every state, got {len(nu)} for "
            f"{sorted({len(d.masses) for d in diagrams})}; pass states of one solve."
        )
    return diagrams, nu


def _name(k: int) -> str:
    """Return what a state is called."""
    return f"step {k}" if k else "start"


def _short(error: float) -> str:
    """Return an error in percent, or as a power of ten where it is too small for that."""
    if error >= 1e-3:
        return f"{100 * error:.2g} %" if error < 0.995 else f"{100 * error:.0f} %"
    power = int(np.floor(np.log10(max(error, 1e-300))))
    return rf"$10^{{{power}}}$" if error > 0 else "0"


def _scale() -> ScalarMappable:
    """Return the colours of masses: the logarithm of the ratio to base two."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(-OCTAVES, OCTAVES), COLOURS)


def _bar(figure: Figure, panels: np.ndarray) -> None:
    """Explain the colours under the panels."""
    bar = figure.colorbar(_scale(), ax=panels.tolist(), location="bottom", shrink=0.45, aspect=40,
                          pad=0.02, ticks=[-2, -1, 0, 1, 2])  # fmt: skip
    bar.set_ticklabels(["¼", "½", "1", "2", "4"])
    bar.set_label(BAR)
    bar.outline.set_visible(False)


def _moved(first: PowerDiagram, second: PowerDiagram, share: float) -> PowerDiagram:
    """Return the cells of heights between those of two diagrams."""
    from ot_latent.transport.potential import BrenierPotential

    start, end = first.potential.heights, second.potential.heights
    between = BrenierPotential(first.potential.points, start + share * (end - start))
    return type(first)(first.source, between, neighbours=first.neighbours)


def _frame(diagram: PowerDiagram, weights: np.ndarray, name: str, pixels: int) -> Any:
    """Return one picture of the film."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with style():
        figure = Figure(figsize=(4.0, 14 / 3), dpi=pixels / 4)
        ax = figure.add_axes((0.03, 0.075, 0.94, 0.94 * 6 / 7))
        draw_masses(ax, diagram, weights, name)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
    return Image.fromarray(picture).quantize(128, dither=Image.Dither.NONE)
