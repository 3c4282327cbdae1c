"""Power cells of one set of sites for changing heights: what `PowerDiagram` and `DampedNewton` share.

Sites are sorted along a space-filling curve, so that neighbours lie close in memory, and brought
to unit scale by powers of two, which rounds nothing. The kernels cut every cell out of the domain
by guessed neighbours. Such cells can only be too large; so they are all exact if, and only if,
their volumes add up to that of the domain. Where they do not, the kernels look every corner up
in a tree over all sites.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from ot_latent._validation import DataError
from ot_latent.transport.cells import Cells, Frame, Graph, RawCells
from ot_latent.transport.domains import GridDensity, UniformPolytope, half_spaces
from ot_latent.transport.sources import Source

OVERLAP = 1e-12  # share of the domain that guessed cells may cover twice and count as exact
GUESSED_NEIGHBOURS = {2: 10, 3: 20}
REPAIRS = 4  # rounds of repair, the last of which looks every corner up in a tree
# Where hundreds of planes meet in one point, rounding can tear a surface and a part of the domain
# is lost; heights moved by this much, a few roundings, hold no such point.
SHAKES = (0.0, 2.0**-48, 2.0**-44, 2.0**-40)
ROWS_PER_THREAD = 2_000  # fewer cells than this are not worth a second thread
CURVE_BITS = 20  # cells per axis of the space-filling curve: 2^20
# Shifts and masks that put one free bit (in space, two) between any two bits of a number.
CURVE_SPREAD = {
    1: (),
    2: (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ),
    3: (
        (32, 0x001F00000000FFFF),
        (16, 0x001F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ),
}


class Carver:
    """Cut the power cells of fixed sites for given heights.

    Parameters
    ----------
    source : UniformBox, UniformPolytope or GridDensity
        Source of dimension 2 or 3.
    points : ndarray of shape (N, d), float64
        Distinct sites.

    Attributes
    ----------
    order : ndarray of shape (N,)
        Position of the caller's site in every array of this object: sorted[i] = given[order[i]].
    points : ndarray of shape (N, d)
        Sites in this order.
    """

    def __init__(self, source: Source, points: np.ndarray) -> None:
        corners, self.volume = domain_of(source)
        self.dim = points.shape[1]
        if source.dim != self.dim:
            raise DataError(
                f"source and sites must have one dimension, got {source.dim} and {self.dim}; "
                "build the source with the sites' dimension."
            )
        low, high = corners.min(axis=0), corners.max(axis=0)
        size = _power_of_two(float(np.ptp(points, axis=0).max())) if len(points) > 1 else 1.0
        self.frame = Frame(
            (low + high) / 2,
            _power_of_two(float((high - low).max())),
            (points.max(axis=0) + points.min(axis=0)) / 2,
            size,
        )
        unit = (points - self.frame.mean) / size
        self.order = curve_order(unit)
        self.points = points[self.order]
        self.sites = np.ascontiguousarray(unit[self.order])
        self.tilt = self.sites @ (size * self.frame.centre)
        self.source = source
        self.all_rows = np.arange(len(points))
        self.unit_volume = self.volume / self.frame.radius**self.dim
        self.engine = self._engine(corners)

    def _engine(self, corners: np.ndarray) -> Any:
        """Return what carves in this dimension; compiled code is imported on first use."""
        centre, radius = self.frame.centre, self.frame.radius
        if self.dim == 2:
            from ot_latent.transport.plane import PlaneEngine

            return PlaneEngine((corners - centre) / radius, self._grid())
        from ot_latent.transport.space import SpaceEngine

        normals, offsets = half_spaces(self.source)
        sides = normals, (offsets - normals @ centre) / radius
        return SpaceEngine((corners - centre) / radius, *sides, self._grid())

    def guess(self, points: np.ndarray | None = None) -> Graph:
        """Return the graph of nearest neighbours as a guess of the adjacency.

        Parameters
        ----------
        points : ndarray of shape (N, d), optional
            Where to look for them; by default at the sites.

        Returns
        -------
        tuple of ndarray
            indptr and indices.
        """
        from scipy.spatial import cKDTree

        from ot_latent.kernels.buckets import near_graph
        from ot_latent.kernels.cell_graph import both_ways

        points = self.sites if points is None else points
        spread = np.ptp(points, axis=0)
        unit = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1.0)
        graph = near_graph(unit, GUESSED_NEIGHBOURS[self.dim])
        if len(graph[1]):
            return graph
        count = len(points)
        k = min(GUESSED_NEIGHBOURS[self.dim] + 1, count)
        found = cKDTree(points).query(points, k)[1].reshape(count, k)
        return both_ways(np.arange(count + 1) * k, found.astype(np.int32).ravel())

    def cells(
        self, heights: np.ndarray, guess: Graph | None = None, *, near: bool = False
    ) -> Cells:
        """Return the exact cells for heights given in the order of this object.

        Parameters
        ----------
        heights : ndarray of shape (N,)
            Heights h_j of the sites.
        guess : tuple of ndarray, optional
            Guess of the adjacency; a good one saves time and changes nothing else.
        near : bool, default=False
            Whether the guess is nearly right, which saves time too.

        Returns
        -------
        Cells
            The cells.
        """
        unit = self._unit_heights(heights)
        graph = self.guess() if guess is None else guess
        raw = self._carve(self.all_rows, unit, graph, ring=not near)
        for attempt in range(REPAIRS):
            if self._excess(raw) <= OVERLAP:
                break
            raw = self._repaired(raw, unit, last=attempt == REPAIRS - 1)
        return self._in_units(
            raw if abs(self._excess(raw)) <= OVERLAP else self._rescued(unit, graph)
        )

    def _rescued(self, unit: np.ndarray, graph: Graph) -> RawCells:
        """Carve what exact cells cover twice or miss: equal sites, and points of very many planes."""
        unit[_later_twins(self.sites, unit, self.order)] -= 1.0
        for size in SHAKES:
            shaken = unit + size * np.random.default_rng(0).standard_normal(len(unit))
            raw = self._carve(self.all_rows, shaken, graph, certify=True)
            if abs(self._excess(raw)) <= OVERLAP:
                break
        return raw

    def _excess(self, raw: RawCells) -> float:
        """Return the share of the domain that cells cover twice, or minus the share they miss."""
        return float(raw.volumes.sum()) / self.unit_volume - 1.0

    def polyhedron(
        self, row: int, heights: np.ndarray, neighbours: np.ndarray
    ) -> list[tuple[np.ndarray, int]]:
        """Return the facets of one cell in space as polygons.

        Parameters
        ----------
        row : int
            Which site.
        heights : ndarray of shape (N,)
            Heights.
        neighbours : ndarray
            Sites whose cells touch this one.

        Returns
        -------
        list of (ndarray of shape (m, 3), int)
            Corners in order, and the site across or -1 - f for side f of the domain.
        """
        facets = self.engine.facets_of(row, self.sites, self._unit_heights(heights), neighbours)
        centre, radius = self.frame.centre, self.frame.radius
        return [(centre + radius * corners, name) for corners, name in facets]

    def _unit_heights(self, heights: np.ndarray) -> np.ndarray:
        """Return heights in the units of the kernels."""
        unit = (heights + self.tilt) / (self.frame.radius * self.frame.size)
        return np.ascontiguousarray(unit - unit.mean())

    def _repaired(self, raw: RawCells, heights: np.ndarray, last: bool) -> RawCells:
        """Carve the cells again that disagree with a neighbour; at last, all with certainty."""
        from ot_latent.kernels.cell_graph import disagreeing, extended, splice

        offsets, areas = _offsets(raw.sizes), raw.facets[:, 0]
        rows, *missing = disagreeing(offsets, raw.neighbours, areas, areas.mean())
        graph = extended(offsets, raw.neighbours, *missing)
        if last or 2 * len(rows) > len(raw.sizes):
            return self._carve(self.all_rows, heights, graph, certify=last)
        new = self._carve(rows, heights, graph)
        names = splice(offsets, raw.neighbours[:, None], rows, new.sizes, new.neighbours[:, None])
        facets = splice(offsets, raw.facets, rows, new.sizes, new.facets)
        merged = {}
        for name in ("sizes", "volumes", "masses", "centroids", "seconds"):
            merged[name] = getattr(raw, name).copy()
            merged[name][rows] = getattr(new, name)
        return RawCells(neighbours=names[:, 0], facets=facets, **merged)

    def _carve(
        self,
        rows: np.ndarray,
        heights: np.ndarray,
        guess: Graph,
        ring: bool = True,
        certify: bool = False,
    ) -> RawCells:
        """Carve some cells, shared among threads."""
        from ot_latent.kernels.site_tree import build_tree, no_tree

        tree = build_tree(self.sites, heights) if certify else no_tree(self.dim)
        graph = (np.asarray(guess[0], dtype=np.int64), np.asarray(guess[1], dtype=np.int32))
        threads = torch.get_num_threads() if len(rows) >= ROWS_PER_THREAD else 1

        def work(part: np.ndarray) -> RawCells:
            return self.engine.carve(part, self.sites, heights, graph, ring, tree, certify)

        if threads == 1:
            return work(rows)
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(work, np.array_split(rows, 4 * threads)))
        return RawCells(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _in_units(self, raw: RawCells) -> Cells:
        """Return cells in the units of the source."""
        centre, radius, d = self.frame.centre, self.frame.radius, self.dim
        total = 1.0 if isinstance(self.source, GridDensity) else self.unit_volume
        return Cells(
            volumes=raw.volumes * radius**d,
            masses=raw.masses / total,
            seconds=raw.seconds * (radius**2 / total),
            centroids=centre + radius * raw.centroids,
            offsets=_offsets(raw.sizes),
            neighbours=raw.neighbours,
            facets=raw.facets,
            frame=self.frame,
            total=total,
        )

    def _grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return density, corner and pixel size in the units of the kernels; empty if uniform."""
        centre, radius, d = self.frame.centre, self.frame.radius, self.dim
        if not isinstance(self.source, GridDensity):
            return np.zeros((0,) * d), np.zeros(d), np.ones(d)
        low, high = self.source.low.numpy(), self.source.high.numpy()
        step = (high - low) / np.array(self.source.values.shape) / radius
        return np.ascontiguousarray(self.source.values * radius**d), (low - centre) / radius, step


def _offsets(sizes: np.ndarray) -> np.ndarray:
    """Return where each cell begins, with the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)])


def _later_twins(sites: np.ndarray, heights: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the sites that equal another one of the same height and smaller index."""
    rows = np.column_stack([sites, heights])
    sorting = np.lexsort((order, *rows.T))
    return sorting[1:][(np.diff(rows[sorting], axis=0) == 0).all(axis=1)]


def domain_of(source: Source) -> tuple[np.ndarray, float]:
    """Return the corners of a source's domain, and its volume.

    Parameters
    ----------
    source : Source
        A box, polytope or grid of dimension 2 or 3.

    Returns
    -------
    corners : ndarray of shape (v, d)
        Corners.
    volume : float
        Lebesgue volume.

    Raises
    ------
    DataError
        If the source has no bounded polytope as its domain, or another dimension.
    """
    if source.dim not in (2, 3):
        raise DataError(
            f"source must have dimension 2 or 3 for a power diagram, got {source.dim}; use "
            "DampedNewton in one dimension and StochasticNewton above three."
        )
    if isinstance(source, UniformPolytope):
        return source.vertices, source.volume
    _, ends = half_spaces(source)
    high, low = ends[: source.dim], -ends[source.dim :]
    grid = np.stack(np.meshgrid(*([[0, 1]] * source.dim), indexing="ij"), axis=-1)
    return low + grid.reshape(-1, source.dim) * (high - low), float(np.prod(high - low))


def curve_order(points: np.ndarray) -> np.ndarray:
    """Return the order of points along the Z-shaped curve of Morton.

    Parameters
    ----------
    points : ndarray of shape (N, d)
        Points, d <= 3.

    Returns
    -------
    ndarray of shape (N,), int64
        A permutation that puts points that are close in space mostly close in the list.
    """
    low, spread = points.min(axis=0), np.ptp(points, axis=0).max()
    cells = ((points - low) / (spread or 1.0) * (2**CURVE_BITS - 1)).astype(np.uint64)
    for count, mask in CURVE_SPREAD[points.shape[1]]:
        cells = (cells | cells << np.uint64(count)) & np.uint64(mask)
    key = cells[:, 0].copy()
    for axis in range(1, points.shape[1]):
        key |= cells[:, axis] << np.uint64(axis)
    return np.argsort(key, kind="stable")


def _power_of_two(value: float) -> float:
    """Return the power of two nearest to a positive number in logarithm."""
    return 2.0 ** round(math.log2(value)) if value > 0 else 1.0
