"""Evidence that an autoencoder has learnt a manifold, as the block ``manifold`` of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent.metrics.manifold import (
    fold_rates,
    intrinsic_dimension,
    projection_ratio,
    reconstruction_errors,
    trustworthiness_continuity,
)

if TYPE_CHECKING:
    from ot_latent.coders import OwnCoder, TrainedCoder

NOISE_LEVELS = (0.1, 0.2, 0.4)
ROWS = 2000  # rows of the estimates; their cost is quadratic
NEIGHBOURS = 12


def manifold_evidence(
    coder: TrainedCoder | OwnCoder, held_out: Any, train: Any = None, *, seed: int = 0
) -> dict[str, Any]:
    """Return what held-out rows say about the autoencoder.

    Parameters
    ----------
    coder : coders.TrainedCoder or coders.OwnCoder
        Encoder and decoder.
    held_out : array-like
        Rows that it was not trained on.
    train : array-like, optional
        Rows that it was trained on, for their reconstruction error.
    seed : int, default=0
        Seed of subsamples and noise.

    Returns
    -------
    dict
        dimension (of data, codes and reconstructions), projection_ratio (by noise level, in units
        of the data's standard deviation), reconstruction_error (held_out, train; root mean
        square per item, in units of the data's standard deviation), trustworthiness, continuity,
        folded, torn, n.
    """
    x = coder.inputs(_subset(held_out, seed))
    codes = coder.raw_encode(x)
    rebuilt = coder.raw_decode(codes)
    scale = float(x.std()) or 1.0
    maps: dict[str, Callable[..., Any]] = {"encode": coder.raw_encode, "decode": coder.raw_decode}
    ratios = projection_ratio(**maps, x=x, noise_levels=NOISE_LEVELS, seed=seed)
    flat: dict[str, Any] = {"data": x.flatten(1), "codes": codes}
    kept = trustworthiness_continuity(
        **flat, neighbours=min(NEIGHBOURS, (len(x) - 1) // 2 - 1), seed=seed
    )
    folds = fold_rates(**flat, seed=seed)
    errors = {"held_out": float(reconstruction_errors(**maps, x=x).mean()) / scale, "train": None}
    if train is not None:
        known = coder.inputs(_subset(train, seed))
        errors["train"] = float(reconstruction_errors(**maps, x=known).mean()) / scale
    return {
        "dimension": {
            "data": intrinsic_dimension(flat["data"], seed=seed),
            "codes": intrinsic_dimension(codes, seed=seed),
            "reconstructions": intrinsic_dimension(rebuilt.flatten(1), seed=seed),
        },
        "projection_ratio": dict(zip(map(str, NOISE_LEVELS), ratios, strict=True)),
        "reconstruction_error": errors,
        "trustworthiness": kept.trustworthiness,
        "continuity": kept.continuity,
        "folded": folds.folded,
        "torn": folds.torn,
        "n": len(x),
    }


def _subset(rows: Any, seed: int) -> np.ndarray:
    """Return at most 2000 rows, drawn at random."""
    array = np.asarray(rows)
    if len(array) <= ROWS:
        return array
    return array[np.sort(generator(seed, Stream.MANIFOLD, 0).permutation(len(array))[:ROWS])]
