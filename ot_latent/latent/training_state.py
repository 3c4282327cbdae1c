"""What a training must remember to go on bit for bit, and how long it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ot_latent._validation import check_positive
from ot_latent.config import TrainingConfig

WARM_UP = 0.05
"""Share of the steps during which the learning rate rises."""

FLOOR = 0.01
"""Share of the peak learning rate that is left at the end."""


@dataclass
class Progress:
    """Where a training stands: plain numbers that JSON holds exactly.

    Attributes
    ----------
    epoch, step : int
        Finished epochs, and finished steps of the current one.
    loss_sum, rows : float, int
        Sum of the row losses of the current epoch so far, and their number.
    best_loss : float or None
        Smallest criterion of an epoch so far.
    best_epoch, waited : int
        When it was reached, and epochs since then.
    history : list of dict
        One entry per epoch: epoch, train_loss, validation_loss, lr, code_rms.
    scaler : dict
        State of the loss scaler (fp16 only).
    refining : bool
        Whether these are epochs and steps of the refinement.
    terms : dict
        Sums of the refinement's terms over the rows of the current epoch so far.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    rows: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    waited: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    refining: bool = False
    terms: dict[str, float] = field(default_factory=dict)

    def copy(self) -> Progress:
        """Return a copy that later steps leave alone.

        Returns
        -------
        Progress
            The copy.
        """
        return Progress(
            **{
                **vars(self),
                "history": [dict(e) for e in self.history],
                "scaler": dict(self.scaler),
                "terms": dict(self.terms),
            }
        )


@dataclass(frozen=True)
class TrainingState:
    """Everything that the rest of a training depends on.

    Attributes
    ----------
    parameters : dict of Tensor
        Network as it is now.
    best : dict of Tensor
        Network at the best epoch so far; empty before the first one ends.
    optimizer : dict of Tensor
        Moments and counters, keyed "<parameter number>.<name>".
    code_scale : Tensor
        Running rms of the codes.
    progress : Progress
        Counters, history.
    fingerprint : dict
        Sizes and seed that a resumed training must share.
    critic : dict of Tensor
        The critic of the refinement; empty before it and without it.
    """

    parameters: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    code_scale: Tensor
    progress: Progress
    fingerprint: dict[str, Any]
    critic: dict[str, Tensor] = field(default_factory=dict)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors under flat names.

        Returns
        -------
        dict of Tensor
            Keys "parameters.<name>", "best.<name>", "optimizer.<name>", "critic.<name>", "code_scale".
        """
        groups = ("parameters", "best", "optimizer", "critic")
        flat = {f"{g}.{k}": v for g in groups for k, v in getattr(self, g).items()}
        return flat | {"code_scale": self.code_scale}

    def to_metadata(self) -> dict[str, Any]:
        """Return what is not a tensor, as JSON can hold it.

        Returns
        -------
        dict
            Keys "progress" and "fingerprint".
        """
        return {"progress": vars(self.progress.copy()), "fingerprint": dict(self.fingerprint)}

    @classmethod
    def from_parts(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> TrainingState:
        """Put a state together again.

        Parameters
        ----------
        tensors : dict of Tensor
            Output of `to_tensors`.
        metadata : dict
            Output of `to_metadata`.

        Returns
        -------
        TrainingState
            The state.
        """
        names = ("parameters", "best", "optimizer", "critic")
        groups: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        for name, value in tensors.items():
            group, _, key = name.partition(".")
            if key:
                groups[group][key] = value
        return cls(
            **groups,
            code_scale=tensors["code_scale"],
            progress=Progress(**metadata["progress"]).copy(),
            fingerprint=dict(metadata["fingerprint"]),
        )

    def check(self, fingerprint: dict[str, Any]) -> None:
        """Refuse to continue another training than the one that made this state.

        Parameters
        ----------
        fingerprint : dict
            That of the training which wants to go on from here.

        Raises
        ------
        ValueError
            If a size, a setting or the seed differs.
        """
        for key, wanted in fingerprint.items():
            if self.fingerprint.get(key) != wanted:
                raise ValueError(
                    f"state must come from the same training, got {key}="
                    f"{self.fingerprint.get(key)} where this one has {key}={wanted}; start "
                    "afresh or restore that setting."
                )


@dataclass(frozen=True)
class Schedule:
    """How many epochs of how many steps, and the learning rate of each.

    Attributes
    ----------
    epochs, steps : int
        Epochs, and steps per epoch.
    lr : float
        Peak learning rate.
    """

    epochs: int
    steps: int
    lr: float

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine.

        Parameters
        ----------
        step : int
            Number of the step since the start, from 0.

        Returns
        -------
        float
            Learning rate.

        Examples
        --------
        >>> [round(Schedule(10, 10, 1.0).rate(s), 3) for s in (0, 4, 52, 100)]
        [0.2, 1.0, 0.513, 0.01]
        """
        total = self.epochs * self.steps
        warm = max(1, round(WARM_UP * total))
        if step < warm:
            return self.lr * (step + 1) / warm
        share = (step - warm) / max(1, total - warm)
        return self.lr * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share)))


def plan(n: int, shape: tuple[int, ...], config: TrainingConfig) -> Schedule:
    """Choose epochs and batch size where the user left them open.

    Heuristic: batches of 64 rows (32 below 4,000 rows) and 20 sqrt(57,000 / n) epochs, between 10 and
    60; half as many epochs for images above 64 x 64. Smaller batches cost nothing on a CPU and
    learn more per epoch.

    Parameters
    ----------
    n : int
        Number of training rows.
    shape : tuple of int
        Shape of one row.
    config : TrainingConfig
        Settings; `epochs` and `batch_size` may be None.

    Returns
    -------
    Schedule
        The plan; batches of an epoch differ by one row at most.

    Examples
    --------
    >>> plan(57_000, (1, 28, 28), TrainingConfig())
    Schedule(epochs=20, steps=891, lr=0.004)
    """
    check_positive(n, "number of training rows", integer=True)
    batch = config.batch_size
    if batch is None:
        batch = 64 if n >= 4_000 else 32
    steps = max(1, -(-n // batch))
    epochs = config.epochs
    if epochs is None:
        large = prod(shape) > 3 * 64 * 64
        epochs = min(60, max(10, round((10 if large else 20) * math.sqrt(57_000 / n))))
    return Schedule(epochs, steps, config.lr)


def pack_optimizer(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the tensors of an optimiser's state, copied to the CPU.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimiser.

    Returns
    -------
    dict of Tensor
        Keyed "<parameter number>.<name>".
    """
    return {
        f"{number}.{name}": value.detach().cpu().clone()
        for number, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }


def unpack_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `pack_optimizer` back, in place.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimiser, over the same parameters.
    tensors : dict of Tensor
        Output of `pack_optimizer`.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def copy_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a model, copied to the CPU.

    Parameters
    ----------
    model : torch.nn.Module
        The model.

    Returns
    -------
    dict of Tensor
        Its state, detached.
    """
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
