r"""Refinement of a trained decoder: reconstructions that keep what a mean over possible rows blurs.

The encoder stays, so codes, transport and labels stay. Over the decoder D, for codes z = E(x) with code noise e
and r = D(z + e), the mean over rows is minimised of

.. math:: \mathrm{loss}(r, x) + a \sum_l \frac{|f_l(x) - f_l(r)|_1}{L\,|f_l(x)|_1} - b \log\sigma(C(r))

with the levels :math:`f_l` of a small critic C, which learns beside it to tell x from r by logistic loss
and a penalty on its gradient at the data (Mescheder et al., 2018). Pairing codes with their rows, in pixels and
features, is the idea of AE-OT-GAN; architecture, weights and schedule are ours. A heuristic without guarantee:
whether decoders get better is measured.

Samples are decoded beside the codes, of which nothing of this speaks. With a weight c > 0 the critic also judges
decodings of codes moved by the law of their neighbours (`local_codes`), and c times their `moment_gap` from
the rows is added: no row is their target, so they may be new, and as a whole they are to look like rows.
Weights a = b = c = 0 leave plain training of the decoder, without a critic.

An, Guo, Zhang, Qi, Lei, Yau and Gu. "AE-OT-GAN: training GANs from data specific latent distribution." ECCV 2020.
Mescheder, Geiger and Nowozin. "Which training methods for GANs do actually converge?" ICML 2018.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ot_latent.config import TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder, encode_rows
from ot_latent.latent.critic import Critic, feature_distances, moment_gap, new_critic
from ot_latent.latent.local_codes import LocalCodes
from ot_latent.latent.loop import CLIP_NORM, Loop, TrainingStatus
from ot_latent.latent.priors import split_code
from ot_latent.latent.training_state import (
    Schedule,
    TrainingState,
    copy_parameters,
    pack_optimizer,
    unpack_optimizer,
)

DECODER_RATE, CRITIC_RATE = 0.25, 0.5
"""Peak learning rates of decoder and critic over that of the training."""

BETAS = (0.5, 0.99)
"""Memory of the optimiser where there is a critic, whose verdicts change all the time."""

PENALTY, EVERY = 0.02, 8
"""Weight of the penalty on the critic's gradient, and every how many steps it is taken."""

SALT = 3
"""Tells the draws that move codes apart from the others of a step."""

AVERAGE = 0.99
"""How much of the running mean of the decoder a step keeps; that mean is what is returned."""


def check_refinement(config: TrainingConfig, model: Autoencoder) -> None:
    """Refuse to refine a decoder whose units are shrunk.

    Parameters
    ----------
    config : TrainingConfig
        With `refine_epochs`.
    model : Autoencoder
        The network.

    Raises
    ------
    ValueError
        If both are asked for.
    """
    if config.refine_epochs and model.config.regulariser == "pathprox":
        raise ValueError(
            f"refine_epochs must be 0 with regulariser='pathprox', got {config.refine_epochs}; the "
            "refinement would not keep the units shrunk."
        )


class Refinement(Loop):
    """The refinement of a decoder; it begins at the state of a training, or goes on from one of its own.

    Computed in full precision. Order, noise and the critic's first weights are functions of the seed; epochs and
    steps are numbered on from those of the training, so that no draw is used twice.

    Parameters
    ----------
    accelerator : Accelerator
        Device and processes.
    model : Autoencoder
        The network; its decoder is changed.
    x, x_validation : Tensor of shape (n, *shape)
        The rows of the training.
    config : TrainingConfig
        Settings.
    seed : int
        Seed of order, noise and critic.
    """

    def _prepare(self) -> None:
        """Make critic and optimiser."""
        model, config = self.model, self.config
        judged = max(config.refine_features, config.refine_adversarial, config.refine_local) > 0
        self.critic = new_critic(model.shape, model.config.width, self.seed) if judged else None
        self.rates = Schedule(max(1, config.refine_epochs), self.schedule.steps, config.lr)
        decay = {"weight_decay": config.weight_decay}
        groups: list[dict[str, Any]] = [{"params": [*model.decoder.parameters()], **decay}]
        if self.critic is not None:
            self.critic.to(self.accelerator.device)
            groups.append({"params": [*self.critic.parameters()], "weight_decay": 0.0})
        self.around: LocalCodes | None = None
        memory = BETAS if judged else (0.9, 0.999)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=memory)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a resumed refinement must share with the one that made the state."""
        names = ("refine_epochs", "refine_features", "refine_adversarial", "refine_local")
        return super().fingerprint | {name: getattr(self.config, name) for name in names}

    def snapshot(self) -> TrainingState:
        """Copy everything that the rest of the refinement depends on.

        Returns
        -------
        TrainingState
            The copy; `best` is the network with the running mean of its decoder.
        """
        return TrainingState(
            parameters=copy_parameters(self.model),
            best={name: value.cpu().clone() for name, value in self.best.items()},
            optimizer=pack_optimizer(self.optimizer),
            code_scale=self.code_scale.cpu().clone(),
            progress=self.progress.copy(),
            fingerprint=self.fingerprint,
            critic={} if self.critic is None else copy_parameters(self.critic),
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of a refinement, or begin at that of a training.

        Parameters
        ----------
        state : TrainingState
            Of the same training.
        """
        begins, device = not state.progress.refining, self.accelerator.device
        state.check(super().fingerprint if begins else self.fingerprint)
        self.model.load_state_dict(state.best if begins else state.parameters)
        self.best = {name: value.to(device, copy=True) for name, value in state.best.items()}
        self.code_scale = state.code_scale.to(device, copy=True)
        self.progress = state.progress.copy()
        if self.config.refine_local:
            self.around = LocalCodes(self._all_codes())
        if begins:
            self.progress.epoch, self.progress.step, self.progress.refining = 0, 0, True
            return
        unpack_optimizer(self.optimizer, state.optimizer)
        if self.critic is not None:
            self.critic.load_state_dict(state.critic)

    def _ended(self) -> TrainingStatus | None:
        """Say why the training ended, once the refinement has."""
        if self.progress.epoch < self.config.refine_epochs:
            return None
        early = self.progress.waited >= self.config.patience
        return TrainingStatus.EARLY_STOPPED if early else TrainingStatus.FINISHED

    def _count(self) -> int:
        """Return the number of finished steps since the start, as if no training ended early."""
        return self.schedule.epochs * self.schedule.steps + self._own_count()

    def _own_count(self) -> int:
        """Return the number of finished steps of the refinement."""
        return self.progress.epoch * self.schedule.steps + self.progress.step

    def _rate(self) -> float:
        """Return the decoder's learning rate in the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _step(self) -> None:
        """Take one step of decoder and critic on the next batch."""
        progress, count = self.progress, self._count()
        batch = self.batches.rows(self.schedule.epochs + progress.epoch, progress.step)
        x = self.batches.inputs(count, batch, self.model.config.deformation)
        x = x.to(self.accelerator.device)
        raw = self.model.decoder(self._codes(x, batch, count))
        losses = self.model.row_losses(raw[: len(x)], x)
        terms, own = {"loss": losses}, losses
        if self.critic is not None:
            made = torch.sigmoid(raw) if self.model.bounded else raw
            more, judged, verdict = self._judged_rows(self.critic, x, made, len(batch))
            terms, own = terms | more, own + judged
            self._descend(self.critic, verdict.sum() / len(batch), keep=True)
        self._descend(self.model.decoder, own.sum() / len(batch))
        sums = torch.stack([rows.detach().double().sum() for rows in terms.values()])
        sums = self.accelerator.reduce(sums, reduction="sum")
        self._refuse_nonfinite(sums.sum().item(), "loss")
        for group, share in zip(
            self.optimizer.param_groups, (DECODER_RATE, CRITIC_RATE), strict=False
        ):
            group["lr"] = share * self.rates.rate(self._own_count())
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress.step, progress.rows = progress.step + 1, progress.rows + len(batch)
        for name, value in zip(terms, sums.tolist(), strict=True):
            progress.terms[name] = progress.terms.get(name, 0.0) + value
        progress.loss_sum = progress.terms["loss"]
        self._average()

    @torch.no_grad()
    def _all_codes(self) -> Tensor:
        """Return the codes of all rows."""
        self.model.eval()
        parts = [x.to(self.accelerator.device) for x in self.batches.x.split(4096)]
        codes = torch.cat([encode_rows(self.model, x) for x in parts])
        self.model.train()
        return codes

    @torch.no_grad()
    def _codes(self, x: Tensor, batch: np.ndarray, count: int) -> Tensor:
        """Return the codes with their noise, as in the training, then moved ones; without gradients."""
        codes, noise = self.model.encoder(x), self._noise(count, len(batch))
        if self.model.variational:
            codes, spread = split_code(codes, self.model.config.latent_dim)
            noise = None if noise is None else noise * (0.5 * spread).exp()
        noisy = codes if noise is None else codes + noise
        if self.around is None:
            return noisy
        columns = self.around.nearest.shape[1]
        normals = self.batches.noise(count, len(batch), columns, salt=SALT).to(codes.device)
        rows = torch.from_numpy(self.batches.mine(batch)).to(codes.device)
        return torch.cat([noisy, codes + self.around.shifts(rows, normals)])

    def _judged_rows(
        self, critic: Critic, x: Tensor, made: Tensor, whole: int
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return what is told of each row, what the decoder minimises besides, and what the critic does.

        In `made`, what moved codes are decoded to follows the reconstructions; `whole` rows are in
        the batches of all processes.
        """
        penalised = self._own_count() % EVERY == 0
        x = x.detach().requires_grad_(penalised)
        real, seen = critic(x)
        scores, features = critic(made)
        count, fooled = len(x), softplus(scores).view(-1, len(x)).mean(0)
        distances = feature_distances(seen, [level[:count] for level in features])
        verdict = softplus(-real) + fooled
        own = self.config.refine_features * distances
        own = own + self.config.refine_adversarial * softplus(-scores[:count])
        terms = {"feature_distance": distances, "critic_loss": verdict}
        if len(made) > count:
            gap = moment_gap(seen, [level[count:] for level in features], whole, self._over_all)
            terms["moment_gap"] = gap.expand(count)
            own = own + self.config.refine_local * gap * (whole / count)  # once, whatever is ours
        if penalised:
            (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
            verdict = verdict + 0.5 * EVERY * PENALTY * slope.square().flatten(1).sum(1)
        return terms, own, verdict

    def _over_all(self, total: Tensor) -> Tensor:
        """Return the sum over processes; its gradient is that of our own share."""
        if self.accelerator.num_processes == 1:
            return total
        own = total.detach()
        return total - own + self.accelerator.reduce(own, reduction="sum")

    def _descend(self, network: nn.Module, total: Tensor, *, keep: bool = False) -> None:
        """Give a network the gradient of its own goal, which is all that it shall follow."""
        parameters = list(network.parameters())
        slopes = list(torch.autograd.grad(total, parameters, retain_graph=keep))
        if self.accelerator.num_processes > 1:  # every process holds a share of the batch
            whole = torch.cat([slope.flatten() for slope in slopes])
            parts = self.accelerator.reduce(whole, reduction="sum").split(
                [s.numel() for s in slopes]
            )
            slopes = [part.view_as(slope) for part, slope in zip(parts, slopes, strict=True)]
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope
        self._refuse_nonfinite(float(nn.utils.clip_grad_norm_(parameters, CLIP_NORM)), "gradient")

    @torch.no_grad()
    def _average(self) -> None:
        """Update the running mean of the decoder, which forgets the start sooner."""
        count = self._own_count()
        keep = min(AVERAGE, count / (count + 10))
        for name, value in self.model.decoder.state_dict().items():
            self.best[f"decoder.{name}"].lerp_(value, 1 - keep)

    def _judged(self) -> nn.Module:
        """Return the decoder with its running mean: the one that will be returned."""
        decoder = copy.deepcopy(self.model.decoder)
        names = decoder.state_dict()
        decoder.load_state_dict({name: self.best[f"decoder.{name}"] for name in names})
        return decoder

    def _keep(self, criterion: float) -> dict[str, Any]:
        """Return the mean terms of the epoch; what is kept is the running mean."""
        rows = len(self.batches.x)
        told = {name: value / rows for name, value in self.progress.terms.items() if name != "loss"}
        self.progress.terms = {}
        return {"refined": True, **told}
