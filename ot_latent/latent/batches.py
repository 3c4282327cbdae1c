"""Which rows and which noise a step of a training sees: functions of (seed, epoch, step)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ot_latent._apart import apart
from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.kernels.deformations import displacement_fields, remap, sine_modes

HIGHEST = 3
"""Highest frequency of the deformations that rows of images are trained on."""


class Batches:
    """The batches of a training, cut into one slice per process.

    An epoch is a permutation drawn from (seed, epoch), cut into batches whose sizes differ by one
    row at most, so that no small rest disturbs the last step.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
        All rows.
    steps : int
        Batches per epoch.
    seed : int
        Seed of order and noise.
    process, processes : int, default=0, 1
        Which slice is ours, and of how many.
    """

    def __init__(
        self, x: Tensor, *, steps: int, seed: int, process: int = 0, processes: int = 1
    ) -> None:
        self.x, self.steps, self.seed = x, steps, seed
        self.process, self.processes = process, processes
        self._order: tuple[int, np.ndarray] | None = None

    def rows(self, epoch: int, step: int) -> np.ndarray:
        """Return the row numbers of a whole batch.

        Parameters
        ----------
        epoch, step : int
            Which batch, from 0.

        Returns
        -------
        numpy.ndarray of shape (batch,)
            Row numbers.
        """
        if self._order is None or self._order[0] != epoch:
            rng = generator(self.seed, Stream.TRAINING_ORDER, epoch)
            self._order = (epoch, rng.permutation(len(self.x)))
        return np.array_split(self._order[1], self.steps)[step]

    def mine(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's slice of an array with one entry per row of the batch.

        Parameters
        ----------
        rows : numpy.ndarray of shape (batch, ...)
            The whole batch.

        Returns
        -------
        numpy.ndarray of shape (about batch / processes, ...)
            The slice.
        """
        return np.array_split(rows, self.processes)[self.process]

    def inputs(self, count: int, batch: np.ndarray, deformation: float = 0.0) -> Tensor:
        """Return this process's rows of a batch, deformed smoothly where that is asked for.

        Fields of largest entropy and frequencies up to 3 (Petrini et al., 2021), drawn anew for each
        step; as inputs and as what is to be rebuilt, rows are seen deformed.

        Parameters
        ----------
        count : int
            Number of the step since the start.
        batch : numpy.ndarray of shape (batch,)
            Row numbers of the whole batch.
        deformation : float, default=0
            Root mean square of the displacement over an image, in pixels.

        Returns
        -------
        Tensor of shape (about batch / processes, *shape)
            Rows; without deformation as they are.

        Raises
        ------
        ValueError
            If rows that are no images shall be deformed.
        """
        x = self.x[torch.from_numpy(self.mine(batch))]
        if not deformation:
            return x
        if x.ndim != 4 or min(x.shape[2:]) < 2:
            raise ValueError(
                f"deformation must be 0 for rows of shape {tuple(x.shape[1:])}, got {deformation:g}; "
                "only images can be deformed."
            )
        modes = sine_modes(HIGHEST)
        # two components, and the mean of sin^2 sin^2 over the square is 1/4
        scale = deformation / np.sqrt((1.0 / (modes**2).sum(axis=1)).sum() / 2)
        rng = generator(self.seed, Stream.CODE_NOISE, count, 2)
        normals = self.mine(rng.standard_normal((len(batch), 2, len(modes))))
        shape = (int(x.shape[2]), int(x.shape[3]))
        return remap(x, displacement_fields(normals, shape, HIGHEST, float(scale)).to(x))

    def noise(self, count: int, rows: int, dim: int, *, salt: int | None = None) -> Tensor:
        """Return standard normal draws for this process's rows of a batch.

        Parameters
        ----------
        count : int
            Number of the step since the start.
        rows : int
            Rows of the whole batch.
        dim : int
            Draws per row.
        salt : int, optional
            Tells apart several uses in one step.

        Returns
        -------
        Tensor of shape (about rows / processes, dim)
            The same numbers for a row whatever the number of processes.
        """
        rng = generator(self.seed, Stream.CODE_NOISE, count, *([] if salt is None else [salt]))
        return torch.from_numpy(self.mine(rng.standard_normal((rows, dim), dtype=np.float32)))


def split_rows(
    x: Tensor, fraction: float, seed: int, groups: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Hold out a share of the rows, drawn once per seed; none where only few rows are left.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
        Rows.
    fraction : float
        Share to hold out.
    seed : int
        Seed of the split.
    groups : numpy.ndarray of shape (n,), optional
        Group of each row; no group is held out in part.

    Returns
    -------
    training : Tensor
        The other rows, in order.
    held : Tensor
        The rows held out, in order; perhaps none.
    """
    held = min(round(fraction * len(x)), len(x) - 2)
    if held < 1:
        return x, x[:0]
    parts = apart(len(x), held, generator(seed, Stream.SPLIT, 0), groups)
    out, keep = (torch.from_numpy(np.sort(part)) for part in parts)
    return x[keep], x[out]


def check_rows(x: Tensor, name: str, shape: tuple[int, ...], *, least: int) -> None:
    """Refuse rows that a network cannot learn from, before anything is trained.

    Parameters
    ----------
    x : Tensor of shape (n, *shape)
        Rows as `DataCodec.encode` returns them.
    name : str
        Name used in the refusal.
    shape : tuple of int
        Shape of a row; three axes mean images, whose values lie in [0, 1].
    least : int
        Smallest number of rows.

    Raises
    ------
    TypeError
        If `x` is no floating-point tensor.
    DataError
        If shape, number or values do not fit.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{name} must be a float32 tensor, got {got}; use DataCodec.encode.")
    if tuple(x.shape[1:]) != shape or len(x) < least:
        raise DataError(
            f"{name} must be at least {least} rows of shape {shape}, got shape "
            f"{tuple(x.shape)}; pass the rows that the model was built for."
        )
    if not bool(torch.isfinite(x.sum(dtype=torch.float64))):
        raise DataError(f"{name} must be finite, got NaN or infinite values; drop these rows.")
    if len(shape) == 3 and not (x.min() >= -0.1 and x.max() <= 1.1):
        raise DataError(
            f"{name} must hold images in [0, 1], got out-of-range values in [{x.min():g}, "
            f"{x.max():g}]; use DataCodec.encode."
        )
    if least > 1 and bool((x == x[0]).all()):
        raise DataError(f"{name} must vary, got {len(x)} equal rows; pass different rows.")
