"""A small critic: it learns to tell rows of data from decoded ones, and what it looks at is a feature space.

Only the refinement of a decoder uses it. It is trained together with that decoder, from its own first weights,
and thrown away afterwards: nothing that judges a generator may have been seen by it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ot_latent.latent.layers import Patches, linear, pyramid, seeded

SALT = 4
SLOPE = 0.2
"""Slope of the rectifiers below zero."""

HIDDEN = 128
"""Units of a hidden layer for vectors."""


class Critic(nn.Module):
    """Convolutions with halvings (images) or two dense layers (vectors), then one number.

    Without norms, so that a row's score depends on that row alone and the penalty on its gradient
    means what it says.

    Parameters
    ----------
    shape : tuple of int
        (c, h, w) or (features,).
    width : int
        Channels of the first level.
    """

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        parts: list[nn.Module]
        if len(shape) == 3:
            image = cast(tuple[int, int, int], tuple(shape))
            side, sizes = pyramid(image)
            channels = [width * min(2**level, 4) for level in range(len(sizes))]
            stem = nn.Conv2d(shape[0] * side**2, width, 3, padding=1)
            parts = [nn.Sequential(Patches(image, side), stem, nn.LeakyReLU(SLOPE))]
            for inputs, outputs in pairwise(channels):
                halving = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
                parts.append(nn.Sequential(halving, nn.LeakyReLU(SLOPE)))
            values = channels[-1] * sizes[-1][0] * sizes[-1][1]
        else:
            first, second = linear(shape[0], HIDDEN), linear(HIDDEN, HIDDEN)
            parts = [nn.Sequential(layer, nn.LeakyReLU(SLOPE)) for layer in (first, second)]
            values = HIDDEN
        self.levels = nn.ModuleList(parts)
        self.head = linear(values, 1, gain=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return how real rows look, and what every level sees of them.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Rows.

        Returns
        -------
        scores : Tensor of shape (n,)
            Logit of being a row of data.
        features : list of Tensor of shape (n, ...)
            Output of every level.
        """
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return self.head(x.flatten(1))[:, 0], features


def new_critic(shape: tuple[int, ...], width: int, seed: int) -> Critic:
    """Build a critic whose parameters are a function of (shape, width, seed) alone.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row.
    width : int
        Channels of the first level.
    seed : int
        Non-negative seed of the initial parameters.

    Returns
    -------
    Critic
        The critic on the CPU.
    """
    return cast(Critic, seeded(lambda: Critic(shape, width), seed, SALT))


def feature_distances(real: list[Tensor], made: list[Tensor]) -> Tensor:
    r"""Return how far apart paired rows are in the features of all levels.

    The mean over levels l of :math:`|f_l(x) - f_l(r)|_1 / |f_l(x)|_1`: no scale of the features matters.

    Parameters
    ----------
    real : list of Tensor of shape (n, ...)
        Features of the rows of data, which are taken as given: no gradient reaches them.
    made : list of Tensor of shape (n, ...)
        Features of their reconstructions.

    Returns
    -------
    Tensor of shape (n,)
        Distances, 0 where all features agree.

    Examples
    --------
    >>> one = torch.ones(1, 4)
    >>> feature_distances([one, 2 * one], [1.5 * one, 2 * one])
    tensor([0.2500])
    """
    ratios = []
    for given, found in zip(real, made, strict=True):
        size = given.detach().flatten(1).abs().mean(1).clamp_min(1e-8)
        ratios.append((given.detach() - found).flatten(1).abs().mean(1) / size)
    return torch.stack(ratios).mean(0)


def moment_gap(
    real: list[Tensor],
    made: list[Tensor],
    count: int,
    over_all: Callable[[Tensor], Tensor] = lambda total: total,
) -> Tensor:
    r"""Return how far apart the laws of two batches are in means and deviations of the features.

    The mean over levels l of
    :math:`(|\mathrm E f_l(x) - \mathrm E f_l(r)|_1 + |\mathrm{sd} f_l(x) - \mathrm{sd} f_l(r)|_1) / \mathrm E |f_l(x)|_1`.
    Rows are not paired. Matching means is due to Salimans et al., "Improved techniques for training GANs"
    (NeurIPS 2016); from finite batches it is an estimate, and not zero for equal laws.

    Parameters
    ----------
    real : list of Tensor of shape (n, ...)
        Features of the rows of data, which are taken as given: no gradient reaches them.
    made : list of Tensor of shape (n, ...)
        Features of what was decoded.
    count : int
        Rows of the batch over all processes.
    over_all : callable, optional
        Adds a sum over the processes; its gradient is that of the own share.

    Returns
    -------
    Tensor of shape ()
        The gap, 0 where all moments agree.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [2.0]])
    >>> moment_gap([x], [x.flip(0)], 2).item(), moment_gap([x], [x + 1], 2).item()
    (0.0, 1.0)
    """
    gaps = []
    for given, found in zip(real, made, strict=True):
        given = given.detach()
        size = (over_all(given.abs().sum(0)) / count).mean().clamp_min(1e-8)
        pairs = zip(_moments(given, count, over_all), _moments(found, count, over_all), strict=True)
        gaps.append(sum((a - b).abs().mean() for a, b in pairs) / size)
    return torch.stack(gaps).mean()


def _moments(
    features: Tensor, count: int, over_all: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations over the rows of all processes."""
    mean = over_all(features.sum(0)) / count
    # through the mean no gradient reaches the variance: deviations add up to nothing
    square = over_all((features - mean.detach()).square().sum(0))
    return mean, (square / max(1, count - 1)).clamp_min(1e-12).sqrt()
