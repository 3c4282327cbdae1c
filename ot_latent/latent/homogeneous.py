"""What the theory asks of a network: rectifiers without norms, affine skips, narrow factors, units.

Between norms and smooth activations weight decay means nothing in particular; between rectifiers it is
the path norm of the units, which `PathProx` shrinks to exact zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ot_latent._pathprox import PathProx
from ot_latent._units import Side, UnitBlock, axis_labels
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.layers import linear, norm

Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def resolve_activation(config: AutoencoderConfig, kind: str) -> Literal["silu", "relu"]:
    """Say which activation "auto" stands for: relu where units are to be shrunk, silu else.

    Parameters
    ----------
    config : AutoencoderConfig
        The settings.
    kind : str
        "mlp", "conv" or "residual".

    Returns
    -------
    str
        "silu" (with norms) or "relu" (without).

    Raises
    ------
    ValueError
        If units are to be shrunk that are not homogeneous, or the network is residual.

    Examples
    --------
    >>> resolve_activation(AutoencoderConfig(), "conv")
    'silu'
    >>> resolve_activation(AutoencoderConfig(regulariser="pathprox"), "conv")
    'relu'
    """
    shrunk = config.regulariser == "pathprox"
    if config.activation == "silu" and shrunk:
        raise ValueError(
            "activation must be 'relu' or 'auto' with regulariser='pathprox', got 'silu'; only "
            "rectified units can be rescaled."
        )
    relu = config.activation == "relu" or shrunk
    if kind == "residual" and (relu or config.bottleneck_rank is not None):
        raise ValueError(
            "model must be 'mlp' or 'conv' with rectifiers or a bottleneck, got 'residual', whose blocks "
            "need their norms and whose channels, added to others, are no units; change model, or leave activation, regulariser and bottleneck_rank at their defaults."
        )
    return "relu" if relu else "silu"


def bend(activation: str, width: int, *, image: bool) -> list[nn.Module]:
    """Return what stands between two layers: a norm and SiLU, or a rectifier alone.

    Parameters
    ----------
    activation : {"silu", "relu"}
        Kind of bend.
    width : int
        Channels or features.
    image : bool
        Whether they are channels of a map.

    Returns
    -------
    list of torch.nn.Module
        The modules.
    """
    if activation == "relu":
        return [nn.ReLU()]
    return [norm(width) if image else nn.LayerNorm(width), nn.SiLU()]


def narrow(width: int, rank: int | None, *, image: bool) -> tuple[list[nn.Module], int]:
    """Return a linear map to fewer channels, where a bottleneck is asked for.

    Followed by a layer of any width it makes a matrix of that rank between two layers of bends.

    Parameters
    ----------
    width : int
        Channels or features that come in.
    rank : int or None
        Channels that go out; None for no bottleneck.
    image : bool
        Whether they are channels of a map.

    Returns
    -------
    modules : list of torch.nn.Module
        The map, without bias; empty where there is no bottleneck.
    width : int
        Channels that go out.
    """
    if rank is None:
        return [], width
    layer: nn.Module = nn.Linear(width, rank, bias=False)
    if image:
        layer = nn.Conv2d(width, rank, 1, bias=False)
    layer.gain = 1.0  # type: ignore[assignment]
    return [layer], rank


class AffineSkip(nn.Module):
    """A network beside an affine map of its flattened rows; their sum has the network's shape.

    Parameters
    ----------
    curved : torch.nn.Module
        The network.
    inputs : int
        Values of a row.
    shape : tuple of int
        Shape of a row of the result.
    gain : float
        Gain of the map's initial weights.
    """

    def __init__(
        self, curved: nn.Module, inputs: int, shape: tuple[int, ...], *, gain: float
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.straight = linear(inputs, prod(shape), gain=gain)
        self.curved = curved

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Rows.

        Returns
        -------
        Tensor of shape (n, *shape)
            Rows of the result.
        """
        return self.straight(x.flatten(1)).unflatten(1, self.shape) + self.curved(x)


def chain_units(layers: Sequence[Weighted]) -> list[UnitBlock]:
    """Return the units between layers 1 and 2, 3 and 4, ... of a chain with rectifiers.

    Parameters
    ----------
    layers : sequence of torch.nn.Module
        Linear and (transposed) convolution layers in their order, flattened or unflattened between.

    Returns
    -------
    list of UnitBlock
        Blocks that share no parameter.
    """
    return [_block(a, b) for a, b in zip(layers[::2], layers[1::2], strict=False)]


def autoencoder_units(model: nn.Module) -> list[UnitBlock]:
    """Return the units of an autoencoder's rectified chains: encoder's, then decoder's.

    Parameters
    ----------
    model : torch.nn.Module
        With `encoder` and `decoder`, either a chain or with a chain named `curved`.

    Returns
    -------
    list of UnitBlock
        Blocks that share no parameter.
    """
    found: list[UnitBlock] = []
    for part in (model.encoder, model.decoder):
        chain = getattr(part, "curved", part)
        found += chain_units([m for m in chain.modules() if isinstance(m, Weighted)])  # type: ignore[union-attr,operator]
    return found


def make_optimizer(model: nn.Module, units: bool, config: TrainingConfig) -> Optimizer:
    """Return AdamW, followed by the proximal step of the units where they are to be shrunk.

    With Adam's normalised steps the threshold ``weight_decay * lr`` is a heuristic, as decoupled
    weight decay is.

    Parameters
    ----------
    model : torch.nn.Module
        The autoencoder.
    units : bool
        Whether its units are shrunk (regulariser "pathprox").
    config : TrainingConfig
        Learning rate and weight decay.

    Returns
    -------
    torch.optim.Optimizer
        The optimiser.
    """
    rates: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    if not units:
        return AdamW(model.parameters(), **rates)
    blocks = autoencoder_units(model)
    own = {id(p): p for block in blocks for p in block.parameters()}
    rest = [p for p in model.parameters() if id(p) not in own]
    groups: list[dict[str, Any]] = [
        {"params": rest},
        {"params": list(own.values()), "weight_decay": 0.0},
    ]
    return PathProx(AdamW(groups, **rates), blocks, config.weight_decay)


def _block(first: Weighted, second: Weighted) -> UnitBlock:
    """Return the units between two layers; the wider side has several entries per unit."""
    rows = len(first.bias) if first.bias is not None else _outputs(first)
    columns = second.weight.shape[0 if isinstance(second, nn.ConvTranspose2d) else 1]
    count = min(rows, columns)
    inside = torch.arange(count).repeat_interleave(rows // count)
    outside = torch.arange(count).repeat_interleave(columns // count)
    in_axis = int(isinstance(first, nn.ConvTranspose2d))
    out_axis = int(not isinstance(second, nn.ConvTranspose2d))
    bias = first.bias
    return UnitBlock(
        (_told(first), _told(second)),
        Side(first.weight, axis_labels(first.weight, in_axis, inside), count),
        Side(second.weight, axis_labels(second.weight, out_axis, outside), count),
        None if bias is None else Side(bias, axis_labels(bias, 0, inside), count),
        rectified=True,
    )


def _outputs(layer: Weighted) -> int:
    """Return the number of output channels."""
    return int(layer.weight.shape[int(isinstance(layer, nn.ConvTranspose2d))])


def _told(layer: Weighted) -> str:
    """Return what a layer is, for a refusal."""
    return f"{type(layer).__name__}{tuple(layer.weight.shape)}"
