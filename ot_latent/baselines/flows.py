r"""A normalising flow on codes: an invertible network from normal noise, trained by likelihood.

Neural spline flow of Durkan et al. (2019), built by zuko, which is not required otherwise:
``pip install zuko``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._random import Stream, generator, seed_from
from ot_latent._validation import check_positive
from ot_latent.baselines.base import Baseline

_HELD_OUT, _PATIENCE, _EVERY = 0.1, 6, 100
_ORDER_KEY, _SPLIT_KEY = 1, 5  # draws of this module within their streams


class NormalisingFlowSampler(Baseline):
    r"""Neural spline flow :math:`z = f(x)`, x normal, that makes codes likeliest.

    A tenth of the codes is held out; every hundred steps their likelihood is taken, the best network
    is kept, and six looks without a better one end the training.

    Parameters
    ----------
    steps : int, default=3000
        Largest number of steps of Adam.
    transforms : int, default=3
        Number of spline layers.
    width : int, default=64
        Width of the two hidden layers of each.
    batch_size : int, default=512
        Codes per step.
    learning_rate : float, default=2e-3
        Rate of Adam at the start; it falls to zero along a half cosine.
    random_state : int, default=0
        Seed of the network, the held-out part and the order.

    Attributes
    ----------
    held_out_ : float
        Mean log-likelihood of the held-out codes, in standardised units, of the network kept.
    steps_ : int
        Steps taken.

    Raises
    ------
    ImportError
        In `fit`, if zuko is not installed.
    """

    _number = 6

    def __init__(
        self,
        steps: int = 3000,
        *,
        transforms: int = 3,
        width: int = 64,
        batch_size: int = 512,
        learning_rate: float = 2e-3,
        random_state: int = 0,
    ) -> None:
        self.steps = steps
        self.transforms = transforms
        self.width = width
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def _fit(self, codes: np.ndarray) -> None:
        for name in ("steps", "transforms", "width", "batch_size"):
            check_positive(getattr(self, name), name, integer=True)
        check_positive(self.learning_rate, "learning_rate")
        zuko, seed = _zuko(), seed_from(self.random_state)
        self.shift_, self.scale_ = codes.mean(axis=0), codes.std(axis=0)
        self.scale_[self.scale_ == 0] = 1.0
        rows = torch.from_numpy((codes - self.shift_) / self.scale_).float()
        with torch.random.fork_rng(devices=[]):  # its parameters are drawn anew below
            flow = zuko.flows.NSF(
                codes.shape[1], transforms=self.transforms, hidden_features=(self.width,) * 2
            )
        _initialise(flow, seed)
        order = generator(seed, Stream.SPLIT, _SPLIT_KEY).permutation(len(rows))
        cut = max(1, int(_HELD_OUT * len(rows)))
        self.flow_ = self._trained(flow, rows[order[cut:]], rows[order[:cut]], seed)

    def _trained(self, flow: Any, rows: Tensor, held: Tensor, seed: int) -> Any:
        """Return the network that makes the held-out rows likeliest."""
        optimiser = torch.optim.Adam(flow.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        self.held_out_, best, stale, step = -np.inf, copy.deepcopy(flow), 0, 0
        while step < self.steps and stale < _PATIENCE:
            rng = generator(seed, Stream.TRAINING_ORDER, step // _EVERY, _ORDER_KEY)
            for _ in range(min(_EVERY, self.steps - step)):
                chosen = torch.from_numpy(rng.integers(len(rows), size=self.batch_size))
                loss = -flow().log_prob(rows[chosen]).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                step += 1
            with torch.no_grad():
                found = float(flow().log_prob(held).mean())
            stale += 1
            if found > self.held_out_:
                self.held_out_, best, stale = found, copy.deepcopy(flow), 0
        self.steps_ = step
        return best.eval()

    @torch.no_grad()
    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        noise = torch.from_numpy(rng.standard_normal((n, len(self.shift_)))).float()
        made = self.flow_().transform.inv(noise).double().numpy()
        return self.shift_ + self.scale_ * made


@torch.no_grad()
def _initialise(flow: torch.nn.Module, seed: int) -> None:
    """Draw the parameters: uniform within one over the root of the inputs, as torch does."""
    for index, part in enumerate(flow.modules()):
        weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2:
            continue
        rng = generator(seed, Stream.INITIALISATION, index, 1)
        for value in (weight, bias):
            if isinstance(value, Tensor):
                drawn = rng.uniform(-1.0, 1.0, tuple(value.shape)) / weight.shape[1] ** 0.5
                value.copy_(torch.from_numpy(drawn))


def _zuko() -> Any:
    """Return the library, refused in one sentence where it is missing."""
    try:
        import zuko
    except ImportError as error:
        raise ImportError(
            f"NormalisingFlowSampler must have zuko, got none that imports ({error}); pip install "
            "zuko, or take MixtureSampler('bic')."
        ) from error
    return zuko
