r"""The singular set of a transport map: where its gradient jumps from one code to a distant one.

Where the codes leave gaps, the optimal map from a convex source is discontinuous (Caffarelli's
theorem needs a convex target). The gradient of a piecewise linear potential jumps at *every*
facet between two cells; where codes lie densely these jumps only sample a continuous map, and
where there is a gap they are what stays of a tear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ot_latent._random import Stream
from ot_latent._validation import check_positive
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.domains import GridDensity, UniformPolytope
from ot_latent.transport.intervals import wilson
from ot_latent.transport.neighbours import TearRule, dihedral_angle, relative_jump
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.power_diagram import PowerDiagram
from ot_latent.transport.sources import Source, UniformBox
from ot_latent.transport.surroundings import surrounding_jumps
from ot_latent.transport.unique_rows import unique_rows

if TYPE_CHECKING:
    from ot_latent.transport.neighbours import Budget

TEAR = 3.0  # relative jump above which a facet is torn
CRITERIA = ("spacing", "surroundings")
CHUNK = 2**15  # draws scored at a time


@dataclass(frozen=True, eq=False)
class SingularSet:
    r"""Facets between cells, and which of them are tears of the map.

    Attributes
    ----------
    pairs : Tensor of shape (F, 2), int64
        Cells i < j on the two sides of each facet, in lexical order.
    angles : Tensor of shape (F,)
        Dihedral angle of the potential's graph at the facet, in radians.
    jumps : Tensor of shape (F,)
        :math:`|y_i - y_j|`, by how much the map jumps there.
    relative_jumps : Tensor of shape (F,)
        Jump over the local spacing of the codes; one is usual.
    measures : Tensor of shape (F,)
        Integral of the source's density over the facet if `exact`, else the number of draws whose
        two best cells these are.
    torn : Tensor of shape (F,), bool
        Whether the facet is a tear.
    exact : bool
        Whether the facets are those of a `PowerDiagram`, all of them, or the ones that draws met.
    share : float
        Share of the noise whose two best cells are separated by a tear; nan without draws.
    share_interval : tuple of float
        Its 95 % interval (Wilson's), from `samples` draws.
    samples : int
        Number of draws.
    count : int
        Number N of cells.
    """

    pairs: Tensor
    angles: Tensor
    jumps: Tensor
    relative_jumps: Tensor
    measures: Tensor
    torn: Tensor
    exact: bool
    share: float
    share_interval: tuple[float, float]
    samples: int
    count: int

    def __repr__(self) -> str:
        """Return what it is in a line."""
        found = "exact" if self.exact else f"from {self.samples} draws"
        return (
            f"SingularSet({len(self.pairs)} facets between {self.count} cells, {found}; "
            f"{int(self.torn.sum())} torn, near {self.share:.3g} of the noise)"
        )

    def sides(self) -> Tensor:
        """Return the connected components of the cells, tears removed.

        Returns
        -------
        Tensor of shape (N,), int64
            Number of the component of each cell; with draws, facets that no draw met are missing,
            so there may be more components than sides.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        joined = self.pairs[~self.torn].cpu().numpy()
        shape = (self.count, self.count)
        graph = coo_array(([True] * len(joined), joined.T), shape=shape)
        found = connected_components(graph, directed=False)[1]
        return torch.from_numpy(found).long().to(self.pairs.device)


def detect_singular_set(
    transport: Any,
    source: Source | None = None,
    *,
    tear: float = TEAR,
    criterion: str = "spacing",
    angle: float | None = None,
    labels: Tensor | None = None,
    cells: int = 2,
    samples: int = 2**16,
    seed: int = 0,
    memory_budget: Budget = None,
) -> SingularSet:
    r"""Find the facets of a transport map, and which of them are tears.

    A facet between the cells i and j is torn when :math:`|y_i - y_j| > t \max(s_i, s_j)`. For the
    criterion "spacing", by which the extended map is cut, :math:`s_j` is the distance of code j to
    its fifth nearest other code. Stray codes in a gap hide the tear from it: they are far from
    everything themselves. For "surroundings" :math:`s_j` is the usual jump of the map around cell
    j (`surroundings.surrounding_jumps`), which single strays do not change; it sees the facets that
    there are and nothing of codes whose cells do not meet. Both ratios are the same in all units,
    unlike the angle of the paper [1]_,

    .. math:: \theta_{ij} = \arccos \frac{\langle y_i, y_j\rangle + 1}
        {\sqrt{(|y_i|^2 + 1)(|y_j|^2 + 1)}},

    which measures the direction of codes as seen from the origin and is told for comparison. In
    dimensions 2 and 3, for a box, a polytope or a grid, the facets are those of the power
    diagram, exact to rounding; elsewhere they are the pairs of best cells of draws from the
    source, so rare facets are missed. Which facets count as torn is a heuristic in both cases:
    codes on strongly stretched rows, say, are torn between the rows.

    Parameters
    ----------
    transport : SemiDiscreteSolution, BrenierPotential or PowerDiagram
        The map.
    source : Source, optional
        The noise; a diagram brings its own.
    tear : float, default=3.0
        Relative jump t above which a facet is torn.
    criterion : {"spacing", "surroundings"}, default="spacing"
        What a jump is measured against: the spacing of the two codes, or the jumps nearby.
    angle : float, optional
        Use the paper's criterion instead: facets whose angle exceeds this one are torn.
    labels : Tensor of shape (N,), optional
        Integers; a facet between two labels is always torn, and spacings are taken within labels.
    cells : int, default=2
        How many best cells of a draw are paired with its best; beyond 2 the pairs need not be
        neighbours.
    samples : int, default=65536
        Number of draws; 0 for none, which only the exact case can do without.
    seed : int, default=0
        Seed of the draws.
    memory_budget : int or str, optional
        As in `kernels.dispatch.best_scores`.

    Returns
    -------
    SingularSet
        Facets, angles, jumps, tears.

    Raises
    ------
    ValueError
        If neither a diagram nor a source is given, there are neither facets nor draws, or the
        criterion is unknown.

    References
    ----------
    .. [1] An, Guo, Lei, Luo, Yau and Gu. "AE-OT: a new generative model based on extended
       semi-discrete optimal transport." ICLR 2020.

    Examples
    --------
    >>> y = torch.cat([torch.arange(8.0), 40 + torch.arange(8.0)])[:, None] * torch.ones(1, 2)
    >>> y = y + 0.01 * torch.arange(16.0)[:, None] ** 2 * torch.tensor([[1.0, -1.0]])
    >>> from ot_latent.transport import DampedNewton, DiscreteMeasure
    >>> solution = DampedNewton().solve(UniformBox.unit(2), DiscreteMeasure.uniform(y))
    >>> found = detect_singular_set(solution, UniformBox.unit(2))
    >>> found.exact, found.pairs[found.torn].tolist(), found.sides().max().item()
    (True, [[6, 8], [7, 8], [7, 9], [7, 10]], 1)
    """
    diagram, potential, source = _resolved(transport, source)
    if samples < (diagram is None):
        raise ValueError(
            f"samples must be positive where facets are found by draws, got {samples}; pass 65536."
        )
    if criterion not in CRITERIA:
        raise ValueError(
            f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}; choose one."
        )
    check_positive(tear if angle is None else angle, "tear" if angle is None else "angle")
    best = _best_cells(potential, source, samples, cells, seed, memory_budget)
    rule = TearRule(potential.points, tear, labels, memory_budget)
    if diagram is None:
        pairs, measures = _met(best)
    else:
        pairs = diagram.facets.pairs.to(best.device)
        measures = diagram.facets.measures
    if criterion == "surroundings":
        inside = pairs[~rule.border(pairs)]
        lengths = relative_jump(potential.points, inside, rule.spacing)[0]
        rule.spacing = surrounding_jumps(lengths, inside, len(potential.points))
    jumps, ratios, torn = rule.judge(pairs)
    angles = _angles(potential.points, pairs)
    near = rule(best[:, :2]) if best.shape[1] > 1 else torn[:0]
    if angle is not None:
        wide = _angles(potential.points, best[:, :2]) > angle
        torn = (angles > angle) | rule.border(pairs)
        near = wide | rule.border(best[:, :2])
    hit = int(near.sum())
    share, interval = wilson(hit, samples)
    exact = diagram is not None
    count = len(potential.points)
    return SingularSet(
        pairs, angles, jumps, ratios, measures, torn, exact, share, interval, samples, count
    )


def _angles(points: Tensor, pairs: Tensor) -> Tensor:
    """Return the dihedral angle of pairs; zero of a cell with itself alone."""
    ends = points[pairs].double()
    return dihedral_angle(ends[:, 0], ends[:, -1])


def _resolved(
    transport: Any, source: Source | None
) -> tuple[PowerDiagram | None, BrenierPotential, Source]:
    """Return the diagram where there can be one, the potential and the source."""
    if isinstance(transport, PowerDiagram):
        return transport, transport.potential, transport.source
    potential = getattr(transport, "potential", transport)
    if not isinstance(potential, BrenierPotential) or source is None:
        raise ValueError(
            "transport must be a PowerDiagram, or a potential or solution with its source, got "
            f"{type(transport).__name__} and {source!r}; pass detect_singular_set(solution, source)."
        )
    if potential.dim in (2, 3) and isinstance(source, UniformBox | UniformPolytope | GridDensity):
        return PowerDiagram(source, potential), potential, source
    return None, potential, source


def _best_cells(
    potential: BrenierPotential,
    source: Source,
    samples: int,
    cells: int,
    seed: int,
    memory_budget: Budget,
) -> Tensor:
    """Return the numbers of the best cells of draws, shape (samples, cells)."""
    points, heights = potential.points, potential.heights
    k = min(cells, len(points))
    found = [torch.zeros((0, k), dtype=torch.int64, device=points.device)]
    for low in range(0, samples, CHUNK):
        rows = min(CHUNK, samples - low)
        x = source.sample(
            rows, seed=seed, stream=Stream.EVALUATION, start=low, dtype=points.dtype, device=points.device
        )  # fmt: skip
        found.append(best_scores(x, points, heights, k, memory_budget=memory_budget)[1])
    return torch.cat(found)


def _met(best: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs (best, other) that draws met, each once, and how many met it."""
    others = best[:, 1:]
    pairs = torch.stack([best[:, :1].expand_as(others), others], dim=2).reshape(-1, 2)
    pairs, counts = unique_rows(pairs.sort(dim=1)[0])
    return pairs, counts.double()
