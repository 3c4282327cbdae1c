"""The command line: parses, calls, prints, exits; the only place that may exit.

``ot-latent --help`` is answered from a static table. A command's own module is imported when the
command is asked for, and computing libraries when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ot_latent.cli.table import COMMANDS, USAGE, overview

__all__ = ["main", "run"]


def main() -> None:
    """Run the command line on the process's arguments and exit with its code."""
    # Threads that spin long while they wait cost a factor of ten where another process wants the
    # core; those that sleep at once cost a factor of two where none does. So they spin shortly.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  so that the last flush finds an open end
        code = 0
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str
        The command's name and its options.

    Returns
    -------
    int
        0 ok, 2 usage or configuration, 3 bad data, 4 not converged or a gate failed, 130 interrupted.

    Examples
    --------
    >>> run(["--version"])
    ot-latent 0.1.0
    0
    """
    name, *rest = arguments or ["--help"]
    if name in ("--help", "-h", "help"):
        sys.stdout.write(overview())
        return 0
    if name == "--version":
        from ot_latent import __version__

        sys.stdout.write(f"ot-latent {__version__}\n")
        return 0
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "see ot-latent --help."
        sys.stderr.write(f"{USAGE}\not-latent: {name!r} is not a command; {hint}\n")
        return 2
    from ot_latent.cli.command import execute

    return execute(name, rest)
