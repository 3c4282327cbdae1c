"""The benchmark of crossed draws at a quick size: all peers agree, failures are rows."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import crossed, crossed_peers, kernels, tables

LOOPS = [name for name in crossed_peers.CROSSED if name.startswith("C")]


@pytest.fixture
def fresh():
    """Compile anew, and leave nothing of a stand-in behind."""
    crossed_peers.library.cache_clear()
    yield
    crossed_peers.library.cache_clear()


@pytest.mark.parametrize(("n", "rows"), [(700, 8), (9_000, 16)])
@pytest.mark.parametrize("name", list(crossed_peers.CROSSED))
def test_every_peer_finds_the_winners(name, n, rows):
    if name in LOOPS and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    given = crossed.task(n, 6, rows, draws=rows**2)
    found = crossed_peers.CROSSED[name](given)()
    assert (found[0] == crossed_peers.winners(given, rows)).mean() > 0.99


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("name", LOOPS)
def test_the_loop_in_c_gives_equal_scores_to_the_smallest_index(name):
    given = crossed.task(10_000, 4, 8, draws=64)
    twice = crossed_peers.CrossedTask(
        given.z,
        given.points[:5_000].repeat(2, 1),
        given.heights[:5_000].repeat(2),
    )
    found = crossed_peers.CROSSED[name](twice)()
    assert found.max() < 5_000
    np.testing.assert_array_equal(found, crossed_peers.ours_add_max(twice)())


def test_rows_are_measured_merged_and_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(crossed.run, "__defaults__", (((600, 4),), (8,), 128))
    out = tmp_path / "kernels.json"
    for _ in range(2):  # the second sitting replaces its own rows
        arguments = ["--crossed", "8", "--threads", "1", "--out", str(out)]
        assert kernels.main(arguments) == 0
    rows = json.loads((tmp_path / "crossed.json").read_text())["rows"]
    assert [row["peer"] for row in rows] == ["plain", *crossed_peers.CROSSED]
    if shutil.which("cc"):
        assert all(row["unequal"] == 0 for row in rows if row["peer"] in LOOPS)
    assert "| 600 | 4 | 8 | 1 |" in capsys.readouterr().out
    filled = tables.fill("<!-- crossed -->\n<!-- /crossed -->", tmp_path)
    assert "| 600 | 4 | 8 | 1 |" in filled


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_a_sentence_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    rows = crossed.measure(crossed.task(600, 4, 8, 64), turns=1)
    failed = {row["peer"]: row["failure"] for row in rows if "failure" in row}
    assert set(failed) == set(LOOPS)
    assert "There is no C compiler named cc." in crossed.markdown({"rows": rows})
