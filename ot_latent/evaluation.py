"""Judge a model: which scores, on which features, against which baselines, as one record.

The held-out data are cut into two halves. Half B is the reference; samplers and ceiling face it
alike. The ceiling, ``heldout``, are the reconstructions of half A: what the decoder lets through;
``real``, half A itself, is the floor that two samples of the data show. A score of the model
means something only between the ceiling and the baselines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._apart import apart, check_groups
from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_array, check_same_length
from ot_latent.baselines import (
    BetaCopulaSampler,
    ControlSampler,
    FlowMatchingSampler,
    GaussianSampler,
    KernelDensitySampler,
    MixtureSampler,
    NormalisingFlowSampler,
    PlainMapSampler,
    PriorSampler,
    ReferenceRuleSampler,
    VineCopulaSampler,
)
from ot_latent.estimators import OTSampler
from ot_latent.evidence import manifold_evidence
from ot_latent.scores import Items, Judge
from ot_latent.transport.extension import in_blocks

if TYPE_CHECKING:
    from ot_latent.fitted import FittedGenerator

BASELINES = ("gaussian", "gmm10", "plain", "control", "heldout")
OTHERS: tuple[str, ...] = ("gmm", "kde", "reference_rule", "copula", "vine", "flow")  # on request
OTHERS += ("matching_independent", "matching_minibatch", "matching_semidiscrete", "prior")
FEWEST = 40  # held-out rows below which the scores say nothing
FITTED_ROWS = 20_000  # codes that a mixture is fitted to at most

Features = Callable[[np.ndarray], Any]


def evaluate(
    model: FittedGenerator | OTSampler,
    X_test: Any,
    y: Any = None,
    *,
    baselines: Iterable[str] = BASELINES,
    features: Features | None = None,
    seed: int = 0,
    limit: int = 10_000,
    resamples: int = 50,
    manifold: bool = True,
    X_other: Any = None,
    groups: Any = None,
) -> dict[str, Any]:
    """Judge a fitted generator, or a sampler of codes, on held-out data.

    Parameters
    ----------
    model : LatentGenerator or OTSampler
        What is judged.
    X_test : array-like
        Held-out rows of data (generator) or codes (sampler), at least 40.
    y : array-like of shape (n,), optional
        Their labels; only checked for length: modes of all items are judged alike.
    baselines : iterable of str
        Any of "gaussian", "gmm10", "plain", "control", "heldout"; on request "gmm" (components
        chosen by BIC), "kde" (bandwidth by held-out likelihood), "reference_rule" (the
        two-cell rule of the AE-OT reference code on the same cells), "copula" (empirical beta),
        "vine" (needs pyvinecopulib), "flow" (needs zuko), "matching_independent", "matching_minibatch",
        "matching_semidiscrete" (latent flows by flow matching on three couplings), "prior" (standard
        normal codes, of an autoencoder trained with a prior).
    features : callable, optional
        Takes rows of data, returns (n, f) features; by default the classifier of the fit where
        there is one, else the codes.
    seed : int, default=0
        Seed of the halves, of the samples and of the intervals.
    limit : int, default=10000
        Largest number of items of a half and of generated items.
    resamples : int, default=50
        Resamples of an interval.
    manifold : bool, default=True
        Whether to add the block of evidence that a manifold was learnt.
    X_other : array-like, optional
        Rows of another data set of the same layout, for the off-manifold score.
    groups : array-like of shape (n,), optional
        Groups of the held-out rows, of variants of one thing; halves do not cut through them, else
        floor and ceiling would share items with the reference.

    Returns
    -------
    dict
        The scores of `scores.KEYS`, each {value, low, high, features, n}; ``baselines`` with
        the same per baseline (``heldout`` adds ``real``); ``manifold``; ``protocol``.

    Raises
    ------
    DataError
        If there are fewer than 40 held-out rows, or they are not like the data of the fit.
    ValueError
        If a baseline is unknown, or "prior" is asked for where there is none.
    """
    names = _known(baselines)
    eye = _Eye.of(model, features)
    _check_prior(names, eye.coder)
    if eye.coder is None:
        _check_columns(X_test, eye.sampler.n_features_in_)
    first, second = _halves(X_test, y, seed, limit, groups)
    reference = eye.items(second)
    judge = Judge(reference, eye.train_codes, eye.name, seed, resamples)
    n = len(second)
    record: dict[str, Any] = judge.score(eye.made(eye.sampler.sample(n, random_state=seed)))
    record["baselines"] = {}
    for name in [n for n in names if n != "heldout"]:
        rival = _rival(name, eye.sampler).fit(_some(eye.train_codes, seed))
        made = eye.made(rival.sample(n, random_state=seed))
        record["baselines"][name] = judge.score(made)
    if "heldout" in names:
        real = judge.score(eye.items(first))
        rebuilt = real if eye.coder is None else judge.score(eye.rebuilt(first))
        record["baselines"] |= {"heldout": rebuilt, "real": real}
    coder = getattr(model, "coder_", None)
    if manifold and coder is not None:
        train_error = getattr(model, "train_error_", None)
        record["manifold"] = manifold_evidence(
            coder, second, train_error=train_error, other=X_other, seed=seed
        )
    record["protocol"] = _protocol(eye, n, seed, resamples)
    return record


@dataclass(frozen=True, eq=False)
class _Eye:
    """How data and codes become items: coder, features, judge of the modes."""

    sampler: OTSampler
    coder: Any
    classifier: Any
    features: Features | None
    train_codes: np.ndarray

    @classmethod
    def of(cls, model: Any, features: Features | None) -> _Eye:
        """Return the eye of a model."""
        sampler = getattr(model, "sampler_", model)
        train = sampler.codes(sampler.transport_.potential.points)
        coder, classifier = getattr(model, "coder_", None), getattr(model, "classifier_", None)
        return cls(sampler, coder, classifier, features, train)

    @property
    def name(self) -> str:
        """What the features are."""
        if self.features is not None:
            return getattr(self.features, "__name__", type(self.features).__name__)
        return "codes" if self.classifier is None else "classifier"

    def items(self, data: np.ndarray, codes: np.ndarray | None = None) -> Items:
        """Return rows of data as items; `codes` are those that they were decoded from."""
        encoded = data if self.coder is None else None
        if encoded is None and (codes is None or self.name == "codes"):
            encoded = self.coder.encode(data)
        own = encoded if codes is None else codes
        modes = confidence = None
        seen = encoded
        if self.classifier is not None:
            seen, probabilities = self.classifier(data)
            modes, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        elif self.sampler.labels_ is not None:
            modes = self._nearest_labels(np.asarray(own))
        if self.features is not None:
            seen = check_array(self.features(data), "features", ndim=2, min_rows=len(data))
        return Items(np.asarray(seen), np.asarray(own), modes, confidence)

    def made(self, codes: np.ndarray) -> Items:
        """Return generated codes as items."""
        return self.items(codes if self.coder is None else self.coder.decode(codes), codes)

    def rebuilt(self, data: np.ndarray) -> Items:
        """Return the reconstructions of rows of data as items."""
        return self.made(self.coder.encode(data))

    def _nearest_labels(self, codes: np.ndarray) -> np.ndarray:
        """Return the label of the nearest training code, counted from 0."""
        import torch

        from ot_latent.kernels.dispatch import nearest

        points = torch.from_numpy(self.train_codes).float()
        query = torch.from_numpy(codes).float()
        index = in_blocks(lambda z: nearest(z, points)[1][:, 0], 1024, query)
        return np.unique(np.asarray(self.sampler.labels_), return_inverse=True)[1][index.numpy()]


def _known(baselines: Iterable[str]) -> list[str]:
    """Return the names of the baselines, refused where one is unknown."""
    names = [baselines] if isinstance(baselines, str) else list(baselines)
    for name in names:
        if name not in BASELINES + OTHERS:
            raise ValueError(
                f"baselines must be among {', '.join(BASELINES + OTHERS)}, got {name!r}; leave it "
                "out."
            )
    return names


def _check_prior(names: list[str], coder: Any) -> None:
    """Refuse to judge a prior that codes were not trained towards."""
    config = getattr(getattr(coder, "model", None), "config", None)
    if "prior" in names and (config is None or config.prior == "none"):
        raise ValueError(
            "baselines must be without 'prior' for codes that were trained without one, got it; leave "
            "it out, or train with prior='vae' or 'wae' (ot-latent train --prior vae)."
        )


def _check_columns(codes: Any, columns: int) -> None:
    """Refuse what cannot be codes of the sampler."""
    shape = np.shape(codes)
    if len(shape) != 2 or shape[1] != columns:
        raise DataError(
            f"codes must have shape (n, {columns}) as those that the sampler was fitted to, got "
            f"{shape}; encode the data with the same encoder."
        )


def _halves(
    X_test: Any, y: Any, seed: int, limit: int, groups: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut held-out rows at random into two halves of equal size, and through no group."""
    array = check_array(X_test, "X_test")
    if y is not None:
        check_same_length(array, y, ("X_test", "y"))
    if len(array) < FEWEST:
        raise DataError(
            f"X_test must have at least {FEWEST} rows, got {len(array)}; hold out more data."
        )
    rng, half = generator(seed, Stream.SPLIT, 2), min(len(array) // 2, limit)
    kinds = check_groups(groups, len(array))
    if kinds is None:
        order = rng.permutation(len(array))
        return array[np.sort(order[:half])], array[np.sort(order[half : 2 * half])]
    parts = apart(len(array), len(array) // 2, rng, kinds)
    half = min(half, *(len(part) for part in parts))
    first, second = (array[np.sort(part[:half])] for part in parts)
    return first, second


def _rival(name: str, sampler: OTSampler) -> Any:
    """Return an unfitted baseline."""
    makers: dict[str, Callable[[], Any]] = {
        "gaussian": GaussianSampler,
        "gmm10": lambda: MixtureSampler(10),
        "gmm": lambda: MixtureSampler("bic"),
        "kde": KernelDensitySampler,
        "copula": BetaCopulaSampler,
        "vine": VineCopulaSampler,
        "flow": NormalisingFlowSampler,
        "plain": lambda: PlainMapSampler(sampler),
        "control": lambda: ControlSampler(sampler),
        "reference_rule": lambda: ReferenceRuleSampler(sampler),
        "prior": PriorSampler,
    }
    if name.startswith("matching_"):
        return FlowMatchingSampler(sampler, name.removeprefix("matching_"))
    return makers[name]()


def _some(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return at most 20,000 codes, drawn at random."""
    if len(codes) <= FITTED_ROWS:
        return codes
    return codes[generator(seed, Stream.SPLIT, 3).permutation(len(codes))[:FITTED_ROWS]]


def _protocol(eye: _Eye, n: int, seed: int, resamples: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    solution = eye.sampler.transport_
    ceiling = "reconstructions of " if eye.coder is not None else ""
    return {
        "items": "codes" if eye.coder is None else "decoded codes",
        "features": eye.name,
        "reference": f"{n} held-out rows (half B); ceiling: {ceiling}{n} others (half A)",
        "generated": n,
        "training_codes": len(eye.train_codes),
        "interval": f"95 %, {resamples} bootstrap resamples",
        "seed": seed,
        "solver": solution.solver,
        "mass_error": float(solution.mass_error),
        "status": solution.status.name,
    }
