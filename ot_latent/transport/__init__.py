"""Semi-discrete optimal transport: measures, convex potentials, solvers, the extended map.

This part knows nothing of networks, images or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.transport.coupling import SemiDiscreteCoupling as SemiDiscreteCoupling
    from ot_latent.transport.domains import (
        DensityFloorWarning as DensityFloorWarning,
        GridDensity as GridDensity,
        UniformPolytope as UniformPolytope,
    )
    from ot_latent.transport.extension import ExtendedMap as ExtendedMap
    from ot_latent.transport.measures import (
        DiscreteMeasure as DiscreteMeasure,
        DuplicatePointsWarning as DuplicatePointsWarning,
    )
    from ot_latent.transport.newton import DampedNewton as DampedNewton
    from ot_latent.transport.potential import BrenierPotential as BrenierPotential
    from ot_latent.transport.power_diagram import Facets as Facets, PowerDiagram as PowerDiagram
    from ot_latent.transport.singular import (
        SingularSet as SingularSet,
        detect_singular_set as detect_singular_set,
    )
    from ot_latent.transport.solution import (
        ConvergenceWarning as ConvergenceWarning,
        SemiDiscreteSolution as SemiDiscreteSolution,
        SolverError as SolverError,
        Status as Status,
    )
    from ot_latent.transport.source_kinds import source_from_dict as source_from_dict
    from ot_latent.transport.sources import (
        Gaussian as Gaussian,
        UniformBall as UniformBall,
        UniformBox as UniformBox,
    )
    from ot_latent.transport.stochastic import StochasticNewton as StochasticNewton
    from ot_latent.transport.triangulation import RegularTriangulation as RegularTriangulation

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "coupling": ["SemiDiscreteCoupling"],
        "domains": ["DensityFloorWarning", "GridDensity", "UniformPolytope"],
        "newton": ["DampedNewton"],
        "power_diagram": ["Facets", "PowerDiagram"],
        "extension": ["ExtendedMap"],
        "measures": ["DiscreteMeasure", "DuplicatePointsWarning"],
        "sources": ["Gaussian", "UniformBall", "UniformBox"],
        "source_kinds": ["source_from_dict"],
        "potential": ["BrenierPotential"],
        "singular": ["SingularSet", "detect_singular_set"],
        "solution": ["ConvergenceWarning", "SemiDiscreteSolution", "SolverError", "Status"],
        "stochastic": ["StochasticNewton"],
        "triangulation": ["RegularTriangulation"],
    },
)
