"""Intervals of shares that draws have counted."""

from __future__ import annotations

import math

QUANTILE = 1.959963984540054  # of a two-sided 95 % interval


def wilson(hits: int, draws: int) -> tuple[float, tuple[float, float]]:
    """Return a share and its 95 % interval (Wilson's); nan without draws.

    Parameters
    ----------
    hits, draws : int
        How many of how many.

    Returns
    -------
    share : float
        Their ratio.
    interval : tuple of float
        Its ends.

    Examples
    --------
    >>> share, (low, high) = wilson(0, 100)
    >>> share, low, round(high, 4)
    (0.0, 0.0, 0.037)
    """
    if draws == 0:
        return math.nan, (math.nan, math.nan)
    share, z = hits / draws, QUANTILE**2 / draws
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(share * (1 - share) * z + z * z / 4) / (1 + z)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return share, (low if hits else 0.0, high if hits < draws else 1.0)
