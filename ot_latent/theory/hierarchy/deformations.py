"""Smooth deformations of images: of all with a given mean gradient, those of largest entropy."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ot_latent._random import Stream, rows, seed_from
from ot_latent._validation import DataError, as_float_tensor, check_positive
from ot_latent.kernels.deformations import displacement_fields, remap, sine_modes
from ot_latent.theory.hierarchy.rules import DEFORMATION

Calibration = Literal["nominal", "centre", "image"]


def mode_sums(cut: float = 3) -> tuple[float, float]:
    """Return the sums of 1 / (i^2 + j^2) over the kept modes, and over those seen at the centre.

    Parameters
    ----------
    cut : float, default=3
        Highest frequency c, at least 2.

    Returns
    -------
    every : float
        Over all modes: 1.225 for c = 3.
    centre : float
        Over modes with i and j odd, the only ones that move the centre: 0.7 for c = 3.

    Examples
    --------
    >>> [round(value, 3) for value in mode_sums(3)]
    [1.225, 0.7]
    """
    _check_cut(cut)
    modes = sine_modes(cut)
    inverse = 1.0 / (modes**2).sum(axis=1)
    return float(inverse.sum()), float(inverse[(modes % 2 == 1).all(axis=1)].sum())


def temperature(delta: float, *, side: int, cut: float = 3, at: Calibration = "nominal") -> float:
    r"""Return the temperature at which a typical displacement has a given length.

    Nominally :math:`T = 4 \delta^2 / (\pi n^2 \ln c)`, where :math:`\delta` is the length at the
    image's centre for many modes (an asymptotic estimate; Petrini et al., 2021). For c = 3 the
    centre really moves by 1.27 of it and the whole image by 0.84 (rms); with ``at="centre"`` or
    ``"image"`` the exact sums over the kept modes are used instead.

    Parameters
    ----------
    delta : float
        Length of the displacement vector in pixels, at least 0.
    side : int
        n, longer side of the images in pixels.
    cut : float, default=3
        Highest frequency c, at least 2.
    at : {"nominal", "centre", "image"}, default="nominal"
        What `delta` measures: the asymptotic length, the rms at the centre or over the unit square.

    Returns
    -------
    float
        T.

    Raises
    ------
    ValueError
        If a number is out of range or the calibration unknown.

    Examples
    --------
    >>> round(temperature(1.0, side=32) * 1e3, 6)
    1.13179
    """
    _check_cut(cut)
    check_positive(side, "side", integer=True)
    if not (np.isfinite(delta) and delta >= 0):
        raise ValueError(f"delta must be a non-negative number of pixels, got {delta!r}; pass 1.0.")
    every, centre = mode_sums(cut)
    # two independent components; the mean of sin^2 sin^2 over the square is 1/4
    square = {"nominal": pi * log(cut) / 4, "centre": 2 * centre, "image": every / 2}
    if at not in square:
        raise ValueError(
            f"at must be 'nominal', 'centre' or 'image', got {at!r}; pass one of them."
        )
    return delta**2 / (side**2 * square[at])


def temperature_range(*, side: int, cut: float = 3) -> tuple[float, float]:
    r"""Return the temperatures between which deformations are visible and do not fold the image.

    :math:`T_{min} = 1/(\pi n^2 \ln c)`, a nominal displacement of half a pixel, and
    :math:`T_{max} = 4/(\pi^3 c^2 \ln c)`, where neighbouring pixels begin to overtake one another
    (estimates; Petrini et al., 2021).

    Parameters
    ----------
    side : int
        n, longer side of the images in pixels.
    cut : float, default=3
        Highest frequency c, at least 2.

    Returns
    -------
    lowest, highest : float
        The range.

    Examples
    --------
    >>> [float(f"{value:.5g}") for value in temperature_range(side=32)]
    [0.00028295, 0.013047]
    """
    _check_cut(cut)
    return temperature(0.5, side=side, cut=cut), 4 / (pi**3 * cut**2 * log(cut))


def max_entropy_deformation(
    count: int,
    shape: tuple[int, int],
    temperature: float,
    *,
    cut: float = 3,
    seed: int,
    start: int = 0,
) -> Tensor:
    r"""Draw displacement fields of largest entropy at given temperature and highest frequency.

    .. math:: \tau(u, v) = \sum_{i,j \ge 1,\ i^2+j^2 < (c + 1/2)^2} C_{ij} \sin(i\pi u) \sin(j\pi v),
              \qquad C_{ij} \sim N\bigl(0,\ T / (i^2 + j^2)\bigr),

    independently for the two components, on the unit square; in pixels, times the longer side. The
    border does not move. Row i is a function of (seed, start + i) alone.

    Parameters
    ----------
    count : int
        Number of fields.
    shape : tuple of int
        Height and width of the images, at least 2 each.
    temperature : float
        T, at least 0; see `temperature`.
    cut : float, default=3
        Highest frequency c, at least 2.
    seed : int
        Seed of the draw.
    start : int, default=0
        Number of the first row.

    Returns
    -------
    Tensor of shape (count, 2, h, w), float32
        Displacement to the right, then downwards, in pixels.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> field = max_entropy_deformation(3, (8, 8), 0.01, seed=0)
    >>> tuple(field.shape), bool((field[:, :, 0] == 0).all())
    ((3, 2, 8, 8), True)
    """
    check_positive(count, "count", integer=True)
    _check_cut(cut)
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(
            f"temperature must be a non-negative number, got {temperature!r}; see temperature()."
        )
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"shape must be (height, width) of at least 2 pixels, got {shape}; see X.")
    modes = len(sine_modes(cut))
    normals = rows(
        seed_from(seed),
        Stream.HIERARCHY,
        start,
        start + count,
        lambda rng, n: rng.standard_normal((n, 2, modes)),
        DEFORMATION,
    )
    return displacement_fields(normals, shape, cut, max(shape) * sqrt(temperature))


def deform(images: Any, displacement: Any) -> Any:
    """Move images along displacement fields: pixel p shows what lay at p - displacement(p).

    Bilinear interpolation; places outside the frame are taken to its border.

    Parameters
    ----------
    images : array-like of shape (n, h, w) or (n, c, h, w)
        Images.
    displacement : array-like of shape (n, 2, h, w) or (2, h, w)
        To the right and downwards, in pixels; see `max_entropy_deformation`.

    Returns
    -------
    ndarray or Tensor
        Deformed images, of the kind, dtype (floating point) and device of the given ones; without a
        displacement they are bit-equal.

    Raises
    ------
    DataError
        If the shapes do not go together.

    Examples
    --------
    >>> image = np.array([[[0.0, 1.0, 2.0]] * 3])
    >>> deform(image, np.stack([np.full((3, 3), 0.5), np.zeros((3, 3))]))[0, 0].tolist()
    [0.0, 0.5, 1.5]
    """
    pixels = as_float_tensor(images, "images")
    field = as_float_tensor(displacement, "displacement")
    if pixels.ndim not in (3, 4) or min(pixels.shape[-2:]) < 2:
        raise DataError(
            f"images must have shape (n, h, w) or (n, c, h, w) of at least 2 pixels a side, got "
            f"{tuple(pixels.shape)}; reshape them."
        )
    wanted = (2, *pixels.shape[-2:])
    if tuple(field.shape[-3:]) != wanted or tuple(field.shape[:-3]) not in ((), (len(pixels),)):
        raise DataError(
            f"displacement must have shape {wanted} or {(len(pixels), *wanted)}, got "
            f"{tuple(field.shape)}; draw it for the shape of the images."
        )
    field = field.to(pixels).expand(len(pixels), *wanted)
    moved = remap(pixels if pixels.ndim == 4 else pixels[:, None], field)
    moved = moved if pixels.ndim == 4 else moved[:, 0]
    return moved if isinstance(images, Tensor) else moved.numpy()


def _check_cut(cut: float) -> None:
    if not np.isfinite(cut) or cut < 2:
        raise ValueError(
            f"cut must be at least 2, since the amplitude is divided by ln c, got {cut!r}; pass 3."
        )
