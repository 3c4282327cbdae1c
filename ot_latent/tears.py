"""Where a map of the plane is torn, for drawing: the tears of `transport.singular` as segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ot_latent.transport.power_diagram import PowerDiagram

LEAST, FULL = 3.0, 10.0  # times the local spacing: from where on, and to where, tears get stronger
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
    """Return the tears of `transport.detect_singular_set` as segments, for drawing.

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
    from ot_latent.transport.singular import detect_singular_set

    segments, pairs = facet_segments(diagram)
    found = detect_singular_set(diagram, tear=LEAST, samples=0)
    count = found.count
    known = found.pairs.cpu().numpy() @ np.array([count, 1])  # in rising order
    wanted = pairs @ np.array([count, 1])
    order = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    if len(known) == 0:
        return Tears(segments[:0], pairs[:0], np.zeros(0), np.zeros(0))
    held = known[order] == wanted  # an edge of no extent is no facet
    jumps, ratios = (a.cpu().numpy()[order] for a in (found.jumps, found.relative_jumps))
    torn = np.flatnonzero(held & found.torn.cpu().numpy()[order])
    torn = torn[np.argsort(ratios[torn], kind="stable")]
    return Tears(segments[torn], pairs[torn], jumps[torn], ratios[torn])


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
