"""From codes back to noise: the preimage under an extended map, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS
from ot_latent.transport.local_law import in_blocks, root_times, surroundings
from ot_latent.transport.neighbours import nearest_codes

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap

TRIES = 8  # cells of the nearest targets that are tried, nearest first
HALVINGS = 12  # of the way from a cell's centroid to noise outside it


class Preimage(NamedTuple):
    """Noise, and how well the map takes it back."""

    noise: Tensor
    """Noise, shape (m, d)."""
    cells: Tensor
    """Its cells, shape (m,)."""
    errors: Tensor
    """Distance of T(noise) from the code, shape (m,)."""


def preimage(map_: ExtendedMap, codes: Tensor, cells: Tensor | None = None) -> Preimage:
    r"""Return noise that an extended map sends to codes, or as near as the cells that are tried allow.

    Inside cell j the affine map is inverted by
    :math:`x = c_j + (s/b)\,C_j^{-1/2}(z - m_j - a(y_j - m_j))` (a pseudo-inverse, where fewer
    neighbours than dimensions leave directions out). Of the cells of the eight nearest targets the
    first that holds its x is taken; if none does, x is pulled towards the centroid of the first
    until it lies in the cell. The simplex map is inverted by the same simplices drawn on the
    codes. The plain map goes back to the centroid.

    Parameters
    ----------
    map_ : ExtendedMap
        The map, of kind ``"affine"``, ``"simplex"`` or ``"none"``.
    codes : Tensor of shape (m, d)
        Codes z.
    cells : Tensor of shape (m,), optional
        The only cell to try for each row.

    Returns
    -------
    Preimage
        Noise, cells, errors. Codes that the map does not reach have errors above rounding.

    Raises
    ------
    ValueError
        If the kind has no inverse, or no centroids are known.
    """
    if map_.kind in ("noise", "two-cell") or map_.centroids is None:
        raise ValueError(
            f"the inverse must be asked of an extension 'affine', 'simplex' or 'none' with "
            f"centroids, got {map_.kind!r}; use the centroids of the cells."
        )
    points = map_.potential.points
    z = codes.to(points)
    if map_.simplex is not None:
        points = map_.simplex.points.to(points)  # where the simplices are drawn
    if cells is None:
        tries = min(TRIES, len(points))
        table = in_blocks(lambda rows: nearest_codes(rows, points, tries)[1], BLOCK_ROWS, z)
    else:
        table = cells[:, None]
    if map_.simplex is not None:
        noise = map_.simplex.inverse()(z.double(), table[:, 0]).to(z)
        found = map_.cell_index(noise) if cells is None else cells
    elif map_.kind == "none":
        noise, found = map_.centroids[table[:, 0]], table[:, 0]
    else:
        noise, found = _affine(map_, z, table)
    back = map_.place(noise, found, patience=0).codes
    return Preimage(noise, found, (back - z).norm(dim=1))


def _affine(map_: ExtendedMap, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Try the cells of a table in turn."""
    found = table[:, 0].clone()
    noise = _within(map_, z, found)
    held = map_.cell_index(noise) == found
    for column in range(1, table.shape[1]):
        left = torch.nonzero(~held).squeeze(1)
        if len(left) == 0:
            break
        tried = _within(map_, z[left], table[left, column])
        inside = map_.cell_index(tried) == table[left, column]
        rows = left[inside]
        noise[rows], found[rows], held[rows] = tried[inside], table[rows, column], True
    left = torch.nonzero(~held).squeeze(1)
    noise[left] = _pulled(map_, noise[left], found[left])
    return noise, found


def _within(map_: ExtendedMap, z: Tensor, cells: Tensor) -> Tensor:
    """Invert the affine law of given cells."""
    k, d = map_.neighbours.shape[1], z.shape[1]
    size = max(1, min(BLOCK_ROWS, 2**21 // (k * d)))

    def block(rows: Tensor, cells: Tensor) -> Tensor:
        points = map_.potential.points
        around = surroundings(points, map_.neighbours[cells])
        anchor = around.mean + map_.a * (points[cells].double() - around.mean)
        return root_times(around.factor, rows.double() - anchor, inverse=True)

    steps = in_blocks(block, size, z, cells) * (map_.within_scale / (map_.b or torch.inf))
    centroids: Tensor = map_.centroids  # type: ignore[assignment]
    return (centroids[cells].double() + steps).to(z.dtype)


def _pulled(map_: ExtendedMap, x: Tensor, cells: Tensor) -> Tensor:
    """Pull noise towards the centroids of given cells until it lies in them."""
    centroids: Tensor = map_.centroids  # type: ignore[assignment]
    middle = centroids[cells]
    low, high = torch.zeros_like(x[:, :1]), torch.ones_like(x[:, :1])
    for _ in range(HALVINGS):
        half = (low + high) / 2
        inside = (map_.cell_index(middle + half * (x - middle)) == cells)[:, None]
        low, high = torch.where(inside, half, low), torch.where(inside, high, half)
    return middle + low * (x - middle)
