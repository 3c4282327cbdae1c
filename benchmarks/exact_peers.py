"""Run a solver on a problem in processes of its own, several times, and judge its heights."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import pysdot_env
from benchmarks.exact_problems import ExactProblem

PEERS = ("ours", "pysdot", "pysdot-petsc", "qhull")
REPEATS = 3
SHORT = 60.0  # seconds: a run that takes longer is not repeated
WITH_COLD = 1_000  # sites up to which one more run compiles everything anew
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
MEASURED = ("wall_s", "cpu_s", "peak_mb", "prepare_s", "load")


@dataclass
class Row:
    """One line of the table; times are medians over `runs`."""

    peer: str
    dim: int
    n: int
    kind: str
    threads: int = 1
    linear_solver: str | None = None
    version: str | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    all_cpu_s: list[float] | None = None
    steps: int | None = None
    diagrams: int | None = None
    error: float | None = None
    judged: float | None = None
    peak_mb: float | None = None
    prepare_s: float | None = None
    cold_s: float | None = None
    load: float | None = None
    runs: int = 0
    status: str | None = None
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass
class Call:
    """A subprocess: what to run, and in which environment."""

    command: list[str]
    variables: dict[str, str]

    def run(self, arguments: list[str | Path], timeout: float) -> str | None:
        """Run to the end; return None, or why it failed."""
        given = [*self.command, *map(str, arguments)]
        environment = os.environ | self.variables
        try:
            done = subprocess.run(
                given,
                check=False,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return f"did not finish in {timeout:.0f} s"
        if done.returncode == 0:
            return None
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return said[-1][:200]


def own_call(threads: int) -> Call:
    """Return the call of this project's own worker."""
    variables = dict.fromkeys(THREADS, str(threads))
    variables["PYTHONPATH"] = str(Path(__file__).parents[1])
    return Call([sys.executable, "-m", "benchmarks.exact_worker"], variables)


def pysdot_call(home: Path, threads: int, petsc: bool) -> Call | None:
    """Return the call of pysdot's worker, or None where its environment is missing."""
    interpreter, found = pysdot_env.python(home), pysdot_env.petsc_variables(home)
    if interpreter is None or (petsc and found is None):
        return None
    variables = dict.fromkeys(THREADS, str(threads)) | ((found or {}) if petsc else {})
    worker = Path(__file__).with_name("pysdot_worker.py")
    return Call([str(interpreter), str(worker)], variables)


def measure(
    peer: str, problem: ExactProblem, *, home: Path, threads: int = 1, timeout: float = 900.0
) -> Row:
    """Return the medians of several runs, each in its own process, and the verdict of another code."""
    row = Row(peer, problem.dim, problem.n, problem.kind, threads)
    if peer.startswith("pysdot"):
        petsc = peer == "pysdot-petsc"
        call = pysdot_call(home, threads, petsc)
        task, extra = "solve", ["Petsc" if petsc else "Scipy"]
    else:
        call, task, extra = own_call(threads), peer, []
    if call is None:
        row.failure = "not installed: python -m benchmarks.pysdot_env --petsc"
        return row
    with tempfile.TemporaryDirectory() as folder:
        sites = problem.save(Path(folder) / "sites.npz")
        heights, figures = Path(folder) / "heights.npz", Path(folder) / "figures.json"
        runs: list[dict[str, Any]] = []
        while len(runs) < REPEATS and (not runs or runs[0]["wall_s"] < SHORT):
            row.failure = call.run([task, sites, heights, figures, *extra], timeout)
            if row.failure:
                return row
            runs.append(json.loads(figures.read_text()))
        _fill(row, runs)
        row.judged = _judged(peer, home, [sites, heights, figures], timeout)
        if peer == "ours" and problem.n <= WITH_COLD:
            call.variables["NUMBA_CACHE_DIR"] = str(Path(folder) / "numba")
            call.run([task, sites, heights, figures], timeout)
            row.cold_s = round(json.loads(figures.read_text())["prepare_s"], 2)
    return row


def _fill(row: Row, runs: list[dict[str, Any]]) -> None:
    """Write the medians of what was measured, and what all runs agree on, into the row."""
    row.runs = len(runs)
    for name, value in runs[0].items():
        setattr(row, name, value)
    for name in MEASURED:
        values = [run[name] for run in runs if name in run]
        setattr(row, name, float(f"{statistics.median(values):.4g}") if values else None)
    row.all_cpu_s = [round(run["cpu_s"], 4) for run in runs]


def _judged(peer: str, home: Path, paths: list[Path], timeout: float) -> float | None:
    """Return the largest relative error that another code finds at the same heights."""
    by_pysdot = pysdot_call(home, 1, petsc=False)
    call = own_call(1) if peer.startswith("pysdot") or by_pysdot is None else by_pysdot
    if call.run(["masses", *paths], timeout):
        return None
    return json.loads(paths[-1].read_text())["error"]
