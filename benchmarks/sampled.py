"""The race of sampled solvers: seconds to an rms cell error, ours beside its peers.

``python -m benchmarks sampled --problem mixture-10000-32 --peer ours`` runs one and merges it into the
JSON, so that the table builds over several sittings. Run ours first: a peer is stopped at a multiple
of our time, or at --limit-s. A peer is tuned on N = 1,000 of the same kind first (once; the rows are
kept). ``--table`` prints, ``--figure FILE`` draws, ``--growth`` measures seconds per sample.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results, sampled_growth
from benchmarks.race import Row, Watch, judge, time_to
from benchmarks.sampled_peers import PEERS, Options, text
from benchmarks.sampled_problems import MILLION, NAMES, TUNING_N, SampledProblem

KEY = ("problem", "peer", "setting", "seed", "tuning", "threads")
PEER_SEED = 1  # tuned on seed 0
OWN = ("ours", "ours-solve")
SHORT = 20_000  # targets up to which ours is run with three seeds; with nine where it takes milliseconds
LIMIT_S = 600.0

Rows = list[dict[str, Any]]


def race(
    problem: SampledProblem,
    peer: str,
    options: Options,
    given: argparse.Namespace,
    *,
    limit_s: float,
    seed: int,
    tuning: bool = False,
) -> Row:
    """Run one setting to the goal or the limit; merge and tell."""
    row = Row(problem.name, problem.n, problem.dim, peer, text(options), seed, tuning)
    row.limit_s = round(limit_s, 3)
    watch = Watch(
        row,
        lambda heights: judge(problem, heights),
        first_s=problem.first_s,
        limit_s=limit_s,
        goal=problem.goal,
        ratio=given.ratio or problem.ratio,
    )
    try:
        PEERS[peer].run(problem, watch, seed=seed, **options)
    except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
        row.failure = f"{type(error).__name__}: {error}"[:200]
    results.merge(given.out, [row.to_dict()], KEY)
    print(f"{problem.name} {peer} {row.setting}: {_summary(row)}", flush=True)
    return row


def _summary(row: Row) -> str:
    if not row.checkpoints:
        return row.failure or "no checkpoint"
    last = row.checkpoints[-1]
    said = f"rms {last['rms']:.3f} after {last['cpu_s']:.3g} cpu s, {last['wall_s']:.3g} wall s"
    return f"{said}; {row.failure}" if row.failure else said


def merit(row: dict[str, Any], goal: float) -> tuple[float, float, float]:
    """Return what settings are ordered by: seconds to the goal, to twice the goal, last rms."""
    seconds = [time_to(row["checkpoints"], level, "cpu_s") for level in (goal, 2 * goal)]
    last = row["checkpoints"][-1]["rms"] if row["checkpoints"] else float("inf")
    slow, fast = (float("inf") if s is None or row["failure"] else s for s in seconds)
    return slow, fast, last


def chosen(problem: SampledProblem, peer: str, given: argparse.Namespace) -> list[Options]:
    """Return the settings to run: the best of the small problem, tuned now if it never was."""
    known = {text(options): options for options in PEERS[peer].settings}
    small = problem.small()
    rows = [
        row
        for row in results.read(given.out)["rows"]
        if (row["problem"], row["peer"], row["tuning"]) == (small.name, peer, True)
    ]
    done = {row["setting"] for row in rows}
    for name in (name for name in known if name not in done):
        limit = given.tune_s or PEERS[peer].tune_s
        found = race(small, peer, known[name], given, limit_s=limit, seed=0, tuning=True)
        rows.append(found.to_dict())
    best = min((row for row in rows if row["setting"] in known), key=lambda r: merit(r, small.goal))
    return PEERS[peer].carried(known[best["setting"]], problem.n)


def limit_of(problem: SampledProblem, given: argparse.Namespace) -> float:
    """Return where a peer is stopped: a multiple of our time to a level, at most --limit-s."""
    level, factor = problem.stop
    ours = seconds(of(results.read(given.out)["rows"], problem.name, "ours"), level, "cpu_s")
    return given.limit_s if ours is None else min(given.limit_s, factor * ours)


def of(rows: Rows, problem: str, peer: str) -> Rows:
    """Return the rows of one peer on one problem, tuning apart; on one thread where there are any."""
    found = [r for r in rows if (r["problem"], r["peer"], r["tuning"]) == (problem, peer, False)]
    return [row for row in found if row["threads"] == "1"] or found


def seconds(rows: Rows, level: float, clock: str) -> float | None:
    """Return the median over seeds of the seconds to a level; None where one did not arrive."""
    found = [time_to(row["checkpoints"], level, clock) for row in rows]
    return statistics.median(found) if found and None not in found else None  # type: ignore[type-var]


def run(problem: SampledProblem, peer: str, given: argparse.Namespace) -> None:
    """Measure one peer on one problem."""
    largest = PEERS[peer].largest
    if largest is not None and problem.n > largest:
        print(f"{peer} is left out of {problem.name}: its matrix has N^2 entries", flush=True)
        return
    if peer in OWN:
        settings = [{}] if peer == "ours" else solves(problem)
        seeds = 9 if problem.n <= TUNING_N and peer == "ours" else 3 if problem.n <= SHORT else 1
        for seed in range(seeds):
            for options in settings:
                race(problem, peer, options, given, limit_s=given.limit_s, seed=seed)
        return
    for options in chosen(problem, peer, given):
        if given.setting in text(options):
            limit = limit_of(problem, given)
            race(problem, peer, options, given, limit_s=limit, seed=PEER_SEED)


def solves(problem: SampledProblem) -> list[Options]:
    """Return the settings of our plain solves; a million centroids would cost more than the fit."""
    without = {"centroids": False} if problem.n >= MILLION else {}
    return [{"tolerance": level, **without} for level in problem.levels]


def best_of(rows: Rows, problem: SampledProblem, peer: str) -> Rows:
    """Return the rows of a peer's best setting on a problem (ours: all seeds)."""
    found = of(rows, problem.name, peer)
    if peer == "ours" or not found:
        return found
    return [min(found, key=lambda row: merit(row, problem.goal))]


def markdown(record: dict[str, Any]) -> str:
    """Return a table per problem, our plain solves, and growth."""
    rows: Rows = record["rows"]
    races = [row for row in rows if row.get("kind", "race") == "race"]
    parts = [_race_table(races, SampledProblem.named(name)) for name in raced(rows)]
    solves = [row for row in races if row["peer"] == "ours-solve" and row["checkpoints"]]
    if solves:
        parts.append(_solve_table(solves))
    growth = sampled_growth.markdown([row for row in rows if row.get("kind") == "growth"])
    return "\n\n".join([*parts, *([growth] if growth else [])])


def raced(rows: Rows) -> list[str]:
    """Return the names of the problems that were raced on, tuning and plain solves apart."""
    races = (row for row in rows if row.get("kind", "race") == "race" and not row["tuning"])
    return sorted({row["problem"] for row in races if row["peer"] != "ours-solve"}, key=_place)


def _place(name: str) -> tuple[int, str]:
    return (NAMES.index(name) if name in NAMES else len(NAMES)), name


def _race_table(rows: Rows, problem: SampledProblem) -> str:
    """Return who arrived when; ratios to our seconds, cpu (wall)."""
    ours = of(rows, problem.name, "ours")
    head = ["solver"]
    for level in problem.levels:
        head += [f"cpu s to {level:g}", "/ ours: cpu (wall)"]
    head += ["rms at the end", "95 %", "after cpu s", "samples / N", "prepared s", "load"]
    lines = []
    for peer in PEERS:
        best = best_of(rows, problem, peer)
        if peer == "ours-solve" or not best:
            continue
        line: list[Any] = [peer]
        for level in problem.levels:
            line += _arrival(best, ours, level, peer)
        lines.append([*line, *_end(best[0], problem.n), best[0]["failure"] or best[0]["setting"]])
        if peer == "ours":
            lines.append(_fitting_alone(best, problem))
    table = results.table([*head, "setting"], lines)
    return f"**N = {problem.n:,}, d = {problem.dim}, {problem.kind}**\n\n{table}"


def _fitting_alone(ours: Rows, problem: SampledProblem) -> list[Any]:
    """Return our line without what our own verdicts cost."""
    line: list[Any] = ["ours, verdicts apart"]
    for level in problem.levels:
        whole, alone = (seconds(ours, level, clock) for clock in ("cpu_s", "fit_s"))
        line += [alone, alone and whole and f"{alone / whole:.2g}"]
    return [*line, *[None] * 6, "the same runs"]


def _arrival(best: Rows, ours: Rows, level: float, peer: str) -> list[str]:
    """Return the seconds to a level and their ratio to ours, or how far beyond ours they ended."""
    arrived = seconds(best, level, "cpu_s")
    shown = "-" if arrived is None else f"{arrived:.3g}"
    if peer == "ours":
        return [f"**{shown}**", "1"]
    ratios = []
    for clock in ("cpu_s", "wall_s"):
        base, own = seconds(ours, level, clock), seconds(best, level, clock)
        last = best[0]["checkpoints"][-1][clock] if best[0]["checkpoints"] else None
        ratios.append(_ratio(own, last, base))
    return [shown, f"**{ratios[0]}** ({ratios[1]})"]


def _ratio(own: float | None, last: float | None, base: float | None) -> str:
    """Return a ratio, or "> r" where the peer was still on its way."""
    if base is None or (own is None and last is None):
        return "-"
    return f"{own / base:.3g}" if own is not None else f"> {last / base:.3g}"  # type: ignore[operator]


def _end(row: dict[str, Any], n: int) -> list[Any]:
    """Return the last checkpoint's columns."""
    if not row["checkpoints"]:
        return [None] * 6
    last = row["checkpoints"][-1]
    interval = f"{last['low']:.3f}-{last['high']:.3f}"
    drawn = f"{last['samples'] / n:.3g}"
    return [f"{last['rms']:.3f}", interval, last["cpu_s"], drawn, row["prepare_s"], row["load"]]


def _solve_table(rows: Rows) -> str:
    """Return what `solve(tolerance=...)` takes, own verdict included."""
    head = ("problem", "threads", "setting", "seed", "cpu s", "wall s", "rms judged", "rms stated")
    head += (
        "status",
        "samples / N",
        "effective / N",
        "efficiency",
        "for verdicts / N",
        "peak MB",
        "load",
    )
    lines = []
    for row in sorted(rows, key=lambda r: (_place(r["problem"]), r["setting"], r["seed"])):
        last, notes, n = row["checkpoints"][-1], row["notes"], row["n"]
        line = [row["problem"], row["threads"], row["setting"], row["seed"], last["cpu_s"]]
        line += [
            last["wall_s"],
            f"{last['rms']:.3f}",
            f"{notes['mass_error']:.3f}",
            notes["status"],
        ]
        line += [notes[name] / n for name in ("samples", "effective_samples")]
        line.append(f"{last['rms'] * math.sqrt(notes['effective_samples'] / max(n - 1, 1)):.2f}")
        lines.append([*line, notes["evaluation_samples"] / n, notes.get("peak_mb"), row["load"]])
    return "`StochasticNewton.solve`, as users call it:\n\n" + results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="*", default=list(NAMES[:1]), help="KIND-N-D")
    parser.add_argument("--peer", choices=list(PEERS), nargs="*", default=list(PEERS))
    parser.add_argument("--setting", default="", help="settings whose text contains this")
    parser.add_argument("--codes", type=Path, help="a .npy file of codes, for codes-N-D")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="CPU seconds of one run")
    parser.add_argument("--tune-s", type=float, help="CPU seconds of one tuning run")
    parser.add_argument("--ratio", type=float, help="between two checkpoints")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "sampled.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--figure", type=Path, help="draw what is there into this file")
    parser.add_argument("--growth", choices=sampled_growth.AXES, nargs="*", help="along N, d")
    given = parser.parse_args(arguments)
    if given.growth is not None:
        sampled_growth.run(given.out, given.growth or sampled_growth.AXES, KEY)
    elif given.figure is None and not given.table:
        for name in given.problem:
            problem = SampledProblem.named(name, given.codes)
            for peer in given.peer:
                run(problem, peer, given)
            print(_race_table(results.read(given.out)["rows"], problem), flush=True)
        return 0
    if given.figure is not None:
        from benchmarks.sampled_figure import draw

        draw(results.read(given.out)["rows"], given.figure)
    print(markdown(results.read(given.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
