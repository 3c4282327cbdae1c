"""Homogeneous units read off a PyTorch model: channels between two affine layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ot_latent._units import Side, UnitBlock, axis_labels
from ot_latent.theory.layers import Affine, Elementwise, Kink, Layer, Maximum
from ot_latent.theory.networks import Network, read_network

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NOBODY = -1


def homogeneous_units(
    model: nn.Module, shape: Sequence[int] | None = None, *, strict: bool = True
) -> list[UnitBlock]:
    """Read the homogeneous units off a model.

    A unit consists of output channels of one Linear or Conv layer that reach exactly one other such
    layer, through positively homogeneous maps only: ReLU, leaky ReLU, pooling, reshaping, padding with
    zeros. Channels that several layers read, or that are added to others on the way, are no units.
    What lies before the first and after the last layer does not matter. The blocks refer to the
    model's own parameters: rescaling them changes the model.

    Parameters
    ----------
    model : torch.nn.Module
        A model that `ot_latent.theory.networks.read_network` reads.
    shape : sequence of int, optional
        Shape of one row of the input. Default: taken from the first layer, if that is Linear.
    strict : bool, default=True
        Whether a map that is not positively homogeneous is refused where it stands between two such
        layers; else the two are left out.

    Returns
    -------
    list of UnitBlock
        One block per pair of layers, in the order of the model; an inner matrix is the outgoing
        side of one block and the incoming side of the next.

    Raises
    ------
    ValueError
        If a layer between two affine layers is not positively homogeneous (`strict`), if weights
        are parametrised or used twice, or if there are no units (`strict`).

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    >>> [(b.names, len(b.in_norms())) for b in homogeneous_units(net, (1, 6, 6))]
    [(('0', '3'), 4)]
    """
    network = read_network(model, shape, elementwise=True)
    weighted = [i for i, layer in enumerate(network.layers) if _weighted(layer)]
    modules = [id(network.layers[i].module) for i in weighted]
    for i in weighted:
        _check(network.layers[i], modules)
    found = [_Walk(network, i, strict).block() for i in weighted]
    blocks = [block for block in found if block is not None]
    if strict and not blocks:
        raise ValueError(
            "model must have units between two affine layers, got "
            f"{type(model).__name__} without (channels that are added to others, or that several "
            "layers read, are none); pass a network with at least one hidden layer of its own."
        )
    return blocks


def disjoint_units(model: nn.Module, shape: Sequence[int] | None = None) -> list[UnitBlock]:
    """Return blocks with a kink that share no parameter: greedily, from the input on.

    What `PathProx` takes: of a chain of affine layers 1, 2, 3, 4 these are 1-2 and 3-4.

    Parameters
    ----------
    model : torch.nn.Module
        As for `homogeneous_units`.
    shape : sequence of int, optional
        Shape of one row of the input. Default: taken from the first layer, if that is Linear.

    Returns
    -------
    list of UnitBlock
        The blocks.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [b.names for b in disjoint_units(net)]
    [('0', '2')]
    """
    chosen: list[UnitBlock] = []
    taken: set[int] = set()
    for block in kinked(homogeneous_units(model, shape)):
        own = {id(p) for p in block.parameters()}
        if not own & taken:
            chosen.append(block)
            taken |= own
    return chosen


def as_blocks(model: nn.Module | Sequence[UnitBlock]) -> list[UnitBlock]:
    """Return the blocks of a model, or the blocks that were given.

    Parameters
    ----------
    model : torch.nn.Module or sequence of UnitBlock
        A model that starts with a Linear layer is read by `homogeneous_units`.

    Returns
    -------
    list of UnitBlock
        The blocks.

    Raises
    ------
    ValueError
        If there are none.
    """
    blocks = homogeneous_units(model) if isinstance(model, nn.Module) else list(model)
    if not blocks:
        raise ValueError(
            "units must be at least one block, got none; pass what homogeneous_units returns."
        )
    return blocks


def kinked(blocks: Sequence[UnitBlock]) -> list[UnitBlock]:
    """Return the blocks with a kink between their layers.

    Parameters
    ----------
    blocks : sequence of UnitBlock
        Some blocks.

    Returns
    -------
    list of UnitBlock
        Those whose units are not linear.
    """
    return [block for block in blocks if block.rectified]


def _weighted(layer: Layer) -> bool:
    """Whether a layer is a Linear or Conv module of the model."""
    return isinstance(layer.module, nn.Linear | nn.modules.conv._ConvNd)


def _check(layer: Layer, modules: list[int]) -> None:
    """Refuse weights that are computed from others, or used in two places."""
    if parametrize.is_parametrized(cast(nn.Module, layer.module)):
        raise ValueError(
            f"layer {layer.name} must own its weights, got a parametrisation; try "
            "torch.nn.utils.parametrize.remove_parametrizations first."
        )
    if modules.count(id(layer.module)) > 1:
        raise ValueError(
            f"layer {layer.name} must be used once, got a model that uses it "
            f"{modules.count(id(layer.module))} times; its units cannot be rescaled."
        )


class _Walk:
    """The way of one layer's channels to the layer that reads them, as labels of numbers."""

    def __init__(self, network: Network, start: int, strict: bool) -> None:
        self.network, self.start, self.strict = network, start, strict
        layer = network.layers[start]
        numbers = np.arange(_channels(layer))
        if not isinstance(layer.module, nn.Linear):  # channels first, then places
            numbers = numbers.reshape(-1, *[1] * (len(layer.shape) - 1))
        self.labels = {start + 1: np.broadcast_to(numbers, layer.shape)}
        self.blocked: dict[int, str] = {}  # values behind a map that is not homogeneous
        self.rectified = False
        self.ends: list[int] = []

    def block(self) -> UnitBlock | None:
        """Follow the channels; return the block if they end in one layer."""
        mixed = False
        for i in range(self.start + 1, len(self.network.layers)):
            layer = self.network.layers[i]
            if any(v in self.blocked for v in layer.inputs):
                self._go_on_blocked(i, layer)
            elif any(v in self.labels for v in layer.inputs):
                mixed |= self._go_on(i, layer)
        if mixed or len(self.ends) != 1 or self.blocked:
            return None
        return self._join(self.ends[0])

    def _go_on_blocked(self, i: int, layer: Layer) -> None:
        """Refuse the layer that reads what lies behind a map that is not homogeneous."""
        cause = next(self.blocked[v] for v in layer.inputs if v in self.blocked)
        if not _weighted(layer):
            self.blocked[i + 1] = cause
        elif self.strict:
            advice = "use ReLU, leaky ReLU or pooling, or strict=False to leave these layers out"
            if "BatchNorm" in cause:
                advice = "fold it into the layer before by torch.nn.utils.fusion"
            raise ValueError(
                f"layers between {self.network.layers[self.start].name} and {layer.name} must be "
                f"positively homogeneous, got {cause}; {advice}."
            )

    def _go_on(self, i: int, layer: Layer) -> bool:
        """Carry the labels through one layer; say whether the units are lost there."""
        if _weighted(layer):
            self.ends.append(i)
            return False
        if not layer.homogeneous:
            self.blocked[i + 1] = _told(layer)
            return False
        self.rectified |= isinstance(layer, Kink | Maximum)
        if any(v not in self.labels for v in layer.inputs):
            return True  # a sum with something else: its parts cannot be scaled one by one
        labels = self._carried(layer)
        if labels is not None:
            self.labels[i + 1] = labels
        return labels is None or i + 1 == len(self.network.layers)

    def _carried(self, layer: Layer) -> np.ndarray | None:
        """Return the labels behind a homogeneous layer, or None where units meet in one number.

        Units are told apart by the binary digits of their labels: a probe has ones where a digit is
        set, its opposite where it is not, and a number of one unit sees one of the two.
        """
        parts = [self.labels[v] for v in layer.inputs]
        if isinstance(layer, Kink):
            return parts[0]
        digits = max(1, int(max(p.max() for p in parts)).bit_length())
        sees = []
        for digit, wanted in ((n, w) for n in range(digits) for w in (0, 1)):
            probes = [((p >> digit) & 1 == wanted) & (p != NOBODY) for p in parts]
            tensors = [torch.from_numpy(p.astype(np.float64))[None] for p in probes]
            sees.append(cast(Affine | Maximum, layer)(*tensors)[0].numpy() != 0)
        zeros, ones = np.array(sees[0::2]), np.array(sees[1::2])
        if (zeros & ones).any():
            return None
        labels = (ones * (1 << np.arange(digits)).reshape(-1, *[1] * (ones.ndim - 1))).sum(0)
        return np.where((zeros | ones).all(0), labels, NOBODY)

    def _join(self, end: int) -> UnitBlock | None:
        """Join the two layers to a block; channels that one reader's channel mixes are one unit."""
        first, last = self.network.layers[self.start], self.network.layers[end]
        read = self.labels[last.inputs[0]]
        axis = read.ndim - 1 if isinstance(last.module, nn.Linear) else 0
        rows = np.moveaxis(read, axis, 0).reshape(read.shape[axis], -1)
        if (rows.max(1) == NOBODY).any():
            return None
        units = _merged(rows, _channels(first))
        count = int(units.max()) + 1
        module, reader = cast(nn.Linear, first.module), cast(nn.Linear, last.module)
        own, theirs = torch.from_numpy(units), torch.from_numpy(units[rows.max(1)])
        return UnitBlock(
            (first.name, last.name),
            Side(module.weight, _in_labels(module, own), count),
            Side(reader.weight, _out_labels(reader, theirs), count),
            None
            if module.bias is None
            else Side(module.bias, axis_labels(module.bias, 0, own), count),
            self.rectified,
        )


def _told(layer: Layer) -> str:
    """Return name and kind of a layer, for a refusal."""
    if isinstance(layer, Elementwise):
        return f"{layer.name} ({layer.kind})"
    return layer.name if layer.module is None else f"{layer.name} ({type(layer.module).__name__})"


def _channels(layer: Layer) -> int:
    """Return the number of output channels."""
    module = layer.module
    return int(module.out_features if isinstance(module, nn.Linear) else module.out_channels)  # type: ignore[union-attr,arg-type]


def _merged(rows: np.ndarray, channels: int) -> np.ndarray:
    """Give numbers to the units: channels that occur in one row belong together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    top = rows.max(1)
    pairs = np.stack([np.broadcast_to(top[:, None], rows.shape), rows], -1).reshape(-1, 2)
    i, j = np.unique(pairs[pairs[:, 1] != NOBODY], axis=0).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(channels, channels))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _in_labels(module: nn.Module, units: Tensor) -> Tensor:
    """Return the units of a layer's output channels as labels of its weight."""
    weight = cast(Tensor, module.weight)
    if not isinstance(module, TRANSPOSED):
        return axis_labels(weight, 0, units)
    # inputs of group g lead to the outputs of group g only
    if module.groups == 1:
        return axis_labels(weight, 1, units)
    return _by_group(weight, units, int(module.groups))


def _out_labels(module: nn.Module, units: Tensor) -> Tensor:
    """Return the units that a layer's input channels belong to as labels of its weight."""
    weight = cast(Tensor, module.weight)
    if isinstance(module, TRANSPOSED):
        return axis_labels(weight, 0, units)
    if not isinstance(module, CONVOLUTIONS) or module.groups == 1:
        return axis_labels(weight, 1, units)
    return _by_group(weight, units, int(module.groups))


def _by_group(weight: Tensor, units: Tensor, groups: int) -> Tensor:
    """Return labels along the second axis that differ from group to group of the first."""
    rows = units.reshape(groups, -1).repeat_interleave(len(weight) // groups, 0)
    return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2)).to(weight.device)
