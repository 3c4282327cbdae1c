"""The samplers that generation is measured with: ours, the control, and the rivals, on the same codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ot_latent.baselines import (
    BetaCopulaSampler,
    ControlSampler,
    FlowMatchingSampler,
    GaussianSampler,
    KernelDensitySampler,
    MixtureSampler,
    NormalisingFlowSampler,
    PlainMapSampler,
    ReferenceRuleSampler,
    VineCopulaSampler,
)
from ot_latent.baselines.matching import FEW_DIMENSIONS
from ot_latent.estimators import OTSampler


class Sampler(Protocol):
    def sample(self, n: int, random_state: int) -> np.ndarray: ...


class Fits:
    """Samplers of one set of codes; transports are solved once and shared.

    A sampler that was fitted to these codes already is taken as the default one.
    """

    def __init__(
        self, codes: np.ndarray, seed: int, fitted: OTSampler | None = None, **options: Any
    ) -> None:
        self.codes, self.seed, self.fitted, self.options = codes, seed, fitted, options

    def transport(self, extension: str) -> OTSampler:
        """Return our sampler with an extension."""
        settings = {"extension": extension, "random_state": self.seed} | self.options
        return OTSampler(**settings).fit(self.codes)

    @cached_property
    def default(self) -> OTSampler:
        return self.fitted or self.transport("auto")

    @cached_property
    def affine(self) -> OTSampler:
        same = self.default.map_.kind == "affine"
        return self.default if same else self.transport("affine")


def flow(f: Fits, coupling: str) -> Sampler:
    """Return a flow trained by matching; in the plane a smaller one, integrated in finer steps."""
    plane = {"width": 128, "steps": 2000, "integration_steps": 32}
    given = plane if f.codes.shape[1] <= FEW_DIMENSIONS else {}
    return FlowMatchingSampler(f.affine, coupling, random_state=f.seed, **given).fit()


METHODS: dict[str, Callable[[Fits], Sampler]] = {
    "ours": lambda f: f.default,
    "control": lambda f: ControlSampler(f.default),
    "ours, affine": lambda f: f.affine,
    "control of affine": lambda f: ControlSampler(f.affine),
    "plain map": lambda f: PlainMapSampler(f.affine),
    "two-cell rule": lambda f: ReferenceRuleSampler(f.affine),
    "Gaussian": lambda f: GaussianSampler().fit(f.codes),
    "mixture, BIC": lambda f: MixtureSampler("bic", f.seed, starts=3).fit(f.codes),
    "kernel density": lambda f: KernelDensitySampler(random_state=f.seed).fit(f.codes),
    "beta copula": lambda f: BetaCopulaSampler().fit(f.codes),
    "vine copula": lambda f: VineCopulaSampler().fit(f.codes),
    "flow, independent": lambda f: flow(f, "independent"),
    "flow, mini-batch": lambda f: flow(f, "minibatch"),
    "flow, semi-discrete": lambda f: flow(f, "semidiscrete"),
    "normalising flow": lambda f: NormalisingFlowSampler(random_state=f.seed).fit(f.codes),
}
