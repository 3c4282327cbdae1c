"""Facets of all cells end to end: who disagrees, who lacks whom, and splices, against plain lists."""

import itertools

import numpy as np
import pytest

from ot_latent.kernels.cell_graph import both_ways, disagreeing, extended, splice

# Three cells in a row between two sides of the domain; cell 1 has not found cell 2.
OFFSETS = np.array([0, 2, 4, 6])
NEIGHBOURS = np.array([-1, 1, 0, -2, 1, -2], np.int32)
AREAS = np.array([1.0, 2.0, 2.0, 1.0, 3.0, 1.0])


def lists(offsets, values):
    return [values[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def test_a_missing_neighbour_is_named_from_its_other_side():
    rows, owners, lacking = disagreeing(OFFSETS, NEIGHBOURS, AREAS, 1.0)
    assert rows.tolist() == [1, 2]
    assert (owners.tolist(), lacking.tolist()) == ([1], [2])
    graph = extended(OFFSETS, NEIGHBOURS, owners, lacking)
    assert lists(*graph) == [[-1, 1], [0, -2, 2], [1, -2]]


def test_facets_of_two_sizes_disagree_and_rounding_does_not():
    neighbours = np.array([1, 0], np.int32)
    offsets = np.array([0, 1, 2])
    rows, owners, _ = disagreeing(offsets, neighbours, np.array([1.0, 1.1]), 1.0)
    assert rows.tolist() == [0, 1]
    assert len(owners) == 0
    assert len(disagreeing(offsets, neighbours, np.array([1.0, 1.0 + 1e-12]), 1.0)[0]) == 0


def test_nothing_missing_adds_nothing():
    none = np.empty(0, np.int32)
    indptr, indices = extended(OFFSETS, NEIGHBOURS, none, none)
    assert indptr.tolist() == OFFSETS.tolist()
    assert indices.tolist() == NEIGHBOURS.tolist()


@pytest.mark.parametrize("rows", [[], [0], [4], [0, 1, 2, 3, 4], [1, 3]])
def test_splice_replaces_whole_cells(rows):
    rng = np.random.default_rng(len(rows))
    cells = [rng.random((size, 2)) for size in (3, 0, 2, 1, 4)]
    parts = [rng.random((size, 2)) for size in (0, 5, 2, 1, 3)[: len(rows)]]
    offsets = np.cumsum([0, *map(len, cells)])
    sizes = np.array([len(part) for part in parts], np.int64)
    new = np.concatenate([np.empty((0, 2)), *parts])
    found = splice(offsets, np.concatenate(cells), np.array(rows, np.int64), sizes, new)
    for row, part in zip(rows, parts, strict=True):
        cells[row] = part
    np.testing.assert_array_equal(found, np.concatenate(cells))


def test_both_ways_joins_what_either_lists():
    indptr, indices = both_ways(OFFSETS, NEIGHBOURS)
    assert [sorted(row) for row in lists(indptr, indices)] == [[1], [0, 2], [1]]
