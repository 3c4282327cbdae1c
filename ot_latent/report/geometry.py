"""The page's section on the geometry of the autoencoder: what is exact, and what is estimated."""

from __future__ import annotations

from typing import Any

from ot_latent.geometry import autoencoder_geometry
from ot_latent.geometry_words import describe
from ot_latent.report import markup

SEGMENTS = 2  # of a large decoder each takes seconds


def geometry_section(model: Any, rows: Any, seed: int, *, told: bool = False) -> str:
    """Return the section, or nothing where there is no autoencoder.

    Parameters
    ----------
    model : LatentGenerator or CodeModel
        The model.
    rows : array-like
        Held-out rows of data.
    seed : int
        Seed of pairs and deformations.
    told : bool, default=False
        Whether the section on the manifold tells dimensions and folds, of the rows that are judged.

    Returns
    -------
    str
        HTML.
    """
    if model.coder_ is None:
        return ""
    record = autoencoder_geometry(model.coder_, rows, segments=SEGMENTS, seed=seed)
    words = (
        "What the networks do to space. Exact findings hold for the networks as they are; "
        "estimates are from held-out rows."
    )
    if told:  # once, and of one set of rows
        del record["dimension"], record["decoder"]["folded"], record["decoder"]["torn"]
        words += " Dimensions and folds stand in the section before."
    parts = [markup.paragraph(words), markup.bullets(describe(record))]
    return markup.section("geometry", "The geometry of the autoencoder", parts)
