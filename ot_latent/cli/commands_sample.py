"""``sample``, ``encode``, ``decode``, ``interpolate``: what a trained run is used for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from ot_latent.cli.command import Maybe
from ot_latent.cli.console import Console
from ot_latent.config import ConfigError


@dataclass(frozen=True)
class Sample:
    """Draw new samples from a run; the training data are not needed.

    Row i depends on the seed and on i alone, whatever the number of samples.
    """

    run: Positional[Path]
    """Run folder."""
    n: Annotated[int, arg(aliases=("-n",))] = 64
    """Number of samples."""
    seed: int = 0
    """Seed of the samples."""
    label: Maybe[str] = None
    """Only samples of this label: all noise is sent to its codes."""
    stratified: bool = False
    """Spread the noise evenly: shares vary less (best with a power of two)."""
    out: Path = Path("samples.png")
    """A .png (grid), .npy or .npz file, or a folder (one .png per sample)."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Sample, write, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import output, run_models

        output.check_target(self.out)
        model = run_models.load_model(self.run, device=self.device)
        label = run_models.find_label(self.run, model, self.label)
        rows = model.sample(self.n, random_state=self.seed, label=label, stratified=self.stratified)
        output.write(self.out, rows, label=label)
        return _told(console, self.out, rows, seed=self.seed, label=self.label)


@dataclass(frozen=True)
class Encode:
    """Turn data into codes."""

    run: Positional[Path]
    """Run folder."""
    data: str
    """Named set, file or folder, as in train."""
    out: Path = Path("codes.npy")
    """A .npy or .npz file."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    split: str = "all"
    """Part of a named set."""
    label_column: Maybe[str] = None
    """Column of a table that holds labels and is left out."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Encode, write, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import datasets, output, run_models

        output.check_target(self.out, arrays=True)
        model = run_models.load_generator(self.run, device=self.device)
        data = datasets.load(
            self.data, split=self.split, data_dir=self.data_dir, label_column=self.label_column
        )
        codes = model.encode(data.x)
        output.write(self.out, codes)
        return _told(console, self.out, codes)


@dataclass(frozen=True)
class Decode:
    """Turn codes into data."""

    run: Positional[Path]
    """Run folder."""
    codes: Path
    """A .npy or .npz file of codes (n, d)."""
    out: Path = Path("decoded.npy")
    """A .png (grid), .npy or .npz file, or a folder (one .png per row)."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Decode, write, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent import datasets, output, run_models

        output.check_target(self.out)
        model = run_models.load_generator(self.run, device=self.device)
        rows = model.decode(datasets.load(str(self.codes), split="all").x)
        output.write(self.out, rows)
        return _told(console, self.out, rows)


@dataclass(frozen=True)
class Interpolate:
    """Walk between pairs of data rows through the noise, and decode the way."""

    run: Positional[Path]
    """Run folder."""
    data: str
    """Named set, file or folder, as in train."""
    pairs: Annotated[tuple[str, ...], arg(metavar="I,J ...")] = ("0,1",)
    """Pairs of row numbers such as 0,1 4,7."""
    steps: int = 9
    """Points of each path, the two ends among them."""
    out: Path = Path("path.png")
    """A .png (one path per line), .npy or .npz file, or a folder."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    split: str = "all"
    """Part of a named set."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Interpolate, write, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        import numpy as np

        from ot_latent import datasets, output, run_models

        output.check_target(self.out)
        model = run_models.load_generator(self.run, device=self.device)
        x = datasets.load(self.data, split=self.split, data_dir=self.data_dir).x
        pairs = [_pair(text, len(x)) for text in self.pairs]
        paths = [model.interpolate(x[i], x[j], steps=self.steps) for i, j in pairs]
        rows = np.concatenate(paths)
        output.write(self.out, rows, columns=self.steps)
        return _told(console, self.out, rows)


def _pair(text: str, rows: int) -> tuple[int, int]:
    try:
        i, j = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--pairs must be pairs such as 0,1 4,7, got {text!r}.") from None
    if not (0 <= i < rows and 0 <= j < rows):
        raise ConfigError(f"--pairs must be rows below {rows}, got {text}; choose smaller numbers.")
    return i, j


def _told(console: Console, out: Path, rows: Any, **more: Any) -> int:
    console.say(f"wrote {len(rows)} rows of shape {rows.shape[1:]} to {out}")
    console.result({"out": str(out), "n": len(rows), "shape": list(rows.shape[1:]), **more})
    return 0
