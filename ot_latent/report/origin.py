"""Where a run comes from: its command, seed, date, versions and data, read from its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ot_latent.run_folder import RunFolder, versions


@dataclass(frozen=True)
class Origin:
    """What a run's folder tells about its making.

    Attributes
    ----------
    commands : tuple of str
        Command lines, the first one first; none where the model was saved from Python.
    date : str
        When the first of them began, empty where that is unknown.
    seed : int or None
        Seed of the run.
    versions : dict of str to str
        Versions that it was made with, or those at hand.
    sources : tuple of (str, str)
        Path and SHA-256 of each data file.
    config : str
        The resolved configuration, as YAML.
    seconds : float or None
        Time that training took.
    """

    commands: tuple[str, ...]
    date: str
    seed: int | None
    versions: dict[str, str]
    sources: tuple[tuple[str, str], ...]
    config: str
    seconds: float | None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Origin:
        """Read a run folder, or a folder that `save_pretrained` wrote.

        Parameters
        ----------
        path : path
            The folder.

        Returns
        -------
        Origin
            What it tells.
        """
        folder = RunFolder(path)
        if not folder.started:
            return cls((), "", None, versions(), (), "", None)
        config = folder.config()
        starts = [e for e in folder.history() if e.get("event") == "start"]
        seconds: Any = folder.summary().get("seconds") if folder.complete else None
        return cls(
            commands=tuple(dict.fromkeys(e["command"] for e in starts if e.get("command"))),
            date=_date(starts[0]["time"]) if starts else "",
            seed=config.seed,
            versions=dict(config.versions),
            sources=tuple((str(s.path), s.sha256 or "bundled") for s in config.data.sources),
            config=config.to_yaml(),
            seconds=seconds,
        )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
