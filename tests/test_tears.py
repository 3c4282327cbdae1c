"""Tears are where codes are far apart for their surroundings, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from ot_latent.tears import facet_segments, find_tears
from ot_latent.transport import (
    BrenierPotential,
    DampedNewton,
    DiscreteMeasure,
    PowerDiagram,
    UniformBox,
)

UNIT = UniformBox.unit(2)


def solved(codes):
    return DampedNewton().solve(UNIT, DiscreteMeasure.uniform(codes)).state.diagram


def test_codes_without_a_gap_are_not_torn():
    side = (np.arange(20) + 0.5) / 20
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    grid += np.random.default_rng(0).uniform(-0.01, 0.01, grid.shape)
    assert len(find_tears(solved(grid)).jumps) == 0


def test_a_gap_between_codes_tears_the_map_across_the_square():
    rng = np.random.default_rng(0)
    codes = rng.random((600, 2))
    codes[codes[:, 0] > 0.4] += [3.0, 0.0]
    torn = find_tears(solved(codes))
    apart = (codes[torn.pairs[:, 0], 0] > 2) != (codes[torn.pairs[:, 1], 0] > 2)
    lengths = np.linalg.norm(np.diff(torn.segments, axis=1)[:, 0], axis=1)
    assert lengths[apart].sum() == pytest.approx(1.0, abs=0.1)  # from bottom to top
    assert lengths[~apart].sum() < 0.2
    assert torn.strengths[apart].min() > 0.9
    np.testing.assert_allclose(
        torn.jumps, np.linalg.norm(codes[torn.pairs[:, 0]] - codes[torn.pairs[:, 1]], axis=1)
    )
    assert (np.diff(torn.strengths) >= 0).all()


def test_facets_with_places_are_the_facets_of_the_diagram():
    diagram = solved(np.random.default_rng(1).normal(size=(300, 2)) ** 3)
    segments, edges = facet_segments(diagram)
    assert sorted(edges.tolist()) == diagram.facets.pairs.tolist()
    torn = find_tears(diagram)
    place = {tuple(pair): segment for pair, segment in zip(edges.tolist(), segments, strict=True)}
    assert len(torn.pairs) > 10
    for pair, segment in zip(torn.pairs.tolist(), torn.segments, strict=True):
        np.testing.assert_array_equal(segment, place[tuple(pair)])


def test_sparse_codes_at_the_rim_are_no_tear():
    # the spacing of codes doubles slowly from left to right: jumps grow, but with their surroundings
    column = np.cumsum(1.06 ** np.arange(40))
    grid = np.stack(np.meshgrid(column / column[-1], (np.arange(12) + 0.5) / 12), axis=-1)
    codes = grid.reshape(-1, 2) + np.random.default_rng(0).normal(0, 1e-4, (480, 2))
    torn = find_tears(solved(codes))
    assert len(torn.jumps) < 0.02 * 3 * 480


def test_one_cell_has_no_tears():
    lonely = PowerDiagram(UNIT, BrenierPotential([[0.5, 0.5], [9.0, 9.0]], [0.0, -99.0]))
    assert find_tears(lonely).segments.shape == (0, 2, 2)
