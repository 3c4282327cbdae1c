"""Runs on codes alone are judged, drawn and reported like any other, on codes that were left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ot_latent import cli, run_models
from ot_latent._validation import DataError
from ot_latent.code_model import CodeModel
from ot_latent.evaluation import evaluate


def cloud(n, seed):
    centres = 8 * np.random.default_rng(9).normal(size=(3, 4))
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return (centres[y] + rng.normal(size=(n, 4))).astype(np.float32), y


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with codes, others that were left out, and a run on the former."""
    folder = tmp_path_factory.mktemp("codes")
    for name, n, seed in (("codes", 300, 0), ("others", 160, 1)):
        x, y = cloud(n, seed)
        np.savez(folder / f"{name}.npz", x=x, y=y)
    np.save(folder / "wide.npy", np.zeros((80, 5)))
    words = ["train", "--codes", str(folder / "codes.npz"), "--tolerance", "0.5"]
    assert cli.run([*words, "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run a command in that folder; return its exit code and what it said."""
    monkeypatch.chdir(place)

    def command(*words):
        code = cli.run(list(words))
        return code, capsys.readouterr()

    return command


def test_evaluate_says_what_python_says(run, place):
    words = ("evaluate", "run", "--data", "others.npz", "--baselines", "gaussian", "heldout")
    code, said = run(*words, "--json", "record.json")
    assert code == 0
    record = json.loads((place / "record.json").read_text())
    sampler = run_models.load_model(place / "run")
    again = evaluate(sampler, *cloud(160, 1), baselines=["gaussian", "heldout"])
    assert json.loads(json.dumps(again)) == record == json.loads(said.out)
    assert record["protocol"]["items"] == "codes"
    assert record["recall"]["n"] == 80  # all rows were used: half of them as the reference
    assert record["baselines"]["heldout"] == record["baselines"]["real"]
    assert run(*words, "--fail-under", "recall=1.1")[0] == 4


def test_a_run_on_codes_holds_none_out(run):
    for name in ("evaluate", "report"):
        code, said = run(name, "run")
        assert code == 2
        assert "which was trained on all rows of" in said.err
        assert "pass a file of codes that were left out" in said.err


def test_its_own_codes_are_known_again(run):
    code, said = run("evaluate", "run", "--data", "codes.npz", "--baselines", "heldout")
    assert code == 0
    assert "warning: codes.npz holds the codes that the run was trained on" in said.err


@pytest.mark.parametrize("data", ["wide.npy", "digits"])
def test_what_cannot_be_its_codes_is_refused(run, data):
    code, said = run("evaluate", "run", "--data", data)
    assert code == 3
    assert "codes must have shape (n, 4) as those that the sampler was fitted to" in said.err


def test_figures_that_need_no_rows_are_drawn_without(run, place):
    assert run("plot", "run", "--out", "few")[0] == 0
    assert [path.name for path in (place / "few").iterdir()] == ["convergence.png"]
    code, said = run("plot", "run", "--out", "few", "--kind", "novelty")
    assert code == 2
    assert "got novelty, which needs held-out rows (--data)" in said.err
    assert run("plot", "run", "--data", "others.npz", "--out", "more")[0] == 0
    assert {path.name for path in (place / "more").iterdir()} == {"convergence.png", "novelty.png"}


def test_its_report_speaks_of_codes(run, place):
    assert run("report", "run", "--data", "others.npz", "--out", "page.html")[0] == 0
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "The data are codes of 4 numbers each." in page
    assert "what made them is not judged here" in page
    for word in ("utoencoder", "decoded", "Reconstructions"):
        assert word not in page[: page.index('id="again"')], word


def test_the_face_is_that_of_the_sampler(place):
    model = run_models.load_judged(place / "run")
    assert isinstance(model, CodeModel)
    x, _ = cloud(20, 3)
    np.testing.assert_array_equal(model.encode(x), x)
    np.testing.assert_array_equal(model.sample(5, 7), model.sampler_.sample(5, 7))
    with pytest.raises(DataError, match="5 features"):
        model.encode(np.zeros((3, 5)))
