"""The warm start by levels has cells for all, and starts nearer to the solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.levels import clusters, heights_by_levels
from ot_latent import raster
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton


def spread_out(heights, points):
    """Rms relative mass error, counted on a grid."""
    u = BrenierPotential(points.double(), heights)
    cells = raster.cells_on_grid(u, -np.ones(2), np.ones(2), 300)
    masses = np.bincount(cells.ravel(), minlength=len(points)) * len(points) / cells.size
    return float(np.sqrt(((masses - 1) ** 2).mean()))


def test_clusters_keep_all_mass_and_the_mean():
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 2)))
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    centres, member = clusters(points, weights, 10)
    masses = torch.bincount(member, minlength=10).double() / 40
    assert bool((masses > 0).all())
    torch.testing.assert_close(masses @ centres, points.mean(dim=0))


@pytest.mark.filterwarnings("ignore::ot_latent.transport.solution.ConvergenceWarning")
def test_the_start_is_nearer_than_the_solvers_own():
    rng = np.random.default_rng(0)
    corners = np.asarray([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])[rng.integers(0, 3, 120)]
    points = torch.from_numpy((corners + 0.3 * rng.normal(size=(120, 2))).astype(np.float32))
    source, target = UniformBox.centered(2), DiscreteMeasure.uniform(points)
    start = heights_by_levels(source, target)
    own = StochasticNewton(seed=0).init(source, target).heights
    assert spread_out(start, target.points) < 0.75 * spread_out(own, target.points)
    assert heights_by_levels(source, DiscreteMeasure.uniform(points[:50])) is None
