"""Convex polytopes by their corners and facets, split at the zeros of affine functions, any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ot_latent.theory.rectified_linear.pushing import ROUNDING, Domain


@dataclass(frozen=True)
class Polytope:
    """A bounded convex polytope, by corners and by facets (the double description)."""

    corners: np.ndarray
    """Corners, (v, d)."""
    on: np.ndarray
    """Which corner lies on which facet, (v, facets)."""
    halfspaces: np.ndarray
    """``halfspaces[:, :-1] @ x + halfspaces[:, -1] <= 0`` inside, one row per facet."""
    extent: float
    """Largest coordinate of the whole domain: corners are known to a share of it."""

    @classmethod
    def box(cls, low: np.ndarray, high: np.ndarray) -> Polytope:
        """Return a box.

        Parameters
        ----------
        low, high : numpy.ndarray of shape (d,)
            Its least and its greatest corner.

        Returns
        -------
        Polytope
            With 2^d corners and 2d facets.
        """
        ends = np.array(list(product([0, 1], repeat=len(low))), dtype=bool)
        unit = np.eye(len(low))
        halfspaces = np.block([[-unit, low[:, None]], [unit, -high[:, None]]])
        extent = float(np.abs([low, high]).max())
        return cls(np.where(ends, high, low), np.hstack([~ends, ends]), halfspaces, extent)

    def facet_centres(self) -> np.ndarray:
        """Return the mean corner of every facet.

        Returns
        -------
        numpy.ndarray of shape (facets, d)
            The mean corners.
        """
        return (self.on.T @ self.corners) / self.on.sum(axis=0)[:, None]

    def halves(self, normal: np.ndarray, constant: float) -> tuple[Polytope, Polytope] | None:
        """Cut by the hyperplane ``normal @ x + constant = 0``.

        Parameters
        ----------
        normal : numpy.ndarray of shape (d,)
            The normal.
        constant : float
            The constant.

        Returns
        -------
        tuple of Polytope, or None
            The parts where the function is >= 0 and <= 0; None if the hyperplane does not pass
            through the inside.
        """
        value = self.corners @ normal + constant
        noise = ROUNDING * (np.abs(normal).sum() * self.extent + abs(constant))
        above, below = np.flatnonzero(value > noise), np.flatnonzero(value < -noise)
        if not len(above) or not len(below):
            return None
        upper, lower = self._edges(above, below)
        common = self.on[upper] & self.on[lower]
        share = (value[upper] / (value[upper] - value[lower]))[:, None]
        cuts = self.corners[upper] + share * (self.corners[lower] - self.corners[upper])
        touching = np.abs(value) <= noise
        plane = np.append(normal, constant)
        parts = [
            self._part(np.append(side, np.flatnonzero(touching)), touching, cuts, common, s * plane)
            for side, s in ((above, -1.0), (below, 1.0))
        ]
        return parts[0], parts[1]

    def _edges(self, above: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges that join the two sides.

        Two corners are joined by an edge if no third corner lies on all facets that they share.
        """
        common = self.on[above][:, None] & self.on[below]
        i, j = np.nonzero(common.sum(axis=2) >= self.corners.shape[1] - 1)
        missed = common[i, j].astype(np.int32) @ (~self.on).T.astype(np.int32)
        edge = (missed == 0).sum(axis=1) == 2
        return above[i[edge]], below[j[edge]]

    def _part(
        self,
        kept: np.ndarray,
        touching: np.ndarray,
        cuts: np.ndarray,
        common: np.ndarray,
        plane: np.ndarray,
    ) -> Polytope:
        """Return one side of the cut; facets that it does not touch are left out."""
        corners = np.vstack([self.corners[kept], cuts])
        fresh = np.append(touching[kept], np.ones(len(cuts), bool))
        on = np.column_stack([np.vstack([self.on[kept], common]), fresh])
        bounding = on.sum(axis=0) >= corners.shape[1]
        halfspaces = np.vstack([self.halfspaces, plane])[bounding]
        return Polytope(corners, on[:, bounding], halfspaces, self.extent)


class Polytopes(Domain):
    """Several polytopes, as a domain of `ot_latent.theory.rectified_linear.pushing.push`.

    Parameters
    ----------
    parts : list of Polytope
        The polytopes.
    """

    units_at_once = 2

    def __init__(self, parts: list[Polytope]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts)

    def take(self, start: int, stop: int) -> Polytopes:
        """Return some of the polytopes.

        Parameters
        ----------
        start, stop : int
            Half-open range.

        Returns
        -------
        Polytopes
            The polytopes.
        """
        return Polytopes(self.parts[start:stop])

    def split(self, z: np.ndarray) -> tuple[Polytopes, np.ndarray, np.ndarray]:
        """Cut every polytope by the zeros of its affine functions.

        Parameters
        ----------
        z : numpy.ndarray of shape (polytopes, d + 1, units)
            d slopes and a constant.

        Returns
        -------
        polytopes : Polytopes
            Parts of one polytope stay together.
        parents : numpy.ndarray of shape (new polytopes,)
            Number of the old polytope.
        positive : numpy.ndarray of shape (new polytopes, units)
            Whether the function is positive there; one that vanishes there is not.
        """
        parts = [_cut(part, own) for part, own in zip(self.parts, z, strict=True)]
        parents = np.repeat(np.arange(len(self)), [len(p) for p in parts])
        flat = [piece for group in parts for piece in group]
        inside = np.stack([piece.corners.mean(axis=0) for piece in flat])
        own = z[parents]
        value = (own[:, :-1] * inside[:, :, None]).sum(axis=1) + own[:, -1]
        size = np.abs(own[:, :-1]).sum(axis=1) * flat[0].extent + np.abs(own[:, -1])
        return Polytopes(flat), parents, value > ROUNDING * size


def _cut(part: Polytope, z: np.ndarray) -> list[Polytope]:
    """Return the parts into which the zeros of all units cut one polytope."""
    value = part.corners @ z[:-1] + z[-1]
    crossing = np.flatnonzero((value > 0).any(axis=0) & (value < 0).any(axis=0))
    pieces = [part]
    for unit in crossing:
        halves = [(piece, piece.halves(z[:-1, unit], z[-1, unit])) for piece in pieces]
        pieces = [half for piece, both in halves for half in (both or (piece,))]
    return pieces
