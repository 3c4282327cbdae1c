"""Exact solvers side by side: seconds to a largest relative error of 1e-6 of the cell masses.

``python -m benchmarks exact --peer ours --dim 2 --sites 10000 --kind uniform`` measures one part and
merges it into the JSON, so that the table builds over several sittings; ``--table`` prints it.
pysdot runs in an environment of its own: ``python -m benchmarks.pysdot_env --petsc`` builds it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pysdot_env, results
from benchmarks.exact_peers import PEERS, Row, measure
from benchmarks.exact_problems import KINDS, ExactProblem

KEY = ("peer", "dim", "n", "kind", "threads")
SITES = (1_000, 10_000, 100_000)
LARGE = 1_000_000  # --large: ours alone
PEERS_CORNER = 10_000  # sites beyond which the peers' corner is left out
GROWTH_KIND, GROWTH_DIM = "uniform", 2
ROWS = dict[tuple[Any, ...], dict[str, Any]]


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, ExactProblem]]:
    """Name what is asked for; the default list leaves out what takes hours."""
    chosen = options.sites or (*SITES, *((LARGE,) if options.large else ()))
    for dim in options.dim:
        for kind in options.kind:
            for n in chosen:
                for peer in options.peer:
                    if options.sites or peer == "ours" or _affordable(dim, kind, n, peer):
                        yield peer, ExactProblem(dim, n, kind)


def _affordable(dim: int, kind: str, n: int, peer: str) -> bool:
    """Tell whether the default list contains this run of a peer."""
    if n >= LARGE or (kind == "corner" and n > PEERS_CORNER):
        return False
    return dim == 2 or n < 100_000 or peer != "pysdot"  # its direct solver fills in, in space


def indexed(rows: Sequence[dict[str, Any]]) -> ROWS:
    """Return the rows that finished, by their key."""
    return {tuple(row[k] for k in KEY): row for row in rows if row["failure"] is None}


def growth(rows: Sequence[dict[str, Any]]) -> tuple[float, list[int]] | None:
    """Return the fitted exponent of our CPU seconds in N (2-D, uniform), and the N it rests on."""
    points = sorted(
        (row["n"], row["cpu_s"])
        for (peer, dim, _, kind, threads), row in indexed(rows).items()
        if (peer, dim, kind, threads) == ("ours", GROWTH_DIM, GROWTH_KIND, 1)
    )
    if len(points) < 2:
        return None
    sizes, seconds = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(sizes, seconds, 1)[0]), [n for n, _ in points]


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    peer = PEERS.index(row["peer"])
    return row["dim"], KINDS.index(row["kind"]), row["n"], peer, row["threads"]


def measured_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return every run as a line."""
    head = ["d", "sites", "N", "solver", "linear solver", "threads", "**cpu s**", "wall s"]
    head += ["steps", "diagrams", "error", "judged", "peak MB", "runs", "load"]
    lines: list[list[Any]] = []
    for row in sorted(rows, key=_order):
        line = [row["dim"], row["kind"], row["n"], row["peer"]]
        if row["failure"] is not None:
            lines.append([*line, row["failure"], row["threads"], *[None] * 9])
            continue
        line += [row["linear_solver"], row["threads"], f"**{row['cpu_s']:.3g}**", row["wall_s"]]
        line += [row["steps"], row["diagrams"], _scientific(row["error"])]
        line += [_scientific(row["judged"]), round(row["peak_mb"]), row["runs"], row["load"]]
        lines.append(line)
    return results.table(head, lines)


def _scientific(value: float | None) -> str | None:
    return None if value is None else f"{value:.1e}"


def ratio_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return how many times our CPU (wall) seconds each peer takes, one thread each."""
    finished, others = indexed(rows), [peer for peer in PEERS if peer != "ours"]
    lines = []
    for row in sorted(rows, key=_order):
        if row["peer"] != "ours" or row["threads"] != 1 or row["failure"] is not None:
            continue
        line: list[Any] = [row["dim"], row["kind"], row["n"]]
        for peer in others:
            other = finished.get((peer, row["dim"], row["n"], row["kind"], 1))
            line.append(other and _ratio(other, row))
        lines.append(line)
    head = ("d", "sites", "N", *(f"{peer} / ours: cpu (wall)" for peer in others))
    return results.table(head, lines)


def _ratio(other: dict[str, Any], row: dict[str, Any]) -> str:
    """Return two quotients, as the table shows them."""
    cpu, wall = (other[name] / max(row[name], 1e-9) for name in ("cpu_s", "wall_s"))
    return f"**{cpu:.2g}** ({wall:.2g})" if cpu < 100 else f"**{cpu:.0f}** ({wall:.0f})"


def markdown(record: dict[str, Any]) -> str:
    """Return the runs, the ratios, and the growth."""
    rows = record["rows"]
    parts = [measured_table(rows)]
    if any(row["peer"] == "ours" for row in rows):
        parts.append(ratio_table(rows))
    found = growth(rows)
    if found is not None and math.isfinite(found[0]):
        sizes = ", ".join(f"{n:,}" for n in found[1])
        parts.append(
            f"Our CPU seconds in the square, uniform sites, grow like N^{found[0]:.2f} (N = {sizes})."
        )
    parts += [
        f"The first small solves of a process in {row['dim']}-D: {row['prepare_s']:.1f} s with "
        f"imports and compiled code read from the cache, {row['cold_s']:.0f} s on a new machine."
        for row in sorted(rows, key=_order)
        if row.get("cold_s") is not None and row["kind"] == GROWTH_KIND and row["threads"] == 1
    ]
    return "\n\n".join(parts)


def run(peer: str, problem: ExactProblem, options: argparse.Namespace) -> Row:
    """Measure one row and merge it."""
    row = measure(
        peer, problem, home=options.pysdot, threads=options.threads, timeout=options.timeout
    )
    results.merge(options.out, [row.to_dict()], KEY)
    said = row.failure or f"cpu {row.cpu_s} s, wall {row.wall_s} s, {row.steps} steps"
    print(f"{peer} d={problem.dim} N={problem.n} {problem.kind}: {said}", flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=PEERS, nargs="*", default=list(PEERS))
    parser.add_argument("--dim", type=int, choices=(2, 3), nargs="*", default=[2, 3])
    parser.add_argument("--sites", type=int, nargs="*", help="N; default 1e3, 1e4, 1e5")
    parser.add_argument("--kind", choices=KINDS, nargs="*", default=list(KINDS))
    parser.add_argument("--large", action="store_true", help="also N = 1e6, ours alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one run")
    parser.add_argument("--pysdot", type=Path, default=pysdot_env.folder(), metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "exact.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    options = parser.parse_args(arguments)
    if not options.table:
        for peer, problem in jobs(options):
            run(peer, problem, options)
    print(markdown(results.read(options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
