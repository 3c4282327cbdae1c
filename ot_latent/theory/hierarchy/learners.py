"""Networks matched to the tree of a hierarchy: convolutional and locally connected, paper's scaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator, seed_from
from ot_latent._validation import DataError, check_positive
from ot_latent.theory.hierarchy.rules import PARAMETERS


class PatchLayer(nn.Module):
    r"""Every patch of w positions to one position: :math:`z = C^{-1/2} \sum_{c,p} W_{cp} x_{cp}`.

    Weights start as N(0, 1) and the sum is divided by the square root of the number C of channels,
    not of all inputs of a patch; there is no bias.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    patch : int
        w, width and stride of a filter.
    places : int
        Filters: 1 where patches share one (convolution), else one per patch.
    """

    def __init__(self, inputs: int, outputs: int, patch: int, places: int) -> None:
        super().__init__()
        self.inputs, self.patch = inputs, patch
        self.weight = nn.Parameter(torch.empty(places, patch * inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered patches.

        Parameters
        ----------
        x : Tensor of shape (n, positions, inputs)
            Channels last.

        Returns
        -------
        Tensor of shape (n, positions / w, outputs)
            One position per patch.
        """
        patches = x.reshape(len(x), -1, self.patch * self.inputs)
        if len(self.weight) == 1:
            filtered = patches @ self.weight[0]
        else:  # batched over places: (places, n, inputs) @ (places, inputs, outputs)
            filtered = (patches.transpose(0, 1) @ self.weight).transpose(0, 1)
        return filtered * self.inputs**-0.5


class HierarchicalCNN(nn.Module):
    r"""L patch layers with rectifiers, then a linear read-out divided by the width.

    With filters as wide as the patches of the data and as many layers as levels, the receptive
    fields are the subtrees. Weights start as N(0, 1), layers are divided by the square root of their
    channels and the read-out by the width itself: the scaling in which wide networks learn features
    (Tomasini and Wyart, 2024). The learning rate goes with the width; `train_network` does that.

    Parameters
    ----------
    symbols : int
        v, channels of the input.
    classes : int
        n_c.
    patch : int
        w = s (s_0 + 1), filter and stride.
    levels : int
        L, hidden layers.
    width : int, default=256
        Channels of the hidden layers.
    seed : int, default=0
        Seed of the initial weights.

    Examples
    --------
    >>> net = HierarchicalCNN(symbols=6, classes=6, patch=4, levels=2, width=32)
    >>> tuple(net(torch.zeros(5, 6, 16)).shape)
    (5, 6)
    """

    shared = True

    def __init__(
        self,
        symbols: int,
        classes: int,
        patch: int,
        levels: int,
        width: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"symbols": symbols, "classes": classes, "patch": patch, "levels": levels}
        for name, value in {**sizes, "width": width}.items():
            check_positive(value, name, integer=True)
        self.symbols, self.length, self.width = symbols, patch**levels, width
        layers: list[nn.Module] = []
        for depth in reversed(range(levels)):
            inputs = width if layers else symbols
            places = 1 if self.shared else patch**depth
            layers += [PatchLayer(inputs, width, patch, places), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.readout = nn.Linear(width, classes, bias=False)
        self._initialise(seed_from(seed))

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        for index, weight in enumerate(self.parameters()):
            rng = generator(seed, Stream.HIERARCHY, index, PARAMETERS)
            weight.copy_(torch.from_numpy(rng.standard_normal(tuple(weight.shape), dtype="f4")))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        x : Tensor of shape (n, symbols, patch^levels)
            Encoded data, channels first as `RandomHierarchy.encode` makes them.

        Returns
        -------
        Tensor of shape (n, classes)
            Logits.

        Raises
        ------
        DataError
            If the shape is another one.
        """
        if x.ndim != 3 or x.shape[1:] != (self.symbols, self.length):
            raise DataError(
                f"x must have shape (n, {self.symbols}, {self.length}), got {tuple(x.shape)}; "
                "build the network for these data."
            )
        hidden = self.body(x.transpose(1, 2).contiguous())
        return self.readout(hidden[:, 0]) / self.width


class LocallyConnected(HierarchicalCNN):
    """The same network without sharing: every patch has filters of its own.

    Parameters
    ----------
    symbols, classes, patch, levels, width, seed : int
        See `HierarchicalCNN`.

    Examples
    --------
    >>> net = LocallyConnected(symbols=6, classes=6, patch=4, levels=2, width=32)
    >>> [tuple(weight.shape) for weight in net.parameters()]
    [(4, 24, 32), (1, 128, 32), (6, 32)]
    """

    shared = False
