"""What weight decay leaves: the proximal form beside it, few neurons, and ridge functions in d = 2..64.

``fit``: plain gradient descent on squares of weights and PathProx on the path norm, one start, one number
of steps; then merged duplicates and the linear program. ``ridge``: error against the number of rows of
a ridge function with noise, for ReLU networks with weight decay and for kernel ridge regression.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import results
from ot_latent._random import Stream, generator
from ot_latent.theory.sparsity import (
    PathProx,
    ShallowNetwork,
    SkipNetwork,
    active_units,
    balance_,
    balance_residual,
    homogeneous_units,
    merge_duplicates,
    path_norm,
    rtv2,
    sparsify_neurons,
)

KEY = ("part", "problem", "method", "d", "n", "seed")
FIT = {"wave": (1, 16, 1e-3), "saddle": (2, 40, 1e-3)}  # d, rows, weight of the penalty
WIDTH, STEPS, LR = 100, 20_000, 0.01
DIMENSIONS, ROWS = (2, 4, 8, 16, 32, 64), (64, 128, 256, 512, 1024, 2048)
NOISE, HELD_OUT, TEST = 0.1, 0.25, 4096
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
GAMMAS, ALPHAS = 2.0 ** np.arange(-6, 5, 2), 10.0 ** np.arange(-6, 2)


# -- one objective, two ways -----------------------------------------------------------------------


def fit_problem(name: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return the rows of a problem in float64."""
    d, n, _ = FIT[name]
    rng = generator(seed, Stream.FIT, 0)
    x = np.linspace(-1, 1, n)[:, None] if d == 1 else rng.uniform(-1, 1, (n, d))
    y = np.sin(4 * x) if d == 1 else np.sin(2 * x[:, :1]) * x[:, 1:]
    return torch.from_numpy(x), torch.from_numpy(y + 0.02 * rng.standard_normal(y.shape))


def start(d: int, seed: int, skip: bool) -> nn.Module:
    """Return the network before training, with or without its skip connection."""
    model = SkipNetwork(d, WIDTH, 1, seed=seed).double()
    return model if skip else model.curved


def descend(name: str, method: str, seed: int, steps: int, skip: bool) -> tuple[nn.Module, float]:
    """Train; return the network and the processor time."""
    d, _, strength = FIT[name]
    (x, y), model = fit_problem(name, seed), start(d, seed, skip)
    units = homogeneous_units(model)
    weights = [units[0].incoming.parameter, units[0].outgoing.parameter]
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    balance_(units)
    if method == "pathprox":
        optimizer = PathProx(optimizer, units, strength)
    began = time.process_time()
    for _ in range(steps):
        loss = (model(x) - y).square().mean()
        if method == "weight_decay":
            loss = loss + 0.5 * strength * sum(w.square().sum() for w in weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, time.process_time() - began


def fit_row(name: str, method: str, seed: int, steps: int, skip: bool) -> dict[str, Any]:
    """Train, then take away neurons."""
    model, seconds = descend(name, method, seed, steps, skip)
    (x, y), strength = fit_problem(name, seed), FIT[name][2]
    net, points = ShallowNetwork.from_module(model), x.numpy()
    few = sparsify_neurons(net, points, skip=skip)
    loss = float(((net(points) - y.numpy()) ** 2).mean())
    d, n, _ = FIT[name]
    return {
        "part": "fit",
        "problem": name,
        "method": f"{method}{'' if skip else ', no skip'}",
        "d": d,
        "n": n,
        "seed": seed,
        "steps": steps,
        "loss": loss,
        "path_norm": path_norm(model),
        "objective": loss + strength * path_norm(model),
        "rtv2": rtv2(net),
        "imbalance": balance_residual(model) if method == "weight_decay" else None,
        "active": active_units(model, threshold=1e-6)[0],
        "merged": merge_duplicates(net).neurons,
        "few": few.neurons,
        "bound": n - (d + 1) if skip else n,
        "few_path_norm": float(few.unit_norms().sum()),
        "fit_change": float(np.abs(few(points) - net(points)).max()),
        "cpu_s": round(seconds, 1),
    }


# -- many dimensions -------------------------------------------------------------------------------


def tent(t: np.ndarray) -> np.ndarray:
    """Return a profile with three kinks and a variation of 4."""
    return np.maximum(1 - np.abs(t - 0.3), 0)


def ridge_rows(d: int, n: int, seed: int, part: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of ``tent(<a, x>)`` with a a unit vector; <a, x> is standard normal."""
    a = generator(seed, Stream.FIT, 1, d).standard_normal(d)
    rng = generator(seed, Stream.FIT, 2, d, n, part)
    x = rng.standard_normal((n, d))
    y = tent(x @ a / np.linalg.norm(a))
    return x, y + noise * rng.standard_normal(n)


def network_errors(data: Sequence[np.ndarray], steps: int, seed: int) -> tuple[float, float]:
    """Train one network per strength, all at once; return the test error of the best held out."""
    x, y, held, y_held, test, y_test = (torch.from_numpy(a).float() for a in data)
    rng = generator(seed, Stream.INITIALISATION, x.shape[1])
    count, width, d = len(STRENGTHS), 64, x.shape[1]
    draws = rng.standard_normal((width, d)) / np.sqrt(d), rng.uniform(-1, 1, (1, width))
    draws += rng.standard_normal((width, 1)) / np.sqrt(width), np.zeros((1, d)), np.zeros(1)
    w, b, v, c, o = (
        torch.from_numpy(a).float().expand(count, *a.shape).clone().requires_grad_() for a in draws
    )

    def forward(x: Tensor) -> Tensor:
        hidden = torch.relu(x @ w.mT + b)
        return (hidden @ v)[..., 0] + (x @ c.mT)[..., 0] + o

    strengths = torch.tensor(STRENGTHS)
    optimizer = torch.optim.Adam([w, b, v, c, o], lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.5 * (1 + np.cos(np.pi * step / steps))
        squares = (w.square().sum((1, 2)) + v.square().sum((1, 2))) / 2
        loss = ((forward(x) - y).square().mean(1) + strengths * squares).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        judged = (forward(held) - y_held).square().mean(1)
        errors = (forward(test) - y_test).square().mean(1)
    best = int(judged.argmin())
    return errors[best].item(), STRENGTHS[best]


def kernel_errors(data: Sequence[np.ndarray]) -> tuple[float, str]:
    """Fit Gaussian and Laplace kernels on a grid; return the test error of the best held out."""
    from sklearn.kernel_ridge import KernelRidge

    x, y, held, y_held, test, y_test = data
    d, best = x.shape[1], (np.inf, np.inf, "")
    for kernel, unit in (("rbf", 1 / (2 * d)), ("laplacian", 1 / d)):
        for gamma in GAMMAS * unit:
            for alpha in ALPHAS if len(x) <= 1024 else ALPHAS[1:-1:2]:
                model = KernelRidge(kernel=kernel, gamma=gamma, alpha=alpha).fit(x, y - y.mean())
                judged = float(((model.predict(held) + y.mean() - y_held) ** 2).mean())
                if judged < best[0]:
                    error = float(((model.predict(test) + y.mean() - y_test) ** 2).mean())
                    best = (judged, error, f"{kernel}, gamma {gamma:.2g}, alpha {alpha:.0e}")
    return best[1], best[2]


def ridge_pair(d: int, n: int, seed: int, steps: int) -> Iterator[dict[str, Any]]:
    """Yield the row of the network and of the kernel, on the same data."""
    x, y = ridge_rows(d, n, seed, 0, NOISE)
    cut = n - int(HELD_OUT * n)
    test = ridge_rows(d, TEST, seed, 1, 0.0)
    data = (x[:cut], y[:cut], x[cut:], y[cut:], *test)
    variance = float(test[1].var())
    runs: dict[str, Callable[[], tuple[float, Any]]] = {
        "network": lambda: network_errors(data, steps, seed),
        "kernel": lambda: kernel_errors(data),
    }
    for method, run in runs.items():
        began = time.process_time()
        error, chosen = run()
        yield {
            "part": "ridge",
            "problem": "tent",
            "method": method,
            "d": d,
            "n": n,
            "seed": seed,
            "error": error,
            "share_of_variance": error / variance,
            "chosen": chosen,
            "cpu_s": round(time.process_time() - began, 1),
        }


# -- tables ----------------------------------------------------------------------------------------


def slopes(rows: Sequence[dict[str, Any]], d: int, method: str, least: int = 128) -> list[float]:
    """Return the slope of log error against log rows for every seed."""
    found = []
    for seed in sorted({r["seed"] for r in rows}):
        named = (d, method, seed)
        chosen = [r for r in rows if (r["d"], r["method"], r["seed"]) == named and r["n"] >= least]
        if len({r["n"] for r in chosen}) > 1:
            points = (np.log([r[k] for r in chosen]) for k in ("n", "error"))
            found.append(float(np.polyfit(*points, 1)[0]))
    return found


def markdown(record: dict[str, Any]) -> str:
    """Return the two tables."""
    fits = [r for r in record["rows"] if r["part"] == "fit"]
    head = [
        "problem",
        "method",
        "seed",
        "loss",
        "path norm",
        "objective",
        "RTV2",
        "active",
        "merged",
    ]
    head += ["after the program", "bound", "path norm then", "fit moved by", "cpu s"]
    keys = [
        "problem",
        "method",
        "seed",
        "loss",
        "path_norm",
        "objective",
        "rtv2",
        "active",
        "merged",
    ]
    keys += ["few", "bound", "few_path_norm", "fit_change", "cpu_s"]
    first = results.table(head, ([r[k] for k in keys] for r in fits))
    rows = [r for r in record["rows"] if r["part"] == "ridge"]
    lines = []
    for d in sorted({r["d"] for r in rows}):
        sizes = [r["n"] for r in rows if (r["d"], r["method"]) == (d, "network")]
        most = max(map(sizes.count, sizes))  # seeds; the largest size that all of them have
        top = max(n for n in sizes if sizes.count(n) == most)
        last = [
            [r["error"] for r in rows if (r["d"], r["n"], r["method"]) == (d, top, m)]
            for m in ("network", "kernel")
        ]
        fitted = [results.interval(slopes(rows, d, m), ".2f") for m in ("network", "kernel")]
        told = [results.interval(errors, ".2g") for errors in last]
        lines.append([d, top, *told, *fitted, -(d + 3) / (2 * d + 3), -3 / (d + 3), len(last[0])])
    head = ["d", "rows", "error network", "error kernel", "slope network", "slope kernel"]
    head += ["theory: networks", "theory: linear methods at best", "seeds"]
    return f"{first}\n\n{results.table(head, lines)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, merge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["fit", "ridge"], nargs="*", default=["fit", "ridge"])
    parser.add_argument("--d", type=int, nargs="*", default=DIMENSIONS)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    parser.add_argument("--seed", type=int, nargs="*", default=[0])
    parser.add_argument("--steps", type=int, default=None, help="steps of every training")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sparsity.json")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    options = parser.parse_args(arguments)
    parts = [] if options.table else options.part
    load = round(os.getloadavg()[0], 2)
    for seed in options.seed if "fit" in parts else []:
        for name in FIT:
            for skip in (True, False):
                for method in ("weight_decay", "pathprox"):
                    row = fit_row(name, method, seed, options.steps or STEPS, skip)
                    results.merge(options.out, [{**row, "load": load}], KEY)
    for seed in options.seed if "ridge" in parts else []:
        for d in options.d:
            for n in options.rows:
                rows = list(ridge_pair(d, n, seed, options.steps or 1500))
                results.merge(options.out, rows, KEY)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
