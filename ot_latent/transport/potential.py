"""The Brenier potential u(x) = max_j <x, y_j> + h_j: value, map, cells, conjugate, conversions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import as_float_tensor
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.hull import LowerHull, lowest_combination

SEMIDUAL = {"pot": 0.5, "ott": 0.5, "half": 1.0}  # heights per unit of g
HULL_ROWS = 8  # rows from which one hull is cheaper than a linear programme for each


@dataclass(frozen=True, eq=False)
class BrenierPotential:
    r"""Convex potential :math:`u(x) = \max_j \langle x, y_j\rangle + h_j`.

    Its gradient is the optimal map from the source to the targets for the cost
    :math:`|x - y|^2 / 2`; cell j, the set where j attains the maximum, is the power cell
    :math:`\{x : |x - y_j|^2 - p_j \text{ minimal}\}` of the power weight
    :math:`p_j = 2 h_j + |y_j|^2`.

    Parameters
    ----------
    points : array-like of shape (N, d)
        Targets :math:`y_j`; they give the units, dtype and device of everything else.
    heights : array-like of shape (N,)
        Heights :math:`h_j`; solvers return them with mean zero.

    Raises
    ------
    ValueError
        If the shapes do not fit or a value is not finite.

    References
    ----------
    Gu, Luo, Sun and Yau. "Variational principles for Minkowski type problems, discrete optimal
    transport, and discrete Monge-Ampere equations." Asian J. Math. 20(2), 2016.

    Examples
    --------
    >>> u = BrenierPotential([[0.25, 0.5], [0.75, 0.5]], [0.0625, -0.0625])
    >>> x = torch.tensor([[0.2, 0.5], [0.3, 0.5]], dtype=torch.float64)
    >>> u.cell_index(x)
    tensor([0, 1])
    >>> u(x)
    tensor([0.3625, 0.4125], dtype=torch.float64)
    """

    points: Tensor
    heights: Tensor

    def __post_init__(self) -> None:
        """Check the shapes and bring heights to the points' dtype and device."""
        points = as_float_tensor(self.points, "points", ndim=2)
        heights = as_float_tensor(self.heights, "heights", ndim=1).to(points)
        if len(heights) != len(points) or len(points) == 0:
            raise ValueError(
                f"heights must have one entry per point, got {len(heights)} heights for "
                f"{len(points)} points; pass vectors of one length."
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "heights", heights)

    def with_heights(self, heights: Tensor) -> BrenierPotential:
        """Return the potential of the same targets with other heights, unchecked.

        Solvers move the heights many times; their targets are finite since they began.

        Parameters
        ----------
        heights : Tensor of shape (N,)
            Heights.

        Returns
        -------
        BrenierPotential
            The potential; it shares the points.
        """
        moved = object.__new__(BrenierPotential)
        object.__setattr__(moved, "points", self.points)
        object.__setattr__(moved, "heights", heights.to(self.points))
        return moved

    @classmethod
    def from_power_weights(cls, points: Any, power_weights: Any) -> BrenierPotential:
        """Build the potential whose cells are the power cells of given power weights.

        Parameters
        ----------
        points : array-like of shape (N, d)
            Targets.
        power_weights : array-like of shape (N,)
            p_j; then h_j = (p_j - |y_j|^2) / 2.

        Returns
        -------
        BrenierPotential
            The potential.
        """
        points = as_float_tensor(points, "points", ndim=2)
        weights = as_float_tensor(power_weights, "power_weights", ndim=1).to(points)
        return cls(points, (weights - points.square().sum(dim=1)) / 2)

    @classmethod
    def from_kantorovich(cls, points: Any, kantorovich: Any) -> BrenierPotential:
        """Build the potential from Kantorovich potentials for the cost |x - y|^2 / 2.

        Parameters
        ----------
        points : array-like of shape (N, d)
            Targets.
        kantorovich : array-like of shape (N,)
            a_j; then h_j = a_j - |y_j|^2 / 2. (For the cost |x - y|^2 pass half of them.)

        Returns
        -------
        BrenierPotential
            The potential.
        """
        points = as_float_tensor(points, "points", ndim=2)
        values = as_float_tensor(kantorovich, "kantorovich", ndim=1).to(points)
        return cls(points, values - points.square().sum(dim=1) / 2)

    @classmethod
    def from_semidual(cls, points: Any, semidual: Any, convention: str = "pot") -> BrenierPotential:
        r"""Read the potential that another library has found, for example as a warm start.

        POT (`ot.semidiscrete.solve_semidiscrete`) and OTT-JAX (`SemidiscreteSolver`, whose
        `SemidiscretePointCloud` has the cost `SqEuclidean` by default) both maximise
        :math:`\int \min_j (c(x, y_j) - g_j)\,d\mu + \sum_j \nu_j g_j` for the cost
        :math:`c(x, y) = |x - y|^2`, so that :math:`h_j = (g_j - |y_j|^2) / 2` and
        :math:`\min_j (c(x, y_j) - g_j) = |x|^2 - 2 u(x)`. Adding a constant to g, which no
        solver sees, adds half of it to all heights.

        Parameters
        ----------
        points : array-like of shape (N, d)
            Targets, in the order of g.
        semidual : array-like of shape (N,)
            g; a NumPy or JAX array or a tensor. Of a regularised problem (epsilon > 0) the cells
            are those of g without regularisation.
        convention : {"pot", "ott", "half"}
            Whose g it is: "half" is for codes with the cost |x - y|^2 / 2. A cost that OTT-JAX has
            rescaled (`scale_cost`) must be undone first, by dividing g by the factor.

        Returns
        -------
        BrenierPotential
            The potential; `heights` are what `initial_heights=` of the solvers takes.

        Raises
        ------
        ValueError
            If the convention is unknown, or lengths differ.

        Examples
        --------
        >>> u = BrenierPotential.from_semidual([[0.0], [1.0]], [0.0, 0.4], "pot")
        >>> u.heights
        tensor([ 0.0000, -0.3000], dtype=torch.float64)
        >>> u.semidual("pot")
        tensor([0.0000, 0.4000], dtype=torch.float64)
        """
        factor = _semidual_factor(convention)
        points = as_float_tensor(points, "points", ndim=2)
        values = (
            semidual if isinstance(semidual, Tensor) else np.array(semidual)
        )  # JAX's: no writing
        values = as_float_tensor(values, "semidual", ndim=1).double().to(points.device)
        squares = points.double().square().sum(dim=1)  # float32 would lose digits of the difference
        if len(values) != len(points):
            raise ValueError(
                f"semidual must have one entry per point, got {len(values)} for {len(points)} "
                "points; pass the potential of these targets."
            )
        return cls(points, values * factor - squares / 2)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.points.shape[1]

    def __call__(self, x: Any) -> Tensor:
        """Return u(x).

        Parameters
        ----------
        x : array-like of shape (m, d)
            Source points.

        Returns
        -------
        Tensor of shape (m,)
            Values.
        """
        return self._best(x)[0]

    def cell_index(self, x: Any) -> Tensor:
        """Return the cell of each point, ties going to the smallest index.

        Parameters
        ----------
        x : array-like of shape (m, d)
            Source points.

        Returns
        -------
        Tensor of shape (m,), int64
            Indices of the cells.
        """
        return self._best(x)[1]

    def transport(self, x: Any) -> Tensor:
        """Return the gradient of u, the target of each point's cell.

        Parameters
        ----------
        x : array-like of shape (m, d)
            Source points.

        Returns
        -------
        Tensor of shape (m, d)
            Targets.
        """
        return self.points[self.cell_index(x)]

    def power_weights(self) -> Tensor:
        """Return p_j = 2 h_j + |y_j|^2, whose cells minimise |x - y_j|^2 - p_j.

        Returns
        -------
        Tensor of shape (N,)
            Power weights.
        """
        return 2 * self.heights + self.points.square().sum(dim=1)

    def kantorovich(self) -> Tensor:
        """Return a_j = h_j + |y_j|^2 / 2, the Kantorovich potential for the cost |x - y|^2 / 2.

        Returns
        -------
        Tensor of shape (N,)
            Kantorovich potentials.
        """
        return self.heights + self.points.square().sum(dim=1) / 2

    def semidual(self, convention: str = "pot") -> Tensor:
        r"""Return the potential as another library keeps it; `from_semidual` reads it.

        Parameters
        ----------
        convention : {"pot", "ott", "half"}
            "pot" and "ott" for :math:`g_j = 2 h_j + |y_j|^2`, which POT takes as `init_potential=`
            and OTT-JAX as `g_init=`; "half" for half of it.

        Returns
        -------
        Tensor of shape (N,), float64
            g, in the gauge of the heights.

        Raises
        ------
        ValueError
            If the convention is unknown.
        """
        squares = self.points.double().square().sum(dim=1)
        return (self.heights.double() + squares / 2) / _semidual_factor(convention)

    def rescaled(self, scale: float, shift: Any) -> BrenierPotential:
        r"""Return the potential with the same cells and the targets :math:`s\,y_j + b`.

        From :math:`\langle x, s y_j + b\rangle + s h_j = s(\langle x, y_j\rangle + h_j)
        + \langle x, b\rangle` the winner is unchanged.

        Parameters
        ----------
        scale : float
            Positive factor s.
        shift : array-like of shape (d,)
            Translation b.

        Returns
        -------
        BrenierPotential
            Points s y + b, heights s h.
        """
        shift = as_float_tensor(shift, "shift", ndim=1).to(self.points)
        return BrenierPotential(self.points * scale + shift, self.heights * scale)

    def conjugate(self, y: Any) -> Tensor:
        r"""Return the Legendre conjugate :math:`u^*(y) = \sup_x \langle x, y\rangle - u(x)`.

        By duality it is the lower hull of the points :math:`(y_j, -h_j)`,

        .. math:: u^*(y) = \min \{ -\sum_j l_j h_j : \sum_j l_j y_j = y,\ l \in \Delta \},

        read off the hull for d <= 3 and more than a few rows, else solved as one linear programme
        per row (meant for few rows), and :math:`+\infty` outside the convex hull of the targets.
        `transport.triangulation.RegularTriangulation` keeps the hull.

        Parameters
        ----------
        y : array-like of shape (m, d)
            Points of the target space.

        Returns
        -------
        Tensor of shape (m,)
            Values; -h_j at a target whose cell is not empty.

        Raises
        ------
        ValueError
            If the dimension of `y` is not that of the targets.
        """
        rows = as_float_tensor(y, "y", ndim=2)
        self._check_dim(rows, "y")
        wanted = rows.detach().cpu().double().numpy()
        if self.dim <= 3 and len(wanted) > HULL_ROWS:
            values = self.lower_hull().evaluate(wanted)
        else:
            points, heights = self._numpy()
            values = np.array([lowest_combination(points, -heights, row) for row in wanted])
        return torch.from_numpy(values).to(self.points)

    def lower_hull(self) -> LowerHull:
        r"""Return the lower hull of the points :math:`(y_j, -h_j)`, whose function is u*.

        Returns
        -------
        LowerHull
            Simplices over the targets and the function on them.

        Raises
        ------
        ValueError
            If d exceeds 3.
        """
        points, heights = self._numpy()
        return LowerHull(points, -heights)

    def _numpy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return points and heights in double precision, for scipy."""
        return self.points.cpu().double().numpy(), self.heights.cpu().double().numpy()

    def _best(self, x: Any) -> tuple[Tensor, Tensor]:
        """Return the best score and its index for each row."""
        x = as_float_tensor(x, "x", ndim=2).to(self.points)
        self._check_dim(x, "x")
        values, indices = best_scores(x, self.points, self.heights, 1)
        return values[:, 0], indices[:, 0]

    def _check_dim(self, rows: Tensor, name: str) -> None:
        """Refuse rows of another dimension."""
        if rows.shape[1] != self.dim:
            raise ValueError(
                f"{name} must have {self.dim} columns, as the targets do, got shape "
                f"{tuple(rows.shape)}; pass rows of dimension {self.dim}."
            )


def _semidual_factor(convention: str) -> float:
    """Return the heights per unit of g, or refuse."""
    if convention not in SEMIDUAL:
        raise ValueError(
            f"convention must be one of {', '.join(SEMIDUAL)}, got {convention!r}; use 'pot' for "
            "the cost |x - y|^2, 'half' for half of it."
        )
    return SEMIDUAL[convention]
