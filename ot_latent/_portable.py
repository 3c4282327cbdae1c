"""Fitted samplers: their units and seeds, and their way into files and back."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ot_latent import persistence
from ot_latent._codes import as_source, resolve_device
from ot_latent._extending import Rule, map_from_parts, map_to_tensors
from ot_latent._random import Stream, generator, seed_from
from ot_latent._validation import check_array
from ot_latent.calibration.record import Calibration
from ot_latent.transport.parts import (
    solution_from_parts,
    solution_to_config,
    solution_to_tensors,
)
from ot_latent.transport.solution import SemiDiscreteSolution


class Portable(BaseEstimator):
    """What `estimators.OTSampler` needs after its fit: units, seeds, files."""

    transport_: SemiDiscreteSolution

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything large that the fitted sampler holds.

        Returns
        -------
        dict of str to Tensor
            points, heights, weights, neighbours, shift; centroids, mass_residual, simplices, labels
            and groups where they exist.
        """
        check_is_fitted(self)
        tensors = solution_to_tensors(self.transport_) | {
            "weights": self.weights_,
            **map_to_tensors(self.map_),
            "shift": torch.from_numpy(self.shift_),
            "inverse": torch.from_numpy(self.inverse_),
        }
        kinds = {"labels": self._groups()}
        kinds["groups"] = None if self.groups_ is None else torch.from_numpy(self.groups_)
        return tensors | {key: value for key, value in kinds.items() if value is not None}

    def to_config(self) -> dict[str, Any]:
        """Return everything small that the fitted sampler holds, ready for JSON.

        Returns
        -------
        dict
            Keys params, scale, seed, dtype, classes, solution, rule and calibration.
        """
        check_is_fitted(self)
        params = self.get_params(deep=False)
        params |= {"source": self.source_.to_dict(), "random_state": self.seed_}
        return {
            "params": params,
            "scale": self.scale_,
            "seed": self.seed_,
            "dtype": self.dtype_,
            "classes": None if self.labels_ is None else np.unique(self.labels_).tolist(),
            "solution": solution_to_config(self.transport_),
            "rule": self.rule_.to_dict(),
            "calibration": None if self.calibration_ is None else self.calibration_.to_dict(),
        }

    @classmethod
    def from_parts(
        cls, tensors: dict[str, Tensor], config: dict[str, Any], device: str = "cpu"
    ) -> Self:
        """Rebuild a fitted sampler from `to_tensors` and `to_config`.

        Parameters
        ----------
        tensors, config : dict
            The two parts.
        device : str, default="cpu"
            Where to compute.

        Returns
        -------
        Self
            A sampler that draws the same codes.
        """
        device = resolve_device(device)
        tensors = {key: value.to(device) for key, value in tensors.items()}
        sampler = cls(**(config["params"] | {"device": device}))
        points = tensors["points"]
        sampler.n_features_in_ = points.shape[1]
        sampler.seed_, sampler.dtype_ = config["seed"], config["dtype"]
        sampler.source_ = as_source(config["params"]["source"], points.shape[1])
        sampler.shift_ = tensors["shift"].cpu().numpy()
        sampler.inverse_ = tensors["inverse"].cpu().numpy()
        sampler.scale_, sampler.weights_ = config["scale"], tensors["weights"]
        sampler.labels_ = None
        if config["classes"] is not None:
            sampler.labels_ = np.asarray(config["classes"])[tensors["labels"].cpu().numpy()]
        own = tensors.get("groups")  # models saved before had none
        sampler.groups_ = None if own is None else own.cpu().numpy()
        sampler.transport_ = solution_from_parts(tensors, config["solution"])
        sampler.rule_ = Rule(**(config.get("rule") or _earlier_rule(config["params"])))
        kept = config.get("calibration")
        sampler.calibration_ = None if kept is None else Calibration.from_dict(kept)
        sampler.map_ = map_from_parts(sampler.transport_, tensors, sampler.rule_)
        sampler._ready()
        return sampler

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save the fitted sampler in a folder, all or nothing.

        Parameters
        ----------
        folder : path
            Where to; a model saved there before is replaced.
        """
        config = {"class": "OTSampler", "sampler": self.to_config()}
        persistence.save_folder(folder, tensors={"transport": self.to_tensors()}, config=config)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], device: str = "cpu") -> Self:
        """Load what `save_pretrained` saved.

        Parameters
        ----------
        folder : path
            The folder.
        device : str, default="cpu"
            Where to compute.

        Returns
        -------
        Self
            A sampler that draws the same codes.
        """
        tensors, config = persistence.load_folder(folder, resolve_device(device))
        return cls.from_parts(tensors["transport"], config["sampler"], device)

    def next_seed(self, random_state: Any) -> int:
        """Return the seed of a call of `sample`; None advances a sequence of the fit's.

        Parameters
        ----------
        random_state : int, numpy generator or None
            As in `sample`.

        Returns
        -------
        int
            The seed.
        """
        if random_state is not None:
            return seed_from(random_state)
        self._calls += 1
        return int(generator(self.seed_, Stream.SAMPLING, 0, 0, self._calls).integers(2**31))

    def codes(self, standard: Tensor) -> np.ndarray:
        """Bring standardised codes to the units and dtype of the fit.

        Parameters
        ----------
        standard : Tensor of shape (m, d)
            Codes in units of `transport_`.

        Returns
        -------
        ndarray of shape (m, d)
            Codes.
        """
        values = standard.cpu().numpy().astype(np.float64) * self.scale_ + self.shift_
        return values.astype(self.dtype_)

    def _check_noise(self, x: Any) -> Tensor:
        """Return noise as a tensor on the device of the codes."""
        array = check_array(x, "noise", ndim=2)
        if array.shape[1] != self.n_features_in_:
            raise ValueError(
                f"noise must have {self.n_features_in_} columns, got shape {array.shape}; pass "
                "rows of the dimension of the codes."
            )
        x = torch.from_numpy(array.astype(np.float64))
        return x.to(self.transport_.potential.points)

    def _groups(self) -> Tensor | None:
        """Return the labels as integers on the device of the codes."""
        if self.labels_ is None:
            return None
        return torch.from_numpy(np.unique(self.labels_, return_inverse=True)[1])

    def _ready(self) -> None:
        """Set what follows from transport_, map_, shift_ and scale_."""
        self.potential_ = self.transport_.potential.rescaled(self.scale_, self.shift_)
        self._calls = 0
        self._n_features_out = self.n_features_in_


def _earlier_rule(params: dict[str, Any]) -> dict[str, Any]:
    """Return the rule of a model saved before rules were: its parameters, and no tears."""
    return {
        "kind": params["extension"],
        "a": params["anchor"],
        "b": params["spread"],
        "neighbours": params["neighbours"],
        "tear": float("inf"),
    }
