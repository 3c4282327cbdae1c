"""The benchmark of what the transport buys runs at a quick size, and its ratios mean what they say."""

from __future__ import annotations

import json

import pytest

from benchmarks import coupling_rate, results, transport_buys


@pytest.fixture
def quick(monkeypatch):
    small = {"TARGETS": 200, "MANY": 300, "TOLERANCE": 0.2, "WALKS": 4096, "REPEATS": 20}
    small |= {"FLOW_STEPS": 100, "FLOW_BATCH": 64, "JUDGED": 200}
    for name, value in small.items():
        monkeypatch.setattr(transport_buys, name, value)
    transport_buys.fitted.cache_clear()
    yield
    transport_buys.fitted.cache_clear()


def test_the_coupling_is_set_beside_small_and_large_flows(monkeypatch):
    monkeypatch.setattr(coupling_rate, "TARGETS", 300)
    monkeypatch.setattr(coupling_rate, "BLOCKS", 2)
    monkeypatch.setattr(coupling_rate, "FLOWS", ((8, 1), (256, 3)))
    small, large = coupling_rate.rows_per_second(4, 0)
    assert small["ours"] == large["ours"] > 0
    assert small["ratio"] < large["ratio"]
    for row in (small, large):
        assert row["ratio"] == pytest.approx(row["ours"] / row["control"])
        assert "N = 300;" in row["case"]


@pytest.mark.slow
def test_every_part_is_measured_and_merged(quick, tmp_path, capsys):
    out = tmp_path / "buys.json"
    parts = ["regularity", "stratified", "flows", "inversion", "masses"]
    for some in (parts, parts[:1]):  # the second sitting replaces its own rows
        assert transport_buys.main(["--part", *some, "--dim", "8", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    keys = [tuple(row[k] for k in transport_buys.KEY) for row in record["rows"]]
    assert len(keys) == len(set(keys)) == 1 + 1 + 3 + 4 + 6 + 2
    found = {row["case"]: row for row in record["rows"]}
    assert found["steps that change the cell"]["ratio"] > 2
    assert found["codes of the fit, by centroid"]["own_cell"] > 0.99
    inverse, centroid = (
        found[f"held-out codes, by {way}"]["error"] for way in ("inverse", "centroid")
    )
    assert inverse < centroid
    assert found["one class halved"]["ratio"] == pytest.approx(
        found["one class halved"]["control"] / found["one class halved"]["ours"]
    )
    text = transport_buys.markdown(results.read(out))
    assert all(word in text for word in ("semidiscrete", "held-out codes", "one class times 3"))
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.data
def test_images_jump_less_than_shuffled_ones(quick, monkeypatch, data_dir):
    monkeypatch.setattr(transport_buys, "IMAGES", 400)
    monkeypatch.setattr(transport_buys, "EPOCHS", 2)
    monkeypatch.setattr(transport_buys, "WIDTH", 4)
    found = {row["case"]: row["ratio"] for row in transport_buys.image_regularity(8, 0)}
    assert set(found) == {f"MNIST, in {space}" for space in ("codes", "pixels", "features")}
    assert min(found.values()) > 1.2
