"""Intervals of a parameter, split at the zeros of affine functions: the domain of paths."""

from __future__ import annotations

import numpy as np

from ot_latent.theory.rectified_linear.pushing import ROUNDING


class Intervals:
    """Intervals ``[low, high]`` of the parameter t in [0, 1].

    Parameters
    ----------
    low, high : numpy.ndarray of shape (pieces,)
        The ends.
    owner : numpy.ndarray of shape (pieces,)
        Number of the segment of the path that the interval lies on.
    """

    units_at_once = 0

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
        rows, at = self._crossings(z)
        parents = np.concatenate([np.arange(len(self)), rows])
        low = np.concatenate([self.low, at])
        order = np.lexsort((low, parents))
        parents, low = parents[order], low[order]
        last = np.append(parents[1:] != parents[:-1], True)
        high = np.where(last, self.high[parents], np.append(low[1:], 0.0))
        middle = ((low + high) / 2)[:, None]
        slope, constant = z[parents, 0], z[parents, 1]
        noise = ROUNDING * (np.abs(slope) + np.abs(constant))
        positive = slope * middle + constant > noise
        return Intervals(low, high, self.owner[parents]), parents, positive

    def _crossings(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return interval and place of every zero inside an interval, each place once."""
        low, high = self.low[:, None], self.high[:, None]
        noise = ROUNDING * (np.abs(z[:, 0]) + np.abs(z[:, 1]))
        left, right = z[:, 0] * low + z[:, 1], z[:, 0] * high + z[:, 1]
        rising = (left < -noise) & (right > noise)
        rows, units = np.nonzero(rising | ((left > noise) & (right < -noise)))
        left, right = left[rows, units], right[rows, units]
        start, end = self.low[rows], self.high[rows]
        at = start + (end - start) * (left / (left - right))
        order = np.lexsort((at, rows))
        rows, at, start, end = rows[order], at[order], start[order], end[order]
        same = np.append(False, rows[1:] == rows[:-1])
        before = np.where(same, np.append(0.0, at[:-1]), start)
        resolved = ROUNDING * np.maximum(1.0, np.abs(end))
        kept = (at - before > resolved) & (end - at > resolved)
        return rows[kept], at[kept]
