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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "got neither"),
        (["somewhere", "--model", "inspected_networks:Small"], "got both"),
        (["--model", "inspected_networks:number"], "must make a torch.nn.Module, got int"),
        (["--model", "inspected_networks:none"], "--model must be a function pkg.mod:fn"),
        (["--model", "inspected_networks:image"], "shape must be given"),
    ],
)
def test_wrong_questions(words, said, capsys):
    assert cli.run(["inspect", *words]) == 2
    assert said in capsys.readouterr().err
