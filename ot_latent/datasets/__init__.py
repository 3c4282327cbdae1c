"""Data sets as arrays: named sets, the user's own files, and where each byte came from.

Importing this package loads numpy and the standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.datasets.loading import NAMED as NAMED, load as load, locate as locate
    from ot_latent.datasets.record import Dataset as Dataset, DatasetWarning as DatasetWarning

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "loading": ["NAMED", "load", "locate"],
        "record": ["Dataset", "DatasetWarning"],
    },
)
