"""The static table of commands: all that ``ot-latent --help`` needs, so that it answers at once.

Nothing is imported here beyond the standard library's smallest parts.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    purpose : str
        What the command does, in half a line.
    module : str
        Module of this package that holds the command's class, which has the command's name.
    example : str
        Arguments of an example. In the table's order the examples are one working session.
    """

    purpose: str
    module: str
    example: str


COMMANDS: dict[str, Entry] = {
    "doctor": Entry("versions, device, threads, memory, self-check", "commands_meta", "doctor"),
    "train": Entry(
        "fit a generator to data; resume an interrupted run",
        "commands_train",
        "train --data digits --latent-dim 8 --epochs 4 --tolerance 0.3 --out runs/digits",
    ),
    "solve": Entry(
        "transport only, on a run's stored codes",
        "commands_train",
        "solve runs/digits --tolerance 0.25",
    ),
    "sample": Entry(
        "draw new samples; no training data needed",
        "commands_sample",
        "sample runs/digits -n 64 --seed 7 --out grid.png",
    ),
    "encode": Entry(
        "data to codes",
        "commands_sample",
        "encode runs/digits --data digits --out codes.npy",
    ),
    "decode": Entry(
        "codes to data",
        "commands_sample",
        "decode runs/digits --codes codes.npy --out images.npy",
    ),
    "interpolate": Entry(
        "paths between pairs of data rows",
        "commands_sample",
        "interpolate runs/digits --data digits --pairs 0,1 --steps 9 --out path.png",
    ),
    "evaluate": Entry(
        "fidelity, recall, modes and novelty, beside baselines",
        "commands_judge",
        "evaluate runs/digits --data digits --split test --json report.json",
    ),
    "info": Entry("what a run is and how far it converged", "commands_judge", "info runs/digits"),
    "inspect": Entry(
        "geometry of the autoencoder: pieces, folds, norms, dimension",
        "commands_inspect",
        "inspect runs/digits",
    ),
    "plot": Entry("figures of a run", "commands_show", "plot runs/digits --out figs"),
    "report": Entry(
        "one self-contained HTML page of a run",
        "commands_show",
        "report runs/digits --out report.html",
    ),
    "demo": Entry(
        "digits from data to report in under two minutes",
        "commands_meta",
        "demo --out demo",
    ),
}

USAGE = "usage: ot-latent COMMAND [options]"

FOOTER = """\
ot-latent COMMAND --help shows a command's options and an example.
ot-latent --version      shows the version.

Human text goes to stderr; with --json one machine-readable line goes to stdout.
Exit codes: 0 ok, 2 usage or configuration, 3 bad data, 4 not converged under --strict or a gate
failed, 130 interrupted after writing a resumable state.
"""


def overview() -> str:
    """Return the text of ``ot-latent --help``.

    Returns
    -------
    str
        Usage, one line per command, and where to read on.
    """
    lines = [f"  {name:<13}{entry.purpose}" for name, entry in COMMANDS.items()]
    head = "Samples from your data without mode collapse."
    return "\n".join([USAGE, "", head, "", "commands:", *lines, "", FOOTER])
