"""The race of exact solvers: its simple alternative is right, and its rows say what they mean."""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from benchmarks import exact, exact_peers, pysdot_env, qhull, results, tables
from benchmarks.exact_problems import ExactProblem
from benchmarks.exact_worker import judge, ours, timed

HERE = pysdot_env.folder()
needs_pysdot = pytest.mark.skipif(
    pysdot_env.python(HERE) is None,
    reason="pysdot is not installed: python -m benchmarks.pysdot_env",
)


@pytest.fixture
def single(monkeypatch):
    """Run each solver once."""
    monkeypatch.setattr(exact_peers, "REPEATS", 1)


@pytest.mark.parametrize("kind", ["uniform", "corner"])
@pytest.mark.parametrize("dim", [2, 3])
def test_a_problem_is_the_same_for_every_solver(kind, dim, tmp_path):
    problem = ExactProblem(dim, 500, kind)
    saved = np.load(problem.save(tmp_path / "sites.npz"))["points"]
    assert saved.shape == (500, dim)
    assert (saved == problem.points).all()
    assert saved.min() > 0
    assert saved.max() < (0.4 if kind == "corner" else 1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        _ = ExactProblem(2, 10, "ring").points


@pytest.mark.parametrize("kind", ["uniform", "corner"])
@pytest.mark.parametrize("dim", [2, 3])
def test_qhulls_cells_are_where_the_score_is_best(kind, dim):
    points = ExactProblem(dim, 60, kind).points
    rng = np.random.default_rng(3)
    heights = qhull.start_heights(points) + 0.002 * rng.random(60)
    diagram = qhull.cells(points, heights)
    assert diagram.masses.sum() == pytest.approx(1, abs=1e-12)
    x = rng.random((100_000, dim))
    counted = np.bincount((x @ points.T + heights).argmax(axis=1), minlength=60)
    expected = diagram.masses * len(x)
    deviation = np.abs(counted - expected) / np.sqrt(np.maximum(expected, 1))
    assert deviation.max() < 5


def test_a_cell_below_the_others_is_empty():
    points = ExactProblem(2, 40, "uniform").points
    heights = -0.5 * (points**2).sum(axis=1)
    heights[7] -= 1
    diagram = qhull.cells(points, heights)
    assert diagram.masses[7] == 0
    assert diagram.masses.sum() == pytest.approx(1, abs=1e-12)
    assert not (diagram.pairs == 7).any()


@pytest.mark.parametrize("dim", [2, 3])
def test_facets_are_the_derivative_of_masses(dim):
    points = ExactProblem(dim, 50, "corner").points
    heights = qhull.start_heights(points)
    diagram = qhull.cells(points, heights)
    lengths = np.linalg.norm(points[diagram.pairs[:, 0]] - points[diagram.pairs[:, 1]], axis=1)
    slopes = np.bincount(diagram.pairs.ravel(), np.repeat(diagram.areas / lengths, 2), 50)
    for site in (0, 20, 49):
        shift = np.zeros(50)
        shift[site] = 1e-7
        ends = [qhull.cells(points, heights + sign * shift).masses[site] for sign in (-1, 1)]
        assert (ends[1] - ends[0]) / 2e-7 == pytest.approx(slopes[site], rel=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_start_is_a_voronoi_diagram_without_empty_cells(dim):
    points = ExactProblem(dim, 300, "corner").points
    heights = qhull.start_heights(points)
    assert qhull.cells(points, heights).masses.min() > 0
    plain = -0.5 * (points**2).sum(axis=1)
    x = np.random.default_rng(0).random((1000, dim))
    assert ((x @ points.T + plain).argmax(axis=1) == cKDTree(points).query(x)[1]).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_the_simple_alternative_converges_quadratically(dim):
    found = qhull.damped_newton(ExactProblem(dim, 120, "corner").points, 1e-9)
    assert found.error <= 1e-9
    orders = [np.log(after) / np.log(before) for before, after in pairwise(found.errors)]
    assert found.diagrams > found.steps
    assert max(orders[-2:]) > 1.7


def test_a_step_that_finds_no_descent_ends_the_search():
    points = ExactProblem(2, 30, "uniform").points
    assert qhull.damped_newton(points, 0.0, max_steps=30).error < 1e-9


@pytest.mark.usefixtures("single")
def test_a_run_is_measured_and_merged(tmp_path, capsys):
    out = tmp_path / "exact.json"
    command = ["--peer", "qhull", "--dim", "2", "--sites", "100", "--kind", "uniform"]
    for _ in range(2):  # the second sitting replaces its own row
        assert exact.main([*command, "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["failure"] is None
    assert row["error"] <= 1e-6
    assert row["judged"] == pytest.approx(row["error"], abs=1e-9)
    assert row["cpu_s"] > 0
    assert 20 < row["peak_mb"] < 1000
    assert row["runs"] == 1
    assert "| qhull | SuperLU |" in capsys.readouterr().out


@pytest.mark.parametrize("dim", [2, 3])
def test_ours_is_judged_by_another_code(dim):
    points = ExactProblem(dim, 100, "corner").points
    heights, said = timed(ours, points)
    assert said["status"] == "CONVERGED"
    assert said["error"] <= 1e-6
    assert judge(points, heights)["error"] == pytest.approx(said["error"], abs=1e-9)
    assert said["steps"] < said["diagrams"]


@needs_pysdot
@pytest.mark.usefixtures("single")
def test_pysdot_runs_in_its_own_environment():
    row = exact_peers.measure("pysdot", ExactProblem(2, 100, "uniform"), home=HERE)
    assert row.failure is None
    assert row.linear_solver == "Scipy"
    assert row.version == "0.2.16"
    assert row.error <= 1e-6
    assert row.judged == pytest.approx(row.error, abs=1e-9)
    assert row.steps < row.diagrams


def test_a_missing_environment_is_a_row(tmp_path):
    row = exact_peers.measure("pysdot", ExactProblem(2, 10, "uniform"), home=tmp_path)
    assert "not installed" in row.failure
    assert pysdot_env.petsc_variables(tmp_path) is None
    assert row.failure in exact.measured_table([row.to_dict()])


def test_the_unpacked_petsc_is_found(tmp_path):
    base = tmp_path / "petsc" / "root" / "usr" / "lib"
    packages = base / "petscdir" / "petsc3" / "real" / "lib" / "python3" / "dist-packages"
    packages.mkdir(parents=True)
    (base / "x86_64-linux-gnu").mkdir()
    variables = pysdot_env.petsc_variables(tmp_path)
    assert variables["PYTHONPATH"] == str(packages)
    assert "openmpi" in variables["LD_LIBRARY_PATH"]


@pytest.mark.usefixtures("single")
def test_what_does_not_end_in_time_is_a_row(tmp_path):
    problem = ExactProblem(2, 100, "uniform")
    row = exact_peers.measure("qhull", problem, home=tmp_path, timeout=0.01)
    assert row.failure == "did not finish in 0 s"


def test_what_a_process_says_last_is_its_failure(tmp_path):
    failure = exact_peers.own_call(1).run(["qhull", "no-such.npz", "a", "b"], 60)
    assert "no-such.npz" in failure


def test_a_judge_finds_wrong_heights():
    points = ExactProblem(2, 50, "uniform").points
    assert judge(points, -0.5 * (points**2).sum(axis=1))["error"] > 0.3
    solved = qhull.damped_newton(points, 1e-6).heights
    assert judge(points, solved + 5)["error"] <= 1e-6


def rows_of(peer, seconds):
    """Return rows whose seconds are given by N."""
    return [
        exact_peers.Row(
            *(peer, 2, n, "uniform"), cpu_s=value, wall_s=value, error=1e-7, peak_mb=80.0
        ).to_dict()
        for n, value in seconds.items()
    ]


def test_growth_is_the_slope_of_the_logarithms():
    rows = rows_of("ours", {n: 1e-6 * n**1.1 for n in (1000, 10_000, 100_000)})
    slope, sizes = exact.growth(rows + rows_of("qhull", {1000: 5.0}))
    assert slope == pytest.approx(1.1)
    assert sizes == [1000, 10_000, 100_000]
    assert exact.growth(rows[:1]) is None


def test_the_page_tells_how_long_the_first_solve_takes():
    row = rows_of("ours", {1000: 0.5})[0] | {"prepare_s": 2.0, "cold_s": 30.0}
    text = exact.markdown({"rows": [row]})
    assert "2.0 s with imports" in text
    assert "30 s on a new machine" in text


def test_ratios_are_of_the_same_problem(tmp_path):
    rows = rows_of("ours", {1000: 0.5}) + rows_of("pysdot", {1000: 2.0, 10_000: 9.0})
    line = exact.ratio_table(rows).splitlines()[-1]
    assert line == "| 2 | uniform | 1,000 | **4** (4) | - | - |"
    results.merge(tmp_path / "exact.json", rows, exact.KEY)
    page = tables.fill("<!-- exact -->\n<!-- /exact -->", tmp_path)
    assert line in page


def test_the_default_list_spares_what_takes_hours(monkeypatch, tmp_path, capsys):
    asked = []

    def noted(peer, problem, **_):
        asked.append((peer, problem.dim, problem.n, problem.kind))
        return exact_peers.Row(peer, problem.dim, problem.n, problem.kind, failure="not run")

    monkeypatch.setattr(exact, "measure", noted)
    exact.main(["--large", "--out", str(tmp_path / "exact.json")])
    assert ("ours", 3, 1_000_000, "uniform") in asked
    assert ("pysdot-petsc", 3, 100_000, "uniform") in asked
    assert ("pysdot", 3, 100_000, "uniform") not in asked
    assert ("qhull", 2, 100_000, "corner") not in asked
    assert "not run" in capsys.readouterr().out
