"""Where a map of the plane is torn: facets between cells whose codes lie unusually far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ot_latent.transport.power_diagram import PowerDiagram

LEAST, FULL = 3.0, 10.0  # times the local spacing: from where on, and to where, tears get stronger
WINDOWS, FEW = 24, 7  # windows along a side of the domain; facets that each should hold at least
Array = np.ndarray


class Tears(NamedTuple):
    """Torn facets, the weakest first.

    Attributes
    ----------
    segments : ndarray of shape (F, 2, 2)
        Both ends of each facet.
    pairs : ndarray of shape (F, 2), int
        The cells i < j on its sides.
    jumps : ndarray of shape (F,)
        Distance of their codes.
    ratios : ndarray of shape (F,)
        Jump over the local spacing, at least three.
    """

    segments: Array
    pairs: Array
    jumps: Array
    ratios: Array

    @property
    def strengths(self) -> Array:
        """Logarithm of the ratio: 0 at three times the spacing, 1 at ten times and more."""
        return np.minimum(np.log(self.ratios / LEAST) / np.log(FULL / LEAST), 1.0)


def find_tears(diagram: PowerDiagram) -> Tears:
    """Return the facets across which the map jumps by much more than it does around them.

    The gradient of a convex potential jumps at every facet, from one code to another. Where codes
    lie densely these jumps only sample a continuous map; where there is a gap between codes, they
    are what stays of a discontinuity. The local spacing is the median jump over the facets of a
    window of an eighth of the domain's width around (more where there are few cells). A heuristic,
    meant for the eye: it measures a jump against the jumps nearby in the noise, so stray codes
    between two modes do not hide the tear, as they may from `transport.detect_singular_set`,
    which measures against the spacing of the two codes themselves.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.

    Returns
    -------
    Tears
        Facets whose jump exceeds three times the local spacing.

    Examples
    --------
    >>> from ot_latent.transport import BrenierPotential, PowerDiagram, UniformBox
    >>> y = np.r_[np.linspace(0.0, 0.4, 6), np.linspace(3.0, 3.4, 6)]  # two groups on a line
    >>> u = BrenierPotential(np.stack([y, 0 * y], axis=1), -np.cumsum(np.r_[0, np.diff(y)] * (np.arange(12) / 12)))
    >>> torn = find_tears(PowerDiagram(UniformBox.unit(2), u))
    >>> torn.pairs.tolist(), torn.segments[0, :, 0].round(6).tolist()
    ([[5, 6]], [0.5, 0.5])
    """
    segments, pairs = facet_segments(diagram)
    codes = diagram.potential.points.detach().cpu().double().numpy()
    jumps = np.linalg.norm(codes[pairs[:, 0]] - codes[pairs[:, 1]], axis=1)
    if len(jumps) == 0:
        return Tears(segments, pairs, jumps, jumps)
    ratio = jumps / _spacing(segments.mean(axis=1), jumps)
    torn = np.flatnonzero(ratio > LEAST)
    torn = torn[np.argsort(ratio[torn], kind="stable")]
    return Tears(segments[torn], pairs[torn], jumps[torn], ratio[torn])


def facet_segments(diagram: PowerDiagram) -> tuple[Array, Array]:
    """Return the edges between cells, each once, and the two cells on its sides.

    Parameters
    ----------
    diagram : PowerDiagram
        Cells in the plane.

    Returns
    -------
    segments : ndarray of shape (F, 2, 2)
        Both ends of each edge.
    pairs : ndarray of shape (F, 2)
        Cells i < j.
    """
    vertices, offsets, across = diagram.polygons()
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    following = np.arange(len(vertices)) + 1
    following[offsets[1:][sizes > 0] - 1] = offsets[:-1][sizes > 0]
    once = owner < across
    segments = np.stack([vertices[once], vertices[following[once]]], axis=1)
    return segments, np.stack([owner[once], across[once]], axis=1)


def _spacing(places: Array, jumps: Array) -> Array:
    """Return for each facet the median jump in its window and the eight around it."""
    side = int(np.clip(np.sqrt(len(jumps) / FEW), 1, WINDOWS))
    low, high = places.min(axis=0), places.max(axis=0)
    window = (side * (places - low) / np.maximum(high - low, 1e-300)).astype(int)
    window = np.minimum(window, side - 1)
    turn = np.argsort(window[:, 0] * side + window[:, 1], kind="stable")
    ends = np.searchsorted((window[:, 0] * side + window[:, 1])[turn], np.arange(side**2 + 1))
    found = np.empty((side, side))
    for i, j in np.ndindex(side, side):
        first, last = max(j - 1, 0), min(j + 1, side - 1)
        rows = range(max(i - 1, 0), min(i + 1, side - 1) + 1)
        parts = [turn[ends[k * side + first] : ends[k * side + last + 1]] for k in rows]
        around = jumps[np.concatenate(parts)]
        found[i, j] = np.median(around) if len(around) else np.nan
    return found[window[:, 0], window[:, 1]]
