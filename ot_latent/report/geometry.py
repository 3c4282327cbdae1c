"""The page's section on the geometry of the autoencoder: what is exact, and what is estimated."""

from __future__ import annotations

from typing import Any

from ot_latent.geometry import autoencoder_geometry, describe
from ot_latent.report import markup

SEGMENTS = 2  # of a large decoder each takes seconds


def geometry_section(model: Any, rows: Any, seed: int) -> str:
    """Return the section, or nothing where there is no autoencoder.

    Parameters
    ----------
    model : LatentGenerator or CodeModel
        The model.
    rows : array-like
        Held-out rows of data.
    seed : int
        Seed of pairs and deformations.

    Returns
    -------
    str
        HTML.
    """
    if model.coder_ is None:
        return ""
    record = autoencoder_geometry(model.coder_, rows, segments=SEGMENTS, seed=seed)
    del record["dimension"]  # the section on the manifold tells it, of the rows that are judged
    words = (
        "What the networks do to space. Exact findings hold for the networks as they are; "
        "estimates are from held-out rows. Dimensions stand in the section before."
    )
    parts = [markup.paragraph(words), markup.bullets(describe(record))]
    return markup.section("geometry", "The geometry of the autoencoder", parts)
