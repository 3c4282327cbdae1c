"""The GPU benchmark says where it cannot measure; its script runs, in small, on a CPU."""

import json

import pytest
import torch

from benchmarks import gpu, gpu_peers, tables
from benchmarks.kernel_peers import Task
from benchmarks.sampled_problems import SampledProblem
from ot_latent.transport.warm_start import voronoi_heights

CPU = torch.device("cpu")
SMALL = ["--device", "cpu", "--size", "200", "8", "--rows", "64", "--blocks", "2"]
SMALL += ["--product", "32", "--level", "0.5", "--limit-s", "1"]


def test_without_a_gpu_one_sentence_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "gpu.json"
    assert gpu.main(["--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == gpu.NOWHERE
    assert not out.exists()
    assert tables.section("gpu", tmp_path) == tables.NOT_YET


def test_the_script_runs_and_rows_name_their_card(monkeypatch, tmp_path, capsys):
    setting = {"batch": 64, "optimizer": "sgd", "lr": 1.0, "ema": 0.01}
    monkeypatch.setattr(gpu, "ott_settings", lambda n: [setting])
    out = tmp_path / "gpu.json"
    for _ in range(2):  # the second sitting replaces its own rows
        assert gpu.main([*SMALL, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    keys = [tuple(row[name] for name in gpu.KEY) for row in rows]
    assert len(keys) == len(set(keys)) == 3 + len(gpu.PLAIN) + len(gpu.CROSSED) + 3
    assert {row["card"] for row in rows} == {"CPU"}
    assert "On CPU." in capsys.readouterr().out
    named = {(row["kind"], row["peer"]): row for row in rows}
    for peer in ("ours", "ours, best two", "ours, eager", "torch mm + max"):
        row = named["plain", peer]
        assert row["wrong"] == 0
        assert row["rate"] == pytest.approx(2 * 64 * 200 * 8 / row["wall_s"])
    for peer in ("ours", "ours, eager"):
        assert named["solve", peer]["low"] < 0.5
    # none is there, or it fails its trial
    assert "Triton kernel" in named["crossed", "ours"]["failure"]
    assert named["crossed", "ours, eager"]["rate"] > 0


def test_the_best_run_is_the_one_that_arrived_first():
    rows = [
        {"failure": None, "wall_s": 9.0, "rms": 0.19, "level": 0.2},
        {"failure": None, "wall_s": 5.0, "rms": 0.18, "level": 0.2},
        {"failure": None, "wall_s": 1.0, "rms": 0.25, "level": 0.2},
        {"failure": None, "wall_s": 1.0, "rms": 0.30, "level": 0.2},
        {"failure": "no memory", "wall_s": None, "rms": None, "level": 0.2},
    ]
    assert [rows.index(row) for row in sorted(rows, key=gpu._merit)] == [1, 0, 2, 3, 4]


def test_the_judge_agrees_with_the_race():
    from benchmarks.race import judge

    problem = SampledProblem("mixture", 300, 6)
    heights = voronoi_heights(problem.target)
    rms, low, high = gpu.judge(problem, heights, 0.2, CPU)
    other = judge(problem, heights)
    assert low <= rms <= high
    assert other.low < high
    assert low < other.high


def test_inner_products_of_extended_rows_are_scores():
    task = Task(torch.rand(5, 3), torch.rand(7, 3), torch.rand(7))
    rows, targets = gpu_peers.extended(task)
    torch.testing.assert_close(rows @ targets.T, task.x @ task.points.T + task.heights)
    assert gpu_peers.torch_eager(task)().shape == (5,)


def test_eager_roads_are_taken_and_left():
    from ot_latent.kernels import triton_best, triton_crossed

    before = triton_crossed.works, triton_best.works
    with gpu_peers.eager():
        assert not triton_crossed.works(torch.device("cuda"))
        assert not triton_best.works(torch.device("cuda"))
    assert (triton_crossed.works, triton_best.works) == before
