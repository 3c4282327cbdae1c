"""A solved transport as tensors and plain values, for files; and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.solution import SemiDiscreteSolution, Status

_NUMBERS = (
    "solver",
    "tolerance",
    "mass_error",
    "error_norm",
    "samples",
    "effective_samples",
    "evaluation_samples",
    "steps",
    "cost",
    "within_scale",
)
_PAIRS = ("mass_error_interval", "cost_interval")
_OPTIONAL = ("centroids", "mass_residual")


def solution_to_tensors(solution: SemiDiscreteSolution) -> dict[str, Tensor]:
    """Return everything large that a solution holds, the resumable state apart.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The solution.

    Returns
    -------
    dict of str to Tensor
        points and heights; centroids and mass_residual where they exist.
    """
    potential = solution.potential
    optional = {name: getattr(solution, name) for name in _OPTIONAL}
    return {"points": potential.points, "heights": potential.heights} | {
        name: value for name, value in optional.items() if value is not None
    }


def solution_to_config(solution: SemiDiscreteSolution) -> dict[str, Any]:
    """Return everything small that a solution holds, ready for JSON.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The solution.

    Returns
    -------
    dict
        Plain numbers, strings and lists.
    """
    pairs = {name: getattr(solution, name) for name in _PAIRS}
    return {
        **{name: getattr(solution, name) for name in _NUMBERS},
        **{name: None if pair is None else list(map(float, pair)) for name, pair in pairs.items()},
        "status": solution.status.name,
        "history": {key: list(map(float, values)) for key, values in solution.history.items()},
    }


def solution_from_parts(tensors: dict[str, Tensor], config: dict[str, Any]) -> SemiDiscreteSolution:
    """Rebuild a solution from its two parts; its resumable state is None.

    Parameters
    ----------
    tensors : dict of str to Tensor
        As from `solution_to_tensors`; further keys are ignored.
    config : dict
        As from `solution_to_config`.

    Returns
    -------
    SemiDiscreteSolution
        The solution.
    """
    rest: dict[str, Any] = {name: config[name] for name in _NUMBERS}
    for name in _PAIRS:
        rest[name] = None if config[name] is None else tuple(config[name])
    rest |= {name: tensors.get(name) for name in _OPTIONAL}
    return SemiDiscreteSolution(
        potential=BrenierPotential(tensors["points"], tensors["heights"]),
        status=Status[config["status"]],
        history={key: tuple(values) for key, values in config["history"].items()},
        state=None,
        **rest,
    )
