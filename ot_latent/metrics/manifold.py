"""Whether a manifold was learnt: projection, neighbourhoods, folds, dimension, off-manifold score.

An autoencoder that has learnt a manifold projects onto it: decode(encode(x + n)) is close to x, data
from elsewhere are rebuilt badly, codes keep neighbours, and reconstructions have the dimension of the
data without their noise. Everything here takes callables and arrays and knows no network. The
surfaces on which the truth is known are in `metrics.manifolds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream, generator, rows
from ot_latent._validation import check_array, check_positive, check_same_length
from ot_latent.kernels.dispatch import nearest
from ot_latent.metrics._inputs import as_rows
from ot_latent.metrics.dimension import intrinsic_dimension
from ot_latent.metrics.manifolds import KnownManifold

_SUBSAMPLE, _NOISE = 100, 101  # counters that keep these draws apart from the surfaces' own
_FAR_SHARE = 0.1

Map = Callable[[Any], Any]


class Neighbourhoods(NamedTuple):
    """How well codes keep the neighbours of the data.

    Attributes
    ----------
    trustworthiness : float
        1 where every neighbour in code is a neighbour in data.
    continuity : float
        1 where every neighbour in data is a neighbour in code.
    """

    trustworthiness: float
    continuity: float


class Folds(NamedTuple):
    """Pairs that one space brings together and the other holds apart.

    Attributes
    ----------
    folded : float
        Share of items whose nearest code belongs to a far item of the data.
    torn : float
        Share of items whose nearest item of the data has a far code.
    """

    folded: float
    torn: float


class KnownManifoldReport(NamedTuple):
    """What an autoencoder made of a manifold that is known.

    Attributes
    ----------
    noise_level : float
        Root mean square distance of the noisy points to the manifold.
    projection_error : float
        The same for decode(encode(noisy points)); below `noise_level` noise was taken out.
    trustworthiness, continuity : float
        See `Neighbourhoods`; neighbours in data are those of the points without noise.
    folded, torn : float
        See `Folds`.
    dimension : int
        The true dimension.
    data_dimension, code_dimension, reconstruction_dimension : float
        Estimates of `intrinsic_dimension`.
    """

    noise_level: float
    projection_error: float
    trustworthiness: float
    continuity: float
    folded: float
    torn: float
    dimension: int
    data_dimension: float
    code_dimension: float
    reconstruction_dimension: float


def projection_ratio(
    *,
    encode: Map,
    decode: Map,
    x: Any,
    noise_levels: Sequence[float] = (0.1, 0.2, 0.4),
    seed: int = 0,
) -> tuple[float, ...]:
    r"""Return how much of added noise an autoencoder leaves: mean of |decode(encode(x+n)) - x| / |n|.

    An ideal projection on a d-dimensional manifold in D dimensions leaves about sqrt(d / D); the
    identity leaves 1. The error on clean data is part of it, so the ratio rises for small noise.

    Parameters
    ----------
    encode, decode : callable
        Maps of batches; they get the array type of `x`.
    x : Tensor or array-like of shape (n, ...)
        Items in the units that `encode` takes.
    noise_levels : sequence of float
        Standard deviations of the noise, in units of the standard deviation of `x`.
    seed : int, default=0
        Seed of the noise.

    Returns
    -------
    tuple of float
        One mean ratio per level.

    Raises
    ------
    DataError
        If `x` is empty or not finite.
    ValueError
        If a level is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> same = lambda a: a
    >>> projection_ratio(encode=same, decode=same, x=np.eye(3), noise_levels=[0.5])
    (1.0,)
    """
    x = _items(x, "x")
    spread = float(x.std())
    ratios = []
    for number, level in enumerate(noise_levels):
        check_positive(level, "noise_levels")
        found = []
        for start in range(0, len(x), BLOCK_ROWS):
            clean = x[start : start + BLOCK_ROWS]
            noise = _noise_like(clean, start, level * spread, seed, number)
            rest = _flat(decode(encode(clean + noise))) - _flat(clean)
            found.append(np.linalg.norm(rest, axis=1) / np.linalg.norm(_flat(noise), axis=1))
        ratios.append(float(np.concatenate(found).mean()))
    return tuple(ratios)


def reconstruction_errors(*, encode: Map, decode: Map, x: Any) -> np.ndarray:
    """Return the root mean square error of each item's reconstruction.

    Parameters
    ----------
    encode, decode : callable
        Maps of batches; they get the array type of `x`.
    x : Tensor or array-like of shape (n, ...)
        Items in the units that `encode` takes.

    Returns
    -------
    numpy.ndarray
        Shape (n,), float64.

    Raises
    ------
    DataError
        If `x` is empty or not finite.
    """
    x = _items(x, "x")
    batches = [x[i : i + BLOCK_ROWS] for i in range(0, len(x), BLOCK_ROWS)]
    rest = [((_flat(decode(encode(b))) - _flat(b)) ** 2).mean(1) for b in batches]
    return np.sqrt(np.concatenate(rest))


def off_manifold_auc(*, inside: Any, outside: Any) -> float:
    """Return the probability that an outside item has the larger error: 0.5 blind, 1 perfect.

    Parameters
    ----------
    inside, outside : array-like of shape (n,), (m,)
        Scores, such as `reconstruction_errors`, of held-out items and of another data set.

    Returns
    -------
    float
        Area under the ROC curve; ties count half.

    Raises
    ------
    DataError
        If an array is empty or not finite.

    Examples
    --------
    >>> off_manifold_auc(inside=[0.1, 0.2], outside=[0.2, 0.5])
    0.875
    """
    a = np.sort(check_array(inside, "inside").reshape(-1))
    b = check_array(outside, "outside").reshape(-1)
    below, up_to = np.searchsorted(a, b, "left"), np.searchsorted(a, b, "right")
    return float((below + up_to).mean() / (2.0 * len(a)))


def trustworthiness_continuity(
    *, data: Any, codes: Any, neighbours: int = 12, sample: int = 2000, seed: int = 0
) -> Neighbourhoods:
    """Return whether neighbours in code are neighbours in data, and the other way round.

    Reference: J. Venna and S. Kaski, Neighborhood preservation in nonlinear projection methods,
    ICANN 2001; computed by scikit-learn.

    Parameters
    ----------
    data, codes : array-like of shape (n, D), (n, d)
        The same items in both spaces.
    neighbours : int, default=12
        Size of a neighbourhood, less than half of the rows used.
    sample : int, default=2000
        Rows used at most, drawn at random: the cost is quadratic.
    seed : int, default=0
        Seed of the draw.

    Returns
    -------
    Neighbourhoods
        Two numbers in [0, 1].

    Raises
    ------
    DataError
        If an array has fewer than 2 `neighbours` + 1 rows, or the lengths differ.
    ValueError
        If `neighbours` or `sample` is not a positive integer.
    """
    from sklearn.manifold import trustworthiness

    check_positive(neighbours, "neighbours", integer=True)
    check_positive(sample, "sample", integer=True)
    least = 2 * neighbours + 1  # scikit-learn wants neighbours < n / 2
    x, z = _paired_sample(data, codes, max(sample, least), seed, least)
    return Neighbourhoods(
        float(trustworthiness(x, z, n_neighbors=neighbours)),
        float(trustworthiness(z, x, n_neighbors=neighbours)),
    )


def fold_rates(*, data: Any, codes: Any, sample: int = 2000, seed: int = 0) -> Folds:
    """Return the share of items that the codes put beside far ones, and of those they tear apart.

    Far means outside the nearest tenth of the rows used, so no unit enters. A random assignment of
    codes has 0.9 in both.

    Parameters
    ----------
    data, codes : array-like of shape (n, D), (n, d)
        The same items in both spaces.
    sample : int, default=2000
        Rows used at most, drawn at random.
    seed : int, default=0
        Seed of the draw.

    Returns
    -------
    Folds
        Two shares.

    Raises
    ------
    DataError
        If an array has fewer than 20 rows, or the lengths differ.
    ValueError
        If `sample` is not a positive integer.
    """
    check_positive(sample, "sample", integer=True)
    x, z = _paired_sample(data, codes, max(sample, 20), seed, 20)
    return Folds(_far_share(torch.from_numpy(z), x), _far_share(torch.from_numpy(x), z))


def judge_known_manifold(
    manifold: KnownManifold,
    *,
    encode: Map,
    decode: Map,
    noise: float,
    n: int = 4000,
    seed: int = 1,
) -> KnownManifoldReport:
    """Judge an autoencoder, fitted to noisy points of a known manifold, on fresh ones.

    Parameters
    ----------
    manifold : KnownManifold
        Where the truth is known.
    encode, decode : callable
        Maps of float64 arrays (n, ambient) to codes (n, d) and back.
    noise : float
        Standard deviation per coordinate of the fresh noise.
    n : int, default=4000
        Number of fresh points.
    seed : int, default=1
        Seed of the fresh points; another than that of the training points.

    Returns
    -------
    KnownManifoldReport
        Distances, neighbourhoods, folds and dimensions.
    """
    fresh = manifold.sample(n, seed=seed, noise=noise)
    codes = _flat(encode(fresh.points))
    rebuilt = _flat(decode(encode(fresh.points)))
    kept = trustworthiness_continuity(data=fresh.clean, codes=codes, seed=seed)
    folds = fold_rates(data=fresh.clean, codes=codes, seed=seed)
    return KnownManifoldReport(
        noise_level=_rms(manifold.distance(fresh.points)),
        projection_error=_rms(manifold.distance(rebuilt)),
        trustworthiness=kept.trustworthiness,
        continuity=kept.continuity,
        folded=folds.folded,
        torn=folds.torn,
        dimension=manifold.dimension,
        data_dimension=intrinsic_dimension(fresh.points, seed=seed),
        code_dimension=intrinsic_dimension(codes, seed=seed),
        reconstruction_dimension=intrinsic_dimension(rebuilt, seed=seed),
    )


def _items(value: Any, name: str) -> Any:
    """Items as a floating-point tensor or array, whichever came."""
    array = check_array(value, name)
    if isinstance(value, Tensor):
        return value.detach() if value.is_floating_point() else value.float()
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _noise_like(clean: Any, start: int, scale: float, seed: int, number: int) -> Any:
    """Gaussian noise of the rows from `start` on, in the type of `clean`."""
    normals = rows(
        seed,
        Stream.MANIFOLD,
        start,
        start + len(clean),
        lambda g, m: g.standard_normal((m, *clean.shape[1:])),
        _NOISE,
        number,
    )
    if isinstance(clean, Tensor):
        return scale * torch.from_numpy(normals).to(clean)
    return (scale * normals).astype(clean.dtype)


def _flat(value: Any) -> np.ndarray:
    """Rows of float64."""
    array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    return array.reshape(len(array), -1).astype(np.float64, copy=False)


def _paired_sample(
    data: Any, codes: Any, sample: int, seed: int, min_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the same random rows of both spaces."""
    x, z = (
        as_rows(value, name, min_rows=min_rows).cpu().numpy()
        for value, name in ((data, "data"), (codes, "codes"))
    )
    check_same_length(x, z, ("data", "codes"))
    chosen = generator(seed, Stream.MANIFOLD, 0, _SUBSAMPLE).permutation(len(x))[:sample]
    return x[chosen], z[chosen]


def _far_share(here: Tensor, there: np.ndarray) -> float:
    """Share of rows whose nearest other row `here` is not in their nearest tenth `there`."""
    _, pair = nearest(here, here, 2)
    own = torch.arange(len(here))
    partner = torch.where(pair[:, 0] == own, pair[:, 1], pair[:, 0]).numpy()
    far = 0
    for start in range(0, len(there), BLOCK_ROWS):
        part = there[start : start + BLOCK_ROWS]
        reach = np.linalg.norm(part - there[partner[start : start + BLOCK_ROWS]], axis=1)
        distances = torch.cdist(torch.from_numpy(part), torch.from_numpy(there)).numpy()
        closer = (distances < reach[:, None] * (1.0 - 1e-9)).sum(1) - 1  # less the row itself
        far += int((closer >= _FAR_SHARE * len(there)).sum())
    return far / len(there)


def _rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))
