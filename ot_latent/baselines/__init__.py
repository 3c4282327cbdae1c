"""Rivals of the transport on the same codes: what it does not improve is not credited to it.

All have the face ``fit(Z, y=None)`` and ``sample(n, random_state)``: codes in, codes out, row i of
a sample a function of (seed, i) alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.baselines.base import Baseline as Baseline
    from ot_latent.baselines.copulas import (
        BetaCopulaSampler as BetaCopulaSampler,
        VineCopulaSampler as VineCopulaSampler,
    )
    from ot_latent.baselines.densities import (
        GaussianSampler as GaussianSampler,
        KernelDensitySampler as KernelDensitySampler,
        MixtureSampler as MixtureSampler,
    )
    from ot_latent.baselines.flows import NormalisingFlowSampler as NormalisingFlowSampler
    from ot_latent.baselines.matching import FlowMatchingSampler as FlowMatchingSampler
    from ot_latent.baselines.priors import (
        PriorAutoencoder as PriorAutoencoder,
        PriorSampler as PriorSampler,
    )
    from ot_latent.baselines.transported import (
        ControlSampler as ControlSampler,
        PlainMapSampler as PlainMapSampler,
        ReferenceRuleSampler as ReferenceRuleSampler,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "base": ["Baseline"],
        "copulas": ["BetaCopulaSampler", "VineCopulaSampler"],
        "densities": ["GaussianSampler", "KernelDensitySampler", "MixtureSampler"],
        "flows": ["NormalisingFlowSampler"],
        "matching": ["FlowMatchingSampler"],
        "priors": ["PriorAutoencoder", "PriorSampler"],
        "transported": ["ControlSampler", "PlainMapSampler", "ReferenceRuleSampler"],
    },
)
