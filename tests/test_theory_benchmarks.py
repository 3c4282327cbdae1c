"""The benchmark of exact pieces, at a quick size; the plain routes count the same cells."""

import json

import pytest

from benchmarks import theory
from benchmarks.theory_oracles import lp_tree, python_slice, recipe
from ot_latent.theory.rectified_linear import enumerate_regions, slice_regions

QUICK = ["--turns", "1", "--largest", "20", "--width", "2", "--seeds", "1", "--steps", "10"]


@pytest.mark.parametrize(("widths", "cells"), [((2, 8, 8, 1), 105), ((2, 4, 4, 4, 1), 36)])
def test_plain_routes_count_the_golden_cells(widths, cells):
    net, layers = recipe(widths, 0)
    assert python_slice(layers, 10.0) == lp_tree(layers, 10.0)[0] == cells
    square = [[-10, -10], [10, -10], [10, 10], [-10, 10]]
    assert len(slice_regions(net, polygon=square)) == cells
    assert len(list(enumerate_regions(net, 10.0))) == cells


def test_golden_programmes():
    """The number of programmes that was tabulated for the tree: 523 for 105 cells."""
    assert lp_tree(recipe((2, 8, 8, 1), 0)[1], 10.0) == (105, 523)


def test_rows_are_measured_and_printed(tmp_path, capsys, monkeypatch):
    out = tmp_path / "theory.json"
    monkeypatch.setattr(theory, "SLICES", ((2, 6, 1),))
    monkeypatch.setattr(theory, "SHAPES", ((1, 8, 8),))
    monkeypatch.setattr(theory, "TURNS", (1,))
    monkeypatch.setattr(theory, "ORDERS", (1, 2))
    assert theory.main([*QUICK, "--out", str(out)]) == 0
    rows = {(r["part"], r["task"]): r for r in json.loads(out.read_text())["rows"]}
    assert rows["slices", "2-6-1"]["cells"] == rows["slices", "2-6-1"]["slow_cells"]
    assert rows["boxes", "3-6-6-1"]["cells"] == 210
    segment = rows["segments", "1x8x8"]
    assert segment["error"] < 1e-12
    assert segment["breakpoints"] > 0
    assert not rows["unlearnable", "C_2"]["injective"]
    printed = capsys.readouterr().out
    assert "| C_2 | 82 | 22 | 16 | 14 | strokes |" in printed


def test_a_trained_decoder_is_cut_and_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(theory, "TRAINED", ("digits", 60))
    monkeypatch.setattr(theory, "EPOCHS", 1)
    out = tmp_path / "theory.json"
    assert theory.main([*QUICK, "--part", "trained", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["task"] == "1x8x8, trained on digits"
    assert row["error"] < 1e-12
    assert 1 <= row["chords"] <= row["pieces"]


def test_the_curves_are_drawn(tmp_path, monkeypatch):
    picture = tmp_path / "unlearnable.png"
    arguments = ["--seeds", "1", "--steps", "1", "--out", str(tmp_path / "none.json")]
    assert theory.main([*arguments, "--figure", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
