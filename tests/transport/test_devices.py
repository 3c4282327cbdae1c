"""Where targets lie on another device, everything that meets them goes there; results are the same."""

from __future__ import annotations

import pytest
import torch
from elsewhere import AWAY, Elsewhere, There

from ot_latent.transport.draws import draw_cells
from ot_latent.transport.extension import ExtendedMap
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.sources import Gaussian, UniformBox
from ot_latent.transport.stochastic import StochasticNewton

SOURCES = {"box": UniformBox.unit(6), "gaussian": Gaussian.standard(6)}


def cloud():
    return torch.rand(150, 6, generator=torch.Generator().manual_seed(0))


def test_the_stand_in_refuses_to_mix():
    with Elsewhere():
        there = torch.ones(3).to(AWAY)
        assert isinstance(there, There)
        assert there.device == AWAY
        assert (2 * there + there).sum() == 9
        assert there.cpu().tolist() == there.tolist() == [1, 1, 1]
        assert there[torch.tensor([0])].tolist() == [1]  # an index may come from the CPU
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["crossed", "independent"])
def test_a_solve_elsewhere_is_the_solve_here(name, kind):
    solver = StochasticNewton(tolerance=0.3, sampling=kind)
    here = solver.solve(SOURCES[name], DiscreteMeasure.uniform(cloud()))
    with Elsewhere():
        target = DiscreteMeasure.uniform(cloud().to(AWAY))
        there = solver.solve(SOURCES[name], target)
        for field in ("heights", "points"):
            assert getattr(there.potential, field).device == AWAY
        assert there.converged
        assert there.centroids.device == AWAY
        torch.testing.assert_close(there.centroids.cpu(), here.centroids, atol=1e-4, rtol=1e-4)
        heights = there.potential.heights.cpu()
    torch.testing.assert_close(heights, here.potential.heights, atol=1e-5, rtol=1e-5)
    assert there.mass_error == pytest.approx(here.mass_error, rel=1e-3)
    assert there.cost == pytest.approx(here.cost, rel=1e-5)


@pytest.mark.parametrize("kind", ["affine", "noise", "none"])
def test_a_map_elsewhere_is_the_map_here(kind):
    source, groups = SOURCES["box"], torch.arange(150) % 3
    solver = StochasticNewton(tolerance=0.3, sampling="independent")
    found = []
    for place in ("cpu", AWAY):
        with Elsewhere():
            solution = solver.solve(source, DiscreteMeasure.uniform(cloud().to(place)))
            known = solution.potential, solution.centroids, solution.within_scale
            map_ = ExtendedMap.build(*known, kind=kind, groups=groups, neighbours=8)
            x, cells = draw_cells(source, map_, 20, seed=1, stratified=kind == "noise")
            codes = map_(x, seed=2)
            assert x.device == cells.device == codes.device == torch.device(place)
            found.append((x.cpu(), cells.cpu(), codes.cpu(), solution.potential.semidual().cpu()))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)
