"""The run folder: what lies where, who may write, and how each file stays whole.

A folder holds ``config.yaml`` (written before anything heavy is imported), ``log.jsonl``,
``checkpoints/`` while it is being trained, the model itself (what `save_pretrained` writes; its
potential holds the codes and the heights), and at last ``run.json``, which says that it is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ot_latent import _files, persistence
from ot_latent.config import ConfigError, RunConfig

CONFIG_NAME = "config.yaml"
LOG_NAME = "log.jsonl"
SUMMARY_NAME = "run.json"
LOCK_NAME = ".lock"
CHECKPOINTS = "checkpoints"
REPLACED = ".replaced"  # holds the run that is overwritten, until the new one has a checkpoint
REFUSALS = (ValueError, TypeError, RuntimeError, OSError, ImportError)
REPORTED = ("ot-latent", "torch", "numpy", "scipy", "scikit-learn", "POT", "accelerate")


class RunError(ConfigError):
    """A run folder cannot be used as asked; the message says why and what to try."""


class RunFolder:
    """A run on disk.

    Parameters
    ----------
    path : path
        The folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def started(self) -> bool:
        """Whether the folder holds a run's configuration."""
        return (self.path / CONFIG_NAME).is_file()

    @property
    def complete(self) -> bool:
        """Whether the run was brought to its end."""
        return (self.path / SUMMARY_NAME).is_file()

    def create(
        self,
        config: RunConfig,
        *,
        sources: Sequence[Mapping[str, Any]] = (),
        overwrite: bool = False,
    ) -> RunConfig:
        """Begin a run: write its configuration, completed by versions and digests of the data.

        Parameters
        ----------
        config : RunConfig
            What to run.
        sources : sequence of mapping
            Path, sha256 and bytes of the files that the data will be read from.
        overwrite : bool, default=False
            Whether a run that is already there is replaced.

        Returns
        -------
        RunConfig
            The configuration as written.

        Raises
        ------
        RunError
            If the folder holds a run and `overwrite` is false, or holds other files.
        """
        held = list(self.path.iterdir()) if self.path.is_dir() else []
        held = [item for item in held if item.name != LOCK_NAME]
        if held and not self.started:
            raise RunError(
                f"{self.path} must be empty or a run folder, got a folder with {held[0].name}; "
                "choose another --out."
            )
        if held and not overwrite:
            raise RunError(
                f"{self.path} must be a new folder, got one that holds a run; continue it with "
                "--resume, delete it with --overwrite, or choose another --out."
            )
        if held:
            shutil.rmtree(self.path / REPLACED, ignore_errors=True)
            _move([item for item in held if item.name != REPLACED], self.path / REPLACED)
        _files.make_folder(self.path / CHECKPOINTS)
        config = config.updated({"versions": versions(), "data": {"sources": list(sources)}})
        _files.write_bytes(self.path / CONFIG_NAME, config.to_yaml().encode())
        return config

    @contextlib.contextmanager
    def put_back_if_refused(self) -> Iterator[None]:
        """Leave what was there before `create`, where an error comes before any stage has begun.

        A refusal is then no run that the next one would have to overwrite. An interrupt is no
        refusal: after it the run can be resumed.

        Yields
        ------
        None
            While the run is begun.
        """
        try:
            yield
        except REFUSALS:
            if not any("stage" in entry for entry in self.history()):
                self._put_back()
            raise

    def _put_back(self) -> None:
        """Delete the run that was just created, and move the one that it replaced back."""
        for name in (CHECKPOINTS, LOG_NAME, CONFIG_NAME):
            _delete(self.path / name)
        replaced = self.path / REPLACED
        if replaced.is_dir():
            _move(list(replaced.iterdir()), self.path)
            replaced.rmdir()

    def config(self) -> RunConfig:
        """Return the configuration that the folder holds.

        Returns
        -------
        RunConfig
            As resolved when the run began.

        Raises
        ------
        RunError
            If the folder holds no run.
        """
        if not self.started:
            raise RunError(
                f"{self.path} must be a run folder, got {'a folder' if self.path.is_dir() else 'a path'}"
                f" without {CONFIG_NAME}; pass the --out of an earlier train."
            )
        return RunConfig.from_yaml((self.path / CONFIG_NAME).read_text(encoding="utf-8"))

    def check_version(self, config: RunConfig) -> None:
        """Refuse to continue a run that another version began.

        Parameters
        ----------
        config : RunConfig
            The folder's configuration.

        Raises
        ------
        RunError
            If the library's version differs: the result would not be the uninterrupted one.
        """
        wrote, here = (
            config.versions.get("ot-latent", "an unknown version"),
            versions()["ot-latent"],
        )
        if wrote != here:
            raise RunError(
                f"{self.path} must come from ot-latent {here} to be resumed, got {wrote}; install "
                "that version or train again with --overwrite."
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing to the folder; released when this process ends.

        The folder is made where there is none, and goes again where nothing is put into it.

        Yields
        ------
        None
            While the folder is locked.

        Raises
        ------
        RunError
            If another process is writing.
        """
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        _files.make_folder(self.path)
        with open(self.path / LOCK_NAME, "a+", encoding="ascii") as file:
            if not _lock(file.fileno()):
                file.seek(0)
                raise RunError(
                    f"{self.path} must be written by one process, got another one at work "
                    f"(process {file.read().strip()}); wait for it or choose another --out."
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                if [item.name for item in self.path.iterdir()] == [LOCK_NAME]:
                    _delete(self.path / LOCK_NAME)
                    _remove_empty(made)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to the log and flush it.

        Parameters
        ----------
        entry : mapping
            What JSON can hold; values of other kinds are left out.
        """
        plain = {k: v for k, v in entry.items() if isinstance(v, str | int | float | bool | None)}
        line = json.dumps({"time": round(time.time(), 3), **plain})
        with open(self.path / LOG_NAME, "ab+") as file:
            torn = file.tell() > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            file.write(b"\n" * torn + line.encode() + b"\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the log; a line torn by a power cut is left out.

        Returns
        -------
        list of dict
            One entry per line.
        """
        path = self.path / LOG_NAME
        entries = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
        return entries

    def save_state(self, stage: str, state: Any) -> None:
        """Write the checkpoint of a stage, replacing the last one atomically.

        Parameters
        ----------
        stage : str
            Name of the stage.
        state : object
            With `to_tensors` and `to_metadata`.
        """
        path = self.path / CHECKPOINTS / f"{stage}.safetensors"
        path.parent.mkdir(exist_ok=True)
        persistence.write_tensors_atomic(path, state.to_tensors(), state.to_metadata())
        _delete(self.path / REPLACED)

    def load_states(self, classes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the resumable state of every stage that has a checkpoint.

        Parameters
        ----------
        classes : mapping of str to type
            For each stage the class whose `from_parts` reads its state.

        Returns
        -------
        dict of str to object
            By name of the stage.
        """
        states = {}
        for stage, kind in classes.items():
            path = self.path / CHECKPOINTS / f"{stage}.safetensors"
            if path.is_file():
                states[stage] = kind.from_parts(*persistence.read_tensors(path))
        return states

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as complete and drop its checkpoints.

        Parameters
        ----------
        summary : mapping
            What ``run.json`` says about the run.
        """
        persistence.write_json_atomic(self.path / SUMMARY_NAME, dict(summary))
        for name in (CHECKPOINTS, REPLACED):
            _delete(self.path / name)

    def summary(self) -> dict[str, Any]:
        """Return what `finish` wrote.

        Returns
        -------
        dict
            The content of ``run.json``.
        """
        return persistence.read_json(self.path / SUMMARY_NAME)


def versions() -> dict[str, str]:
    """Return the versions of this library and of what it computes with, importing none of them.

    Returns
    -------
    dict of str to str
        By name of the distribution; those not installed are left out.
    """
    found = {}
    for name in REPORTED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _move(items: Sequence[Path], folder: Path) -> None:
    """Move files and folders; the configuration last, so that a run stays known as one till then."""
    folder.mkdir(exist_ok=True)
    for item in sorted(items, key=lambda item: item.name == CONFIG_NAME):
        os.replace(item, folder / item.name)


def _delete(path: Path) -> None:
    """Delete a file, or a folder with all that it holds, where there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, until one holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _lock(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; whether that worked."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: there the folder is not guarded
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
