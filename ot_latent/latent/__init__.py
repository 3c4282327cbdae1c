"""Autoencoders from data to codes and back: layout of the data, networks, one training loop.

This part knows nothing of transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.latent.autoencoder import (
        Autoencoder as Autoencoder,
        build_autoencoder as build_autoencoder,
    )
    from ot_latent.latent.classifier import (
        Classifier as Classifier,
        train_classifier as train_classifier,
    )
    from ot_latent.latent.flow import (
        Flow as Flow,
        FlowConfig as FlowConfig,
        train_flow as train_flow,
    )
    from ot_latent.latent.pairing import pairs_of as pairs_of
    from ot_latent.latent.preprocessing import (
        ConstantFeatureWarning as ConstantFeatureWarning,
        DataCodec as DataCodec,
    )
    from ot_latent.latent.training import (
        TrainingResult as TrainingResult,
        TrainingState as TrainingState,
        train_autoencoder as train_autoencoder,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "autoencoder": ["Autoencoder", "build_autoencoder"],
        "classifier": ["Classifier", "train_classifier"],
        "flow": ["Flow", "FlowConfig", "train_flow"],
        "pairing": ["pairs_of"],
        "preprocessing": ["ConstantFeatureWarning", "DataCodec"],
        "training": ["TrainingResult", "TrainingState", "train_autoencoder"],
    },
)
