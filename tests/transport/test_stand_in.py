"""Stand-ins: heights by exact cells of a source that is nearly the given one."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from ot_latent import OTSampler
from ot_latent.transport import (
    BrenierPotential,
    DampedNewton,
    DiscreteMeasure,
    Gaussian,
    UniformBall,
    UniformBox,
)
from ot_latent.transport.solution import SolverError
from ot_latent.transport.stand_in import _polytope, has_stand_in, stand_in_heights
from ot_latent.transport.survey import survey_cells

TILTED = Gaussian([1.0, -2.0], [[2.0, 0.9], [0.9, 1.0]])
SOURCES = [UniformBall(2, 3.0), UniformBall(3, 0.5), TILTED]


def problem(d, n=300):
    generator = torch.Generator().manual_seed(d)
    y = torch.randn(n, d, generator=generator).double()
    y[: n // 2, 0] += 4  # two clusters
    masses = torch.rand(n, generator=generator).double() + 0.3
    return DiscreteMeasure(y, masses / masses.sum())


def rms(heights, source, target):
    potential = BrenierPotential(target.points, heights)
    return survey_cells(potential, source, 2**17, seed=1).mass_error(target.weights)[0]


@pytest.mark.parametrize("source", SOURCES, ids=["disc", "ball", "normal"])
def test_masses_are_right_under_the_source_itself(source):
    target = problem(source.dim)
    heights = stand_in_heights(source, target)
    assert rms(heights, source, target) < 0.04
    assert rms(heights + 0.1 * torch.arange(300) / 300, source, target) > 0.04
    assert abs(float(heights.mean())) < 1e-9


def test_cells_of_a_normal_law_on_a_line_have_their_masses():
    target, source = problem(1, 50), Gaussian([0.5], [[4.0]])
    heights = stand_in_heights(source, target)
    order = target.points[:, 0].argsort()
    y, h = target.points[order, 0], heights[order]
    borders = -h.diff() / y.diff()
    shares = torch.special.ndtr((borders - 0.5) / 2)
    torch.testing.assert_close(shares, target.weights[order].cumsum(0)[:-1])


@pytest.mark.parametrize(
    ("ball", "volume"), [(UniformBall(2, 2.0), 4 * math.pi), (UniformBall(3), 4 / 3 * math.pi)]
)
def test_polytopes_have_the_volume_of_the_ball(ball, volume):
    polytope = _polytope(ball)
    assert polytope.volume == pytest.approx(volume, rel=1e-9)
    radii = torch.from_numpy(polytope.vertices).norm(dim=1) / ball.radius
    assert float((radii - 1).abs().max()) < {2: 1e-5, 3: 0.03}[ball.dim]
    torch.testing.assert_close(polytope.mean, ball.mean, atol=2e-3, rtol=0)


def test_only_few_dimensions_have_one():
    some = [UniformBall(2), UniformBall(3), Gaussian.standard(1), Gaussian.standard(2)]
    assert all(has_stand_in(source) for source in some)
    others = [UniformBall(4), Gaussian.standard(3), UniformBox.unit(2)]
    assert not any(has_stand_in(source) for source in others)


def test_heights_are_a_start_and_poor_ones_do_no_harm(monkeypatch):
    target = problem(2)
    heights = stand_in_heights(TILTED, target)
    starts, solve = [], DampedNewton.solve

    def counted(self, *args, **options):
        found = solve(self, *args, **options)
        starts.append((options["initial_heights"] is not None, found.steps))
        return found

    monkeypatch.setattr(DampedNewton, "solve", counted)
    again = stand_in_heights(TILTED, target, heights)
    torch.testing.assert_close(again, heights, atol=1e-3, rtol=0)
    empty = heights.clone()
    empty[0] -= 100  # no cell: the solver begins elsewhere
    torch.testing.assert_close(stand_in_heights(TILTED, target, empty), heights, atol=1e-3, rtol=0)
    assert [given for given, _ in starts] == [True, False]
    assert starts[0][1] < starts[1][1]


def test_what_a_stand_in_lacks_is_for_the_samples_to_tell(monkeypatch):
    monkeypatch.setattr("ot_latent.transport.stand_in.TOLERANCE", 1e-18)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it stalls, above rounding errors, and says nothing
        heights = stand_in_heights(TILTED, problem(2))
    assert rms(heights, TILTED, problem(2)) < 0.04


def test_a_stand_in_tells_how_far_it_is():
    """And is not stopped in the middle, where nothing could be resumed."""
    target, events = problem(2), []
    alone = OTSampler(TILTED, random_state=0).fit(target.points)

    def told(event):
        events.append(event)
        return event["stage"] == "stand-in"

    found = OTSampler(TILTED, random_state=0).fit(target.points, callback=told)
    assert torch.equal(found.potential_.heights, alone.potential_.heights)
    stages = [event["stage"] for event in events]
    assert stages == sorted(stages, key=["stand-in", "transport", "extension"].index)
    progress = [event["progress"] for event in events if event["stage"] == "stand-in"]
    assert len(progress) > 2
    assert progress == sorted(progress)


def test_samples_go_on_alone_where_the_exact_solver_fails(monkeypatch):
    def fails(self, *args, **options):
        raise SolverError("no cells", None)

    monkeypatch.setattr(DampedNewton, "solve", fails)
    assert stand_in_heights(UniformBall(2), problem(2)) is None
    codes = problem(2, 40).points
    found = OTSampler(UniformBall(2), tolerance=0.2, random_state=0).fit(codes).transport_
    assert found.solver == "StochasticNewton"
    assert found.mass_error < 0.2


@pytest.mark.filterwarnings("ignore::ot_latent.transport.ConvergenceWarning")  # without one
@pytest.mark.parametrize("source", [UniformBall(2), Gaussian.standard(2)], ids=["disc", "normal"])
def test_a_sampler_draws_only_to_confirm(source):
    target = problem(2)
    labels = torch.arange(300) // 150
    fit = {"anchor": 0.5, "spread": 1.0, "neighbours": 6, "tear": 3.0, "random_state": 0}
    alone = OTSampler(source, solver="sampled", max_samples=100_000, **fit)
    drawn = alone.fit(target.points, labels).transport_
    sampler = OTSampler(source, **fit).fit(target.points, labels)
    assert sampler.transport_.samples < drawn.samples / 5
    assert sampler.transport_.mass_error < 0.05
    sampler.reweight({0: 3.0})
    assert sampler.transport_.samples < drawn.samples / 5
    assert sampler.transport_.mass_error < 0.05
    _, cells = sampler.draw(2**14, 5)
    assert float((labels[cells] == 0).double().mean()) == pytest.approx(0.75, abs=0.02)
