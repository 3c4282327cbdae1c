"""How deep a signal reaches: semi-invariant metrics, drift, and the cut-off of random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.theory.depth.birkhoff import (
        birkhoff_coefficient as birkhoff_coefficient,
        projective_diameter as projective_diameter,
    )
    from ot_latent.theory.depth.certificates import (
        Certificate as Certificate,
        lipschitz_certificate as lipschitz_certificate,
        residual_certificate as residual_certificate,
    )
    from ot_latent.theory.depth.cones import (
        hilbert_distance as hilbert_distance,
        oscillation as oscillation,
        thompson_distance as thompson_distance,
    )
    from ot_latent.theory.depth.expansion import (
        Expansion as Expansion,
        empirical_expansion as empirical_expansion,
    )
    from ot_latent.theory.depth.gains import (
        Walk as Walk,
        critical_gain as critical_gain,
        death_probability as death_probability,
        expected_length_factor as expected_length_factor,
        log_norm_walk as log_norm_walk,
    )
    from ot_latent.theory.depth.growth import (
        Rate as Rate,
        drift as drift,
        lyapunov as lyapunov,
    )
    from ot_latent.theory.depth.lattice import (
        absorption_depth as absorption_depth,
        lattice_threshold as lattice_threshold,
        rounded_length_map as rounded_length_map,
        rounded_second_moment as rounded_second_moment,
    )
    from ot_latent.theory.depth.mean_field import (
        chi as chi,
        correlation_map as correlation_map,
        depth_scale as depth_scale,
        fixed_length as fixed_length,
        length_gain as length_gain,
        length_map as length_map,
        wide_walk as wide_walk,
    )
    from ot_latent.theory.depth.random_layers import (
        RandomLayer as RandomLayer,
    )
    from ot_latent.theory.depth.suggestion import (
        DepthSuggestion as DepthSuggestion,
        suggest_depth as suggest_depth,
    )
    from ot_latent.theory.depth.supercritical import (
        Relaxation as Relaxation,
        power_law_exponent as power_law_exponent,
        relaxation as relaxation,
        supercritical_depth as supercritical_depth,
    )
    from ot_latent.theory.depth.survival import (
        SurvivalCurve as SurvivalCurve,
        precision_floor as precision_floor,
        round_to_grid as round_to_grid,
        survival_curve as survival_curve,
    )
    from ot_latent.theory.depth.transition import (
        Cutoff as Cutoff,
        PredictedCutoff as PredictedCutoff,
        cutoff as cutoff,
        first_passage as first_passage,
        mixing_time as mixing_time,
        predicted_cutoff as predicted_cutoff,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "birkhoff": ["birkhoff_coefficient", "projective_diameter"],
        "certificates": ["Certificate", "lipschitz_certificate", "residual_certificate"],
        "cones": ["hilbert_distance", "oscillation", "thompson_distance"],
        "transition": [
            "Cutoff",
            "PredictedCutoff",
            "cutoff",
            "first_passage",
            "mixing_time",
            "predicted_cutoff",
        ],
        "expansion": ["Expansion", "empirical_expansion"],
        "gains": [
            "Walk",
            "critical_gain",
            "death_probability",
            "expected_length_factor",
            "log_norm_walk",
        ],
        "growth": ["Rate", "drift", "lyapunov"],
        "lattice": [
            "absorption_depth",
            "lattice_threshold",
            "rounded_length_map",
            "rounded_second_moment",
        ],
        "mean_field": [
            "chi",
            "correlation_map",
            "depth_scale",
            "fixed_length",
            "length_gain",
            "length_map",
            "wide_walk",
        ],
        "random_layers": ["RandomLayer"],
        "suggestion": ["DepthSuggestion", "suggest_depth"],
        "supercritical": ["Relaxation", "power_law_exponent", "relaxation", "supercritical_depth"],
        "survival": ["SurvivalCurve", "precision_floor", "round_to_grid", "survival_curve"],
    },
)
