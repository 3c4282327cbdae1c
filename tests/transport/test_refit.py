"""Going on from an earlier solution when targets came or went."""

from __future__ import annotations

import pytest
import torch

from ot_latent._random import Stream
from ot_latent.transport.given_heights import worth_of_start
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.refit import known_targets
from ot_latent.transport.solution import ConvergenceWarning
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton
from ot_latent.transport.stochastic_state import StochasticNewtonState
from ot_latent.transport.survey import survey_cells


@pytest.fixture(scope="module")
def solved():
    y = torch.rand(1000, 8, generator=torch.Generator().manual_seed(0)) ** 2
    target = DiscreteMeasure.uniform(y)
    return y, StochasticNewton(tolerance=0.1).solve(UniformBox.unit(8), target)


def test_known_heights_are_kept_and_new_ones_lie_between_their_neighbours(solved):
    y, earlier = solved
    new = (y[:20] + y[20:40]) / 2
    target = DiscreteMeasure.uniform(torch.cat([new, y.flip(0)[:500]]))
    known = known_targets(earlier, target)
    kept = earlier.potential.heights.flip(0)[:500].double()
    torch.testing.assert_close(known.heights[20:], kept, atol=1e-6, rtol=1e-6)
    kantorovich = known.heights + target.points.double().square().sum(1) / 2
    assert kantorovich[:20].min() >= earlier.potential.kantorovich().min() - 1e-6
    assert kantorovich[:20].max() <= earlier.potential.kantorovich().max() + 1e-6
    assert (known.age[:20] == 0).all()
    assert (known.age[20:] == earlier.steps).sum() >= 480
    assert (known.age[20:] > 0).all()
    assert (known_targets(earlier, DiscreteMeasure.uniform(y)).age == earlier.steps).all()
    assert (known.weight > 0).tolist() == (known.age > 0).tolist()


@pytest.mark.parametrize("change", ["added", "removed", "reweighted"])
def test_a_changed_problem_costs_a_small_share(solved, change):
    y, earlier = solved
    generator = torch.Generator().manual_seed(1)
    more = y[:10] + 0.05 * torch.rand(10, 8, generator=generator)
    target = {
        "added": DiscreteMeasure.uniform(torch.cat([y, more])),
        "removed": DiscreteMeasure.uniform(y[10:]),
        "reweighted": DiscreteMeasure(y, torch.linspace(0.98, 1.02, 1000).double() / 1000),
    }[change]
    solver = StochasticNewton(tolerance=0.12, seed=1)  # leaves room for the error of new cells
    found = solver.solve(UniformBox.unit(8), target, earlier=earlier)
    assert found.converged
    assert found.samples < 0.4 * solver.solve(UniformBox.unit(8), target).samples  # goals double


def test_what_is_not_known_is_refused(solved):
    _, earlier = solved
    with pytest.raises(
        ValueError, match="earlier must be a solution in 3 dimensions, got one in 8"
    ):
        known_targets(earlier, DiscreteMeasure.uniform(torch.rand(5, 3)))
    with pytest.raises(ValueError, match="earlier must share targets with the new problem"):
        known_targets(earlier, DiscreteMeasure.uniform(torch.rand(5, 8) + 9))


# -- heights of any origin -------------------------------------------------------------------------

BOX = UniformBox.unit(8)


def test_heights_count_for_the_draws_that_they_are_worth(solved):
    """An error e stands for T = (N - 1) v / e^2 draws; each step weighs n (t + 1)^(1/2)."""
    y, _ = solved
    state = StochasticNewton().init(BOX, DiscreteMeasure.uniform(y))
    state = StochasticNewtonState.from_parts(
        state.to_tensors(), state.to_metadata() | {"inflation": 1.5, "verdict_rms": (0.3,)}
    )
    aged = worth_of_start(state, 1000, 0.1, lambda drawn: 500)
    worth = 1.5 * 999 / 0.3**2
    assert aged.age[0].item() == pytest.approx(worth / 500)
    steps = int(worth / 500)
    weight = sum(500 * (t + 1) ** 0.5 for t in range(1, steps + 1))
    weight += (worth - 500 * steps) * (worth / 500 + 1) ** 0.5  # of a step that is begun
    torch.testing.assert_close(aged.average_weight, torch.full_like(aged.age, weight))
    # no verdict tells errors far below the tolerance
    perfect = StochasticNewtonState.from_parts(
        state.to_tensors(), state.to_metadata() | {"verdict_rms": (0.0,)}
    )
    assert (
        worth_of_start(perfect, 1000, 0.1, lambda drawn: 500).age[0] <= 1.5 * 999 / 0.025**2 / 500
    )


def test_what_is_known_already_is_not_drawn_again(solved):
    """From error e the tolerance r asks for (1 - r^2/e^2) of the draws of a fresh solve."""
    y, earlier = solved
    target, solver = DiscreteMeasure.uniform(y), StochasticNewton(tolerance=0.08, seed=5)
    found = solver.solve(BOX, target, initial_heights=earlier.potential.heights)
    assert found.converged
    assert found.samples < 0.65 * solver.solve(BOX, target).samples
    judged = survey_cells(found.potential, BOX, 2**17, seed=77).mean_square_error(target.weights)
    assert abs(judged[0] - found.mass_error**2) < 4 * judged[1] + 0.002


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_random_heights_are_answered_like_none(solved, scale):
    y, _ = solved
    target, solver = DiscreteMeasure.uniform(y), StochasticNewton(tolerance=0.3)
    random = scale * torch.randn(1000, generator=torch.Generator().manual_seed(3))
    found, fresh = (solver.solve(BOX, target, initial_heights=h) for h in (random, None))
    assert torch.equal(found.potential.heights, fresh.potential.heights)
    assert found.samples == fresh.samples


def test_a_warm_solve_is_resumed_bit_for_bit(solved):
    y, earlier = solved
    noise = 0.003 * torch.randn(1000, generator=torch.Generator().manual_seed(3))
    target, solver = DiscreteMeasure.uniform(y), StochasticNewton(tolerance=0.1, seed=2)
    start = earlier.potential.heights + noise
    whole = solver.solve(BOX, target, initial_heights=start)
    assert whole.steps > 5
    assert whole.state.warm
    for stop in (0, 1, 4):
        with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
            part = solver.solve(
                BOX, target, initial_heights=start, callback=lambda s, stop=stop: s.step >= stop
            )
        state = StochasticNewtonState.from_parts(part.state.to_tensors(), part.state.to_metadata())
        again = solver.solve(BOX, target, state=state)
        assert torch.equal(again.potential.heights, whole.potential.heights)
        assert (again.samples, again.history) == (whole.samples, whole.history)


def test_the_start_is_judged_on_draws_of_its_own(solved):
    """No draw of the evaluation stream moves a height: the heights are those of the fitting rows."""
    y, earlier = solved
    target, solver = DiscreteMeasure.uniform(y), StochasticNewton(tolerance=0.3, seed=9)
    found = solver.solve(BOX, target, initial_heights=earlier.potential.heights)
    assert (found.steps, found.converged) == (0, True)
    torch.testing.assert_close(
        found.potential.heights, earlier.potential.heights, atol=1e-6, rtol=1e-6
    )
    again = survey_cells(
        found.potential, BOX, 2**16, seed=9, start=2**20, stream=Stream.EVALUATION
    ).mass_error(target.weights)[0]
    low, high = found.mass_error_interval
    assert low - 0.02 < again < high + 0.02
