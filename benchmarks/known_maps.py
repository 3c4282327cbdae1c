"""How near do the maps come to Brenier maps that are known: E |T(x) - T*(x)|^2 against N.

    python -m benchmarks.known_maps --out benchmarks/results/known_maps.json

Targets are drawn from the image of the source, so that T* is known: the identity on the box, a
linear map between normal laws, a radial map of the ball, and two half boxes moved apart (a tear at
x_1 = 0). The plain map, the extended map with its default rule, and the entropic map of POT's dual
potentials (exact semi-dual heights, soft-max at eps) are compared on fresh noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from ot_latent import OTSampler
from ot_latent._random import Stream
from ot_latent.transport import Gaussian, UniformBall, UniformBox
from ot_latent.transport.sources import Source

FRESH = 4096
EPSILONS = (0.01, 0.03, 0.1, 0.3)  # of the median squared distance between targets


class Case(NamedTuple):
    """A source and the map that is known."""

    source: Source
    map: Callable[[Tensor], Tensor]


def case(name: str, d: int) -> Case:
    """Return a problem of a name."""
    if name == "identity":
        return Case(UniformBox.centered(d), lambda x: x)
    if name == "gaussian":
        rng = np.random.default_rng(0)
        turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(d, d)))[0])
        root = turn @ torch.diag(torch.linspace(0.5, 2.0, d, dtype=torch.float64)) @ turn.T
        return Case(Gaussian.standard(d), lambda x: x @ root)
    if name == "radial":
        return Case(UniformBall(d), lambda x: x * x.norm(dim=1, keepdim=True) ** 0.5)
    gap = torch.zeros(d, dtype=torch.float64)
    gap[0] = 2.0
    return Case(UniformBox.centered(d), lambda x: x + gap * x[:, :1].sign())


def entropic(sampler: OTSampler, x: Tensor, eps: float) -> Tensor:
    """Return the soft-max average of the codes at the heights of the solution, standardised."""
    u = sampler.transport_.potential
    points, heights = u.points.double(), u.heights.double()
    unit = eps * float((points[:200, None] - points[None, :200]).square().sum(2).median()) / 2
    chunks = [
        torch.softmax((part @ points.T + heights) / unit, 1) @ points for part in x.split(512)
    ]
    return torch.cat(chunks)


def trial(name: str, d: int, n: int, seed: int, tolerance: float | None) -> dict[str, object]:
    """Return the mean squared errors of all maps on one problem."""
    source, known = case(name, d)
    drawn = source.sample(n, seed=seed, stream=Stream.SPLIT)
    if name == "tear":  # equal shares on both sides: else the tear moves by their chance
        drawn[:, 0] = drawn[:, 0].abs() * (1 - 2 * (torch.arange(n) % 2))
    targets = known(drawn).numpy()
    sampler = OTSampler(source, tolerance=tolerance, random_state=seed).fit(targets)
    x = source.sample(FRESH, seed=seed, stream=Stream.BASELINE)
    true = known(x)

    def error(codes: Tensor) -> float:
        raw = codes.double() * sampler.scale_ + torch.from_numpy(sampler.shift_)
        return float((raw - true).square().sum(dim=1).mean())

    noise = x.to(sampler.transport_.potential.points)
    soft = [error(entropic(sampler, x, eps)) for eps in EPSILONS]
    return {
        "case": name, "d": d, "n": n, "seed": seed,
        "variance": float(true.var(dim=0).sum()),
        "mass_error": sampler.transport_.mass_error,
        "rule": sampler.rule_.to_dict(),
        "plain": error(sampler.transport_.potential.transport(noise)),
        "extended": error(sampler.map_(noise)),
        "averaged": error(anchored(sampler, noise)),
        "entropic": min(soft), "entropic_epsilon": EPSILONS[int(np.argmin(soft))],
    }  # fmt: skip


def anchored(sampler: OTSampler, x: Tensor) -> Tensor:
    """Return the local mean of the code of each row's cell: no spread at all."""
    from ot_latent.transport.neighbours import neighbour_table

    points = sampler.transport_.potential.points.double()
    table = neighbour_table(points, 30)
    return points[table].mean(dim=1)[sampler.map_.cell_index(x)]


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/known_maps.json"))
    parser.add_argument("--cases", nargs="+", default=["identity", "gaussian", "radial", "tear"])
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tolerance", type=float, default=0.2, help="of the sampled solver")
    options = parser.parse_args()
    rows = []
    for d in options.dims:
        for name in options.cases:
            exact = d <= 2 and name in ("identity", "tear")
            level = None if exact else options.tolerance
            for n in options.sizes:
                rows += [trial(name, d, n, seed, level) for seed in options.seeds]
                record = {"machine": results.machine(), "trials": rows}
                options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
