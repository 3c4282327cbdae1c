"""Curves and bars: convergence, classes, novelty, and scores against their baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_same_length
from ot_latent.plotting.style import (
    BASELINE,
    CEILING,
    GENERATED,
    INK,
    PALETTE,
    REAL,
    SOFT,
    finite_values,
    light_grid,
    resolve_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROUNDING = 1e-16  # errors below it are drawn there


def convergence(
    history: Mapping[str, Sequence[float]],
    *,
    mass_error: float | None = None,
    interval: Sequence[float] | None = None,
    tolerance: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw how a solver's cell error falls: against the samples drawn, or the Newton steps taken.

    After T draws no unbiased estimate of N masses can be closer than
    :math:`\sqrt{(N - 1) / T}` in rms relative error; the dashed line shows that limit. The exact
    solver knows the largest relative error after every step.

    Parameters
    ----------
    history : mapping
        Sequences of one length, as a solution's ``history`` holds them: "samples", "rms" and, where
        there is one, "limit" of a sampled solver; "error" and, where there is one, "step_length" of
        the exact one. Values that are not positive (an unbiased estimate may be negative near
        zero) are left out of the logarithmic plot.
    mass_error : float, optional
        Error on held-out noise, drawn as a point at the right end.
    interval : pair of float, optional
        Its 95 % interval.
    tolerance : float, optional
        The error that was asked for, drawn as a level.
    title : str, optional
        Title of the axes; by default it says what is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with a logarithmic scale of the error.

    Raises
    ------
    DataError
        If the history has neither "samples" and "rms" of one length nor "error".
    """
    if "error" in history:
        return _newton(history, tolerance, title, ax)
    samples, error = _history(history)
    with style():
        ax = resolve_axes(ax, (7.0, 3.6))
        keep = np.isfinite(error) & (error > 0) & (samples > 0)
        ax.plot(
            samples[keep], error[keep], color=REAL, label="averaged heights, on noise never used"
        )
        if len(limit := np.asarray(history.get("limit", ()), dtype=np.float64)) == len(samples):
            ax.plot(samples, limit, color=SOFT, ls=(0, (4, 3)), lw=1.4, label="statistical limit")
        if tolerance is not None:
            ax.axhline(tolerance, color=CEILING, lw=1.2, label=f"tolerance {tolerance:g}")
        if mass_error is not None and mass_error > 0 and len(samples):
            _held_out(ax, float(samples.max()), mass_error, interval)
        ax.set_xscale("log")
        ax.set_yscale("log")
        light_grid(ax, "both")
        ax.set_xlabel("samples drawn")
        ax.set_ylabel("rms relative cell error")
        ax.set_title("Transport: cell error against samples drawn" if title is None else title)
        ax.legend(loc="upper right")
    return ax


def _newton(
    history: Mapping[str, Sequence[float]],
    tolerance: float | None,
    title: str | None,
    ax: Axes | None,
) -> Axes:
    """Draw the largest relative error after every Newton step; damped steps are hollow."""
    error = np.maximum(finite_values(history["error"], "history"), ROUNDING)
    lengths = np.asarray(history.get("step_length", np.ones(len(error))), np.float64)
    step, damped = np.arange(len(error)), lengths < 1
    with style():
        ax = resolve_axes(ax, (7.0, 3.6))
        ax.plot(step, error, color=REAL, lw=1.2)
        ax.plot(step[~damped], error[~damped], "o", ms=5, color=REAL, label="full step")
        if damped.any():
            ax.plot(step[damped], error[damped], "o", ms=5, mec=REAL, mfc="white", label="damped")
        if tolerance is not None:
            ax.axhline(tolerance, color=CEILING, lw=1.2, label=f"tolerance {tolerance:g}")
        ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        light_grid(ax, "both")
        ax.set_xlabel("Newton steps")
        ax.set_ylabel("largest relative cell error")
        ax.set_title("Transport: exact cell error after every step" if title is None else title)
        ax.legend(loc="upper right" if len(error) > 1 else "center right")
    return ax


def _history(history: Mapping[str, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    missing = {"samples", "rms"} - set(history)
    if missing:
        raise DataError(
            f"history must hold 'samples' and 'rms', or 'error', got {sorted(history)}; pass a solution's "
            "history."
        )
    check_same_length(history["samples"], history["rms"], ("samples", "rms"))
    return (
        np.asarray(history["samples"], dtype=np.float64),
        np.asarray(history["rms"], dtype=np.float64),
    )


def _held_out(ax: Axes, x: float, value: float, interval: Sequence[float] | None) -> None:
    low, high = interval if interval is not None else (value, value)
    spread = [[max(value - max(low, 1e-12), 0.0)], [max(high - value, 0.0)]]
    ax.errorbar(
        [x], [value], yerr=spread, fmt="o", ms=6, color=GENERATED, capsize=3, zorder=5,
        label="final verdict, 95 % interval",
    )  # fmt: skip


def modes(
    real: Mapping[Any, float] | Sequence[float],
    generated: Mapping[Any, float] | Sequence[float],
    *,
    names: Sequence[str] | None = None,
    n: int | None = None,
    title: str = "Classes: share in the data and in the samples",
    ax: Axes | None = None,
) -> Axes:
    r"""Draw class shares of data and samples side by side.

    Parameters
    ----------
    real, generated : mapping or sequence
        Count or share per class; mappings are joined by their keys.
    names : sequence of str, optional
        Names of the classes.
    n : int, optional
        Number of generated samples: draws :math:`\pm 2 \sqrt{p (1 - p) / n}` at the data's shares.
    title : str
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with two bars per class.
    """
    keys, p, q = _shares(real, generated)
    labels = [str(k) for k in keys] if names is None else list(names)
    check_same_length(labels, keys, ("names", "the classes"))
    with style():
        ax = resolve_axes(ax, (7.0, 3.2))
        place = np.arange(len(keys))
        ax.bar(place - 0.2, p, 0.38, color=REAL, label="data")
        ax.bar(place + 0.2, q, 0.38, color=GENERATED, label="generated")
        if n:
            error = 2 * np.sqrt(p * (1 - p) / n)
            ax.errorbar(place + 0.2, p, yerr=error, fmt="none", ecolor=INK, capsize=2.5, lw=1.1,
                        label="data's share, $\\pm 2$ sampling errors")  # fmt: skip
        light_grid(ax)
        slanted = max(map(len, labels), default=0) > 4
        ax.set_xticks(
            place, labels, rotation=30 if slanted else 0, ha="right" if slanted else "center"
        )
        ax.set_ylim(0, 1.3 * max(p.max(), q.max()))
        ax.set_ylabel("share")
        ax.set_title(title)
        ax.legend(loc="upper right", ncols=3)
    return ax


def _shares(
    real: Mapping[Any, float] | Sequence[float], generated: Mapping[Any, float] | Sequence[float]
) -> tuple[list[Any], np.ndarray, np.ndarray]:
    a = dict(real) if isinstance(real, Mapping) else dict(enumerate(real))
    b = dict(generated) if isinstance(generated, Mapping) else dict(enumerate(generated))
    keys = sorted({*a, *b})
    p = finite_values([a.get(k, 0) for k in keys], "real")
    q = finite_values([b.get(k, 0) for k in keys], "generated")
    if p.min() < 0 or q.min() < 0 or p.sum() <= 0 or q.sum() <= 0:
        raise DataError(
            f"class counts must be non-negative with a positive sum, got {p.tolist()} and "
            f"{q.tolist()}; pass counts or shares."
        )
    return keys, p / p.sum(), q / q.sum()


def novelty(
    generated: Any,
    holdout: Any,
    *,
    ratio: float | None = None,
    title: str = "Novelty: distance to the closest training record",
    ax: Axes | None = None,
) -> Axes:
    """Draw how far samples and held-out records lie from the closest training record.

    Copies pile up at zero; samples as new as real data have the histogram of the held-out records.

    Parameters
    ----------
    generated, holdout : array-like of shape (n,)
        Distances to the closest training record.
    ratio : float, optional
        Novelty ratio to print; by default the ratio of the medians.
    title : str
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with two histograms over common bins.
    """
    new, held = finite_values(generated, "generated"), finite_values(holdout, "holdout")
    median = float(np.median(held))
    shown = ratio if ratio is not None else float(np.median(new)) / max(median, 1e-300)
    with style():
        ax = resolve_axes(ax, (7.0, 3.2))
        top = float(np.quantile(np.concatenate([new, held]), 0.995)) or 1.0
        bins = np.linspace(0.0, top, 46)
        for values, colour, name in ((held, REAL, "held-out data"), (new, GENERATED, "generated")):
            weights = np.full(len(values), 1.0 / len(values))
            clipped = np.minimum(values, top)
            ax.hist(clipped, bins, weights=weights, color=colour, alpha=0.28)
            ax.hist(
                clipped, bins, weights=weights, color=colour, histtype="step", lw=1.6, label=name
            )
        ax.axvline(median, color=REAL, lw=1.0, ls=(0, (4, 3)))
        ax.axvline(float(np.median(new)), color=GENERATED, lw=1.0, ls=(0, (4, 3)))
        light_grid(ax)
        ax.set_xlabel("distance to the closest training record (dashed: medians)")
        ax.set_ylabel("share of records")
        ax.set_title(title)
        ax.legend(loc="upper right", title=f"novelty ratio {shown:.2f}", alignment="left")
    return ax


def score_bars(
    scores: Mapping[str, Mapping[str, float]],
    *,
    title: str = "",
    highlight: str | None = None,
    ceiling: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one score of several samplers as points with their intervals, best read as a table.

    Parameters
    ----------
    scores : mapping
        Name of the sampler to {"value", "low", "high"}; without an interval the point stands alone.
    title : str, default=""
        Title of the axes.
    highlight : str, optional
        Name of the sampler in question, drawn in the accent colour.
    ceiling : str, optional
        Name of the entry that marks the best that can be expected; drawn as a line too.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, the first entry on top.

    Raises
    ------
    DataError
        If there are no scores.
    """
    if not scores:
        raise DataError("scores must hold at least one entry, got none; evaluate first.")
    special = {highlight: GENERATED, ceiling: CEILING}
    with style():
        ax = resolve_axes(ax, (6.0, 0.6 + 0.34 * len(scores)))
        for place, (name, score) in enumerate(scores.items()):
            value = float(score["value"])
            low, high = float(score.get("low", value)), float(score.get("high", value))
            colour = special.get(name, BASELINE)
            ax.plot([low, high], [place, place], color=colour, lw=2.2, solid_capstyle="round")
            ax.plot([value], [place], "o", ms=6.5, color=colour)
            if name == ceiling:
                ax.axvline(value, color=CEILING, lw=1.0, ls=(0, (4, 3)), zorder=0)
        ax.set_yticks(range(len(scores)), list(scores))
        ax.set_ylim(len(scores) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        light_grid(ax, "x")
        ax.spines["left"].set_visible(False)
        ax.set_title(title)
    return ax


def loss_curves(
    history: Mapping[str, Sequence[float]], *, title: str = "Autoencoder: loss per epoch",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw every loss of a training history against the epoch.

    Parameters
    ----------
    history : mapping
        Name of a loss to its values, one per epoch.
    title : str
        Title of the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, logarithmic in the loss where all losses are positive.
    """
    with style():
        ax = resolve_axes(ax, (7.0, 3.0))
        everything: list[float] = []
        for (name, values), colour in zip(
            history.items(), PALETTE[:6:5] + PALETTE[6:], strict=False
        ):
            ax.plot(np.arange(1, len(values) + 1), values, color=colour, label=name)
            everything.extend(float(v) for v in values)
        if everything and min(everything) > 0:
            ax.set_yscale("log")
        light_grid(ax)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        ax.set_title(title)
        ax.legend(loc="upper right")
    return ax
