"""A run on codes alone with the face of a generator: what it makes and is judged by are codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ot_latent._codes import check_codes
from ot_latent.estimators import OTSampler
from ot_latent.evaluation import BASELINES, evaluate
from ot_latent.transport.solution import SemiDiscreteSolution


@dataclass(frozen=True, eq=False)
class CodeModel:
    """What judges, figures and the report ask of a model, answered for a sampler of codes.

    Attributes
    ----------
    sampler_ : OTSampler
        A fitted sampler.
    coder_, classifier_ : None
        There is neither.
    history_ : list
        Empty: nothing was trained.
    """

    sampler_: OTSampler
    coder_: None = None
    classifier_: None = None
    history_: list[dict[str, Any]] = field(default_factory=list)

    @property
    def transport_(self) -> SemiDiscreteSolution:
        """The solved transport."""
        return self.sampler_.transport_

    def sample(self, n: int = 1, random_state: Any = None, **options: Any) -> np.ndarray:
        """Generate codes.

        Parameters
        ----------
        n, random_state, **options
            As in `OTSampler.sample`.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.
        """
        return self.sampler_.sample(n, random_state, **options)

    def encode(self, X: Any) -> np.ndarray:
        """Return codes as they are, once they are known to be codes of the run's dimension.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Codes.

        Returns
        -------
        ndarray of shape (n, d)
            The same.
        """
        return check_codes(self.sampler_, X, reset=False)

    def evaluate(
        self,
        X_test: Any,
        y: Any = None,
        *,
        baselines: Iterable[str] = BASELINES,
        features: Callable[[np.ndarray], Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Judge the sampler on held-out codes.

        Parameters
        ----------
        X_test, y, baselines, features, **options
            As in `evaluation.evaluate`.

        Returns
        -------
        dict
            The report record, ready for JSON.
        """
        return evaluate(self.sampler_, X_test, y, baselines=baselines, features=features, **options)
