"""Sources whose coordinates are independent after an affine change, cut into two balanced halves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Gaussian, Source, UniformBox

LEAST_QUANTILE = 2.0**-54  # half of the least positive number drawn; the quantile of 0 is infinite
MOST_ROTATED = 512  # dimension above which a rotation costs more than the balance is worth


@dataclass(frozen=True, eq=False)
class ProductForm:
    r"""A change of coordinates :math:`x = m + M z` after which z has two independent halves.

    The first :math:`\lceil d / 2\rceil` coordinates of z are independent of the others, so halves
    of different draws may be combined. Their shares of the targets' spread are made equal: draws
    that share a half then agree as little as possible on their winner.

    Attributes
    ----------
    offset : Tensor of shape (d,), float64
        m, the mean of the source.
    mix : Tensor of shape (d, d) or None
        M; None where z is a permutation of the coordinates of x - m.
    order : Tensor of shape (d,), int64
        Coordinate of x - m that becomes coordinate i of z, where there is no M.
    width : Tensor of shape (d,), float64
        Of each coordinate of z: the length of its interval, or its standard deviation.
    normal : bool
        Whether coordinates of z are normal; else they are uniform on centred intervals.
    """

    offset: Tensor
    mix: Tensor | None
    order: Tensor
    width: Tensor
    normal: bool

    @property
    def split(self) -> int:
        """Coordinates of the first half."""
        return (len(self.offset) + 1) // 2

    def coordinates(self, uniform: Tensor) -> Tensor:
        """Return coordinates z whose quantiles are given.

        Parameters
        ----------
        uniform : Tensor of shape (n, d), float64
            Numbers in [0, 1); independent uniform ones give draws of the source.

        Returns
        -------
        Tensor of shape (n, d), float64
            Coordinates.
        """
        if not self.normal:
            return (uniform - 0.5) * self.width
        return torch.special.ndtri(uniform.clamp_min(LEAST_QUANTILE)) * self.width

    def points(self, z: Tensor) -> Tensor:
        """Return source points of coordinates.

        Parameters
        ----------
        z : Tensor of shape (n, d), float64
            Coordinates.

        Returns
        -------
        Tensor of shape (n, d), float64
            Points m + M z.
        """
        offset = self.offset.to(z.device)
        if self.mix is not None:
            return offset + z @ self.mix.T.to(z.device)
        x = torch.empty_like(z)
        x[:, self.order.to(z.device)] = z
        return offset + x

    def pulled(self, y: Tensor) -> Tensor:
        r"""Return :math:`M^T y`, so that :math:`\langle M z, y\rangle = \langle z, M^T y\rangle`.

        Parameters
        ----------
        y : Tensor of shape (n, d), float64
            Vectors of the targets' space.

        Returns
        -------
        Tensor of shape (n, d), float64
            Their pull-backs.
        """
        if self.mix is not None:
            return y @ self.mix.to(y.device)
        return y[:, self.order.to(y.device)]


def product_form(source: Source, target: DiscreteMeasure) -> ProductForm | None:
    """Return the product form of a source, or None where it has none.

    Parameters
    ----------
    source : Source
        A box is a product as it stands, a Gaussian after whitening and any rotation.
    target : DiscreteMeasure
        Decides which coordinates go to which half.

    Returns
    -------
    ProductForm or None
        None for other sources and in one dimension.
    """
    if source.dim < 2 or not isinstance(source, UniformBox | Gaussian):
        return None
    if isinstance(source, UniformBox) or (source.scale is not None and source.dim > MOST_ROTATED):
        variances = source.covariance.diag()
        order = _balanced(target.variances() * variances)
        normal = isinstance(source, Gaussian)
        width = (variances if normal else 12 * variances).sqrt()[order]
        return ProductForm(source.mean, None, order, width, normal)
    factor = torch.linalg.cholesky(source.covariance)
    values, vectors = torch.linalg.eigh(factor.T @ target.covariance() @ factor)
    rotation = _paired(vectors.flip(1)[:, _balanced(values.flip(0))])
    one = torch.ones(source.dim, dtype=torch.float64)
    return ProductForm(source.mean, factor @ rotation, torch.arange(source.dim), one, True)


def _balanced(spread: Tensor) -> Tensor:
    """Return an order whose two halves have nearly the same sum: by size, 1, 4, 5, 8 and 2, 3, 6, 7."""
    falling = spread.argsort(descending=True, stable=True)
    place = torch.arange(len(spread)) % 4
    first = (place == 0) | (place == 3)
    if int(first.sum()) < (len(spread) + 1) // 2:  # d = 3 mod 4: the last one belongs here
        first[-1] = True
    return torch.cat([falling[first], falling[~first]])


def _paired(vectors: Tensor) -> Tensor:
    """Rotate vector i of the first half and vector i of the second by 45 degrees."""
    half = vectors.shape[1] // 2
    first, second = vectors[:, :half], vectors[:, vectors.shape[1] - half :]
    middle = vectors[:, half : vectors.shape[1] - half]
    root = 2**-0.5
    return torch.cat([(first + second) * root, middle, (first - second) * root], dim=1)
