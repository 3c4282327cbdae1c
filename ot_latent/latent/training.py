"""The one training loop of the autoencoders: accelerate inside, resumable bit for bit."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent.config import TrainingConfig
from ot_latent.latent.accelerator import own_accelerator
from ot_latent.latent.autoencoder import Autoencoder
from ot_latent.latent.batches import check_rows, split_rows
from ot_latent.latent.homogeneous import make_optimizer
from ot_latent.latent.loop import (
    CLIP_NORM,
    Callback,
    Loop,
    TrainingError as TrainingError,
    TrainingResult as TrainingResult,
    TrainingStatus as TrainingStatus,
)
from ot_latent.latent.neighbours import Neighbourhood, neighbour_losses
from ot_latent.latent.priors import prior_penalty
from ot_latent.latent.refinement import Refinement, check_refinement
from ot_latent.latent.threads import threads_for
from ot_latent.latent.training_state import (
    TrainingState as TrainingState,
    copy_parameters,
    pack_optimizer,
    unpack_optimizer,
)

MEMORY = 0.9
"""How much of the running rms of the codes a step keeps."""


def train_autoencoder(
    model: Autoencoder,
    x_train: Tensor,
    config: TrainingConfig,
    *,
    seed: int,
    x_validation: Tensor | None = None,
    state: TrainingState | None = None,
    callback: Callback | None = None,
    device: str | torch.device = "cpu",
) -> TrainingResult:
    """Train an autoencoder by AdamW with a warm-up and a cosine; keep the best epoch.

    Minimises, over encoder E and decoder D, the mean over rows of loss(D(E(x) + e), x) with code
    noise e, plus `code_penalty` |E(x)|^2 / d, plus `neighbour_weight` times `neighbour_losses`, plus
    a `prior_penalty`. Order and draws are functions of (seed, epoch or step), so a training resumed
    from any state ends with the same bits as one that was never interrupted (same threads and processes).
    With the regulariser "pathprox" a proximal step follows each of AdamW's (see `PathProx`).
    With `refine_epochs` the decoder alone is trained on afterwards (see `refinement.Refinement`).
    Under `torchrun` every process takes its slice of every batch.

    Parameters
    ----------
    model : Autoencoder
        The network; its parameters are changed.
    x_train : Tensor of shape (n, *shape)
        Encoded rows (see `DataCodec.encode`).
    config : TrainingConfig
        Epochs, batch size (None: chosen), learning rate, patience, precision.
    seed : int
        Seed of order, noise and validation split.
    x_validation : Tensor of shape (m, *shape), optional
        Rows for early stopping; default: `validation_fraction` of `x_train`.
    state : TrainingState, optional
        Where to go on.
    callback : callable, optional
        Called after every step with a dictionary: kind ("step" or "epoch"), epoch, epochs, step,
        steps, progress in [0, 1], state (a function that builds the `TrainingState`), and for an
        epoch its entry of the history. Returning True stops the training.
    device : str or torch.device, default="cpu"
        Where to train: "cpu" or "cuda".

    Returns
    -------
    TrainingResult
        Model, history, status and final state.

    Raises
    ------
    DataError
        If the rows have another shape, are not finite, are all equal, or lie out of [0, 1]
        where they are images.
    ValueError
        If the settings do not fit the device or the state is of another training.
    TrainingError
        If the loss becomes NaN or infinite.
    """
    device = torch.device(device)
    check_rows(x_train, "x_train", model.shape, least=2)
    if x_validation is None:
        x_train, x_validation = split_rows(x_train, config.validation_fraction, seed)
    else:
        check_rows(x_validation, "x_validation", model.shape, least=1)
    if config.mixed_precision == "fp16" and device.type == "cpu":
        raise ValueError(
            "mixed_precision must be 'no' or 'bf16' on the CPU, got 'fp16'; use a GPU or 'bf16'."
        )
    check_refinement(config, model)
    with (
        threads_for(model.shape),
        own_accelerator(device, config.mixed_precision) as accelerator,
    ):
        parts = (accelerator, model, x_train, x_validation, config, seed)
        if state is None or not state.progress.refining:
            result = _trained(_Training(*parts), state, callback)
            if result.status is TrainingStatus.INTERRUPTED or not config.refine_epochs:
                return result
            state = result.state
        refinement = Refinement(*parts)
        refinement.restore(state)
        return refinement.run(callback)


def _trained(
    loop: _Training, state: TrainingState | None, callback: Callback | None
) -> TrainingResult:
    """Run the training of both networks and leave the model as it was found: unwrapped."""
    try:
        if state is not None:
            loop.restore(state)
        return loop.run(callback)
    finally:
        loop.accelerator.unwrap_model(loop.wrapped, keep_fp32_wrapper=False)
        for name in ("forward", "_original_forward"):  # what mixed precision wrapped
            vars(loop.model).pop(name, None)


class _Training(Loop):
    """The training of encoder and decoder."""

    def _prepare(self) -> None:
        """Make optimiser and neighbourhood."""
        model, config, device = self.model, self.config, self.accelerator.device
        self.continues = config.refine_epochs > 0
        near = model.config.neighbour_weight > 0
        self.neighbourhood = (
            Neighbourhood(self.batches.x, seed=self.seed, device=device) if near else None
        )
        optimizer = make_optimizer(model, model.config.regulariser == "pathprox", config)
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)

    def snapshot(self) -> TrainingState:
        """Copy everything that the rest of the training depends on."""
        progress = self.progress.copy()
        if self.accelerator.scaler is not None:
            progress.scaler = dict(self.accelerator.scaler.state_dict())
        return TrainingState(
            parameters=copy_parameters(self.model),
            best=dict(self.best),
            optimizer=pack_optimizer(self.optimizer),
            code_scale=self.code_scale.cpu().clone(),
            progress=progress,
            fingerprint=self.fingerprint,
        )

    def restore(self, state: TrainingState) -> None:
        """Put a snapshot back."""
        state.check(self.fingerprint)
        self.model.load_state_dict(state.parameters)
        unpack_optimizer(self.optimizer, state.optimizer)
        self.best = dict(state.best)
        self.code_scale = state.code_scale.to(self.accelerator.device, copy=True)
        self.progress = state.progress.copy()
        if self.accelerator.scaler is not None and state.progress.scaler:
            self.accelerator.scaler.load_state_dict(state.progress.scaler)

    def _ended(self) -> TrainingStatus | None:
        """Say why the training is over, if it is."""
        if self.progress.epoch >= self.schedule.epochs:
            return TrainingStatus.FINISHED
        if self.progress.waited >= self.config.patience:
            return TrainingStatus.EARLY_STOPPED
        return None

    def _step(self) -> None:
        """Take one step on the next batch."""
        progress, config, count = self.progress, self.model.config, self._count()
        batch = self.batches.rows(progress.epoch, progress.step)
        x = self.batches.inputs(count, batch, config.deformation).to(self.accelerator.device)
        partners = self._partners(count, batch)
        raw, every = self.wrapped(x, self._noise(count, len(batch)), partners)
        codes = every[: len(x), : config.latent_dim]
        losses = self.model.row_losses(raw, x)
        total = (losses + config.code_penalty * codes.square().mean(1)).sum()
        if partners is not None:
            first = int(self.batches.mine(np.arange(len(batch)))[0])
            losses_apart = neighbour_losses(codes, every[len(x) :, : config.latent_dim], first)
            total = total + config.neighbour_weight * losses_apart.sum()
        draw = functools.partial(self.batches.noise, count, len(batch), salt=1)
        total = total + prior_penalty(config, every[: len(x)], draw, x[0].numel())
        sums = self._sums(losses, total, codes)
        self._refuse_nonfinite(sums[:2].sum().item(), "loss")
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(count)
        # every process holds a share of the batch and their gradients are averaged
        self.accelerator.backward(total * (self.accelerator.num_processes / len(batch)))
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), CLIP_NORM)
        if self.config.mixed_precision != "fp16":  # there, the loss scaler skips such steps
            self._refuse_nonfinite(float(norm), "gradient")
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._remember_scale(sums, len(batch))
        progress.step, progress.rows = progress.step + 1, progress.rows + len(batch)
        progress.loss_sum += sums[0].item()

    def _count(self) -> int:
        """Return the number of finished steps since the start."""
        return self.progress.epoch * self.schedule.steps + self.progress.step

    def _partners(self, count: int, batch: np.ndarray) -> Tensor | None:
        """Return a neighbour of every row of the whole batch, where their term has a weight."""
        if self.neighbourhood is None:
            return None
        return self.batches.x[self.neighbourhood.draw(count, batch)].to(self.accelerator.device)

    def _sums(self, losses: Tensor, total: Tensor, codes: Tensor) -> Tensor:
        """Return sums over the whole batch: row losses, totals, squared codes, codes."""
        with torch.no_grad():
            z = codes.double()
            three = torch.stack([losses.double().sum(), total.double(), z.square().sum()])
            mine = torch.cat([three, z.sum(0)])
            return self.accelerator.reduce(mine, reduction="sum")

    def _remember_scale(self, sums: Tensor, rows: int) -> None:
        """Update the running rms of the centred codes."""
        dim = self.model.config.latent_dim
        centred = sums[2] / (rows * dim) - (sums[3:] / rows).square().mean()
        scale = centred.clamp_min(0.0).sqrt()
        first = self._count() == 0
        self.code_scale = scale if first else MEMORY * self.code_scale + (1 - MEMORY) * scale

    def _keep(self, criterion: float) -> dict[str, Any]:
        """Keep the parameters where they are the best so far."""
        progress = self.progress
        if progress.best_loss is None or criterion < progress.best_loss:
            progress.best_loss, progress.best_epoch, progress.waited = criterion, progress.epoch, 0
            self.best = copy_parameters(self.model)
        else:
            progress.waited += 1
        return {}

    def _rate(self) -> float:
        """Return the learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])
