"""The geometry of an autoencoder in one record: linear pieces, chords, folds, norms, dimension, stability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_positive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ot_latent.coders import OwnCoder, TrainedCoder
    from ot_latent.theory.rectified_linear import PathPieces

ROWS = 500  # rows of the estimates
PROBES = 32  # codes at which derivatives are taken
STEP = 1e-2  # of the codes' rms: the step of differences
FLAT = 1e-3  # a direction is lost where it is stretched less than this share of the longest
IMAGES = 100  # images that are deformed
CHORDS = 0.01  # distance from its chords at which an image is followed, in shares of its length


def autoencoder_geometry(
    coder: TrainedCoder | OwnCoder, rows: Any, *, segments: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Measure the geometry of an encoder and a decoder on data.

    Exact are the pieces along interpolations, norms and balance (of networks that can be read: ReLU
    and its kin, without norms of single rows); the others are estimates from rows. Smooth networks,
    such as the default ones, have no pieces: chords that follow the same interpolations measure
    their curvature. What cannot be measured says why under ``"why"``.

    Parameters
    ----------
    coder : coders.TrainedCoder or coders.OwnCoder
        Encoder and decoder, such as `LatentGenerator.coder_`.
    rows : array-like
        Rows of data, held-out ones at best; at most 500 are used.
    segments : int, default=3
        How many interpolations between codes of random pairs of rows.
    seed : int, default=0
        Seed of pairs, noise and deformations.

    Returns
    -------
    dict
        ``pieces`` (decoder along segments between codes, exact: units, cells, linear pieces, length
        of the image over its chord; mean, least, most), ``chords`` (of whatever decoder along the
        same segments, estimates: the fewest that follow the image within 1 % of its length, how
        far it turns in radians, its length over its chord), ``decoder`` (from differences at codes:
        median longest and shortest stretch of a direction, share of codes that lose a direction,
        rms of encode(decode(z)) - z over the codes' rms: where it is 0 the decoder is injective;
        share of codes near ones of far data and the reverse), ``norms`` (encoder and decoder: path
        norm, balance residual, excess of weight decay, units, active units), ``dimension`` (data,
        codes, reconstructions), ``stability`` (images: squared change of codes under smooth
        deformations over that under noise of the same size, with its standard error), ``n``.

    Raises
    ------
    DataError
        If there are fewer than 40 rows.
    ValueError
        If `segments` is not a positive integer.
    """
    check_positive(segments, "segments", integer=True)
    array = np.asarray(rows)
    if len(array) < 40:
        raise DataError(f"rows must be at least 40, got {len(array)}; pass more rows of data.")
    order = generator(seed, Stream.MANIFOLD, 1).permutation(len(array))[:ROWS]
    x = coder.inputs(array[np.sort(order)])
    codes = coder.raw_encode(x)
    rebuilt = coder.raw_decode(codes)
    networks, own = _networks(coder), hasattr(coder, "model")
    ends = _pairs(codes, segments, seed)
    shapes = {"encoder": tuple(x.shape[1:]), "decoder": tuple(codes.shape[1:])}
    return {
        "pieces": _pieces(networks.get("decoder"), tuple(codes.shape[1:]), ends, own=own),
        "chords": _chords(lambda points: _decoded(coder, points, codes), ends),
        "decoder": _decoder(coder, x, codes, rebuilt, seed),
        "norms": {name: _norms(networks.get(name), at, own=own) for name, at in shapes.items()},
        "dimension": _dimension(x, codes, rebuilt, seed),
        "stability": _stability(coder, x, seed),
        "n": len(x),
    }


def network_geometry(
    model: nn.Module, shape: Sequence[int] | None = None, *, segments: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Measure what can be known of one network without data.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    shape : sequence of int, optional
        Shape of one row of the input. Default: taken from the first layer, if that is Linear.
    segments : int, default=3
        How many segments between standard normal points are cut into linear pieces.
    seed : int, default=0
        Seed of these points.

    Returns
    -------
    dict
        ``widths`` (input, units of each layer, output) and ``bound`` (least upper bound on
        activation cells, as a power of ten, and its name) of a piecewise-linear network;
        ``pieces``, ``chords`` and ``norms`` as in `autoencoder_geometry`. What cannot be measured
        says why.

    Raises
    ------
    ValueError
        If the network has no shape of its own and none is given, does not take rows of this shape,
        or `segments` is not positive.

    Examples
    --------
    >>> from torch import nn
    >>> found = network_geometry(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
    >>> found["widths"], found["bound"]["name"], round(10 ** found["bound"]["log10"])
    ([2, 8, 1], 'serra', 37)
    """
    from math import prod

    from ot_latent.theory.running import float64_function, row_shape

    check_positive(segments, "segments", integer=True)
    rows = row_shape(model, shape)
    function = float64_function(model, rows)
    rng = generator(seed, Stream.MANIFOLD, 3)
    ends = rng.standard_normal((segments, 2, prod(rows)))
    return {
        **_counted(model, rows, ends),
        "chords": _chords(function, ends),
        "norms": {"network": _norms(model, rows)},
    }


def _counted(model: nn.Module, shape: tuple[int, ...], ends: np.ndarray) -> dict[str, Any]:
    """Count what can be counted of a network that can be read: widths, bound, pieces."""
    from math import log10

    from ot_latent.theory.networks import read_network
    from ot_latent.theory.rectified_linear import line_regions, region_bounds

    try:
        network = read_network(model, shape, cut_output=True)
    except ValueError as error:
        return {"pieces": {"why": str(error)}}
    bounds = region_bounds(network)
    return {
        "widths": list(network.widths),
        "bound": {"name": bounds.best_name, "log10": log10(bounds.best)},
        "pieces": _met([line_regions(network, *pair) for pair in ends]),
    }


def _networks(coder: TrainedCoder | OwnCoder) -> dict[str, nn.Module]:
    """Return encoder and decoder where they are modules."""
    from torch import nn

    home = getattr(coder, "model", coder)
    found = {name: getattr(home, name, None) for name in ("encoder", "decoder")}
    return {name: part for name, part in found.items() if isinstance(part, nn.Module)}


def _why(part: nn.Module | None) -> dict[str, Any] | None:
    """Say why a network cannot be read at all, if it cannot."""
    if part is None:
        return {"why": "the networks are functions, not modules"}
    return None


def _pairs(codes: Tensor, segments: int, seed: int) -> np.ndarray:
    """Return the codes of random pairs of rows, (segments, 2, d) in float64."""
    every = codes.detach().cpu().numpy().astype(np.float64)
    rng = generator(seed, Stream.MANIFOLD, 2)
    return np.stack([every[rng.permutation(len(every))[:2]] for _ in range(segments)])


def _decoded(coder: TrainedCoder | OwnCoder, points: np.ndarray, like: Tensor) -> np.ndarray:
    """Decode points as the coder does, in its own precision."""
    import torch

    z = torch.from_numpy(points).to(like.device, like.dtype)
    return coder.raw_decode(z).double().flatten(1).cpu().numpy()


def _refused(error: ValueError, own: bool) -> dict[str, Any]:
    """Say why a network cannot be read; of the library's own, which setting makes it readable."""
    text = str(error)
    if own and "piecewise-linear" in text:
        text = f"{text.partition(';')[0]}; train with activation='relu' for one that can be read"
    return {"why": text}


def _pieces(
    decoder: nn.Module | None, shape: tuple[int, ...], ends: np.ndarray, *, own: bool
) -> dict[str, Any]:
    """Cut interpolations between codes by the decoder's cells."""
    from ot_latent.theory.networks import read_network
    from ot_latent.theory.rectified_linear import line_regions

    refused = _why(decoder)
    if refused is not None or decoder is None:
        return dict(refused or {})
    try:
        network = read_network(decoder, shape, cut_output=True)
    except ValueError as error:
        return _refused(error, own)
    return _met([line_regions(network, *pair) for pair in ends])


def _chords(function: Callable[[np.ndarray], np.ndarray], ends: np.ndarray) -> dict[str, Any]:
    """Follow the images of segments by chords."""
    from ot_latent.theory.rectified_linear import segment_chords

    found = [segment_chords(function, *pair, tolerance=CHORDS) for pair in ends]
    return {
        "segments": len(found),
        "tolerance": CHORDS,
        "chords": _spread([chords.n_chords for chords in found]),
        "turning": _spread([chords.turning for chords in found]),
        "length_over_chord": _spread([_ratio(c.length, c.span) for c in found]),
    }


def _ratio(length: float, span: float) -> float:
    """Return a length over the distance of its ends, where there is one."""
    return length / span if span else float("nan")


def _met(paths: Sequence[PathPieces]) -> dict[str, Any]:
    """Summarise what segments meet."""
    values = [path.values() for path in paths]
    spans = [float(np.linalg.norm(each[-1] - each[0])) for each in values]
    ratios = [_ratio(path.length, span) for path, span in zip(paths, spans, strict=True)]
    return {
        "units": paths[0].units,
        "segments": len(paths),
        "cells": _spread([path.n_cells for path in paths]),
        "linear_pieces": _spread([path.n_pieces for path in paths]),
        "length_over_chord": _spread(ratios),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, least and most."""
    return {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}


def _decoder(
    coder: TrainedCoder | OwnCoder, x: Tensor, codes: Tensor, rebuilt: Tensor, seed: int
) -> dict[str, Any]:
    """Measure how the decoder stretches, and whether codes come back from what it makes."""
    from ot_latent.metrics.manifold import fold_rates

    size = float(codes.double().square().mean().sqrt()) or 1.0
    back = coder.raw_encode(rebuilt) - codes
    longest, shortest = _stretches(coder, codes[:PROBES], STEP * size)
    folds = fold_rates(data=x.flatten(1), codes=codes, seed=seed)
    return {
        "longest_stretch": float(np.median(longest)),
        "shortest_stretch": float(np.median(shortest)),
        "lost_directions": float(np.mean(shortest < FLAT * longest)),
        "round_trip": float(back.double().square().mean().sqrt()) / size,
        "folded": folds.folded,
        "torn": folds.torn,
    }


def _stretches(
    coder: TrainedCoder | OwnCoder, z: Tensor, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest and the least singular value of the decoder's derivative at codes."""
    import torch

    count, dim = z.shape
    moves = step * torch.eye(dim, dtype=z.dtype, device=z.device)
    moved = torch.cat([z[:, None] + moves, z[:, None] - moves], dim=1).reshape(-1, dim)
    values = coder.raw_decode(moved).reshape(count, 2, dim, -1).double()
    slopes = (values[:, 0] - values[:, 1]) / (2 * step)
    gram = torch.linalg.eigvalsh(slopes @ slopes.transpose(1, 2)).clamp(min=0).sqrt()
    return gram[:, -1].cpu().numpy(), gram[:, 0].cpu().numpy()


def _norms(part: nn.Module | None, shape: tuple[int, ...], *, own: bool = False) -> dict[str, Any]:
    """Measure what weight decay sees of one network."""
    from ot_latent.theory.sparsity import (
        active_units,
        balance_residual,
        homogeneous_units,
        path_norm,
        unit_norms,
        weight_decay_gap,
    )

    refused = _why(part)
    if refused is not None or part is None:
        return dict(refused or {})
    try:
        blocks = homogeneous_units(part, shape)
    except ValueError as error:
        return _refused(error, own)
    return {
        "path_norm": path_norm(blocks),
        "balance_residual": balance_residual(blocks),
        "weight_decay_gap": weight_decay_gap(blocks),
        "units": sum(len(norms) for norms in unit_norms(blocks)),
        "active_units": sum(active_units(blocks)),
    }


def _dimension(x: Tensor, codes: Tensor, rebuilt: Tensor, seed: int) -> dict[str, float]:
    """Estimate the dimension of data, codes and reconstructions."""
    from ot_latent.metrics.manifold import intrinsic_dimension

    clouds = {"data": x.flatten(1), "codes": codes, "reconstructions": rebuilt.flatten(1)}
    return {name: float(intrinsic_dimension(c, seed=seed)) for name, c in clouds.items()}


def _stability(coder: TrainedCoder | OwnCoder, x: Tensor, seed: int) -> dict[str, Any]:
    """Measure the codes' answer to smooth deformations of images."""
    from ot_latent.theory.hierarchy import relative_stability

    if x.ndim < 3:
        return {"why": "only images can be deformed"}
    found = relative_stability(coder.raw_encode, x[:IMAGES], seed=seed)["output"].relative
    return {"relative": found.value, "error": found.error}
