"""Run any model in float64 and evaluation mode, as a function of flattened rows, whatever it is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def row_shape(model: nn.Module, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the shape of a row of a model's input, from its first layer if it is not given.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    shape : sequence of int, optional
        The shape, where it is known.

    Returns
    -------
    tuple of int
        The shape.

    Raises
    ------
    ValueError
        If no shape is given and the first layer with parameters is not Linear.

    Examples
    --------
    >>> row_shape(nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))
    (5,)
    """
    if shape is not None:
        return tuple(int(s) for s in shape)
    leaves = (m for m in model.modules() if next(m.parameters(recurse=False), None) is not None)
    first = next(leaves, None)
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    raise ValueError(
        f"shape must be given for a model that does not start with Linear, got {_told(first)} as its "
        "first layer with parameters; pass the shape of one row, such as (1, 28, 28)."
    )


def _told(layer: nn.Module | None) -> str:
    """Return the name of a layer's kind."""
    return "none" if layer is None else type(layer).__name__


def float64_function(
    model: nn.Module, shape: Sequence[int] | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model as a function from flattened rows to flattened rows, in float64 on the CPU.

    Parameters
    ----------
    model : torch.nn.Module
        Any model of one tensor. It is copied and left as it is.
    shape : sequence of int, optional
        Shape of one row of the input; see `row_shape`.

    Returns
    -------
    callable
        From arrays (n, d) to arrays (n, outputs).

    Raises
    ------
    ValueError
        If the model does not take rows of this shape, or does not return one tensor.

    Examples
    --------
    >>> double = float64_function(nn.LeakyReLU(2.0), (1, 2))
    >>> double(np.array([[1.0, -1.0]]))
    array([[ 1., -2.]])
    """
    rows = row_shape(model, shape)
    twin = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    try:
        made = twin(torch.zeros(2, *rows, dtype=torch.float64))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise misfit(rows, error) from error
    if not isinstance(made, Tensor):
        raise ValueError(
            f"model must return one tensor, got {type(made).__name__}; pass the part of it that "
            "does, such as its encoder or its decoder."
        )

    def run(points: np.ndarray) -> np.ndarray:
        return twin(torch.from_numpy(points).reshape(-1, *rows)).flatten(1).numpy()

    return run


def misfit(rows: tuple[int, ...], error: Exception) -> ValueError:
    """Return the refusal of a model that does not take rows of a shape.

    Parameters
    ----------
    rows : tuple of int
        The shape.
    error : Exception
        What the model said.

    Returns
    -------
    ValueError
        One sentence.
    """
    said = str(error).strip().split("\n")[0].rstrip(".")
    return ValueError(
        f"model must take rows of shape {rows}, got {type(error).__name__} ({said}); pass the shape "
        "of one row, or the part of the model that takes one tensor."
    )
