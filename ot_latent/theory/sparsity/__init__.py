"""What weight decay minimises: path norms, neural balance, Radon-domain variation, few neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.theory.sparsity.balance import (
        Balance as Balance,
        balance_ as balance_,
        layer_balance_ as layer_balance_,
    )
    from ot_latent.theory.sparsity.compress import (
        CompressedLayer as CompressedLayer,
        compress_layer as compress_layer,
    )
    from ot_latent.theory.sparsity.norms import (
        active_units as active_units,
        balance_residual as balance_residual,
        path_norm as path_norm,
        path_penalty as path_penalty,
        unit_norms as unit_norms,
        weight_decay_gap as weight_decay_gap,
    )
    from ot_latent.theory.sparsity.pathprox import PathProx as PathProx
    from ot_latent.theory.sparsity.radon import (
        merge_duplicates as merge_duplicates,
        rtv2 as rtv2,
    )
    from ot_latent.theory.sparsity.ranks import (
        BottleneckRank as BottleneckRank,
        affine_share as affine_share,
        bottleneck_ranks as bottleneck_ranks,
        feature_rank as feature_rank,
    )
    from ot_latent.theory.sparsity.shallow import (
        ShallowNetwork as ShallowNetwork,
        SkipNetwork as SkipNetwork,
    )
    from ot_latent.theory.sparsity.sparsify import sparsify_neurons as sparsify_neurons
    from ot_latent.theory.sparsity.splines import (
        min_rtv2_interpolant_1d as min_rtv2_interpolant_1d,
        rtv2_1d as rtv2_1d,
    )
    from ot_latent.theory.sparsity.units import (
        disjoint_units as disjoint_units,
        homogeneous_units as homogeneous_units,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "balance": ["Balance", "balance_", "layer_balance_"],
        "compress": ["CompressedLayer", "compress_layer"],
        "norms": [
            "active_units",
            "balance_residual",
            "path_norm",
            "path_penalty",
            "unit_norms",
            "weight_decay_gap",
        ],
        "pathprox": ["PathProx"],
        "radon": ["merge_duplicates", "rtv2"],
        "ranks": ["BottleneckRank", "affine_share", "bottleneck_ranks", "feature_rank"],
        "shallow": ["ShallowNetwork", "SkipNetwork"],
        "sparsify": ["sparsify_neurons"],
        "splines": ["min_rtv2_interpolant_1d", "rtv2_1d"],
        "units": ["disjoint_units", "homogeneous_units"],
    },
)
