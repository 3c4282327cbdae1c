"""Neighbours among codes: who is near, how far apart near codes lie, and which side of a gap they are on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import nearest

SPACING = 5  # the spacing at a code is the distance to its fifth nearest other code
TREE_DIM, TREE_ROWS = 3, 2000  # up to which dimension, and from how many codes, a tree is faster
Budget = int | str | None


def nearest_codes(
    queries: Tensor, points: Tensor, k: int, memory_budget: Budget = None
) -> tuple[Tensor, Tensor]:
    """Return distance and number of the k nearest codes of each row; in few dimensions by a tree.

    Parameters
    ----------
    queries : Tensor of shape (m, d)
        Rows.
    points : Tensor of shape (N, d)
        Codes.
    k : int
        How many, at most N.
    memory_budget : int or str, optional
        As in `kernels.dispatch.nearest`.

    Returns
    -------
    distances : Tensor of shape (m, k)
        Rising in each row.
    indices : Tensor of shape (m, k), int64
        Numbers of the codes.
    """
    if points.shape[1] > TREE_DIM or len(points) < TREE_ROWS:
        return nearest(queries, points, k, memory_budget=memory_budget)
    from scipy.spatial import cKDTree

    rows = [tensor.detach().cpu().double().numpy() for tensor in (queries, points)]
    distances, indices = cKDTree(rows[1]).query(rows[0], k)
    shape = (len(rows[0]), k)
    return (
        torch.from_numpy(distances.reshape(shape)).to(points),
        torch.from_numpy(indices.reshape(shape)).to(points.device),
    )


def neighbour_table(
    points: Tensor, k: int, groups: Tensor | None = None, memory_budget: Budget = None
) -> Tensor:
    """Return the nearest codes of each code within its group, the code itself first.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    k : int
        Number of neighbours, the code itself included; at most N are used.
    groups : Tensor of shape (N,), optional
        Integers; codes see their own group only.
    memory_budget : int or str, optional
        As in `nearest_codes`.

    Returns
    -------
    Tensor of shape (N, k), int64
        Numbers of codes; -1 where a group is smaller than k.
    """
    if groups is None:
        return nearest_codes(points, points, min(k, len(points)), memory_budget)[1]
    groups = groups.to(points.device)
    sizes = torch.unique(groups, return_counts=True)
    table = torch.full((len(points), min(k, int(sizes[1].max()))), -1, device=points.device)
    for group in sizes[0]:
        members = torch.nonzero(groups == group).squeeze(1)
        own = points[members]
        few = min(k, len(members))
        table[members, :few] = members[nearest_codes(own, own, few, memory_budget)[1]]
    return table


def local_spacing(points: Tensor, table: Tensor) -> Tensor:
    """Return the distance of each code to its fifth nearest other code, or the last there is.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    table : Tensor of shape (N, k)
        As from `neighbour_table`; the more columns than five, the merrier only for others.

    Returns
    -------
    Tensor of shape (N,), float64
        Spacing; infinite for a code that is alone in its group.

    Examples
    --------
    >>> y = torch.arange(8.0)[:, None]
    >>> local_spacing(y, neighbour_table(y, 6))
    tensor([5., 4., 3., 3., 3., 3., 4., 5.], dtype=torch.float64)
    """
    few = table[:, : SPACING + 1]
    steps = points[few.clamp(min=0)].double() - points[:, None].double()
    lengths = steps.norm(dim=2).masked_fill(few < 0, 0.0)
    alone = (few >= 0).sum(dim=1) < 2
    return lengths.amax(dim=1).masked_fill(alone, math.inf)


def relative_jump(points: Tensor, pairs: Tensor, spacing: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the distance of pairs of codes, and its ratio to the larger of their spacings.

    The ratio does not change when codes are moved, turned or scaled. The larger spacing keeps
    stragglers, which are far from everything, from counting as torn off.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    pairs : Tensor of shape (F, 2)
        Numbers of codes.
    spacing : Tensor of shape (N,)
        As from `local_spacing`.

    Returns
    -------
    jumps, ratios : Tensor of shape (F,), float64
        :math:`|y_i - y_j|`, and :math:`|y_i - y_j| / \max(s_i, s_j)`.
    """
    ends = points[pairs].double()  # (F, 2, d)
    jumps = (ends[:, 0] - ends[:, 1]).norm(dim=1)
    unit = spacing[pairs].amax(dim=1)
    return jumps, torch.where(unit > 0, jumps / unit, math.inf)


def dihedral_angle(y: Tensor, z: Tensor) -> Tensor:
    r"""Return the angle between the planes of slopes y and z in the graph of a potential.

    Parameters
    ----------
    y, z : Tensor of shape (F, d)
        Codes.

    Returns
    -------
    Tensor of shape (F,)
        :math:`\arccos` of the cosine between :math:`(y, -1)` and :math:`(z, -1)`, in radians.

    Examples
    --------
    >>> dihedral_angle(torch.tensor([[0.0]]), torch.tensor([[1.0]])) * 180 / math.pi
    tensor([45.])
    """
    cosine = (y * z).sum(dim=1) + 1
    lengths = ((y.square().sum(dim=1) + 1) * (z.square().sum(dim=1) + 1)).sqrt()
    return (cosine / lengths).clamp(-1, 1).arccos()


def sides(points: Tensor, table: Tensor, tear: float, groups: Tensor | None = None) -> Tensor:
    """Return which side of the tears each code is on.

    Two near neighbours are on one side unless their relative jump exceeds `tear`, and sides are
    the connected components of that. A heuristic: a few codes that bridge a gap join its
    sides. Sides of no more than five codes are no modes; they join the nearest larger side
    of their group.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    table : Tensor of shape (N, k)
        As from `neighbour_table` with the same groups.
    tear : float
        Relative jump above which a pair is torn.
    groups : Tensor of shape (N,), optional
        Integers; sides do not leave their group.

    Returns
    -------
    Tensor of shape (N,), int64
        Numbers of the sides.

    Examples
    --------
    >>> y = torch.cat([torch.arange(10.0), 50 + torch.arange(10.0)])[:, None]
    >>> sides(y, neighbour_table(y, 12), 3.0).unique(return_counts=True)[1]
    tensor([10, 10])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(points)
    own = torch.arange(count, device=table.device)[:, None].expand_as(table)
    pairs = torch.stack([own, table], dim=2)[table >= 0]
    ratios = relative_jump(points, pairs, local_spacing(points, table))[1]
    joined = pairs[ratios <= tear].cpu().numpy()
    graph = coo_array(([True] * len(joined), joined.T), shape=(count, count))
    found = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    return _without_crumbs(points, found.to(points.device), groups)


def _without_crumbs(points: Tensor, found: Tensor, groups: Tensor | None) -> Tensor:
    """Let sides of few codes join the nearest larger side of their group."""
    large = torch.bincount(found)[found] > SPACING
    one = torch.zeros_like(found) if groups is None else groups.to(found.device)
    for group in torch.unique(one[~large]):
        lost = torch.nonzero(~large & (one == group)).squeeze(1)
        hosts = torch.nonzero(large & (one == group)).squeeze(1)
        if len(hosts):
            found[lost] = found[hosts[nearest_codes(points[lost], points[hosts], 1)[1][:, 0]]]
    return torch.unique(found, return_inverse=True)[1]


def one_sided_table(
    points: Tensor,
    k: int,
    tear: float,
    groups: Tensor | None = None,
    memory_budget: Budget = None,
    table: Tensor | None = None,
) -> Tensor:
    """Return the nearest codes of each code on its own side of the tears.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    k : int
        Number of neighbours, the code itself included.
    tear : float
        As in `sides`.
    groups : Tensor of shape (N,), optional
        Integers; codes see their own group only.
    memory_budget : int or str, optional
        As in `nearest_codes`.
    table : Tensor of shape (N, K), optional
        What `neighbour_table` found with the same groups and K at least k.

    Returns
    -------
    Tensor of shape (N, k), int64
        Numbers of codes, nearest first; -1 where a side is smaller than k.
    """
    if table is None:
        table = neighbour_table(points, k, groups, memory_budget)
    if not math.isfinite(tear):
        return table[:, :k]
    side = sides(points, table, tear, groups)
    table = table[:, :k].clone()
    across = ((side[table.clamp(min=0)] != side[:, None]) & (table >= 0)).any(dim=1)
    for number in torch.unique(side[across]):
        members = torch.nonzero(side == number).squeeze(1)
        lost = torch.nonzero(across & (side == number)).squeeze(1)
        few = min(table.shape[1], len(members))
        found = nearest_codes(points[lost], points[members], few, memory_budget)[1]
        table[lost] = -1
        table[lost, :few] = members[found]
    return table


class TearRule:
    """Says which pairs of codes a tear or a border between groups separates.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    tear : float
        Relative jump above which a pair is torn.
    groups : Tensor of shape (N,), optional
        Integers; pairs of two groups are always torn, and spacings are taken within groups.
    memory_budget : int or str, optional
        As in `nearest_codes`.
    settled : bool, default=False
        Take as spacing the median over a code and its five nearest. A straggler in a gap is far
        from all others; its own spacing would let it bridge the gap.
    """

    def __init__(
        self,
        points: Tensor,
        tear: float,
        groups: Tensor | None = None,
        memory_budget: Budget = None,
        settled: bool = False,
    ) -> None:
        self.points, self.tear = points, tear
        self.groups = None if groups is None else groups.to(points.device)
        table = neighbour_table(points, SPACING + 1, self.groups, memory_budget)
        self.spacing = local_spacing(points, table)
        if settled:
            around = self.spacing[table.clamp(min=0)].masked_fill(table < 0, math.nan)
            self.spacing = around.nanmedian(dim=1)[0]

    def __call__(self, pairs: Tensor) -> Tensor:
        """Return whether each of the pairs (F, 2) is torn."""
        return self.judge(pairs)[2]

    def judge(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return jump, relative jump, and whether it is a tear.

        Parameters
        ----------
        pairs : Tensor of shape (F, 2)
            Numbers of codes.

        Returns
        -------
        jumps, ratios : Tensor of shape (F,), float64
            As from `relative_jump`.
        torn : Tensor of shape (F,), bool
            Tears and borders.
        """
        jumps, ratios = relative_jump(self.points, pairs, self.spacing)
        return jumps, ratios, (ratios > self.tear) | self.border(pairs)

    def border(self, pairs: Tensor) -> Tensor:
        """Return whether each pair belongs to two groups.

        Parameters
        ----------
        pairs : Tensor of shape (F, 2)
            Numbers of codes.

        Returns
        -------
        Tensor of shape (F,), bool
            False throughout without groups.
        """
        if self.groups is None:
            return torch.zeros(len(pairs), dtype=torch.bool, device=pairs.device)
        return self.groups[pairs[:, 0]] != self.groups[pairs[:, -1]]
