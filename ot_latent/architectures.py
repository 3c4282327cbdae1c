"""From a configuration to a network: where theory chooses the depth and the gain of the first weights.

The networks know no theory, and the theory no configuration; they meet here.
"""

from __future__ import annotations

from typing import Literal

import torch

from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder, resolve_kind
from ot_latent.latent.homogeneous import resolve_activation
from ot_latent.latent.layers import Gain, pyramid
from ot_latent.theory.depth.gains import critical_gain
from ot_latent.theory.depth.mean_field import length_gain
from ot_latent.theory.depth.suggestion import suggest_depth

PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Precision = Literal["no", "bf16", "fp16"]


def new_autoencoder(
    config: AutoencoderConfig, shape: tuple[int, ...], seed: int, precision: Precision = "no"
) -> Autoencoder:
    """Build the network that a configuration asks for, with the depth and gain that theory names.

    Parameters
    ----------
    config : AutoencoderConfig
        Kind, sizes, loss, depth, initialisation.
    shape : tuple of int
        Shape of one row: (c, h, w) or (features,).
    seed : int
        Non-negative seed of the initial parameters.
    precision : {"no", "bf16", "fp16"}, default="no"
        Mixed precision of the training; "no" is float32.

    Returns
    -------
    Autoencoder
        The network on the CPU; its configuration names the depth.

    Raises
    ------
    DataError
        If `latent_dim` exceeds the number of values of a row.
    ValueError
        If the network or the loss does not fit the shape.

    Examples
    --------
    >>> config = AutoencoderConfig(width=8, latent_dim=2, depth="auto", initialisation="critical")
    >>> new_autoencoder(config, (10,), seed=0).config.depth
    3
    """
    known = resolve_depth(config, shape, precision)
    return build_autoencoder(known, shape, seed, gain=initial_gain(known, shape))


def resolve_depth(
    config: AutoencoderConfig, shape: tuple[int, ...], precision: Precision = "no"
) -> AutoencoderConfig:
    """Replace the depth "auto" by a number.

    The layers of encoder and decoder follow one another, so together they get what
    `theory.depth.suggest_depth` allows a network of their width and initialisation; convolutions
    share it among the scales. Networks with norms have no cut-off, only chance. A heuristic.

    Parameters
    ----------
    config : AutoencoderConfig
        Kind, sizes, activation, depth, initialisation.
    shape : tuple of int
        Shape of one row.
    precision : {"no", "bf16", "fp16"}, default="no"
        Mixed precision of the training.

    Returns
    -------
    AutoencoderConfig
        The same settings with a depth that is a number or None.

    Raises
    ------
    ValueError
        If the network or the loss does not fit the shape.

    Examples
    --------
    >>> resolve_depth(AutoencoderConfig(depth="auto"), (64,)).depth
    14
    """
    if config.depth != "auto":
        return config
    kind = resolve_kind(config, shape)
    activation = resolve_activation(config, kind)
    width = 8 * config.width if kind == "mlp" else config.width
    stages = 2 if kind == "mlp" else 2 * len(pyramid((shape[0], shape[1], shape[2]))[1])
    start = "critical" if config.initialisation == "critical" else "he"
    found = suggest_depth(
        start, width, PRECISIONS[precision], activation, norms=activation == "silu"
    )
    return config.model_copy(update={"depth": max(1, found.depth // stages)})


def initial_gain(config: AutoencoderConfig, shape: tuple[int, ...]) -> Gain | None:
    """Return the gain of weights before an activation, as a function of their number of inputs.

    Parameters
    ----------
    config : AutoencoderConfig
        Kind, activation, initialisation.
    shape : tuple of int
        Shape of one row.

    Returns
    -------
    callable or None
        None for the default. Critical is `theory.depth.critical_gain` before rectifiers, and
        before SiLU the gain that keeps unit lengths, which the norms provide.

    Examples
    --------
    >>> gain = initial_gain(AutoencoderConfig(initialisation="critical"), (10,))
    >>> round(gain(64), 4)
    1.6765
    """
    if config.initialisation == "default":
        return None
    if resolve_activation(config, resolve_kind(config, shape)) == "relu":
        return lambda inputs: critical_gain(inputs, "relu")
    kept = length_gain("silu")
    return lambda inputs: kept
