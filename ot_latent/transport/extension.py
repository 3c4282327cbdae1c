r"""The extended map: new codes inside a mode, where the plain transport map only returns old ones.

The transport map sends all noise of cell j to the code y_j: it covers the data and copies it.
The extended map fills the gaps between near codes and leaves those between modes open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS
from ot_latent._validation import check_positive
from ot_latent.transport.inverse import Preimage, preimage
from ot_latent.transport.local_law import Placed, in_blocks, law_of_cells, normal_residuals
from ot_latent.transport.map_report import MapReport, report_map
from ot_latent.transport.neighbours import TearRule, one_sided_table
from ot_latent.transport.simplex_map import SimplexMap
from ot_latent.transport.two_cell import two_cell

if TYPE_CHECKING:
    from ot_latent.transport.potential import BrenierPotential
    from ot_latent.transport.sources import Source

Kind = Literal["simplex", "affine", "noise", "two-cell", "none"]
KINDS: tuple[str, ...] = get_args(Kind)
SIMPLEX_DIM = 3  # up to which dimension the dual triangulation is built
PATIENCE = 16  # attempts of a rejected row, after which it goes where the plain map sends it
USUAL, USUAL_LOW = (30, 0.5, 1.1), (6, 0.0, 0.95)  # k, a, b without calibration; of simplices
ANGLE = 0.7  # largest dihedral angle of the two-cell rule, the reference code's for images


@dataclass(frozen=True, eq=False)
class ExtendedMap:
    r"""The transport map, filled in between near codes.

    Kind ``"simplex"`` (d <= 3) is the map of the paper, continuous but for the tears and affine
    between the centroids :math:`c_j` of the cells (`transport.simplex_map.SimplexMap`). They go to
    anchors, codes smoothed by affine fits over k neighbours in the triangulation
    (`transport.local_fit`; with a = b = 1 to the codes themselves).

    Kind ``"affine"`` is ours for high dimension. With :math:`m_j` and :math:`C_j` the mean and
    covariance of the k codes nearest to :math:`y_j` (itself included) and x in cell j,

    .. math::
        T(x) = m_j + a\,(y_j - m_j) + b\, A_j (x - c_j), \qquad A_j = C_j^{1/2} / s.

    :math:`A_j` is the Bures map from the covariance of the noise within a cell, approximated by
    the pooled :math:`s^2 I`, to :math:`C_j`. Kind ``"noise"`` replaces the last term by
    :math:`b\,k^{-1/2} \sum_i \xi_i (y_{n_i} - m_j)` with :math:`\xi` standard normal, a
    function of (seed, row); it has the same two moments and needs no centroid. Neighbours are
    sought on the code's own side of the tears and in its own group only.

    Kind ``"two-cell"`` is the reference code's rule (`transport.two_cell`), for comparison;
    kind ``"none"`` is the plain map.

    Parameters
    ----------
    potential : BrenierPotential
        Cells and codes :math:`y_j`.
    centroids : Tensor of shape (N, d) or None
        Centroids :math:`c_j` of the cells; needed by all kinds but ``"noise"`` and ``"none"``.
    neighbours : Tensor of shape (N, k), int32
        Numbers of the k nearest codes; -1 fills rows that have fewer.
    within_scale : float
        s, the rms per coordinate of :math:`x - c_j` within the cells.
    kind : {"simplex", "affine", "noise", "two-cell", "none"}
        The rule.
    a : float, default=0.5
        How much of a code's own offset from its local mean (``"simplex"``: local fit) is kept.
    b : float, default=1.1
        Size of the local spread; for ``"simplex"``, of the local slope.
    tear : float, default=inf
        Relative jump (`transport.detect_singular_set`) above which two codes are torn apart. A
        code that the local law places farther than `tear` spacings from every neighbour is
        rejected.
    angle : float, default=0.7
        Largest dihedral angle of kind ``"two-cell"``; pairs beyond it are rejected.
    simplex : SimplexMap, optional
        The map of kind ``"simplex"``; `build` makes it.

    Notes
    -----
    **Rejection** redraws only what happens inside the cell: the row keeps its target and takes
    the normal residual of its next attempt, a function of (seed, row, attempt). After 16 attempts
    the plain map steps in. So the share of each target stays the mass of its cell.

    **Limits.** The affine map jumps from cell to cell. In dimension 3 and below the jumps are of
    the size of the spread itself and it is a sawtooth across facets: right as a distribution,
    poor as a coordinate. `report` measures this.

    Examples
    --------
    >>> from ot_latent.transport.potential import BrenierPotential
    >>> u = BrenierPotential(torch.tensor([[0.0], [1.0]]), torch.zeros(2))
    >>> T = ExtendedMap.build(u, torch.tensor([[-0.5], [0.5]]), 0.3, neighbours=2)
    >>> T(torch.tensor([[-0.5], [0.5], [0.8]]))
    tensor([[0.2500],
            [0.7500],
            [1.3000]])
    """

    potential: BrenierPotential
    centroids: Tensor | None
    neighbours: Tensor
    within_scale: float
    kind: Kind = "affine"
    a: float = 0.5
    b: float = 1.1
    tear: float = math.inf
    angle: float = ANGLE
    simplex: SimplexMap | None = None

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if self.kind in ("simplex", "affine", "two-cell"):
            if self.centroids is None:
                raise ValueError(
                    f"the {self.kind} extension must have the centroids of the cells, got None; "
                    "take them from the solution, or use kind 'noise'."
                )
            check_positive(self.within_scale, "within_scale")
        if (self.kind == "simplex") != (self.simplex is not None):
            raise ValueError(
                f"simplex must be given with kind 'simplex' and no other, got kind {self.kind!r} "
                f"and {type(self.simplex).__name__}; use ExtendedMap.build."
            )

    @classmethod
    def build(
        cls,
        potential: BrenierPotential,
        centroids: Tensor | None,
        within_scale: float,
        *,
        kind: Kind = "affine",
        neighbours: int | None = None,
        a: float | None = None,
        b: float | None = None,
        tear: float = 3.0,
        angle: float = ANGLE,
        groups: Tensor | None = None,
        memory_budget: int | str | None = None,
    ) -> ExtendedMap:
        """Find neighbours or simplices once and return the map.

        Parameters
        ----------
        potential, centroids, within_scale, kind, tear, angle
            As in the class.
        neighbours, a, b : int, float, float, optional
            Number k of nearest codes, the code itself included (at most N are used), and the class's
            a and b; by default 6, 0 and 0.95 for ``"simplex"``, else 30, 0.5 and 1.1.
        groups : Tensor of shape (N,), optional
            Integers; codes borrow from codes of their own group only.
        memory_budget : int or str, optional
            Working memory of the search.

        Returns
        -------
        ExtendedMap
            The map.

        Raises
        ------
        ValueError
            If an argument is out of its range, or kind ``"simplex"`` is asked for above d = 3.
        """
        check_kind(kind)
        usual = USUAL_LOW if kind == "simplex" else USUAL
        k = usual[0] if neighbours is None else neighbours
        a, b = usual[1] if a is None else a, usual[2] if b is None else b
        check_positive(k, "neighbours", integer=True)
        points, simplex = potential.points, None
        table = torch.arange(len(points), device=points.device)[:, None]
        if kind == "simplex" and potential.dim > SIMPLEX_DIM:
            raise ValueError(
                f"extension 'simplex' must have codes of at most {SIMPLEX_DIM} dimensions, got "
                f"{potential.dim}; use 'affine'."
            )
        if kind == "simplex" and centroids is not None:
            rule = TearRule(points, tear, groups, memory_budget, settled=True)
            simplex = SimplexMap.build(potential, centroids, rule).smoothed(a, b, k)
        if kind in ("affine", "noise"):
            table = one_sided_table(points, k, tear, groups, memory_budget)
        table, s = table.to(torch.int32), float(within_scale)
        return cls(potential, centroids, table, s, kind, a, b, tear, angle, simplex)

    def __call__(self, x: Tensor, *, seed: int = 0, start: int = 0) -> Tensor:
        """Map noise to codes; where the rule rejects a row, the plain map steps in.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Noise.
        seed, start : int, default=0
            Seed, and number of the first row, of the local noise (kind ``"noise"`` only).

        Returns
        -------
        Tensor of shape (m, d)
            Codes; rows do not see each other.
        """
        return self.place(x, self.cell_index(x), seed=seed, start=start, patience=0).codes

    def cell_index(self, x: Tensor) -> Tensor:
        """Return the cell of each row, found in blocks of one fixed size.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Noise.

        Returns
        -------
        Tensor of shape (m,), int64
            Numbers of the winning codes.
        """
        return in_blocks(self.potential.cell_index, BLOCK_ROWS, x)

    def spread(self, x: Tensor, cells: Tensor, *, seed: int = 0, start: int = 0) -> Tensor:
        """Map noise whose cells are already known; rejected rows are redrawn within their cell.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Noise.
        cells : Tensor of shape (m,)
            The cell of each row.
        seed, start : int, default=0
            Seed, and number of the first row, of everything drawn.

        Returns
        -------
        Tensor of shape (m, d)
            Codes.
        """
        return self.place(x, cells, seed=seed, start=start).codes

    def place(
        self,
        x: Tensor,
        cells: Tensor,
        *,
        seed: int = 0,
        start: int = 0,
        patience: int = PATIENCE,
    ) -> Placed:
        """Map noise whose cells are already known, and count the redraws.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Noise.
        cells : Tensor of shape (m,)
            The cell of each row.
        seed, start : int, default=0
            As in `spread`.
        patience : int, default=16
            Attempts after which the plain map steps in.

        Returns
        -------
        Placed
            Codes and attempts.
        """
        if self.simplex is not None:
            codes = self.simplex(x.double(), cells).to(x.dtype)
            return Placed(codes, torch.zeros_like(cells))
        codes, kept = self._law(cells, self.residual(x, cells, seed=seed, start=start))
        attempts = torch.zeros_like(cells)
        for attempt in range(1, patience + 1):
            left = torch.nonzero(~kept).squeeze(1)
            if len(left) == 0:
                break
            fresh = self._normal(x, seed, start, attempt)[left]
            codes[left], kept[left] = self._law(cells[left], fresh)
            attempts[left] = attempt
        attempts[~kept] = -1
        codes[~kept] = self.potential.points[cells[~kept]]
        return Placed(codes, attempts)

    def residual(self, x: Tensor, cells: Tensor, *, seed: int = 0, start: int = 0) -> Tensor:
        r"""Return what moves a row within its cell's law, in units of one.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Noise.
        cells : Tensor of shape (m,)
            The cell of each row.
        seed, start : int, default=0
            As in `spread`.

        Returns
        -------
        Tensor of shape (m, d) or (m, k)
            :math:`\xi` for kind ``"noise"``, else :math:`(x - c_j)/s`.
        """
        if self.kind == "noise" or self.centroids is None:
            return self._normal(x, seed, start)
        return (x - self.centroids[cells]) / self.within_scale

    def local_law(self, cells: Tensor, residuals: Tensor) -> Tensor:
        """Place residuals in the local law of given cells, without rejection.

        Parameters
        ----------
        cells : Tensor of shape (m,)
            Cells, which need not be those that the residuals came from.
        residuals : Tensor of shape (m, d) or (m, k)
            From `residual`.

        Returns
        -------
        Tensor of shape (m, d)
            Codes.
        """
        return self._law(cells, residuals)[0]

    def inverse(self, codes: Tensor, cells: Tensor | None = None) -> Preimage:
        """Return noise that the map sends to codes, where there is some.

        Parameters
        ----------
        codes, cells
            As in `transport.inverse.preimage`.

        Returns
        -------
        Preimage
            Noise, its cells, and how far from the codes the map sends it.
        """
        return preimage(self, codes, cells)

    def report(self, source: Source, **options: Any) -> MapReport:
        """Say what the map is as a coordinate.

        Parameters
        ----------
        source, **options
            As in `transport.map_report.report_map`.

        Returns
        -------
        MapReport
            Reversals and jumps across facets, and redraws.
        """
        return report_map(self, source, **options)

    def _normal(self, x: Tensor, seed: int, start: int, attempt: int = 0) -> Tensor:
        """Return the normal residuals of an attempt."""
        columns = self.neighbours.shape[1] if self.kind == "noise" else x.shape[1]
        return normal_residuals(x, columns, seed, start, attempt)

    def _law(self, cells: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """Place residuals in cells, and say which of the codes are kept."""
        points = self.potential.points
        if self.kind == "none":
            return points[cells], torch.ones_like(cells, dtype=torch.bool)
        if self.kind in ("simplex", "two-cell"):
            x = self.centroids[cells] + self.within_scale * residuals  # type: ignore[index]
            both = in_blocks(self._low_block, BLOCK_ROWS, x, cells)
        else:
            both = law_of_cells(
                points, self.neighbours, cells, residuals, self.a, self.b,
                tear=self.tear, by_root=self.kind == "affine",
            )  # fmt: skip
        return both[:, :-1].to(points.dtype), both[:, -1] > 0

    def _low_block(self, x: Tensor, cells: Tensor) -> Tensor:
        """One block of the rules in terms of noise; the last column tells what is kept."""
        if self.simplex is not None:
            codes = self.simplex(x.double(), cells)
            return torch.cat([codes, torch.ones_like(codes[:, :1])], dim=1)
        codes, kept = two_cell(self.potential, x, cells, self.angle)
        return torch.cat([codes, kept[:, None].to(codes)], dim=1)


def check_kind(kind: str) -> None:
    """Refuse an unknown kind of extension.

    Parameters
    ----------
    kind : str
        What was asked for.

    Raises
    ------
    ValueError
        If it is none of "affine", "noise", "none".
    """
    if kind not in KINDS:
        raise ValueError(
            f"extension must be one of {', '.join(KINDS)}, got {kind!r}; pass 'affine'."
        )
