"""The geometry of deep networks as tools: four papers, one package each, on any PyTorch model.

`networks` brings a model into the form that the others read; `rectified_linear` counts its linear
pieces, `depth` tells how deep signals reach, `hierarchy` makes data with known structure, and
`sparsity` measures what weight decay minimises. This part knows neither transport nor metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.theory import (
        depth as depth,
        hierarchy as hierarchy,
        networks as networks,
        rectified_linear as rectified_linear,
        sparsity as sparsity,
    )

__getattr__, __dir__, __all__ = attach(
    __name__, {}, modules=["depth", "hierarchy", "networks", "rectified_linear", "sparsity"]
)
