"""``plot``, ``report``: a run in pictures, and on one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ot_latent.cli.command import OK, Maybe
from ot_latent.cli.console import Console


@dataclass(frozen=True)
class Plot:
    """Draw a run: convergence, samples, reconstructions, interpolation, modes, novelty, cells."""

    run: Positional[Path]
    """Run folder."""
    out: Path = Path("figs")
    """Folder of the figures."""
    kind: Annotated[tuple[str, ...], arg(metavar="KIND ...")] = ()
    """convergence, loss, samples, reconstructions, interpolation, modes, novelty, codes, cells, atlas
    (also a page to explore, atlas.html; default: all that fit, the atlas apart)."""
    data: Maybe[str] = None
    """Named set, file or folder of held-out rows (default: that of the run)."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    seed: int = 0
    """Seed of the samples."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Draw, write, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import run_figures, run_models, runs

        model = run_models.load_judged(self.run)
        needless = model.coder_ is None and self.data is None  # then what needs no rows is drawn
        data = (
            None if needless else runs.load_again(self.run, data=self.data, data_dir=self.data_dir)
        )
        files = run_figures.draw(model, data, self.out, self.kind, seed=self.seed)
        console.say(f"wrote {', '.join(path.name for path in files)} to {self.out}")
        console.result({"out": str(self.out), "files": [str(path) for path in files]})
        return OK


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page about a run."""

    run: Positional[Path]
    """Run folder."""
    out: Path = Path("report.html")
    """The page."""
    data: Maybe[str] = None
    """Named set, file or folder of held-out rows (default: that of the run)."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    seed: int = 0
    """Seed of the samples."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Evaluate, write, return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import run_models, runs
        from ot_latent.report import write_report

        model, plane = run_models.load_judged(self.run), run_models.load_beside(self.run)
        data = runs.load_again(self.run, data=self.data, data_dir=self.data_dir)
        write_report(self.run, model, data, self.out, seed=self.seed, plane=plane)
        console.say(f"wrote {self.out}")
        console.result({"out": str(self.out)})
        return OK
