"""The second opinion: POT's solver agrees with a closed form and is judged on fresh noise."""

import pytest
import torch

from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.pot import PotSolver
from ot_latent.transport.solution import ConvergenceWarning, Status
from ot_latent.transport.sources import UniformBox


def test_two_targets_on_a_line_are_cut_at_their_masses():
    target = DiscreteMeasure(torch.tensor([[0.0], [1.0]]), torch.tensor([0.3, 0.7]))
    solution = PotSolver(tolerance=0.1, max_samples=2**16).solve(UniformBox.unit(1), target)
    assert solution.status is Status.CONVERGED
    cut = float(solution.potential.heights[0] - solution.potential.heights[1])
    assert cut == pytest.approx(0.3, abs=0.02)  # x < h_0 - h_1 lies in cell 0
    torch.testing.assert_close(
        solution.centroids, torch.tensor([[0.15], [0.65]]), atol=0.02, rtol=0
    )


def test_budget_is_honoured_and_told():
    points = UniformBox.centered(4).sample(100, seed=0, dtype=torch.float32)
    target, source = DiscreteMeasure.uniform(points), UniformBox.centered(4)
    with pytest.warns(ConvergenceWarning, match="SAMPLE_BUDGET"):
        solution = PotSolver(tolerance=1e-6, max_samples=2560).solve(source, target)
    assert solution.samples == 2560
    again = PotSolver(tolerance=9.0, max_samples=2560).solve(source, target)
    assert torch.equal(solution.potential.heights, again.potential.heights)
