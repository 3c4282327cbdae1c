"""What the trainings of an autoencoder share: epochs and steps, ends, callbacks, history."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ot_latent.config import TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.batches import Batches
from ot_latent.latent.training_state import Progress, TrainingState, plan

if TYPE_CHECKING:
    from accelerate import Accelerator

CLIP_NORM = 1.0
"""Largest norm of a gradient."""

Callback = Callable[[dict[str, Any]], bool | None]


class TrainingStatus(Enum):
    """Why a training stopped; the value says what it means."""

    FINISHED = "all epochs were run"
    EARLY_STOPPED = "the validation loss had stopped falling"
    INTERRUPTED = "the callback asked to stop; continue from the state"


class TrainingError(RuntimeError):
    """The loss stopped being a number.

    Parameters
    ----------
    message : str
        Who, what, and what to try.
    state : TrainingState
        The last state whose parameters were finite.

    Attributes
    ----------
    state : TrainingState
        The last state whose parameters were finite.
    """

    def __init__(self, message: str, state: TrainingState) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class TrainingResult:
    """What a training returns.

    Attributes
    ----------
    model : Autoencoder
        With its best parameters, on the device it was trained on; with the current ones after an
        interruption.
    history : list of dict
        One entry per epoch: epoch, train_loss, validation_loss, lr, code_rms; those of
        the refinement also say refined, feature_distance and critic_loss.
    status : TrainingStatus
        Why it stopped.
    state : TrainingState
        To go on from.
    """

    model: Autoencoder
    history: list[dict[str, Any]]
    status: TrainingStatus
    state: TrainingState


class Loop(ABC):
    """Steps and epochs of one model: `run` until an end, `snapshot` and `restore` at any step.

    Parameters
    ----------
    accelerator : Accelerator
        Device and processes.
    model : Autoencoder
        The network; its parameters are changed.
    x, x_validation : Tensor of shape (n, *shape)
        Rows to learn from, and rows held out.
    config : TrainingConfig
        Settings.
    seed : int
        Seed of order and noise.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: Autoencoder,
        x: Tensor,
        x_validation: Tensor,
        config: TrainingConfig,
        seed: int,
    ) -> None:
        self.accelerator, self.model, self.config, self.seed = accelerator, model, config, seed
        self.x_validation = x_validation
        self.schedule = plan(len(x), model.shape, config)
        self.batches = Batches(
            x,
            steps=self.schedule.steps,
            seed=seed,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        model.to(accelerator.device).train()
        self.continues = False  # whether another loop is to follow this one
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.code_scale = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        self._prepare()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what one training needs and the other does not: its optimiser, a critic."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a resumed training must share with the one that made the state."""
        return {
            "seed": self.seed,
            "rows": len(self.batches.x),
            "validation_rows": len(self.x_validation),
            "shape": list(self.model.shape),
            "epochs": self.schedule.epochs,
            "steps": self.schedule.steps,
            "lr": self.config.lr,
            "weight_decay": self.config.weight_decay,
            "patience": self.config.patience,
            "mixed_precision": self.config.mixed_precision,
            "autoencoder": self.model.config.to_dict(),
        }

    @abstractmethod
    def snapshot(self) -> TrainingState:
        """Copy everything that the rest of the training depends on.

        Returns
        -------
        TrainingState
            The copy.
        """

    @abstractmethod
    def restore(self, state: TrainingState) -> None:
        """Put a snapshot back.

        Parameters
        ----------
        state : TrainingState
            Of the same training.
        """

    @abstractmethod
    def _step(self) -> None:
        """Take one step on the next batch; count it, and its row losses."""

    @abstractmethod
    def _keep(self, criterion: float) -> dict[str, Any]:
        """Keep what the end of an epoch shall leave; return what else its history tells."""

    @abstractmethod
    def _ended(self) -> TrainingStatus | None:
        """Say why the training is over, if it is."""

    @abstractmethod
    def _count(self) -> int:
        """Return the number of finished steps since the start."""

    @abstractmethod
    def _rate(self) -> float:
        """Return the learning rate of the last step."""

    def _judged(self) -> nn.Module:
        """Return the decoder that an epoch is judged by."""
        return self.model.decoder

    def run(self, callback: Callback | None) -> TrainingResult:
        """Train until the last epoch, an early stop, or the callback's wish.

        Parameters
        ----------
        callback : callable, optional
            Told of every step.

        Returns
        -------
        TrainingResult
            Model, history, status and final state.
        """
        progress = self.progress
        while (status := self._ended()) is None:
            self._step()
            entry = self._end_epoch() if progress.step == self.schedule.steps else None
            if self._asked_to_stop(callback, entry):
                ended = None if self.continues else self._ended()
                status = ended or TrainingStatus.INTERRUPTED
                break
        state = self.snapshot()
        if status is not TrainingStatus.INTERRUPTED:
            self.model.load_state_dict(state.best)
        self.model.eval()
        return TrainingResult(self.model, progress.copy().history, status, state)

    def _noise(self, count: int, rows: int) -> Tensor | None:
        """Return the code noise of this process's rows, in units of the codes' running rms."""
        level, dim = self.model.noise_level, self.model.config.latent_dim
        if not level:
            return None
        rms = torch.ones_like(self.code_scale) if self.model.variational else self.code_scale
        draws = self.batches.noise(count, rows, dim).to(self.accelerator.device)
        return draws * (level * rms).float()

    def _refuse_nonfinite(self, value: float, what: str) -> None:
        """Raise when the loss or its gradient is not a number any more."""
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} of the autoencoder must be finite, got {value} in epoch "
                f"{self.progress.epoch + 1}, step {self.progress.step + 1}; try a lower lr than "
                f"{self.config.lr:g}.",
                self.snapshot(),
            )

    def _end_epoch(self) -> dict[str, Any]:
        """Validate, keep the best parameters, write the history."""
        progress = self.progress
        train_loss = progress.loss_sum / progress.rows
        validation = self._validate(self._judged()) if len(self.x_validation) else None
        criterion = train_loss if validation is None else validation
        self._refuse_nonfinite(criterion, "validation loss")
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.rows = 0.0, 0
        more = self._keep(criterion)
        progress.history.append(
            {
                "epoch": len(progress.history) + 1,
                "train_loss": train_loss,
                "validation_loss": validation,
                "lr": self._rate(),
                "code_rms": self.code_scale.item(),
            }
            | more
        )
        return progress.history[-1]

    @torch.no_grad()
    def _validate(self, decoder: nn.Module) -> float:
        """Mean reconstruction loss of the validation rows, without noise."""
        self.model.eval()
        total = 0.0
        for x in self.x_validation.split(256):
            x = x.to(self.accelerator.device)
            raw = decoder(self.model.encode(x))
            total += self.model.row_losses(raw, x).double().sum().item()
        self.model.train()
        return total / len(self.x_validation)

    def _asked_to_stop(self, callback: Callback | None, entry: dict[str, Any] | None) -> bool:
        """Tell the main process's callback, and every process what it answered."""
        stop = False
        if callback is not None and self.accelerator.is_main_process:
            epochs = self.schedule.epochs + self.config.refine_epochs
            event = {
                "kind": "step" if entry is None else "epoch",
                "epoch": len(self.progress.history),
                "epochs": epochs,
                "step": self.progress.step,
                "steps": self.schedule.steps,
                "progress": self._count() / (epochs * self.schedule.steps),
                "state": self.snapshot,
            }
            stop = bool(callback(event | (entry or {})))
        if self.accelerator.num_processes == 1:
            return stop
        flag = torch.tensor(float(stop), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum").item())
