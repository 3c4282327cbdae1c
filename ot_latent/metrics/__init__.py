"""How good, how varied, how new, and was a manifold learnt: tensors or arrays in, numbers out.

This part knows neither transport nor networks, so it can judge anyone's generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.metrics import (
        bootstrap as bootstrap,
        copying as copying,
        dimension as dimension,
        embedding as embedding,
        fidelity as fidelity,
        known as known,
        likelihood as likelihood,
        manifold as manifold,
        manifolds as manifolds,
        modes as modes,
        novelty as novelty,
        wasserstein as wasserstein,
    )
    from ot_latent.metrics.bootstrap import (
        bootstrap_interval as bootstrap_interval,
        frechet_interval as frechet_interval,
    )
    from ot_latent.metrics.copying import (
        data_copying as data_copying,
    )
    from ot_latent.metrics.dimension import (
        intrinsic_dimension as intrinsic_dimension,
    )
    from ot_latent.metrics.embedding import (
        ModuleFeatures as ModuleFeatures,
        dinov2_features as dinov2_features,
        inception_features as inception_features,
    )
    from ot_latent.metrics.fidelity import (
        density_coverage as density_coverage,
        frechet_distance as frechet_distance,
        kernel_distance as kernel_distance,
        precision_recall as precision_recall,
    )
    from ot_latent.metrics.known import (
        distance_to_curve as distance_to_curve,
        nearest_modes as nearest_modes,
        off_mode_rate as off_mode_rate,
    )
    from ot_latent.metrics.likelihood import (
        feature_likelihood_divergence as feature_likelihood_divergence,
    )
    from ot_latent.metrics.manifold import (
        fold_rates as fold_rates,
        judge_known_manifold as judge_known_manifold,
        off_manifold_auc as off_manifold_auc,
        projection_ratio as projection_ratio,
        reconstruction_errors as reconstruction_errors,
        trustworthiness_continuity as trustworthiness_continuity,
    )
    from ot_latent.metrics.manifolds import (
        KNOWN_MANIFOLDS as KNOWN_MANIFOLDS,
        ArchimedeanSpiral as ArchimedeanSpiral,
        SphereWithHole as SphereWithHole,
        SwissRoll as SwissRoll,
        TorusPatch as TorusPatch,
    )
    from ot_latent.metrics.modes import (
        mixture_rate as mixture_rate,
        mode_histogram as mode_histogram,
        mode_kl as mode_kl,
        modes_covered as modes_covered,
        variance_ratio as variance_ratio,
    )
    from ot_latent.metrics.novelty import (
        authenticity as authenticity,
        closest_record as closest_record,
        copy_rate as copy_rate,
        distance_to_closest as distance_to_closest,
        novelty_ratio as novelty_ratio,
    )
    from ot_latent.metrics.wasserstein import (
        exact_wasserstein as exact_wasserstein,
        sliced_wasserstein as sliced_wasserstein,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bootstrap": [
            "bootstrap_interval",
            "frechet_interval",
        ],
        "copying": [
            "data_copying",
        ],
        "dimension": [
            "intrinsic_dimension",
        ],
        "embedding": [
            "ModuleFeatures",
            "dinov2_features",
            "inception_features",
        ],
        "fidelity": [
            "density_coverage",
            "frechet_distance",
            "kernel_distance",
            "precision_recall",
        ],
        "known": [
            "distance_to_curve",
            "nearest_modes",
            "off_mode_rate",
        ],
        "likelihood": [
            "feature_likelihood_divergence",
        ],
        "manifold": [
            "fold_rates",
            "judge_known_manifold",
            "off_manifold_auc",
            "projection_ratio",
            "reconstruction_errors",
            "trustworthiness_continuity",
        ],
        "manifolds": [
            "KNOWN_MANIFOLDS",
            "ArchimedeanSpiral",
            "SphereWithHole",
            "SwissRoll",
            "TorusPatch",
        ],
        "modes": [
            "mixture_rate",
            "mode_histogram",
            "mode_kl",
            "modes_covered",
            "variance_ratio",
        ],
        "novelty": [
            "authenticity",
            "closest_record",
            "copy_rate",
            "distance_to_closest",
            "novelty_ratio",
        ],
        "wasserstein": [
            "exact_wasserstein",
            "sliced_wasserstein",
        ],
    },
    modules=[
        "bootstrap",
        "copying",
        "dimension",
        "embedding",
        "fidelity",
        "known",
        "likelihood",
        "manifold",
        "manifolds",
        "modes",
        "novelty",
        "wasserstein",
    ],
)
