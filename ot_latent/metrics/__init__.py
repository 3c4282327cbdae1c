"""How good, how varied, how new, and was a manifold learnt: tensors or arrays in, numbers out.

This part knows neither transport nor networks, so it can judge anyone's generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.metrics import (
        bootstrap as bootstrap,
        fidelity as fidelity,
        manifold as manifold,
        modes as modes,
        novelty as novelty,
    )
    from ot_latent.metrics.bootstrap import bootstrap_interval as bootstrap_interval
    from ot_latent.metrics.fidelity import (
        density_coverage as density_coverage,
        frechet_distance as frechet_distance,
        kernel_distance as kernel_distance,
        precision_recall as precision_recall,
    )
    from ot_latent.metrics.modes import (
        mixture_rate as mixture_rate,
        mode_histogram as mode_histogram,
        mode_kl as mode_kl,
        variance_ratio as variance_ratio,
    )
    from ot_latent.metrics.novelty import (
        copy_rate as copy_rate,
        distance_to_closest as distance_to_closest,
        novelty_ratio as novelty_ratio,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bootstrap": ["bootstrap_interval"],
        "fidelity": [
            "density_coverage",
            "frechet_distance",
            "kernel_distance",
            "precision_recall",
        ],
        "modes": ["mixture_rate", "mode_histogram", "mode_kl", "variance_ratio"],
        "novelty": ["copy_rate", "distance_to_closest", "novelty_ratio"],
    },
    modules=["bootstrap", "fidelity", "manifold", "modes", "novelty"],
)
