"""A latent flow trained by flow matching, on independent, mini-batch or semi-discrete couplings.

All three share the codes, the noise, the network, the steps and the batch size; only the pairs
of noise and codes differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ot_latent._random import BLOCK_ROWS, Stream, seed_from
from ot_latent._validation import check_positive
from ot_latent.baselines.base import Borrowed
from ot_latent.latent.flow import FlowConfig, train_flow
from ot_latent.latent.pairing import pairs_of
from ot_latent.transport.coupling import SemiDiscreteCoupling

COUPLINGS = ("independent", "minibatch", "semidiscrete")
FEW_DIMENSIONS, FEW_WAVES = 3, 4


class FlowMatchingSampler(Borrowed):
    """A velocity field learnt between the noise and the codes of a fitted sampler.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose codes, masses and noise are used; its solved transport only by the
        coupling "semidiscrete".
    coupling : {"independent", "minibatch", "semidiscrete"}, default="semidiscrete"
        How noise and codes are paired in training.
    steps : int, default=3000
        Steps of training.
    width, depth : int, default=256, 3
        Size of the network.
    batch_size : int, default=256
        Pairs per step.
    integration_steps : int, default=8
        Steps of the midpoint rule when sampling, two evaluations each.
    random_state : int, default=0
        Seed of the training.
    waves : int, optional
        Sines and cosines of every coordinate among the network's inputs; by default 4 in up to three
        dimensions, where fields are hard to learn without, and none above.

    Attributes
    ----------
    flow_ : Flow
        The trained flow, in the sampler's standardised units.
    """

    def __init__(
        self,
        sampler: Any,
        coupling: str = "semidiscrete",
        *,
        steps: int = 3000,
        width: int = 256,
        depth: int = 3,
        batch_size: int = 256,
        integration_steps: int = 8,
        random_state: int = 0,
        waves: int | None = None,
    ) -> None:
        super().__init__(sampler)
        self.coupling = coupling
        self.steps = steps
        self.width = width
        self.depth = depth
        self.batch_size = batch_size
        self.integration_steps = integration_steps
        self.random_state = random_state
        self.waves = waves

    def fit(self, Z: Any = None, y: Any = None) -> FlowMatchingSampler:
        """Train the flow.

        Parameters
        ----------
        Z, y : ignored
            The sampler has the codes.

        Returns
        -------
        FlowMatchingSampler
            This object.

        Raises
        ------
        ValueError
            If the coupling is unknown or a number is not positive.
        """
        if self.coupling not in COUPLINGS:
            raise ValueError(
                f"coupling must be one of {', '.join(COUPLINGS)}, got {self.coupling!r}; choose one."
            )
        check_positive(self.integration_steps, "integration_steps", integer=True)
        sampler: Any = self.sampler
        seed, points = seed_from(self.random_state), sampler.transport_.potential.points
        waves = self.waves
        if waves is None:
            waves = FEW_WAVES if points.shape[1] <= FEW_DIMENSIONS else 0
        config = FlowConfig(width=self.width, depth=self.depth, steps=self.steps, waves=waves)
        device = str(points.device)
        pairs = self._pairs(seed)
        self.flow_ = train_flow(pairs, points.shape[1], config, seed=seed, device=device)
        return self

    def _pairs(self, seed: int) -> Any:
        """Return the function from steps to pairs."""
        sampler: Any = self.sampler
        points, weights = sampler.transport_.potential.points, sampler.weights_
        if self.coupling == "semidiscrete":
            coupling = SemiDiscreteCoupling(
                sampler.transport_,
                source=sampler.source_,
                weights=weights,
                batch_size=self.batch_size,
                seed=seed,
            )

            def optimal(step: int) -> tuple[Any, ...]:
                found = coupling.batch(step)
                return found.noise.float(), found.point.float()

            return optimal

        def noise(start: int, rows: int) -> Any:
            return sampler.source_.sample(
                rows, seed=seed, stream=Stream.COUPLING, start=start, dtype=points.dtype
            ).float()

        return pairs_of(
            points.float(),
            noise,
            kind=self.coupling,
            weights=weights,
            batch_size=self.batch_size,
            seed=seed,
        )

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes; row i depends on (seed, i) only.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; the same seed gives the noise of ``sampler.sample``.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.

        Raises
        ------
        ValueError
            If the flow is not trained or `n` is not a positive integer.
        """
        if not hasattr(self, "flow_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "FlowMatchingSampler must be fitted before it samples; call fit() first."
            )
        check_positive(n, "n", integer=True)
        points = self.sampler.transport_.potential.points
        x = self.sampler.source_.sample(
            -(-n // BLOCK_ROWS) * BLOCK_ROWS,
            seed=seed_from(random_state),
            stream=Stream.SAMPLING,
            dtype=points.dtype,
            device=points.device,
        )
        return self.sampler.codes(self.flow_(x.float(), steps=self.integration_steps))[:n]
