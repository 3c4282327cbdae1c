"""One changed line of a TorchCFM training script: pairs of the optimal coupling, not of a batch.

Flow matching learns a velocity field from pairs (noise, data). TorchCFM draws them independently,
or couples the rows of each mini-batch. Here the whole data set is coupled to the whole noise once,
and every batch is a piece of that coupling: the paths are nearly straight, and one step of Euler's
method nearly does. ``pip install torchcfm`` for its matcher; without it, the same few lines below.

    python examples/torchcfm_coupling.py                  # independent, then semi-discrete
    python examples/torchcfm_coupling.py --steps 4000 --points 5000
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor, nn

from ot_latent.transport import (
    DampedNewton,
    DiscreteMeasure,
    SemiDiscreteCoupling,
    UniformBox,
)

try:
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
except ImportError:

    class ConditionalFlowMatcher:
        """What TorchCFM's matcher of this name does for sigma = 0."""

        def __init__(self, sigma: float = 0.0) -> None:
            self.sigma = sigma

        def sample_location_and_conditional_flow(
            self, x0: Tensor, x1: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            """Return times, points between the ends, and the velocity from end to end."""
            t = torch.rand(len(x0))
            xt = torch.lerp(x0, x1, t[:, None])
            return t, xt, x1 - x0


def eight_gaussians(n: int) -> Tensor:
    """Return points of eight modes on a circle."""
    angle = 2 * math.pi * (torch.arange(n) % 8) / 8
    return 2 * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.15 * torch.randn(n, 2)


def train(kind: str, data: Tensor, steps: int, batch: int = 256) -> nn.Module:
    """Train a field v(x, t), as TorchCFM's tutorials do, on one kind of coupling."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    matcher = ConditionalFlowMatcher(sigma=0.0)
    noise = UniformBox.centered(2)
    if kind == "semi-discrete":
        solution = DampedNewton().solve(noise, DiscreteMeasure.uniform(data))
        batches = iter(SemiDiscreteCoupling(solution, source=noise, batch_size=batch))
    for step in range(steps):
        if kind == "semi-discrete":
            x0, _, x1, _ = next(batches)  # the changed line
        else:
            x0 = noise.sample(batch, seed=1, start=step * batch, dtype=torch.float32)
            x1 = data[torch.randint(len(data), (batch,))]
        t, xt, ut = matcher.sample_location_and_conditional_flow(x0, x1)
        vt = model(torch.cat([xt, t[:, None]], dim=1))
        loss = (vt - ut).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def integrate(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    """Follow the field by Euler's method."""
    for k in range(steps):
        t = torch.full((len(x), 1), k / steps)
        x = x + model(torch.cat([x, t], dim=1)) / steps
    return x


def main() -> None:
    """Train twice and compare one step with many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--points", type=int, default=2000)
    options = parser.parse_args()
    torch.manual_seed(1)
    data = eight_gaussians(options.points)
    x = UniformBox.centered(2).sample(1000, seed=2, dtype=torch.float32)
    for kind in ("independent", "semi-discrete"):
        model = train(kind, data, options.steps)
        one, many = integrate(model, x, 1), integrate(model, x, 50)
        gap = (one - many).square().sum(dim=1).mean().sqrt()
        nearest = torch.cdist(one, data).min(dim=1).values.mean()
        print(f"{kind:14s} one step misses fifty by {gap:.3f}, and the data by {nearest:.3f}")


if __name__ == "__main__":
    main()
