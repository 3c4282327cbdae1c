"""The ablation of the extension: one number at a time, on one transport; its table."""

import functools
import math

import numpy as np
import pytest

from benchmarks import generation, generation_ablation as ablation, generation_toys, results
from ot_latent.estimators import OTSampler
from ot_latent.latent_dim import suggest_latent_dim


@pytest.fixture(scope="module")
def sampler():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(450, 4)) + 6 * rng.integers(2, size=(450, 1))
    return OTSampler(tolerance=0.3, random_state=0).fit(codes)


def test_other_numbers_leave_the_transport_and_the_sampler_alone(sampler):
    before = ablation.settled(sampler)
    other = ablation.with_numbers(sampler, **(before | {"anchor": 1.0, "spread": 0.0}))
    assert ablation.settled(sampler) == before
    assert other.transport_ is sampler.transport_
    codes = sampler.codes(sampler.transport_.potential.points)
    made = other.sample(200, random_state=1)
    assert np.abs(made[:, None] - codes).max(2).min(1).max() < 1e-5  # a = 1, b = 0: copies
    assert not np.allclose(sampler.sample(200, random_state=1), made)


def test_one_number_moves_and_the_spread_follows_where_it_is_balanced(sampler):
    rest = ablation.settled(sampler)
    for value, found in ablation.moved(sampler, ablation.KNOBS["neighbours k"]):
        assert ablation.settled(found) == rest | {"neighbours": int(value)}
    spreads = [
        (found.rule_.a, found.rule_.b)
        for _, found in ablation.moved(sampler, ablation.KNOBS["anchor a, b balanced"])
    ]
    assert [a for a, _ in spreads] == [0.0, 0.3, 0.5, 0.7, 1.0]
    assert spreads[0][1] > spreads[-1][1]  # what the anchor does not spread, the local law must


def test_every_part_of_a_law_in_the_plane_has_its_rows(tmp_path, monkeypatch, capsys):
    for module in (ablation, generation_toys):
        monkeypatch.setattr(module, "FRESH", 2000)
    out = tmp_path / "ablation.json"
    words = ["--table", "ablation", "--data", "grid", "--seeds", "0", "--out", str(out)]
    parts = [ablation.BASE, "tear t", ablation.SOLVER]
    assert generation.main([*words, "--parts", *parts]) == 0
    rows = results.read(out)["rows"]
    values = [(row["knob"], row["value"]) for row in rows]
    assert (ablation.BASE, "control") in values
    assert ("tear t", "none") in values
    whole = {row["value"]: row for row in rows if row["knob"] == "tear t"}
    assert (
        whole["none"]["mixture_rate"] > 0.05 > whole["3"]["mixture_rate"]
    )  # bridges between modes
    said = capsys.readouterr().out
    assert "**grid**" in said
    assert sum("| **" in line for line in said.splitlines()) == 2  # the calibrated map in each part
    lengths = {line.count("|") for line in said.splitlines() if line.startswith("|")}
    assert len(lengths) == 1


def _row(knob, value, seed=0, spread="1"):
    spaces = {s: {"frechet": [1.0, 0.9, 1.1]} for s in ("classifier", "transformation")}
    for entry in spaces.values():
        entry |= {"precision": [0.9, 0.8, 1.0], "recall": [0.8, 0.7, 0.9]}
    told = {"data": "mnist", "rows": 9, "epochs": 2, "latent_dim": 3, "held_out": 5, "seed": seed}
    told |= {"judges": dict.fromkeys(spaces, "ab"), "knob": knob, "value": value}
    told |= {"rule": {"anchor": "0.5", "spread": spread, "neighbours": "30", "tear": "none"}}
    told |= {"mass_error": 0.1, "novelty_ratio": [1, 1, 1], "mixture_rate": None, "mode_kl": None}
    return told | {"spaces": spaces, "failure": None}


def test_the_table_marks_what_was_calibrated():
    rows = [_row(ablation.BASE, ablation.BASE, seed, f"{1 + seed / 10:.3g}") for seed in range(2)]
    rows += [_row("tear t", "3"), _row(ablation.SOLVER, "0.3"), _row(ablation.DIMENSION, "8")]
    rows += [_row("spread b", "0.5")]
    said = ablation.markdown({"rows": rows})
    for told in ("| tear t | **none** | 2 |", "| spread b | **1 to 1.1** | 2 |"):
        assert told in said
    assert "| latent dimension | **3** |" in said
    assert "| cell error | **0.1** |" in said
    assert ablation.shown(math.inf) == "none"
    chooser = _row(ablation.DIMENSION, ablation.CHOOSER) | {"advice": "Try latent_dim=4."}
    advised = ablation.markdown({"rows": [*rows, chooser]})
    assert advised == said + "\n\n- Seed 0: Try latent_dim=4."  # a note, and no row of the table
    same = ablation.markdown({"rows": [rows[0], _row("tear t", "3"), _row("tear t", "none")]})
    lines = [line for line in same.splitlines() if line.startswith("| tear t")]
    assert [line.split("|")[2].strip() for line in lines] == ["3", "**none**"]  # once, in its place


@pytest.mark.slow
def test_images_have_their_rows_on_one_transport(tmp_path, capsys, monkeypatch):
    short = functools.partial(suggest_latent_dim, dims=(2, 4), epochs=1)
    monkeypatch.setattr(ablation, "suggest_latent_dim", short)
    monkeypatch.setattr(ablation, "DIMENSIONS", (3,))
    words = ["--table", "ablation", "--data", "digits", "--rows", "600", "--latent-dim", "6"]
    words += ["--epochs", "1", "--judge-epochs", "1", "--limit", "60", "--seeds", "0"]
    words += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "x.json")]
    parts = [ablation.BASE, "anchor a", ablation.SOLVER, ablation.DIMENSION]
    assert generation.main([*words, "--parts", *parts]) == 0
    rows = results.read(tmp_path / "x.json")["rows"]
    assert len(rows) == 4 + 5 + 3 + 3
    assert rows[-1]["value"] == ablation.CHOOSER
    folders = {
        path.name for path in (tmp_path / "runs" / "epochs-1" / "digits" / "600-6-0").iterdir()
    }
    assert {"coder", "transport", "latent-dimension-3", "latent-dimension-3-transport"} <= folders
    solved = {row["mass_error"] for row in rows if row["knob"] == "anchor a"}
    assert len(solved) == 1
    said = capsys.readouterr().out
    assert "**digits**" in said
    assert "Try latent_dim=" in said
