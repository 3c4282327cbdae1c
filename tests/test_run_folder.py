"""The run folder: nothing is lost, nothing half-written, one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from ot_latent.config import RunConfig
from ot_latent.run_folder import CHECKPOINTS, LOCK_NAME, LOG_NAME, RunError, RunFolder, versions


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


class State:
    """The smallest resumable state."""

    def __init__(self, value: float) -> None:
        self.value = torch.tensor([value])

    def to_tensors(self):
        return {"value": self.value}

    def to_metadata(self):
        return {"inf": float("inf")}

    @classmethod
    def from_parts(cls, tensors, metadata):
        assert metadata == {"inf": float("inf")}
        return cls(float(tensors["value"]))


def test_config_comes_back_with_versions_and_sources(folder):
    source = {"path": "/x.npy", "sha256": "0" * 64, "bytes": 3}
    written = folder.create(RunConfig(seed=7), sources=[source])
    assert folder.config() == written
    assert written.seed == 7
    assert written.versions == versions()
    assert written.data.sources[0].to_dict() == source
    assert folder.started
    assert not folder.complete


def test_versions_are_read_without_importing():
    code = (
        "import sys; from ot_latent.run_folder import versions; v = versions(); "
        "assert {'ot-latent', 'torch', 'numpy'} <= set(v); "
        "assert not {'torch', 'scipy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_holds_a_run_is_kept(folder):
    folder.create(RunConfig(seed=1))
    with pytest.raises(RunError, match="--resume, delete it with --overwrite"):
        folder.create(RunConfig(seed=2))
    assert folder.config().seed == 1


def test_overwrite_leaves_nothing_of_the_old_run(folder):
    folder.create(RunConfig(seed=1))
    folder.save_state("autoencoder", State(1.0))
    folder.log({"event": "start"})
    folder.finish({"a": 1})
    (folder.path / "config.json").write_text("{}")
    folder.create(RunConfig(seed=2), overwrite=True)
    assert folder.config().seed == 2
    assert not folder.complete
    assert folder.load_states({"autoencoder": State}) == {}
    folder.save_state("autoencoder", State(2.0))
    assert {p.name for p in folder.path.iterdir()} == {"config.yaml", CHECKPOINTS}


def contents(path):
    """Return every file below a folder with its bytes."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def refuse(folder, *, after=None, overwrite=False, error=ValueError):
    """Begin a run and refuse its data, perhaps after a stage has begun."""
    with pytest.raises(error), folder.lock():
        folder.create(RunConfig(seed=2), overwrite=overwrite)
        with folder.put_back_if_refused():
            folder.log({"event": "start"})
            if after is not None:
                folder.log({"event": "progress", "stage": after, "progress": 0.0})
            raise error


def test_a_refusal_leaves_the_place_as_it_was(tmp_path):
    refuse(RunFolder(tmp_path / "runs" / "new"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    refuse(RunFolder(tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_refusal_gives_back_the_run_that_was_to_be_replaced(folder):
    folder.create(RunConfig(seed=1))
    folder.save_state("autoencoder", State(1.0))
    folder.log({"event": "start"})
    folder.finish({"a": 1})
    before = contents(folder.path)
    refuse(folder, overwrite=True)
    assert {k: v for k, v in contents(folder.path).items() if k.name != LOCK_NAME} == before


@pytest.mark.parametrize(
    ("after", "error"), [("autoencoder", ValueError), (None, KeyboardInterrupt)]
)
def test_a_run_that_began_or_was_interrupted_stays(folder, after, error):
    refuse(folder, after=after, error=error)
    assert folder.config().seed == 2
    assert folder.history()[0]["event"] == "start"


def test_a_folder_of_other_things_is_never_touched(folder):
    folder.path.mkdir()
    (folder.path / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match=r"must be empty or a run folder, .*thesis.tex"):
        folder.create(RunConfig(), overwrite=True)
    assert (folder.path / "thesis.tex").read_text() == "years"


def test_no_run_no_config(folder):
    with pytest.raises(RunError, match=r"must be a run folder, got a path without config.yaml"):
        folder.config()
    folder.path.mkdir()
    with pytest.raises(RunError, match=r"got a folder without config.yaml"):
        folder.config()


def test_a_run_of_another_version_is_not_resumed(folder):
    config = folder.create(RunConfig())
    folder.check_version(config)
    old = config.updated({"versions": {"ot-latent": "0.0.1"}})
    with pytest.raises(RunError, match=r"must come from ot-latent .* to be resumed, got 0.0.1"):
        folder.check_version(old)


def test_one_writer(folder):
    other = (
        "import sys; from ot_latent.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock():\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", other, str(folder.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(RunError, match=rf"one process, got another .*{process.pid}"),
            folder.lock(),
        ):
            pass
        process.kill()  # the lock dies with its holder
    with folder.lock():
        assert (folder.path / LOCK_NAME).read_text() == str(os.getpid())


def test_states_are_replaced_and_kept_apart(folder):
    folder.create(RunConfig())
    folder.save_state("autoencoder", State(1.0))
    folder.save_state("autoencoder", State(2.0))
    folder.save_state("transport", State(3.0))
    states = folder.load_states({"autoencoder": State, "transport": State, "solve": State})
    assert {k: v.value.item() for k, v in states.items()} == {"autoencoder": 2.0, "transport": 3.0}


def test_the_log_survives_a_power_cut(folder):
    folder.create(RunConfig())
    assert folder.history() == []
    folder.log({"event": "a", "loss": 0.5, "state": object()})
    with open(folder.path / LOG_NAME, "a") as file:
        file.write('{"event": "tor')
    folder.log({"event": "b"})
    assert [entry["event"] for entry in folder.history()] == ["a", "b"]
    assert "state" not in folder.history()[0]
    lines = (folder.path / LOG_NAME).read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "b"


def test_finish_marks_and_cleans(folder):
    folder.create(RunConfig())
    folder.save_state("autoencoder", State(1.0))
    folder.finish({"transport": {"status": "CONVERGED"}})
    assert folder.complete
    assert folder.summary() == {"transport": {"status": "CONVERGED"}}
    assert not (folder.path / CHECKPOINTS).exists()


def test_a_failing_disk_loses_nothing(folder, monkeypatch):
    folder.create(RunConfig())
    folder.save_state("autoencoder", State(1.0))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        folder.save_state("autoencoder", State(2.0))
    monkeypatch.undo()
    state = folder.load_states({"autoencoder": State})["autoencoder"]
    assert state.value.item() == 1.0
    assert [p.name for p in (folder.path / CHECKPOINTS).iterdir()] == ["autoencoder.safetensors"]
