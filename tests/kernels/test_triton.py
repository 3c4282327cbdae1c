"""The GPU kernels against brute force: on a GPU where there is one, else in Triton's interpreter.

Without a GPU one test runs this file again in a process where Triton interprets its kernels on CPU
tensors; that has to be said before Triton is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib.util import find_spec

import pytest
import torch

from ot_latent.kernels import triton_crossed, triton_language
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.triton_crossed import best_pairs, cross_triton

CPU = torch.device("cpu")
INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = find_spec("triton") is not None
MISSING = "GPU kernels are written in Triton, which is not installed: pip install 'ot-latent[gpu]'"


@pytest.fixture
def device():
    """Where kernels run here."""
    if not HAS_TRITON:
        pytest.skip(MISSING)
    if torch.cuda.is_available() and not INTERPRETING:
        return torch.device("cuda")
    if not INTERPRETING:
        pytest.skip("no GPU: this test runs in the process that interprets kernels")
    return CPU


@pytest.fixture
def short(monkeypatch, device):
    """Tiles that are met soon: the interpreter is slow."""
    monkeypatch.setattr(triton_crossed, "TILE", 64)


@pytest.mark.skipif(not HAS_TRITON, reason=MISSING)
@pytest.mark.skipif(INTERPRETING, reason="this is the process that interprets kernels")
@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the GPU itself")
def test_kernels_under_the_interpreter():
    """Everything below, with ``TRITON_INTERPRET=1``."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", __file__]
    known = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout


def numbers(*shape, seed=0, whole=True):
    """Whole numbers are exact in float32 and full of ties."""
    generator = torch.Generator().manual_seed(seed)
    if whole:
        return torch.randint(-3, 4, shape, generator=generator).float()
    return torch.randn(shape, generator=generator)


def brute_pairs(p, q):
    sums = p[:, :, None] + q[:, None]
    top, order = sums.sort(dim=3, descending=True, stable=True)
    runner = top[..., 1] if sums.shape[3] > 1 else torch.full(sums.shape[:3], -torch.inf)
    return top[..., 0], runner, order[..., 0]


def same(found, known):
    return all(torch.equal(a.cpu(), b) for a, b in zip(found, known, strict=True))


# -- crossed draws ---------------------------------------------------------------------------------

SHAPES = [(1, 8, 8, 1), (3, 8, 8, 64), (2, 16, 16, 65), (2, 7, 11, 300), (1, 24, 17, 130)]


@pytest.mark.parametrize(("blocks", "rows", "columns", "n"), SHAPES)
@pytest.mark.parametrize("whole", [True, False])
def test_winners_of_pairs_are_exact_with_ties_to_the_smallest_index(
    short, device, blocks, rows, columns, n, whole
):
    p = numbers(blocks, rows, n, seed=n, whole=whole)
    q = numbers(blocks, columns, n, seed=n + 1, whole=whole)
    assert same(best_pairs(p.to(device), q.to(device)), brute_pairs(p, q))


def test_the_number_of_programs_changes_nothing(short, device, monkeypatch):
    p, q = numbers(2, 8, 700), numbers(2, 8, 700, seed=1)
    for programs in (1, 2, 3, 100):
        monkeypatch.setattr(triton_crossed, "PROGRAMS", programs)
        assert same(best_pairs(p.to(device), q.to(device)), brute_pairs(p, q))


def halves(blocks, rows, n, d, seed=0, whole=True):
    shapes = ((blocks, rows, d), (blocks, rows, d + 1), (n, d), (n, d + 1), (n,))
    return [numbers(*shape, seed=seed + i, whole=whole) for i, shape in enumerate(shapes)]


def test_crossed_draws_equal_the_eager_road_whatever_the_memory(short, device):
    given = halves(3, 8, 300, 2)
    known = cross_eager(*given)
    arrays = [tensor.to(device) for tensor in given]
    for budget in (1, 4 * 16 * 64, 4 * 16 * 64 * 7, 10**9):  # chunks of targets, of blocks
        assert same(cross_triton(*arrays, budget=budget), known)


def test_scores_that_are_no_numbers_lose(short, device):
    u, v, first, second, heights = halves(1, 8, 130, 2, whole=False)
    heights[17] = torch.nan
    arrays = [tensor.to(device) for tensor in (u, v, first, second, heights)]
    best, runner, winner = (tensor.cpu() for tensor in cross_triton(*arrays))
    assert torch.isfinite(best).all()
    assert torch.isfinite(runner).all()
    assert not (winner == 17).any()
    best, _, winner = cross_triton(arrays[0] * torch.nan, *arrays[1:])
    assert (best == -torch.inf).all()
    assert ((winner >= 0) & (winner < 130)).all()


def test_kernels_are_tried_before_they_are_used(short, device):
    assert triton_crossed.works(device)


# -- where there is no Triton, or it fails ---------------------------------------------------------


def test_without_triton_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(triton_language, "triton", None)
    assert not triton_language.installed()
    assert not triton_language.passes(lambda device: 1 / 0, CPU)
    assert triton_language.jit(same) is same


def test_a_failed_trial_warns_and_eager_operations_serve(monkeypatch):
    errors = types.SimpleNamespace(TritonError=KeyError)
    monkeypatch.setattr(triton_language, "triton", types.SimpleNamespace(errors=errors))

    def no_compiler(device):
        raise RuntimeError("no C compiler")

    with pytest.warns(RuntimeWarning, match="must pass a trial on cpu, got RuntimeError: no C com"):
        assert not triton_language.passes(no_compiler, CPU)
    with pytest.warns(RuntimeWarning, match="got wrong results"):
        assert not triton_language.passes(lambda device: False, CPU)
    assert triton_language.passes(lambda device: True, CPU)
