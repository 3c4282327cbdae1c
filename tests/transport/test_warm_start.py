"""Starting heights: exact for Gaussians, better than nothing elsewhere."""

import numpy as np
import torch

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Gaussian, UniformBox
from ot_latent.transport.survey import survey_cells
from ot_latent.transport.warm_start import gaussian_heights, voronoi_heights


def test_gaussian_heights_are_minus_the_conjugate_of_the_gaussian_map():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.standard_normal((400, 3)) @ np.diag([1.0, 2.0, 0.5]) + 3)
    target = DiscreteMeasure.uniform(points)
    heights = gaussian_heights(Gaussian.standard(3), target)
    mean = points.mean(0)
    covariance = (points - mean).T @ (points - mean) / 400
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.sqrt()) @ vectors.T  # the Bures map from N(0, I)
    expected = -0.5 * ((points - mean) @ torch.linalg.inv(root) * (points - mean)).sum(1)
    torch.testing.assert_close(heights, expected)


def test_gaussian_start_beats_voronoi_for_a_box_off_the_origin():
    rng = np.random.default_rng(1)
    target = DiscreteMeasure.uniform(rng.standard_normal((300, 8)))
    source = UniformBox.unit(8)
    errors = [
        survey_cells(BrenierPotential(target.points, heights), source, 20_000, seed=0).mass_error(
            target.weights
        )[0]
        for heights in (gaussian_heights(source, target), voronoi_heights(target))
    ]
    assert errors[0] < 2
    assert errors[0] < errors[1] / 3
