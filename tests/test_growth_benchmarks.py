"""The benchmark of the cost of a draw, at a quick size."""

import json

import pytest

from benchmarks import growth, tables

QUICK = ["--targets", "50", "--rows", "8", "16"]


def test_rows_are_measured_merged_and_printed(tmp_path, capsys):
    out = tmp_path / "growth.json"
    for dims in (["2", "6"], ["6"]):  # the second sitting replaces its own rows
        assert growth.main([*QUICK, "--dim", *dims, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["dim"], row["rows"]) for row in rows] == [
        (dim, a) for dim in (2, 6) for a in (1, 8, 16)
    ]
    assert all(row["cpu_s"] > 0 and row["draws"] % (1024 * row["rows"]) == 0 for row in rows)
    assert all(row["v"] == 1 for row in rows if row["rows"] == 1)
    assert all(row["v"] > 0 for row in rows)
    assert "| 50 | 6 | 1 |" in capsys.readouterr().out
    filled = tables.fill("<!-- growth -->\n<!-- /growth -->", tmp_path)
    assert "| 50 | 2 | 1 |" in filled
    picture = tmp_path / "growth.png"
    assert growth.main(["--out", str(out), "--figure", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_best_rows_weigh_cost_by_inflation():
    cost = {1: (1.0, 4e-9), 8: (1.5, 2e-9), 64: (6.0, 1e-9)}
    rows = [
        {"n": 1, "dim": dim, "rows": a, "threads": 1, "v": v, "cpu_s": s * dim, "chosen": a == 64}
        for dim in (1, 2)
        for a, (v, s) in cost.items()
    ]
    text = growth.markdown({"rows": rows})
    line = next(line for line in text.splitlines() if line.startswith("| 1 | 1 |"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[3] == "4"
    assert cells[4:8] == ["64", "6", "1", "6"]
    assert cells[8:] == ["8", "1.5", "2", "3"]
    assert "plain d^1.00, best A d^1.00." in text


def test_every_turn_draws_other_rows():
    class Told:
        rows = 4

        def __init__(self):
            self.calls = []

        def tally(self, heights, row, draws, width):
            self.calls.append((row, draws))

    told = Told()
    assert growth.seconds(told, None, 8) >= 0
    assert told.calls == [(0, 32), (8, 32), (16, 32), (24, 32)]


@pytest.mark.parametrize("dim", [3, 5])
def test_heights_fall_from_zero_with_the_norm(dim):
    source, target, heights = growth.task(40, dim)
    assert float(heights.max()) == 0
    assert int(heights.argmin()) == int(target.points.square().sum(dim=1).argmax())
    assert source.dim == target.dim == dim
