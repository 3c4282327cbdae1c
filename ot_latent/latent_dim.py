"""How many code coordinates data need: two estimates of their dimension, and errors of short trainings.

All of it is heuristic. The estimates count directions of the set that the data lie on; a set of
dimension k may need up to 2k coordinates (Whitney), and a network may not find the least number. The
curve of held-out errors asks the networks themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ot_latent._codes import resolve_device
from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.architectures import new_autoencoder
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import decode_rows, encode_rows
from ot_latent.latent.batches import split_rows
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.metrics.dimension import intrinsic_dimension

if TYPE_CHECKING:
    from torch import Tensor

GRID = (1, 2, 4, 8, 16, 32, 64)
"""Latent dimensions that are tried where none are given; the two estimates join them."""

HELD_OUT = 0.2
"""Share of the rows whose errors are measured."""

EPOCHS, ROWS_SEEN = 20, 32_000
"""Passes over the data of a short training, and how many rows it should see at least."""

LEAST_ROWS = 40
_SUBSAMPLE = 4  # a counter that keeps this draw apart from others of the stream


@dataclass(frozen=True)
class LatentDimSuggestion:
    """A latent dimension, and what speaks for it."""

    suggested: int
    """Smallest dimension tried whose held-out error is within the tolerance of the best."""
    dims: tuple[int, ...]
    """Latent dimensions tried, rising."""
    errors: tuple[float, ...]
    """Held-out error of an autoencoder of each, as a share of the data's deviation: 1 is a constant."""
    linear_errors: tuple[float, ...]
    """Held-out error of as many principal components: what the best linear autoencoder leaves."""
    two_nn: float
    """Dimension by the two nearest neighbours (estimate; sees the noise)."""
    lpca: float
    """Dimension by local principal components (estimate; misses directions of small extent)."""
    tolerance: float
    """Share of what the best dimension explains that may be lost."""
    rows: int
    """Distinct rows that were looked at, held-out ones included."""

    @property
    def agree(self) -> bool:
        """Whether the rounded estimates differ by at most a quarter of the larger (a heuristic)."""
        low, high = sorted((round(self.two_nn), round(self.lpca)))
        return high - low <= high / 4

    @property
    def advice(self) -> str:
        """The suggestion in two sentences, with the disagreement of the estimates where there is one."""
        error = self.errors[self.dims.index(self.suggested)]
        told = f"TwoNN says {self.two_nn:.1f}, lPCA {self.lpca:.1f}"
        if self.agree and self.suggested > max(round(self.two_nn), round(self.lpca)):
            told += ": they agree on less, which longer training may reach."
        elif self.agree:
            told += ": they agree."
        else:
            told += (
                ": they disagree (noise raises the first, the second misses directions of small "
                "extent), so trust the curve."
            )
        if self.suggested == self.dims[-1]:
            told = told[:-1] + "; no dimension above it was tried, so it may be too small."
        return (
            f"Try latent_dim={self.suggested} (a heuristic): the smallest of "
            f"{', '.join(map(str, self.dims))} that loses at most {100 * self.tolerance:g} % of what "
            f"the best explains (held-out error {error:.3f}, best {min(self.errors):.3f}). " + told
        )

    def __str__(self) -> str:
        """Return `advice`."""
        return self.advice


def suggest_latent_dim(
    X: Any,
    *,
    dims: Sequence[int] | None = None,
    tolerance: float = 0.05,
    rows: int = 2000,
    epochs: int | None = None,
    autoencoder: AutoencoderConfig | None = None,
    channels: Literal["first", "last"] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> LatentDimSuggestion:
    r"""Suggest a latent dimension for data, before anything long is trained. A heuristic.

    An autoencoder is trained shortly at each dimension of a small grid, all from the same seed on
    the same subsample. Its error is

    .. math:: e(d) = \Bigl(\sum_i |D(E(x_i)) - x_i|^2 \Big/ \sum_i |x_i - \bar x|^2\Bigr)^{1/2}

    over held-out rows (:math:`\bar x`: mean of the others). Suggested is the knee: the smallest d
    with :math:`e(d) \le e^* + \mathrm{tolerance}\,(1 - e^*)`, :math:`e^*` the least error. The
    tolerance is a share of what the best explains, not of its error: without noise the errors
    beyond the true dimension are those of short training alone, whose ratios mean nothing.

    Parameters
    ----------
    X : array-like
        Images or vectors as for `LatentGenerator.fit`. Repeated rows count once.
    dims : sequence of int, optional
        Latent dimensions to try; by default 1, 2, 4, ..., 64 and the two estimates, rounded, as far
        as they do not exceed 64 and the number of values of a row.
    tolerance : float, default=0.05
        Share of what the best dimension explains that may be lost, in (0, 1).
    rows : int, default=2000
        Rows that are used, drawn at random; a fifth of them is held out.
    epochs : int, optional
        Passes over the others, per dimension; by default 20, and more where there are fewer than
        1,600 of them, so that 32,000 rows are seen: low dimensions learn slowest, and a training
        that is too short suggests too high a dimension.
    autoencoder : AutoencoderConfig, optional
        The network; its `latent_dim` is replaced by each dimension in turn.
    channels : {"first", "last"}, optional
        Which axis holds the colours, where the shape leaves it open.
    seed : int, default=0
        Seed of the subsample, the split, and every training.
    device : str, default="auto"
        Where to train: "auto", "cpu", "cuda", ...

    Returns
    -------
    LatentDimSuggestion
        The dimension, the curve, the estimates; printed, it is a sentence of advice.

    Raises
    ------
    DataError
        If there are fewer than 40 distinct rows, or the data are none an autoencoder takes.
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from ot_latent.config import AutoencoderConfig
    >>> rng = np.random.default_rng(0)
    >>> plane = rng.random((400, 2)) @ np.linalg.qr(rng.normal(size=(10, 2)))[0].T
    >>> small = AutoencoderConfig(width=8)
    >>> found = suggest_latent_dim(plane, dims=(1, 2), autoencoder=small, epochs=8, device="cpu")
    >>> found.suggested, found.agree
    (2, True)
    """
    _check_options(tolerance, rows, epochs)
    x = _distinct_rows(X, rows, channels, seed)
    flat = x.flatten(1)
    two_nn = intrinsic_dimension(flat, method="two_nn", seed=seed)
    lpca = intrinsic_dimension(flat, method="lpca", seed=seed)
    tried = _grid(flat.shape[1], two_nn, lpca) if dims is None else _checked(dims, flat.shape[1])
    kept, held = split_rows(x, HELD_OUT, seed)
    epochs = epochs or max(EPOCHS, math.ceil(ROWS_SEEN / len(kept)))
    errors = _curve(kept, held, tried, autoencoder or AutoencoderConfig(), epochs, seed, device)
    best = min(errors)
    allowed = best + tolerance * max(0.0, 1.0 - best)
    return LatentDimSuggestion(
        suggested=next(d for d, error in zip(tried, errors, strict=True) if error <= allowed),
        dims=tried,
        errors=errors,
        linear_errors=_linear_curve(kept, held, tried),
        two_nn=two_nn,
        lpca=lpca,
        tolerance=tolerance,
        rows=len(x),
    )


def _check_options(tolerance: float, rows: int, epochs: int | None) -> None:
    """Refuse options before anything is computed."""
    check_positive(tolerance, "tolerance")
    if tolerance >= 1.0:
        raise ValueError(f"tolerance must be below 1, got {tolerance}; try 0.05.")
    if epochs is not None:
        check_positive(epochs, "epochs", integer=True)
    check_positive(rows, "rows", integer=True)
    if rows < LEAST_ROWS:
        raise ValueError(f"rows must be at least {LEAST_ROWS}, got {rows}; try 2000.")


def _checked(dims: Sequence[int], values: int) -> tuple[int, ...]:
    """Return the grid that was asked for, rising and without repetitions."""
    if len(dims) < 2:
        raise ValueError(
            f"dims must hold at least two dimensions, got {dims!r}; try (2, 4, 8, 16)."
        )
    for d in dims:
        check_positive(d, "dims", integer=True)
    if max(dims) > values:
        raise ValueError(
            f"dims must not exceed the {values} values of a row of X, got {max(dims)}; leave it out."
        )
    return tuple(sorted({int(d) for d in dims}))


def _grid(values: int, *estimates: float) -> tuple[int, ...]:
    """Return powers of two and the rounded estimates, as far as a row has so many values."""
    most = min(GRID[-1], values)
    return tuple(sorted({d for d in (*GRID, *map(round, estimates)) if 1 <= d <= most}))


def _distinct_rows(X: Any, rows: int, channels: Any, seed: int) -> Tensor:
    """Return a random subsample as networks take it, every row once."""
    array = check_array(X, "X", min_rows=LEAST_ROWS)
    order = generator(seed, Stream.SPLIT, _SUBSAMPLE).permutation(len(array))[:rows]
    x = DataCodec.fit(array[np.sort(order)], channels).encode(array[np.sort(order)])
    # a copy among the held-out rows is not held out, and neighbours at distance 0 have no ratio
    first = np.unique(x.flatten(1).numpy(), axis=0, return_index=True)[1]
    if len(first) < LEAST_ROWS:
        raise DataError(
            f"X must have at least {LEAST_ROWS} distinct rows, got {len(first)} among "
            f"{len(x)}; pass more data."
        )
    return x[np.sort(first)]


def _curve(
    kept: Tensor,
    held: Tensor,
    dims: tuple[int, ...],
    config: AutoencoderConfig,
    epochs: int,
    seed: int,
    device: str,
) -> tuple[float, ...]:
    """Return the held-out error of an autoencoder of each dimension, trained without early stopping."""
    training = TrainingConfig(epochs=epochs, patience=epochs, validation_fraction=0.05)
    place, found = resolve_device(device), []
    scale = (held - kept.mean(0)).double().norm()
    for d in dims:
        settings = config.model_copy(update={"latent_dim": d})
        model = new_autoencoder(settings, tuple(kept.shape[1:]), seed)
        model = train_autoencoder(model, kept, training, seed=seed, device=place).model
        rebuilt = decode_rows(model, encode_rows(model, held.to(place))).cpu()
        found.append(float((rebuilt - held).double().norm() / scale))
    return tuple(found)


def _linear_curve(kept: Tensor, held: Tensor, dims: tuple[int, ...]) -> tuple[float, ...]:
    """Return the held-out error of as many principal components of the other rows."""
    mean = kept.flatten(1).double().mean(0)
    axes = (kept.flatten(1).double() - mean).svd().V  # columns, largest variance first
    rest = held.flatten(1).double() - mean
    scale = rest.norm()
    errors = [(rest - (rest @ axes[:, :d]) @ axes[:, :d].T).norm() / scale for d in dims]
    return tuple(float(error) for error in errors)
