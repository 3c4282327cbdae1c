"""The numbers of the atlas on plain arrays, where they are known, and the figure."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ot_latent import atlas, plotting
from ot_latent._validation import DataError
from ot_latent.plotting.atlas import tile_sheet
from ot_latent.transport import GridDensity, UniformPolytope
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBall, UniformBox

UNIT = UniformBox.unit(2)
HALVES = BrenierPotential(
    torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.5, 9.0]], dtype=torch.float64),
    torch.tensor([0.0, 0.5, -90.0], dtype=torch.float64),
)


def picture(codes):
    """Decode a code to a flat grey image of brightness z_1, cut to [0, 1]."""
    level = np.clip(np.asarray(codes, float)[:, :1], 0, 1)
    return np.repeat(level, 4, axis=1).reshape(-1, 2, 2)


def sureness(images):
    """Two classes: the brightness is the probability of the second."""
    level = np.asarray(images).reshape(len(images), -1).mean(axis=1)
    return np.stack([1 - level, level], axis=1)


def features(images):
    return np.asarray(images).reshape(len(images), -1)[:, :1]


def compute(**changes):
    real = picture(np.repeat([[0.0, 0], [1.0, 0]], 150, axis=0))
    real[:2] = 0.25  # two of 300 are less sure than the rest
    arguments = {
        "potential": HALVES,
        "source": UNIT,
        "labels": ["b", "a", "a"],
        "transport": lambda x: x,
        "decode": picture,
        "probabilities": sureness,
        "features": features,
        "real": real,
        "reconstructed": picture([[0.0, 0], [1.0, 0], [0.5, 0], [1.0, 0]]),
        "side": 10,
        "resolution": 20,
    }
    return atlas.compute(**(arguments | changes))


def test_ambiguous_are_those_less_sure_than_real_images():
    found = compute()
    assert found.threshold == 1.0 - 0.0  # the 1 % quantile lies above the two
    # a grid of noise gives brightness .05, .15, ..., .95: none is as sure as real images
    assert found.mapped.ambiguous == 1.0
    assert found.reconstructed.ambiguous == 0.25
    assert found.reconstructed.unsure.tolist() == [False, False, True, False]
    sharp = compute(transport=np.round)
    assert sharp.mapped.ambiguous == 0.0


def test_a_finer_grid_is_read_with_smaller_errors():
    # brightness rounded to 0 or 1 but for a strip of an eighth of the square
    def strip(noise):
        noise = np.asarray(noise)
        return np.where(noise < 0.125, 0.5, np.round(noise))

    found = compute(transport=strip, fine=80)
    assert found.mapped.fine.n == 6400  # more than are decoded at once
    assert found.mapped.fine.ambiguous == pytest.approx(1 / 8)
    assert found.mapped.fine.error == pytest.approx(np.sqrt(7 / 64 / 6400))
    np.testing.assert_allclose(found.mapped.fine.shares, [0.5, 0.5])
    assert found.mapped.ambiguous == 0.1  # the tiles that are drawn: one column of ten
    assert found.gaussian.fine.n == 6400
    assert found.reconstructed.fine is None
    assert found.numbers()["map"]["fine"]["ambiguous_error"] < found.mapped.reading.error


def test_shares_are_counted_against_the_targets():
    found = compute(transport=np.round)
    np.testing.assert_allclose(found.data_shares, [2 / 3, 1 / 3])
    np.testing.assert_allclose(found.mapped.shares, [0.5, 0.5])
    error = np.sqrt(2 / 9 / 100)
    assert found.mapped.share_error == pytest.approx((1 / 6) / error)


def test_the_cells_have_shares_of_their_own():
    # the right half belongs to "b" (a third of the targets), whatever the decoder makes of it
    found = compute(transport=lambda x: 0 * x)
    assert found.cell_share_error == pytest.approx((1 / 6) / np.sqrt(2 / 9 / 100))
    assert found.mapped.shares.tolist() == [1.0, 0.0]
    assert np.isnan(compute(labels=None).cell_share_error)


def test_without_labels_shares_are_those_of_real_images():
    found = compute(labels=None, transport=np.round)
    np.testing.assert_allclose(found.data_shares, [0.5, 0.5])
    assert found.mapped.share_error == 0.0


EVEN = BrenierPotential(HALVES.points[:2], HALVES.heights[:2])


def test_the_largest_mass_error_is_that_of_the_exact_cells():
    # masses 1/2, 1/2, 0 where each should be 1/3
    assert compute().mass_error == pytest.approx(1.0)
    assert compute(potential=EVEN, labels=None).mass_error < 1e-12
    uneven = compute(potential=EVEN, labels=None, weights=torch.tensor([0.4, 0.6]))
    assert uneven.mass_error == pytest.approx(0.25)


def test_cells_are_polygons_where_the_source_allows_it():
    triangle = UniformPolytope([[-1, 0], [0, -1], [1, 1]], [0, 0, 1])
    for source in (UNIT, triangle, GridDensity(np.ones((2, 2)), [0, 0], [1, 1])):
        assert atlas.cells_of(EVEN, source).polygons()[1][-1] >= 6
    pixels = atlas.cells_of(EVEN, UniformBall(2), resolution=9)
    assert pixels.index.shape == (9, 9)


def test_an_exact_solution_has_no_rms():
    exact = SimpleNamespace(error_norm="max relative", mass_error=1e-9)
    assert np.isnan(compute(solution=exact).mass_rms).all()


def test_the_solution_speaks_for_other_sources():
    solution = SimpleNamespace(
        error_norm="rms",
        mass_residual=torch.tensor([0.01, -0.03, 0.02]),
        mass_error=0.05,
        mass_error_interval=(0.04, 0.06),
    )
    found = compute(source=UniformBall(2), solution=solution)
    assert found.mass_error == pytest.approx(0.09)
    assert found.mass_rms == (0.05, 0.04, 0.06)
    assert np.isnan(compute(source=UniformBall(2)).mass_error)


def test_numbers_are_json():
    numbers = json.loads(json.dumps(compute(features=None).numbers(), allow_nan=False))
    assert numbers["map"]["frechet"] is None
    assert numbers["rms_mass_error"] == [None, None, None]
    assert numbers["targets"] == 3
    assert compute().reconstructed.frechet > 0


def test_refusals():
    flat = BrenierPotential(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(DataError, match="codes must have two columns for an atlas, got 3"):
        compute(potential=flat)
    with pytest.raises(DataError, match="labels"):
        compute(labels=["a", "b"])


def test_grey_tiles_take_the_colour_of_their_class():
    panel = compute(transport=np.round).reconstructed
    colours = np.asarray([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    sheet = tile_sheet(panel, colours, columns=2)
    assert sheet.shape == (4, 4, 3)
    assert sheet[0, 0].tolist() == [255, 255, 255]  # black images are blank paper
    assert sheet[0, 3].tolist() == [0, 0, 255]  # white ones full ink of the second class
    assert len(np.unique(sheet[3, 0])) > 1 or sheet[3, 0].max() < 200  # ambiguous: on dark


def test_coloured_tiles_stay_as_they_are():
    panel = compute().reconstructed
    tiles = np.zeros((4, 2, 2, 3))
    tiles[..., 1] = 1.0
    coloured = SimpleNamespace(tiles=tiles, unsure=panel.unsure, classes=panel.classes)
    assert (tile_sheet(coloured, np.zeros((2, 3)), columns=2) == [0, 255, 0]).all()


def test_the_figure_prints_its_numbers():
    solution = SimpleNamespace(error_norm="rms", mass_error=0.05, mass_error_interval=(0.04, 0.06))
    figure = plotting.atlas(compute(solution=solution), names=("one", "two"), title="A title")
    words = " ".join(text.get_text() for text in figure.texts)
    assert len(figure.axes) == 4
    assert "largest relative mass error 100 %" in words
    assert "rms 5 % (4 to 6)" in words
    assert "ambiguous 100.0 %" in words
    assert "of 120 x 120 tiles, 100.00 ± 0.00 % ambiguous" in words
    assert "Reconstructed held-out images:\n25.00 ± 21.65 % ambiguous" in words
    assert "A title" in words
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["one", "two"]


def test_tiny_errors_are_printed_as_powers_of_ten():
    from dataclasses import replace

    figure = plotting.atlas(replace(compute(), mass_error=2.3e-10))
    words = " ".join(text.get_text() for text in figure.texts)
    assert r"largest relative mass error $2\times 10^{-10}$" in words
