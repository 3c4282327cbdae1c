"""The benchmark of sparsity runs, keeps what it promises, and fits slopes right."""

import numpy as np
import pytest

from benchmarks import results, sparsity


def test_few_neurons_keep_the_fit_whatever_the_training(tmp_path, capsys):
    file = tmp_path / "sparsity.json"
    assert sparsity.main(["--part", "fit", "--steps", "20", "--out", str(file)]) == 0
    rows = results.read(file)["rows"]
    assert len(rows) == 8
    for row in rows:
        assert (
            row["few"] <= row["bound"] == row["n"] - ("skip" not in row["method"]) * (row["d"] + 1)
        )
        assert row["few"] <= row["merged"] <= 100
        assert row["fit_change"] < 1e-6
        assert row["few_path_norm"] <= row["path_norm"] * (1 + 1e-9)
        assert row["rtv2"] <= row["path_norm"] * (1 + 1e-9)
    assert "| saddle | pathprox, no skip |" in capsys.readouterr().out


def test_network_and_kernel_see_the_same_rows(tmp_path, capsys):
    file = tmp_path / "sparsity.json"
    arguments = ["--part", "ridge", "--d", "2", "--rows", "64", "--steps", "30", "--out", str(file)]
    assert sparsity.main(arguments) == 0
    network, kernel = results.read(file)["rows"]
    assert (network["method"], kernel["method"]) == ("network", "kernel")
    assert 0 < kernel["share_of_variance"] < 1
    assert network["chosen"] in sparsity.STRENGTHS
    assert "| 2 | 64 |" in capsys.readouterr().out


def test_slopes_are_those_of_power_laws():
    rows = [
        {"d": 3, "method": "network", "n": n, "seed": seed, "error": 5 * n ** -(0.7 + seed)}
        for n in (64, 128, 256, 512)
        for seed in (0, 1)
    ]
    assert sparsity.slopes(rows, 3, "network") == pytest.approx([-0.7, -1.7])
    assert sparsity.slopes(rows, 3, "kernel") == []


def test_the_ridge_is_the_same_in_every_part_and_standard_normal():
    x, y = sparsity.ridge_rows(5, 4000, 0, 1, 0.0)
    again, _ = sparsity.ridge_rows(5, 4000, 0, 0, 0.0)
    assert not np.allclose(x, again)
    assert y.max() <= 1
    assert (y == 0).mean() == pytest.approx(1 - (0.9032 - 0.2420), abs=0.03)  # |t - 0.3| >= 1
