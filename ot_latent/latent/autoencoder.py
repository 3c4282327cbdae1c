"""Autoencoders for vectors and images, built from one config and one seed."""

from __future__ import annotations

from math import prod
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ot_latent._validation import DataError
from ot_latent.config import AutoencoderConfig
from ot_latent.latent.homogeneous import AffineSkip, bend, narrow, resolve_activation
from ot_latent.latent.layers import (
    BLOCK,
    Gain,
    Patches,
    Residual,
    Unpatches,
    Upscale,
    in_blocks,
    linear,
    pyramid,
    seeded,
)
from ot_latent.latent.priors import split_code

MINIMUM_SIDE = 8


class Autoencoder(nn.Module):
    """Encoder R^shape to R^d and decoder R^d to R^shape.

    Images lie in [0, 1]: the decoder's raw output passes through a sigmoid. Vectors are
    standardised and the raw output is the reconstruction. Build it with `build_autoencoder`.

    Parameters
    ----------
    config : AutoencoderConfig
        Kind, sizes, loss.
    shape : tuple of int
        (c, h, w) or (features,).

    Attributes
    ----------
    config : AutoencoderConfig
        The settings.
    shape : tuple of int
        Shape of one row.
    kind : str
        "mlp", "conv" or "residual": what "auto" became.
    variational : bool
        Whether the encoder also gives the logarithms of the codes' variances.
    """

    def __init__(self, config: AutoencoderConfig, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, tuple(int(s) for s in shape)
        self.kind = resolve_kind(config, self.shape)
        resolve_activation(config, self.kind)
        self.variational = config.prior == "vae"
        outputs = config.latent_dim * (1 + self.variational)
        if self.kind == "mlp":
            self.encoder: nn.Module = _DenseEncoder(config, self.shape, outputs)
            self.decoder: nn.Module = _DenseDecoder(config, self.shape)
        else:
            image = cast(tuple[int, int, int], self.shape)
            self.encoder = _image_encoder(config, image, outputs, deep=self.kind == "residual")
            self.decoder = _image_decoder(config, image, deep=self.kind == "residual")

    @property
    def bounded(self) -> bool:
        """Whether reconstructions lie in [0, 1] (images) rather than anywhere (vectors)."""
        return len(self.shape) == 3

    @property
    def noise_level(self) -> float:
        """Size of the code noise in training, in units of the codes' rms or of their own deviation."""
        return 1.0 if self.variational else self.config.code_noise

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Images in [0, 1] or standardised vectors.

        Returns
        -------
        Tensor of shape (n, latent_dim)
            Codes.
        """
        return self.encoder(x)[:, : self.config.latent_dim] if self.variational else self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return the data of given codes: in [0, 1] for images.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Codes.

        Returns
        -------
        Tensor of shape (n, *shape)
            Reconstructions.
        """
        raw = self.decoder(z)
        return torch.sigmoid(raw) if self.bounded else raw

    def forward(
        self, x: Tensor, noise: Tensor | None = None, partners: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the raw reconstruction (logits for images) and the codes without their noise.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Input rows.
        noise : Tensor of shape (n, latent_dim), optional
            Added to the codes before they are decoded; where the codes have variances of their
            own, multiplied by their roots first.
        partners : Tensor of shape (m, *shape), optional
            Further rows, to be encoded only.

        Returns
        -------
        raw : Tensor of shape (n, *shape)
            What `row_losses` takes.
        codes : Tensor of shape (n + m, latent_dim)
            Codes of the input rows, then of the further ones; a variational encoder's are
            followed by the logarithms of their variances.
        """
        codes = self.encoder(x if partners is None else torch.cat([x, partners]))
        own = codes[: len(x)]
        if self.variational:
            own, spread = split_code(own, self.config.latent_dim)
            noise = None if noise is None else noise * (0.5 * spread).exp()
        return self.decoder(own if noise is None else own + noise), codes

    def row_losses(self, raw: Tensor, x: Tensor) -> Tensor:
        """Return the reconstruction loss of each row, averaged over its values.

        Parameters
        ----------
        raw : Tensor of shape (n, *shape)
            First output of `forward`.
        x : Tensor of shape (n, *shape)
            Target rows.

        Returns
        -------
        Tensor of shape (n,)
            Mean over the row of (x - r)^2, |x - r|, or the binary cross-entropy.
        """
        if self.config.loss == "bce":
            each = nn.functional.binary_cross_entropy_with_logits(raw, x, reduction="none")
        else:
            gap = (torch.sigmoid(raw) if self.bounded else raw) - x
            each = gap.square() if self.config.loss == "mse" else gap.abs()
        return each.flatten(1).mean(1)


def resolve_kind(
    config: AutoencoderConfig, shape: tuple[int, ...]
) -> Literal["mlp", "conv", "residual"]:
    """Say which network "auto" stands for: mlp for vectors, conv for images.

    Parameters
    ----------
    config : AutoencoderConfig
        The settings.
    shape : tuple of int
        (c, h, w) or (features,).

    Returns
    -------
    str
        "mlp", "conv" or "residual".

    Raises
    ------
    ValueError
        If the network or the loss does not fit the shape.

    Examples
    --------
    >>> resolve_kind(AutoencoderConfig(), (13,)), resolve_kind(AutoencoderConfig(), (1, 28, 28))
    ('mlp', 'conv')
    """
    if len(shape) != 3:
        if config.model in ("conv", "residual"):
            raise ValueError(
                f"model must be 'mlp' or 'auto' for vectors, got {config.model!r}; reshape the "
                "data to images or change the model."
            )
        if config.loss == "bce":
            raise ValueError(
                "loss must be 'mse' or 'l1' for vectors, got 'bce'; it is for images, whose "
                "values lie in [0, 1]."
            )
        return "mlp"
    if config.model != "mlp" and min(shape[1:]) < MINIMUM_SIDE:
        raise ValueError(
            f"images must be at least {MINIMUM_SIDE} pixels a side for model={config.model!r}, "
            f"got {shape[1]} x {shape[2]}; use model='mlp' or flatten them to vectors."
        )
    return "conv" if config.model == "auto" else config.model


def build_autoencoder(
    config: AutoencoderConfig, shape: tuple[int, ...], seed: int, *, gain: Gain | None = None
) -> Autoencoder:
    """Build an autoencoder whose parameters are a function of (config, shape, seed, gain) alone.

    Parameters
    ----------
    config : AutoencoderConfig
        Kind, sizes, loss.
    shape : tuple of int
        Shape of one row: (c, h, w) or (features,).
    seed : int
        Non-negative seed of the initial parameters.
    gain : callable, optional
        Gain of weights before an activation, from their number of inputs; by default sqrt(2).

    Returns
    -------
    Autoencoder
        The network on the CPU.

    Raises
    ------
    DataError
        If `latent_dim` exceeds the number of values of a row.
    ValueError
        If the network or the loss does not fit the shape, or depth or gain are left to theory.

    Examples
    --------
    >>> net = build_autoencoder(AutoencoderConfig(latent_dim=2, width=8), (1, 9, 13), seed=0)
    >>> codes = net.encode(torch.zeros(5, 1, 9, 13))
    >>> tuple(codes.shape), tuple(net.decode(codes).shape)
    ((5, 2), (5, 1, 9, 13))
    """
    if config.latent_dim > prod(shape):
        raise DataError(
            f"latent_dim must be at most the number of values of a row, {prod(shape)}, got "
            f"{config.latent_dim}; choose a smaller latent_dim."
        )
    if config.depth == "auto" or (config.initialisation == "critical" and gain is None):
        raise ValueError(
            f"config must name a depth and come with a gain, got depth={config.depth!r} and "
            f"initialisation={config.initialisation!r}; use architectures.new_autoencoder."
        )
    return cast(Autoencoder, seeded(lambda: Autoencoder(config, shape), seed, gain=gain))


def encode_rows(model: nn.Module, x: Tensor, *, start: int = 0, block: int = BLOCK) -> Tensor:
    """Encode rows in fixed blocks: a row's bits do not depend on how many are asked for.

    Parameters
    ----------
    model : Autoencoder
        Or any module with an `encode` method.
    x : Tensor of shape (n, *shape)
        Rows, on the device of the model.
    start : int, default=0
        Number of the first row in the request that these are a slice of.
    block : int, default=64
        Rows per block.

    Returns
    -------
    Tensor of shape (n, latent_dim)
        Codes, without gradients.
    """
    return in_blocks(cast(Autoencoder, model).encode, x, start=start, block=block)


def decode_rows(model: nn.Module, z: Tensor, *, start: int = 0, block: int = BLOCK) -> Tensor:
    """Decode codes in fixed blocks: a row's bits do not depend on how many are asked for.

    Parameters
    ----------
    model : Autoencoder
        Or any module with a `decode` method.
    z : Tensor of shape (n, latent_dim)
        Codes, on the device of the model.
    start : int, default=0
        Number of the first row in the request that these are a slice of.
    block : int, default=64
        Rows per block.

    Returns
    -------
    Tensor of shape (n, *shape)
        Reconstructions, without gradients.
    """
    return in_blocks(cast(Autoencoder, model).decode, z, start=start, block=block)


class _DenseEncoder(nn.Module):
    """Three hidden layers plus a linear path, so that it can always do what PCA does."""

    def __init__(self, config: AutoencoderConfig, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        if config.skip is not False:
            self.straight = linear(prod(shape), outputs, gain=1.0)
        self.curved = _dense(prod(shape), config, outputs)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return (
            self.straight(flat) + self.curved(flat)
            if "straight" in self._modules
            else self.curved(flat)
        )


class _DenseDecoder(nn.Module):
    """Three hidden layers plus a linear path."""

    def __init__(self, config: AutoencoderConfig, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        if config.skip is not False:
            self.straight = linear(config.latent_dim, prod(shape), gain=0.5)
        self.curved = _dense(config.latent_dim, config, prod(shape))

    def forward(self, z: Tensor) -> Tensor:
        flat = self.straight(z) + self.curved(z) if "straight" in self._modules else self.curved(z)
        return flat.unflatten(1, self.shape)


def _dense(inputs: int, config: AutoencoderConfig, outputs: int) -> nn.Sequential:
    """Return hidden layers (3 by default) with row-wise norms (or rectifiers alone) between two sizes."""
    hidden, activation = 8 * config.width, resolve_activation(config, "mlp")
    parts: list[nn.Module] = [linear(inputs, hidden), bend(activation, hidden, image=False)[-1]]
    for _ in range((3 if config.depth is None else int(config.depth)) - 1):
        factor, width = narrow(hidden, config.bottleneck_rank, image=False)
        parts += [*factor, linear(width, hidden), *bend(activation, hidden, image=False)]
    return nn.Sequential(*parts, linear(hidden, outputs, gain=0.5))


def _channels(config: AutoencoderConfig, levels: int) -> list[int]:
    """Return the channels of every level: doubled at most twice."""
    return [config.width * min(2**level, 4) for level in range(levels)]


def _same_size(config: AutoencoderConfig, channels: int, deep: bool) -> list[nn.Module]:
    """Return the layers of one scale: residual blocks (1 by default), or convolutions (none)."""
    depth = int(deep) if config.depth is None else int(config.depth)
    if deep:
        return [Residual(channels) for _ in range(depth)]
    bends = [bend(resolve_activation(config, "conv"), channels, image=True) for _ in range(depth)]
    layers = [[*each, nn.Conv2d(channels, channels, 3, padding=1)] for each in bends]
    return [part for layer in layers for part in layer]


def _image_encoder(
    config: AutoencoderConfig, shape: tuple[int, int, int], outputs: int, *, deep: bool
) -> nn.Module:
    """Patches, then strided convolutions down to a map of at most 4 x 4, then one linear layer."""
    side, sizes = pyramid(shape)
    channels, activation = _channels(config, len(sizes)), resolve_activation(config, "conv")
    parts: list[nn.Module] = [Patches(shape, side)]
    parts += [nn.Conv2d(shape[0] * side**2, channels[0], 3, padding=1)]
    for level, width in enumerate(channels):
        if level:
            factor, inputs = narrow(channels[level - 1], config.bottleneck_rank, image=True)
            parts += [*bend(activation, channels[level - 1], image=True), *factor]
            parts += [nn.Conv2d(inputs, width, 3, stride=2, padding=1)]
        parts += _same_size(config, width, deep)
    parts += [*bend(activation, channels[-1], image=True), nn.Flatten()]
    parts += [linear(channels[-1] * prod(sizes[-1]), outputs, gain=1.0)]
    curved = nn.Sequential(*parts)
    return AffineSkip(curved, prod(shape), (outputs,), gain=1.0) if config.skip else curved


def _image_decoder(
    config: AutoencoderConfig, shape: tuple[int, int, int], *, deep: bool
) -> nn.Module:
    """Run the encoder backwards: one linear layer, doublings with crops, patches put together."""
    side, sizes = pyramid(shape)
    channels, activation = _channels(config, len(sizes)), resolve_activation(config, "conv")
    first = (channels[-1], *sizes[-1])
    parts: list[nn.Module] = [linear(config.latent_dim, prod(first)), nn.Unflatten(1, first)]
    for level in reversed(range(len(sizes))):
        parts += _same_size(config, channels[level], deep)
        parts += bend(activation, channels[level], image=True)
        if level:
            factor, inputs = narrow(channels[level], config.bottleneck_rank, image=True)
            parts += [*factor, Upscale(inputs, channels[level - 1], sizes[level - 1])]
    last = nn.Conv2d(channels[0], shape[0] * side**2, 3, padding=1)
    last.gain = 0.5  # type: ignore[assignment]  # start from flat grey, not from saturated pixels
    curved = nn.Sequential(*parts, last, Unpatches(shape, side))
    return AffineSkip(curved, config.latent_dim, shape, gain=0.5) if config.skip else curved
