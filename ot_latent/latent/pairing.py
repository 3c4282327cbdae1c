"""Pairs of noise and codes for a flow: independent ones, or assigned within each batch.

Both are the rivals of a coupling by a solved transport: independent pairs have crossing paths;
mini-batch optimal transport [1]_ uncrosses the rows of one batch, at the cost of one assignment
problem per batch, and stays biased at any batch size.

References
----------
.. [1] Tong et al. "Improving and generalizing flow-based generative models with minibatch optimal
   transport." TMLR 2024.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator
from ot_latent._validation import check_positive, check_same_length

KINDS = ("independent", "minibatch")


def pairs_of(
    codes: Tensor,
    noise: Callable[[int, int], Tensor],
    *,
    kind: str = "independent",
    weights: Tensor | None = None,
    labels: Tensor | None = None,
    batch_size: int = 256,
    seed: int = 0,
) -> Callable[[int], tuple[Tensor, ...]]:
    """Return a function from the number of a step to a batch of pairs.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Codes.
    noise : callable
        ``noise(start, rows)`` returns rows of the noise, shape (rows, d).
    kind : {"independent", "minibatch"}, default="independent"
        Codes drawn at random for each row of noise; or the same, then assigned so that the sum of
        squared distances in the batch is smallest (rows of one label among themselves).
    weights : Tensor of shape (n,), optional
        Masses of the codes; equal ones by default.
    labels : Tensor of shape (n,), int64, optional
        Labels; batches then carry them.
    batch_size : int, default=256
        Pairs per step.
    seed : int, default=0
        Seed of the choice of codes.

    Returns
    -------
    callable
        For `flow.train_flow`: noise, codes and, where they were given, labels.

    Raises
    ------
    ValueError
        If `kind` is unknown or lengths differ.

    Examples
    --------
    >>> pairs = pairs_of(torch.eye(3), lambda start, rows: torch.zeros(rows, 3), batch_size=5)
    >>> [part.shape for part in pairs(0)]
    [torch.Size([5, 3]), torch.Size([5, 3])]
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}; choose one.")
    check_positive(batch_size, "batch_size", integer=True)
    shares = np.full(len(codes), 1.0) if weights is None else weights.cpu().double().numpy()
    check_same_length(shares, codes, ("weights", "codes"))
    if labels is not None:
        check_same_length(labels, codes, ("labels", "codes"))
    steps = np.cumsum(shares / shares.sum())[:-1]

    def batch(step: int) -> tuple[Tensor, ...]:
        x = noise(step * batch_size, batch_size)
        uniforms = generator(seed, Stream.COUPLING, step, 2).random(batch_size)
        chosen = torch.from_numpy(np.searchsorted(steps, uniforms, side="right")).to(codes.device)
        own = None if labels is None else labels.to(codes.device)[chosen]
        if kind == "minibatch":
            x = x[assigned(x, codes[chosen], own)]
        pair = (x, codes[chosen])
        return pair if own is None else (*pair, own)

    return batch


def assigned(noise: Tensor, codes: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return which row of noise each code gets, so that the sum of squared distances is smallest.

    Parameters
    ----------
    noise, codes : Tensor of shape (B, d)
        Rows.
    labels : Tensor of shape (B,), optional
        Labels of the codes; each label keeps the rows of noise that it was drawn with.

    Returns
    -------
    Tensor of shape (B,), int64
        A permutation.

    Examples
    --------
    >>> assigned(torch.tensor([[1.0], [0.0]]), torch.tensor([[0.1], [2.0]])).tolist()
    [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    groups = torch.zeros(len(codes), dtype=torch.int64) if labels is None else labels.cpu()
    cost = torch.cdist(codes.double(), noise.double()).square().cpu().numpy()
    chosen = torch.empty(len(codes), dtype=torch.int64)
    for group in torch.unique(groups):
        own = torch.nonzero(groups == group).squeeze(1).numpy()
        rows, columns = linear_sum_assignment(cost[np.ix_(own, own)])
        chosen[own[rows]] = torch.from_numpy(own[columns])
    return chosen.to(codes.device)
