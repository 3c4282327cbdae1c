"""``ot-latent inspect --model``: any network that can be imported; wrong questions in one sentence."""

import json

import pytest

from ot_latent import cli

MODULE = """
from torch import nn

class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

def image():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))

def number():
    return 3

class Needs(nn.Linear):
    def __init__(self, width):
        super().__init__(2, width)

smooth = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.LayerNorm(8), nn.Linear(8, 3))
three = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "inspected_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield
    import sys

    sys.modules.pop("inspected_networks", None)


def test_a_network_is_told(capsys):
    assert cli.run(["inspect", "--model", "inspected_networks:Small", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Widths, units counted: 2 - 8 - 1." in captured.err
    found = json.loads(captured.out)
    assert found["widths"] == [2, 8, 1]
    assert found["pieces"]["linear_pieces"]["min"] >= 1


def test_a_shape_is_passed_on(capsys):
    words = ["inspect", "--model", "inspected_networks:image", "--shape", "1", "4", "4"]
    assert cli.run(words) == 0
    assert "16 - 8 - 1" in capsys.readouterr().err


def test_a_smooth_network_is_told_by_its_curvature(capsys):
    assert cli.run(["inspect", "--model", "inspected_networks:smooth", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Linear pieces: not counted" in captured.err
    assert "Curvature (estimate): " in captured.err
    assert json.loads(captured.out)["chords"]["chords"]["min"] >= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "got neither"),
        (["somewhere", "--model", "inspected_networks:Small"], "got both"),
        (["--model", "inspected_networks:number"], "must make a torch.nn.Module, got int"),
        (
            ["--model", "inspected_networks:none"],
            "must be a class, a function or a network pkg.mod:",
        ),
        (
            ["--model", "inspected_networks"],
            "must be written pkg.mod:Name, got 'inspected_networks'",
        ),
        (["--model", "inspected_networks:three"], "or a network pkg.mod:Name, got 3; name another"),
        (["--model", "inspected_networks:Needs"], "missing a required argument: 'width'"),
        (["--model", "inspected_networks:Small", "--shape", "3"], "must take rows of shape (3,)"),
        (["--model", "inspected_networks:image"], "shape must be given"),
    ],
)
def test_wrong_questions(words, said, capsys):
    assert cli.run(["inspect", *words]) == 2
    assert said in capsys.readouterr().err
