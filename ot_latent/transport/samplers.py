"""The choice of a sampler: crossed draws where they pay, in blocks of the size that costs least."""

from __future__ import annotations

import torch

from ot_latent.transport.crossing import Crossing
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.product import product_form
from ot_latent.transport.sampling import CrossedSampler, IndependentSampler, Sampler
from ot_latent.transport.sources import Source

ROWS = (8, 16, 32, 64, 128, 256)  # of a block
TRIAL_ROWS, TRIAL_BLOCKS = 8, 32  # of the first draws, which measure v
MOST_INFLATION = 2.0  # of the variance; beyond, crossed draws say little that is new
MOST_MODEST = 256  # dimensions
GROWTH = 1.4  # v - 1 grows like this power of the rows minus one; without strata it is linear
FAR_OFF = 1e-3  # of the spread; rounding errors beyond it change winners
PRODUCT_COST = 0.3  # of a multiplication and addition, over that of an addition and a maximum


def best_rows(inflation: float, rows: int, dim: int, targets: int) -> int:
    """Choose the rows of a block so that a unit of information costs least.

    Parameters
    ----------
    inflation : float
        Factor v measured with blocks of some rows.
    rows : int
        Those rows.
    dim : int
        Dimension d; a row's products with the targets are shared by the A draws that it is in.
    targets : int
        Number N of targets; a block of more than N / 16 draws makes early steps too coarse.

    Returns
    -------
    int
        Rows A; one (independent draws) where already the smallest block has v above two (four in
        more than 256 dimensions, where products cost most).

    Examples
    --------
    >>> best_rows(1.3, 16, 64, 60_000), best_rows(3.0, 8, 4, 60_000)
    (16, 1)
    """
    expected = {a: expected_inflation(inflation, rows, a) for a in ROWS}
    cost = {a: expected[a] * (1 + PRODUCT_COST * dim / a) * (1 + 4 * a * a / targets) for a in ROWS}
    most = MOST_INFLATION if dim <= MOST_MODEST else 2 * MOST_INFLATION
    allowed = [a for a in ROWS if expected[a] <= most]
    return min(allowed, key=cost.__getitem__) if allowed else 1


def expected_inflation(inflation: float, rows: int, others: int) -> float:
    """Predict the factor v of blocks of other rows from that of blocks of some.

    Parameters
    ----------
    inflation : float
        Factor v measured with blocks of some rows.
    rows, others : int
        Those rows, and the other ones; one stands for independent draws, of v = 1.

    Returns
    -------
    float
        Factor v; v - 1 grows like a power of the rows minus one.
    """
    return 1 + max(inflation - 1, 0.0) * ((others - 1) / max(rows - 1, 1)) ** GROWTH


class Samplers:
    """The samplers of one problem; what is prepared for crossing is prepared once.

    Parameters
    ----------
    source, target : Source, DiscreteMeasure
        The problem.
    seed : int
        Seed.
    kind : {"auto", "crossed", "independent"}
        Which draws may be made.
    memory_budget : int or str, optional
        Bytes for the kernel of independent draws, or for the packed targets of crossed ones.
    sharded : bool, default=False
        Whether each process meets a part of the targets, see `Crossing`.
    centroids : bool, default=True
        Whether surveys by crossed draws sum up coordinates.

    Raises
    ------
    ValueError
        If draws must be crossed and the source is no product.
    """

    def __init__(
        self,
        source: Source,
        target: DiscreteMeasure,
        seed: int,
        kind: str,
        memory_budget: int | str | None,
        sharded: bool = False,
        centroids: bool = True,
    ) -> None:
        """Cut the source in halves where it is a product."""
        self.source, self.target, self.seed = source, target, seed
        self.kind, self.memory_budget, self.centroids = kind, memory_budget, centroids
        self._crossing: Crossing | None = None
        form = None
        if kind == "crossed" or (kind == "auto" and len(target) > 1 and not _far_off(target)):
            form = product_form(source, target)
        if form is None and kind == "crossed":
            raise ValueError(
                f"source must be a UniformBox or a Gaussian in two or more dimensions for crossed "
                f"draws, got {source}; choose sampling='auto'."
            )
        if form is not None:
            self._crossing = Crossing(source, target, form, memory_budget, sharded)

    def trial(self) -> Sampler:
        """Return the sampler of the first draws.

        Returns
        -------
        Sampler
            Small crossed blocks where that is possible.
        """
        return self.of(TRIAL_ROWS if self._crossing else 1)

    def of(self, rows: int) -> Sampler:
        """Return the sampler of blocks of some rows.

        Parameters
        ----------
        rows : int
            Rows A; one for independent draws.

        Returns
        -------
        Sampler
            The sampler.
        """
        if rows > 1 and self._crossing:
            given = self.source, self.target, self.seed
            return CrossedSampler(*given, rows, self._crossing, self.centroids)
        return IndependentSampler(
            self.source, self.target, self.seed, memory_budget=self.memory_budget
        )

    def chosen_rows(self, inflation: float) -> int:
        """Choose the rows of the blocks after the trial.

        Parameters
        ----------
        inflation : float
            Factor v of the trial.

        Returns
        -------
        int
            Rows A.
        """
        if self._crossing is None:
            return 1
        rows = best_rows(inflation, TRIAL_ROWS, self.target.dim, len(self.target))
        return max(rows, ROWS[0]) if self.kind == "crossed" else rows


def _far_off(target: DiscreteMeasure) -> bool:
    """Whether the targets lie so far from the origin that their dtype rounds what tells them apart.

    Crossed scores are centred and would not see what every other use of the potential suffers from.
    """
    spread, eps = float(target.variances().sum()) ** 0.5, torch.finfo(target.points.dtype).eps
    return FAR_OFF * spread < float(target.mean().abs().max()) * eps
