"""From a command's arguments to its exit code: parsing, warnings and refusals in one sentence."""

from __future__ import annotations

import dis
import importlib
import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Protocol, TypeVar

import tyro

from ot_latent.cli.console import Console
from ot_latent.cli.table import COMMANDS

OK, UNEXPECTED, USAGE, BAD_DATA, NOT_REACHED, INTERRUPTED = 0, 1, 2, 3, 4, 130

T = TypeVar("T")
Maybe = Annotated[
    T | None, tyro.conf.arg(help_behavior_hint="")
]  # says nothing of its default None


class Command(Protocol):
    """What the classes in ``commands_*.py`` have in common: fields are options, `execute` acts."""

    def execute(self, console: Console) -> int:
        """Do it and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            The exit code.
        """


def execute(name: str, arguments: Sequence[str]) -> int:
    """Parse the options of one command, run it, and turn what goes wrong into an exit code.

    Parameters
    ----------
    name : str
        A command of the table.
    arguments : sequence of str
        Its options.

    Returns
    -------
    int
        The exit code.
    """
    command = parse(name, arguments)
    if isinstance(command, int):
        return command
    console = Console(f"ot-latent {name}", machine=bool(getattr(command, "json", False)))
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = lambda message, *_, **__: console.say(f"warning: {message}")  # type: ignore[assignment]
        try:
            return command.execute(console)
        except KeyboardInterrupt as stop:
            console.say(str(stop) or "interrupted.")
            return INTERRUPTED
        except BrokenPipeError:
            raise
        except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
            code = exit_code(error)
            if code == UNEXPECTED:
                raise
            console.say(f"error: {_one_sentence(error)}")
            return code
        finally:
            console.close()
            _leave_processes()


def _leave_processes() -> None:
    """End the process group of `torchrun`: its threads, left running, abort the interpreter's exit."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def parse(name: str, arguments: Sequence[str]) -> Command | int:
    """Return the command with its options filled in, or the exit code where none is to run.

    Parameters
    ----------
    name : str
        A command of the table.
    arguments : sequence of str
        Its options.

    Returns
    -------
    Command or int
        The parsed command; 0 after ``--help``; 2 after a usage error (told on stderr).
    """
    entry = COMMANDS[name]
    schema = getattr(importlib.import_module(f"ot_latent.cli.{entry.module}"), name.capitalize())
    options = (
        tyro.conf.FlagCreatePairsOff,
        tyro.conf.PositionalMetavarFromFieldName,
        tyro.conf.DisallowNone,
    )
    if name == "evaluate":
        arguments = _bare_json_filled(arguments)
    try:
        return tyro.cli(schema, prog=f"ot-latent {name}", args=list(arguments), config=options)
    except SystemExit as stop:
        if stop.code in (0, None):
            sys.stdout.write(f"\nexample:\n  ot-latent {entry.example}\n")
            return OK
        return USAGE


def _bare_json_filled(arguments: Sequence[str]) -> list[str]:
    """Let ``--json`` stand without a file."""
    filled = []
    for word, following in zip(arguments, [*arguments[1:], "--"], strict=True):
        bare = word == "--json" and following.startswith("--")
        filled += ["--json", "-"] if bare else [word]
    return filled


def exit_code(error: BaseException) -> int:
    """Return the exit code of an exception; 1 means that it is a fault of ours.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    int
        3 for bad data, 4 for a solver or training that failed, 2 for other refusals and for files that cannot
        be read or written, 1 for what no module of this package raised on purpose.
    """
    classes = {cls.__name__ for cls in type(error).__mro__}
    if "DataError" in classes:
        return BAD_DATA
    if classes & {"SolverError", "TrainingError"}:
        return NOT_REACHED
    if isinstance(error, OSError):
        return USAGE
    if isinstance(error, ImportError):
        return UNEXPECTED if str(error.name).startswith("ot_latent") else USAGE
    return USAGE if _raised_here(error.__traceback__) else UNEXPECTED


def _raised_here(traceback: TracebackType | None) -> bool:
    """Whether a raise statement of this package is the origin: then the message is a refusal."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    operation = dis.opname[traceback.tb_frame.f_code.co_code[traceback.tb_lasti]]
    return module.startswith("ot_latent.") and operation in ("RAISE_VARARGS", "RERAISE")


def _one_sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; nothing was left half-written."
    return str(error)
