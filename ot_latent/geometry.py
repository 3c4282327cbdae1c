"""The geometry of an autoencoder in one record: linear pieces, folds, norms, dimension, stability."""

from __future__ import annotations

from collections.abc import Sequence
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


def autoencoder_geometry(
    coder: TrainedCoder | OwnCoder, rows: Any, *, segments: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Measure the geometry of an encoder and a decoder on data.

    Exact are the pieces along interpolations, norms and balance (of networks that can be read: ReLU
    and its kin, without norms of single rows); the others are estimates from rows. What cannot be
    measured says why under ``"why"``.

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
        of the image over its chord; mean, least, most), ``decoder`` (from differences at codes:
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
    networks = _networks(coder)
    shapes = {"encoder": tuple(x.shape[1:]), "decoder": tuple(codes.shape[1:])}
    return {
        "pieces": _pieces(networks.get("decoder"), codes, segments, seed),
        "decoder": _decoder(coder, x, codes, rebuilt, seed),
        "norms": {name: _norms(networks.get(name), shape) for name, shape in shapes.items()},
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
        ``widths`` (input, units of each layer, output), ``bound`` (least upper bound on activation
        cells, as a power of ten, and its name), ``pieces`` and ``norms`` as in
        `autoencoder_geometry`. What cannot be measured says why.

    Raises
    ------
    ValueError
        If the network has no shape of its own and none is given, or `segments` is not positive.

    Examples
    --------
    >>> from torch import nn
    >>> found = network_geometry(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
    >>> found["widths"], found["bound"]["name"], round(10 ** found["bound"]["log10"])
    ([2, 8, 1], 'serra', 37)
    """
    from math import log10, prod

    from ot_latent.theory.networks import read_network
    from ot_latent.theory.rectified_linear import line_regions, region_bounds

    check_positive(segments, "segments", integer=True)
    network = read_network(model, shape, cut_output=True, elementwise=True)
    record: dict[str, Any] = {"norms": {"network": _norms(model, network.input_shape)}}
    try:
        widths, bounds = network.widths, region_bounds(network)
    except ValueError as error:
        return {"pieces": {"why": str(error)}, **record}
    rng = generator(seed, Stream.MANIFOLD, 3)
    ends = rng.standard_normal((segments, 2, prod(network.input_shape)))
    record["widths"] = list(widths)
    record["bound"] = {"name": bounds.best_name, "log10": log10(bounds.best)}
    return {"pieces": _met([line_regions(network, *pair) for pair in ends]), **record}


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


def _pieces(decoder: nn.Module | None, codes: Tensor, segments: int, seed: int) -> dict[str, Any]:
    """Cut interpolations between codes by the decoder's cells."""
    from ot_latent.theory.networks import read_network
    from ot_latent.theory.rectified_linear import line_regions

    refused = _why(decoder)
    if refused is not None or decoder is None:
        return dict(refused or {})
    try:
        network = read_network(decoder, codes.shape[1:], cut_output=True)
    except ValueError as error:
        return {"why": str(error)}
    ends = codes.detach().cpu().numpy().astype(np.float64)
    rng = generator(seed, Stream.MANIFOLD, 2)
    paths = [line_regions(network, *ends[rng.permutation(len(ends))[:2]]) for _ in range(segments)]
    return _met(paths)


def _met(paths: Sequence[PathPieces]) -> dict[str, Any]:
    """Summarise what segments meet."""
    ratios = []
    for path in paths:
        values = path.values()
        chord = float(np.linalg.norm(values[-1] - values[0]))
        ratios.append(path.length / chord if chord else float("nan"))
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


def _norms(part: nn.Module | None, shape: tuple[int, ...]) -> dict[str, Any]:
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
        return {"why": str(error)}
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


def describe(record: dict[str, Any]) -> list[str]:
    """Return the record of `autoencoder_geometry` or `network_geometry` as sentences.

    Parameters
    ----------
    record : dict
        The record.

    Returns
    -------
    list of str
        One sentence per finding; what could not be measured says why.

    Examples
    --------
    >>> describe({"pieces": {"why": "no module"}})
    ['Linear pieces: not counted, no module.']
    """
    writers: dict[str, Any] = {
        "widths": _say_widths,
        "bound": _say_bound,
        "pieces": _say_pieces,
        "decoder": _say_decoder,
        "norms": _say_norms,
        "dimension": _say_dimension,
        "stability": _say_stability,
    }
    return [line for key, say in writers.items() if key in record for line in say(record[key])]


def _say_widths(found: list[int]) -> list[str]:
    """Tell of widths."""
    return [f"Widths, units counted: {' - '.join(f'{width:,}' for width in found)}."]


def _say_bound(found: dict[str, Any]) -> list[str]:
    """Tell of the best bound."""
    return [
        f"Activation cells (theorem): at most 10^{found['log10']:.1f}, by {found['name']}'s bound."
    ]


def _say_pieces(found: dict[str, Any]) -> list[str]:
    """Tell of pieces."""
    if "why" in found:
        return [f"Linear pieces: not counted, {found['why'].rstrip('.')}."]
    met, ratio = found["linear_pieces"], found["length_over_chord"]
    return [
        f"Linear pieces (exact): a segment between two inputs meets {met['mean']:,.0f} "
        f"({met['min']:,} to {met['max']:,} on {found['segments']} segments) of a network with "
        f"{found['units']:,} units; its image is {ratio['mean']:.2f} times as long as its chord."
    ]


def _say_decoder(found: dict[str, Any]) -> list[str]:
    """Tell of folds."""
    return [
        f"Decoder (estimate): it stretches directions by {found['shortest_stretch']:.3g} to "
        f"{found['longest_stretch']:.3g}; {found['lost_directions']:.0%} of the codes lose one.",
        f"Round trip (estimate): encoding what was decoded misses the code by "
        f"{found['round_trip']:.3f} of the codes' rms; at 0 the decoder is injective.",
        f"Folds (estimate): {found['folded']:.1%} of codes lie beside codes of far data, "
        f"{found['torn']:.1%} of data beside data of far codes.",
    ]


def _say_norms(found: dict[str, Any]) -> list[str]:
    """Tell of norms."""
    unread: dict[str, list[str]] = {}
    lines = []
    for name, norms in found.items():
        if "why" in norms:
            unread.setdefault(norms["why"].rstrip("."), []).append(name)
            continue
        lines.append(
            f"Norms of the {name} (exact): path norm {norms['path_norm']:.4g}, balance residual "
            f"{norms['balance_residual']:.3g}, {norms['active_units']:,} of {norms['units']:,} "
            "units active."
        )
    return lines + [
        f"Norms of the {' and the '.join(names)}: not measured, {why}."
        for why, names in unread.items()
    ]


def _say_dimension(found: dict[str, float]) -> list[str]:
    """Tell of dimensions."""
    told = ", ".join(f"{value:.1f} ({name})" for name, value in found.items())
    return [f"Intrinsic dimension (estimate): {told}."]


def _say_stability(found: dict[str, Any]) -> list[str]:
    """Tell of stability."""
    if "why" in found:
        return [f"Stability to deformations: not measured, {found['why']}."]
    return [
        f"Stability (estimate): smooth deformations move codes {found['relative']:.2f} +- "
        f"{found['error']:.2f} times as far (squared) as noise of the same size."
    ]
