"""``inspect``: the geometry of a run's autoencoder, or of any network that can be imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from ot_latent.cli.command import OK, Maybe
from ot_latent.cli.console import Console
from ot_latent.config import ConfigError


@dataclass(frozen=True)
class Inspect:
    """Say what the networks do to space: pieces, folds, norms, dimension, stability."""

    run: Positional[Maybe[Path]] = None
    """Run folder (or use --model)."""
    model: Maybe[str] = None
    """pkg.mod:Name of a torch.nn.Module, of its class, or of a function that returns one (trained or not)."""
    shape: tuple[int, ...] = ()
    """With --model: shape of one row of its input (default: from a first Linear layer)."""
    data: Maybe[str] = None
    """Named set, file or folder of held-out rows (default: that of the run)."""
    data_dir: Maybe[str] = None
    """Folder of the named sets (else the variable OT_LATENT_DATA)."""
    seed: int = 0
    """Seed of pairs and deformations."""
    json: bool = False
    """Print one machine-readable line on stdout."""

    def execute(self, console: Console) -> int:
        """Measure, tell, and return the exit code.

        Parameters
        ----------
        console : Console
            Where to say things.

        Returns
        -------
        int
            0.
        """
        from ot_latent.geometry_words import describe

        if (self.run is None) == (self.model is None):
            raise ConfigError(
                "inspect must be told a run folder or --model, got "
                f"{'neither' if self.run is None else 'both'}; name one."
            )
        record = self._of_network() if self.run is None else self._of_run(self.run)
        console.show(describe(record))
        console.result(record)
        return OK

    def _of_run(self, run: Path) -> dict[str, Any]:
        """Measure the autoencoder of a run."""
        from ot_latent import run_models, runs
        from ot_latent.geometry import autoencoder_geometry

        coder = run_models.load_generator(run).coder_
        data = runs.load_again(run, data=self.data, data_dir=self.data_dir)
        return autoencoder_geometry(coder, data.x, seed=self.seed)

    def _of_network(self) -> dict[str, Any]:
        """Measure a network that is imported."""
        from ot_latent.geometry import network_geometry

        return network_geometry(_network(str(self.model)), self.shape or None, seed=self.seed)


def _network(path: str) -> Any:
    """Import a network, or the class or the function that makes it."""
    from torch import nn

    from ot_latent.cli.commands_judge import function

    if not all(path.partition(":")):
        raise ConfigError(
            f"--model must be written pkg.mod:Name, got {path!r}; put a colon between the module and "
            "the name of a class, a function or a network in it."
        )
    found = function(path, "--model", "a class, a function or a network pkg.mod:Name")
    if not isinstance(found, nn.Module):
        found = _made(found, path)
    if not isinstance(found, nn.Module):
        raise ConfigError(
            f"--model must make a torch.nn.Module, got {type(found).__name__}; name a class "
            "or a function without arguments that returns one."
        )
    return found


def _made(make: Any, path: str) -> Any:
    """Call a class or a function that needs no arguments."""
    import inspect

    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ConfigError(
            f"--model must name what can be called without arguments, got {path!r} ({error}); write "
            "a function that returns the network, and name that."
        ) from None
    return make()
