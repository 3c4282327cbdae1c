"""The page holds what its cells follow from, exactly, and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from ot_latent import atlas_page as pages
from ot_latent._validation import DataError
from ot_latent.atlas import cells_of
from ot_latent.atlas_page import atlas_page
from ot_latent.transport import BrenierPotential, GridDensity, UniformBall, UniformBox

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(300, 2))
HEIGHTS = -0.5 * (CODES**2).sum(axis=1) / 4 + RNG.normal(scale=1e-3, size=300)


def drawn(codes):
    """Decode a code to a flat grey picture of its first coordinate."""
    level = np.clip(0.5 + np.asarray(codes)[:, 0] / 8, 0, 1)
    return np.repeat(level, 30).reshape(-1, 5, 6)


def painted(codes):
    """Decode to pictures of three colours."""
    return np.stack([drawn(codes), 0 * drawn(codes), 1 - drawn(codes)], axis=-1)


def atlas_of(source=None, labels=None):
    u = BrenierPotential(CODES, HEIGHTS)
    cells = cells_of(u, source or UniformBox.centered(2), resolution=20)
    return SimpleNamespace(cells=cells, codes=CODES, labels=labels)


def content(page):
    """Read the numbers back as the page's script does."""
    data = json.loads(re.search(r"const D = (\{.*\});\n", page).group(1))
    kinds = {"sites": "f8", "heights": "f8", "degrees": "u2", "classes": "u2", "tile_of": "u2"}
    kinds |= {"tears": "f4", "tear_pairs": "u4", "tear_jumps": "f4", "tear_times": "f4"}
    kinds["neighbours"] = "u4" if data["wide"] else "u2"
    for key, kind in kinds.items():
        data[key] = np.frombuffer(base64.b64decode(data[key]), f"<{kind}")
    return data


def test_walks_over_the_page_s_neighbours_find_every_cell():
    data = content(atlas_page(atlas_of(), drawn))
    sites, heights = data["sites"].reshape(-1, 2), data["heights"]
    first = np.r_[0, np.cumsum(data["degrees"].astype(int))]
    assert np.array_equal(sites, CODES)
    held = ~atlas_of().cells.empty.numpy()
    for x in RNG.uniform(-1, 1, (200, 2)):
        j, moved = int(np.flatnonzero(held)[0]), True
        while moved:
            near = data["neighbours"][first[j] : first[j + 1]]
            scores = sites[near] @ x + heights[near]
            moved = scores.max() > sites[j] @ x + heights[j]
            j = int(near[scores.argmax()]) if moved else j
        assert j == (sites @ x + heights).argmax()


def test_the_domain_is_its_corners():
    data = content(atlas_page(atlas_of(UniformBox([0, 0], [2, 1])), drawn))
    corners = np.array(data["domain"]).reshape(-1, 2)
    turned = np.roll(corners, -1, axis=0)
    area = (corners[:, 0] * turned[:, 1] - turned[:, 0] * corners[:, 1]).sum() / 2
    assert area == pytest.approx(2.0)  # counter-clockwise
    assert data["uniform"]
    grey = GridDensity(np.array([[1.0, 2.0]]), [0, 0], [1, 1])
    assert not content(atlas_page(atlas_of(grey), drawn))["uniform"]


def test_tears_join_the_cells_on_their_sides():
    data = content(atlas_page(atlas_of(), drawn))
    pairs = data["tear_pairs"].reshape(-1, 2)
    jumps = np.linalg.norm(CODES[pairs[:, 0]] - CODES[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(data["tear_jumps"], jumps, rtol=1e-6)
    assert data["tears"].size == 2 * pairs.size
    assert (data["tear_times"] > data["least"]).all()


def tiles_of(data):
    from PIL import Image

    text = data["sheet"].removeprefix("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), float)


def tile(data, sheet, j):
    row, column = divmod(int(data["tile_of"][j]), data["columns"])
    y, x = row * data["step"][0], column * data["step"][1]
    return sheet[y : y + data["tile"][0], x : x + data["tile"][1]]


def test_every_cell_shows_the_image_of_its_own_code_where_all_fit():
    data = content(atlas_page(atlas_of(), drawn))
    sheet = tiles_of(data)
    assert data["every"]
    assert data["grey"]
    assert (data["tile"], data["step"]) == ([5, 6], [8, 8])
    for j in range(0, 300, 7):
        expected = 255 * drawn(CODES[j : j + 1])[0]
        assert abs(tile(data, sheet, j) - expected).max() < 4  # what JPEG leaves


def test_else_it_shows_that_of_the_closest_decoded_code():
    data = content(atlas_page(atlas_of(), painted, tiles=60))
    sheet = tiles_of(data)
    assert not data["every"]
    assert not data["grey"]
    assert 30 <= len(np.unique(data["tile_of"])) <= 60
    shown = np.array([tile(data, sheet, j)[..., 0].mean() for j in range(300)]) / 255
    assert abs(shown - painted(CODES)[:, 0, 0, 0]).mean() < 0.05  # others are 0.14 off
    assert sheet.shape[2] == 3


def test_one_image_is_enough():
    data = content(atlas_page(atlas_of(), drawn, tiles=2))
    assert (data["tile_of"] <= 1).all()


def test_names_are_escaped_and_nothing_is_loaded():
    page = atlas_page(
        atlas_of(labels=np.arange(300) % 2),
        drawn,
        names=("a</script>", "b"),
        title="Cells & <codes>",
        words="1 < 2.",
    )
    assert page.count("</script>") == 1
    assert "Cells &amp; &lt;codes&gt;" in page
    assert "1 &lt; 2." in page
    data = content(page)
    assert data["names"] == ["a</script>", "b"]
    assert data["classes"].tolist() == [0, 1] * 150
    assert "@@" not in page
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", page) == []
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in page
    assert content(atlas_page(atlas_of(labels=np.arange(300) % 2), drawn))["names"] == ["0", "1"]
    assert content(atlas_page(atlas_of(), drawn))["names"] == []


def test_many_cells_need_wide_numbers(monkeypatch):
    monkeypatch.setattr(pages, "NARROW", 100)
    data = content(atlas_page(atlas_of(), drawn))
    assert data["wide"]
    assert data["neighbours"].max() < 300


def test_pixels_make_no_page():
    with pytest.raises(DataError, match="data must hold exact cells for a page, got pixels"):
        atlas_page(atlas_of(UniformBall(2)), drawn)
