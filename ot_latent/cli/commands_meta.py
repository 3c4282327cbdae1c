"""``doctor`` and ``demo``: does it work here, and what does it do."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ot_latent.cli.console import Console

TOLERANCE = 0.05  # of the self-check: rms cell error
HALF_WIDTH = 0.02  # largest error of its heights, against 1/16 in closed form


@dataclass(frozen=True)
class Doctor:
    """Say what this installation computes with, and check the solver against a closed form."""

    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Examine and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0, or 4 where the self-check fails.
        """
        from ot_latent.run_folder import versions

        facts = {
            "versions": {"python": platform.python_version(), **versions()},
            "platform": platform.platform(),
            **_machine(),
            "self_check": _self_check(),
        }
        console.show(_lines(facts))
        console.result(facts)
        return 0 if facts["self_check"]["passed"] else 4


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the facts as a table."""
    for name, version in facts["versions"].items():
        yield f"{name:<14}{version}"
    yield f"{'platform':<14}{facts['platform']}"
    yield f"{'device':<14}{facts['device']}"
    yield f"{'threads':<14}{facts['threads']} of {facts['cores']} cores"
    yield f"{'memory':<14}{facts['memory_gb']:.1f} GB"
    yield f"{'data folder':<14}{facts['data_dir'] or 'OT_LATENT_DATA is not set'}"
    check = facts["self_check"]
    verdict = "passed" if check["passed"] else "FAILED"
    off = f"two-point heights off by {check['error']:.1e} in {check['seconds']:.1f} s"
    yield f"{'self-check':<14}{verdict}: {off}"


def _machine() -> dict[str, Any]:
    """Device, threads and memory."""
    import torch

    cuda = torch.cuda.is_available()
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return {
        "device": f"cuda ({torch.cuda.get_device_name()})" if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "memory_gb": page * pages / 1e9,
        "data_dir": os.environ.get("OT_LATENT_DATA"),
    }


def _self_check() -> dict[str, Any]:
    """Solve for two points in the unit square, whose heights are 1/16 and -1/16."""
    import torch

    from ot_latent.transport import DiscreteMeasure, StochasticNewton, UniformBox

    began = time.perf_counter()
    points = torch.tensor([[0.25, 0.5], [0.75, 0.5]], dtype=torch.float64)
    target = DiscreteMeasure(points, torch.tensor([0.25, 0.75], dtype=torch.float64))
    solution = StochasticNewton(tolerance=TOLERANCE, seed=0).solve(UniformBox.unit(2), target)
    heights = solution.potential.heights.double()
    heights = heights - heights.mean()
    error = float((heights - torch.tensor([1 / 16, -1 / 16])).abs().max())
    seconds = time.perf_counter() - began
    return {"passed": error <= HALF_WIDTH, "error": error, "seconds": seconds}


@dataclass(frozen=True)
class Demo:
    """Handwritten digits from data to report: train, sample, evaluate, in under two minutes."""

    out: Path = Path("demo")
    """Run folder; report.html and samples.png go there too."""
    seed: int = 0
    """Seed of everything random."""
    epochs: int = 30
    """Passes over the data."""
    overwrite: bool = False
    """Delete the run that --out holds."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Run the demonstration and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent.cli.commands_sample import Sample
        from ot_latent.cli.commands_show import Report
        from ot_latent.cli.commands_train import Train
        from ot_latent.run_folder import RunFolder

        began = time.monotonic()
        quiet = Console(console.name)
        for out, latent_dim in ((self.out, None), (self.out / "plane", 2)):
            Train(
                out=out,
                data="digits",
                latent_dim=latent_dim,
                seed=self.seed,
                epochs=self.epochs,
                resume=RunFolder(out).started and not self.overwrite,
                overwrite=self.overwrite,
            ).execute(quiet)
        Sample(self.out, n=100, seed=7, out=self.out / "samples.png").execute(quiet)
        page = self.out / "report.html"
        Report(self.out, out=page).execute(quiet)
        seconds = time.monotonic() - began
        console.say(f"done in {seconds:.0f} s. Look at {page} in a browser.")
        console.say(f"Next: ot-latent sample {self.out} -n 16 --label 3 --out threes.png")
        console.result({"out": str(self.out), "report": str(page), "seconds": seconds})
        sys.stderr.flush()
        return 0
