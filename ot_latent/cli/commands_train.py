"""``train`` and ``solve``: the commands that change a run folder."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from ot_latent.cli.command import Maybe
from ot_latent.cli.console import Console
from ot_latent.config import (
    ConfigError,
    Depth,
    Device,
    ExtensionKind,
    Initialisation,
    Loss,
    Model,
    Prior,
    Regulariser,
    RunConfig,
    SolverName,
    SourceName,
)

if TYPE_CHECKING:
    from ot_latent.run_folder import RunFolder

SETTINGS = {
    "data": ("data", "data_dir", "labels", "label_column", "channels", "codes"),
    "autoencoder": (
        *("model", "latent_dim", "width", "depth", "initialisation", "loss"),
        *("code_noise", "code_penalty", "neighbour_weight", "prior", "prior_weight", "deformation"),
        *("regulariser", "skip", "bottleneck_rank"),
    ),
    "training": (
        *("epochs", "batch_size", "lr", "mixed_precision", "checkpoint_seconds"),
        *("refine_epochs", "refine_features", "refine_adversarial", "refine_local"),
    ),
    "transport": ("source", "solver", "tolerance", "memory_budget", "max_samples"),
}
PATHS = ("data_dir", "labels", "codes")


@dataclass(frozen=True)
class Train:
    """Fit a generator to data, or continue an interrupted run.

    Options left out take their value from --config, else the default that --print-config shows.
    """

    out: Maybe[Path] = None
    """Run folder: configuration, log, checkpoints and the model."""
    data: Maybe[str] = None
    """Named set (digits, mnist, fashion-mnist, twemoji, wine, adult), .npy/.npz/IDX file, folder of
    images (sub-folders are labels), or .csv/.parquet table."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    download: bool = False
    """Fetch a named set that is not there, checked by sha256."""
    codes: Maybe[str] = None
    """File of codes (n, d): transport only, codes in, codes out."""
    labels: Maybe[str] = None
    """File of labels, one per row."""
    label_column: Maybe[str] = None
    """Column of a table that holds the labels."""
    channels: Maybe[Literal["first", "last"]] = None
    """Which axis of an image holds the colours, where the shape leaves it open."""
    config: Maybe[Path] = None
    """YAML file of settings; options given here win."""
    resume: bool = False
    """Continue the run in --out where it was interrupted; needs no other option."""
    overwrite: bool = False
    """Delete the run that --out holds."""
    seed: Maybe[int] = None
    """Seed of everything random."""
    device: Maybe[Device] = None
    """Where to compute."""
    model: Maybe[Model] = None
    """Kind of autoencoder."""
    latent_dim: Maybe[int] = None
    """Dimension of the codes."""
    width: Maybe[int] = None
    """Channels of the first layer."""
    depth: Maybe[Depth] = None
    """Hidden layers of an mlp, layers per scale of the others; auto: as many as precision and chance allow."""
    initialisation: Maybe[Initialisation] = None
    """Gain of the first weights: sqrt(2), or critical."""
    epochs: Maybe[int] = None
    """Passes over the data (default: chosen from their number)."""
    batch_size: Maybe[int] = None
    """Rows per step (default: chosen from their number and size)."""
    lr: Maybe[float] = None
    """Peak learning rate."""
    loss: Maybe[Loss] = None
    """Reconstruction loss."""
    code_noise: Maybe[float] = None
    """Noise on the codes in training, in units of their rms."""
    code_penalty: Maybe[float] = None
    """Weight of the mean squared code."""
    neighbour_weight: Maybe[float] = None
    """Weight of the term that makes kinds of data islands of codes; try 0.05 with --latent-dim 2."""
    prior: Maybe[Prior] = None
    """vae, wae: an autoencoder whose decoded normal noise are samples, too (evaluate --baselines prior)."""
    prior_weight: Maybe[float] = None
    """Weight of the prior's term; less of it reconstructs better."""
    deformation: Maybe[float] = None
    """Smooth deformations of training images: rms of the displacement in pixels."""
    regulariser: Maybe[Regulariser] = None
    """pathprox: rectifiers whose units are shrunk to exact zeros, by the weight decay of --config."""
    skip: Maybe[bool] = None
    """Affine path beside encoder and decoder (default: in an mlp only)."""
    bottleneck_rank: Maybe[int] = None
    """Largest rank of the matrices between two hidden layers."""
    refine_epochs: Maybe[int] = None
    """Further epochs of the decoder alone beside a small critic, to be sharper; try 2."""
    refine_features: Maybe[float] = None
    """Weight of the distance in the critic's features, in these epochs."""
    refine_adversarial: Maybe[float] = None
    """Weight of what the critic says of decoded codes, in these epochs."""
    refine_local: Maybe[float] = None
    """Weight of the gap between rows and what codes beside them decode to, in these epochs; try 1."""
    mixed_precision: Maybe[Literal["no", "bf16", "fp16"]] = None
    """Precision of the forward pass."""
    checkpoint_seconds: Maybe[float] = None
    """Time between two checkpoints."""
    source: Maybe[SourceName] = None
    """Noise: uniform on a box (default) or a ball, or Gaussian."""
    solver: Maybe[SolverName] = None
    """Solver of the transport; auto: exact for up to three dimensions and noise on a box, sampled else."""
    tolerance: Maybe[float] = None
    """Cell error at which the solver stops (default: largest 1e-6 if exact, rms 0.1 if sampled)."""
    max_samples: Maybe[int] = None
    """Largest number of noise samples that a sampled solver may draw."""
    memory_budget: Maybe[str] = None
    """Largest block of scores held in memory, such as 512MB."""
    extension: Maybe[ExtensionKind] = None
    """How the map reaches new codes between the given ones."""
    strict: bool = False
    """Exit with 4 where the transport did not converge."""
    print_config: bool = False
    """Print the resolved configuration and stop."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Train and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0, or 4 where the transport did not converge under ``--strict``.
        """
        if self.print_config:
            sys.stdout.write(self.resolved(RunConfig()).to_yaml())
            return 0
        if self.out is None:
            raise ConfigError("--out must be given, got nothing; pass a folder such as runs/first.")
        from ot_latent.run_folder import RunFolder

        folder = RunFolder(self.out)
        if self.resume and folder.complete:
            return self._told(console, folder, folder.summary(), "finished")
        new = not (self.resume and folder.started)
        config = self._new(folder) if new else self._continued(folder)
        sources = self._sources(config) if new else []
        writes = int(os.environ.get("RANK", "0")) == 0
        with contextlib.ExitStack() as stack:
            if writes:
                stack.enter_context(folder.lock())
            if new and writes:
                config = folder.create(config, sources=sources, overwrite=self.overwrite)
                stack.enter_context(folder.put_back_if_refused())
            if writes:
                folder.log({"event": "start", "command": shlex.join(["ot-latent", *sys.argv[1:]])})
            console.say(f"writing to {self.out}; Ctrl-C is safe, --resume continues.")
            from ot_latent import runs

            try:
                summary = runs.train_run(folder, config, console.progress)
            except KeyboardInterrupt as stop:
                again = f"ot-latent train --out {self.out} --resume"
                raise KeyboardInterrupt(
                    f"{stop or 'interrupted.'} Continue with: {again}"
                ) from None
        return self._told(console, folder, summary, "complete")

    def resolved(self, base: RunConfig) -> RunConfig:
        """Return the configuration: defaults, then --config, then the options.

        Parameters
        ----------
        base : RunConfig
            What holds where nothing else is said.

        Returns
        -------
        RunConfig
            The validated configuration.
        """
        if self.config is not None:
            if not self.config.is_file():
                raise ConfigError(
                    f"--config must be a YAML file, got {self.config}; check the path."
                )
            base = RunConfig.from_yaml(self.config.read_text(encoding="utf-8"))
        return base.updated(self._changes())

    def _changes(self) -> dict[str, Any]:
        """Return the settings given as options, nested as in the configuration."""
        changes: dict[str, Any] = {
            section: {key: value for key in keys if (value := getattr(self, key)) is not None}
            for section, keys in SETTINGS.items()
        }
        for key in PATHS:
            if key in changes["data"]:
                changes["data"][key] = str(Path(changes["data"][key]).resolve())
        data = changes["data"].get("data")
        if data is not None and Path(data).exists():
            changes["data"]["data"] = str(Path(data).resolve())
        if self.extension is not None:
            changes["extension"] = {"kind": self.extension}
        top = {"seed": self.seed, "device": self.device}
        changes |= {key: value for key, value in top.items() if value is not None}
        return {key: value for key, value in changes.items() if value != {}}

    def _new(self, folder: RunFolder) -> RunConfig:
        """Return the configuration of a new run, which must name its data."""
        config = self.resolved(RunConfig())
        if config.data.data is None and config.data.codes is None:
            what = (
                f"nothing, and {folder.path} holds no run to resume" if self.resume else "nothing"
            )
            raise ConfigError(
                f"train must be given data, got {what}; pass --data NAME_OR_FILE or --codes FILE."
            )
        if config.data.data is not None and config.data.codes is not None:
            raise ConfigError("train must be given --data or --codes, got both; leave one out.")
        return config

    def _sources(self, config: RunConfig) -> list[dict[str, Any]]:
        """Return path, digest and size of the files that the data will be read from."""
        from ot_latent import datasets
        from ot_latent.datasets.record import describe_file

        data = config.data
        name, where = str(data.data or data.codes), data.data_dir
        files = datasets.locate(name, data_dir=where, download=self.download)
        labels = [] if data.labels is None else datasets.locate(data.labels)
        return [dict(describe_file(path)) for path in (*files, *labels)]

    def _continued(self, folder: RunFolder) -> RunConfig:
        """Return the configuration of a run that is to be resumed, if nothing contradicts it."""
        config = folder.config()
        folder.check_version(config)
        asked = self.resolved(config).to_dict()
        for section, there in config.to_dict().items():
            if section in ("versions", "data") or asked[section] == there:
                continue
            raise ConfigError(
                f"{folder.path} must be resumed as it was started ({section}: {there}), got "
                f"{asked[section]}; leave the options out, or start anew with --overwrite."
            )
        return config

    def _told(
        self, console: Console, folder: RunFolder, summary: Mapping[str, Any], word: str
    ) -> int:
        console.say(f"{folder.path} is {word}: {describe(summary)}")
        console.result({"out": str(folder.path), **summary})
        return 4 if self.strict and summary["transport"]["status"] != "CONVERGED" else 0


@dataclass(frozen=True)
class Solve:
    """Solve the transport of a run again, from its stored heights; the autoencoder stays."""

    run: Positional[Path]
    """Run folder."""
    tolerance: Maybe[float] = None
    """Cell error at which the solver stops (default: that of the run)."""
    class_weights: Annotated[tuple[str, ...], arg(metavar="LABEL=FACTOR ...")] = ()
    """Factors of labels' masses, such as 3=0.5; the others keep their proportions."""
    classes: bool = False
    """Solve the transport of every label, too, which sample --label otherwise does each time."""
    strict: bool = False
    """Exit with 4 where the solver did not converge."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Solve and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0, or 4 where the solver did not converge under ``--strict``.
        """
        from ot_latent import run_models, runs
        from ot_latent.run_folder import RunFolder

        folder = RunFolder(self.run)
        run_models.require_model(self.run)
        weights = self._weights()
        with folder.lock():
            try:
                summary = runs.solve_run(
                    folder,
                    self.tolerance,
                    console.progress,
                    class_weights=weights,
                    classes=self.classes,
                )
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(
                    f"{stop or 'interrupted.'} The same command continues; until then the run "
                    "keeps its old transport."
                ) from None
        console.say(f"{folder.path} is solved: {describe(summary)}")
        console.result({"out": str(folder.path), **summary})
        return 4 if self.strict and summary["transport"]["status"] != "CONVERGED" else 0

    def _weights(self) -> dict[Any, float] | None:
        """Return the factors by label, as the model knows them."""
        from ot_latent import run_models

        if not self.class_weights:
            return None
        model, weights = run_models.load_model(self.run), {}
        for text in self.class_weights:
            label, found, factor = text.rpartition("=")
            try:
                value = float(factor)
            except ValueError:
                found = ""
            if not found:
                raise ConfigError(
                    f"--class-weights must be factors of labels such as 3=0.5, got {text!r}."
                )
            weights[run_models.find_label(self.run, model, label)] = value
        return weights


def describe(summary: Mapping[str, Any]) -> str:
    """Say in one line how far a run converged.

    Parameters
    ----------
    summary : mapping
        What ``run.json`` says.

    Returns
    -------
    str
        For example ``transport CONVERGED, rms cell error 0.097 [0.092, 0.101]``.
    """
    solution = summary["transport"]
    low, high = solution["mass_error_interval"]
    certainty = "exact" if solution["error_norm"] != "rms" else f"[{low:.3g}, {high:.3g}]"
    return (
        f"{summary['targets']} codes of dimension {summary['latent_dim']}, transport "
        f"{solution['status']}, {solution['error_norm']} cell error {solution['mass_error']:.3g} "
        f"{certainty}, {summary['seconds']:.0f} s"
    )
