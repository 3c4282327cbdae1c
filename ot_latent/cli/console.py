"""What a command says: human text and bars on stderr, one machine line on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

BAR_DELAY = 2.0  # seconds; shorter stages need no bar
LABELS = {
    "autoencoder": "training autoencoder",
    "encode": "encoding",
    "stand-in": "solving a stand-in",
    "transport": "solving transport",
    "extension": "extending the map",
    "classifier": "training classifier",
}


class Console:
    """The two output streams of a command.

    Parameters
    ----------
    name : str
        Prefix of the lines on stderr.
    machine : bool
        Whether a JSON line on stdout was asked for.
    """

    def __init__(self, name: str, machine: bool = False) -> None:
        self.name = name
        self.speaks = os.environ.get("RANK", "0") == "0"  # of several processes, the first one
        self.machine = machine and self.speaks
        self._bar: Any = None
        self._stage = ""
        self._started = 0.0

    def say(self, text: str) -> None:
        """Write a line for humans to stderr.

        Parameters
        ----------
        text : str
            The line.
        """
        if not self.speaks:
            return
        if self._bar is not None:
            self._bar.clear()
        sys.stderr.write(f"{self.name}: {text}\n")
        sys.stderr.flush()

    def show(self, lines: Iterable[str]) -> None:
        """Write a table for humans to stderr.

        Parameters
        ----------
        lines : iterable of str
            Its lines.
        """
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()

    def result(self, values: Mapping[str, Any]) -> None:
        """Write the one machine line to stdout, where it was asked for.

        Parameters
        ----------
        values : mapping
            What JSON can hold; NaN and infinity become null.
        """
        if self.machine:
            sys.stdout.write(json.dumps(finite(values), sort_keys=False) + "\n")
            sys.stdout.flush()

    def progress(self, event: Mapping[str, Any]) -> None:
        """Show how far a stage has come.

        Parameters
        ----------
        event : mapping
            With the keys stage and progress (0 to 1); other numbers are shown behind the bar.
        """
        if not self.speaks:
            return
        stage, share = event["stage"], float(event["progress"])
        if stage != self._stage:
            self.close()
            self._stage, self._started = stage, time.monotonic()
            self._bar = _new_bar(LABELS.get(stage, stage))
        self._bar.set_postfix_str(_numbers(event), refresh=False)
        self._bar.update(max(0.0, share - self._bar.n))
        if share >= 1.0:
            self.close()

    def close(self) -> None:
        """End the bar on screen, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self._stage = ""


def _new_bar(label: str) -> Any:
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(
        total=1.0,
        desc=label,
        delay=BAR_DELAY,
        bar_format=layout,
        leave=False,
        file=sys.stderr,
        disable=None,  # silent where stderr is no terminal
    )


def _numbers(event: Mapping[str, Any]) -> str:
    shown = {k: v for k, v in event.items() if k != "progress" and isinstance(v, float)}
    return " ".join(f"{key} {value:.3g}" for key, value in shown.items())


def finite(value: Any) -> Any:
    """Return a value that strict JSON can hold: NaN and infinity become None.

    Parameters
    ----------
    value : object
        Nested mappings, sequences, numbers and strings.

    Returns
    -------
    object
        The same structure of plain Python objects.

    Examples
    --------
    >>> finite({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return finite(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if isinstance(value, str | int | bool | None) else str(value)
