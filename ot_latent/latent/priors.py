r"""Codes that resemble a standard normal law: the terms of variational and Wasserstein autoencoders.

They make an autoencoder a generator by itself: decode normal noise. Here they are rivals of the
transport, which needs no prior; the weight of the term trades reconstruction for resemblance.

Kingma and Welling. "Auto-encoding variational Bayes." ICLR 2014. Tolstikhin, Bousquet, Gelly and
Schoelkopf. "Wasserstein auto-encoders." ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ot_latent.config import AutoencoderConfig

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the kernel, in units of the expected squared distance 2 d of two normal points."""

LEAST, MOST = -12.0, 6.0
"""Range of the logarithm of a code's variance."""


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return the divergence of diagonal normal laws from the standard one.

    .. math:: \tfrac12 \sum_k (\mu_k^2 + e^{v_k} - v_k - 1)

    Parameters
    ----------
    mean, log_variance : Tensor of shape (n, d)
        Means and logarithms of the variances.

    Returns
    -------
    Tensor of shape (n,)
        Kullback-Leibler divergences in nats.

    Examples
    --------
    >>> normal_divergence(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2))
    tensor([2.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1)


def normal_discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    r"""Return the squared maximum mean discrepancy of codes from normal draws, unbiased.

    Under the sum over :data:`SCALES` of inverse multiquadrics :math:`s\,2d / (s\,2d + |x - y|^2)`,
    as in Tolstikhin et al.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Codes, at least two.
    draws : Tensor of shape (n, d)
        Standard normal rows.

    Returns
    -------
    Tensor of shape ()
        The estimate, of mean zero where codes are standard normal.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0]])
    >>> bool(normal_discrepancy(x + 9, x) > normal_discrepancy(x + 3, x) > 0)
    True
    """
    n, m = len(codes), len(draws)
    within = (_kernel(codes, codes).sum() - n * len(SCALES)) / (n * (n - 1))
    drawn = (_kernel(draws, draws).sum() - m * len(SCALES)) / (m * (m - 1))
    return within + drawn - 2.0 * _kernel(codes, draws).mean()


def prior_penalty(
    config: AutoencoderConfig, encoded: Tensor, draw: Callable[[int], Tensor], values: int
) -> Tensor:
    """Return the penalty of a batch, summed over its rows, in units of the mean over a row's values.

    Parameters
    ----------
    config : AutoencoderConfig
        Its `prior`, with its weight; without one there is no penalty.
    encoded : Tensor of shape (n, d) or (n, 2 d)
        Codes; for "vae" followed by the logarithms of their variances.
    draw : callable
        Returns standard normal rows (n, d), given d; "wae" compares with them.
    values : int
        Number of values of a row of data.

    Returns
    -------
    Tensor of shape ()
        Penalty.
    """
    if config.prior == "none":
        return encoded.new_zeros(())
    if config.prior == "vae":
        mean, spread = split_code(encoded, config.latent_dim)
        penalty = normal_divergence(mean, spread).sum()
    else:
        penalty = len(encoded) * normal_discrepancy(encoded, draw(config.latent_dim).to(encoded))
    return config.prior_weight / values * penalty


def split_code(encoded: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return means and logarithms of the variances from what a variational encoder gives.

    Parameters
    ----------
    encoded : Tensor of shape (n, 2 d)
        Output of the encoder.
    dim : int
        Dimension d of the codes.

    Returns
    -------
    mean, log_variance : Tensor of shape (n, d)
        The parts, the second within [-12, 6].
    """
    return encoded[:, :dim], encoded[:, dim:].clamp(LEAST, MOST)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Sum of the kernels for all pairs."""
    squares = (x.square().sum(1)[:, None] + y.square().sum(1) - 2.0 * x @ y.T).clamp_min(0.0)
    widths = [2.0 * x.shape[1] * scale for scale in SCALES]
    return torch.stack([width / (width + squares) for width in widths]).sum(0)
