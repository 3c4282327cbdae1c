"""What every test shares: the data folder, the quick size, threads, and the last line of a run."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything imports torch or matplotlib; what the caller has set stands.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import warnings

import hypothesis
import pytest

with (
    warnings.catch_warnings()
):  # its source, compiled anew, warns of escapes; tests forbid warnings
    warnings.simplefilter("ignore")
    import ot  # noqa: F401

hypothesis.settings.register_profile(
    "ot_latent",
    deadline=None,  # the machine is shared: time is not a property of the code
    max_examples=50,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ot_latent")

DATA_KEY = "real_data"
counts: dict[str, int] = {"run": 0, "skipped": 0}


def data_folder() -> Path | None:
    """Return the folder with the real data sets, or None."""
    value = os.environ.get("OT_LATENT_DATA")
    return Path(value) if value and Path(value).is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real data sets; the test is skipped where it is absent."""
    folder = data_folder()
    if folder is None:
        pytest.skip("real data absent: set OT_LATENT_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def quick() -> bool:
    """Whether notebooks and examples run in their small size."""
    return os.environ.get("OT_LATENT_QUICK", "0") not in {"", "0"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the users of `data_dir`, and skip GPU tests where there is no CUDA."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("data"):
            item.user_properties.append((DATA_KEY, True))
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `data` that find the folder by themselves."""
    if item.get_closest_marker("data") and data_folder() is None:
        pytest.skip("real data absent: set OT_LATENT_DATA to the folder that holds them")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the real-data tests that ran and those that were skipped."""
    if DATA_KEY not in (name for name, _ in report.user_properties):
        return
    if report.skipped:
        counts["skipped"] += 1
    elif report.when == "call":
        counts["run"] += 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session):
    """Print the last line; a skipped real-data test fails the run where data are required."""
    yield
    if hasattr(session.config, "workerinput"):  # a worker of pytest-xdist: its parent counts
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if counts["skipped"] and os.environ.get("OT_LATENT_REQUIRE_DATA", "0") not in {"", "0"}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminal.write_line(
            "OT_LATENT_REQUIRE_DATA is set: no real-data test may be skipped", red=True
        )
    terminal.write_line(f"{counts['run']} real-data tests run, {counts['skipped']} skipped")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
