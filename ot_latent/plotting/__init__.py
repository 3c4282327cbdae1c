"""Every figure of the package: the only place that imports matplotlib, and only when it draws.

Functions take plain arrays and ``ax=None`` and return the axes (composed figures return the
figure); nothing global is changed.

Examples
--------
>>> from ot_latent import plotting
>>> sheet = plotting.mosaic([[[0.0, 1.0], [1.0, 0.0]]] * 4)
>>> sheet.shape, sheet.dtype.name
((5, 5, 3), 'uint8')
"""

from __future__ import annotations

from ot_latent.plotting.atlas import atlas
from ot_latent.plotting.brenier import brenier_potential
from ot_latent.plotting.cells import cells_2d, codes_2d
from ot_latent.plotting.curves import convergence, loss_curves, modes, novelty, score_bars
from ot_latent.plotting.depth import survival_collapse, survival_curves, trainability
from ot_latent.plotting.diagrams import power_diagram
from ot_latent.plotting.dimension import reconstruction_curve
from ot_latent.plotting.evidence import manifold_evidence
from ot_latent.plotting.hierarchy import data_tree, learning_curves, sensitivities
from ot_latent.plotting.images import (
    image_grid,
    interpolation,
    mosaic,
    reconstructions,
    save_image,
)
from ot_latent.plotting.newton import newton_gif, newton_strip
from ot_latent.plotting.regions import (
    encoded_curve,
    linear_regions,
    linear_surface,
    path_values,
)
from ot_latent.plotting.slices import power_slices, slice_diagram
from ot_latent.plotting.sparsity import error_rates, kink_map, line_fits, unit_sizes
from ot_latent.plotting.style import PALETTE, style, to_svg
from ot_latent.plotting.tables import correlations, marginals

__all__ = [
    "PALETTE",
    "atlas",
    "brenier_potential",
    "cells_2d",
    "codes_2d",
    "convergence",
    "correlations",
    "data_tree",
    "encoded_curve",
    "error_rates",
    "image_grid",
    "interpolation",
    "kink_map",
    "learning_curves",
    "line_fits",
    "linear_regions",
    "linear_surface",
    "loss_curves",
    "manifold_evidence",
    "marginals",
    "modes",
    "mosaic",
    "newton_gif",
    "newton_strip",
    "novelty",
    "path_values",
    "power_diagram",
    "power_slices",
    "reconstruction_curve",
    "reconstructions",
    "save_image",
    "score_bars",
    "sensitivities",
    "slice_diagram",
    "style",
    "survival_collapse",
    "survival_curves",
    "to_svg",
    "trainability",
    "unit_sizes",
]
