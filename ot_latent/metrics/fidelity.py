"""How close generated items are to real ones, on any features: distances between two clouds.

Frechet distance [1]_, kernel distance [2]_, precision and recall [3]_, density and coverage [4]_.
Sums are in float64 and memory is bounded by chunks. A figure means something only beside the same
figure for held-out data, because each has a floor that falls with the number of items.

References
----------
.. [1] M. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
   equilibrium, NeurIPS 2017.
.. [2] M. Binkowski et al., Demystifying MMD GANs, ICLR 2018.
.. [3] T. Kynkaanniemi et al., Improved precision and recall metric for assessing generative models,
   NeurIPS 2019.
.. [4] M. F. Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML 2020.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ot_latent._validation import check_positive
from ot_latent.kernels.dispatch import nearest
from ot_latent.metrics._inputs import as_row_pair

_CHUNK = 1024
_SLACK = (
    1e-12  # of the squared norms: an item on the rim is inside, however its distance was summed
)


class PrecisionRecall(NamedTuple):
    """Share of generated items inside the real manifold, and the other way round.

    Attributes
    ----------
    precision : float
        Share of generated items inside a ball of a real item.
    recall : float
        Share of real items inside a ball of a generated item.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How many real balls hold a generated item, and which share of them holds any.

    Attributes
    ----------
    density : float
        Mean number of real balls around a generated item, over `neighbours`; 1 for real data.
    coverage : float
        Share of real balls that hold a generated item.
    """

    density: float
    coverage: float


class Membership(NamedTuple):
    """Per-item verdicts whose means are precision, recall, density and coverage.

    Attributes
    ----------
    precision : Tensor
        Whether each generated item lies in a real ball, shape (m,), 0 or 1.
    recall : Tensor
        Whether each real item lies in a generated ball, shape (n,), 0 or 1.
    density : Tensor
        Number of real balls around each generated item over `neighbours`, shape (m,).
    coverage : Tensor
        Whether each real ball holds a generated item, shape (n,), 0 or 1.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def frechet_distance(*, real: Any, generated: Any) -> float:
    r"""Return the squared 2-Wasserstein distance of the Gaussians with the clouds' moments.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}\,S_1 + \mathrm{tr}\,S_2 - 2\,\mathrm{tr}(S_1 S_2)^{1/2}

    With :math:`S_i = F_i^T F_i` the last trace is the nuclear norm of :math:`F_1 F_2^T`, which needs
    no matrix square root and loses no digits where a covariance is singular (fewer items than
    features).

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.

    Returns
    -------
    float
        Non-negative distance, in squared units of the features.

    Raises
    ------
    DataError
        If a cloud has fewer than two rows, values that are not finite, or another dimension.

    Examples
    --------
    >>> import numpy as np
    >>> cloud = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> round(frechet_distance(real=cloud, generated=cloud + [3.0, 4.0]), 9)
    25.0
    """
    real, generated = as_row_pair(real, generated, ("real", "generated"), min_rows=2)
    gap = (real.mean(0) - generated.mean(0)).square().sum()
    first, second = _factor(real), _factor(generated)
    overlap = torch.linalg.svdvals(first @ second.T).sum()
    value = gap + first.square().sum() + second.square().sum() - 2.0 * overlap
    return max(float(value), 0.0)


def kernel_distance(*, real: Any, generated: Any) -> float:
    r"""Return the unbiased squared maximum mean discrepancy under a cubic kernel (KID).

    .. math:: \mathrm{MMD}^2 = \overline{k(x, x')} + \overline{k(y, y')} - 2\,\overline{k(x, y)},
              \qquad k(x, y) = (\langle x, y \rangle / d + 1)^3

    Pairs of one item with itself are left out, so the mean over draws is exactly the squared
    discrepancy of the laws, and single values may be negative.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.

    Returns
    -------
    float
        The estimate from all pairs.

    Raises
    ------
    DataError
        If a cloud has fewer than two rows, values that are not finite, or another dimension.

    Examples
    --------
    >>> kernel_distance(real=[[0.0], [1.0]], generated=[[0.0], [1.0]])
    -3.5
    """
    real, generated = as_row_pair(real, generated, ("real", "generated"), min_rows=2)
    n, m = len(real), len(generated)
    within_real = (_kernel_sum(real, real) - float(_kernel_diagonal(real).sum())) / (n * (n - 1))
    within_generated = _kernel_sum(generated, generated) - float(_kernel_diagonal(generated).sum())
    across = _kernel_sum(real, generated) / (n * m)
    return within_real + within_generated / (m * (m - 1)) - 2.0 * across


def kernel_distance_blocks(*, real: Any, generated: Any, size: int = 1000) -> Tensor:
    """Return the kernel distance of consecutive blocks of rows: their mean, and its spread.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; rows in random order.
    size : int, default=1000
        Rows per block; a smaller cloud is one block.

    Returns
    -------
    Tensor
        One unbiased estimate per block, float64.

    Raises
    ------
    ValueError
        If `size` is not a positive integer.
    DataError
        If `kernel_distance` refuses the clouds.

    Examples
    --------
    >>> cloud = torch.arange(8.0)[:, None]
    >>> len(kernel_distance_blocks(real=cloud, generated=cloud, size=4))
    2
    """
    check_positive(size, "size", integer=True)
    real, generated = as_row_pair(real, generated, ("real", "generated"), min_rows=2)
    shortest = min(len(real), len(generated))
    blocks = max(shortest // max(size, 2), 1)
    pairs = zip(real.tensor_split(blocks), generated.tensor_split(blocks), strict=True)
    values = [kernel_distance(real=a, generated=b) for a, b in pairs]
    return torch.tensor(values, dtype=torch.float64)


def precision_recall(*, real: Any, generated: Any, neighbours: int = 3) -> PrecisionRecall:
    """Return the improved precision and recall: membership in unions of balls.

    The ball of an item reaches to its `neighbours`-th nearest item of the same cloud.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.
    neighbours : int, default=3
        Which neighbour sets the radius.

    Returns
    -------
    PrecisionRecall
        Both shares, in [0, 1].

    Raises
    ------
    DataError
        If a cloud has no more than `neighbours` rows, values that are not finite, or another
        dimension.
    ValueError
        If `neighbours` is not a positive integer.

    Examples
    --------
    >>> real = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    >>> precision_recall(real=real, generated=real[:2] + 0.1, neighbours=1)
    PrecisionRecall(precision=1.0, recall=0.75)
    """
    inside = membership(real=real, generated=generated, neighbours=neighbours)
    return PrecisionRecall(float(inside.precision.mean()), float(inside.recall.mean()))


def density_coverage(*, real: Any, generated: Any, neighbours: int = 5) -> DensityCoverage:
    """Return density and coverage: like precision and recall, with balls of real items only.

    Density counts the balls around each item, so one outlier's large ball weighs little; coverage
    asks each real item whether a generated one is as near as its `neighbours`-th real neighbour.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.
    neighbours : int, default=5
        Which neighbour sets the radius.

    Returns
    -------
    DensityCoverage
        Density (may exceed 1) and coverage in [0, 1].

    Raises
    ------
    DataError
        If a cloud has no more than `neighbours` rows, values that are not finite, or another
        dimension.
    ValueError
        If `neighbours` is not a positive integer.

    Examples
    --------
    >>> real = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    >>> density_coverage(real=real, generated=real[:2] + 0.1, neighbours=1)
    DensityCoverage(density=2.0, coverage=0.75)
    """
    inside = membership(real=real, generated=generated, neighbours=neighbours)
    return DensityCoverage(float(inside.density.mean()), float(inside.coverage.mean()))


def membership(*, real: Any, generated: Any, neighbours: int) -> Membership:
    """Return per-item verdicts, so that intervals need no second pass over the pairs.

    Parameters
    ----------
    real, generated : array-like of shape (n, d), (m, d)
        Features; further axes are flattened.
    neighbours : int
        Which neighbour sets the radius of an item's ball.

    Returns
    -------
    Membership
        Four vectors, float64.

    Raises
    ------
    DataError
        If a cloud has no more than `neighbours` rows, values that are not finite, or another
        dimension.
    ValueError
        If `neighbours` is not a positive integer.
    """
    check_positive(neighbours, "neighbours", integer=True)
    names = ("real", "generated")
    real, generated = as_row_pair(real, generated, names, min_rows=neighbours + 1)
    centre = real.mean(0)  # distances do not see it, rounding does
    real, generated = real - centre, generated - centre
    real_rim, generated_rim = _rim(real, neighbours), _rim(generated, neighbours)
    balls = real.new_empty(len(generated))
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    recalled = torch.zeros_like(covered)
    for start in range(0, len(generated), _CHUNK):
        part = slice(start, start + _CHUNK)
        products = generated[part] @ real.T
        inside = products >= real_rim + generated[part].square().sum(1, keepdim=True) / 2
        balls[part] = inside.sum(1).to(balls)
        covered |= inside.any(0)
        rim = generated_rim[part, None] + real.square().sum(1) / 2
        recalled |= (products >= rim).any(0)
    return Membership((balls > 0).double(), recalled.double(), balls / neighbours, covered.double())


def _rim(points: Tensor, neighbours: int) -> Tensor:
    """Half of |y|^2 - r^2: x lies in the ball of y where <x, y> >= |x|^2 / 2 + this."""
    distances, _ = nearest(points, points, neighbours + 1)
    radius = distances.sort(dim=1).values[:, neighbours]  # the item itself is the first
    norms = points.square().sum(1)
    return (norms - radius.square() - _SLACK * norms.max()) / 2


def _factor(cloud: Tensor) -> Tensor:
    """Return F of at most d rows with F^T F = the covariance of the cloud."""
    centred = (cloud - cloud.mean(0)) / (len(cloud) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(cloud) > cloud.shape[1] else centred


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    """Sum of k over all pairs, a chunk of rows at a time."""
    return sum(
        float(torch.addmm(x.new_ones(1), x[i : i + _CHUNK] / x.shape[1], y.T).pow_(3).sum())
        for i in range(0, len(x), _CHUNK)
    )


def _kernel_diagonal(x: Tensor) -> Tensor:
    """k(x_i, x_i) for every row."""
    return (x.square().sum(1) / x.shape[1] + 1.0) ** 3
