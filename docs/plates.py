"""Draw the pictures of docs/exact_solver.md: `python docs/plates.py`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ot_latent import plotting
from ot_latent.transport import DampedNewton, DiscreteMeasure, UniformBox

IMAGES = Path(__file__).with_name("images")


def write(figure: Any, name: str, *, dpi: int = 110, colours: int = 256) -> None:
    """Write a figure with a palette: flat colours need no more."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    picture.save(IMAGES / f"{name}.png", optimize=True)


def duality() -> Any:
    """Return a potential of twelve planes and its Legendre dual."""
    rng = np.random.default_rng(4)
    turn = 2 * np.pi * (np.arange(12) / 8 + 0.04 * rng.standard_normal(12))
    radius = np.where(np.arange(12) < 8, 1.0, 0.42) * (1 + 0.12 * rng.standard_normal(12))
    sites = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    sites[8:] = 0.42 * np.array([[1, 0.3], [-0.2, 1], [-1, -0.4], [0.3, -1]])
    solution = DampedNewton().solve(UniformBox.centered(2), DiscreteMeasure.uniform(sites))
    return plotting.brenier_potential(solution.state.diagram)


def steps() -> Any:
    """Return Newton's way from Voronoi cells to equal areas."""
    rng = np.random.default_rng(3)
    sites = np.clip(0.5 + 0.17 * rng.standard_normal((150, 2)), 0.01, 0.99)
    source, target = UniformBox.unit(2), DiscreteMeasure.uniform(sites)
    solver = DampedNewton()
    states = [solver.init(source, target, initial_heights=-0.5 * (target.points**2).sum(dim=1))]
    solver.solve(source, target, state=states[0], callback=states.append)
    return plotting.newton_strip(states)


def slices() -> Any:
    """Return five slices of equal volumes in the cube."""
    rng = np.random.default_rng(5)
    sites = rng.standard_normal((80, 3))
    box = UniformBox.centered(3)
    potential = DampedNewton().solve(box, DiscreteMeasure.uniform(sites)).potential
    return plotting.power_slices(potential, box.low, box.high)


def main() -> None:
    """Write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    for draw in (duality, steps, slices):
        write(draw(), f"exact_{draw.__name__}")


if __name__ == "__main__":
    main()
