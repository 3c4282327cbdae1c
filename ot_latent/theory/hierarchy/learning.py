"""Train networks on a hierarchy until they fit; measure how the test error falls with the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator, seed_from
from ot_latent._validation import DataError, check_positive, check_same_length
from ot_latent.theory.hierarchy.complexity import Learner, empirical_sample_complexity
from ot_latent.theory.hierarchy.learners import HierarchicalCNN, LocallyConnected
from ot_latent.theory.hierarchy.model import RandomHierarchy
from ot_latent.theory.hierarchy.rules import ORDER

MOMENTUM = 0.9
TEST_BLOCK = 1024


def train_network(
    network: nn.Module,
    x: Tensor,
    y: Any,
    *,
    seed: int,
    lr: float = 0.1,
    batch_size: int = 32,
    loss_goal: float = 1e-2,
    max_epochs: int = 500,
) -> float:
    """Train a classifier by SGD with momentum 0.9 until it fits; the network is changed in place.

    Parameters
    ----------
    network : torch.nn.Module
        Its attribute `width`, where it has one, multiplies the learning rate, as a read-out divided
        by the width needs it.
    x : Tensor of shape (n, ...)
        Encoded data, on the device of the network.
    y : array-like of shape (n,)
        Labels 0 .. n_c - 1.
    seed : int
        Seed of the order of the rows.
    lr : float, default=0.1
        Learning rate per unit of width.
    batch_size : int, default=32
        Rows per step.
    loss_goal : float, default=0.01
        Mean cross-entropy of an epoch at which training stops.
    max_epochs : int, default=500
        Passes over the data at most.

    Returns
    -------
    float
        Mean cross-entropy of the last epoch; above the goal where the epochs ran out.

    Raises
    ------
    DataError
        If there is not one label per row.
    """
    check_same_length(x, y, ("x", "y"))
    check_positive(batch_size, "batch_size", integer=True)
    check_positive(max_epochs, "max_epochs", integer=True)
    targets = torch.as_tensor(np.asarray(y), dtype=torch.long, device=x.device)
    rate = lr * float(getattr(network, "width", 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=MOMENTUM)
    mean = float("inf")
    for epoch in range(max_epochs):
        order = generator(seed_from(seed), Stream.HIERARCHY, epoch, ORDER).permutation(len(x))
        total = 0.0
        for rows in torch.from_numpy(order).to(x.device).split(batch_size):
            loss = nn.functional.cross_entropy(network(x[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        mean = total / len(x)
        if not mean > loss_goal:  # reached, or not a number any more
            break
    return mean


def error_rate(network: nn.Module, x: Tensor, y: Any) -> float:
    """Return the share of rows whose largest logit is not that of their label.

    Parameters
    ----------
    network : torch.nn.Module
        A classifier.
    x : Tensor of shape (n, ...)
        Encoded data.
    y : array-like of shape (n,)
        Labels 0 .. n_c - 1.

    Returns
    -------
    float
        The error, 0 to 1.
    """
    with torch.no_grad():
        found = torch.cat([network(part).argmax(1) for part in x.split(TEST_BLOCK)])
    return float((found.cpu().numpy() != np.asarray(y)).mean())


@dataclass(frozen=True)
class LearningCurve:
    """Test error against the number of training data, one row per seed of rules and network.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of training data P.
    errors : numpy.ndarray of shape (seeds, sizes)
        Test errors.
    losses : numpy.ndarray of the same shape
        Training losses at the end: whether the network fitted.
    """

    sizes: tuple[int, ...]
    errors: np.ndarray
    losses: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean error over seeds, shape (sizes,)."""
        return self.errors.mean(axis=0)

    def complexity(self, threshold: float = 0.1) -> float:
        """Return the size at which the mean error falls below a threshold.

        Parameters
        ----------
        threshold : float, default=0.1
            The error in question.

        Returns
        -------
        float
            P*; see `empirical_sample_complexity`.
        """
        return empirical_sample_complexity(np.asarray(self.sizes), self.mean, threshold)


def build_learner(
    model: RandomHierarchy, learner: Learner = "cnn", *, width: int = 256, seed: int = 0
) -> HierarchicalCNN:
    """Build the network that is matched to a hierarchy.

    Parameters
    ----------
    model : RandomHierarchy
        The grammar.
    learner : {"cnn", "lcn"}, default="cnn"
        Whether patches share their filters.
    width : int, default=256
        Channels.
    seed : int, default=0
        Seed of the weights.

    Returns
    -------
    HierarchicalCNN
        On the CPU, for `RandomHierarchy.encode`.

    Raises
    ------
    ValueError
        If the learner is neither.
    """
    kinds: dict[str, type[HierarchicalCNN]] = {"cnn": HierarchicalCNN, "lcn": LocallyConnected}
    if learner not in kinds:
        raise ValueError(f"learner must be 'cnn' or 'lcn', got {learner!r}; pass one of them.")
    return kinds[learner](
        model.vocabulary, model.classes, model.patch, model.levels, width=width, seed=seed
    )


def learning_curve(
    models: Sequence[RandomHierarchy],
    sizes: Sequence[int],
    *,
    learner: Learner = "cnn",
    width: int = 256,
    tests: int = 2000,
    seed: int = 0,
    **settings: Any,
) -> LearningCurve:
    """Measure the test error of matched networks for growing numbers of training data.

    The training sets of one grammar are nested, and the test data distinct from all of them.

    Parameters
    ----------
    models : sequence of RandomHierarchy
        Grammars, one per row of the curve.
    sizes : sequence of int
        Increasing numbers of training data.
    learner : {"cnn", "lcn"}, default="cnn"
        Kind of network.
    width : int, default=256
        Channels.
    tests : int, default=2000
        Test data, or as many as there are beside the largest training set.
    seed : int, default=0
        Seed of data, networks and order; row r uses seed + r.
    **settings
        For `train_network`.

    Returns
    -------
    LearningCurve
        Errors and final losses.

    Raises
    ------
    DataError
        If the largest training set leaves no data to test on.
    """
    largest = max(sizes)
    errors, losses = (np.empty((len(models), len(sizes))) for _ in range(2))
    for row, model in enumerate(models):
        left = min(tests, model.n_data - largest)
        if left < 1:
            raise DataError(
                f"sizes must leave some of the {model.n_data} different data for testing, got "
                f"{largest}; measure smaller ones."
            )
        trees = model.sample(largest + left, seed=seed + row)
        x, y = torch.from_numpy(model.encode(trees)), trees.labels
        for column, size in enumerate(sizes):
            network = build_learner(model, learner, width=width, seed=seed + row)
            losses[row, column] = train_network(
                network, x[:size], y[:size], seed=seed + row, **settings
            )
            errors[row, column] = error_rate(network, x[largest:], y[largest:])
    return LearningCurve(tuple(int(size) for size in sizes), errors, losses)
