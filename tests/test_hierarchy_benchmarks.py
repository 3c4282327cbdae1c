"""The benchmarks of hierarchies, at quick sizes."""

import json

import numpy as np
import pytest

from benchmarks import deformation, hierarchy, hierarchy_generation
from ot_latent.theory.hierarchy import RandomHierarchy

QUICK = ["--setting", "4", "2", "--zeros", "0", "1", "--rules", "0", "--width", "32"]
QUICK += ["--ratio", "0.5", "3", "--tests", "50", "--learner", "cnn"]


def test_curves_are_measured_merged_drawn_and_printed(tmp_path, capsys):
    out = tmp_path / "hierarchy.json"
    for extra in ([], ["--zeros", "1"]):  # the second sitting replaces its own rows
        assert hierarchy.main([*QUICK, *extra, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["zeros"] for row in rows] == [0, 1]
    for row in rows:
        assert row["scale"] == (row["zeros"] + 1) ** 2 * 64
        assert len(row["sizes"]) == len(row["errors"]) == len(row["losses"]) == 2
        assert row["errors"][1] < row["errors"][0]
    assert "| cnn | 4 | 2 | A |" in capsys.readouterr().out
    assert hierarchy.main([*QUICK, "--zeros", "1", "--placement", "B", "--out", str(out)]) == 0
    assert "| cnn | 4 | 2 | B |" in capsys.readouterr().out
    picture = tmp_path / "hierarchy.png"
    assert hierarchy.main(["--out", str(out), "--figure", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_factor_compares_rescaled_crossings():
    sizes = np.array([1.0, 10.0, 100.0])
    errors = np.array([[0.9, 0.1, 0.0]])
    found = {0: (sizes, errors, 1.0), 1: (6 * sizes, errors, 4.0), 2: (sizes, errors + 0.5, 9.0)}
    answer = hierarchy.collapse(found)
    assert answer["sizes"] == {0: pytest.approx(10), 1: pytest.approx(60), 2: None}
    assert answer["factor"] == pytest.approx(1.5)
    assert answer["exponent"] == pytest.approx(np.log2(6))
    assert hierarchy.collapse(found, 0.55)["sizes"][2] > 10  # another threshold, another crossing


def test_generated_strings_are_judged_beside_rivals(tmp_path, capsys, monkeypatch):
    tiny = {"vocabulary": 3, "classes": 2, "synonyms": 2, "levels": 2}
    monkeypatch.setitem(hierarchy_generation.MODELS, "dense", (RandomHierarchy, tiny))
    out = tmp_path / "generation.json"
    quick = ["--model", "dense", "--seed", "0", "--training", "12", "--draws", "200"]
    quick += ["--latent", "3", "--width", "4", "--epochs", "20", "--out", str(out)]
    assert hierarchy_generation.main(quick) == 0
    rows = {row["sampler"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == set(hierarchy_generation.ORDER)
    assert rows["the language"]["validity"] == 1
    assert rows["the language"]["fair_novelty"] == 0.25
    for row in rows.values():
        assert row["novelty"] + row["copies"] >= row["validity"]
        assert 0 <= row["validity"] <= 1
    assert "**dense**" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(hierarchy_generation.MODELS))
def test_strings_survive_the_coder(name):
    kind, settings = hierarchy_generation.MODELS[name]
    model = kind(**settings)
    strings = model.strings(model.sample(30, seed=0))
    coder = hierarchy_generation.StringCoder(model)
    assert np.array_equal(coder.strings(coder.rows(strings)), strings)
    drawn = hierarchy_generation.independent_symbols(strings, 100, 0)
    assert drawn.shape == (100, model.length)
    for column, own in zip(drawn.T, strings.T, strict=True):
        assert set(column) <= set(own)


def test_training_on_deformed_images_is_judged(tmp_path, capsys):
    out = tmp_path / "deformation.json"
    quick = ["--data", "digits", "--n", "60", "--epochs", "1", "--width", "4", "--latent", "3"]
    quick += ["--seed", "0", "--deformation", "0", "1", "--out", str(out)]
    assert deformation.main(quick) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["deformation"] for row in rows] == [0, 1]
    for row in rows:
        assert row["relative"] == pytest.approx(row["code_deformation"] / row["code_noise"])
        assert row["error_deformed"] > 0
    assert rows[0]["relative"] != rows[1]["relative"]
    assert "| digits | 0 |" in capsys.readouterr().out
