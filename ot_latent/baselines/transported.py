"""The transport's own parts as rivals: without its extension, and its extension without it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import BLOCK_ROWS, Stream, generator, seed_from
from ot_latent.baselines.base import Borrowed
from ot_latent.transport.extension import ANGLE, ExtendedMap

PAIRS = 4096  # draws behind the scale of the control's residuals


class PlainMapSampler(Borrowed):
    """The transport without its extension: covers the codes and copies them.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose noise and cells are used.
    """

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes of the fit.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; the same seed gives the cells of ``sampler.sample``.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.
        """
        _, cells = self._drawn(n, seed_from(random_state))
        return self.sampler.codes(self.sampler.transport_.potential.points[cells])[:n]

    def targets(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Return the target behind each row of `sample`: what a sample is by construction.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed, that of `sample`.

        Returns
        -------
        ndarray of shape (n,)
            Numbers of targets; their labels are ``sampler.labels_[targets]``.
        """
        return self._drawn(n, seed_from(random_state))[1][:n].cpu().numpy()

    def _drawn(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return noise and its targets, in whole blocks."""
        return self.sampler.draw(n, seed)


class ControlSampler(PlainMapSampler):
    r"""The same extension without transport.

    A code is drawn with its mass :math:`\nu_j`, whatever the noise; the extension of its cell
    is applied to the residual :math:`x - c_i` of a fresh noise point in *its own* cell i, moved to
    :math:`c_j + x - c_i`. The residuals thus have exactly the law that they have under the
    transport, pooled over cells; centres, spread, neighbours, tears, rejection and redraws are the
    map's own. Only the bond between noise and code is cut. (With normal residuals this would be the
    manifold Parzen windows of Vincent and Bengio, 2002; normal residuals have longer tails than
    those of a bounded noise, which would blur the comparison.)

    Affine laws are calibrated to residuals in their own cells, which are short where codes spread
    far; residuals of other cells would make them too wide. They are scaled by one number, measured
    on 4,096 draws, at which the laws vary as much as under the transport.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose noise, local laws and masses are used.
    """

    _number = 3

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes with their local spread, independently of the noise's cell.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.
        """
        seed = seed_from(random_state)
        x, atoms = self._drawn(n, seed)
        return self.sampler.codes(self.sampler.map_.spread(x, atoms, seed=seed))[:n]

    def _drawn(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return noise moved to the cells of targets that are drawn by their masses."""
        sampler = self.sampler
        x, own_cells = sampler.draw(n, seed)
        edges = np.cumsum(sampler.weights_.cpu().numpy())[:-1]
        uniform = np.concatenate(
            [
                generator(seed, Stream.BASELINE, block, self._number).random(BLOCK_ROWS)
                for block in range(len(x) // BLOCK_ROWS)
            ]
        )
        atoms = torch.from_numpy(np.searchsorted(edges, uniform, side="right")).to(x.device)
        centroids = sampler.map_.centroids
        if centroids is not None:
            x = centroids[atoms] + self._shrinkage() * (x - centroids[own_cells])
        return x, atoms

    def _shrinkage(self) -> float:
        """Return the factor at which residuals of other cells vary a law as much as its own do."""
        map_ = self.sampler.map_
        if map_.kind != "affine":
            return 1.0
        x, cells = self.sampler.draw(PAIRS, 0)
        own = map_.residual(x, cells)
        still = map_.local_law(cells, torch.zeros_like(own))
        wide, right = (
            float((map_.local_law(cells, r) - still).square().sum()) for r in (own.roll(1, 0), own)
        )
        return math.sqrt(right / wide) if wide > 0 else 1.0


class ReferenceRuleSampler(Borrowed):
    """The two-cell rule of the AE-OT reference code on the same transport (`transport.two_cell`).

    Noise goes to a fixed mixture of the codes of its two best cells; pairs beyond the angle are
    redrawn, where the reference code discards them.

    Parameters
    ----------
    sampler : OTSampler
        A fitted sampler, whose noise and cells are used.
    angle : float, default=0.7
        Largest dihedral angle of a pair, in radians: the reference code's for images.
    """

    def __init__(self, sampler: Any, angle: float = ANGLE) -> None:
        super().__init__(sampler)
        self.angle = angle

    def sample(self, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw codes between pairs of codes of the fit.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed; the same seed gives the cells of ``sampler.sample``.

        Returns
        -------
        ndarray of shape (n, d)
            Codes.

        Raises
        ------
        ValueError
            If `angle` does not lie in (0, pi].
        """
        if not 0.0 < self.angle <= math.pi:
            raise ValueError(f"angle must lie in (0, pi], got {self.angle}; pass {ANGLE}.")
        seed, own = seed_from(random_state), self.sampler.map_
        rule = ExtendedMap.build(
            own.potential, own.centroids, own.within_scale, kind="two-cell", angle=self.angle
        )
        x, cells = self.sampler.draw(n, seed)
        return self.sampler.codes(rule.spread(x, cells, seed=seed))[:n]
