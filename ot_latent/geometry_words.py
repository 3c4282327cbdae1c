"""What the geometry of networks says, in sentences: theorem, exact or estimate, and why not, where not."""

from __future__ import annotations

from typing import Any

import numpy as np

BOUNDS = {
    "serra": "bound of Serra et al., 2018",
    "montufar": "bound of Montufar, 2017",
    "lei_hidden": "bound of Lei et al., 2018, for the hidden layers",
    "input_dimension": "hyperplanes in the space of the input, layer by layer",
    "patterns": "all patterns of units",
}


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
    >>> describe({"pieces": {"why": "no module"}, "norms": {"network": {"why": "no module"}}})
    ['Linear pieces: not counted, no module.', 'Norms of the network: not measured, for the same reason.']
    """
    told = record.get("pieces", {}).get("why")
    if told is not None and "norms" in record:
        same = {"why": "for the same reason"}
        norms = {name: same if n.get("why") == told else n for name, n in record["norms"].items()}
        record = record | {"norms": norms}
    writers: dict[str, Any] = {
        "widths": _say_widths,
        "bound": _say_bound,
        "pieces": _say_pieces,
        "chords": _say_chords,
        "decoder": _say_decoder,
        "norms": _say_norms,
        "dimension": _say_dimension,
        "stability": _say_stability,
    }
    return [line for key, say in writers.items() if key in record for line in say(record[key])]


def _reason(found: dict[str, Any]) -> str:
    """Return why something was not measured, to be ended by a full stop."""
    return str(found["why"]).rstrip(".")


def _say_widths(found: list[int]) -> list[str]:
    """Tell of widths."""
    return [f"Widths, units counted: {' - '.join(f'{width:,}' for width in found)}."]


def _say_bound(found: dict[str, Any]) -> list[str]:
    """Tell of the best bound."""
    return [
        f"Activation cells (theorem): at most 10^{found['log10']:.1f} ({BOUNDS[found['name']]})."
    ]


def _say_pieces(found: dict[str, Any]) -> list[str]:
    """Tell of pieces."""
    if "why" in found:
        return [f"Linear pieces: not counted, {_reason(found)}."]
    met, ratio = found["linear_pieces"], found["length_over_chord"]
    return [
        f"Linear pieces (exact): a segment between two inputs meets {met['mean']:,.0f} "
        f"({met['min']:,} to {met['max']:,} on {found['segments']} segments) of a network with "
        f"{found['units']:,} units; its image is {ratio['mean']:.2f} times as long as its chord."
    ]


def _say_chords(found: dict[str, Any]) -> list[str]:
    """Tell of curvature."""
    met, ratio = found["chords"], found["length_over_chord"]
    angle = np.degrees(found["turning"]["mean"])
    noun = "chord" if met["max"] == 1 else "chords"
    return [
        f"Curvature (estimate): {met['mean']:.0f} {noun} ({met['min']:,} to {met['max']:,} on "
        f"{found['segments']} segments) follow the image of a segment between two inputs within "
        f"{found['tolerance']:.0%} of its length; it turns by {angle:.0f} degrees in all and is "
        f"{ratio['mean']:.2f} times as long as its chord."
    ]


def _say_decoder(found: dict[str, Any]) -> list[str]:
    """Tell of stretches, and of folds unless they are told elsewhere."""
    lines = [
        f"Decoder (estimate): it stretches directions by {found['shortest_stretch']:.3g} to "
        f"{found['longest_stretch']:.3g}; {found['lost_directions']:.0%} of the codes lose one.",
        f"Round trip (estimate): encoding what was decoded misses the code by "
        f"{found['round_trip']:.3f} of the codes' rms; at 0 the decoder is injective.",
    ]
    if "folded" in found:
        lines.append(
            f"Folds (estimate): {found['folded']:.1%} of codes lie beside codes of far data, "
            f"{found['torn']:.1%} of data beside data of far codes."
        )
    return lines


def _say_norms(found: dict[str, Any]) -> list[str]:
    """Tell of norms."""
    unread: dict[str, list[str]] = {}
    lines = []
    for name, norms in found.items():
        if "why" in norms:
            unread.setdefault(_reason(norms), []).append(name)
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
