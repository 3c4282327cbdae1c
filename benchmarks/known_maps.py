"""How near do the maps come to Brenier maps that are known: E |T(x) - T*(x)|^2 against N.

    python -m benchmarks.known_maps

Targets are drawn from the image of the source, so that T* is known: the identity on the box, a
linear map between normal laws, a radial map of the ball, and two half boxes or half balls moved apart
(a tear at x_1 = 0). Compared on fresh noise: the plain map; the extended map with its default rule; entropic
maps at the solved heights (a soft-max in place of the maximum); and POT's entropic map, from as many
draws of the source as there are targets. Both entropic maps take the best of four temperatures,
chosen with the known map in hand.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from ot_latent import OTSampler
from ot_latent._random import Stream
from ot_latent.transport import Gaussian, UniformBall, UniformBox
from ot_latent.transport.sources import Source

KEY = ("case", "d", "n", "seed")
CASES = ("identity", "gaussian", "radial", "tear", "tear-ball")
FRESH = 4096
OTHER = (
    1000  # added to seeds: with the sampler's own, its calibration would meet the targets' noise
)
ITERATIONS = 300  # of Sinkhorn's
MAPS = ("plain", "extended", "entropic", "pot")
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
    source = UniformBall(d) if name == "tear-ball" else UniformBox.centered(d)
    return Case(source, lambda x: x + gap * x[:, :1].sign())


def entropic(sampler: OTSampler, x: Tensor, eps: float) -> Tensor:
    """Return the soft-max average of the codes at the heights of the solution, standardised."""
    u = sampler.transport_.potential
    points, heights = u.points.double(), u.heights.double()
    unit = eps * float((points[:200, None] - points[None, :200]).square().sum(2).median()) / 2
    chunks = [
        torch.softmax((part @ points.T + heights) / unit, 1) @ points for part in x.split(512)
    ]
    return torch.cat(chunks)


def sinkhorn(x: Tensor, y: Tensor, fresh: Tensor, eps: float) -> Tensor:
    """Return POT's entropic map between two samples, at fresh points."""
    import ot

    cost = torch.cdist(x, y).square()
    reg = eps * float(cost[:200, :200].median())
    mass = [np.full(len(part), 1 / len(part)) for part in (x, y)]
    options = {"numItermax": ITERATIONS, "stopThr": 1e-6, "log": True, "warn": False}
    _, log = ot.bregman.sinkhorn_knopp(*mass, cost.numpy(), reg, **options)
    scaling = torch.from_numpy(log["v"]).clamp_min(torch.finfo(torch.float64).tiny).log()
    chunks = [
        torch.softmax(scaling - torch.cdist(part, y).square() / reg, 1) @ y
        for part in fresh.split(512)
    ]
    return torch.cat(chunks)


def trial(name: str, d: int, n: int, seed: int, tolerance: float | None) -> dict[str, Any]:
    """Return the mean squared errors of all maps on one problem."""
    source, known = case(name, d)
    drawn = source.sample(n, seed=seed + OTHER, stream=Stream.SPLIT)
    if name.startswith("tear"):  # equal shares on both sides: else the tear moves by their chance
        drawn[:, 0] = drawn[:, 0].abs() * (1 - 2 * (torch.arange(n) % 2))
    targets = known(drawn).numpy()
    sampler = OTSampler(source, tolerance=tolerance, random_state=seed).fit(targets)
    x = source.sample(FRESH, seed=seed + OTHER, stream=Stream.BASELINE)
    true = known(x)

    def error(codes: Tensor) -> float:
        raw = codes.double() * sampler.scale_ + torch.from_numpy(sampler.shift_)
        return float((raw - true).square().sum(dim=1).mean())

    noise = x.to(sampler.transport_.potential.points)
    raw = sampler.map_(noise).double() * sampler.scale_ + torch.from_numpy(sampler.shift_)
    off = (raw - true).square().sum(dim=1)
    across = (raw[:, 0] * true[:, 0] < 0) & name.startswith("tear")  # on the wrong side of it
    own, codes = (
        source.sample(n, seed=seed + OTHER, stream=Stream.SAMPLING),
        torch.from_numpy(targets),
    )
    pot = [
        float((sinkhorn(own, codes, x, eps) - true).square().sum(dim=1).mean()) for eps in EPSILONS
    ]
    soft = [error(entropic(sampler, x, eps)) for eps in EPSILONS]
    return {
        "case": name, "d": d, "n": n, "seed": seed,
        "variance": float(true.var(dim=0).sum()),
        "mass_error": sampler.transport_.mass_error,
        "rule": {k: v for k, v in sampler.rule_.to_dict().items() if v != math.inf},
        "plain": error(sampler.transport_.potential.transport(noise)),
        "extended": float(off.mean()),
        "across": float(across.double().mean()),
        "across_error": float((off * across).mean()),
        "averaged": error(anchored(sampler, noise)),
        "entropic": min(soft), "entropic_epsilon": EPSILONS[int(np.argmin(soft))],
        "pot": float(np.nanmin(pot)), "pot_epsilon": EPSILONS[int(np.nanargmin(pot))],
    }  # fmt: skip


def anchored(sampler: OTSampler, x: Tensor) -> Tensor:
    """Return the local mean of the code of each row's cell: no spread at all."""
    from ot_latent.transport.neighbours import neighbour_table

    points = sampler.transport_.potential.points.double()
    table = neighbour_table(points, 30)
    return points[table].mean(dim=1)[sampler.map_.cell_index(x)]


def slope(sizes: Sequence[int], errors: Sequence[float]) -> float:
    """Return the slope of log error against log N, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def markdown(record: dict[str, Any]) -> str:
    """Return a row per map and dimension: errors by N, and their slopes; the least is bold."""
    names = {"identity": "identity on the box", "gaussian": "normal to normal"}
    names |= {"radial": "radial on the ball", "tear": "two half boxes, a tear"}
    names["tear-ball"] = "two half balls, a tear"
    groups: dict[tuple[int, str], dict[int, list[dict[str, Any]]]] = {}
    for row in record["rows"]:
        groups.setdefault((row["d"], row["case"]), {}).setdefault(row["n"], []).append(row)
    lines = []
    for (d, name), found in sorted(
        groups.items(), key=lambda it: (list(names).index(it[0][1]), it[0])
    ):
        sizes = sorted(found)
        means = {m: [float(np.mean([r[m] for r in found[n]])) for n in sizes] for m in MAPS}
        for place, n in enumerate(sizes):
            least = min(means[m][place] for m in MAPS)
            shown = [f"{means[m][place]:.3g}" for m in MAPS]
            bold = [
                f"**{text}**" if means[m][place] == least else text
                for m, text in zip(MAPS, shown, strict=True)
            ]
            lines.append([names[name] if place == 0 else "", d, n, *bold])
        if len(sizes) > 1:
            slopes = [f"{slope(sizes, means[m]):.2f}" for m in MAPS]
            lines.append(["", d, "slope", *slopes])
    head = ("map", "d", "N", "plain", "extended", "entropic, best of 4", "POT, best of 4")
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=results.FOLDER / "known_maps.json")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tolerance", type=float, help="of the solver; by default the sampler's")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    for d in [] if options.table else options.dims:
        for name in options.cases:
            for n in options.sizes:
                rows = [trial(name, d, n, seed, options.tolerance) for seed in options.seeds]
                results.merge(options.out, rows, KEY)
                print(*rows, sep="\n", flush=True)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
