"""Does a true quadratic Brenier potential, with cells of its own, beat the cell-wise affine map?

    python -m benchmarks.quadratic --out benchmarks/results/quadratic.json

The cell-wise affine map T(x) = p_j + B_j (x - c_j) has the cells of planes and is no gradient. The
potential u(x) = max_j <x, p_j> + h_j + (x - c_j)' B_j (x - c_j) / 2 has this gradient on cells of
its own; c_j (their centroids), the scale of B_j and h_j (from the masses) are a fixed point, sought
here by turns: heights on fresh draws, then centroids and scale. "kept" stops after the first turn,
with the centroids of the planes' cells. All are judged by fresh codes, and as coordinates.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from ot_latent._random import Stream
from ot_latent._solvers import solve
from ot_latent.metrics import frechet_distance, novelty_ratio, precision_recall
from ot_latent.transport import DiscreteMeasure, UniformBox
from ot_latent.transport.local_law import surroundings
from ot_latent.transport.neighbours import neighbour_table

MODES, TURNS, ROUNDS, DRAWS, FRESH = 5, 6, 40, 10_000, 2000


class Pieces(NamedTuple):
    """Pieces <x, p> + h + (x - c)' B (x - c) / 2."""

    anchors: Tensor
    roots: Tensor
    centres: Tensor
    heights: Tensor

    def best_two(self, x: Tensor, *, planes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the best two values and pieces; with `planes`, those of planes with these slopes."""
        if planes is not None:
            return (x @ planes.T + self.heights).topk(2, dim=1)
        lifted = (x[:, :, None] * x[:, None]).flatten(1)
        bent = torch.einsum("nij,nj->ni", self.roots, self.centres)
        constant = self.heights + (bent * self.centres).sum(1) / 2
        scores = x @ (self.anchors - bent).T + lifted @ (self.roots.flatten(1) / 2).T + constant
        return scores.topk(2, dim=1)

    def map(self, x: Tensor, cells: Tensor) -> Tensor:
        """Return T(x) for known cells."""
        steps = torch.einsum("mij,mj->mi", self.roots[cells], x - self.centres[cells])
        return self.anchors[cells] + steps


def mixture(n: int, d: int, seed: int) -> Tensor:
    """Codes of an anisotropic mixture, standardised by its own moments."""
    law = np.random.default_rng(1)
    means = 2.5 * law.normal(size=(MODES, d))
    roots = law.normal(size=(MODES, d, d)) * np.geomspace(1.0, 0.1, d) / 2
    rng = np.random.default_rng(seed)
    mode = rng.integers(MODES, size=n)
    codes = means[mode] + np.einsum("nij,nj->ni", roots[mode], rng.normal(size=(n, d)))
    scale = np.sqrt((means**2).mean() + (roots**2).sum((1, 2)).mean() / d)
    return torch.from_numpy((codes - means.mean(0)) / scale)


def local_pieces(points: Tensor, a: float, b: float, k: int) -> tuple[Tensor, Tensor]:
    """Return anchors and unscaled roots b C^{1/2} of the local laws."""
    around = surroundings(points, neighbour_table(points, k))
    values, vectors = torch.linalg.eigh(around.factor.mT @ around.factor)
    roots = vectors @ (values.clamp(min=0).sqrt()[..., None] * vectors.mT)
    return around.mean + a * (points - around.mean), b * roots


def fixed_point(
    start: Pieces, roots: Tensor, source: UniformBox, seed: int, turns: int
) -> tuple[Pieces, float]:
    """Iterate centres, scale and heights; return the pieces and the rms cell error at the end."""
    pieces, n, d = start, len(start.heights), start.anchors.shape[1]
    for turn in range(turns):
        for round_ in range(ROUNDS):
            first = (turn * ROUNDS + round_) * DRAWS
            x = source.sample(DRAWS, seed=seed, stream=Stream.FIT, start=first)
            values, cells = pieces.best_two(x)
            width = float((values[:, 0] - values[:, 1]).mean())
            counts = torch.bincount(cells[:, 0], minlength=n).double()
            slope = torch.log((counts + 0.5) / (DRAWS / n))
            heights = pieces.heights - width * slope / (1 + round_ / 10)
            pieces = pieces._replace(heights=heights - heights.mean())
        if turn < turns - 1:
            cell = cells[:, 0]
            sums = torch.zeros(n, d, dtype=x.dtype).index_add_(0, cell, x)
            means = torch.where(
                counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], pieces.centres
            )
            inside = float((x - means[cell]).square().mean().sqrt())
            pieces = pieces._replace(roots=roots / inside, centres=means)
    return pieces, mass_error(pieces, source, seed)


def mass_error(
    pieces: Pieces, source: UniformBox, seed: int, planes: Tensor | None = None
) -> float:
    """Return the rms relative cell error on fresh draws."""
    n = len(pieces.heights)
    x = source.sample(200_000, seed=seed, stream=Stream.EVALUATION)
    parts = [pieces.best_two(part, planes=planes)[1][:, 0] for part in x.split(20_000)]
    cell = torch.cat(parts)
    counts = torch.bincount(cell, minlength=n).double()
    error = float(((counts / len(x) - 1 / n).square() * n).sum() - (n - 1) / len(x))
    return max(error, 0.0) ** 0.5


def judged(pieces: Pieces, planes: Tensor | None, points: Tensor, fresh: Tensor, source: UniformBox,
           seed: int) -> dict[str, float]:  # fmt: skip
    """Compare a map's codes with fresh ones, and tell what it is as a coordinate."""
    x = source.sample(len(fresh), seed=seed, stream=Stream.SAMPLING)
    cell = pieces.best_two(x, planes=planes)[1][:, 0]
    codes = pieces.map(x, cell)
    step = torch.nn.functional.normalize(
        source.sample(len(x), seed=seed + 1, stream=Stream.SAMPLING), dim=1
    )
    far = x + 0.05 * step
    beyond = pieces.best_two(far, planes=planes)[1][:, 0]
    moved = pieces.map(far, beyond) - codes
    crossing = beyond != cell
    precision, recall = precision_recall(real=fresh, generated=codes)
    return {
        "frechet": frechet_distance(real=fresh, generated=codes),
        "precision": precision,
        "recall": recall,
        "novelty": novelty_ratio(train=points, holdout=fresh, generated=codes),
        "variance": float(codes.var(0).sum() / fresh.var(0).sum()),
        "crossing": float(crossing.double().mean()),
        "squared_step": float(moved[crossing].square().sum(1).mean()),
        "reversed": float(((moved * step).sum(1) < 0)[crossing].double().mean()),
    }


def trial(n: int, d: int, seed: int, a: float, b: float, k: int) -> dict[str, object]:
    """Run both maps on one set of codes."""
    points, fresh, source = (
        mixture(n, d, seed),
        mixture(FRESH, d, seed + 1000),
        UniformBox.centered(d),
    )
    target = DiscreteMeasure.uniform(points)
    solution = solve("auto", source, target, tolerance=1e-3 if d < 4 else 0.1, seed=seed)
    anchors, roots = local_pieces(points, a, b, k)
    scale = solution.within_scale or 1.0
    centres, planes = solution.centroids.double(), solution.potential.points.double()
    affine = Pieces(anchors, roots / scale, centres, solution.potential.heights.double())
    # the same values at the centres as the planes have there: a start near the goal
    start = affine._replace(heights=affine.heights + ((planes - anchors) * centres).sum(1))
    found = {
        "affine": judged(affine, planes, points, fresh, source, seed)
        | {"mass_error": mass_error(affine, source, seed, planes)}
    }
    for name, turns in (("kept", 1), ("fixed point", TURNS)):
        began = time.process_time()
        own, error = fixed_point(start, roots, source, seed, turns)
        found[name] = judged(own, None, points, fresh, source, seed) | {"mass_error": error}
        found[name]["cpu_seconds"] = time.process_time() - began
    return {"n": n, "d": d, "seed": seed, "a": a, "b": b, "k": k, "maps": found}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quadratic.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 800])
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8])
    options = parser.parse_args()
    rows = [
        trial(n, d, seed, a, b, 30)
        for d in options.dims
        for n in options.sizes
        for seed in options.seeds
        for a, b in ((0.5, 0.9),)
    ]
    record = {"machine": results.machine(), "trials": rows}
    options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
