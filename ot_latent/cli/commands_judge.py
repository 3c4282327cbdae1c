"""``evaluate``, ``info``: how good a run is, and how far it converged, in numbers."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from ot_latent.cli.command import NOT_REACHED, OK, Maybe
from ot_latent.cli.console import Console
from ot_latent.config import ConfigError, suggestion

SHOWN = ("frechet", "precision", "recall", "coverage", "mode_kl", "novelty_ratio", "copy_rate")


@dataclass(frozen=True)
class Evaluate:
    """Judge a run's samples against data that it never saw, beside baselines on the same codes."""

    run: Positional[Path]
    """Run folder."""
    data: Maybe[str] = None
    """Named set, file or folder, as in train (default: that of the run; codes for a run on codes)."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    split: Maybe[str] = None
    """Part of the data: test, train or all (default: test; all for a run on codes)."""
    labels: Maybe[str] = None
    """File of labels, one per row."""
    label_column: Maybe[str] = None
    """Column of a table that holds the labels."""
    features: Maybe[str] = None
    """Function pkg.mod:fn from rows to features (default: a classifier of the run, else codes)."""
    baselines: tuple[str, ...] = ("gaussian", "gmm10", "plain", "control", "heldout")
    """Baselines to judge as well (of a run trained with --prior also: prior)."""
    fail_under: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Exit with 4 where a score is smaller, such as recall=0.6."""
    fail_over: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Exit with 4 where a score is larger, such as copy_rate=0.05."""
    device: str = "cpu"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="[FILE]", help_behavior_hint="")] = None
    """Print the record as one line on stdout, and write it to FILE where one is given."""

    def execute(self, console: Console) -> int:
        """Evaluate and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0, or 4 where a gate failed.
        """
        from ot_latent import persistence, run_models, runs

        floors = [(*_gate(text, "--fail-under"), 1) for text in self.fail_under]
        ceilings = [(*_gate(text, "--fail-over"), -1) for text in self.fail_over]
        features = None if self.features is None else function(self.features)
        model = run_models.load_judged(self.run, device=self.device)
        data = runs.load_again(
            self.run,
            data=self.data,
            data_dir=self.data_dir,
            split=self.split,
            labels=self.labels,
            label_column=self.label_column,
        )
        record = model.evaluate(
            data.x, data.y, baselines=self.baselines, features=features, groups=data.groups
        )
        if self.json is not None and str(self.json) != "-":
            persistence.write_json_atomic(self.json, record)
        console.show(table(record))
        failed = [gate for gate in floors + ceilings if not passes(record, *gate)]
        for key, limit, sign in failed:
            word = "below" if sign > 0 else "above"
            console.say(f"gate failed: {key} is {score(record, key):.4g}, {word} {limit:g}.")
        console.result(record)
        return NOT_REACHED if failed else OK


@dataclass(frozen=True)
class Info:
    """Say what a run is, how far its transport converged, and with which uncertainty."""

    run: Positional[Path]
    """Run folder."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Tell and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import run_models
        from ot_latent.run_folder import RunFolder

        folder = RunFolder(self.run)
        config = folder.config().to_dict() if folder.started else None
        unfinished = folder.started and not folder.complete
        if unfinished:
            last = next((e for e in reversed(folder.history()) if "stage" in e), None)
            where = f"{last['progress']:.0%} of stage {last['stage']}" if last else "the start"
            console.say(f"{self.run} was interrupted at {where}; continue it with")
            console.say(f"ot-latent train --out {self.run} --resume")
            console.result({"run": str(self.run), "complete": False, "config": config})
            return OK
        summary = folder.summary() if folder.complete else None
        if summary is None:
            summary = run_models.summarise(run_models.load_model(self.run), 0.0)
        console.show(facts(summary, config))
        console.result({"run": str(self.run), "complete": True, **summary, "config": config})
        return OK


def facts(summary: Mapping[str, Any], config: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the lines of ``info``.

    Parameters
    ----------
    summary : mapping
        What ``run.json`` says.
    config : mapping or None
        The configuration, where there is one.

    Yields
    ------
    str
        A line.
    """
    solution = summary["transport"]
    yield f"model       {summary['kind']}, {summary['targets']} codes of dimension {summary['latent_dim']}"
    if config is not None:
        data = config["data"]
        yield f"data        {data['data'] or data['codes']}, seed {config['seed']}"
    if summary["labels"] is not None:
        names = summary["label_names"] or summary["labels"]
        yield f"labels      {', '.join(str(name) for name in names[:20])}"
    yield f"transport   {solution['status']}: {solution['advice']}"
    yield from _certainty(solution)
    yield f"time        {summary['seconds']:.0f} s"


def _certainty(solution: Mapping[str, Any]) -> Iterator[str]:
    """Yield the error of the cells, how it is known, and what it cost."""
    error = f"cell error  {solution['mass_error']:.3g} ({solution['error_norm']}), "
    if solution["error_norm"] != "rms":
        yield f"{error}exact, wanted {solution['tolerance']:g}"
        yield f"steps       {solution['steps']} of {solution['solver']}"
        return
    low, high = solution["mass_error_interval"] or (solution["mass_error"],) * 2
    yield f"{error}95 % interval [{low:.3g}, {high:.3g}], wanted {solution['tolerance']:g}"
    yield (
        f"noise       {solution['samples']:,} samples fitted, {solution['evaluation_samples']:,} "
        "fresh ones for the error"
    )


def table(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that compare a run with its baselines.

    Parameters
    ----------
    record : mapping
        The report record.

    Yields
    ------
    str
        A line.
    """
    keys = [key for key in SHOWN if key in record]
    yield f"{'':<12}" + "".join(f"{key:>15}" for key in keys)
    rows = {"this run": record, **record.get("baselines", {})}
    for name, scores in rows.items():
        cells = (_number(scores.get(key)) for key in keys)
        yield f"{name:<12}" + "".join(f"{cell:>15}" for cell in cells)


def _number(entry: Any) -> str:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    return "-" if not isinstance(value, int | float) else f"{value:.4g}"


def _gate(text: str, option: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        return key, float(value)
    except ValueError:
        raise ConfigError(
            f"{option} must be KEY=VALUE such as recall=0.6, got {text!r}; write it so."
        ) from None


def score(record: Mapping[str, Any], key: str) -> float:
    """Return one number of the record.

    Parameters
    ----------
    record : mapping
        The report record.
    key : str
        Such as ``recall`` or ``baselines.gaussian.recall``.

    Returns
    -------
    float
        Its value.

    Raises
    ------
    ConfigError
        If the record has no such score.
    """
    entry: Any = record
    for part in key.split("."):
        if not isinstance(entry, Mapping) or part not in entry:
            raise ConfigError(f"{key} is not a score of the record; {suggestion(key, record)}")
        entry = entry[part]
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    if not isinstance(value, int | float):
        raise ConfigError(f"{key} must be a score with a number, got {value!r}; leave it out.")
    return float(value)


def passes(record: Mapping[str, Any], key: str, limit: float, sign: int) -> bool:
    """Whether a score is on the right side of its limit; a NaN is not.

    Parameters
    ----------
    record : mapping
        The report record.
    key : str
        Name of the score.
    limit : float
        The limit.
    sign : int
        1 where the score must not be smaller, -1 where it must not be larger.

    Returns
    -------
    bool
        Whether the gate is passed.

    Examples
    --------
    >>> passes({"recall": {"value": 0.7}}, "recall", 0.6, 1)
    True
    """
    return sign * score(record, key) >= sign * limit


def function(path: str, option: str = "--features", what: str = "a function pkg.mod:fn") -> Any:
    """Import a function that is written as pkg.mod:fn, from the current folder too.

    Parameters
    ----------
    path : str
        Module and name.
    option : str, default="--features"
        The option that names it, for the refusal.
    what : str, default="a function pkg.mod:fn"
        What it must be, for the refusal.

    Returns
    -------
    callable
        The function.

    Raises
    ------
    ConfigError
        If there is no such module or function.

    Examples
    --------
    >>> function("math:sqrt")(4.0)
    2.0
    """
    module, _, name = path.partition(":")
    with _current_folder_importable():
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"{option} must be {what} that can be imported, got {path!r} "
                f"({error}); check the spelling and the folder."
            ) from None
    if not callable(found):
        raise ConfigError(f"{option} must be {what}, got {found!r}; name another.")
    return found


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")
