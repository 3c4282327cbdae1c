"""The GPU kernels against brute force: on a GPU where there is one, else in Triton's interpreter.

Without a GPU one test runs this file again in a process where Triton interprets its kernels on CPU
tensors (that has to be said before Triton is imported), and others compile them for two generations
of cards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib.util import find_spec

import pytest
import torch

from ot_latent.kernels import dispatch, triton_best, triton_crossed, triton_language
from ot_latent.kernels.crossed_eager import cross_eager
from ot_latent.kernels.triton_best import best_k_triton
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
    monkeypatch.setattr(triton_best, "ROWS", 16)
    monkeypatch.setattr(triton_best, "GROUP", 16)
    monkeypatch.setattr(triton_best, "KEPT", 4)
    monkeypatch.setattr(triton_best, "DEPTHS", dict.fromkeys(triton_best.DEPTHS, 16))


@pytest.mark.slow
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


def test_a_process_without_blocks_meets_nothing(device):
    arrays = [tensor.to(device) for tensor in halves(3, 8, 30, 2)]
    found = cross_triton(arrays[0][:0], arrays[1][:0], *arrays[2:])
    assert [tensor.shape for tensor in found] == [(0, 8, 8)] * 3
    assert found[2].dtype == torch.int64


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
    assert triton_best.works(device)


# -- the plain argmax ------------------------------------------------------------------------------


def brute_best(x, points, heights, k):
    scores = x.double() @ points.double().T + heights.double()
    values, indices = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], indices[:, :k]


def on(device, *tensors):
    return [tensor.to(device) for tensor in tensors]


PLAIN = [(1, 1, 1, 1), (5, 40, 3, 2), (17, 100, 20, 1), (16, 16, 16, 2), (3, 2, 5, 2)]


@pytest.mark.parametrize(("m", "n", "d", "k"), PLAIN)
def test_the_best_are_exact_with_ties_to_the_smallest_index(short, device, m, n, d, k):
    x, y, h = numbers(m, d, seed=n), numbers(n, d, seed=n + 1), numbers(n, seed=n + 2)
    values, indices = best_k_triton(*on(device, x, y, h), k)
    known, order = brute_best(x, y, h, k)
    assert torch.equal(values.cpu().double(), known)
    assert torch.equal(indices.cpu(), order)


CLOUDS = {  # where they lie, how far they spread
    "centred": (0.0, 1.0),
    "far": (30.0, 1.0),
    "small": (0.0, 1e-12),
    "large": (-1e6, 1e5),
}


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("kind", ["bf16", "tf32", "ieee"])
def test_the_screen_errs_by_less_than_its_bound(short, device, name, kind):
    where, spread = CLOUDS[name]
    x, y = (numbers(n, 24, seed=n, whole=False) * spread + where for n in (40, 130))
    h = -0.5 * y.square().sum(dim=1)
    seen = triton_best._screen(
        *on(device, x, y, h), kind, 2 * triton_best.least_bytes(24), whole=True
    )
    exact = x.double() @ (y.double() - y.mean(dim=0).double()).T + h.double()
    padded = torch.nn.functional.pad(exact, (0, -len(y) % 16), value=-torch.inf)
    maxima = padded.unflatten(1, (-1, 16)).amax(dim=2)
    error = (seen.maxima.cpu().double() - maxima).abs().amax(dim=1)
    slack = seen.slack.cpu()
    assert (error <= slack / 2).all()
    if kind == "bf16" and name == "centred":  # Cauchy-Schwarz costs a factor, not an order or two
        assert (error > slack / 60).any()


def test_the_leading_groups_are_those_of_largest_maximum(short, device, monkeypatch):
    x, y, h = on(device, numbers(20, 16, whole=False), numbers(400, 16, whole=False), numbers(400))
    every, groups = triton_best._maxima(x, y, h, 7, "ieee", whole=True)
    assert groups[0].tolist() == list(range(7, 32))
    for programs, kept in ((1, 4), (6, 8)):
        known, at = every.topk(kept, dim=1)
        monkeypatch.setattr(triton_best, "PROGRAMS", programs)
        monkeypatch.setattr(triton_best, "KEPT", kept)
        found = triton_best._leading([triton_best._maxima(x, y, h, 7, "ieee", whole=False)])
        assert torch.equal(found[0], known)
        assert torch.equal(found[1], at + 7)


@pytest.mark.parametrize("kind", triton_best.SCREENS)
def test_the_bound_is_reached_where_all_roundings_agree(short, device, kind):
    d, bits = 32, {"bf16": 8, "tf32": 11}[kind]
    cut = torch.full((2, d), 1 + 2.0 ** -(bits + 1))  # rounded down by half of what it can be
    plain = torch.ones(2, d)
    for rows in (cut, plain):
        rows[1] *= -1  # so that their mean is zero
    for x, y in ((plain, cut), (cut, plain)):
        seen = triton_best._screen(*on(device, x, y, torch.zeros(2)), kind, 10**9, whole=True)
        error = (seen.maxima[:, 0].cpu().double() - (x.double() @ y.double().T).amax(1)).abs()
        assert (error <= seen.slack.cpu() / 2).all()
        assert (error > 0.9 * seen.slack.cpu() / 2).all()


def test_scores_that_few_bits_cannot_tell_apart_are_decided_by_float32(short, device):
    base = numbers(1, 24, whole=False)
    y = base + 1e-5 * numbers(90, 24, seed=1, whole=False)
    x = base + 1e-3 * numbers(9, 24, seed=2, whole=False)
    h = torch.zeros(90)
    x, y = x * 100, y * 100
    x_, y_, h_ = on(device, x, y, h)
    for kind in triton_best.SCREENS:
        seen = triton_best._screen(x_, y_, h_, kind, 10**9, whole=False)
    values, indices = best_k_triton(x_, y_, h_, 2)
    known, order = brute_best(x, y, h, 2)
    assert triton_best._needed(seen, 2)[:, -1].any(), "the problem is too easy for this test"
    rounding = 26 * 2**-24 * float(x.norm(dim=1).max() * y.norm(dim=1).max())
    assert (known - values.cpu().double()).abs().max() < rounding
    wrong = indices.cpu() != order
    assert wrong.float().mean() < 0.2  # these scores float32 cannot tell apart either
    for row in (0, 5):  # alone, a row is screened otherwise and found alike, bit for bit
        alone = best_k_triton(x_[row : row + 1], y_, h_, 2)
        assert torch.equal(alone[0], values[row : row + 1])
        assert torch.equal(alone[1], indices[row : row + 1])


def test_chunks_of_targets_programs_and_screens_change_no_bit(short, device, monkeypatch):
    x, y, h = on(device, *(numbers(*shape, whole=False) for shape in ((20, 7), (150, 7), (150,))))
    once = best_k_triton(x, y, h, 2)
    monkeypatch.setattr(triton_best, "COARSE_DIM", 1)
    monkeypatch.setattr(triton_best, "PROGRAMS", 1)
    often = best_k_triton(x, y, h, 2, budget=3 * triton_best.least_bytes(7))
    for ours, theirs in zip(once, often, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")  # the interpreter's
def test_numbers_that_are_none_are_left_to_others(short, device):
    x, y, h = on(device, numbers(4, 3), numbers(40, 3), numbers(40))
    for place in (0, 1, 2):
        spoilt = [tensor.clone() for tensor in (x, y, h)]
        spoilt[place][3] = torch.inf
        assert best_k_triton(*spoilt, 1) is None
    huge = x * 1e38, y * 1e38, h
    assert best_k_triton(*huge, 1) is None
    empty, none = best_k_triton(x[:0], y, h, 2)
    assert empty.shape == none.shape == (0, 2)


# -- compiled for cards that are not here ----------------------------------------------------------

MATRIX_UNITS = {80: "mma.sync", 90: "wgmma"}


def compiled(kernel, generation, numbers, constants, **pointers):
    """Return the assembly of a kernel; pointers hold float32 where nothing else is said."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    kinds = dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    signature = {name: kinds.get(name, pointers.get(name, "*fp32")) for name in kernel.arg_names}
    multiple = [["tt.divisibility", 16]]
    aligned = [name for name, kind in signature.items() if kind[0] == "*" or name == "d"]
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs=constants,
        attrs={(kernel.arg_names.index(name),): multiple for name in aligned},
    )
    options = {"num_warps": triton_best.WARPS, "enable_fp_fusion": True}
    return compile(source, target=GPUTarget("cuda", generation, 32), options=options).asm


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Triton's compiler, which needs no GPU; it leaves nothing behind."""
    if not HAS_TRITON:
        pytest.skip(MISSING)
    if INTERPRETING:
        pytest.skip("this is the process that interprets kernels")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return compiled


@pytest.mark.parametrize("generation", MATRIX_UNITS)
def test_crossed_kernels_compile(compiler, generation):
    constants = {"LANES": triton_crossed.LANES, "TILE": triton_crossed.TILE}
    sizes = ["rows", "columns", "n"]
    for side in (8, 16):
        kernel, more = triton_crossed._tile_maxima, ["tiles", "share"]
        found = compiler(kernel, generation, sizes + more, constants | {"SIDE": side}, where="*i32")
        assert found["cubin"]
        assert "max.f32" in found["ptx"]
    kernel, places = triton_crossed._within_tile, {"where": "*i32", "place": "*i32"}
    assert compiler(kernel, generation, sizes, constants | {"SIDE": 8}, **places)["cubin"]


@pytest.mark.parametrize("generation", MATRIX_UNITS)
def test_the_product_compiles_for_matrix_units(compiler, generation):
    sizes = ["m", "n", "d", "first", "tiles", "share"]
    tile = {name: getattr(triton_best, name) for name in ("ROWS", "GROUP", "KEPT")}
    for kind, depth in triton_best.DEPTHS.items():
        whole = kind == "ieee"
        constants = tile | {"DEPTH": depth, "PRECISION": "ieee" if whole else "tf32"}
        given = dict.fromkeys(("x", "y"), "*bf16" if kind == "bf16" else "*fp32")
        kernel = triton_best._leading_groups
        found = compiler(
            kernel, generation, sizes, constants | {"WHOLE": whole}, groups="*i32", **given
        )
        assert found["cubin"]
        assert (MATRIX_UNITS[generation] in found["ptx"]) != whole
    constants = {"GROUP": triton_best.GROUP, "DEPTH": triton_best.DEPTHS["ieee"]}
    places = dict.fromkeys(("rows", "groups", "indices"), "*i64")
    assert compiler(triton_best._score_group, generation, ["n", "d"], constants, **places)["cubin"]


# -- the dispatcher --------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What a kernel that passed its trial is asked for."""
    calls = []
    monkeypatch.setattr(dispatch, "GPU_WORK", 1000)
    monkeypatch.setattr(triton_best, "works", lambda device: True)
    monkeypatch.setattr(
        triton_best, "best_k_triton", lambda *given, budget: calls.append((*given, budget))
    )
    return calls


def test_the_dispatcher_asks_the_kernel_for_what_it_can_do(asked, monkeypatch):
    x, y, h = numbers(20, 3), numbers(50, 3), numbers(50)
    dispatch._best_on_gpu(x, y, h, 2, None)
    dispatch._best_on_gpu(x, y, h, 1, "1GB")
    assert [call[-1] for call in asked] == [triton_best.BUDGET, 10**9]
    dispatch._best_on_gpu(x, y, h, 3, None)
    dispatch._best_on_gpu(x[:2], y, h, 1, None)
    dispatch._best_on_gpu(x.double(), y.double(), h.double(), 1, None)
    dispatch._best_on_gpu(x, y, h, 1, 1000)
    monkeypatch.setattr(triton_best, "works", lambda device: False)
    dispatch._best_on_gpu(x, y, h, 1, None)
    assert len(asked) == 2


@pytest.mark.gpu
def test_the_dispatcher_on_a_gpu_finds_what_it_finds_on_a_cpu():
    x, y, h = numbers(2000, 24), numbers(50_000, 24, seed=1), numbers(50_000, seed=2)
    assert len(x) * y.numel() >= dispatch.GPU_WORK
    values, indices = dispatch.best_scores(*on("cuda", x, y, h), 2)
    known, order = dispatch.best_scores(x, y, h, 2)
    assert torch.equal(values.cpu(), known)
    assert torch.equal(indices.cpu(), order)


# -- where there is no Triton, or it fails ---------------------------------------------------------


def test_without_triton_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(triton_language, "triton", None)
    assert not triton_language.installed()
    assert not triton_language.passes(lambda device: 1 / 0, CPU)
    assert not triton_language.interpreted()
    assert triton_language.jit("n")(same) is same


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
