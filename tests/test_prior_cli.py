"""``train --prior`` and ``evaluate --baselines prior``: a rival of the transport from the command line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from ot_latent import cli
from ot_latent.baselines import PriorSampler
from ot_latent.evaluation import evaluate
from ot_latent.generator import LatentGenerator

QUICK = ["--latent-dim", "2", "--width", "4", "--tolerance", "0.3", "--extension", "none"]


def run(folder, *arguments):
    """Run ``python -m ot_latent`` in a folder and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "ot_latent", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows on two bent arms, and a finished run for each prior."""
    path = tmp_path_factory.mktemp("prior")
    rng = np.random.default_rng(0)
    t, side = rng.uniform(0, 2, size=(700, 1)), rng.choice([-1.0, 1.0], size=(700, 1))
    rows = np.concatenate([side * t, side * t**2, side, t], axis=1) @ rng.normal(size=(4, 6))
    rows += 0.05 * rng.normal(size=rows.shape)
    np.save(path / "train.npy", rows[:500].astype(np.float32))
    np.save(path / "test.npy", rows[500:].astype(np.float32))
    for prior in ("none", "vae", "wae"):
        words = ["train", "--data", str(path / "train.npy"), *QUICK, "--epochs", "8"]
        words += ["--prior", prior, "--prior-weight", "0.5", "--out", str(path / prior)]
        if prior == "vae":
            assert run(path, *words).returncode == 0
        else:
            assert cli.run(words) == 0
    return path


def judged(folder, capsys, prior, *words):
    """Evaluate a run in this process; returns exit code, record and text."""
    held_out = ["--data", str(folder / "test.npy"), "--split", "all"]
    code = cli.run(["evaluate", str(folder / prior), *held_out, "--baselines", *words])
    said = capsys.readouterr()
    return code, json.loads(said.out or "{}"), " ".join(said.err.split())


def test_a_run_with_a_prior_is_judged_beside_it(folder, capsys):
    for prior in ("vae", "wae"):
        settings = yaml.safe_load((folder / prior / "config.yaml").read_text())["autoencoder"]
        assert (settings["prior"], settings["prior_weight"]) == (prior, 0.5)
        code, record, said = judged(folder, capsys, prior, "prior", "plain", "--json")
        assert code == 0
        assert "prior" in said
        assert set(record["baselines"]) == {"prior", "plain"}
        assert record["baselines"]["prior"]["novelty_ratio"]["value"] > 0.3
    model = LatentGenerator.from_pretrained(folder / "vae")
    codes = model.encode(np.load(folder / "test.npy"))
    made = PriorSampler().fit(codes).sample(500, random_state=1)
    assert made.shape == (500, 2)
    assert model.decode(made).shape == (500, 6)


def test_the_command_line_serves_it_from_outside(folder):
    words = ["--data", "test.npy", "--split", "all", "--baselines", "prior", "--json"]
    finished = run(folder, "evaluate", "vae", *words)
    assert finished.returncode == 0, finished.stderr
    assert set(json.loads(finished.stdout)["baselines"]) == {"prior"}


def test_a_prior_draws_codes_to_the_normal_law(folder):
    x = np.load(folder / "train.npy")
    spread = {p: LatentGenerator.from_pretrained(folder / p).encode(x) for p in ("none", "wae")}
    off = {p: abs(codes.std(0) - 1).max() + abs(codes.mean(0)).max() for p, codes in spread.items()}
    assert off["wae"] < off["none"]
    assert off["wae"] < 0.5


def test_a_run_without_prior_has_none_to_judge(folder, capsys):
    code, record, said = judged(folder, capsys, "none", "prior", "--json")
    assert (code, record) == (2, {})
    assert "baselines must be without 'prior'" in said
    sampler = LatentGenerator.from_pretrained(folder / "none").sampler_
    with pytest.raises(ValueError, match="trained without one"):
        evaluate(sampler, np.zeros((50, 2)), baselines=["prior"])


def test_the_geometry_of_a_variational_encoder_is_that_of_its_means(folder, capsys):
    words = ["inspect", str(folder / "vae"), "--data", str(folder / "train.npy"), "--json"]
    assert cli.run(words) == 0
    assert json.loads(capsys.readouterr().out)


def test_refusals_name_the_option(folder, tmp_path, capsys):
    for words, said in [
        (["--prior", "gan"], "invalid choice 'gan' for argument '--prior'"),
        (["--prior-weight", "-1"], "autoencoder.prior_weight must be greater than or equal to 0"),
    ]:
        data = ["--data", str(folder / "train.npy"), "--out", str(tmp_path / "r")]
        assert cli.run(["train", *data, *words]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r").exists()
