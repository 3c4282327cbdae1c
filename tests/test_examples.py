"""The examples run as a user runs them, in a quick size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_stippling_spreads_dots_and_lowers_the_cost(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 40, dtype=np.uint8), (30, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    command = [
        sys.executable,
        str(EXAMPLES / "stippling.py"),
        "ramp.png",
        "--quick",
        "--out",
        "d.png",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    costs = [float(line.split()[4].rstrip(",")) for line in done.stdout.splitlines()[:-1]]
    assert costs == sorted(costs, reverse=True)
    with Image.open(tmp_path / "d.png") as picture:
        dark = 255 - np.asarray(picture.convert("L"), dtype=float)
    left, right = np.array_split(dark, 2, axis=1)
    assert 2.0 < left.sum() / right.sum() < 4.5  # the ramp's halves have masses 3 : 1
