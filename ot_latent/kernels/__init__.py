"""The one hot primitive: the best k scores ``<x, y_j> + h_j``, tiled and bounded in memory.

The k nearest neighbours are the case ``h = -|y|^2 / 2``, so transport, extension and metrics share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.kernels.dispatch import best_scores as best_scores, nearest as nearest

__getattr__, __dir__, __all__ = attach(__name__, {"dispatch": ["best_scores", "nearest"]})
