"""Groups of targets get their masses by one number each."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport.group_shift import group_shift
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import UniformBall, UniformBox


@pytest.mark.parametrize("goal", [[0.2, 0.3, 0.5], [0.98, 0.01, 0.01], [0.05, 0.9, 0.05]])
@pytest.mark.parametrize(
    "source", [UniformBox.centered(6), UniformBall(6, 3.0)], ids=["box", "ball"]
)
def test_groups_get_their_masses(source, goal):
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(90) % 3
    points = torch.randn(90, 6, generator=generator) + 2 * groups[:, None]
    u = BrenierPotential(points, -points.square().sum(dim=1) / 2)
    goal = torch.tensor(goal, dtype=torch.float64)
    shift = group_shift(u, source, groups, goal, seed=1)
    assert all(len(shift[groups == g].unique()) == 1 for g in range(3))
    x = source.sample(2**16, seed=2, dtype=torch.float32)
    cells = u.with_heights(u.heights + shift).cell_index(x)
    found = torch.bincount(groups[cells], minlength=3) / 2**16
    assert ((found - goal).abs() < 0.004 + 0.03 * goal).all()
    # heights that are right already stay
    again = group_shift(u.with_heights(u.heights + shift), source, groups, goal, seed=3)
    assert again.std() < 0.1 * shift.std()
