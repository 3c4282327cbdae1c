r"""The paper's extended map: piecewise linear between the centroids of the cells, cut at tears; d <= 3.

The regular triangulation of the targets, dual to the power diagram, is drawn once on the centroids
:math:`c_j` and once on anchors :math:`z_j`, the codes or codes smoothed (`transport.local_fit`);
each simplex of the one is mapped affinely to the same simplex of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS
from ot_latent.transport.barycentric import mixed, projection
from ot_latent.transport.corner_lists import Lists, expanded, first_best, incidence, lists_of
from ot_latent.transport.local_fit import fit_locally, neighbourhoods
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.triangulation import RegularTriangulation
from ot_latent.transport.unique_rows import unique_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INSIDE = -1e-9  # smallest barycentric coordinate that counts as inside
SIDE_SHARE = 4  # a fit need not take more than this part of a side of the tears
SLIVER = 1e-9  # volume of a simplex, relative to its edges, under which it counts as flat


class Spots(NamedTuple):
    """Where noise lies among the centroids."""

    corners: Tensor
    """Corners around, shape (m, d + 1)."""
    shares: Tensor
    """Barycentric coordinates among them, of the nearest point of the rim where none holds it."""
    step: Tensor
    """The way on from that point, shape (m, d)."""


@dataclass(frozen=True, eq=False)
class SimplexMap:
    r"""Piecewise linear map with :math:`T(c_j) = z_j`, continuous but for the tears.

    Noise in a simplex goes to :math:`\sum_k \lambda_k z_{i_k}`, where :math:`\lambda` are its
    barycentric coordinates among the centroids. Noise of cell j that no simplex around j holds,
    at the rim of the domain or of a side of a tear, goes to where the nearest point P of the
    simplices around j goes, and on by :math:`b\,S\,(x - P)`; S is the local slope at a corner,
    interpolated: that of the fits or, without them, the stretch
    :math:`\sum |z_j - z_k| / \sum |c_j - c_k|` over the edges there.

    A simplex that a tear cuts in parts is replaced by these parts, so that noise stays on the side
    of its cell. Simplices that the codes would turn over (they occur at the rim of the domain,
    rarely elsewhere) are left out.

    Parameters
    ----------
    centroids, points : Tensor of shape (N, d), float64
        Centroids of the cells and anchors.
    simplices : Tensor of shape (M, d + 1), int64
        Corners; -1 fills rows with fewer.
    overhang : float, default=1.0
        b, how far the map goes on beyond the outermost centroids.
    reversed : int, default=0
        How many simplices were left out.
    slopes : Tensor of shape (N, d, d), optional
        Local slopes.

    Examples
    --------
    >>> y = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> T = SimplexMap(y / 2, y, torch.tensor([[0, 1, 2]]))
    >>> T(torch.tensor([[0.5, 0.5], [0.5, -0.25]], dtype=torch.float64), torch.tensor([0, 0]))
    tensor([[ 1.0000,  1.0000],
            [ 1.0000, -0.5000]], dtype=torch.float64)
    """

    centroids: Tensor
    points: Tensor
    simplices: Tensor
    overhang: float = 1.0
    reversed: int = 0
    slopes: Tensor | None = None

    @classmethod
    def build(
        cls,
        potential: BrenierPotential,
        centroids: Tensor,
        torn: Callable[[Tensor], Tensor],
    ) -> SimplexMap:
        """Triangulate the targets and cut the simplices at tears; the anchors are the codes.

        Parameters
        ----------
        potential : BrenierPotential
            Potential of dimension 1, 2 or 3.
        centroids : Tensor of shape (N, d)
            Centroids of its cells; nan where a cell is empty.
        torn : callable
            Takes pairs (F, 2) of codes, says which of them a tear separates.

        Returns
        -------
        SimplexMap
            The map.

        Raises
        ------
        ValueError
            If the dimension exceeds 3.
        """
        points, middles = potential.points.double(), centroids.to(potential.points).double()
        found = RegularTriangulation(potential).simplices.to(points.device)
        usable = torch.isfinite(middles).all(dim=1)
        found = found[usable[found].all(dim=1)]
        upright = _upright(points, middles, found)
        kept, lost = found[upright], _edges(found[~upright])
        bare = torch.ones_like(usable).index_fill_(0, kept.flatten(), False)
        lost = lost[bare[lost].any(dim=1)]  # cells in strips: no simplices, but a chain
        pieces = [_padded(part, potential.dim + 1) for part in (kept, lost)]
        simplices = _cut(torch.cat(pieces), torn)
        return cls(middles, points, simplices, 1.0, int((~upright).sum()))

    def smoothed(self, a: float, b: float, neighbours: int) -> SimplexMap:
        """Return the map to smoothed anchors, with slopes of its own (`transport.local_fit`).

        Parameters
        ----------
        a, b : float
            Share of each code's residual that is kept, and of the local slope.
        neighbours : int
            Fits are made to the rings around a corner until they hold so many codes, or a quarter of
            its side of the tears. Where that is one, the code stays, and b is the overhang.

        Returns
        -------
        SimplexMap
            A map on the same simplices.
        """
        from scipy.sparse.csgraph import connected_components

        side = connected_components(self.adjacency, directed=False)[1]
        most = np.bincount(side)[side] // SIDE_SHARE
        around = neighbourhoods(self.adjacency, most.clip(1, neighbours))
        anchors, slopes = fit_locally(self.centroids, self.points, around, a, b)
        alone = torch.from_numpy(np.diff(around.indptr) == 1).to(slopes.device)
        slopes[alone] = b * self._slopes[alone]
        return replace(self, points=anchors, slopes=slopes)

    def __call__(self, x: Tensor, cells: Tensor) -> Tensor:
        """Map noise whose cells are known.

        Parameters
        ----------
        x : Tensor of shape (m, d), float64
            Noise.
        cells : Tensor of shape (m,)
            Cells; around them the simplices are sought.

        Returns
        -------
        Tensor of shape (m, d), float64
            Codes; every row by the same elementary operations, whatever the others are.
        """
        return self.at(self.locate(x, cells))

    def locate(self, x: Tensor, cells: Tensor) -> Spots:
        """Find noise among the centroids; anchors and slopes play no part in it.

        Parameters
        ----------
        x, cells
            As in a call.

        Returns
        -------
        Spots
            Where each row is.
        """
        blocks = range(0, max(len(x), 1), BLOCK_ROWS)
        parts = [self._block(x[i : i + BLOCK_ROWS], cells[i : i + BLOCK_ROWS]) for i in blocks]
        return Spots(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def at(self, spots: Spots) -> Tensor:
        """Return the codes of rows that were located on the same simplices.

        Parameters
        ----------
        spots : Spots
            From `locate`.

        Returns
        -------
        Tensor of shape (m, d), float64
            Codes.
        """
        corners, shares, step = spots
        columns = self._slopes[corners].unbind(dim=3)  # one of each matrix, (m, d + 1, d)
        onward = mixed(step, torch.stack([mixed(shares, part) for part in columns], dim=1))
        return mixed(shares, self.points[corners]) + self.overhang * onward

    def inverse(self) -> SimplexMap:
        """Return the map on the same simplices from codes to noise.

        It inverts this map on every simplex, and beyond the rim where the stretch is even.

        Returns
        -------
        SimplexMap
            Codes in the place of centroids; its cells are those of the codes nearby.
        """
        overhang = 1 / self.overhang if self.overhang else 0.0
        slopes = None if self.slopes is None else torch.linalg.pinv(self.slopes, hermitian=True)
        return SimplexMap(
            self.points, self.centroids, self.simplices, overhang, self.reversed, slopes
        )

    def _block(self, x: Tensor, cells: Tensor) -> Spots:
        """Locate one block; what nothing holds is at its own centroid."""
        corners = cells[:, None].repeat(1, x.shape[1] + 1)
        shares = torch.zeros_like(corners, dtype=x.dtype)
        shares[:, 0] = 1.0
        found = Spots(corners, shares, torch.zeros_like(x))
        left = torch.arange(len(x), device=x.device)
        for lists in (self._star, self._ring):
            if len(left) == 0:
                return found
            rows, *inside = self._inside(x[left], cells[left], lists)
            found.corners[left[rows]], found.shares[left[rows]] = inside
            left = _without(left, rows)
        rows, at_rim, part, step = self._beyond(x[left], cells[left])
        where = left[rows]
        found.corners[where, :-1], found.shares[where, :-1], found.step[where] = at_rim, part, step
        found.shares[where, -1] = 0.0
        return found

    def _inside(self, x: Tensor, cells: Tensor, lists: Lists) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows that a simplex of their lists holds, its corners and their shares."""
        row, simplex = expanded(lists, cells)
        shares = self._offsets[simplex]
        for axis in range(x.shape[1]):
            shares = shares + self._gradients[simplex, :, axis] * x[row, axis, None]
        chosen = first_best(row, shares.amin(dim=1), len(x))
        chosen = chosen[shares[chosen].amin(dim=1) >= INSIDE]
        return row[chosen], self._full[simplex[chosen]], shares[chosen]

    def _beyond(self, x: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rows, corners and shares of the nearest point of the rim, and the step from it."""
        row, face = expanded(self._rim, cells)
        corners = self._faces[face]  # (P, d)
        best = [x.new_full((len(row),), -torch.inf), torch.zeros_like(x[row])]
        for size in range(1, corners.shape[1] + 1):
            for few in combinations(range(corners.shape[1]), size):
                shares, valid = projection(x[row], self.centroids[corners[:, few]])
                valid &= (corners[:, few] >= 0).all(dim=1)
                spots = mixed(shares, self.centroids[corners[:, few]])
                near = torch.where(valid, -(x[row] - spots).square().sum(dim=1), -torch.inf)
                full = torch.zeros_like(best[1]).index_copy_(
                    1, torch.tensor(few, device=x.device), shares
                )
                nearer = near > best[0]
                best = [
                    torch.where(nearer, near, best[0]),
                    torch.where(nearer[:, None], full, best[1]),
                ]
        chosen = first_best(row, best[0], len(x))
        shares, who = best[1][chosen], corners[chosen].clamp(min=0)
        step = x[row[chosen]] - mixed(shares, self.centroids[who])
        return row[chosen], who, shares, step

    @cached_property
    def _full(self) -> Tensor:
        """Simplices of full dimension."""
        return self.simplices[(self.simplices >= 0).all(dim=1)]

    @cached_property
    def _coordinates(self) -> Tensor:
        """Matrices that take (x, 1) to barycentric coordinates, (M, d + 1, d + 1)."""
        corners = self.centroids[self._full]
        return torch.linalg.inv(torch.cat([corners, torch.ones_like(corners[..., :1])], dim=2).mT)

    @property
    def _gradients(self) -> Tensor:
        """Gradients of the barycentric coordinates."""
        return self._coordinates[..., :-1]

    @property
    def _offsets(self) -> Tensor:
        """Barycentric coordinates of the origin."""
        return self._coordinates[..., -1]

    @cached_property
    def _star(self) -> Lists:
        """Full simplices at each cell."""
        return lists_of(incidence(self._full, len(self.points)))

    @cached_property
    def _ring(self) -> Lists:
        """Full simplices at each cell and at those that share a simplex with it."""
        return lists_of(self.adjacency @ incidence(self._full, len(self.points)))

    @cached_property
    def _rim(self) -> Lists:
        """Faces of the rim at each cell and at those that share a simplex with it."""
        return lists_of(self.adjacency @ incidence(self._faces, len(self.points)))

    @cached_property
    def _faces(self) -> Tensor:
        """Faces of full simplices that have no other on the far side, and all smaller pieces."""
        d = self.points.shape[1]
        sides = torch.cat([self._full[:, few] for few in combinations(range(d + 1), d)])
        faces, counts = unique_rows(sides)
        small = self.simplices[(self.simplices < 0).any(dim=1), :d]
        return torch.cat([faces[counts == 1], small])

    @cached_property
    def adjacency(self) -> csr_array:
        """Cells that share a simplex, each with itself."""
        touching = incidence(self.simplices, len(self.points))
        return touching @ touching.T

    @cached_property
    def _slopes(self) -> Tensor:
        """Slopes; by default the length of the edges at each code over that at its centroid."""
        if self.slopes is not None:
            return self.slopes
        edges = _edges(self.simplices)
        lengths = [
            (a[edges[:, 0]] - a[edges[:, 1]]).norm(dim=1) for a in (self.points, self.centroids)
        ]
        sums = [
            length.new_zeros(len(self.points)).index_add_(0, edges.T.flatten(), length.repeat(2))
            for length in lengths
        ]
        stretch = torch.where(sums[1] > 0, sums[0] / sums[1].clamp(min=1e-300), 0.0)
        return stretch[:, None, None] * torch.eye(self.points.shape[1]).to(stretch)


def _upright(points: Tensor, middles: Tensor, simplices: Tensor) -> Tensor:
    """Whether each simplex has the same orientation on codes and centroids, and a volume there."""
    if simplices.shape[1] <= points.shape[1]:  # the codes lie in a subspace: nothing to turn over
        return torch.ones(len(simplices), dtype=torch.bool, device=points.device)
    on_codes, on_noise = (a[simplices[:, 1:]] - a[simplices[:, :1]] for a in (points, middles))
    volume = torch.linalg.det(on_noise)
    lengths = on_noise.norm(dim=2).prod(dim=1)
    return volume * torch.linalg.det(on_codes).sign() > SLIVER * lengths


def _cut(simplices: Tensor, torn: Callable[[Tensor], Tensor]) -> Tensor:
    """Replace simplices by their parts that tears do not separate."""
    count = simplices.shape[1]
    joined = (simplices >= 0)[:, :, None] & torch.eye(
        count, dtype=torch.bool, device=simplices.device
    )
    for i, j in combinations(range(count), 2):
        pair = simplices[:, [i, j]]
        whole = (pair >= 0).all(dim=1)
        whole[whole.clone()] = ~torn(pair[whole])
        joined[:, i, j] = joined[:, j, i] = whole
    for _ in range(2):  # paths of up to four edges
        joined = (joined.long() @ joined.long()) > 0
    parts = torch.where(joined, simplices[:, None], -1).reshape(-1, count)
    parts = parts[(parts >= 0).any(dim=1)].sort(dim=1, descending=True)[0]
    return unique_rows(parts)[0]


def _edges(simplices: Tensor) -> Tensor:
    """Return the pairs i < j that share a simplex, each once."""
    pairs = [simplices[:, few] for few in combinations(range(simplices.shape[1]), 2)]
    both = torch.cat(pairs) if pairs else simplices.new_zeros((0, 2))
    both = both[(both >= 0).all(dim=1)]
    return unique_rows(both.sort(dim=1)[0])[0]


def _padded(simplices: Tensor, columns: int) -> Tensor:
    """Fill rows with -1."""
    rest = columns - simplices.shape[1]
    return torch.nn.functional.pad(simplices, (0, rest), value=-1)


def _without(left: Tensor, rows: Tensor) -> Tensor:
    """Return `left` without the entries at `rows`."""
    keep = torch.ones(len(left), dtype=torch.bool, device=left.device)
    keep[rows] = False
    return left[keep]
