"""From a configuration to a trained run: stages with checkpoints, resumable from every interrupt.

Nothing heavy is imported before `RunFolder.create` has written the configuration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ot_latent._validation import DataError
from ot_latent.config import RunConfig
from ot_latent.datasets.record import describe_file
from ot_latent.run_folder import RunError, RunFolder
from ot_latent.run_models import load_model, sampler_of, save_model, summarise

if TYPE_CHECKING:
    from ot_latent.datasets import Dataset
    from ot_latent.estimators import OTSampler
    from ot_latent.generator import LatentGenerator

SILENCE = 5.0  # seconds without an event after which an interrupt no longer waits for the next one
CHECKPOINT_SECONDS = 20.0  # between two checkpoints of `solve_run`
LOG_SECONDS = 1.0  # at most one line of log per second and stage

Progress = Callable[[Mapping[str, Any]], None]


class Interrupted(KeyboardInterrupt):
    """The run was stopped after a resumable state had been written."""


class Recorder:
    """The callback of a fit: writes checkpoints and log, shows progress, obeys interrupts.

    Parameters
    ----------
    folder : RunFolder
        Where to write.
    seconds : float
        Time between two checkpoints of a stage.
    progress : callable, optional
        Also called with every event.
    suffix : str, default=""
        Ending of the checkpoints' names.
    """

    def __init__(
        self,
        folder: RunFolder,
        seconds: float,
        progress: Progress | None = None,
        suffix: str = "",
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self.progress = progress
        self.suffix = suffix
        self.writes = int(os.environ.get("RANK", "0")) == 0
        self.stopping = False
        self.heard = time.monotonic()
        self._saved = self.heard
        self._logged = {"": self.heard}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take note of an event of the fit.

        Parameters
        ----------
        event : mapping
            With the keys stage, progress (0 to 1), state (resumable object, a function that makes
            one, or None) and numbers.

        Raises
        ------
        Interrupted
            If the process was asked to stop; the state is on disk then.
        """
        self.heard = time.monotonic()
        done = event["progress"] >= 1.0
        state = event.get("state")
        due = done or self.stopping or self.heard - self._saved >= self.seconds
        if self.writes and state is not None and due:
            name = event["stage"] + self.suffix
            self.folder.save_state(name, state() if callable(state) else state)
            self._saved = time.monotonic()
        last = self._logged.get(event["stage"], -LOG_SECONDS)
        told = done or event.get("kind") == "epoch" or self.heard - last >= LOG_SECONDS
        if self.writes and told:
            self.folder.log({"event": "progress", **event})
            self._logged[event["stage"]] = self.heard
        if self.progress is not None:
            self.progress(event)
        if self.stopping:
            raise Interrupted("interrupted; the state is saved.")

    @contextlib.contextmanager
    def obeying_signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into a stop at the next event; a second one stops at once.

        Yields
        ------
        None
            While the signals are handled; the former handlers return afterwards.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._signalled) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, *_: Any) -> None:
        if self.stopping or time.monotonic() - self.heard > SILENCE:
            raise Interrupted("interrupted; the last checkpoint stays.")
        self.stopping = True


def load_data(config: RunConfig, split: str = "train") -> Dataset:
    """Load the data that a configuration names.

    Parameters
    ----------
    config : RunConfig
        Its section `data` is used.
    split : str, default="train"
        Part of the data.

    Returns
    -------
    Dataset
        Rows, labels, names and files.
    """
    from ot_latent import datasets

    data = config.data
    return datasets.load(
        str(data.codes or data.data),
        split="all" if data.codes else split,
        data_dir=data.data_dir,
        labels=data.labels,
        label_column=data.label_column,
    )


def load_again(
    path: str | os.PathLike[str],
    *,
    data: str | None = None,
    split: str | None = None,
    **options: Any,
) -> Dataset:
    """Load data for a finished run: what is named, else the data that the run was trained on.

    Parameters
    ----------
    path : path
        The run folder.
    data : str, optional
        Named set, file or folder. A run on codes needs it: it was trained on all codes it knows.
    split : str, optional
        Part of the data; default: "test", and "all" for a run on codes.
    **options
        data_dir, labels and label_column; those that are None come from the run where `data` does.

    Returns
    -------
    Dataset
        Rows, labels, names and files.

    Raises
    ------
    RunError
        If no data are named and the folder holds no run that has any left.
    """
    folder = RunFolder(path)
    given = {key: value for key, value in options.items() if value is not None}
    config = folder.config() if folder.started else RunConfig()
    if data is None and config.data.codes is not None:
        raise RunError(
            f"--data must be given for {path}, which was trained on all rows of "
            f"{config.data.codes}, got nothing; pass a file of codes that were left out."
        )
    if data is None and config.data.data is None:
        raise RunError(f"--data must be given for {path}, got nothing and no run that knows it.")
    split = split or ("test" if config.data.codes is None else "all")
    if data is None:
        return load_data(config.updated({"data": given}), split)
    if folder.started and config.data.data_dir:
        given.setdefault("data_dir", config.data.data_dir)
    found = load_data(RunConfig.from_dict({"data": given | {"data": data}}), split)
    if config.data.codes is not None:
        _warn_of_known_codes(found, config)
    return found


def _warn_of_known_codes(data: Dataset, config: RunConfig) -> None:
    known = {source.sha256 for source in config.data.sources}
    if known & {source["sha256"] for source in data.sources}:
        warnings.warn(
            f"{data.name} holds the codes that the run was trained on, so its scores flatter; pass "
            "codes that were left out.",
            UserWarning,
            stacklevel=3,
        )


def train_run(
    folder: RunFolder, config: RunConfig, progress: Progress | None = None
) -> dict[str, Any]:
    """Train what a created folder's configuration says, from its checkpoints where it has any.

    Parameters
    ----------
    folder : RunFolder
        A folder that holds `config`.
    config : RunConfig
        What to run.
    progress : callable, optional
        Called with every event of the fit.

    Returns
    -------
    dict
        What ``run.json`` says.

    Raises
    ------
    Interrupted
        If the process was asked to stop; the state is on disk then.
    DataError
        If the data cannot be used, or are not those that the run began with.
    """
    recorder = Recorder(folder, config.training.checkpoint_seconds, progress)
    began = time.monotonic()
    with recorder.obeying_signals():
        check_sources(config)
        data = load_data(config)
        fit = _fit_sampler if config.data.codes else _fit_generator
        model = fit(folder, config, data, recorder)
        summary = summarise(model, time.monotonic() - began, data.label_names)
        if recorder.writes:
            save_model(folder, model)
            folder.finish(summary)
            folder.log({"event": "finished", "seconds": summary["seconds"]})
    return summary


def solve_run(
    folder: RunFolder,
    tolerance: float | None = None,
    progress: Progress | None = None,
    *,
    class_weights: Mapping[Any, float] | None = None,
    classes: bool = False,
) -> dict[str, Any]:
    """Solve the transport of a finished run again, from its stored codes and heights.

    Parameters
    ----------
    folder : RunFolder
        A folder that holds a model.
    tolerance : float, optional
        Cell error at which the solver stops; default: that of the run.
    progress : callable, optional
        Called with every event of the solver.
    class_weights : mapping, optional
        Factors of labels' masses, as in `OTSampler.reweight`.
    classes : bool, default=False
        Whether to solve the transport of every label, too.

    Returns
    -------
    dict
        What ``run.json`` says now.

    Raises
    ------
    Interrupted
        If the process was asked to stop; the same call continues then.
    """
    from ot_latent._solvers import planned_tolerance
    from ot_latent.transport.stochastic import StochasticNewtonState

    model = load_model(folder.path)
    sampler = sampler_of(model)
    given = sampler.tolerance if tolerance is None else tolerance
    tolerance = planned_tolerance(sampler.solver, sampler.source_, given)
    suffix = f"-{tolerance:g}"  # another tolerance is another solve, and so are other masses
    if class_weights is not None:
        text = ",".join(f"{label}={weight:g}" for label, weight in class_weights.items())
        suffix += f"-{zlib.crc32(text.encode()):08x}"
    stage = f"transport{suffix}"
    state = folder.load_states({stage: StochasticNewtonState}).get(stage)
    recorder = Recorder(folder, CHECKPOINT_SECONDS, progress, suffix)
    began = time.monotonic()
    with recorder.obeying_signals():
        if class_weights is None:
            sampler.resolve(tolerance, callback=recorder, state=state)
        else:
            sampler.reweight(class_weights, tolerance=tolerance, callback=recorder, state=state)
        if classes:
            sampler.solve_classes(callback=recorder)
        before = folder.summary() if folder.complete else {}
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        summary = summarise(model, seconds, before.get("label_names"))
        save_model(folder, model)
        folder.finish(summary)
        folder.log({"event": "solved", "tolerance": tolerance, "seconds": seconds})
    return summary


def _fit_generator(
    folder: RunFolder, config: RunConfig, data: Dataset, recorder: Recorder
) -> LatentGenerator:
    from ot_latent.generator import LatentGenerator
    from ot_latent.latent.training import TrainingState
    from ot_latent.transport.stochastic import StochasticNewtonState

    classes = {"autoencoder": TrainingState, "transport": StochasticNewtonState}
    states = folder.load_states(classes)
    generator = LatentGenerator.from_config(config)
    return generator.fit(data.x, data.y, groups=data.groups, callback=recorder, state=states)


def _fit_sampler(
    folder: RunFolder, config: RunConfig, data: Dataset, recorder: Recorder
) -> OTSampler:
    from ot_latent.estimators import OTSampler
    from ot_latent.transport.stochastic import StochasticNewtonState

    state = folder.load_states({"transport": StochasticNewtonState}).get("transport")
    extension = config.extension.to_dict()
    extension["extension"] = extension.pop("kind")
    settings = config.transport.to_dict() | extension | {"random_state": config.seed}
    sampler = OTSampler(**settings)
    return sampler.fit(data.x, data.y, callback=recorder, state=state, groups=data.groups)


def check_sources(config: RunConfig) -> None:
    """Refuse data that changed since the run began.

    Parameters
    ----------
    config : RunConfig
        With the digests that were taken then.

    Raises
    ------
    DataError
        If a file is gone or holds something else.
    """
    for source in config.data.sources:
        if not source.sha256:  # bundled with a package
            continue
        path = Path(source.path)
        if not path.exists():
            raise DataError(
                f"{path} must still be there, got nothing at that place; put the data back to "
                "continue the run."
            )
        if describe_file(path)["sha256"] != source.sha256:
            raise DataError(
                f"{path} must hold what it held when the run began, got other content; restore "
                "the file or train again with --overwrite."
            )
