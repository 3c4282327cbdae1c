"""What the transport itself buys, each beside the same codes without it.

Regularity of the map against cells assigned at random, in codes and in images; variance of class
shares under stratified noise; flows on the coupling against independent and mini-batch ones;
inversion of codes; and what other masses cost against a fresh solve. The problem is the mixture of
`problem.Problem`, its codes centred and divided by their rms, under noise uniform on [-1, 1]^d.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from benchmarks.coupling_rate import rows_per_second
from ot_latent._random import Stream, generator
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.datasets.loading import load
from ot_latent.estimators import OTSampler
from ot_latent.latent.autoencoder import build_autoencoder, decode_rows, encode_rows
from ot_latent.latent.classifier import train_classifier
from ot_latent.latent.flow import FlowConfig, train_flow
from ot_latent.latent.pairing import pairs_of
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder
from ot_latent.metrics import frechet_distance
from ot_latent.transport import ConvergenceWarning
from ot_latent.transport.stratified import stratified_noise

KEY = ("part", "case", "d", "seed")
TARGETS, MANY, TOLERANCE = 2000, 20_000, 0.05
# nothing to calibrate
GIVEN: dict[str, Any] = {"anchor": 0.5, "spread": 1.0, "neighbours": 30, "tear": 3.0}
RECOVERED = 0.01  # of the codes' rms: a code is recovered
STEP_LENGTH, WALKS = 0.02, 2**15  # of the source's deviation per coordinate; start points
SHARE_DRAWS, REPEATS = 1024, 400
FLOW_STEPS, FLOW_BATCH, JUDGED = 1000, 256, 10_000
FLOW_ERRORS = ("fd_1", "fd_2", "fd_4", "fd_8")  # by steps of Euler's method
CHANGES: dict[str, dict[int, float]] = {
    "one class at 0.95": {3: 0.95},
    "one class halved": {3: 0.5},
    "one class doubled": {3: 2.0},
    "one class times 3": {3: 3.0},
    "one class at 0.01": {3: 0.01},
    "rows at random 0.5 to 2": {},
}
IMAGES, EPOCHS, WIDTH = 3000, 6, 8  # of MNIST, for the autoencoder; its training


def mixture(
    d: int, seed: int, n: int | None = None, *, fresh: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of the mixture of ten Gaussians and their labels; fresh ones share the centres."""
    rng = np.random.default_rng(7 + seed)
    centres = 0.2 + 0.6 * rng.random((10, d))
    if fresh:
        rng = np.random.default_rng([7 + seed, 1])
    labels = rng.integers(10, size=n or TARGETS)
    return centres[labels] + 0.1 * rng.standard_normal((len(labels), d)), labels


@cache
def fitted(d: int, seed: int) -> OTSampler:
    """Return a sampler of the mixture."""
    return OTSampler(tolerance=TOLERANCE, solver="sampled", random_state=seed).fit(
        *mixture(d, seed)
    )


class Steps(NamedTuple):
    """Cells at both ends of short steps that change the cell."""

    one: Tensor
    other: Tensor
    shuffled: Tensor
    """Another cell for each, the same permutation at both ends."""


def crossing_steps(sampler: OTSampler, seed: int) -> Steps:
    """Walk a short way from draws in a random direction, and keep the walks that change the cell."""
    u, d = sampler.transport_.potential, sampler.source_.dim
    x = sampler.source_.sample(WALKS, seed=seed, dtype=torch.float32)
    rng = generator(seed, Stream.EVALUATION, 0, 1)
    way = torch.from_numpy(rng.standard_normal((WALKS, d))).float()
    length = STEP_LENGTH * float(sampler.source_.covariance.trace()) ** 0.5
    one, other = (u.cell_index(at) for at in (x, x + length * way / way.norm(dim=1, keepdim=True)))
    shuffled = torch.from_numpy(rng.permutation(len(u.points)))
    return Steps(one[one != other], other[one != other], shuffled)


def jumps(values: Tensor, steps: Steps) -> dict[str, float]:
    """Compare mean squared jumps with those under shuffled cells."""
    near = (values[steps.one] - values[steps.other]).double().square().sum(dim=1)
    moved = values[steps.shuffled]
    apart = (moved[steps.one] - moved[steps.other]).double().square().sum(dim=1)
    found = {"ours": float(near.mean()), "control": float(apart.mean())}
    return found | {"ratio": found["control"] / found["ours"]}


def regularity(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Mean squared jump over short steps that change the cell, against cells shuffled at random."""
    sampler = fitted(d, seed)
    yield {
        "part": "regularity",
        "case": "steps that change the cell",
        "d": d,
        **jumps(sampler.transport_.potential.points, crossing_steps(sampler, seed)),
        "unit": "mean squared jump",
        "mass_error": sampler.transport_.mass_error,
    }


def image_regularity(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Squared jumps of images over the same steps: codes of MNIST, in codes, pixels and features.

    Features are the penultimate layer of a classifier that was trained on other images.
    """
    images = load("mnist", split="train")
    rows = np.random.default_rng(seed).permutation(len(images.x))
    own, others = rows[:IMAGES], rows[IMAGES : 2 * IMAGES]
    codec = DataCodec.fit(images.x[own])
    x = codec.encode(images.x[own])
    config = AutoencoderConfig(latent_dim=d, width=WIDTH)
    training = TrainingConfig(epochs=EPOCHS, patience=EPOCHS)
    model = build_autoencoder(config, codec.shape, seed)
    model = train_autoencoder(model, x, training, seed=seed).model
    judge = train_classifier(codec.encode(images.x[others]), images.y[others], seed=seed)
    options = {"tolerance": TOLERANCE, "solver": "sampled", "extension": "none"}
    sampler = OTSampler(**options, random_state=seed).fit(encode_rows(model, x[:TARGETS]))
    points = sampler.transport_.potential.points
    steps = crossing_steps(sampler, seed)
    decoded = decode_rows(model, points * sampler.scale_ + torch.from_numpy(sampler.shift_).float())
    with torch.no_grad():
        spaces = {
            "codes": points,
            "pixels": decoded.flatten(1),
            "features": judge.features(decoded),
        }
    for name, values in spaces.items():
        yield {
            "part": "regularity of images",
            "case": f"MNIST, in {name}",
            "d": d,
            **jumps(values, steps),
            "unit": "mean squared jump",
            "mass_error": sampler.transport_.mass_error,
        }


def stratified(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Variance of class shares at n = 1,024, over seeds, summed over classes."""
    sampler = fitted(d, seed)
    labels = torch.from_numpy(sampler.labels_)

    def variance(draw: Callable[[int], Tensor]) -> float:
        cells = (sampler.map_.cell_index(draw(s).float()) for s in range(REPEATS))
        shares = [torch.bincount(labels[c], minlength=10).double() / SHARE_DRAWS for c in cells]
        return float(torch.stack(shares).var(dim=0).sum())

    even = variance(lambda s: stratified_noise(sampler.source_, SHARE_DRAWS, seed=s))
    independent = variance(lambda s: sampler.source_.sample(SHARE_DRAWS, seed=s))
    yield {
        "part": "stratified noise",
        "case": "class shares, n = 1,024",
        "d": d,
        "ours": even,
        "control": independent,
        "ratio": independent / even,
        "unit": "variance",
        "repeats": REPEATS,
    }


def flows(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Frechet distance to fresh codes of flows on three couplings, by steps of Euler's method."""
    sampler = fitted(d, seed)
    codes, fresh = sampler.transport_.potential.points, mixture(d, seed, JUDGED, fresh=True)[0]
    real = torch.from_numpy((fresh - sampler.shift_) / sampler.scale_)

    def noise(start: int, rows: int) -> Tensor:
        return sampler.source_.sample(rows, seed=seed, start=start, dtype=codes.dtype)

    coupling = sampler.coupling(batch_size=FLOW_BATCH, seed=seed)
    sources: dict[str, Callable[[int], tuple[Tensor, ...]]] = {
        kind: pairs_of(codes, noise, kind=kind, batch_size=FLOW_BATCH, seed=seed)
        for kind in ("independent", "minibatch")
    } | {"semidiscrete": lambda step: coupling.batch(step)[:3:2]}
    x = sampler.source_.sample(JUDGED, seed=seed + 10**6, dtype=codes.dtype)
    floor = frechet_distance(real=real[: JUDGED // 2], generated=real[JUDGED // 2 :])
    for kind, pairs in sources.items():
        began = time.process_time()
        flow = train_flow(pairs, d, FlowConfig(width=128, depth=2, steps=FLOW_STEPS), seed=seed)
        seconds = time.process_time() - began
        far = {
            steps: frechet_distance(
                real=real, generated=flow(x, steps=steps, method="euler").double()
            )
            for steps in (1, 2, 4, 8)
        }
        yield {
            "part": "flows",
            "case": kind,
            "d": d,
            **{f"fd_{steps}": value for steps, value in far.items()},
            "floor": floor,
            "loss": flow.history[-1]["loss"],
            "cpu_s": round(seconds, 1),
        }


def inversion(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Code to noise to code, by the cell's centroid and by the inverse of the map."""
    sampler = fitted(d, seed)
    held_out, _ = mixture(d, seed, TARGETS, fresh=True)
    for case, codes in (("codes of the fit", mixture(d, seed)[0]), ("held-out codes", held_out)):
        standard = torch.from_numpy((codes - sampler.shift_) / sampler.scale_).float()
        own = _nearest_index(sampler, codes)
        plain = (sampler.transport_.potential.points[own] - standard).double()
        ways = {
            "centroid": torch.from_numpy(sampler.transform(codes)).float(),
            "inverse": sampler.map_.inverse(standard).noise,
        }
        for way, x in ways.items():
            back = (sampler.inverse_transform(x.numpy()) - sampler.shift_) / sampler.scale_
            off = (torch.from_numpy(back) - standard).double().square().mean(dim=1)
            yield {
                "part": "inversion",
                "case": f"{case}, by {way}",
                "d": d,
                "error": float(off.mean().sqrt()),
                "nearest_code": float(plain.square().mean().sqrt()),
                "recovered": float((off.sqrt() < RECOVERED).double().mean()),
                "own_cell": float((sampler.map_.cell_index(x) == own).double().mean()),
            }


def _nearest_index(sampler: OTSampler, codes: np.ndarray) -> Tensor:
    """Return the nearest target of each code."""
    standard = torch.from_numpy((codes - sampler.shift_) / sampler.scale_).float()
    return torch.cdist(standard, sampler.transport_.potential.points).argmin(dim=1)


def other_masses(d: int, seed: int) -> Iterator[dict[str, Any]]:
    """Draws and seconds of `reweight` against a fit with these masses from the start."""
    yield from _changed_masses(d, seed, TARGETS, list(CHANGES))
    if seed == 0:
        yield from _changed_masses(d, seed, MANY, ["one class halved", "one class doubled"])


def _changed_masses(d: int, seed: int, n: int, cases: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of some changes of n targets."""
    Z, y = mixture(d, seed, n)
    before = OTSampler(tolerance=0.1, solver="sampled", random_state=seed).fit(Z, y)
    for case in cases:
        change = CHANGES[case]
        sampler = OTSampler.from_parts(before.to_tensors(), before.to_config())
        began = time.process_time()
        weight = np.random.default_rng(seed).uniform(0.5, 2.0, len(y))
        if change:
            weight = np.array([change.get(int(label), 1.0) for label in y])
            sampler.reweight(change)
        else:
            sampler.reweight(sample_weight=weight)
        ours = time.process_time() - began
        began = time.process_time()
        fresh = OTSampler(tolerance=0.1, random_state=seed + 1).fit(Z, y, sample_weight=weight)
        control = time.process_time() - began
        began = time.process_time()
        OTSampler(tolerance=0.1, random_state=seed + 1, **GIVEN).fit(Z, y, sample_weight=weight)
        solve = time.process_time() - began
        yield {
            "part": "other masses",
            "case": case if n == TARGETS else f"{case}, {n:,} targets",
            "d": d,
            "ours": sampler.transport_.samples,
            "control": fresh.transport_.samples,
            "ratio": fresh.transport_.samples / sampler.transport_.samples,
            "unit": "draws",
            "cpu_s": round(ours, 2),
            "fresh_cpu_s": round(control, 2),
            "uncalibrated_cpu_s": round(solve, 2),
            "share_error": _share_error(sampler),
            "fresh_share_error": _share_error(fresh),
            "status": sampler.transport_.status.name,
        }


def _share_error(sampler: OTSampler) -> float:
    """Return the largest relative error of a class's share."""
    labels = np.unique(sampler.labels_, return_inverse=True)[1]
    _, cells = sampler.draw(2**16, 12345, stratified=True)
    found = np.bincount(labels[cells.numpy()]) / 2**16
    wanted = np.bincount(labels, sampler.weights_.numpy())
    return float(np.abs(found / wanted - 1).max())


PARTS: dict[str, tuple[Callable[[int, int], Iterator[dict[str, Any]]], tuple[int, ...]]] = {
    "regularity": (regularity, (8, 32)),
    "images": (image_regularity, (8, 32)),
    "stratified": (stratified, (8, 32)),
    "flows": (flows, (8, 32)),
    "inversion": (inversion, (8, 32)),
    "masses": (other_masses, (8, 16, 32)),
    "speed": (rows_per_second, (64,)),
}


def markdown(record: dict[str, Any]) -> str:
    """Return the tables: ratios, flows, inversion."""
    rows = sorted(record["rows"], key=lambda r: (r["part"], r["d"], r["case"], r["seed"]))
    ratios = [
        [r["part"], r["case"], r["d"], r["seed"], r["ours"], r["control"], r["ratio"], r["unit"]]
        for r in rows
        if "ratio" in r
    ]
    drawn: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for r in rows:
        if r["part"] == "flows":
            drawn.setdefault((r["d"], r["case"]), []).append(r)
    flow = [
        [case, d, len(own)]
        + [results.interval([r[key] for r in own]) for key in (*FLOW_ERRORS, "floor")]
        + [float(np.mean([r["cpu_s"] for r in own]))]
        for (d, case), own in sorted(drawn.items())
    ]
    inverse = [
        [r["case"], r["d"], r["seed"], r["error"], r["nearest_code"]]
        + [f"{100 * r[key]:.1f} %" for key in ("recovered", "own_cell")]
        for r in rows
        if r["part"] == "inversion"
    ]
    masses = [
        [r[key] for key in ("case", "d", "seed", "cpu_s", "fresh_cpu_s", "uncalibrated_cpu_s")]
        + [f"{100 * r[key]:.1f} %" for key in ("share_error", "fresh_share_error")]
        for r in rows
        if r["part"] == "other masses"
    ]
    head = ("part", "case", "d", "seed", "with transport", "without", "without / with", "unit")
    steps = tuple(f"FD, {s} step{'s' * (s > 1)}" for s in (1, 2, 4, 8))
    tables = [
        results.table(head, ratios),
        results.table(("coupling", "d", "seeds", *steps, "floor", "training, cpu s"), flow),
        results.table(
            ("inversion of", "d", "seed", "error", "nearest code", "recovered", "own cell"), inverse
        ),
        results.table(
            (
                *("other masses", "d", "seed", "cpu s", "fresh, cpu s"),
                *("fresh, uncalibrated", "share error", "fresh"),
            ),
            masses,
        ),
    ]
    return "\n\n".join(tables)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=list(PARTS), nargs="*", default=list(PARTS))
    parser.add_argument("--seed", type=int, nargs="*", default=[0])
    parser.add_argument("--dim", type=int, nargs="*")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "transport_buys.json")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    options = parser.parse_args(arguments)
    dims = options.dim or sorted({d for _, dims in PARTS.values() for d in dims})
    for d in [] if options.table else dims:
        for part in options.part:
            measure, own = PARTS[part]
            for seed in options.seed if d in own else []:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    found = [row | {"seed": seed} for row in measure(d, seed)]
                results.merge(options.out, found, KEY)
                print(*found, sep="\n", flush=True)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
