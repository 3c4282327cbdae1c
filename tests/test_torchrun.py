"""Under `torchrun`, several processes end with the run that one process makes, and one writes it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

from ot_latent import cli, datasets
from ot_latent.run_folder import RunFolder
from ot_latent.run_models import load_model


def torchrun(*arguments, cwd):
    """Run a command in two processes; it must succeed. Return what it said to people."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "ot_latent", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def same_transport(a, b):
    """Assert that two samplers agree to the last bit."""
    for name in ("points", "heights"):
        ours, theirs = (getattr(s.transport_.potential, name) for s in (a, b))
        assert torch.equal(ours, theirs), name
    assert torch.equal(a.transport_.centroids, b.transport_.centroids)
    np.testing.assert_array_equal(a.sample(100, 7), b.sample(100, 7))


def test_two_processes_solve_as_one(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "codes.npy", rng.normal(size=(120, 4)).astype(np.float32))
    words = ("train", "--codes", str(tmp_path / "codes.npy"), "--tolerance", "0.5", "--out")
    said = torchrun(*words, "two", cwd=tmp_path)
    assert said.count("two is complete") == 1  # the second process is silent
    starts = [e for e in RunFolder(tmp_path / "two").history() if e["event"] == "start"]
    assert len(starts) == 1  # and writes nothing
    assert cli.run([*words, str(tmp_path / "one")]) == 0
    same_transport(load_model(tmp_path / "one"), load_model(tmp_path / "two"))


@pytest.mark.slow
def test_two_processes_train_and_solve_on_images(tmp_path):
    words = "train --data digits --latent-dim 6 --epochs 2 --tolerance 0.3 --out run"
    said = torchrun(*words.split(), cwd=tmp_path)
    assert said.count("run is complete") == 1
    model = load_model(tmp_path / "run")
    assert model.transport_.status.name == "CONVERGED"
    rows = datasets.load("digits")  # one process, on the codes that the two have made
    alone = clone(model.sampler_).fit(model.encode(rows.x), rows.y)
    same_transport(alone, model.sampler_)
