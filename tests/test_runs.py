"""Runs survive every interrupt: killed and resumed, they end with the bits of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from ot_latent import cli, datasets, persistence, runs
from ot_latent._validation import DataError
from ot_latent.config import RunConfig
from ot_latent.run_folder import CHECKPOINTS, RunError, RunFolder
from ot_latent.run_models import find_label, load_generator, load_model

QUICK = ("--epochs", "40", "--latent-dim", "4", "--width", "8", "--tolerance", "0.02")
QUICK += ("--batch-size", "64", "--checkpoint-seconds", "0.2")


def command(*arguments):
    return [sys.executable, "-m", "ot_latent", *map(str, arguments)]


def start(*arguments):
    return subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def finished(*arguments):
    """Run a command to its end, in this process; it must succeed."""
    assert cli.run([str(word) for word in arguments]) == 0


def wait_for(path, process, seconds=300.0):
    """Wait until a file is there and the process has gone on a little."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.005)
    time.sleep(0.05)


def killed(arguments, stage, number=signal.SIGKILL):
    """Start a command, send it a signal in the middle of a stage, and return its exit code."""
    folder = RunFolder(arguments[arguments.index("--out") + 1])
    process = start(*arguments)
    wait_for(folder.path / CHECKPOINTS / f"{stage}.safetensors", process)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1].decode()
    assert not folder.complete, "the run was too fast to be interrupted"
    return process.returncode, err


def same_model(a, b):
    """Assert that two folders hold the same model, bit for bit."""
    (tensors_a, config_a), (tensors_b, config_b) = (persistence.load_folder(f) for f in (a, b))
    assert tensors_a.keys() == tensors_b.keys()
    for part, tensors in tensors_a.items():
        assert tensors.keys() == tensors_b[part].keys()
        for name, value in tensors.items():
            assert torch.equal(value, tensors_b[part][name]), (part, name)
    assert config_a == config_b


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two kinds of small pictures: bright above or bright below, shifted and noisy."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = rng.integers(0, 60, size=(400, 8, 8))
    for row, label, shift in zip(x, y, rng.integers(0, 3, size=400), strict=True):
        row[4 * label + shift % 2 : 4 * label + 2 + shift] += 150
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, x=x.astype(np.uint8), y=y)
    return path


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    rng = np.random.default_rng(1)
    y = rng.integers(3, size=600)
    path = tmp_path_factory.mktemp("data") / "codes.npz"
    np.savez(path, x=(rng.normal(size=(600, 5)) + 4 * y[:, None]).astype(np.float32), y=y)
    return path


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    finished("train", "--data", images, "--out", out, *QUICK)
    return out


def test_kill_9_in_each_stage_changes_no_bit(images, whole, tmp_path, capsys):
    out = tmp_path / "run"
    again = ("train", "--out", out, "--resume")
    first = ("train", "--data", images, "--out", out, *QUICK)
    assert killed(first, "autoencoder")[0] == -signal.SIGKILL
    assert killed(again, "transport")[0] == -signal.SIGKILL
    finished(*again)
    same_model(out, whole)
    finished(*again)
    assert "is finished:" in capsys.readouterr().err
    first_try, second, third = attempts(RunFolder(out).history())
    assert any("train_loss" in entry for entry in second)
    assert steps(second)[0] > steps(first_try)[0] == 1  # it went on, it did not start again
    assert steps(third) == []
    assert samples(third)[0] > samples(second)[0]


def attempts(entries):
    """Cut a log into the parts that each start began."""
    parts = []
    for entry in entries:
        if entry.get("event") == "start":
            parts.append([])
        parts[-1].append(entry)
    return parts


def steps(entries):
    """Return the numbers of the training steps that were logged."""
    return [e["epoch"] * e["steps"] + e["step"] for e in entries if "kind" in e]


def samples(entries):
    """Return the numbers of noise samples that the solver had drawn."""
    return [e["samples"] for e in entries if "samples" in e]


KILLED_IN_STEP_THREE = """
import os, signal, sys
from ot_latent import cli
from ot_latent.transport.newton import DampedNewton
step = DampedNewton.step
def deadly(solver, state):
    if state.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(solver, state)
DampedNewton.step = deadly
cli.run(sys.argv[1:])
"""


def test_an_exact_transport_that_is_killed_starts_again_and_changes_no_bit(tmp_path):
    path, out = tmp_path / "plane.npy", tmp_path / "run"
    np.save(path, np.random.default_rng(0).normal(size=(800, 2)))
    arguments = ("train", "--codes", str(path), "--out")
    command = [sys.executable, "-c", KILLED_IN_STEP_THREE, *arguments, str(out)]
    dead = subprocess.run(command, check=False, stderr=subprocess.PIPE)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    folder = RunFolder(out)
    assert not folder.complete
    assert any("error" in entry for entry in folder.history())
    assert not (out / CHECKPOINTS / "transport.safetensors").exists()
    finished("train", "--out", out, "--resume")
    assert folder.summary()["transport"]["error_norm"] == "max relative"
    finished(*arguments, tmp_path / "whole")
    same_model(out, tmp_path / "whole")


def test_an_exact_run_is_told_and_solved_again(tmp_path, capsys):
    np.save(tmp_path / "space.npy", np.random.default_rng(0).normal(size=(200, 3)))
    out = tmp_path / "run"
    finished("train", "--codes", tmp_path / "space.npy", "--out", out, "--tolerance", "0.01")
    assert "max relative cell error" in capsys.readouterr().err
    finished("solve", out)
    assert RunFolder(out).summary()["transport"]["tolerance"] == 0.01
    finished("solve", out, "--tolerance", "1e-9", "--strict")
    told = RunFolder(out).summary()["transport"]
    assert (told["solver"], told["samples"], told["status"]) == ("DampedNewton", 0, "CONVERGED")
    assert told["mass_error_interval"] == [told["mass_error"]] * 2
    finished("info", out)
    assert "exact, wanted 1e-09" in capsys.readouterr().err
    refused = ("--out", str(tmp_path / "no"), "--source", "gaussian", "--solver", "exact")
    assert cli.run(["train", "--codes", str(tmp_path / "space.npy"), *refused]) == 2
    assert "got Gaussian of dimension 3; use solver='sampled'" in capsys.readouterr().err


def test_an_interrupt_writes_a_state_and_exits_with_130(codes, tmp_path):
    out = tmp_path / "run"
    options = ("train", "--codes", codes, "--tolerance", "0.1", "--checkpoint-seconds", "0.2")
    code, err = killed((*options, "--out", out), "transport", signal.SIGTERM)
    assert code == 130
    assert f"Continue with: ot-latent train --out {out} --resume" in err
    assert "Traceback" not in err
    finished("train", "--out", out, "--resume")
    finished(*options, "--out", tmp_path / "whole")
    same_model(out, tmp_path / "whole")


def test_a_run_that_only_has_its_config_starts_from_the_beginning(codes, tmp_path):
    source = runs.describe_file(codes)
    config = RunConfig.from_dict(
        {"data": {"codes": str(codes)}, "transport": {"tolerance": 0.3, "source": "ball"}}
    )
    RunFolder(tmp_path / "run").create(config, sources=[source])
    finished("train", "--out", tmp_path / "run", "--resume")
    assert RunFolder(tmp_path / "run").summary()["transport"]["status"] == "CONVERGED"


def test_resume_refuses_what_was_not_started_so(codes, tmp_path, capsys):
    folder = RunFolder(tmp_path / "run")
    config = RunConfig.from_dict({"data": {"codes": str(codes)}})
    written = folder.create(config, sources=[runs.describe_file(codes)])
    arguments = ["train", "--out", str(folder.path), "--resume"]
    assert cli.run([*arguments, "--tolerance", "0.2"]) == 2
    assert "must be resumed as it was started (transport:" in capsys.readouterr().err
    assert cli.run(["train", "--codes", str(codes), "--out", str(folder.path)]) == 2
    assert "got one that holds a run; continue it with --resume" in capsys.readouterr().err
    old = written.updated({"versions": {"ot-latent": "0.0.1"}})
    (folder.path / "config.yaml").write_text(old.to_yaml())
    assert cli.run(arguments) == 2
    assert "to be resumed, got 0.0.1" in capsys.readouterr().err


def test_data_that_changed_are_refused(codes, tmp_path, capsys):
    copy = tmp_path / "codes.npz"
    copy.write_bytes(codes.read_bytes())
    folder = RunFolder(tmp_path / "run")
    config = RunConfig.from_dict({"data": {"codes": str(copy)}})
    folder.create(config, sources=[runs.describe_file(copy)])
    np.savez(copy, x=np.zeros((3, 2)))
    arguments = ["train", "--out", str(folder.path), "--resume"]
    assert cli.run(arguments) == 3
    assert "must hold what it held when the run began" in capsys.readouterr().err
    copy.unlink()
    assert cli.run(arguments) == 3
    assert "must still be there" in capsys.readouterr().err


def test_rows_do_not_depend_on_the_request(whole):
    model = load_model(whole)
    long = model.sample(1100, random_state=7)
    for n in (1, 7, 64, 1025):
        np.testing.assert_array_equal(model.sample(n, random_state=7), long[:n])


def test_a_new_process_draws_the_same_samples(whole, tmp_path):
    out = tmp_path / "x.npy"
    subprocess.run(command("sample", whole, "-n", 7, "--seed", 7, "--out", out), check=True)
    rows = load_model(whole).sample(64, random_state=7)
    np.testing.assert_array_equal(np.load(out), rows[:7])
    assert rows.dtype == np.uint8
    assert rows.shape == (64, 8, 8)


def test_labels_pairs_and_codes_on_the_command_line(whole, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    finished("sample", whole, "-n", 20, "--label", 1, "--out", "ones.npz")
    made = np.load("ones.npz")
    assert made["y"].tolist() == [1] * 20
    assert (made["x"][:, 4:].mean((1, 2)) > made["x"][:, :4].mean((1, 2))).mean() > 0.9
    finished("encode", whole, "--data", images, "--out", "z.npy")
    finished("decode", whole, "--codes", "z.npy", "--out", "x.npy")
    np.testing.assert_array_equal(
        np.load("x.npy"), load_model(whole).reconstruct(np.load(images)["x"])
    )
    finished("interpolate", whole, "--data", images, "--pairs", "0,1", "4,7", "--out", "p.npy")
    assert np.load("p.npy").shape == (18, 8, 8)
    walk = ["interpolate", str(whole), "--data", str(images), "--pairs"]
    assert cli.run([*walk, "0-1"]) == 2
    assert "--pairs must be pairs such as 0,1 4,7, got '0-1'" in capsys.readouterr().err
    assert cli.run([*walk, "0,400"]) == 2
    assert "--pairs must be rows below 400, got 0,400" in capsys.readouterr().err
    gate = ["evaluate", str(whole), "--baselines", "heldout", "--fail-under"]
    assert cli.run([*gate, "recall=1.1"]) == 4
    assert "gate failed: recall is" in capsys.readouterr().err
    assert cli.run([*gate, "recall=0.0", "--json"]) == 0
    assert "recall" in capsys.readouterr().out


def test_solve_keeps_the_autoencoder_and_sharpens_the_transport(whole, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    assert cli.run(["solve", str(out), "--tolerance", "0.015"]) == 0
    before, after = (RunFolder(f).summary()["transport"] for f in (whole, out))
    assert after["tolerance"] == 0.015
    assert after["mass_error"] <= 0.015 < before["tolerance"]
    old, new = (persistence.load_folder(f)[0] for f in (whole, out))
    for part in old.keys() - {"transport"}:
        assert all(torch.equal(v, new[part][k]) for k, v in old[part].items())
    assert torch.equal(old["transport"]["points"], new["transport"]["points"])
    assert not torch.equal(old["transport"]["heights"], new["transport"]["heights"])
    assert "is solved: 400" in capsys.readouterr().err or len(old["transport"]["points"]) < 400


def test_an_interrupted_solve_continues(codes, tmp_path, monkeypatch):
    out, twin = tmp_path / "run", tmp_path / "twin"
    finished("train", "--codes", codes, "--out", out, "--tolerance", "0.3")
    shutil.copytree(out, twin)
    recorded = []

    class Enough(Exception):
        pass

    def stop_after_ten(event):
        recorded.append(event)
        if len(recorded) == 10:
            raise Enough

    with monkeypatch.context() as patch, pytest.raises(Enough):
        patch.setattr(runs, "CHECKPOINT_SECONDS", 0.0)
        runs.solve_run(RunFolder(out), 0.2, stop_after_ten)
    assert (out / CHECKPOINTS / "transport-0.2.safetensors").exists()
    runs.solve_run(RunFolder(out), 0.2)
    runs.solve_run(RunFolder(twin), 0.2)
    same_model(out, twin)


def test_strict_tells_a_run_that_did_not_converge(codes, tmp_path, capsys):
    out = str(tmp_path / "run")
    few = ["train", "--codes", str(codes), "--out", out, "--max-samples", "4000", "--strict"]
    assert cli.run(few) == 4
    assert "SAMPLE_BUDGET" in capsys.readouterr().err
    assert cli.run(["train", "--out", out, "--resume", "--strict"]) == 4
    assert cli.run(["train", "--out", out, "--resume"]) == 0


def test_labels_are_found_by_number_and_refused_in_one_sentence(whole, codes, tmp_path):
    model = load_model(whole)
    assert find_label(whole, model, "1") == 1
    assert find_label(whole, model, None) is None
    with pytest.raises(RunError, match="--label must be one of 0, 1, got '7'"):
        find_label(whole, model, "7")
    np.save(tmp_path / "plain.npy", np.load(codes)["x"])
    finished(
        "train", "--codes", tmp_path / "plain.npy", "--out", tmp_path / "r", "--tolerance", "0.5"
    )
    with pytest.raises(RunError, match="it was trained without labels; train with --labels"):
        find_label(tmp_path / "r", load_model(tmp_path / "r"), "1")
    with pytest.raises(RunError, match="got one trained on codes alone; use sample,"):
        load_generator(tmp_path / "r")


def test_an_unfinished_run_is_told_as_such(codes, tmp_path, capsys):
    folder = RunFolder(tmp_path / "run")
    folder.create(RunConfig.from_dict({"data": {"codes": str(codes)}}))
    with pytest.raises(RunError, match=r"must be a finished run, .* --resume"):
        load_model(folder.path)
    assert cli.run(["info", str(folder.path)]) == 0
    assert "was interrupted at the start" in capsys.readouterr().err
    folder.log({"stage": "transport", "progress": 0.5})
    assert cli.run(["info", str(folder.path)]) == 0
    assert "was interrupted at 50% of stage transport" in capsys.readouterr().err


def test_a_model_saved_from_python_serves_as_a_run(whole, tmp_path, capsys):
    load_generator(whole).save_pretrained(tmp_path / "model")
    assert cli.run(["info", str(tmp_path / "model"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "model       LatentGenerator" in captured.err
    assert '"status": "CONVERGED"' in captured.out
    finished("sample", tmp_path / "model", "-n", 2, "--out", tmp_path / "grid.png")
    finished("solve", tmp_path / "model", "--tolerance", 0.25)
    assert RunFolder(tmp_path / "model").summary()["transport"]["tolerance"] == 0.25


def test_an_interrupted_solve_says_how_to_go_on(whole, tmp_path, monkeypatch, capsys):
    shutil.copytree(whole, tmp_path / "run")

    def stopped(*_, **__):
        raise runs.Interrupted("interrupted; the state is saved.")

    monkeypatch.setattr(runs, "solve_run", stopped)
    assert cli.run(["solve", str(tmp_path / "run")]) == 130
    err = capsys.readouterr().err
    assert "The same command continues; until then the run keeps its old transport." in err


def test_load_again_falls_back_on_the_run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(RunConfig.from_dict({"data": {"data": "digits"}}))
    assert runs.load_again(folder.path).x.shape == datasets.load("digits", split="test").x.shape
    assert len(runs.load_again(folder.path, data="digits", split="all").x) == 1797
    with pytest.raises(RunError, match="--data must be given"):
        runs.load_again(tmp_path / "other")


class Silent:
    """A folder that remembers."""

    def __init__(self):
        self.states, self.lines = [], []

    def save_state(self, stage, state):
        self.states.append((stage, state))

    def log(self, entry):
        self.lines.append(entry)


def event(progress, state="s", **more):
    return {"stage": "transport", "progress": progress, "state": state, **more}


def test_recorder_saves_when_due_and_at_the_end():
    folder = Silent()
    recorder = runs.Recorder(folder, 3600.0)
    recorder(event(0.1))
    recorder(event(0.2, state=lambda: "made"))
    assert folder.states == []
    recorder(event(1.0, state=lambda: "made"))
    recorder(event(1.0, state=None))
    assert folder.states == [("transport", "made")]
    assert len(folder.lines) == 3  # the second came within a second of the first
    eager = runs.Recorder(folder, 0.0)
    eager(event(0.1))
    assert folder.states[-1] == ("transport", "s")


def test_only_the_first_process_writes(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    folder = Silent()
    runs.Recorder(folder, 0.0)(event(1.0))
    assert (folder.states, folder.lines) == ([], [])


def test_first_signal_waits_for_a_state_and_the_second_does_not():
    folder = Silent()
    recorder = runs.Recorder(folder, 3600.0)
    before = signal.getsignal(signal.SIGINT)
    with recorder.obeying_signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert recorder.stopping
        with pytest.raises(runs.Interrupted, match="the last checkpoint stays"):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(runs.Interrupted, match="the state is saved"):
            recorder(event(0.3))
    assert folder.states == [("transport", "s")]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_in_a_long_silence_stops_at_once():
    recorder = runs.Recorder(Silent(), 3600.0)
    recorder.heard -= 2 * runs.SILENCE
    with recorder.obeying_signals(), pytest.raises(runs.Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)


def test_other_threads_leave_signals_alone():
    recorder, seen = runs.Recorder(Silent(), 1.0), []

    def work():
        with recorder.obeying_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_bundled_data_have_no_file_to_check():
    source = {"path": "scikit-learn:digits", "sha256": ""}
    runs.check_sources(RunConfig.from_dict({"data": {"sources": [source]}}))
    gone = {"path": "/nowhere/x.npy", "sha256": "0"}
    with pytest.raises(DataError, match="must still be there"):
        runs.check_sources(RunConfig.from_dict({"data": {"sources": [gone]}}))
