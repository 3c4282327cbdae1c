"""From the plain description of a source back to the source."""

from __future__ import annotations

from typing import Any

from ot_latent.transport.domains import GridDensity, UniformPolytope
from ot_latent.transport.sources import Gaussian, Source, UniformBall, UniformBox

KINDS: dict[str, type[Source]] = {
    "box": UniformBox,
    "ball": UniformBall,
    "gaussian": Gaussian,
    "polytope": UniformPolytope,
    "grid": GridDensity,
}


def source_from_dict(description: dict[str, Any]) -> Source:
    """Build the source that `Source.to_dict` described.

    Parameters
    ----------
    description : dict
        Key ``kind`` names the class (`KINDS`); the others are its parameters.

    Returns
    -------
    Source
        The source.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> source_from_dict(UniformBall(3, 2.0).to_dict())
    UniformBall(d=3, radius=2.0)
    """
    parameters = dict(description)
    kind = parameters.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"source kind must be one of {sorted(KINDS)}, got {kind!r}; choose one.")
    return KINDS[kind](**parameters)
