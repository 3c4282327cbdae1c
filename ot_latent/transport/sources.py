"""The source of a semi-discrete problem: a box, a ball or a Gaussian, drawn row by row.

Every source has mass one, whatever its volume, and a row is a function of (seed, stream, row)
alone.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, rows
from ot_latent._validation import as_float_tensor, check_positive


class Source(abc.ABC):
    """Absolutely continuous probability on a convex domain, drawn row by row."""

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Dimension d."""

    @property
    @abc.abstractmethod
    def mean(self) -> Tensor:
        """Mean, shape (d,), float64."""

    @property
    @abc.abstractmethod
    def covariance(self) -> Tensor:
        """Covariance, shape (d, d), float64."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""

    @abc.abstractmethod
    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw `n` rows in float64; a row takes a fixed number of draws."""

    def sample(
        self,
        n: int,
        *,
        seed: int,
        stream: Stream = Stream.SAMPLING,
        start: int = 0,
        attempt: int = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return rows ``start .. start + n - 1`` of a stream of independent draws.

        Parameters
        ----------
        n : int
            How many rows.
        seed : int
            Seed of the stream.
        stream : Stream, default=Stream.SAMPLING
            Which stream; fitting, evaluation and sampling never share a draw.
        start : int, default=0
            First row.
        attempt : int, default=0
            Number of the redraw; attempt 0 is the first draw.
        dtype : torch.dtype, default=torch.float64
            Precision of the result; draws are made in float64 and rounded.
        device : torch.device or str, default="cpu"
            Where the result goes; draws are made on the CPU, so they are the same everywhere.

        Returns
        -------
        Tensor of shape (n, d)
            Row i is a function of (seed, stream, start + i, attempt) alone.
        """
        extra = (attempt,) if attempt else ()
        drawn = rows(seed, stream, start, start + n, self._draw, *extra)
        return torch.from_numpy(drawn).to(device=device, dtype=dtype)


@dataclass(frozen=True, eq=False)
class UniformBox(Source):
    """Uniform probability on a box, the product of the intervals [low_i, high_i].

    Parameters
    ----------
    low, high : array-like of shape (d,)
        Corners, low < high in every coordinate.

    Examples
    --------
    >>> UniformBox.unit(2).mean
    tensor([0.5000, 0.5000], dtype=torch.float64)
    >>> UniformBox.centered(3).covariance.diagonal()
    tensor([0.3333, 0.3333, 0.3333], dtype=torch.float64)
    """

    low: Tensor
    high: Tensor

    def __post_init__(self) -> None:
        """Check the corners."""
        low = as_float_tensor(self.low, "low", ndim=1).to("cpu", torch.float64)
        high = as_float_tensor(self.high, "high", ndim=1).to("cpu", torch.float64)
        if low.shape != high.shape or len(low) == 0 or not bool((low < high).all()):
            raise ValueError(
                f"low and high must be vectors of one length with low < high, got "
                f"{low.tolist()} and {high.tolist()}; swap or widen them."
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @classmethod
    def unit(cls, dim: int) -> UniformBox:
        """Return the uniform probability on [0, 1]^d.

        Parameters
        ----------
        dim : int
            Dimension d.

        Returns
        -------
        UniformBox
            The unit box.
        """
        check_positive(dim, "dim", integer=True)
        return cls(torch.zeros(dim), torch.ones(dim))

    @classmethod
    def centered(cls, dim: int) -> UniformBox:
        """Return the uniform probability on [-1, 1]^d.

        Parameters
        ----------
        dim : int
            Dimension d.

        Returns
        -------
        UniformBox
            The centred box.
        """
        check_positive(dim, "dim", integer=True)
        return cls(-torch.ones(dim), torch.ones(dim))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.low)

    @property
    def mean(self) -> Tensor:
        """Centre of the box."""
        return (self.low + self.high) / 2

    @property
    def covariance(self) -> Tensor:
        """Diagonal of squared side lengths over twelve."""
        return torch.diag((self.high - self.low).square() / 12)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""
        return {"kind": "box", "low": self.low.tolist(), "high": self.high.tolist()}

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        low, high = self.low.numpy(), self.high.numpy()
        return low + (high - low) * rng.random((n, self.dim))


@dataclass(frozen=True, eq=False)
class UniformBall(Source):
    """Uniform probability on the ball of a radius around the origin.

    A row is a normal direction times ``radius * U^(1/d)``; nothing is rejected.

    Parameters
    ----------
    d : int
        Dimension.
    radius : float, default=1
        Radius.

    Examples
    --------
    >>> UniformBall(2).covariance.diagonal()
    tensor([0.2500, 0.2500], dtype=torch.float64)
    """

    d: int
    radius: float = 1.0

    def __post_init__(self) -> None:
        """Check dimension and radius."""
        check_positive(self.d, "d", integer=True)
        check_positive(self.radius, "radius")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.d

    @property
    def mean(self) -> Tensor:
        """The origin."""
        return torch.zeros(self.d, dtype=torch.float64)

    @property
    def covariance(self) -> Tensor:
        """Return radius^2 / (d + 2) times the identity."""
        return torch.eye(self.d, dtype=torch.float64) * self.radius**2 / (self.d + 2)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""
        return {"kind": "ball", "d": self.d, "radius": self.radius}

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        direction = rng.standard_normal((n, self.d))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return self.radius * rng.random((n, 1)) ** (1 / self.d) * direction


@dataclass(frozen=True, eq=False, init=False)
class Gaussian(Source):
    """Normal probability with a mean and a positive definite covariance.

    Parameters
    ----------
    mean : array-like of shape (d,)
        Mean.
    covariance : array-like of shape (d, d)
        Symmetric positive definite covariance.

    Examples
    --------
    >>> Gaussian.standard(2).sample(3, seed=0).shape
    torch.Size([3, 2])
    """

    _mean: Tensor
    _covariance: Tensor
    _factor: np.ndarray

    def __init__(self, mean: Any, covariance: Any) -> None:
        """Check the moments and factorise the covariance."""
        mean = as_float_tensor(mean, "mean", ndim=1).to("cpu", torch.float64)
        covariance = as_float_tensor(covariance, "covariance", ndim=2).to("cpu", torch.float64)
        fits = covariance.shape == (len(mean), len(mean)) and len(mean) > 0
        if not fits or not torch.allclose(covariance, covariance.T, atol=1e-10):
            raise ValueError(
                f"covariance must be a symmetric matrix of the mean's size {len(mean)}, got shape "
                f"{tuple(covariance.shape)}; symmetrise it as (C + C.T) / 2."
            )
        factor, info = torch.linalg.cholesky_ex(covariance)
        if int(info) != 0:
            raise ValueError(
                "covariance must be positive definite, got a singular or indefinite matrix; add a "
                "small multiple of the identity."
            )
        object.__setattr__(self, "_mean", mean)
        object.__setattr__(self, "_covariance", covariance)
        object.__setattr__(self, "_factor", factor.numpy())

    @classmethod
    def standard(cls, dim: int) -> Gaussian:
        """Return N(0, I).

        Parameters
        ----------
        dim : int
            Dimension d.

        Returns
        -------
        Gaussian
            The standard normal probability.
        """
        check_positive(dim, "dim", integer=True)
        return cls(torch.zeros(dim), torch.eye(dim))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self._mean)

    @property
    def mean(self) -> Tensor:
        """Mean."""
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """Covariance."""
        return self._covariance

    @property
    def scale(self) -> float | None:
        """Standard deviation per coordinate; None where the covariance is no multiple of I."""
        variance = float(self._covariance[0, 0])
        same = torch.equal(self._covariance, variance * torch.eye(self.dim, dtype=torch.float64))
        return math.sqrt(variance) if same else None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description that `source_from_dict` reads."""
        return {
            "kind": "gaussian",
            "mean": self._mean.tolist(),
            "covariance": self._covariance.tolist(),
        }

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self._mean.numpy() + rng.standard_normal((n, self.dim)) @ self._factor.T


def default_source(kind: str, dim: int) -> Source:
    r"""Return the source of a name in a dimension, with codes of rms one in mind.

    Parameters
    ----------
    kind : {"box", "ball", "gaussian"}
        The box is [-1, 1]^d, the ball has the radius :math:`\sqrt{d + 2}` that gives unit
        variance per coordinate, the Gaussian is standard.
    dim : int
        Dimension d.

    Returns
    -------
    Source
        The source.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if kind == "box":
        return UniformBox.centered(dim)
    if kind == "ball":
        return UniformBall(dim, math.sqrt(dim + 2))
    if kind == "gaussian":
        return Gaussian.standard(dim)
    raise ValueError(f"source must be 'box', 'ball' or 'gaussian', got {kind!r}; choose one.")
