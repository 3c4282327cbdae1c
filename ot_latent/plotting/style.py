"""One look for every figure: colours, fonts and line widths, applied without touching globals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import check_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Paul Tol's "muted" scheme (distinct under the common colour-vision deficiencies) and a grey.
PALETTE = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#8A8A8A",
)  # fmt: skip
INK = "#1f2430"
SOFT = "#6b7280"
GRID = "#e5e7eb"
REAL = "#332288"
GENERATED = "#CC6677"
BASELINE = "#9aa1ad"
CEILING = "#117733"

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 120,
    "savefig.dpi": 160,
    "font.size": 10.0,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.facecolor": "white",
    "axes.edgecolor": "#9aa1ad",
    "axes.labelcolor": INK,
    "axes.labelsize": 10.0,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "image.interpolation": "nearest",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the package's look inside a ``with`` block and restore what was there after it.

    Yields
    ------
    None
        Nothing; matplotlib's settings are in force inside the block only.

    Examples
    --------
    >>> import matplotlib
    >>> before = matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.linewidth"]
    >>> with style():
    ...     inside = matplotlib.rcParams["axes.titlelocation"]
    >>> inside, before == (matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.linewidth"])
    ('left', True)
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def resolve_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure where it is None.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        Axes of the caller.
    size : tuple of float
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Where to draw.
    """
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def close(figure: Any) -> None:
    """Release a figure that `resolve_axes` made, once it is written.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    """
    from matplotlib import pyplot

    pyplot.close(figure)


def to_svg(figure: Any) -> bytes:
    """Return a figure as SVG, letters drawn as outlines; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it is released.

    Returns
    -------
    bytes
        The file.
    """
    import io

    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "ot_latent", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    close(figure)
    return buffer.getvalue()


def class_colours(classes: Sequence[Any] | np.ndarray) -> dict[Any, tuple[float, float, float]]:
    """Give each class its colour, in the order of the sorted classes.

    Parameters
    ----------
    classes : sequence
        Labels, repeated or not.

    Returns
    -------
    dict
        Class to RGB triple in [0, 1]; after ten classes the colours return lighter.

    Examples
    --------
    >>> colours = class_colours([3, 1, 3])
    >>> sorted(colours), colours[1] == class_colours([1, 2])[1]
    ([1, 3], True)
    """
    from matplotlib.colors import to_rgb

    found: dict[Any, tuple[float, float, float]] = {}
    for rank, label in enumerate(np.unique(np.asarray(classes)).tolist()):
        fade = min(0.25 * (rank // len(PALETTE)), 0.75)
        red, green, blue = to_rgb(PALETTE[rank % len(PALETTE)])
        found[label] = (
            red + (1 - red) * fade,
            green + (1 - green) * fade,
            blue + (1 - blue) * fade,
        )
    return found


def label_colours(labels: np.ndarray | None, n: int) -> np.ndarray:
    """Return one RGB row per label, or one colour for all where there are none.

    Parameters
    ----------
    labels : ndarray of shape (n,) or None
        Class labels.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n, 3)
        Colours in [0, 1].
    """
    from matplotlib.colors import to_rgb

    if labels is None:
        return np.tile(np.asarray(to_rgb(REAL)), (n, 1))
    values, position = np.unique(np.asarray(labels), return_inverse=True)
    colours = class_colours(values)
    return np.asarray([colours[v] for v in values.tolist()])[position]


def light_grid(ax: Axes, axis: str = "y") -> None:
    """Draw faint guide lines behind the data.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to change.
    axis : str, default="y"
        Which lines: "x", "y" or "both".
    """
    ax.grid(visible=True, axis=axis)  # type: ignore[arg-type]


def finite_values(values: Any, name: str) -> np.ndarray:
    """Return a flat float array, refused where it is empty or not finite.

    Parameters
    ----------
    values : array-like
        Numbers.
    name : str
        Name used in the refusal.

    Returns
    -------
    ndarray of shape (n,)
        The numbers.

    Raises
    ------
    DataError
        If there are none, or one is NaN or infinite.
    """
    return check_array(values, name).astype(np.float64).ravel()
