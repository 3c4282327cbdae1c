"""Results as JSON that grows over several sittings, with the machine that made them."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = [
    "ot-latent",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "POT",
    "ott-jax",
    "jax",
    "optax",
    "scikit-learn",
    "faiss-cpu",
    "pykeops",
]


def machine() -> dict[str, Any]:
    """Return what the times depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def read(path: Path) -> dict[str, Any]:
    """Return what an earlier sitting left, or an empty record."""
    return json.loads(path.read_text()) if path.is_file() else {"rows": []}


def merge(path: Path, rows: Iterable[dict[str, Any]], key: Sequence[str]) -> dict[str, Any]:
    """Add rows to a record; a row with the same key is replaced. Returns the record written."""
    record = read(path)
    known = {tuple(row[k] for k in key): row for row in record["rows"]}
    for row in rows:
        known[tuple(row[k] for k in key)] = row
    record = {"machine": machine(), "rows": list(known.values())}
    write(path, record)
    return record


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".json.tmp")
    partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def interval(values: Sequence[float], form: str = ".3f") -> str:
    """Return the mean and half of its 95 % interval by Student's law; of one value the value."""
    from numpy import mean, sqrt, std
    from scipy.stats import t

    if len(values) < 2:
        return f"{values[0]:{form}}" if len(values) else "-"
    half = t.ppf(0.975, len(values) - 1) * std(values, ddof=1) / sqrt(len(values))
    return f"{mean(values):{form}} ± {half:{form}}"


def table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines]
    return "\n".join(out)


def _cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
