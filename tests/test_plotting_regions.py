"""Pictures of piecewise-linear networks: every cell is drawn once, every breakpoint has its tick."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from ot_latent import plotting
from ot_latent.plotting.regions import region_colours
from ot_latent.theory.networks import read_network
from ot_latent.theory.rectified_linear import encodes, line_regions, slice_regions, spiral


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def network(outputs):
    """Four quadrants: units x and y, and a third that the output ignores."""
    first, last = nn.Linear(2, 3), nn.Linear(3, outputs)
    first.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    first.bias.data.zero_()
    last.weight.data = torch.tensor([[1.0, -2.0, 0.0]] * outputs)
    last.bias.data.zero_()
    return nn.Sequential(first, nn.ReLU(), last)


def test_cells_and_pieces_are_drawn():
    cells = slice_regions(network(1))
    assert (len(cells), len(cells.linear_pieces())) == (6, 4)
    ax = plotting.linear_regions(cells, points=[[0.1, 0.2]], title="cells")
    faces, outlines = ax.collections
    assert len(faces.get_paths()) == 6
    assert len(outlines.get_segments()) == len(cells.corners)
    assert ax.get_title(loc="left") == "cells"
    colours = region_colours(cells, "pieces")
    for piece in cells.linear_pieces():
        assert np.ptp(colours[piece], axis=0).max() == 0
    assert len(np.unique(colours.round(6), axis=0)) == 4
    ax = plotting.linear_regions(cells, color="pieces", borders=True, edges=False)
    borders = ax.collections[1].get_segments()
    assert len(borders) < len(cells.corners)  # the third unit's line is no border


def test_values_and_given_colours():
    cells = slice_regions(network(1))
    assert region_colours(cells, np.arange(6.0)).shape[0] == 6
    assert region_colours(cells, np.zeros((6, 3))).shape[0] == 6


def test_the_surface_has_a_facet_per_cell():
    ax = plotting.linear_surface(slice_regions(network(3)), title="surface")
    assert ax.name == "3d"
    assert plotting.linear_surface(slice_regions(network(3)), ax) is ax
    with pytest.raises(ValueError, match="3 outputs, got 1; draw them with linear_regions"):
        plotting.linear_surface(slice_regions(network(1)))


def test_breakpoints_are_ticks():
    pieces = line_regions(network(2), [-1.0, -0.5], [1.0, 0.25])
    ax = plotting.path_values(pieces)
    ticks = ax.lines[-1].get_xdata()
    assert np.array_equal(ticks, pieces.breakpoints)
    assert len(ax.lines) == 3
    assert ax.get_title(loc="left") == f"{pieces.n_cells} cells, {pieces.n_pieces} linear pieces"


def test_folds_are_marked():
    line = nn.Linear(2, 1, bias=False)
    line.weight.data = torch.tensor([[1.0, 0.0]])
    found = encodes(line, spiral(1.0, 50))
    ax = plotting.encoded_curve(found, title="folds")
    assert len(ax.lines[0].get_xdata()) == len(found.folds) == 2
    solid = encodes(read_network(nn.Identity(), (3,)), np.eye(3))
    with pytest.raises(ValueError, match="of the plane, got 3 coordinates"):
        plotting.encoded_curve(solid)
