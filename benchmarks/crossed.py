"""Pairs per second of crossed draws, beside a loop in C, eager torch and inner products.

The time is that of the process over all its threads; the peers take turns, and the best turn of
each counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import results
from benchmarks.crossed_peers import CROSSED, CrossedTask, plain, winners

KEY = ("n", "dim", "rows", "peer", "threads")
SIZES = ((10_000, 32), (60_000, 64), (60_000, 784))
ROWS = (16, 32, 64, 128)
DRAWS = 16_384  # at least, in whole blocks
JUDGED = 16  # rows whose crossings are compared with double precision
TURNS = 5
SEED = 7


def task(n: int, dim: int, rows: int, draws: int = DRAWS) -> CrossedTask:
    """Return noise of the centred cube, standard normal targets, heights of the Gaussian map."""
    rng = np.random.default_rng(SEED)
    points = torch.from_numpy(rng.standard_normal((n, dim), dtype=np.float32))
    heights = -0.5 * 3**-0.5 * points.double().square().sum(dim=1)
    blocks = max(1, draws // rows**2)
    z = torch.from_numpy(rng.uniform(-1, 1, (blocks, rows, dim)).astype(np.float32))
    return CrossedTask(z, points, (heights - heights.max()).float())


def measure(given: CrossedTask, turns: int = TURNS) -> list[dict[str, Any]]:
    """Return a row per peer; what a peer raises is its result."""
    common = {"n": len(given.points), "dim": given.points.shape[1], "rows": given.rows}
    rows = [common | {"peer": name, "threads": torch.get_num_threads()} for name in CROSSED]
    calls, found = {}, {}
    for row, (name, prepare) in zip(rows, CROSSED.items(), strict=True):
        try:
            calls[name] = prepare(given)
            found[name] = calls[name]()  # loads and compiles
        except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
            row["failure"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    seconds = take_turns(calls, turns)
    judged = min(given.rows, JUDGED)
    truth, ours = winners(given, judged), found["ours, add and max"]
    for row in rows:
        name = row["peer"]
        if name in seconds:
            drawn = found[name].size
            row["cpu_s"], row["pairs"] = seconds[name], drawn * len(given.points)
            row["wrong"] = float((found[name][0, :judged, :judged] != truth).mean())
            row["load"] = round(os.getloadavg()[0], 2)
        if name.startswith("C") and name in found:
            row["unequal"] = int((found[name] != ours).sum())
    return rows


def measure_plain(given: CrossedTask, turns: int = TURNS) -> dict[str, Any]:
    """Return the row of inner products, which know no blocks: their rows are one."""
    call = plain(given)
    drawn = call().size
    row = {"n": len(given.points), "dim": given.points.shape[1], "rows": 1, "peer": "plain"}
    row |= {"threads": torch.get_num_threads(), "pairs": drawn * len(given.points)}
    seconds = take_turns({"plain": call}, turns)["plain"]
    return row | {"cpu_s": seconds, "load": round(os.getloadavg()[0], 2)}


def take_turns(calls: dict[str, Any], turns: int) -> dict[str, float]:
    """Return the smallest CPU seconds of each call over some turns."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(turns):
        for name, call in calls.items():
            before = time.process_time()
            call()
            least[name] = min(least[name], time.process_time() - before)
    return least


def run(
    out: Path,
    sizes: Sequence[tuple[int, int]] = SIZES,
    rows: Sequence[int] = ROWS,
    draws: int = DRAWS,
) -> None:
    """Measure and merge, a size at a time."""
    for n, dim in sizes:
        found = [measure_plain(task(n, dim, rows[0], draws))]
        for a in rows:
            found += measure(task(n, dim, a, draws))
        results.merge(out, found, KEY)
        print(f"crossed N={n} d={dim}: measured", flush=True)


def markdown(record: dict[str, Any]) -> str:
    """Return a line per size and rows of a block."""
    by = {tuple(row[key] for key in KEY): row for row in record["rows"]}
    places = sorted({(*key[:3], key[4]) for key in by if key[3] != "plain"})
    head = ["N", "d", "A", "threads", "ours", "add and max", "C loop", "add and max / C"]
    head += ["ours / C", "torch, eager", "plain", "wrong"]
    lines = [_line(by, *place) for place in places]
    failures = sorted({f"{r['peer']}: {r['failure']}" for r in record["rows"] if "failure" in r})
    return "\n\n".join([results.table(head, lines), *failures])


def _line(by: dict[tuple[Any, ...], Any], n: int, dim: int, rows: int, threads: int) -> list[Any]:
    """Return a line of the table, rates in 10^9 pairs per CPU second."""

    def rate(peer: str, a: int = rows) -> float | None:
        row = by.get((n, dim, a, peer, threads))
        return row["pairs"] / row["cpu_s"] / 1e9 if row and "cpu_s" in row else None

    whole, part, *loops, eager = (rate(peer) for peer in CROSSED)
    loop = max((found for found in loops if found), default=None)
    shares = [f"{100 * x / loop:.0f} %" if x and loop else None for x in (part, whole)]
    wrong = by[n, dim, rows, "ours", threads].get("wrong")
    said = None if wrong is None else f"{100 * wrong:.3f} %"
    return [n, dim, rows, threads, whole, part, loop, *shares, eager, rate("plain", 1), said]
