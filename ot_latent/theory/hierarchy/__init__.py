"""Data with known structure: the (sparse) random hierarchy model, sensitivities, deformations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.theory.hierarchy.complexity import (
        empirical_sample_complexity as empirical_sample_complexity,
        predicted_sample_complexity as predicted_sample_complexity,
    )
    from ot_latent.theory.hierarchy.deformations import (
        deform as deform,
        max_entropy_deformation as max_entropy_deformation,
        mode_sums as mode_sums,
        temperature as temperature,
        temperature_range as temperature_range,
    )
    from ot_latent.theory.hierarchy.derivations import Derivations as Derivations
    from ot_latent.theory.hierarchy.judging import (
        LanguageScores as LanguageScores,
        judge_strings as judge_strings,
    )
    from ot_latent.theory.hierarchy.learners import (
        HierarchicalCNN as HierarchicalCNN,
        LocallyConnected as LocallyConnected,
    )
    from ot_latent.theory.hierarchy.learning import (
        LearningCurve as LearningCurve,
        build_learner as build_learner,
        error_rate as error_rate,
        learning_curve as learning_curve,
        train_network as train_network,
    )
    from ot_latent.theory.hierarchy.model import (
        RandomHierarchy as RandomHierarchy,
        SparseRandomHierarchy as SparseRandomHierarchy,
    )
    from ot_latent.theory.hierarchy.parsing import Parse as Parse
    from ot_latent.theory.hierarchy.sensitivity import (
        Ratio as Ratio,
        input_sensitivity as input_sensitivity,
        layer_sensitivity as layer_sensitivity,
    )
    from ot_latent.theory.hierarchy.signal import (
        tuple_label_probabilities as tuple_label_probabilities,
        tuple_label_signal as tuple_label_signal,
    )
    from ot_latent.theory.hierarchy.stability import (
        Stability as Stability,
        relative_stability as relative_stability,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "complexity": ["empirical_sample_complexity", "predicted_sample_complexity"],
        "deformations": [
            "deform",
            "max_entropy_deformation",
            "mode_sums",
            "temperature",
            "temperature_range",
        ],
        "derivations": ["Derivations"],
        "judging": ["LanguageScores", "judge_strings"],
        "learners": ["HierarchicalCNN", "LocallyConnected"],
        "learning": [
            "LearningCurve",
            "build_learner",
            "error_rate",
            "learning_curve",
            "train_network",
        ],
        "model": ["RandomHierarchy", "SparseRandomHierarchy"],
        "parsing": ["Parse"],
        "sensitivity": ["Ratio", "input_sensitivity", "layer_sensitivity"],
        "signal": ["tuple_label_probabilities", "tuple_label_signal"],
        "stability": ["Stability", "relative_stability"],
    },
)
