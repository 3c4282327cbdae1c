"""Pictures of exact diagrams: what is drawn is the diagram, whole and in its colours."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from PIL import Image

from ot_latent import plotting
from ot_latent._validation import DataError
from ot_latent.plotting.brenier import polyhedra
from ot_latent.transport import (
    BrenierPotential,
    DampedNewton,
    DiscreteMeasure,
    PowerDiagram,
    UniformBox,
)


@pytest.fixture(scope="module")
def states():
    points = np.random.default_rng(0).normal(size=(40, 2))
    source, target = UniformBox.centered(2), DiscreteMeasure.uniform(points)
    solver, seen = DampedNewton(), []
    first = solver.init(source, target)
    solver.solve(source, target, state=first, callback=seen.append)
    return [first, *seen]


@pytest.fixture(scope="module")
def diagram(states):
    return states[-1].diagram


def drawn(ax, kind):
    return [c for c in ax.collections if isinstance(c, kind)]


def test_every_cell_is_drawn_with_its_area(diagram):
    ax = plotting.power_diagram(diagram, edges=True)
    paths = [p for c in drawn(ax, PolyCollection) for p in c.get_paths()]
    assert len(paths) == 40
    turned = [(p.vertices[:-1], np.roll(p.vertices[:-1], -1, axis=0)) for p in paths]
    areas = [0.5 * abs((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) for a, b in turned]
    np.testing.assert_allclose(sorted(areas), sorted(diagram.volumes.numpy()), rtol=1e-6)


def test_options_add_sites_centroids_arrows_and_tears(diagram):
    plain = plotting.power_diagram(diagram)
    full = plotting.power_diagram(
        diagram, color=np.arange(40.0), bar="mass", sites=True, centroids=True, arrows=True,
        singular_set=True, title="all",
    )  # fmt: skip
    assert len(full.collections) > len(plain.collections)
    assert drawn(full, LineCollection)
    assert full.get_title(loc="left") == "all"


def test_colours_have_one_row_per_cell(diagram):
    with pytest.raises(DataError, match="color must be one colour"):
        plotting.power_diagram(diagram, color=np.arange(3.0))


def test_the_dual_has_a_face_per_vertex_and_a_vertex_per_face(diagram):
    primal, dual = polyhedra(diagram)
    assert len(primal.faces) == 40
    assert len(dual.corners) == 40
    np.testing.assert_allclose(
        np.sort(primal.face_colours, axis=0), np.sort(dual.corner_colours, axis=0)
    )
    assert len(primal.corners) <= len(dual.faces)
    assert len(primal.edges) <= len(dual.edges)
    figure = plotting.brenier_potential(diagram, title="plate")
    assert len(figure.axes) == 2


def test_strip_and_gif_show_every_state(states, tmp_path):
    figure = plotting.newton_strip(states)
    text = " ".join(t.get_text() for ax in figure.axes for t in [*ax.texts, ax.xaxis.label])
    assert "largest error" in text
    plotting.newton_gif(states, tmp_path / "way.gif", between=1, pixels=80)
    with Image.open(tmp_path / "way.gif") as film:
        assert film.n_frames >= len(states)
    with pytest.raises(ValueError, match="between must be 0 or more"):
        plotting.newton_gif(states, tmp_path / "no.gif", between=-1)
    with pytest.raises(DataError, match="at least one state"):
        plotting.newton_strip([])
    with pytest.raises(DataError, match="one entry per cell"):
        plotting.newton_strip(states, weights=[1.0])


def test_a_slice_of_a_diagram_in_space_is_a_diagram_in_the_plane():
    points = np.random.default_rng(1).normal(size=(60, 3))
    box = UniformBox.centered(3)
    u = DampedNewton().solve(box, DiscreteMeasure.uniform(points)).potential
    flat = plotting.slice_diagram(u, box.low, box.high, 0.3)
    x = UniformBox.centered(2).sample(500, seed=0)
    space = torch.cat([x, torch.full((500, 1), 0.3, dtype=torch.float64)], dim=1)
    assert torch.equal(flat.potential.cell_index(x), u.cell_index(space))
    figure = plotting.power_slices(u, box.low, box.high, levels=3)
    assert len(figure.axes) == 3
    with pytest.raises(ValueError, match="dimension 3"):
        plotting.slice_diagram(flat.potential, box.low, box.high, 0.0)
    with pytest.raises(ValueError, match="three entries"):
        plotting.power_slices(u, [0, 0], [1, 1])


def test_a_diagram_in_space_is_not_drawn_flat():
    u = BrenierPotential(torch.eye(3), torch.zeros(3))
    with pytest.raises(ValueError, match="plane"):
        plotting.power_diagram(PowerDiagram(UniformBox.unit(3), u))
