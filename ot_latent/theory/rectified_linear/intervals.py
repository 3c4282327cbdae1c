"""Intervals of a parameter, split at the zeros of affine functions: the domain of paths."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ot_latent.theory.layers import Affine
from ot_latent.theory.rectified_linear.pushing import Domain


class Intervals(Domain):
    """Intervals ``[low, high]`` of the parameter t in [0, 1].

    Parameters
    ----------
    low, high : numpy.ndarray of shape (pieces,)
        The ends.
    owner : numpy.ndarray of shape (pieces,)
        Number of the segment of the path that the interval lies on.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, owner: np.ndarray) -> None:
        self.low, self.high, self.owner = low, high, owner

    def __len__(self) -> int:
        return len(self.low)

    def take(self, start: int, stop: int) -> Intervals:
        """Return some of the intervals.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Intervals
            The intervals.
        """
        part = slice(start, stop)
        return Intervals(self.low[part], self.high[part], self.owner[part])

    def split(self, z: np.ndarray) -> tuple[Intervals, np.ndarray, np.ndarray]:
        """Cut every interval at the zeros of its affine functions.

        Parameters
        ----------
        z : numpy.ndarray of shape (pieces, 2, units)
            Slope and constant.

        Returns
        -------
        intervals : Intervals
            From left to right within each old interval.
        parents : numpy.ndarray of shape (new pieces,)
            Number of the old interval.
        positive : numpy.ndarray of shape (new pieces, units)
            Whether the function is positive there; one that vanishes on the interval is not.
        """
        from ot_latent.theory.rectified_linear.cutting import cut_intervals

        low, high, parents, positive = cut_intervals(self.low, self.high, np.ascontiguousarray(z))
        return Intervals(low, high, self.owner[parents]), parents, positive

    def apply(self, layer: Affine, inputs: list[Tensor]) -> Tensor:
        """Return an affine layer of affine functions.

        Slopes go through the layer; constants only where a segment starts: elsewhere they follow
        from continuity, ``c_i = c_{i-1} + (s_{i-1} - s_i) low_i``, at half the cost.

        Parameters
        ----------
        layer : Affine
            The layer.
        inputs : list of Tensor of shape (pieces, 2, ...)
            Slopes and constants of what it reads.

        Returns
        -------
        Tensor of shape (pieces, 2, *shape)
            Slopes and constants of what it yields.
        """
        if layer.weight is None:
            return super().apply(layer, inputs)
        first = np.append(True, self.owner[1:] != self.owner[:-1])
        begins = torch.from_numpy(np.flatnonzero(first))
        both = [torch.cat([x[:, 0], x[begins, 1]]) for x in inputs]
        image = layer.linear(*both).flatten(1)
        slopes, starts = image[: len(self)], image[len(self) :] + layer.bias.flatten()
        out = torch.empty((len(self), 2, layer.size), dtype=torch.float64)
        out[:, 0] = slopes
        steps = out[:, 1]
        torch.sub(slopes[:-1], slopes[1:], out=steps[1:])
        steps *= torch.from_numpy(self.low)[:, None]
        steps[begins] = starts
        ends = [*begins[1:].tolist(), len(self)]
        for start, end in zip(begins.tolist(), ends, strict=True):
            torch.cumsum(steps[start:end], dim=0, out=steps[start:end])
        return out.reshape(len(self), 2, *layer.shape)
