"""Pictures of shallow networks: kinks on a line and in the plane, sizes of units, error rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_array
from ot_latent.plotting.style import INK, PALETTE, SOFT, light_grid, resolve_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_latent.theory.sparsity import ShallowNetwork

FAMILIES = (PALETTE[0], PALETTE[6], PALETTE[2], PALETTE[7], PALETTE[4], PALETTE[1])
THINNEST, WIDEST = 0.4, 4.5  # points


def line_fits(
    networks: Mapping[str, ShallowNetwork],
    x: Any,
    y: Any,
    *,
    margin: float = 0.08,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw functions of one variable with a mark at every kink, over the data that they fit.

    Parameters
    ----------
    networks : mapping of str to ShallowNetwork
        Networks of one input and one output, by name.
    x, y : array-like of shape (n,)
        The data.
    margin : float, default=0.08
        How far beyond the data the functions are drawn, as a share of their range.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    DataError
        If the data are not finite, or a network has more than one input.
    """
    x, y = check_array(x, "x").ravel(), check_array(y, "y").ravel()
    reach = margin * float(np.ptp(x))
    low, high = float(x.min()) - reach, float(x.max()) + reach
    with style():
        ax = resolve_axes(ax, (7.0, 3.6))
        for (name, net), colour in zip(networks.items(), FAMILIES * len(networks), strict=False):
            if net.incoming.shape[1] != 1:
                raise DataError(
                    f"networks must have one input, got {net.incoming.shape[1]}; draw those of two "
                    "with kink_map."
                )
            live = net.unit_norms() > 0
            kinks = -net.bias[live] / net.incoming[live, 0]
            kinks = np.sort(kinks[(kinks > low) & (kinks < high)])
            grid = np.unique(np.concatenate([np.linspace(low, high, 401), kinks]))
            ax.plot(grid, net(grid[:, None])[:, 0], color=colour, label=name, zorder=2)
            heights = net(kinks[:, None])[:, 0] if len(kinks) else kinks
            ax.plot(kinks, heights, "o", ms=4.5, mfc="white", color=colour, zorder=3)
        ax.plot(x, y, "x", ms=6, mew=1.6, color=INK, zorder=4, label="data")
        ax.set(xlabel="x", ylabel="f(x)", title=title, xlim=(low, high))
        ax.legend(loc="best")
    return ax


def unit_sizes(
    sizes: Mapping[str, Any], *, bound: int | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the sizes of units in falling order on a logarithmic scale, exact zeros on the floor.

    Parameters
    ----------
    sizes : mapping of str to array-like of shape (K,)
        Products of norms, as `ot_latent.theory.sparsity.unit_norms` returns them, by name.
    bound : int, optional
        Number of units that would do, drawn as a vertical line.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    DataError
        If sizes are not finite, or all are zero.
    """
    found = {name: np.sort(check_array(s, "sizes").ravel())[::-1] for name, s in sizes.items()}
    top = max(float(s[0]) for s in found.values())
    if top <= 0:
        raise DataError("sizes must hold a positive number, got zeros only; train the network.")
    floor = 1e-9 * top
    with style():
        ax = resolve_axes(ax, (7.0, 3.6))
        for (name, values), colour in zip(found.items(), FAMILIES * len(found), strict=False):
            rank = np.arange(1, len(values) + 1)
            ax.semilogy(rank, np.maximum(values, floor), "o-", ms=3.5, color=colour, label=name)
        if bound is not None:
            ax.axvline(bound, color=SOFT, ls="--", lw=1.2)
            ax.text(bound, 1.5 * top, f" {bound}", color=SOFT, va="bottom", fontsize=9)
        ax.set(xlabel="unit, by size", ylabel="|w| |v|", title=title, ylim=(0.5 * floor, 3 * top))
        ax.text(1, 1.6 * floor, "exactly zero", color=SOFT, fontsize=9, va="bottom")
        light_grid(ax)
        ax.legend(loc="center right")
    return ax


def kink_map(
    network: ShallowNetwork,
    points: Any = None,
    *,
    radius: float = 1.0,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a function of two variables as tints, and its kinks as lines as wide as they are sharp.

    Parameters
    ----------
    network : ShallowNetwork
        Two inputs, one output; merge its duplicates first, so that no kink is drawn twice.
    points : array-like of shape (n, 2), optional
        Data, drawn as dots.
    radius : float, default=1.0
        Half the side of the square that is drawn.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. Lines that bend upwards and downwards have two colours.

    Raises
    ------
    DataError
        If the network has not two inputs.
    """
    if network.incoming.shape[1] != 2:
        raise DataError(
            f"network must have two inputs, got {network.incoming.shape[1]}; draw one input with "
            "line_fits."
        )
    from matplotlib.collections import LineCollection

    side = np.linspace(-radius, radius, 161)
    plane = np.stack(np.meshgrid(side, side), -1)
    values = network(plane.reshape(-1, 2))[:, 0].reshape(plane.shape[:2])
    segments, sharpness = _chords(network, radius)
    widths = THINNEST + (WIDEST - THINNEST) * np.abs(sharpness) / np.abs(sharpness).max(
        initial=1e-12
    )
    colours = [PALETTE[0] if s > 0 else PALETTE[7] for s in sharpness]
    with style():
        ax = resolve_axes(ax, (4.6, 4.6))
        ax.contourf(side, side, values, levels=24, cmap="RdBu_r", alpha=0.45)
        ax.contour(side, side, values, levels=12, colors="white", linewidths=0.5)
        ax.add_collection(LineCollection(segments, linewidths=widths, colors=colours, alpha=0.9))
        if points is not None:
            ax.plot(
                *check_array(points, "points", ndim=2).T,
                "o",
                ms=3.5,
                color=INK,
                mec="white",
                mew=0.4,
            )
        ax.set(xlim=(-radius, radius), ylim=(-radius, radius), aspect="equal", title=title)
        ax.set(xlabel="$x_1$", ylabel="$x_2$")
    return ax


def _chords(network: ShallowNetwork, radius: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the part of every kink inside the square, and its jump of slope."""
    segments, sharpness = [], []
    lengths = np.linalg.norm(network.incoming, axis=1)
    for w, b, v, length in zip(
        network.incoming, network.bias, network.outgoing[:, 0], lengths, strict=True
    ):
        if length == 0 or v == 0:
            continue
        foot, along = -b * w / length**2, np.array([-w[1], w[0]]) / length
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(-radius - foot) / along, (radius - foot) / along])
        ends = np.where(along == 0, np.array([[-np.inf], [np.inf]]), ends)
        first, last = ends.min(0).max(), ends.max(0).min()
        if first < last and (np.abs(foot[along == 0]) <= radius).all():
            segments.append(foot + np.outer([first, last], along))
            sharpness.append(v * length)
    return segments, np.array(sharpness)


def error_rates(
    rows: Sequence[int],
    errors: Mapping[str, Any],
    *,
    slopes: Mapping[str, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw errors against the number of rows, both on logarithmic scales, with slopes of a theory.

    Parameters
    ----------
    rows : sequence of int
        Numbers of rows.
    errors : mapping of str to array-like of shape (len(rows),)
        Errors by method.
    slopes : mapping of str to float, optional
        Slopes by method, drawn as dashed lines through the method's last error.
    title : str, default=""
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    DataError
        If errors are not finite or their numbers differ.
    """
    n = np.asarray(rows, dtype=float)
    with style():
        ax = resolve_axes(ax, (5.0, 3.8))
        for (name, values), colour in zip(errors.items(), FAMILIES * len(errors), strict=False):
            found = check_array(values, f"errors of {name}", ndim=1)
            if found.shape != n.shape:
                raise DataError(
                    f"errors of {name} must be one per number of rows, got {len(found)} for "
                    f"{len(n)}; pass the same rows for all methods."
                )
            fitted = np.polyfit(np.log(n), np.log(found), 1)[0]
            ax.loglog(n, found, "o-", ms=4.5, color=colour, label=f"{name}: slope {fitted:.2f}")
            if slopes and name in slopes:
                line = found[-1] * (n / n[-1]) ** slopes[name]
                ax.loglog(n, line, "--", lw=1.1, color=colour, label=f"theory: {slopes[name]:.2f}")
        ax.set(xlabel="rows", ylabel="squared error", title=title)
        ax.set_xticks(n, [f"{int(v):,}" for v in n])
        ax.minorticks_off()
        light_grid(ax, "both")
        ax.legend(loc="best")
    return ax
