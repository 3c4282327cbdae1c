"""Blue-noise stippling of an image: dots of equal mass, each at the centre of its cell.

The darkness of the image is a measure; N dots share it equally. Each round solves the
semi-discrete transport exactly and moves every dot to the centroid of its cell, which is the best
place for it: the cost falls from round to round, and the dots end up evenly spread, close where
the image is dark. (The idea: de Goes, Breeden, Ostromoukhov, Desbrun. "Blue noise through optimal
transport." ACM Trans. Graph. 31(6), 2012.)

    python examples/stippling.py                       # a torus and a ball, computed here
    python examples/stippling.py photo.jpg --points 8000 --out dots.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ot_latent.transport import DampedNewton, DiscreteMeasure, GridDensity, PowerDiagram

LIGHT = np.array([-0.52, -0.38, 0.76]) / np.linalg.norm([-0.52, -0.38, 0.76])
EYE, AIM, ZOOM = np.array([0.0, -5.2, 3.6]), np.array([0.02, 0.1, 0.36]), 2.95
BALL, BALL_RADIUS = np.array([0.0, 0.0, 0.56]), 0.56
RING, TUBE = 1.18, 0.34
NEAR, FAR = 1e-3, 14.0


def norm(vectors: np.ndarray) -> np.ndarray:
    """Return lengths along the last axis."""
    return np.sqrt((vectors**2).sum(axis=-1))


def distance(p: np.ndarray) -> np.ndarray:
    """Return the distance of points to the scene: a ball within a torus on a floor."""
    ball = norm(p - BALL) - BALL_RADIUS
    ring = np.hypot(np.hypot(p[..., 0], p[..., 1]) - RING, p[..., 2] - TUBE) - TUBE
    return np.minimum(np.minimum(ball, ring), p[..., 2])


def march(start: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walk along rays; return how far they came, and how narrowly they missed the scene (0 to 1)."""
    way, clear = np.full(start.shape[:-1], 0.02), np.ones(start.shape[:-1])
    for _ in range(120):
        gap = distance(start + way[..., None] * direction)
        clear = np.minimum(clear, 9 * gap / way)
        way = np.minimum(way + np.maximum(gap, 0), FAR)
    return way, np.clip(clear, 0, 1)


def scene(size: int) -> np.ndarray:
    """Return the darkness, 0 to 1, of the pixels of the scene, row 0 on top."""
    ahead = (AIM - EYE) / norm(AIM - EYE)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= norm(right)
    up = np.cross(right, ahead)
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    ray = ZOOM * ahead + grid[None, :, None] * right - grid[:, None, None] * up
    ray /= norm(ray)[..., None]
    way, _ = march(np.broadcast_to(EYE, ray.shape), ray)
    place = EYE + way[..., None] * ray
    slopes = [distance(place + NEAR * e) - distance(place - NEAR * e) for e in np.eye(3)]
    normal = np.stack(slopes, axis=-1)
    normal /= np.maximum(norm(normal), 1e-12)[..., None]
    _, lit = march(place + 4 * NEAR * normal, np.broadcast_to(LIGHT, place.shape))
    lit *= np.clip(normal @ LIGHT, 0, 1)
    sky = sum(distance(place + s * normal) / s for s in (0.1, 0.25, 0.5)) / 3
    shine = np.clip(((LIGHT - ray) / norm(LIGHT - ray)[..., None] * normal).sum(-1), 0, 1) ** 60
    floor = place[..., 2] < 5 * NEAR
    bright = np.where(floor, 0.42 + 0.75 * lit, 0.06 + 0.8 * lit + 0.8 * shine * (lit > 0))
    dark = 1 - np.clip(bright * (0.35 + 0.65 * np.clip(sky, 0, 1)), 0, 1)
    return dark * np.where(way < FAR, 1, 0)


def read(path: Path, size: int) -> np.ndarray:
    """Return the darkness of an image file, its longer side shrunk to `size` pixels."""
    from PIL import Image

    with Image.open(path) as image:
        grey = image.convert("L")
        grey.thumbnail((size, size))
        return 1 - np.asarray(grey, dtype=np.float64) / 255


def density(darkness: np.ndarray) -> GridDensity:
    """Return the source whose first coordinate goes right and second goes up."""
    height, width = darkness.shape
    least = 0.01 * darkness.mean()  # white is not quite empty: no cell vanishes
    scale = max(height, width)
    return GridDensity(
        np.maximum(darkness, least)[::-1].T, [0.0, 0.0], [width / scale, height / scale]
    )


def stipple(source: GridDensity, count: int, rounds: int, seed: int) -> np.ndarray:
    """Return dots (count, 2) that share the source equally, printing the cost of each round."""
    dots = source.sample(count, seed=seed)
    heights = None
    solver = DampedNewton(tolerance=0.02)
    for turn in range(rounds):
        found = solver.solve(source, DiscreteMeasure.uniform(dots), initial_heights=heights)
        # dots in the order of the solver: equal ones, were there any, are one target
        dots = PowerDiagram(source, found.potential).centroids
        heights = -dots.square().sum(dim=1) / 2  # Voronoi cells of centroids are near the goal
        print(f"round {turn + 1:2}: W2^2 = {found.cost:.4e}, {found.steps} Newton steps")
    return dots.numpy()


def draw(dots: np.ndarray, darkness: np.ndarray, out: Path, width: int = 1000) -> None:
    """Write a PNG of black dots, as large as the darkness of the image asks for."""
    from PIL import Image, ImageDraw

    fine = 4 * width / darkness.shape[1]  # drawn four times too large, for smooth rims
    height, width = (round(n * fine / 4) for n in darkness.shape)
    scale = 4 * max(height, width)
    area = darkness.size / max(darkness.shape) ** 2
    radius = scale * np.sqrt(area * darkness.mean() / (np.pi * len(dots)))
    image = Image.new("L", (4 * width, 4 * height), 255)
    pen = ImageDraw.Draw(image)
    for x, y in dots * scale:
        pen.circle((x, 4 * height - y), radius, fill=0)
    image = image.resize((width, height), Image.Resampling.BOX)
    image.quantize(16).save(out, optimize=True)


def main() -> None:
    """Read the command line, stipple, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", nargs="?", type=Path, help="any image file; a scene by default")
    parser.add_argument("--out", type=Path, default=Path("stippling.png"))
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=160, help="of the density's longer side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few dots, two rounds")
    given = parser.parse_args()
    if given.quick:
        given.points, given.rounds, given.pixels = 200, 2, 60
    darkness = scene(given.pixels) if given.image is None else read(given.image, given.pixels)
    dots = stipple(density(darkness), given.points, given.rounds, given.seed)
    draw(dots, darkness, given.out)
    print(f"{len(dots)} dots in {given.out}")


if __name__ == "__main__":
    main()
