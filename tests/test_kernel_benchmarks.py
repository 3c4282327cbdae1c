"""The kernel benchmark at a quick size: every peer finds the winners, failures are rows."""

import importlib.util
import json

import pytest
import torch

from benchmarks import kernel_peers, kernels, tables
from benchmarks.kernel_peers import PEERS

QUICK = ["--rows", "64", "--targets", "200", "--product", "64", "--dim", "5", "--threads", "1"]
NEEDS = {"faiss IndexFlatIP": "faiss", "faiss IndexFlatL2": "faiss"}
COMPILING = {"pykeops"}  # by a C++ compiler, which takes half a minute


@pytest.mark.parametrize("name", sorted(set(PEERS) - COMPILING))
def test_every_peer_finds_the_winners(name):
    if importlib.util.find_spec(NEEDS.get(name, "torch")) is None:
        pytest.skip(f"{NEEDS[name]} is not installed: pip install '.[bench]'")
    given = kernels.task(6, rows=300, targets=500)
    found = torch.as_tensor(PEERS[name](given)()).flatten()
    assert float((found == kernels.winners(given)).float().mean()) > 0.99


def test_lifted_points_are_nearest_where_scores_are_best():
    given = kernels.task(4, rows=50, targets=80)
    queries, targets = (torch.from_numpy(array).double() for array in given.lifted())
    assert torch.equal(torch.cdist(queries, targets).argmin(dim=1), kernels.winners(given))


def test_rows_are_measured_merged_and_printed(tmp_path, capsys):
    out = tmp_path / "kernels.json"
    for _ in range(2):  # the second sitting replaces its own rows
        assert kernels.main([*QUICK, "--peer", "ours", "torch mm + max", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["peer"] for row in rows] == ["ours", "torch mm + max"]
    for row in rows:
        assert row["failure"] is None
        assert row["wrong"] == 0
        assert row["gflops"] == pytest.approx(2 * 64 * 200 * 5 / row["wall_s"] / 1e9, rel=0.6)
        assert row["share"] == pytest.approx(row["gflops"] / row["product_gflops"])
    assert "| 5 | 1 | ours |" in capsys.readouterr().out
    written = tables.fill("<!-- kernels -->\nold\n<!-- /kernels -->", tmp_path)
    assert "torch mm + max" in written


def test_a_failing_peer_is_a_row(tmp_path, monkeypatch, capsys):
    def missing(task):
        raise ModuleNotFoundError("No module named 'faiss'")

    monkeypatch.setitem(kernel_peers.PEERS, "faiss IndexFlatL2", missing)
    out = tmp_path / "kernels.json"
    assert kernels.main([*QUICK, "--peer", "faiss IndexFlatL2", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["failure"] == "ModuleNotFoundError: No module named 'faiss'"
    assert "No module named 'faiss'" in capsys.readouterr().out


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with kernels.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
