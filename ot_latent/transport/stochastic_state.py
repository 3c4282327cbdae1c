"""The state of StochasticNewton between two steps, and its exact passage through files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ot_latent.transport.solution import Status

if TYPE_CHECKING:
    from ot_latent.transport.survey import CellSurvey

_TENSORS = ("heights", "average", "close", "age", "average_weight")
_TILED = ("tiles", "tile_inverse")  # None before a look, in files that know none, for few targets
_CURVES = ("batch_samples", "batch_rms", "verdict_samples", "verdict_rms")


@dataclass(frozen=True, kw_only=True, eq=False)
class StochasticNewtonState:
    """Everything that the next step depends on; all draws are numbered rows of named streams.

    Attributes
    ----------
    heights, average : Tensor of shape (N,), float64
        Current iterate and weighted average; the average is the result.
    close : Tensor of shape (N,), float64
        Draws per cell with a small gap, older ones forgotten; of them the cell's own scale is read.
    expected_close : float
        How many the common scale expects of a cell of mass one.
    age : Tensor of shape (N,), float64
        Steps that an earlier solve took for each height.
    average_weight : Tensor of shape (N,), float64
        Sum of the weights in the average of each height.
    step, samples, evaluated : int
        Steps taken, fitting draws and evaluation draws made.
    tiles : Tensor of shape (N,), int64, or None
        Tile of each target, where steps move tiles, too (`tiles.tiles_of`).
    tile_inverse : Tensor of shape (K, K), float64, or None
        How far tiles move for what they lack (`tiles.coarse_inverse`).
    looks : int
        How often facets were looked at for it.
    rows, row : int
        Rows A of a block of A^2 crossed draws (one: independent draws), and the next unused row of
        the fitting stream.
    inflation : float
        Factor v by which crossing inflates the variance of counts, as last measured.
    gap_width, trace : float
        Width delta of the gap count and the trace kappa of the Hessian.
    goal, stalls, last_evaluation : int
        Fitting draws of the next verdict, verdicts without progress, draws of the last verdict.
    warm : bool
        Whether heights were given to start from, which may be good before any plan is fulfilled.
    status : Status or None
        Set once the solver has stopped.
    batch_samples, batch_rms, verdict_samples, verdict_rms : tuple of float
        Curves: the iterate on each batch before it is used, and the average at each verdict.
    survey : CellSurvey or None
        What the last verdict counted, spared from being drawn again; files do not hold it.
    """

    heights: Tensor
    average: Tensor
    close: Tensor
    age: Tensor
    average_weight: Tensor
    tiles: Tensor | None = None
    tile_inverse: Tensor | None = None
    looks: int = 0
    expected_close: float = 0.0
    step: int = 0
    samples: int = 0
    evaluated: int = 0
    rows: int = 1
    row: int = 0
    inflation: float = 1.0
    gap_width: float = 1.0
    trace: float = 1.0
    goal: int = 0
    stalls: int = 0
    warm: bool = False
    last_evaluation: int = 0
    status: Status | None = None
    batch_samples: tuple[float, ...] = ()
    batch_rms: tuple[float, ...] = ()
    verdict_samples: tuple[float, ...] = ()
    verdict_rms: tuple[float, ...] = ()
    survey: CellSurvey | None = None

    def history(self, n: int) -> dict[str, tuple[float, ...]]:
        """Return the curves under the names of `SemiDiscreteSolution.history`.

        Parameters
        ----------
        n : int
            Number of targets.

        Returns
        -------
        dict
            ``samples`` and ``rms`` of the averaged heights at each verdict, the statistical
            ``limit`` there (of as many effective draws), ``batch_samples`` and ``batch_rms`` of the single iterates.
        """
        v = self.inflation
        return {
            "samples": self.verdict_samples,
            "rms": self.verdict_rms,
            "limit": tuple(math.sqrt(max(n - 1, 0) * v / s) for s in self.verdict_samples),
            "batch_samples": self.batch_samples,
            "batch_rms": self.batch_rms,
        }

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the state.

        Returns
        -------
        dict of str to Tensor
            Heights, average and what else there is one number per target of.
        """
        every = {name: getattr(self, name) for name in (*_TENSORS, *_TILED)}
        return {name: tensor for name, tensor in every.items() if tensor is not None}

    def to_metadata(self) -> dict[str, Any]:
        """Return the rest of the state, JSON-able; floats survive JSON exactly.

        Returns
        -------
        dict
            Numbers, curves and the name of the status.
        """
        plain = {k: v for k, v in vars(self).items() if k not in (*_TENSORS, *_TILED, "survey")}
        return plain | {"status": self.status.name if self.status else None}

    @classmethod
    def from_parts(
        cls, tensors: dict[str, Tensor], metadata: dict[str, Any]
    ) -> StochasticNewtonState:
        """Rebuild the state from `to_tensors` and `to_metadata`.

        Parameters
        ----------
        tensors : dict of str to Tensor
            Heights and average.
        metadata : dict
            The rest.

        Returns
        -------
        StochasticNewtonState
            Equal to the state that was taken apart.
        """
        rest: dict[str, Any] = {k: tuple(v) if k in _CURVES else v for k, v in metadata.items()}
        rest["status"] = Status[rest["status"]] if rest.get("status") else None
        rest |= {name: tensors[name] for name in _TENSORS}
        rest |= {name: tensors[name] for name in _TILED if name in tensors}
        return cls(**rest)
