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


def test_the_optimal_coupling_straightens_a_torchcfm_flow():
    """With TorchCFM's own matcher where it is installed, else with the example's."""
    command = [
        sys.executable,
        str(EXAMPLES / "torchcfm_coupling.py"),
        "--steps",
        "300",
        "--points",
        "300",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    lines = [line.replace(",", "").split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["independent", "semi-discrete"]
    (gap, off), (our_gap, our_off) = ((float(line[6]), float(line[-1])) for line in lines)
    assert our_gap < 0.5 * gap
    assert our_off < off
