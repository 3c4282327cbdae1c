"""Control of a fitted sampler's distribution: other masses for classes or rows, from the old heights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ot_latent._codes import carriers, check_masses
from ot_latent._conditional import Callback, Conditional
from ot_latent._random import Stream, generator
from ot_latent._solvers import from_draws, planned_tolerance
from ot_latent._validation import DataError
from ot_latent.transport.extension import ExtendedMap
from ot_latent.transport.mass_change import Moved, heights_for_masses
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.stochastic import StochasticNewton

if TYPE_CHECKING:
    from torch import Tensor

BALANCED = "balanced"
SHARE = 1 / 64  # of the draws that a fresh solve plans, behind the change of the heights
FEWEST, MOST = 12, 14  # binary logarithm of these draws


class Controlled(Conditional):
    """The half of `estimators.OTSampler` that gives its targets other masses."""

    tolerance: float | None
    max_samples: int | None
    fit_weights_: Tensor
    check_parameters: Callable[[int], Any]
    map_: ExtendedMap
    _solve: Callable[..., None]

    def reweight(
        self,
        class_weights: Mapping[Any, float] | str | None = None,
        sample_weight: Any = None,
        *,
        class_shares: Mapping[Any, float] | None = None,
        tolerance: float | None = None,
        callback: Callback | None = None,
        state: Any = None,
    ) -> Self:
        """Give the targets other masses and solve from the old heights; the codes stay.

        Masses are those of the fit (or `sample_weight`), times the class weights, normalised:
        calls do not add up, and a call without arguments restores the fit.

        Parameters
        ----------
        class_weights : dict or "balanced", optional
            Factor of the masses by label, as in scikit-learn: ``{3: 0.5}`` makes label 3 half as
            frequent beside the others, which keep their proportions. "balanced" gives all labels
            the same share.
        sample_weight : array-like of shape (n,), optional
            Positive masses of the rows of the fit, in place of those given there.
        class_shares : dict, optional
            Shares of labels in all samples: ``{3: 0.5}`` makes every second sample a 3. Labels left
            out divide the rest in their old proportions.
        tolerance : float, optional
            Cell error at which the solver stops; by default that of the last fit.
        callback, state
            As in `fit`.

        Returns
        -------
        OTSampler
            This estimator, with new `weights_`, `transport_`, `map_` and `potential_`.

        Raises
        ------
        ValueError
            If a label is unknown, the fit had none, or a factor or share cannot be one.
        DataError
            If `sample_weight` does not fit the rows of the fit, or leaves a target without mass.
        """
        check_is_fitted(self)
        if class_weights is not None and class_shares is not None:
            raise ValueError(
                "reweight must be given class_weights or class_shares, got both; leave one out."
            )
        masses = self._row_masses(sample_weight)
        masses = masses * self._class_factors(class_weights, class_shares, masses)
        if tolerance is not None:
            self.tolerance = tolerance
        self.check_parameters(self.n_features_in_)
        points = self.transport_.potential.points
        target = DiscreteMeasure(points, masses / masses.sum())
        known = dict(self.class_solutions_) if sample_weight is None else {}
        # the old heights know the draws that they come from
        block = self.transport_.samples
        seed = int(generator(self.seed_, Stream.REWEIGHTING, block).integers(2**31))
        moved = self._moved(target.weights, seed)
        self._solve(target, seed=seed, heights=moved.heights, callback=callback, state=state)
        total = self.transport_.samples + moved.draws
        self.transport_ = replace(self.transport_, samples=total)
        self.weights_, self.class_solutions_ = target.weights, known
        self.map_ = self._carried(self.map_)
        self._ready()
        if callback is not None:
            callback({"stage": "extension", "progress": 1.0, "state": None})
        return self

    def _carried(self, earlier: ExtendedMap) -> ExtendedMap:
        """Return the map of the new transport by the rule of the fit; codes keep their neighbours."""
        found = self.transport_
        if earlier.kind == "simplex":  # whose corners are centroids
            return self._extended(found, self._groups())
        scale = float(found.within_scale or 0)
        return replace(
            earlier, potential=found.potential, centroids=found.centroids, within_scale=scale
        )

    def _moved(self, masses: Tensor, seed: int) -> Moved:
        """Return what the old solution says of heights for other masses.

        A sampled solver is given heights made of a share of the draws that it would plan. The
        others begin at the old heights, or anew.
        """
        potential = self.transport_.potential
        if not from_draws(self.solver, self.source_):
            return Moved(potential.heights, 0)
        tolerance = planned_tolerance(self.solver, self.source_, self.tolerance)
        planned = StochasticNewton(tolerance=tolerance).planned_samples(len(masses))
        wanted = SHARE * min(planned, self.max_samples or planned)
        draws = 2 ** min(max(round(math.log2(wanted)), FEWEST), MOST)
        return heights_for_masses(
            potential,
            self.source_,
            self.weights_,
            masses,
            None if self.labels_ is None else self._class_numbers(),
            seed=seed,
            draws=draws,
            memory_budget=self.memory_budget,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything large that the fitted sampler holds.

        Returns
        -------
        dict of str to Tensor
            As in `Conditional.to_tensors`, and fit_weights.
        """
        return super().to_tensors() | {"fit_weights": self.fit_weights_}

    @classmethod
    def from_parts(
        cls, tensors: dict[str, Tensor], config: dict[str, Any], device: str = "cpu"
    ) -> Self:
        """Rebuild a fitted sampler from `to_tensors` and `to_config`.

        Parameters
        ----------
        tensors, config, device
            As in `Portable.from_parts`.

        Returns
        -------
        Self
            A sampler that draws the same codes.
        """
        sampler = super().from_parts(tensors, config, device)
        given = tensors.get("fit_weights", sampler.weights_)  # models saved before had one set
        sampler.fit_weights_ = given.to(sampler.weights_.device)
        return sampler

    def _row_masses(self, sample_weight: Any) -> Tensor:
        """Return the masses of the targets before any class is weighted."""
        if sample_weight is None:
            return self.fit_weights_
        rows = check_masses(sample_weight, len(self.inverse_))
        kept = self.inverse_ >= 0
        masses = np.bincount(self.inverse_[kept], rows[kept], minlength=len(self.weights_))
        if masses.min() <= 0:
            raise DataError(
                f"sample_weight must leave every target a positive mass, got none for "
                f"{int((masses <= 0).sum())} of {len(masses)}; pass a small positive mass, or fit "
                "without these rows."
            )
        return torch.from_numpy(masses / masses.sum()).to(self.weights_.device)

    def _class_factors(
        self, weights: Any, shares: Mapping[Any, float] | None, masses: Tensor
    ) -> Tensor:
        """Return the factor of every target's mass."""
        if weights == BALANCED:
            known = [None] if self.labels_ is None else np.unique(self.labels_).tolist()
            weights, shares = None, dict.fromkeys(known, 1.0 / len(known))
        if shares is not None:
            return self._share_factors(shares, masses)
        factors = torch.ones_like(masses)
        for label, weight in ({} if weights is None else dict(weights)).items():
            factors[self._members(label)] = _positive(weight, f"class_weights[{label!r}]")
        return factors

    def _share_factors(self, shares: Mapping[Any, float], masses: Tensor) -> Tensor:
        """Return factors that give labels their shares of the whole."""
        members = {label: self._members(label) for label in shares}
        given = [_positive(share, f"class_shares[{label!r}]") for label, share in shares.items()]
        named = torch.stack(list(members.values())).any(dim=0)
        rest, left = 1.0 - sum(given), float(masses[~named].sum())
        if rest < -1e-9 or (left > 0) != (rest > 1e-9):
            raise ValueError(
                f"class_shares must sum to {'less than ' if left > 0 else ''}1 for "
                f"{'some' if left > 0 else 'all'} of the labels, got {sum(given):g}; divide them."
            )
        factors = torch.full_like(masses, rest / left if left > 0 else 1.0)
        for share, mask in zip(given, members.values(), strict=True):
            factors[mask] = share / float(masses[mask].sum())
        return factors

    def _members(self, label: Any) -> Tensor:
        """Return the mask of a label's targets."""
        return torch.from_numpy(carriers(self.labels_, label)).to(self.weights_.device)


def _positive(value: Any, name: str) -> float:
    """Return a positive finite number, refused with a word on labels without mass."""
    number = float(value) if isinstance(value, int | float | np.number) else float("nan")
    if not 0 < number < float("inf"):
        raise ValueError(
            f"{name} must be a positive number, got {value!r}; a label cannot vanish from a solved "
            "transport: pass a small number, or fit without its rows."
        )
    return number
