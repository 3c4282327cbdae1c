"""Evidence that an autoencoder has learnt a manifold, as the block ``manifold`` of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent.metrics.manifold import (
    fold_rates,
    intrinsic_dimension,
    off_manifold_auc,
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
    coder: TrainedCoder | OwnCoder,
    held_out: Any,
    *,
    train_error: float | None = None,
    other: Any = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what held-out rows say about the autoencoder.

    Parameters
    ----------
    coder : coders.TrainedCoder or coders.OwnCoder
        Encoder and decoder.
    held_out : array-like
        Rows that it was not trained on.
    train_error : float, optional
        `reconstruction_error` of rows that it was trained on.
    other : array-like, optional
        Rows of another data set of the same layout: how well does the reconstruction error tell
        them from the held-out rows?
    seed : int, default=0
        Seed of subsamples and noise.

    Returns
    -------
    dict
        dimension (of data, codes and reconstructions), projection_ratio (by noise level, in units
        of the data's standard deviation, around points of the learnt manifold: reconstructions),
        projection_ratio_of_data (the same around the rows themselves; the reconstruction error is
        part of it, so it passes 1 where noise is smaller than that error), reconstruction_error (held_out, train; root mean
        square per item, in units of the data's standard deviation), trustworthiness, continuity,
        folded, torn, off_manifold_auc (of `other`, else None), n.
    """
    x = coder.inputs(_subset(held_out, seed))
    codes = coder.raw_encode(x)
    rebuilt = coder.raw_decode(codes)
    scale = float(x.std()) or 1.0
    maps: dict[str, Callable[..., Any]] = {"encode": coder.raw_encode, "decode": coder.raw_decode}
    raw = projection_ratio(**maps, x=x, noise_levels=NOISE_LEVELS, seed=seed)
    on_manifold = projection_ratio(**maps, x=rebuilt, noise_levels=NOISE_LEVELS, seed=seed)
    flat: dict[str, Any] = {"data": x.flatten(1), "codes": codes}
    kept = trustworthiness_continuity(
        **flat, neighbours=min(NEIGHBOURS, (len(x) - 1) // 2 - 1), seed=seed
    )
    folds = fold_rates(**flat, seed=seed)
    errors = reconstruction_errors(**maps, x=x)
    auc = None
    if other is not None:
        outside = reconstruction_errors(**maps, x=coder.inputs(_subset(other, seed)))
        auc = off_manifold_auc(inside=errors, outside=outside)
    return {
        "dimension": {
            "data": intrinsic_dimension(flat["data"], seed=seed),
            "codes": intrinsic_dimension(codes, seed=seed),
            "reconstructions": intrinsic_dimension(rebuilt.flatten(1), seed=seed),
        },
        "projection_ratio": dict(zip(map(str, NOISE_LEVELS), on_manifold, strict=True)),
        "projection_ratio_of_data": dict(zip(map(str, NOISE_LEVELS), raw, strict=True)),
        "reconstruction_error": {"held_out": float(errors.mean()) / scale, "train": train_error},
        "trustworthiness": kept.trustworthiness,
        "continuity": kept.continuity,
        "folded": folds.folded,
        "torn": folds.torn,
        "off_manifold_auc": auc,
        "n": len(x),
    }


def reconstruction_error(coder: TrainedCoder | OwnCoder, rows: Any, *, seed: int = 0) -> float:
    """Return the mean root mean square error of reconstructions, in units of the rows' deviation.

    Parameters
    ----------
    coder : coders.TrainedCoder or coders.OwnCoder
        Encoder and decoder.
    rows : array-like
        Rows of data; at most 2000 are used, drawn at random.
    seed : int, default=0
        Seed of the draw.

    Returns
    -------
    float
        0 is perfect, 1 as bad as a constant.
    """
    x = coder.inputs(_subset(rows, seed))
    errors = reconstruction_errors(encode=coder.raw_encode, decode=coder.raw_decode, x=x)
    return float(errors.mean()) / (float(x.std()) or 1.0)


def _subset(rows: Any, seed: int) -> np.ndarray:
    """Return at most 2000 rows, drawn at random."""
    array = np.asarray(rows)
    if len(array) <= ROWS:
        return array
    return array[np.sort(generator(seed, Stream.MANIFOLD, 0).permutation(len(array))[:ROWS])]
