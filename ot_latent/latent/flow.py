r"""Flow matching on codes: a velocity field learnt from given pairs of noise and codes.

The field minimises :math:`E |v(x_t, t) - (y - x)|^2` over pairs (x, y) and times t uniform on
[0, 1], where :math:`x_t = (1 - t) x + t y` [1]_. Its flow carries the law of x to that of y
whatever the coupling of the pairs; under an optimal coupling the paths are nearly straight, and few
steps of an integrator suffice.

References
----------
.. [1] Lipman, Chen, Ben-Hamu, Nickel and Le. "Flow matching for generative modeling." ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError, check_positive
from ot_latent.latent.layers import in_blocks, linear, seeded
from ot_latent.latent.training_state import (
    Progress,
    Schedule,
    TrainingState,
    copy_parameters,
    pack_optimizer,
    unpack_optimizer,
)

FREQUENCIES = 8  # of the time's sines and cosines
LONGEST = 4.0  # period of a coordinate's sines and cosines: codes have an rms of one
AVERAGE = 0.998  # of the running mean of the parameters, which is what samples
TOLD_EVERY = 100  # steps between entries of the history
CLIP_NORM = 1.0  # largest norm of a gradient
SALT = 77  # tells the field's initial parameters from those of other networks of the seed
METHODS = ("euler", "midpoint")

Pairs = Callable[[int], tuple[Tensor, ...]]
"""From the number of a step to noise (B, d), codes (B, d) and, where there are classes, labels (B,)."""

Callback = Callable[[dict[str, Any]], bool | None]


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Sizes and schedule of a flow.

    Attributes
    ----------
    width, depth : int
        Hidden units, and residual blocks of two layers.
    steps : int
        Steps of training.
    lr : float
        Peak learning rate of AdamW; a warm-up, then half a cosine.
    waves : int
        Sines and cosines of every coordinate among the inputs, of periods 4, 4/2, ... 4/waves. In few
        dimensions a field that parts the noise between many modes is learnt very slowly without.
    """

    width: int = 256
    depth: int = 3
    steps: int = 3000
    lr: float = 2e-3
    waves: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("width", "depth", "steps"):
            check_positive(getattr(self, name), name, integer=True)
        check_positive(self.lr, "lr")
        if not isinstance(self.waves, int) or self.waves < 0:
            raise ValueError(f"waves must be an integer, none negative, got {self.waves!r}; try 4.")


class VelocityField(nn.Module):
    """A residual network v(x, t), or v(x, t, label).

    Parameters
    ----------
    dim : int
        Dimension d of the codes.
    width, depth : int
        As in `FlowConfig`.
    classes : int, default=0
        Number of labels; 0 for a field without.
    waves : int, default=0
        As in `FlowConfig`.
    """

    def __init__(self, dim: int, width: int, depth: int, classes: int = 0, waves: int = 0) -> None:
        super().__init__()
        self.dim, self.classes, self.waves = dim, classes, waves
        inputs = dim * (1 + 2 * waves) + 2 * FREQUENCIES + 1 + classes
        self.enter = linear(inputs, width, gain=1.0)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                linear(width, width),
                nn.SiLU(),
                linear(width, width, gain=1.0 / math.sqrt(depth)),
            )
            for _ in range(depth)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), linear(width, dim, gain=0.1))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Return velocities.

        Parameters
        ----------
        x : Tensor of shape (m, d)
            Points.
        t : Tensor of shape (m,)
            Times in [0, 1].
        label : Tensor of shape (m,), int64, optional
            Labels 0 ... classes - 1.

        Returns
        -------
        Tensor of shape (m, d)
            Velocities.
        """
        angles = math.pi * t[:, None] * torch.arange(1, FREQUENCIES + 1, device=x.device)
        parts = [x, t[:, None], angles.sin(), angles.cos()]
        if self.waves:
            turns = torch.arange(1, self.waves + 1, device=x.device)
            phases = (2 * math.pi / LONGEST * x[:, :, None] * turns).flatten(1)
            parts += [phases.sin(), phases.cos()]
        if label is not None:
            parts.append(nn.functional.one_hot(label, self.classes).to(x))
        hidden = self.enter(torch.cat(parts, dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(hidden)


@dataclass(frozen=True, eq=False)
class Flow:
    """A trained flow.

    Attributes
    ----------
    field : VelocityField
        With the running mean of its parameters, or the current ones after an interruption.
    history : list of dict
        Entries of step and loss, every hundred steps.
    finished : bool
        Whether all steps were taken.
    state : TrainingState
        To go on from.
    """

    field: VelocityField
    history: list[dict[str, Any]]
    finished: bool
    state: TrainingState

    def __call__(
        self,
        noise: Tensor,
        *,
        steps: int = 4,
        method: str = "midpoint",
        label: Tensor | None = None,
    ) -> Tensor:
        """Carry noise to codes; rows do not see each other.

        Parameters
        ----------
        noise : Tensor of shape (m, d)
            Noise of the law that the flow was trained with.
        steps : int, default=4
            Steps of the integrator.
        method : {"euler", "midpoint"}, default="midpoint"
            One or two evaluations of the field per step.
        label : Tensor of shape (m,), int64, optional
            Labels, where the flow has classes.

        Returns
        -------
        Tensor of shape (m, d)
            Codes.

        Raises
        ------
        ValueError
            If `method` is unknown, or labels are missing or out of place.
        """
        check_positive(steps, "steps", integer=True)
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}, got {method!r}; choose one."
            )
        check_labels(label, self.field.classes)
        table = noise if label is None else torch.cat([noise, label[:, None].to(noise)], dim=1)
        return in_blocks(lambda rows: self._carry(rows, steps, method), table)

    def _carry(self, table: Tensor, steps: int, method: str) -> Tensor:
        """Integrate a block of rows, whose last column holds the label where there are any."""
        x, label = table[:, : self.field.dim], None
        if self.field.classes:
            label = table[:, -1].long()
        for step in range(steps):
            t = torch.full((len(x),), step / steps, dtype=x.dtype, device=x.device)
            velocity = self.field(x, t, label)
            if method == "midpoint":
                half = x + velocity / (2 * steps)
                velocity = self.field(half, t + 1 / (2 * steps), label)
            x = x + velocity / steps
        return x


def train_flow(
    pairs: Pairs,
    dim: int,
    config: FlowConfig | None = None,
    *,
    seed: int,
    classes: int = 0,
    state: TrainingState | None = None,
    callback: Callback | None = None,
    device: str | torch.device = "cpu",
) -> Flow:
    """Train a flow on pairs that are a function of the step.

    Times are a function of (seed, step), so a training resumed from any state ends with the same
    bits as one that was never interrupted.

    Parameters
    ----------
    pairs : callable
        From the number of a step to noise, codes and, with classes, labels: for example
        ``coupling.batch`` without its index, or `pairing.pairs_of`.
    dim : int
        Dimension of the codes.
    config : FlowConfig, optional
        Sizes and schedule.
    seed : int
        Seed of parameters and times.
    classes : int, default=0
        Number of labels that `pairs` gives.
    state : TrainingState, optional
        Where to go on.
    callback : callable, optional
        Called after every step with a dictionary: step, progress in [0, 1], loss, state (a
        function that builds the `TrainingState`). Returning True stops the training.
    device : str or torch.device, default="cpu"
        Where to train.

    Returns
    -------
    Flow
        The flow.

    Raises
    ------
    DataError
        If pairs are of another dimension, or the loss stops being a number.
    ValueError
        If the state is of another training, or labels are missing.
    """
    training = _Training(dim, config or FlowConfig(), seed, classes, torch.device(device))
    if state is not None:
        training.restore(state)
    while training.step < training.config.steps:
        loss = training.advance(pairs(training.step))
        event = {"step": training.step, "loss": loss, "state": training.snapshot}
        event["progress"] = training.step / training.config.steps
        if callback is not None and callback(event):
            break
    return training.result()


def check_labels(label: Tensor | None, classes: int) -> None:
    """Refuse labels that are missing, out of place or out of range.

    Parameters
    ----------
    label : Tensor or None
        Labels.
    classes : int
        How many there are; 0 for none.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    if label is None and not classes:
        return
    if label is None or not classes or not 0 <= int(label.min()) <= int(label.max()) < classes:
        raise ValueError(
            f"label must be {f'integers below {classes}' if classes else 'left out'} for a flow of "
            f"{classes} classes, got {label}; number them as in the training."
        )


class _Training:
    """One training: parameters, their running mean, optimiser and counters."""

    def __init__(
        self, dim: int, config: FlowConfig, seed: int, classes: int, device: torch.device
    ) -> None:
        self.config, self.seed, self.device = config, seed, device
        sizes = dim, config.width, config.depth, classes, config.waves
        built = seeded(lambda: VelocityField(*sizes), seed, SALT)
        self.field = cast(VelocityField, built).to(device)
        self.average = {name: value.clone() for name, value in self.field.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.field.parameters(), lr=config.lr)
        self.schedule, self.progress = Schedule(1, config.steps, config.lr), Progress()

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.progress.step

    def advance(self, batch: tuple[Tensor, ...]) -> float:
        """Take one step on a batch of pairs."""
        x, y = (part.to(self.device) for part in batch[:2])
        label = batch[2].to(self.device) if len(batch) > 2 else None
        if x.shape != y.shape or x.shape[1:] != (self.field.dim,):
            raise DataError(
                f"pairs must be noise and codes of shape (B, {self.field.dim}), got "
                f"{tuple(x.shape)} and {tuple(y.shape)}; build the flow for their dimension."
            )
        check_labels(label, self.field.classes)
        drawn = generator(self.seed, Stream.FLOW, self.step).random(len(x))
        t = torch.from_numpy(drawn).to(x)
        velocity = self.field(torch.lerp(x, y, t[:, None]), t, label)
        loss = (velocity - (y - x)).square().mean()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DataError(
                f"the loss of the flow must be finite, got {value} in step {self.step + 1}; scale "
                f"the codes to rms one or try a lower lr than {self.config.lr:g}."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.field.parameters(), CLIP_NORM)
        self.optimizer.step()
        self._remember(value, len(x))
        return value

    @torch.no_grad()
    def _remember(self, loss: float, rows: int) -> None:
        """Update counters, history and the running mean, which forgets the start sooner."""
        progress = self.progress
        progress.step, progress.rows = progress.step + 1, progress.rows + rows
        progress.loss_sum += loss / TOLD_EVERY
        if progress.step % TOLD_EVERY == 0:
            progress.history.append({"step": progress.step, "loss": progress.loss_sum})
            progress.loss_sum = 0.0
        keep = min(AVERAGE, progress.step / (progress.step + 10))
        for name, value in self.field.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def snapshot(self) -> TrainingState:
        """Copy everything that the rest of the training depends on."""
        return TrainingState(
            parameters=copy_parameters(self.field),
            best={name: value.cpu().clone() for name, value in self.average.items()},
            optimizer=pack_optimizer(self.optimizer),
            code_scale=torch.ones(()),
            progress=self.progress.copy(),
            fingerprint=self._fingerprint(),
        )

    def _fingerprint(self) -> dict[str, Any]:
        """Return what a resumed training must share with the one that made the state."""
        own = {"seed": self.seed, "dim": self.field.dim, "classes": self.field.classes}
        return own | asdict(self.config)

    def restore(self, state: TrainingState) -> None:
        """Put a snapshot back."""
        state.check(self._fingerprint())
        self.field.load_state_dict(state.parameters)
        unpack_optimizer(self.optimizer, state.optimizer)
        self.average = {n: v.to(self.device, copy=True) for n, v in state.best.items()}
        self.progress = state.progress.copy()

    def result(self) -> Flow:
        """Return the flow, with the running mean where all steps were taken."""
        state, finished = self.snapshot(), self.step >= self.config.steps
        if finished:
            self.field.load_state_dict(self.average)
        self.field.eval().requires_grad_(False)
        return Flow(self.field, self.progress.copy().history, finished, state)
