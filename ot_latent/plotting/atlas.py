"""The atlas of a two-dimensional model as one figure of four panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent.plotting.cells import codes_2d, draw_cells
from ot_latent.plotting.images import as_colour, mosaic, show
from ot_latent.plotting.style import INK, SOFT, class_colours, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ot_latent.atlas import Atlas, Panel, Reading

HEADINGS = {
    "a": "a   The codes of the data",
    "b": "b   The noise square, one cell per code",
    "c": "c   A grid of noise through the map",
    "d": "d   The same grid through a Gaussian",
}
PAPER, DOUBT = (1.0, 1.0, 1.0), (0.12, 0.13, 0.16)  # behind a tile; behind an ambiguous one
DOUBTFUL_INK = (1.0, 1.0, 1.0)


def atlas(data: Atlas, *, names: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw the atlas of a two-dimensional model: four panels, with their numbers under them.

    (a) the codes by class; (b) the noise square cut into cells of equal mass, in the same colours,
    tears black; (c) a regular grid of noise through the map, decoded; (d) the same grid through the
    Gaussian with the codes' moments, decoded. Grey images are printed in the colour of the class
    that the classifier sees, ambiguous ones white on black.

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
        figure = Figure(figsize=(10.0, 12.4))
        sides = {"a": (0.015, 0.56), "b": (0.515, 0.56), "c": (0.015, 0.106), "d": (0.515, 0.106)}
        places = {key: figure.add_axes((*at, 0.47, 0.379)) for key, at in sides.items()}
        codes_2d(data.codes, data.labels, legend=False, ax=places["a"])
        places["a"].set_xticks([])
        places["a"].set_yticks([])
        places["a"].spines[:].set_visible(False)
        draw_cells(places["b"], data.cells, data.labels, len(data.codes))
        colours = _colours(data)
        for key, panel in (("c", data.mapped), ("d", data.gaussian)):
            show(places[key], tile_sheet(panel, colours, columns=data.side))
        _words(figure, places, data)
        _legend(figure, data, names, title)
    return figure


def tile_sheet(panel: Panel, colours: np.ndarray, *, columns: int) -> np.ndarray:
    """Lay a panel's images out; grey ones are printed in their classes' colours.

    Parameters
    ----------
    panel : Panel
        Images and what the classifier takes them for.
    colours : ndarray of shape (K, 3)
        Colour of each class, in [0, 1].
    columns : int
        Images in a row.

    Returns
    -------
    ndarray of shape (H, W, 3)
        Unsigned bytes.
    """
    tiles = as_colour(panel.tiles)
    if np.ptp(tiles, axis=-1).max() > 0:  # coloured already
        return mosaic(tiles, columns=columns, padding=0)
    unsure = panel.unsure[:, None]
    ink = np.where(unsure, DOUBTFUL_INK, colours[panel.classes])[:, None, None]
    paper = np.where(unsure, DOUBT, PAPER)[:, None, None]
    return mosaic(paper + tiles * (ink - paper), columns=columns, padding=0)


def _colours(data: Atlas) -> np.ndarray:
    """Return the colour of each class of the classifier."""
    classes = np.arange(len(data.data_shares)) if data.labels is None else data.labels
    return np.asarray(list(class_colours(classes).values()))


def _words(figure: Figure, places: dict[str, Axes], data: Atlas) -> None:
    """Write headings and numbers."""
    lines = {
        "a": f"{len(data.codes):,} images, two numbers each; the colour is the class",
        "b": _mass_line(data),
        "c": _panel_line(data.mapped, data),
        "d": _panel_line(data.gaussian, data),
    }
    for key, ax in places.items():
        ax.set_title(HEADINGS[key], fontsize=14)
        box = ax.get_position()
        figure.text(box.x0 + box.width / 2, box.y0 - 0.007, lines[key], ha="center", va="top",
                    fontsize=11.5, color=INK, linespacing=1.4)  # fmt: skip


def _mass_line(data: Atlas) -> str:
    """Say how equal the masses are."""
    text = f"{len(data.codes):,} cells, tears black"
    rms, low, high = data.mass_rms
    if np.isfinite(data.mass_error):
        text += f"\nlargest relative mass error {_short(data.mass_error)}"
    if np.isfinite(rms):
        text += f"; rms {_percent(rms)} % ({_percent(low)} to {_percent(high)})"
    return text


def _short(share: float) -> str:
    """Return a share in percent, or as a power of ten where it is too small for that."""
    if share >= 5e-5 or share == 0:
        return f"{_percent(share)} %"
    digit, power = f"{share:.0e}".split("e")
    return rf"${digit}\times 10^{{{int(power)}}}$"


def _percent(share: float) -> str:
    """Return a share in percent, with two digits or all before the point."""
    return f"{100 * share:.2g}" if share < 0.995 else f"{100 * share:.0f}"


def _panel_line(panel: Panel, data: Atlas) -> str:
    """Say how many tiles are ambiguous, how far the shares are off, and the distance."""
    text = f"ambiguous {100 * panel.ambiguous:.1f} %"
    if np.isfinite(panel.frechet):
        text += f"     Fréchet distance {panel.frechet:.3g}"
    if panel.fine is not None:
        side = round(panel.fine.n**0.5)
        text += f"\nof {side} x {side} tiles, {_with_error(panel.fine)} ambiguous"
    text += f"\nclass shares off by {panel.share_error:.1f} standard errors"
    if panel is data.mapped and np.isfinite(data.cell_share_error):
        text += f" (cells: {data.cell_share_error:.1f})"
    return text


def _with_error(reading: Reading) -> str:
    """Return a share of ambiguous images with its standard error."""
    return f"{100 * reading.ambiguous:.2f} ± {100 * reading.error:.2f} %"


def _legend(figure: Figure, data: Atlas, names: Sequence[str] | None, title: str) -> None:
    """Name the classes, and say what ambiguous means."""
    from matplotlib.lines import Line2D

    if title:
        figure.text(0.015, 0.985, title, fontsize=16, weight="bold", va="top")
    if data.labels is not None:
        colours: dict[Any, Any] = class_colours(data.labels)
        words = names if names is not None else [str(k) for k in colours]
        marks = [
            Line2D([], [], ls="", marker="o", ms=9, color=colour, label=word)
            for word, colour in zip(words, colours.values(), strict=True)
        ]
        if len(marks) <= 12:
            size = (
                11.5 if sum(len(str(word)) for word in words) < 50 else 10.0
            )  # one line, all on it
            figure.legend(handles=marks, loc="upper right", ncols=len(marks), fontsize=size,
                          bbox_to_anchor=(0.99, 0.992), handletextpad=0.0, columnspacing=0.9)  # fmt: skip
    level = data.reconstructed
    figure.text(0.5, 0.006, "Ambiguous (white on black): the classifier is less sure than on 99 % of "
                "real images. Reconstructed held-out images:\n"
                f"{_with_error(level.reading)} ambiguous, class shares off by "
                f"{level.share_error * (data.mapped.n / level.n) ** 0.5:.1f} standard errors of a grid.",
                ha="center", va="bottom", fontsize=10.5, color=SOFT, linespacing=1.4)  # fmt: skip
