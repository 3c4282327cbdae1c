"""The benchmarks of the extension run, and their known maps are Brenier maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks import calibrated, known_maps, quadratic, unseen_codes
from ot_latent.transport import UniformBox


@pytest.mark.parametrize("name", known_maps.CASES)
def test_known_maps_are_monotone_along_cycles(name):
    """Of a Brenier map, no permutation of the images lies nearer to the points."""
    source, known = known_maps.case(name, 3)
    x = source.sample(40, seed=0)
    y = known(x)
    rows, columns = linear_sum_assignment(torch.cdist(x, y).square().numpy())
    assert (rows == columns).all()


def test_known_maps_are_measured(tmp_path, capsys):
    out = tmp_path / "known.json"
    options = [
        "--out",
        str(out),
        "--cases",
        "identity",
        "tear",
        "--dims",
        "2",
        "--sizes",
        "60",
        "400",
    ]
    for _ in range(2):  # the second sitting replaces its own rows
        assert known_maps.main(options) == 0
    record = json.loads(out.read_text())
    found = record["rows"]
    assert len(found) == 4
    assert all(row["extended"] < row["plain"] for row in found)
    assert all(0 < row["entropic"] < row["plain"] for row in found)
    assert all(0 < row["pot"] < row["variance"] for row in found)
    assert found[1]["extended"] < found[0]["extended"]
    for row in found:  # a cell that reaches across is wrong by the gap and more
        most = row["extended"] if row["case"] == "tear" else 0.0
        assert 9 * row["across"] <= row["across_error"] <= most
    assert sum(row["across"] for row in found) > 0
    text = known_maps.markdown(record)
    expected = known_maps.slope([60, 400], [row["plain"] for row in found[:2]])
    assert f"{expected:.2f}" in text
    assert known_maps.slope([1, 10, 100], [4.0, 0.4, 0.04]) == pytest.approx(-1)


def test_the_quadratic_potential_is_a_gradient_of_its_own_cells(tmp_path, monkeypatch):
    """Its map is monotone: no close pair is reversed; its values are those of its pieces."""
    monkeypatch.setattr(quadratic, "ROUNDS", 5)
    monkeypatch.setattr(quadratic, "TURNS", 2)
    out = tmp_path / "quadratic.json"
    options = ["--out", str(out), "--dims", "3", "--sizes", "50", "--seeds", "0"]
    monkeypatch.setattr("sys.argv", ["quadratic", *options])
    quadratic.main()
    (row,) = json.loads(out.read_text())["trials"]
    assert row["maps"]["kept"]["reversed"] == 0
    assert row["maps"]["fixed point"]["reversed"] == 0
    points = quadratic.mixture(30, 3, 0)
    anchors, roots = quadratic.local_pieces(points, 0.5, 0.9, 10)
    pieces = quadratic.Pieces(anchors, roots, points, torch.zeros(30).double())
    x = UniformBox.centered(3).sample(20, seed=0)
    bent = torch.einsum("nij,mni,mnj->mn", roots, x[:, None] - points, x[:, None] - points) / 2
    torch.testing.assert_close(pieces.best_two(x)[0][:, 0], (x @ anchors.T + bent).amax(dim=1))


def test_calibrated_numbers_are_measured_beside_fixed_ones(tmp_path, monkeypatch):
    small = calibrated.codes("mixture", 0)
    monkeypatch.setattr(calibrated, "codes", lambda name, seed: [part[:500, :4] for part in small])
    monkeypatch.setattr(calibrated, "DRAWS", 1)
    out = tmp_path / "calibrated.json"
    assert calibrated.main(["--codes", "mixture", "--seeds", "0", "--out", str(out)]) == 0
    real, fixed, chosen = json.loads(out.read_text())["rows"]
    assert (real["numbers"], fixed["b"], chosen["numbers"]) == ("real", 1.1, "calibrated")
    assert real["novelty"] == pytest.approx(1.0)
    assert chosen["novelty"] > 0.5


def test_distances_of_unseen_codes_are_measured(tmp_path, capsys):
    out = ["--out", str(tmp_path / "unseen.json"), "--runs", str(tmp_path / "runs")]
    sizes = ["--rows", "200", "--latent-dim", "3", "--epochs", "1", "--seeds", "0"]
    for _ in range(2):  # the second time from the kept network
        assert unseen_codes.main([*out, *sizes]) == 0
    (row,) = json.loads((tmp_path / "unseen.json").read_text())["rows"]
    assert row["fitted"] == row["any_group"] > 0  # digits tell of no variants
    assert 0.5 < row["unseen"] / row["fitted"] < 2
    assert (row["rows"], row["unseen_rows"]) == (200, 10)
    assert "| digits | 200 | 3 | 1 |" in capsys.readouterr().out


def test_variants_do_not_count_as_near():
    z = torch.tensor([[0.0], [0.1], [1.0], [3.0]])
    groups = np.array([0, 0, 1, 2])
    assert unseen_codes._median(z, z, groups, groups) == pytest.approx(0.9)
    assert unseen_codes._median(z, z, None, groups) == pytest.approx(0.1)
    assert unseen_codes.alone(groups).tolist() == [False, False, True, True]
