"""Going on from an earlier solution when targets came or went."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.refit import known_targets
from ot_latent.transport.sources import UniformBox
from ot_latent.transport.stochastic import StochasticNewton


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
