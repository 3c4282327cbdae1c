"""What a process needs of memory: its own, apart from pages of files that the system may drop."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # as proc(5) has it
INTERVAL_S = 0.01


def megabytes(name: str) -> float | None:
    """Return a figure of the system on this process, such as VmHWM; None where it keeps none."""
    if not STATUS.is_file():
        return None
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next((int(line[1]) / 1024 for line in lines if line[0] == f"{name}:"), None)


def reset_peak() -> None:
    """Let VmHWM, the largest resident set, begin again with the present one."""
    if REFERENCES.is_file():
        REFERENCES.write_text(RESET_PEAK)


class PrivatePeak:
    """Watches the private memory of this process (RssAnon) while a block runs.

    Attributes
    ----------
    most : float or None
        The largest figure seen so far, in megabytes; None where the system keeps none.
    """

    def __init__(self) -> None:
        self.most = megabytes("RssAnon")
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PrivatePeak:
        """Begin."""
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while self.most is not None and not self._over.wait(INTERVAL_S):
            self.most = max(self.most, megabytes("RssAnon") or 0.0)
