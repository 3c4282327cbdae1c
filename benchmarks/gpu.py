"""Our kernels and our solver on a GPU, beside eager torch, OTT-JAX and bare matrix products.

All on the same card in the same run. Kernels: seconds per call, the share of the measured matrix
product in bf16 (and in tf32), and the share of winners that differ from float64. Solvers: wall seconds
until the unbiased rms cell error, judged on draws that no solver makes, is at a level; compilation
and making the data are off the clock. Says so in one sentence where there is no GPU.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import results
from benchmarks.gpu_peers import CROSSED, PLAIN, SOLVERS, Ott, ott_settings
from benchmarks.kernel_peers import Task
from benchmarks.problem import JUDGE_SEED, NORMAL_QUANTILE, chi_square
from benchmarks.sampled_problems import SampledProblem
from ot_latent._random import BLOCK_ROWS, Stream
from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.warm_start import voronoi_heights

KEY = ("kind", "peer", "n", "dim", "level", "card")
SIZES = ((60_000, 64), (1_000_000, 128), (1_000_000, 512))
LEVELS = (0.2, 0.1)
ROWS, BLOCKS, SIDE = 16_384, 64, 16  # of a call of the plain kernel, of the crossed one
PRODUCT = 8_192
REPEATS = 7
CHECKED = 512  # rows whose winners are compared with float64
ACCURACY = 0.1  # relative standard error of the judge's rms^2 at the level
TIMES = 20.0  # of our seconds, after which a peer is stopped
LIMIT_S = 120.0
WARM_N = 2_000
NOWHERE = "There is no GPU here (torch sees no CUDA device): nothing was measured."
PRECISIONS = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32}


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], Any], device: torch.device, repeats: int = REPEATS) -> float:
    """Return the median wall seconds of some calls after a first one, which compiles."""
    call()
    found = []
    for _ in range(repeats):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def card(device: torch.device) -> str:
    """Return the device's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def blank(kind: str, peer: str, n: int, dim: int, device: torch.device) -> dict[str, Any]:
    """Return a row with nothing measured."""
    names = ("level", "wall_s", "rate", "of_bf16", "of_tf32", "wrong", "rms", "low", "high")
    row: dict[str, Any] = dict.fromkeys((*names, "samples", "setting", "failure"))
    return {"kind": kind, "peer": peer, "n": n, "dim": dim, "card": card(device)} | row


def products(device: torch.device, size: int = PRODUCT) -> dict[str, float]:
    """Return operations per second of a square matrix product in each precision."""
    generator = torch.Generator().manual_seed(0)
    factors = [torch.randn(size, size, generator=generator).to(device) for _ in range(2)]
    before, rates = torch.backends.cuda.matmul.allow_tf32, {}
    for name, dtype in PRECISIONS.items():
        a, b = (factor.to(dtype) for factor in factors)
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        rates[name] = 2 * size**3 / seconds(lambda a=a, b=b: a @ b, device)
    torch.backends.cuda.matmul.allow_tf32 = before
    return rates


def plain_task(n: int, dim: int, rows: int, device: torch.device) -> Task:
    """Return noise of the cube, a mixture of Gaussians, and the heights of its Voronoi cells."""
    problem = SampledProblem("mixture", n, dim)
    x = problem.source.sample(rows, seed=1, dtype=torch.float32)
    heights = voronoi_heights(problem.target).float()
    return Task(x.to(device), problem.target.points.to(device), heights.to(device))


def winners(task: Task) -> Tensor:
    """Return the winners of some rows in double precision."""
    points, heights = task.points.double(), task.heights.double()
    parts = task.x[:CHECKED].double().split(64)
    return torch.cat([torch.addmm(heights, x, points.T).argmax(dim=1) for x in parts])


def measure_plain(
    peers: Sequence[str], task: Task, rates: dict[str, float]
) -> list[dict[str, Any]]:
    """Measure the plain argmax; what a peer raises is its result."""
    (n, dim), device = task.points.shape, task.x.device
    truth, rows = winners(task), []
    for peer in peers:
        row = blank("plain", peer, n, dim, device)
        try:
            call = PLAIN[peer](task)
            found = torch.as_tensor(call(), device=device).flatten()[: len(truth)]
            row["wall_s"] = seconds(call, device)
        except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
            row["failure"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        else:
            row["wrong"] = float((found != truth).double().mean())
            row["rate"] = 2 * len(task.x) * n * dim / row["wall_s"]
            row |= {f"of_{name}": row["rate"] / rates[name] for name in ("bf16", "tf32")}
        rows.append(row)
    return rows


def measure_crossed(
    peers: Sequence[str], task: Task, blocks: int, side: int = SIDE
) -> list[dict[str, Any]]:
    """Measure crossed draws; the rate counts pairs of a draw and a target."""
    (n, dim), device, half = task.points.shape, task.x.device, task.points.shape[1] // 2
    z = task.x[: blocks * side].unflatten(0, (-1, side))
    first, second = (part.contiguous() for part in task.points.tensor_split([half], dim=1))
    given = (z[:, :, :half].contiguous(), z[:, :, half:].contiguous(), first, second, task.heights)
    rows = []
    for peer in peers:
        row = blank("crossed", peer, n, dim, device)
        try:
            row["wall_s"] = seconds(lambda peer=peer: CROSSED[peer](*given), device)
        except Exception as error:  # noqa: BLE001
            row["failure"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        else:
            row["rate"] = len(z) * side**2 * n / row["wall_s"]
        rows.append(row)
    return rows


def judge(
    problem: SampledProblem, heights: Tensor, level: float, device: torch.device
) -> tuple[float, float, float]:
    """Return the unbiased rms of independent draws on the device, and its 95 % interval."""
    points, lowered = problem.target.points.to(device), heights.float().to(device)
    wanted = math.ceil(math.sqrt(2 * problem.n) / (ACCURACY * level**2))
    counts = torch.zeros(problem.n, dtype=torch.int64, device=device)
    step = 16 * BLOCK_ROWS
    for start in range(0, wanted, step):
        x = problem.source.sample(
            step, seed=JUDGE_SEED, stream=Stream.EVALUATION, start=start, dtype=torch.float32
        )
        cells = best_scores(x.to(device), points, lowered)[1][:, 0]
        counts += torch.bincount(cells, minlength=problem.n)
    square, deviation = chi_square(counts.cpu(), problem.target.weights)
    ends = (square + sign * NORMAL_QUANTILE * deviation for sign in (0, -1, 1))
    rms, low, high = (math.sqrt(max(0.0, end)) for end in ends)
    return rms, low, high


def measure_ours(
    peer: str, problem: SampledProblem, level: float, device: torch.device
) -> dict[str, Any]:
    """Solve to a level by the clock, and judge what came out."""
    row = blank("solve", peer, problem.n, problem.dim, device) | {"level": level}
    SOLVERS[peer](problem.small(WARM_N), 0.5, device)  # compiles
    wait(device)
    began = time.perf_counter()
    heights, samples = SOLVERS[peer](problem, level, device)
    wait(device)
    row |= {"wall_s": time.perf_counter() - began, "samples": samples}
    return row | dict(
        zip(("rms", "low", "high"), judge(problem, heights, level, device), strict=True)
    )


def measure_ott(
    problem: SampledProblem, level: float, limit: float, device: torch.device
) -> dict[str, Any]:
    """Let OTT-JAX run to a level or a limit, once with each setting; return the best run."""
    best: dict[str, Any] | None = None
    for options in ott_settings(problem.n):
        row = _ott_run(problem, level, limit, device, options)
        if best is None or _merit(row) < _merit(best):
            best = row
    return best or blank("solve", "OTT-JAX", problem.n, problem.dim, device)


def _merit(row: dict[str, Any]) -> tuple[float, float]:
    """Order runs: seconds of those that arrived, rms of the others."""
    if row["failure"]:
        return math.inf, math.inf
    return (row["wall_s"] if row["rms"] <= row["level"] else math.inf), row["rms"]


def _ott_run(
    problem: SampledProblem,
    level: float,
    limit: float,
    device: torch.device,
    options: dict[str, Any],
) -> dict[str, Any]:
    row = blank("solve", "OTT-JAX", problem.n, problem.dim, device) | {"level": level}
    row["setting"] = " ".join(f"{name}={value}" for name, value in options.items())
    spent, steps, due = 0.0, 1, limit / 16
    try:
        run = Ott(problem, device, **options)
        while spent < limit:
            began = time.perf_counter()
            run.advance(steps)
            took = time.perf_counter() - began
            spent, steps = spent + took, steps * (2 if took < limit / 100 else 1)
            if spent < min(due, limit):
                continue
            due = spent * math.sqrt(2)
            heights, samples = run.heights()
            judged = judge(problem, heights, level, device)
            row |= {"wall_s": spent, "samples": samples}
            row |= dict(zip(("rms", "low", "high"), judged, strict=True))
            if judged[0] <= level:
                break
    except Exception as error:  # noqa: BLE001
        row["failure"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return row


def markdown(record: dict[str, Any]) -> str:
    """Return the tables."""
    cards = ", ".join(sorted({row["card"] for row in record["rows"]}))
    kernels = ("N", "d", "kernel", "peer", "ms", "per second", "of bf16", "of tf32", "wrong")
    lines, solved = [], []
    for row in record["rows"]:
        start = [row["n"], row["dim"]]
        if row["kind"] == "solve":
            interval = None if row["rms"] is None else f"{row['low']:.3f}-{row['high']:.3f}"
            given = row["failure"] or row["setting"] or "default"
            measured = [row[name] for name in ("level", "peer", "wall_s", "rms")]
            solved.append([*start, *measured, interval, row["samples"], given])
            continue
        if row["failure"]:
            lines.append([*start, row["kind"], row["peer"], row["failure"], *[None] * 4])
            continue
        shares = [_percent(row[name]) for name in ("of_bf16", "of_tf32", "wrong")]
        rate = f"{row['rate']:.3g}"
        lines.append([*start, row["kind"], row["peer"], 1e3 * row["wall_s"], rate, *shares])
    solver = ("N", "d", "level", "solver", "wall s", "rms", "95 %", "samples", "setting")
    return f"On {cards}.\n\n{results.table(kernels, lines)}\n\n{results.table(solver, solved)}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


def run_kernels(given: argparse.Namespace, n: int, dim: int, device: torch.device) -> None:
    """Measure both kernels at one size."""
    rates = products(device, given.product)
    task = plain_task(n, dim, given.rows, device)
    found = [blank("product", name, 0, 0, device) | {"rate": rate} for name, rate in rates.items()]
    for row in found:
        row["wall_s"] = 2 * given.product**3 / row["rate"]
    found += measure_plain(given.peer or list(PLAIN), task, rates)
    found += measure_crossed(list(CROSSED), task, given.blocks)
    results.merge(given.out, found, KEY)


def run_solvers(given: argparse.Namespace, n: int, dim: int, device: torch.device) -> None:
    """Measure solvers at one size, ours first: it sets the others' limit."""
    problem = SampledProblem("mixture", n, dim)
    for level in given.level:
        ours = measure_ours("ours", problem, level, device)
        results.merge(given.out, [ours], KEY)
        limit = min(given.limit_s, TIMES * ours["wall_s"])
        for row in (
            measure_ours("ours, eager", problem, level, device),
            measure_ott(problem, level, limit, device),
        ):
            results.merge(given.out, [row], KEY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, action="append", metavar=("N", "D"))
    parser.add_argument("--part", choices=("kernels", "solvers", "all"), default="all")
    parser.add_argument("--peer", choices=list(PLAIN), nargs="*", help="of the plain kernel")
    parser.add_argument("--level", type=float, nargs="*", default=list(LEVELS))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--product", type=int, default=PRODUCT, help="size of the matrix product")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="for a run of OTT-JAX")
    parser.add_argument("--device", default="cuda", help="cpu: to try the script")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "gpu.json")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available() and not given.table:
        print(NOWHERE)
        return 0
    for n, dim in [] if given.table else given.size or SIZES:
        if given.part != "solvers":
            run_kernels(given, n, dim, device)
        if given.part != "kernels":
            run_solvers(given, n, dim, device)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
