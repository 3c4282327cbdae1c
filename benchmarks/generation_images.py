"""Generated images, sampler by sampler: one autoencoder per set and seed, the same codes, the same judges.

Half A of the held-out images is what a perfect generator could show (floor), its reconstructions what the
decoder lets through (ceiling); half B is the reference of all. As many training images are what a sampler would show
that draws from their law perfectly. Every row is written as soon as it is there.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import generation_images_models as models, results
from benchmarks.generation_images_judges import Court, Judge, View, court
from benchmarks.generation_samplers import METHODS, Fits
from benchmarks.generation_stacked import LABELLED, labelled
from ot_latent._apart import apart
from ot_latent._random import Stream, generator
from ot_latent.baselines import ControlSampler
from ot_latent.coders import TrainedCoder
from ot_latent.datasets.loading import load
from ot_latent.datasets.record import Dataset
from ot_latent.estimators import OTSampler
from ot_latent.run_models import load_generator

KEY = ("data", "rows", "latent_dim", "method", "seed")
REAL, SEEN, CEILING = "real, other half", "real, training images", "reconstructions"
BLIND = "ours, variants unknown"  # for sets that tell of variants
REFINED = (f"{CEILING}, refined", "ours, refined", "control, refined")  # by a refined decoder
SAME = ("ours, affine", "control of affine")  # above three dimensions the default is affine
SAMPLERS = {name: make for name, make in METHODS.items() if name not in SAME}
COSTLY = ("mixture, BIC", "vine copula", "normalising flow")
ALONE = (*COSTLY, "Gaussian", "kernel density", "beta copula")  # samplers that need no transport
FITTED = 20_000  # codes that a costly sampler is fitted to at most, unless told otherwise
LATENT_DIM, ROWS = 32, 10_000


class Case:
    """One set and seed: images, judges, autoencoder and codes.

    With the option `run`, the autoencoder is that of a finished run of ``ot-latent train`` on the whole
    training part. Its own seed takes the run's transport; other seeds solve theirs anew on the same codes,
    to the run's tolerance, so that they differ in transport, noise and halves.
    """

    def __init__(self, data: str, seed: int, runs: Path, **options: Any) -> None:
        self.data, self.seed = data, seed
        where = {"data_dir": options.get("data_dir")}
        train, test = (load(data, split=split, **where) for split in ("train", "test"))
        labels = None if train.y is None else np.asarray(train.y)
        judges = options.get("judges", runs) / data / "judges"
        self.court: Court = court(judges, train.x, labels, options.get("judge_epochs"))
        run = options.get("run")
        self.model: Any = None if run is None else load_generator(run)
        rows = len(train.x) if run else min(options["rows"], len(train.x))
        order = generator(seed, Stream.SPLIT, 4).permutation(len(train.x))[:rows]
        self.train = train.x[np.sort(order)]
        self.labels = None if labels is None else labels[np.sort(order)]
        self.groups = None if train.groups is None else train.groups[np.sort(order)]
        self.a, self.b = (test.x[part] for part in _halves(test, seed, options.get("limit")))
        self.settings = {k: options[k] for k in ("latent_dim", "epochs")}
        self.options = options
        named = "" if run is None else f"-{models.digest(run, 'encoder')[:12]}"
        self.folder = runs / data / f"{rows}-{self.latent_dim}-{seed}{named}"

    @property
    def latent_dim(self) -> int:
        """Dimension of the codes."""
        return int((self.model or argparse.Namespace(**self.settings)).latent_dim)

    def coder(self, name: str = "coder", **more: Any) -> tuple[TrainedCoder, dict[str, Any]]:
        """Return an autoencoder of the training images, with what its training told."""
        if self.model is not None:
            return self.model.coder_, {"history": self.model.history_, "cpu_s": None}
        settings = self.settings | more
        settings |= {"seed": self.seed, "groups": self.groups}
        return models.coder(self.folder / name, self.train, **settings)

    def refined(self) -> TrainedCoder:
        """Return the run's autoencoder with a refined decoder, shared by all seeds."""
        digest = models.digest(self.options["run"], "decoder")[:12]
        folder = self.folder.parent / f"refined-{digest}"
        return models.refined(folder, self.model, self.train, self.groups)

    def transport(self, codes: np.ndarray) -> OTSampler:
        """Return the transport onto the codes: solved, or read."""
        settings = {"seed": self.seed, "again": self.options.get("again", False)}
        settings |= {"groups": self.groups}
        folder, tolerance = self.folder / "transport", self.options.get("tolerance")
        if self.model is None:
            return models.transport(folder, codes, tolerance=tolerance, **settings)
        kept = self.model.sampler_
        if self.seed == kept.seed_:
            return models.extended(kept, settings["again"])
        labels, tolerance = None if kept.labels_ is None else self.labels, kept.transport_.tolerance
        return models.transport(folder, codes, labels, tolerance=tolerance, **settings)

    def views(self, coder: TrainedCoder) -> dict[str, View]:
        """Return the training images and both halves, with their codes."""
        parts = {"train": self.train, "a": self.a, "b": self.b}
        return {k: self.court.view(x, coder.encode(x)) for k, x in parts.items()}

    def judge(self, views: dict[str, View]) -> Judge:
        """Return the judge by half B."""
        return Judge(views["b"], views["train"], self.seed)

    def told(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return what every row of the case says."""
        return {
            "data": self.data,
            "seed": self.seed,
            "rows": len(self.train),
            "held_out": len(self.b),
            "latent_dim": self.latent_dim,
            "epochs": len(history["history"]),
            "asked_epochs": self.settings["epochs"],
            "train_cpu_s": history["cpu_s"],
            "judges": {space.name: space.digest for space in self.court.spaces},
        }


def _halves(test: Dataset, seed: int, limit: int | None) -> list[np.ndarray]:
    """Return the rows of half A and of half B, none of whose groups is in both."""
    rng, half = generator(seed, Stream.SPLIT, 2), min(len(test) // 2, limit or len(test))
    if test.groups is None:
        order = rng.permutation(len(test))
        return [order[k * half : (k + 1) * half] for k in range(2)]
    parts = apart(len(test), len(test) // 2, rng, test.groups)
    half = min(half, *(len(part) for part in parts))
    return [part[:half] for part in parts]


def run(case: Case, methods: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row per method."""
    coder, history = case.coder()
    views = case.views(coder)
    codes, judge, shared = views["train"].codes, case.judge(views), case.told(history)
    alone = set(methods) <= {REAL, SEEN, CEILING, REFINED[0], *ALONE}
    sampler = None if alone else case.transport(codes)
    fits = Fits(codes, case.seed, sampler)
    most = case.options.get("fitted") or FITTED
    order = generator(case.seed, Stream.SPLIT, 3).permutation(len(codes))[:most]
    few = Fits(codes[np.sort(order)], case.seed, sampler)
    shared["mass_error"] = sampler and float(sampler.transport_.mass_error)
    for method in methods:
        row = shared | {"method": method, "failure": None, "load": os.getloadavg()[0]}
        row["fitted"] = len(few.codes) if method in COSTLY else None
        cpu = time.process_time()
        try:
            made = _made(method, case, coder, views, few if method in COSTLY else fits)
        except (ImportError, ValueError) as error:  # a missing library, a refusal: told as it is
            yield row | {"failure": str(error)}
            continue
        row["cpu_s"] = time.process_time() - cpu
        yield row | judge.score(made)


def _made(method: str, case: Case, coder: TrainedCoder, views: dict[str, View], fits: Fits) -> View:
    """Return what a method shows."""
    if method == REAL:
        return views["a"]
    if method == SEEN:
        rows = generator(case.seed, Stream.SPLIT, 5).permutation(len(case.train))[: len(case.b)]
        return case.court.view(case.train[rows], views["train"].codes[rows])
    if method in REFINED:
        return _made(method.removesuffix(", refined"), case, case.refined(), views, fits)
    if method == CEILING:
        codes = views["a"].codes
    elif method == BLIND:
        codes = models.blind(fits.default).sample(len(case.b), random_state=case.seed)
    elif method in LABELLED:
        ours = labelled(fits.default, case.labels)
        told = ours if method == LABELLED[0] else ControlSampler(ours)
        codes = told.sample(len(case.b), random_state=case.seed)
    else:
        codes = SAMPLERS[method](fits).sample(len(case.b), random_state=case.seed)
    return case.court.view(coder.decode(codes), codes)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a case that the command line gives, the same for all tables of images."""
    names = ("epochs", "tolerance", "again", "data_dir", "judge_epochs", "limit", "run", "fitted")
    sizes = {"rows": options.rows or ROWS, "latent_dim": options.latent_dim or LATENT_DIM}
    return sizes | {name: getattr(options, name) for name in names}


def trained_here(options: argparse.Namespace, seed: int) -> Case:
    """Return a case for several autoencoders, trained here and kept apart by their number of epochs."""
    epochs = options.epochs
    runs = options.runs if epochs is None else options.runs / f"epochs-{epochs}"
    settings = settings_of(options) | {"run": None}  # a run has one autoencoder only
    return Case(options.data, seed, runs, judges=options.runs, **settings)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what is asked for; rows that are there already are kept unless asked for anew."""
    settings = settings_of(options)
    record = results.read(options.out)
    for seed in options.seeds:
        case = Case(options.data, seed, options.runs, **settings)
        known = {tuple(row[k] for k in KEY) for row in record["rows"] if row["failure"] is None}
        own = (options.data, len(case.train), case.latent_dim)
        there = [REAL, SEEN, CEILING, *SAMPLERS, *([] if case.groups is None else [BLIND])]
        there += [] if case.labels is None or case.model is not None else LABELLED
        there += [] if case.model is None else REFINED
        wanted = [m for m in options.methods if m in there]
        if not options.again:
            wanted = [m for m in wanted if (*own, m, seed) not in known]
        for row in run(case, wanted):
            record = results.merge(options.out, [row], KEY)
    return record
