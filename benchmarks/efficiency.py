"""Statistical efficiency at equal samples: rms cell error over the limit sqrt((N - 1) / T).

``python -m benchmarks.efficiency`` measures everything; ``--peer NAME --dim D`` measures one part and
merges it into the JSON, so that the table builds over several sittings. 1 is what no method can pass
with independent draws. Peers are tuned on the measured budget itself: their best setting is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.adam import adam_fixed, adam_fresh
from benchmarks.libraries import OttSolver, pot
from benchmarks.problem import (
    JUDGE_SEED,
    OURS_RATIO,
    PEER_DRAWS,
    TUNING_DRAWS,
    Fit,
    Problem,
    Row,
    judge,
    timed,
)
from benchmarks.sgd import averaged_sgd

KEY = ("peer", "setting", "dim", "n", "samples", "seed")
BUDGET = 256  # draws per target
OURS_BUDGETS = (16, 64, 256)
OURS_SEEDS = (0, 1, 2)
DIMS = (10, 32, 64)
INFLATION_BLOCKS = 400  # fresh ones, behind the factor v of crossed draws
N = 2000

Job = tuple[str, int, Callable[[], Callable[[], Fit]]]  # setting, seed, what prepares the solve


def ours(problem: Problem, samples: int, seed: int, sampling: str = "auto") -> Fit:
    """`StochasticNewton` on this many draws, no verdict in between."""
    from ot_latent.transport.samplers import Samplers
    from ot_latent.transport.stochastic import StochasticNewton
    from ot_latent.transport.verdict import averaged_potential

    source, target = problem.source, problem.target
    solver = StochasticNewton(seed=seed, max_samples=samples, sampling=sampling)
    state = replace(solver.init(source, target), goal=samples)
    while state.samples + state.rows**2 <= samples:  # another block of draws fits
        state = solver.step(state, source, target)
    heights = averaged_potential(state, target).heights

    def inflation() -> float:
        sampler = Samplers(source, target, JUDGE_SEED, solver.sampling, None).of(state.rows)
        blocks = sampler.survey(heights, 0, INFLATION_BLOCKS * state.rows**2)
        return max(1.0, blocks.inflation(target.weights))

    return Fit(heights, state.samples, inflation=inflation)


def _ours_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    for sampling in ("crossed", "independent"):
        for budget in OURS_BUDGETS:
            drawn = samples * budget // BUDGET
            for seed in OURS_SEEDS if budget == BUDGET else (0,):
                yield (
                    f"{sampling} draws",
                    seed,
                    lambda t=drawn, s=seed, k=sampling: lambda: ours(problem, t, s, k),
                )


def _adam_fixed_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    settings = [(20_000, 1e-3, "zero"), (20_000, 3e-3, "zero"), (10_000, 1e-3, "zero")]
    settings += [(20_000, 5e-2, "zero"), (20_000, 1e-3, "ours")]
    for points, lr, start in settings:
        options: dict[str, Any] = {"lr": lr, "points": points, "start": start}
        yield _job(adam_fixed, problem, samples, options)


def _adam_fresh_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    for average, rates in ((True, (1e-3, 3e-4, 3e-3)), (False, (3e-4, 1e-3))):
        for lr in rates:
            options = {"lr": lr, "batch": 1024, "start": "ours", "average": average}
            yield _job(adam_fresh, problem, samples, options)


def _sgd_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    for weighted, gains in ((False, (0.03, 0.1, 0.01, 0.3, 0.003)), (True, (0.1, 0.3))):
        for gain in gains:
            options = {"gain": gain, "batch": 512, "start": "ours", "weighted": weighted}
            yield _job(averaged_sgd, problem, samples, options)


def _pot_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    yield _job(pot, problem, samples, {})
    for batch, lr0 in ((32, 60.0), (512, 200.0), (512, 60.0)):
        yield _job(pot, problem, samples, {"batch": batch, "lr0": lr0})


def _ott_jobs(problem: Problem, samples: int) -> Iterator[Job]:
    settings = [
        (512, "sgd", 3.0, 1e-2),
        (512, "sgd", 1.0, 1e-2),
        (512, "sgd", 10.0, 1e-2),
        (512, "sgd", 0.3, 1e-2),
    ]
    settings += [(128, "sgd", 0.1, 0.99), (512, "sgd", 0.1, 1e-3)]
    for batch, optimizer, lr, ema in settings:
        options = {"batch": batch, "optimizer": optimizer, "lr": lr, "ema": ema}
        text = _text(options)
        yield text, 0, lambda o=options: OttSolver(problem, samples, **o)


JOBS: dict[str, Callable[[Problem, int], Iterator[Job]]] = {
    "ours": _ours_jobs,
    "adam-fixed": _adam_fixed_jobs,
    "adam-fresh": _adam_fresh_jobs,
    "averaged-sgd": _sgd_jobs,
    "pot": _pot_jobs,
    "ott": _ott_jobs,
}


def _job(solve: Callable[..., Fit], problem: Problem, samples: int, options: dict[str, Any]) -> Job:
    """A setting of a solver that needs no preparation."""
    return _text(options) or "default", 0, lambda: lambda: solve(problem, samples, **options)


def _text(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def run(peer: str, problem: Problem, budget: int, path: Path, only: str = "") -> list[Row]:
    """Measure the settings of one peer on one problem; judge the best once more, on many draws."""
    samples, rows, fits = budget * problem.n, [], []
    for setting, seed, prepare in JOBS[peer](problem, samples):
        if only not in setting:
            continue
        row = Row(peer, setting, problem.dim, problem.n, samples, seed)
        fit = _fit(row, prepare)
        if fit is not None:
            ours_draws = OURS_RATIO * fit.samples
            judge(row, problem, fit, ours_draws if peer == "ours" else TUNING_DRAWS * problem.n)
            fits.append((row, fit))
        print(f"{peer} d={problem.dim} {setting}: {row.efficiency or row.failure}", flush=True)
        rows.append(row)
        results.merge(path, [row.to_dict()], KEY)
    if fits and peer != "ours":
        row, fit = min(fits, key=lambda pair: pair[0].efficiency or 0.0)
        judge(row, problem, fit, PEER_DRAWS * problem.n, JUDGE_SEED + 1)
        results.merge(path, [row.to_dict()], KEY)
    return rows


def _fit(row: Row, prepare: Callable[[], Callable[[], Fit]]) -> Fit | None:
    """Prepare and run a solver; a library that does not start is a result."""
    try:
        solve = prepare()
    except Exception as error:  # noqa: BLE001
        row.failure = f"{type(error).__name__}: {error}"[:200]
        return None
    return timed(row, solve)


def best_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, per dimension and peer, our rows by draws and budget (median seed) and each peer's best row."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        ours_alone = row["setting"], round(row["samples"] / row["n"])
        budget = ours_alone if row["peer"] == "ours" else None
        groups.setdefault((row["n"], row["dim"], row["peer"], budget), []).append(row)
    chosen = []
    for (_, _, peer, _), group in groups.items():
        found = sorted((r for r in group if r["rms"] is not None), key=_merit)
        middle = len(found) // 2 if peer == "ours" else 0
        shown = found[middle] if found else group[0]
        chosen.append(shown | {"tried": len(group)})
    order = list(JOBS)
    return sorted(chosen, key=lambda r: (r["n"], r["dim"], order.index(r["peer"]), r["samples"]))


def _merit(row: dict[str, Any]) -> tuple[int, float]:
    """The row that was judged on many draws comes first."""
    return -row["judge_draws"], row["efficiency"]


def markdown(record: dict[str, Any]) -> str:
    """Return the table of the best rows."""
    head = ("d", "solver", "samples / N", "v", "rms", "95 %", "limit", "efficiency")
    head += ("cpu s", "wall s")
    head += ("tried", "setting shown")
    lines = []
    for row in best_rows(record["rows"]):
        drawn = row["samples"] / row["n"]
        inflation = f"{row.get('inflation', 1.0):.2f}"
        line: list[Any] = [row["dim"], row["peer"], f"{drawn:.0f}", inflation]
        if row["rms"] is None:
            line += ["-"] * 6
        else:
            low, high = row["rms_interval"]
            line += [f"{row['rms']:.4f}", f"{low:.4f}-{high:.4f}", f"{row['limit']:.4f}"]
            line += [f"**{row['efficiency']:.2f}**", row["cpu_s"], row["wall_s"]]
        lines.append([*line, row["tried"], row["failure"] or row["setting"]])
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=list(JOBS), nargs="*", default=list(JOBS))
    parser.add_argument("--dim", type=int, nargs="*", default=list(DIMS))
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--budget", type=int, default=BUDGET, help="draws per target")
    parser.add_argument("--only", default="", help="settings whose text contains this")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "efficiency.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    if not options.table:
        for dim in options.dim:
            for peer in options.peer:
                run(peer, Problem(options.n, dim), options.budget, options.out, options.only)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
