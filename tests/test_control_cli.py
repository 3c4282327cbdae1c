"""Control of a run from the command line: labels, other shares, stratified noise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ot_latent import cli


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on codes of three well separated labels."""
    folder = tmp_path_factory.mktemp("control")
    rng = np.random.default_rng(1)
    y = np.arange(180) % 3
    x = (rng.normal(size=(180, 4)) + 9 * y[:, None]).astype(np.float32)
    np.savez(folder / "codes.npz", x=x, y=y)
    command = ["train", "--codes", str(folder / "codes.npz"), "--out", str(folder / "run")]
    assert cli.run([*command, "--tolerance", "0.2"]) == 0
    return folder


def sampled(run, *options):
    out = run / "new.npz"
    assert cli.run(["sample", str(run / "run"), "-n", "512", "--out", str(out), *options]) == 0
    with np.load(out) as found:
        return np.rint(found["x"].mean(axis=1) / 9).astype(int)


def test_a_run_is_steered(run, capsys):
    solve = ["solve", str(run / "run"), "--json"]
    assert (sampled(run, "--label", "2") == 2).all()
    assert cli.run([*solve, "--classes"]) == 0
    assert (sampled(run, "--label", "1", "--stratified") == 1).all()
    capsys.readouterr()
    assert cli.run([*solve, "--class-weights", "0=0.25", "2=2"]) == 0
    found = json.loads(capsys.readouterr().out)["transport"]
    assert found["status"] == "CONVERGED"
    shares = np.bincount(sampled(run, "--stratified"), minlength=3) / 512
    np.testing.assert_allclose(shares, np.array([0.25, 1, 2]) / 3.25, atol=0.2 * 0.5 + 0.03)
    assert (sampled(run, "--label", "0") == 0).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("0:2", "--class-weights must be factors of labels such as 3=0.5, got '0:2'"),
        ("0=x", "--class-weights must be factors of labels such as 3=0.5, got '0=x'"),
        ("9=2", "--label must be one of 0, 1, 2, got '9'"),
        ("1=0", "class_weights[1] must be a positive number, got 0.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(run, given, sentence, capsys):
    assert cli.run(["solve", str(run / "run"), "--class-weights", given]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
