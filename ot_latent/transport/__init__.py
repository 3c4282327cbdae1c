"""Semi-discrete optimal transport: measures, convex potentials, solvers, the extended map.

This part knows nothing of networks, images or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap as ExtendedMap
    from ot_latent.transport.measures import (
        DiscreteMeasure as DiscreteMeasure,
        DuplicatePointsWarning as DuplicatePointsWarning,
    )
    from ot_latent.transport.potential import BrenierPotential as BrenierPotential
    from ot_latent.transport.solution import (
        ConvergenceWarning as ConvergenceWarning,
        SemiDiscreteSolution as SemiDiscreteSolution,
        SolverError as SolverError,
        Status as Status,
    )
    from ot_latent.transport.sources import (
        Gaussian as Gaussian,
        UniformBall as UniformBall,
        UniformBox as UniformBox,
        source_from_dict as source_from_dict,
    )
    from ot_latent.transport.stochastic import StochasticNewton as StochasticNewton
    from ot_latent.transport.triangulation import RegularTriangulation as RegularTriangulation

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "extension": ["ExtendedMap"],
        "measures": ["DiscreteMeasure", "DuplicatePointsWarning"],
        "sources": ["Gaussian", "UniformBall", "UniformBox", "source_from_dict"],
        "potential": ["BrenierPotential"],
        "solution": ["ConvergenceWarning", "SemiDiscreteSolution", "SolverError", "Status"],
        "stochastic": ["StochasticNewton"],
        "triangulation": ["RegularTriangulation"],
    },
)
