"""Conditional transport of a fitted sampler: all noise onto the codes of one label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ot_latent._codes import carriers
from ot_latent._portable import Portable
from ot_latent._random import Stream, generator
from ot_latent._solvers import solve
from ot_latent.transport.coupling import SemiDiscreteCoupling
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.parts import solution_from_parts, solution_to_config

if TYPE_CHECKING:
    from ot_latent.transport.extension import ExtendedMap
    from ot_latent.transport.solution import SemiDiscreteSolution

Callback = Callable[[dict[str, Any]], bool | None]


@dataclass(frozen=True, eq=False)
class ClassTransport:
    """The transport of all noise onto the codes of one label.

    Attributes
    ----------
    members : Tensor of shape (n,), int64
        Numbers of the targets that carry the label.
    solution : SemiDiscreteSolution
        From the whole source to these targets, in their proportions.
    map_ : ExtendedMap
        Its extended map; cells are numbered among the members.
    """

    members: Tensor
    solution: SemiDiscreteSolution
    map_: ExtendedMap


class Conditional(Portable):
    """The half of `estimators.OTSampler` that answers ``label=``.

    One potential per class carries the *whole* source onto the codes of the class. A label is then
    certain, whatever the accuracy of the solve; a draw costs one draw, however rare the label; and
    one row of noise has a code for every label. The joint potential, which unconditional samples
    come from, is not touched. A class of a share s of the codes costs s^2 of the joint solve (as
    many fewer targets and draws), all classes together a K-th where K classes are equal.
    """

    class_solutions_: dict[int, SemiDiscreteSolution]
    _class_transports: dict[int, ClassTransport]
    _extended: Callable[[SemiDiscreteSolution, Tensor | None], ExtendedMap]

    def solve_classes(
        self, labels: Iterable[Any] | None = None, callback: Callback | None = None
    ) -> Self:
        """Solve the transport of classes now; `sample` does it for a label when first asked.

        Parameters
        ----------
        labels : iterable, optional
            Labels; by default all.
        callback : callable, optional
            Called with a dictionary after every class: stage "classes" and progress in [0, 1].

        Returns
        -------
        OTSampler
            This estimator; what is solved is saved with it.

        Raises
        ------
        ValueError
            If a label is unknown or the fit had none.
        """
        check_is_fitted(self)
        if labels is None:
            labels = [] if self.labels_ is None else np.unique(self.labels_)
        wanted = list(labels)
        for done, label in enumerate(wanted):
            self.class_transport(label)
            if callback is not None:
                progress = (done + 1) / len(wanted)
                callback({"stage": "classes", "progress": progress, "state": None})
        return self

    def class_transport(self, label: Any) -> ClassTransport:
        """Return the transport of one class, solved where it is not yet.

        Parameters
        ----------
        label : object
            A label.

        Returns
        -------
        ClassTransport
            Members, solution, extended map.

        Raises
        ------
        ValueError
            If the label is unknown or the fit had none.
        """
        check_is_fitted(self)
        mask = carriers(self.labels_, label)
        number = int(np.searchsorted(np.unique(self.labels_), self.labels_[mask.argmax()]))
        if number not in self._class_transports:
            members = torch.from_numpy(np.flatnonzero(mask)).to(self.weights_.device)
            if number not in self.class_solutions_:
                self.class_solutions_[number] = self._solved_class(number, members)
            found = self.class_solutions_[number]
            self._class_transports[number] = ClassTransport(
                members, found, self._extended(found, None)
            )
        return self._class_transports[number]

    def _forget_classes(self) -> None:
        """Begin without the transport of any class."""
        self.class_solutions_, self._class_transports = {}, {}

    def coupling(self, *, labelled: bool = False, **options: Any) -> SemiDiscreteCoupling:
        """Return the optimal coupling of noise and codes as a stream of batches.

        Parameters
        ----------
        labelled : bool, default=False
            Whether rows carry labels: numbers of the classes, in sorted order; every class is
            coupled to all noise by its own potential.
        **options
            batch_size, seed, first_step, steps of `transport.SemiDiscreteCoupling`.

        Returns
        -------
        SemiDiscreteCoupling
            Batches in standardised units ``(z - shift_) / scale_``; `codes` leads back.

        Raises
        ------
        ValueError
            If `labelled` and the fit had no labels.
        """
        check_is_fitted(self)
        labels, potentials = None, {}
        if labelled:
            names = [None] if self.labels_ is None else np.unique(self.labels_)
            found = [self.class_transport(name).solution.potential for name in names]
            labels, potentials = self._class_numbers(), dict(enumerate(found))
        return SemiDiscreteCoupling(
            self.transport_,
            labels,
            source=self.source_,
            weights=self.weights_,
            potentials=potentials,
            **options,
        )

    def _solved_class(self, number: int, members: Tensor) -> SemiDiscreteSolution:
        """Solve the transport onto some targets; every class has draws of its own."""
        weights = self.weights_[members]
        target = DiscreteMeasure(self.transport_.potential.points[members], weights / weights.sum())
        seed = int(generator(self.seed_, Stream.CLASSES, number).integers(2**31))
        return solve(
            self.solver,
            self.source_,
            target,
            tolerance=self.tolerance,
            seed=seed,
            max_samples=self.max_samples,
            memory_budget=self.memory_budget,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything large that the fitted sampler holds.

        Returns
        -------
        dict of str to Tensor
            As in `Portable.to_tensors`, and class_heights and class_centroids where classes are
            solved: every target belongs to one class at most.
        """
        tensors = super().to_tensors()
        if not self.class_solutions_:
            return tensors
        groups = self._class_numbers()
        heights = torch.zeros_like(self.weights_)
        centroids = torch.zeros_like(self.transport_.potential.points)
        for number, found in self.class_solutions_.items():
            heights[groups == number] = found.potential.heights.to(heights)
            if found.centroids is not None:
                centroids[groups == number] = found.centroids.to(centroids)
        return tensors | {"class_heights": heights, "class_centroids": centroids}

    def to_config(self) -> dict[str, Any]:
        """Return everything small that the fitted sampler holds, ready for JSON.

        Returns
        -------
        dict
            As in `Portable.to_config`, and class_solutions by number of the class.
        """
        plain = {
            str(number): solution_to_config(replace(found, history={}))
            for number, found in self.class_solutions_.items()
        }
        return super().to_config() | {"class_solutions": plain}

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
        sampler._forget_classes()
        points = sampler.transport_.potential.points
        for key, plain in config.get("class_solutions", {}).items():
            members = sampler._class_numbers() == int(key)
            own = {
                "points": points[members],
                "heights": tensors["class_heights"].to(points.device)[members],
                "centroids": tensors["class_centroids"].to(points.device)[members],
            }
            sampler.class_solutions_[int(key)] = solution_from_parts(own, plain)
        return sampler

    def _class_numbers(self) -> Tensor:
        """Return the number of every target's class, on the device of the targets."""
        numbers = np.unique(self.labels_, return_inverse=True)[1]
        return torch.from_numpy(numbers).to(self.weights_.device)
