"""Semi-discrete optimal transport on an interval, in closed form: cells are intervals."""

from __future__ import annotations

import math

import numpy as np
import torch

from ot_latent.transport.domains import half_spaces
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution, Status
from ot_latent.transport.sources import Source


def solve_line(source: Source, target: DiscreteMeasure, tolerance: float) -> SemiDiscreteSolution:
    r"""Solve in one dimension: the i-th smallest target takes the i-th interval.

    The cells lie between :math:`x_i = a + (b - a)(\nu_1 + \dots + \nu_i)`, and neighbours have
    equal scores there, so :math:`h_{i+1} = h_i - x_i (y_{i+1} - y_i)`.

    Parameters
    ----------
    source : UniformBox, UniformPolytope or UniformBall of dimension 1
        Uniform on [a, b].
    target : DiscreteMeasure
        Targets of dimension 1.
    tolerance : float
        Kept in the solution; rounding alone makes the masses differ.

    Returns
    -------
    SemiDiscreteSolution
        With status CONVERGED, or STALLED where rounding exceeds the tolerance.
    """
    normals, offsets = half_spaces(source)
    ends = offsets / normals[:, 0]
    low, high = ends[normals[:, 0] < 0].max(), ends[normals[:, 0] > 0].min()
    points, nu = target.points.detach().cpu().double().numpy()[:, 0], target.weights.cpu().numpy()
    order = np.argsort(points)
    inner = low + (high - low) * np.cumsum(nu[order])[:-1]
    walls = np.concatenate([[low], inner, [high]])
    heights = np.empty(len(points))
    heights[order] = np.concatenate([[0.0], -np.cumsum(inner * np.diff(points[order]))])
    widths, centres = np.empty(len(points)), np.empty(len(points))
    widths[order], centres[order] = np.diff(walls), (walls[1:] + walls[:-1]) / 2
    masses = widths / (high - low)
    error = float(np.abs(masses / nu - 1).max())
    inner_spread = float(masses @ widths**2) / 12
    cost = inner_spread + float(masses @ (centres - points) ** 2)
    return SemiDiscreteSolution(
        potential=BrenierPotential(
            target.points.double(), torch.from_numpy(heights - heights.mean())
        ),
        status=Status.CONVERGED if error <= tolerance else Status.STALLED,
        solver="DampedNewton",
        tolerance=tolerance,
        mass_error=error,
        mass_error_interval=(error, error),
        error_norm="max relative",
        mass_residual=torch.from_numpy(masses - nu),
        samples=0,
        effective_samples=0.0,
        evaluation_samples=0,
        steps=0,
        cost=cost,
        cost_interval=(cost, cost),
        history={"error": (error,)},
        centroids=torch.from_numpy(centres[:, None]),
        within_scale=math.sqrt(inner_spread),
    )
