r"""Sources that stand in for others in up to three dimensions, where cells of theirs are exact.

Diagonal steps on samples are slow in few dimensions: errors of long waves hardly show in the masses of
cells. Polytopes and grids of pixels have exact cells there; one that is nearly the source gives
heights that are nearly its own, which samples need only confirm or correct.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from ot_latent.transport.domains import GridDensity, UniformPolytope
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.newton import DampedNewton, DampedNewtonState
from ot_latent.transport.solution import ConvergenceWarning, SolverError
from ot_latent.transport.sources import Gaussian, Source, UniformBall

SIDES, FACES = 1024, 256  # of the polygon and the polyhedron in place of a ball
PIXELS, DEVIATIONS = 128, 5.0  # of a normal law in the plane: along a side, and in half of it
FLOOR = 1e-6  # of the mean density, in the corners of that square
TOLERANCE = 1e-3  # largest relative error of a cell of the stand-in
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def has_stand_in(source: Source) -> bool:
    """Return whether a source has one: a ball in the plane or in space, a normal law in the plane or on a line.

    Parameters
    ----------
    source : Source
        The source.

    Returns
    -------
    bool
        Whether `stand_in_heights` knows heights for it.

    Examples
    --------
    >>> has_stand_in(UniformBall(2)), has_stand_in(Gaussian.standard(3))
    (True, False)
    """
    dims = {UniformBall: (2, 3), Gaussian: (1, 2)}
    return source.dim in dims.get(type(source), ())


def stand_in_heights(
    source: Source,
    target: DiscreteMeasure,
    heights: Tensor | None = None,
    callback: Callable[[DampedNewtonState], bool | None] | None = None,
) -> Tensor | None:
    r"""Return heights that nearly solve a problem, by exact cells of a source that is nearly its own.

    A disc is a polygon of 1,024 sides and the same area, a ball a polyhedron of 256 faces and the same
    volume. A normal law in the plane is cut into 128 x 128 pixels of five deviations each way, in
    coordinates z in which it is standard normal: with :math:`x = m + F z`,

    .. math:: \langle x, y_j\rangle + h_j = \langle z, F^T y_j\rangle + (h_j + \langle m, y_j\rangle).

    On a line the borders of cells are quantiles :math:`x_i = \Phi^{-1}(\nu_1 + \dots + \nu_i)`, and
    :math:`h_{i+1} = h_i - x_i\,(y_{i+1} - y_i)`: exact.

    Parameters
    ----------
    source : Source
        One for which `has_stand_in` holds.
    target : DiscreteMeasure
        Targets and masses.
    heights : Tensor of shape (N,), optional
        Heights to begin with.
    callback : callable, optional
        Called with the state after each step of the exact solver; it cannot stop it.

    Returns
    -------
    Tensor of shape (N,), float64, or None
        Heights of mean zero; none where the exact solver fails.

    Examples
    --------
    >>> target = DiscreteMeasure([[0.0], [2.0]], [0.5, 0.5])
    >>> stand_in_heights(Gaussian([1.0], [[4.0]]), target).tolist()  # the border is at 1
    [1.0, -1.0]
    """
    points = target.points.cpu().double()
    tilt, moved = points @ source.mean, points
    if isinstance(source, Gaussian):
        moved = points @ torch.linalg.cholesky(source.covariance)
    if source.dim == 1:
        found = _on_a_line(moved[:, 0], target.weights.cpu())
    else:
        near = _polytope(source) if isinstance(source, UniformBall) else _pixels()
        start = None if heights is None else heights.cpu().double() + tilt
        masses = target.weights.cpu()
        solved = _exact(near, DiscreteMeasure.distinct(moved, masses), start, callback)
        if solved is None:
            return None
        found = solved
    found = found - tilt
    return (found - found.mean()).to(target.points.device)


def _exact(
    source: Source,
    target: DiscreteMeasure,
    start: Tensor | None,
    callback: Callable[[DampedNewtonState], bool | None] | None,
) -> Tensor | None:
    """Solve exactly from given heights, else from the solver's own, or give up."""
    solver = DampedNewton(tolerance=TOLERANCE)

    def told(state: DampedNewtonState) -> None:
        if callback is not None:
            callback(state)

    for begun in (None,) if start is None else (start, None):
        with warnings.catch_warnings(), suppress(SolverError):
            warnings.simplefilter("ignore", ConvergenceWarning)  # samples judge the heights
            found = solver.solve(source, target, initial_heights=begun, callback=told)
            return found.potential.heights.double()
    return None


def _polytope(ball: UniformBall) -> UniformPolytope:
    """Return a regular polygon, or a polyhedron of nearly even faces, with the ball's volume."""
    if ball.dim == 2:
        angles = 2 * math.pi * torch.arange(SIDES, dtype=torch.float64) / SIDES
        normals = torch.stack([angles.cos(), angles.sin()], dim=1)
        inner = math.sqrt(math.pi / (SIDES * math.tan(math.pi / SIDES)))  # radius of the sides
    else:
        number = torch.arange(FACES, dtype=torch.float64)
        z = 1 - (2 * number + 1) / FACES  # Fibonacci's lattice on the sphere
        angles, across = GOLDEN_ANGLE * number, (1 - z.square()).sqrt()
        normals = torch.stack([across * angles.cos(), across * angles.sin(), z], dim=1)
        volume = UniformPolytope(normals, torch.ones_like(z)).volume
        inner = (4 / 3 * math.pi / volume) ** (1 / 3)
    return UniformPolytope(normals, torch.full_like(angles, inner * ball.radius))


def _pixels() -> GridDensity:
    """Return the standard normal law of the plane in pixels."""
    edges = torch.linspace(-DEVIATIONS, DEVIATIONS, PIXELS + 1, dtype=torch.float64)
    along = torch.special.ndtr(edges).diff()
    values = torch.outer(along, along)
    values = values.clamp_min(FLOOR * float(values.mean()))
    corner = torch.full((2,), DEVIATIONS, dtype=torch.float64)
    return GridDensity(values.numpy(), -corner, corner, floor=FLOOR / 2)


def _on_a_line(points: Tensor, masses: Tensor) -> Tensor:
    """Return the heights under which targets on a line take intervals of a standard normal law."""
    order = points.argsort()
    borders = torch.special.ndtri(masses[order].cumsum(0)[:-1].clamp_max(1 - 2.0**-53))
    falls = (borders * points[order].diff()).cumsum(0)
    heights = torch.zeros_like(points)
    heights[order[1:]] = -falls
    return heights
