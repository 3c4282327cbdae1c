"""One data set from training to report: times, memory, transport error, manifold evidence.

``python -m benchmarks full_run --data fashion-mnist --run runs/fashion -- --latent-dim 32 --tolerance 0.15``
runs ``ot-latent train`` (unless the folder holds a finished run), ``evaluate`` and ``report`` as processes
of their own, times each, and writes ``benchmarks/results/DATA.json``. Options after ``--`` go to ``train``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from ot_latent.run_folder import RunFolder

OTHERS = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}  # same layout, other content
KIB = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


def timed_command(arguments: Sequence[str]) -> dict[str, Any]:
    """Run a command of ot-latent; return its times, peak memory and exit code."""
    command = [sys.executable, "-m", "ot_latent", *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
    return {
        "command": "ot-latent " + " ".join(arguments),
        "exit": process.returncode,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_gb": round(usage.ru_maxrss * KIB / 1e9, 3),
        "load": round(os.getloadavg()[0], 2),
    }


def stage_seconds(entries: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the time from each stage's end to the end of the stage before, from a run's log."""
    seconds: dict[str, float] = {}
    last = None
    for entry in entries:
        now, stage = entry.get("time"), entry.get("stage")
        if now is None:
            continue
        if stage and last is not None:
            seconds[stage] = seconds.get(stage, 0.0) + now - last
        last = now
    return {stage: round(value, 1) for stage, value in seconds.items()}


def transport_figures(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what ``run.json`` says of the transport, with the efficiency."""
    transport = dict(summary["transport"])
    n, samples = summary["targets"], transport["effective_samples"]
    limit = math.sqrt((n - 1) / samples) if samples else None
    sampled = limit and transport["error_norm"] == "rms"
    transport["efficiency"] = transport["mass_error"] / limit if sampled else None
    return transport | {"targets": n, "latent_dim": summary["latent_dim"]}


def evidence(run: Path, data: str, other: str | None, data_dir: str | None) -> dict[str, Any]:
    """Return the manifold block on held-out rows, with the off-manifold AUC of another set."""
    from ot_latent import datasets, run_models
    from ot_latent.evidence import manifold_evidence

    model = run_models.load_generator(run)
    held_out = datasets.load(data, split="test", data_dir=data_dir).x
    others = datasets.load(other, split="test", data_dir=data_dir).x if other else None
    return manifold_evidence(
        model.coder_, held_out, train_error=model.train_error_, other=others
    ) | {"other": other}


def collect(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing, and return all figures."""
    run, steps = options.run, {}
    where = ["--data-dir", options.data_dir] if options.data_dir else []
    if not RunFolder(run).complete:
        train = ["train", "--data", options.data, *where, "--out", str(run), *options.rest]
        steps["train"] = timed_command(train)
    if not RunFolder(run).complete:
        return {"data": options.data, "commands": steps, "failure": "training did not finish"}
    scores, page = run / "report.json", run / "report.html"
    steps["evaluate"] = timed_command(["evaluate", str(run), "--json", str(scores)])
    steps["report"] = timed_command(["report", str(run), "--out", str(page)])
    record = {
        "data": options.data,
        "commands": steps,
        "stage_seconds": stage_seconds(RunFolder(run).history()),
        "total_wall_s": round(sum(step["wall_s"] for step in steps.values()), 1),
        "peak_memory_gb": max(step["peak_memory_gb"] for step in steps.values()),
        "transport": transport_figures(RunFolder(run).summary()),
    }
    if steps["evaluate"]["exit"] == 0:
        record["scores"] = json.loads(scores.read_text())
    other = options.other or OTHERS.get(options.data)
    record["manifold"] = evidence(run, options.data, other, options.data_dir)
    return record


def markdown(record: dict[str, Any]) -> str:
    """Return the figures as a table."""
    commands = record["commands"].items()
    lines: list[tuple[str, Any]] = [
        (f"`{name}`: wall s / cpu s / GB / exit", " / ".join(str(s[key]) for key in KEYS))
        for name, s in commands
    ]
    if "failure" in record:
        return results.table(("figure", "value"), [*lines, ("failure", record["failure"])])
    transport, manifold = record["transport"], record["manifold"]
    low, high = transport["mass_error_interval"] or (math.nan, math.nan)
    errors = manifold["reconstruction_error"]
    lines += [(f"stage {name}, s", value) for name, value in record["stage_seconds"].items()]
    lines += [
        ("targets, latent_dim", f"{transport['targets']}, {transport['latent_dim']}"),
        ("rms cell error", f"{transport['mass_error']:.4f} ({low:.4f} to {high:.4f})"),
        ("samples, efficiency", f"{transport['samples']}, {_two(transport['efficiency'])}"),
        (
            "reconstruction error, held out / train",
            f"{_two(errors['held_out'])} / {_two(errors['train'])}",
        ),
        ("projection ratio by noise level", str(manifold["projection_ratio"])),
        (f"off-manifold AUC of {manifold['other']}", _two(manifold["off_manifold_auc"])),
    ]
    return results.table(("figure", "value"), lines)


KEYS = ("wall_s", "cpu_s", "peak_memory_gb", "exit")


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write the JSON, print the table."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="named set, as in ot-latent train")
    parser.add_argument("--run", type=Path, required=True, help="run folder, new or finished")
    parser.add_argument("--data-dir")
    parser.add_argument("--other", help="data set for the off-manifold score")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(given[:cut])
    options.rest = given[cut + 1 :]
    record = {"machine": results.machine(), **collect(options)}
    out = options.out or results.FOLDER / f"{Path(options.data).stem}.json"
    results.write(out, record)
    print(markdown(record))
    return 1 if "failure" in record else 0


if __name__ == "__main__":
    raise SystemExit(main())
