"""Samples from your data without mode collapse.

Three steps, each useful alone: an autoencoder turns data into codes (`ot_latent.latent`),
semi-discrete optimal transport finds a convex potential whose gradient carries noise onto the codes
(`ot_latent.transport`), and the decoder turns transported noise into new data (`LatentGenerator`).

Names load on first use: this import needs neither torch, scipy, scikit-learn, POT nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ot_latent import (
        baselines as baselines,
        datasets as datasets,
        evaluation as evaluation,
        kernels as kernels,
        latent as latent,
        metrics as metrics,
        persistence as persistence,
        plotting as plotting,
        theory as theory,
        transport as transport,
    )
    from ot_latent._validation import DataError as DataError
    from ot_latent.estimators import OTSampler as OTSampler
    from ot_latent.generator import LatentGenerator as LatentGenerator
    from ot_latent.latent_dim import (
        LatentDimSuggestion as LatentDimSuggestion,
        suggest_latent_dim as suggest_latent_dim,
    )
    from ot_latent.transport.extension import ExtendedMap as ExtendedMap
    from ot_latent.transport.measures import DiscreteMeasure as DiscreteMeasure
    from ot_latent.transport.newton import DampedNewton as DampedNewton
    from ot_latent.transport.potential import BrenierPotential as BrenierPotential
    from ot_latent.transport.power_diagram import PowerDiagram as PowerDiagram
    from ot_latent.transport.solution import (
        SemiDiscreteSolution as SemiDiscreteSolution,
        Status as Status,
    )
    from ot_latent.transport.sources import (
        Gaussian as Gaussian,
        UniformBall as UniformBall,
        UniformBox as UniformBox,
    )
    from ot_latent.transport.stochastic import StochasticNewton as StochasticNewton

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_validation": ["DataError"],
        "estimators": ["OTSampler"],
        "generator": ["LatentGenerator"],
        "latent_dim": ["LatentDimSuggestion", "suggest_latent_dim"],
        "transport.extension": ["ExtendedMap"],
        "transport.measures": ["DiscreteMeasure"],
        "transport.sources": ["Gaussian", "UniformBall", "UniformBox"],
        "transport.newton": ["DampedNewton"],
        "transport.potential": ["BrenierPotential"],
        "transport.power_diagram": ["PowerDiagram"],
        "transport.solution": ["SemiDiscreteSolution", "Status"],
        "transport.stochastic": ["StochasticNewton"],
    },
    modules=[
        "baselines",
        "datasets",
        "evaluation",
        "kernels",
        "latent",
        "metrics",
        "persistence",
        "plotting",
        "theory",
        "transport",
    ],
)
__all__ += ["__version__"]
