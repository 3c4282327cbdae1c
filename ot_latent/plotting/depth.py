"""Depth in pictures: survival of signals with its predicted cut-off, its collapse, and trainability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_same_length
from ot_latent.plotting.style import (
    BASELINE,
    INK,
    PALETTE,
    SOFT,
    finite_values,
    light_grid,
    resolve_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_latent.theory.depth import PredictedCutoff, SurvivalCurve

COLOURS = (PALETTE[0], PALETTE[6], PALETTE[3], PALETTE[5], PALETTE[1], PALETTE[7], PALETTE[2])


def survival_curves(
    curves: Mapping[str, SurvivalCurve],
    predictions: Mapping[str, PredictedCutoff] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how long signals live in random networks, and where theory says that they die.

    Parameters
    ----------
    curves : mapping of str to SurvivalCurve
        What was simulated, by the label in the legend; bands are 95 % intervals.
    predictions : mapping of str to PredictedCutoff, optional
        Predicted profiles of some of them, dashed; a dot marks the predicted centre.
    title : str, optional
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
        If there are no curves, or a prediction belongs to none of them.
    """
    predictions = predictions or {}
    _check_labels(curves, predictions)
    with style():
        ax = resolve_axes(ax, (7.0, 3.8))
        for (label, curve), colour in zip(curves.items(), _colours(len(curves)), strict=True):
            low, high = curve.interval()
            ax.fill_between(curve.depths, low, high, color=colour, alpha=0.18, lw=0)
            ax.plot(curve.depths, curve.probability, color=colour, label=label)
            if label in predictions:
                _dashed(ax, predictions[label], curve.depths, colour)
        if predictions:
            ax.plot([], [], color=SOFT, ls=(0, (4, 2)), lw=1.2, marker="o", ms=4, label="predicted")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlim(left=0)
        light_grid(ax, "both")
        ax.set_xlabel("depth: layers passed")
        ax.set_ylabel("signals that are not zero yet")
        ax.set_title("Survival at finite precision" if title is None else title)
        ax.legend(loc="best")
    return ax


def survival_collapse(
    curves: Mapping[str, SurvivalCurve],
    predictions: Mapping[str, PredictedCutoff],
    *,
    span: float = 3.5,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw survival curves in units of their predicted cut-off: they collapse onto one profile.

    The abscissa is :math:`(t - t^*) / w`; the limit of all curves is :math:`\Phi(-a)`.

    Parameters
    ----------
    curves : mapping of str to SurvivalCurve
        What was simulated, by the label in the legend.
    predictions : mapping of str to PredictedCutoff
        Centre and window of each.
    span : float, default=3.5
        Half-width of the abscissa in windows.
    title : str, optional
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
        If there are no curves, or one of them has no prediction.
    """
    from scipy.special import ndtr

    _check_labels(curves, predictions)
    _check_labels(predictions, curves)
    with style():
        ax = resolve_axes(ax, (5.2, 3.8))
        grid = np.linspace(-span, span, 200)
        for (label, curve), colour in zip(curves.items(), _colours(len(curves)), strict=True):
            found = predictions[label]
            unit = (curve.depths - found.centre) / found.window
            ax.plot(unit, curve.probability, color=colour, lw=1.5, label=label)
        ax.plot(grid, ndtr(-grid), color=INK, ls=(0, (4, 2)), lw=1.4, label="limit")
        ax.set_xlim(-span, span)
        ax.set_ylim(-0.03, 1.03)
        light_grid(ax, "both")
        ax.set_xlabel("depth in windows from the predicted centre")
        ax.set_ylabel("signals that are not zero yet")
        ax.set_title("One profile for all" if title is None else title)
        ax.legend(loc="upper right")
    return ax


def trainability(
    depths: Sequence[int],
    scores: Mapping[str, Any],
    *,
    suggested: Mapping[str, float] | None = None,
    cutoffs: Mapping[str, tuple[float, float]] | None = None,
    chance: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what networks of growing depth learn, and the depths that theory names.

    Parameters
    ----------
    depths : sequence of int
        Numbers of hidden layers.
    scores : mapping of str to array-like of shape (depths,) or (depths, repeats)
        Held-out accuracy by initialisation; repeats are dots, their mean a line; NaN where a
        repeat is missing.
    suggested : mapping of str to float, optional
        Suggested depths, by the same labels: triangles at the foot, in the curve's colour.
    cutoffs : mapping of str to pair of float, optional
        Where predicted cut-offs begin and end: shaded, in the curve's colour.
    chance : float, optional
        Accuracy of guessing.
    title : str, optional
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with a logarithmic scale of depth.

    Raises
    ------
    DataError
        If there are no scores, their number is not that of the depths, or a suggestion or
        cut-off belongs to none of them.
    """
    suggested, cutoffs = suggested or {}, cutoffs or {}
    _check_labels(scores, {**suggested, **cutoffs})
    at = finite_values(depths, "depths")
    with style():
        ax = resolve_axes(ax, (6.0, 3.8))
        for (label, values), colour in zip(scores.items(), _colours(len(scores)), strict=True):
            check_same_length(at, values, ("depths", f"scores[{label!r}]"))
            rows = np.asarray(values, np.float64).reshape(len(at), -1)
            if rows.shape[1] > 1:
                ax.plot(
                    np.repeat(at, rows.shape[1]), rows.ravel(), "o", ms=3, color=colour, alpha=0.35
                )
            told = ~np.isnan(rows)
            means = np.where(told, rows, 0.0).sum(1) / told.sum(1)
            ax.plot(at, means, "-", color=colour, label=label)
            if label in cutoffs:
                ax.axvspan(*cutoffs[label], color=colour, alpha=0.13, lw=0)
            if label in suggested:
                ax.plot(
                    [suggested[label]], [0.02], "^", ms=8, color=colour, clip_on=False, zorder=5
                )
        _legend_of_depths(ax, bool(suggested), bool(cutoffs), chance)
        ax.set_xscale("log")
        ticks = [d for d in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200) if at.min() <= d <= at.max()]
        ax.set_xticks(ticks, [str(d) for d in ticks])
        ax.minorticks_off()
        ax.set_ylim(0, 1.02)
        light_grid(ax, "both")
        ax.set_xlabel("hidden layers")
        ax.set_ylabel("held-out accuracy")
        ax.set_title("Trainability against depth" if title is None else title)
    return ax


def _legend_of_depths(ax: Axes, suggested: bool, cutoffs: bool, chance: float | None) -> None:
    if chance is not None:
        ax.axhline(chance, color=BASELINE, lw=1.0, ls=":", label="chance")
    if cutoffs:
        ax.fill_between([], [], color=SOFT, alpha=0.25, lw=0, label="predicted cut-off")
    if suggested:
        ax.plot([], [], "^", ms=7, color=SOFT, label="suggested depth")
    ax.legend(loc="best")


def _dashed(ax: Axes, found: PredictedCutoff, depths: np.ndarray, colour: str) -> None:
    ax.plot(depths, found.profile(depths), color=colour, ls=(0, (4, 2)), lw=1.2)
    ax.plot([found.centre], [float(found.profile(found.centre))], "o", ms=4.5, color=colour)


def _colours(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


def _check_labels(curves: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Refuse an empty picture, and what belongs to no curve."""
    if not curves:
        raise DataError("curves must hold at least one, got none; pass a label and a curve.")
    strangers = sorted(set(others) - set(curves))
    if strangers:
        raise DataError(
            f"labels must be among {', '.join(curves)}, got {strangers[0]!r}; use the same labels."
        )
