"""Arrays of the user's to tensors of the networks, and back in layout, dtype and range."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, check_array

SLACK_IMAGES = 0.05
"""Share of the training range by which later images may leave it."""

SLACK_VECTORS = 10.0
"""The same for the columns of vectors, whose tails may be heavy: it finds wrong units."""

LARGEST = 1e100
MINIMUM_SIDE = 8
COLOURS = (1, 3)


class ConstantFeatureWarning(UserWarning):
    """Some columns never change; they are carried through exactly and teach nothing."""


@dataclass(frozen=True)
class DataCodec:
    """How an array becomes a tensor and how a tensor becomes such an array again.

    Images go to [0, 1] by x = (X - low) / (high - low): low = 0 and high = 255 for uint8, 0 and 1
    for floats that lie there, else the training range. Vectors are standardised per column. Build
    it with `DataCodec.fit`.

    Attributes
    ----------
    kind : str
        "images" or "vectors".
    layout : str
        "hw", "chw", "hwc" or "vector".
    shape : tuple of int
        Shape of an encoded row: (c, h, w) or (features,).
    dtype : str
        Numpy dtype of the training array.
    low, high : tuple of float
        Range of the training data: one pair for images, one per column for vectors.
    mean, scale : tuple of float
        Per column for vectors (scale 0: the column is constant), empty for images.

    Examples
    --------
    >>> X = (np.arange(3 * 64) % 251).astype(np.uint8).reshape(3, 8, 8)
    >>> codec = DataCodec.fit(X)
    >>> x = codec.encode(X)
    >>> tuple(x.shape), bool((codec.decode(x) == X).all())
    ((3, 1, 8, 8), True)
    """

    kind: Literal["images", "vectors"]
    layout: Literal["hw", "chw", "hwc", "vector"]
    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def fit(cls, X: Any, channels: Literal["first", "last"] | None = None) -> DataCodec:
        """Read layout, dtype and range off the training data.

        Parameters
        ----------
        X : array-like
            Images (n, h, w), (n, c, h, w), (n, h, w, c) with c in {1, 3}, or vectors (n, features).
        channels : {"first", "last"}, optional
            Which axis holds the colours, where the shape leaves it open.

        Returns
        -------
        DataCodec
            The codec.

        Raises
        ------
        DataError
            If the data are empty, one sample, not finite, not numeric, all equal, or of a shape
            that is neither images nor vectors.
        """
        array = _checked(X, "X", min_rows=2)
        layout = _layout(array.shape, channels)
        if (array == array[0]).all():
            raise DataError(
                f"X must vary, got {len(array)} equal rows; pass data with at least two "
                "different rows."
            )
        if layout == "vector":
            return _fit_vectors(array)
        low, high = _image_range(array)
        shape = _first(array[:1], layout).shape[1:]
        return cls("images", layout, shape, array.dtype.str, (low,), (high,))

    def encode(self, X: Any) -> Tensor:
        """Return the rows as the networks take them.

        Parameters
        ----------
        X : array-like
            Rows laid out like the training data.

        Returns
        -------
        Tensor of shape (n, c, h, w) or (n, features), float32
            Images in [0, 1], or standardised vectors.

        Raises
        ------
        DataError
            If shape or dtype differ from the training data, or values lie out of its range.
        """
        array = _checked(X, "X", min_rows=1)
        self._check_rows(array)
        if self.kind == "vectors":
            mean, scale = np.array(self.mean), np.array(self.scale)
            z = (array.astype(np.float64) - mean) / np.where(scale > 0, scale, 1.0)
            return torch.from_numpy(np.where(scale > 0, z, 0.0).astype(np.float32))
        low, high = self.low[0], self.high[0]
        images = _first(array, self.layout).astype(np.float32)
        if low:
            images -= np.float32(low)
        images /= np.float32(high - low)
        return torch.from_numpy(np.ascontiguousarray(images))

    def decode(self, tensor: Tensor) -> np.ndarray:
        """Return the rows in the layout, dtype and range of the training data.

        Parameters
        ----------
        tensor : Tensor of shape (n, c, h, w) or (n, features)
            What `encode` or a decoder returned.

        Returns
        -------
        numpy.ndarray
            Clipped to the training range; integers are rounded, constant columns are exact.

        Raises
        ------
        ValueError
            If the shape of a row is another one.
        """
        if tuple(tensor.shape[1:]) != self.shape:
            raise ValueError(
                f"tensor must have rows of shape {self.shape}, got {tuple(tensor.shape[1:])}; "
                "pass the output of encode or of a decoder."
            )
        rows = tensor.detach().cpu().numpy().astype(np.float64)
        if self.kind == "vectors":
            rows = np.array(self.mean) + np.array(self.scale) * rows
        else:
            rows = self.low[0] + (self.high[0] - self.low[0]) * rows
        rows = np.clip(rows, np.array(self.low), np.array(self.high))
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iub":
            rows = np.rint(rows)
        if self.layout == "hwc":
            rows = np.moveaxis(rows, 1, -1)
        elif self.layout == "hw":
            rows = rows[:, 0]
        return np.ascontiguousarray(rows).astype(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as plain Python objects that JSON can hold.

        Returns
        -------
        dict
            Every field.
        """
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataCodec:
        """Return the codec that `to_dict` wrote.

        Parameters
        ----------
        values : dict
            Output of `to_dict`.

        Returns
        -------
        DataCodec
            The codec.
        """
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**fields)

    def _row_shape(self) -> tuple[int, ...]:
        """Return the shape of one row of the user's array."""
        if self.layout == "hwc":
            return (*self.shape[1:], self.shape[0])
        return self.shape[1:] if self.layout == "hw" else self.shape

    def _check_rows(self, array: np.ndarray) -> None:
        """Refuse rows that differ from the training data in shape, dtype or range."""
        if array.shape[1:] != self._row_shape():
            raise DataError(
                f"X must have rows of shape {self._row_shape()} like the training data, got "
                f"{array.shape[1:]}; reshape or crop them."
            )
        if self.kind == "images" and np.dtype(self.dtype).kind in "iub" and array.dtype.kind == "f":
            raise DataError(
                f"X must be integers like the training data ({np.dtype(self.dtype)}), got "
                f"{array.dtype}; scale to that range and convert."
            )
        low, high = np.array(self.low), np.array(self.high)
        slack = (high - low) * (SLACK_IMAGES if self.kind == "images" else SLACK_VECTORS)
        varies = high > low
        least, most = array.min(), array.max()
        if self.kind == "vectors":
            least, most = array.min(axis=0), array.max(axis=0)
        bad = varies & ((least < low - slack) | (most > high + slack))
        if not bad.any():
            return
        column = int(np.argmax(bad))
        where = f" in column {column}" if self.kind == "vectors" else ""
        raise DataError(
            f"X must lie near the training range [{low[column]:g}, {high[column]:g}]{where}, got "
            f"out-of-range values in [{np.atleast_1d(least)[column]:g}, "
            f"{np.atleast_1d(most)[column]:g}]; scale them as the training data were scaled."
        )


def _checked(X: Any, name: str, *, min_rows: int) -> np.ndarray:
    """Return a finite array whose squares do not overflow."""
    array = check_array(X, name, min_rows=min_rows)
    if array.dtype.kind == "f" and max(-float(array.min()), float(array.max())) > LARGEST:
        raise DataError(
            f"{name} must stay below {LARGEST:g} in absolute value, got "
            f"{float(np.abs(array).max()):g}; rescale the data."
        )
    return array


def _layout(shape: tuple[int, ...], channels: str | None) -> Literal["hw", "chw", "hwc", "vector"]:
    """Read the layout off the shape, refusing what can be read in two ways or in none."""
    if channels not in (None, "first", "last"):
        raise ValueError(f"channels must be 'first', 'last' or None, got {channels!r}; pass one.")
    if len(shape) == 2:
        return "vector"
    if len(shape) == 3:
        return _big_enough("hw", shape[1], shape[2])
    if len(shape) != 4:
        raise DataError(
            f"X must be vectors (n, features) or images (n, h, w), (n, c, h, w) or (n, h, w, c), "
            f"got shape {shape}; reshape it."
        )
    first, last = shape[1] in COLOURS, shape[3] in COLOURS
    if first and last and channels is None:
        raise DataError(
            f"X of shape {shape} can be read in two ways; say channels='first' for (n, c, h, w) "
            "or channels='last' for (n, h, w, c)."
        )
    if (channels != "last" and first) and not (channels is None and last):
        return _big_enough("chw", shape[2], shape[3])
    if channels != "first" and last:
        return _big_enough("hwc", shape[1], shape[2])
    raise DataError(
        f"X must have 1 or 3 channels, got shape {shape} with channels={channels!r}; drop the "
        "alpha channel or pass the layout that fits."
    )


def _big_enough(
    layout: Literal["hw", "chw", "hwc"], height: int, width: int
) -> Literal["hw", "chw", "hwc"]:
    """Return the layout, or refuse images that are too small for convolutions."""
    if min(height, width) < MINIMUM_SIDE:
        raise DataError(
            f"images must be at least {MINIMUM_SIDE} pixels a side, got {height} x {width}; "
            "flatten them to vectors with X.reshape(len(X), -1)."
        )
    return layout


def _first(array: np.ndarray, layout: str) -> np.ndarray:
    """Return images as (n, c, h, w)."""
    if layout == "hw":
        return array[:, None]
    return np.moveaxis(array, -1, 1) if layout == "hwc" else array


def _image_range(array: np.ndarray) -> tuple[float, float]:
    """Return the values that become 0 and 1."""
    if array.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(array.min()), float(array.max())
    unit = array.dtype.kind in "fb" and low >= 0.0 and high <= 1.0
    return (0.0, 1.0) if unit else (low, high)


def _fit_vectors(array: np.ndarray) -> DataCodec:
    """Return the codec of standardised columns."""
    low, high = array.min(axis=0), array.max(axis=0)
    constant = low == high
    if constant.any():
        which = ", ".join(str(c) for c in np.flatnonzero(constant)[:5])
        warnings.warn(
            f"{int(constant.sum())} of {constant.size} columns of X are constant (columns {which}"
            f"{', ...' if constant.sum() > 5 else ''}); they are carried through exactly.",
            ConstantFeatureWarning,
            stacklevel=3,
        )
    values = array.astype(np.float64)
    mean = np.where(constant, low.astype(np.float64), values.mean(axis=0))
    scale = np.where(constant, 0.0, values.std(axis=0))
    return DataCodec(
        "vectors",
        "vector",
        array.shape[1:],
        array.dtype.str,
        *(tuple(float(v) for v in a) for a in (low, high, mean, scale)),
    )
