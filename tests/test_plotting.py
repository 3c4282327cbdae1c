"""Figures show the data they get, on the axes they get, and leave nothing open."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from ot_latent import plotting
from ot_latent.transport import BrenierPotential, UniformBall, UniformBox

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 9, 11), dtype=np.uint8)
HISTORY = {
    "samples": (100.0, 1000.0, 10000.0),
    "rms": (1.0, 0.4, 0.12),
    "limit": (0.9, 0.3, 0.09),
}


@pytest.fixture(autouse=True)
def nothing_stays_open():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before  # style is a context, never global


@pytest.fixture
def ax():
    return plt.subplots()[1]


def potential():
    return BrenierPotential([[-0.5, 0.0], [0.5, 0.0]], [0.0, 0.0])


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plotting.image_grid(IMAGES, ax=ax),
        lambda ax: plotting.reconstructions(IMAGES, IMAGES, ax=ax),
        lambda ax: plotting.interpolation([IMAGES[:4], IMAGES[3:]], ax=ax),
        lambda ax: plotting.convergence(HISTORY, mass_error=0.1, interval=(0.09, 0.11), ax=ax),
        lambda ax: plotting.modes([3, 1], [2, 2], n=4, ax=ax),
        lambda ax: plotting.novelty(RNG.random(50), RNG.random(50), ax=ax),
        lambda ax: plotting.loss_curves({"train_loss": [3.0, 2.0, 1.0]}, ax=ax),
        lambda ax: plotting.codes_2d(RNG.random((20, 2)), RNG.integers(2, size=20), ax=ax),
        lambda ax: plotting.cells_2d(
            potential(), UniformBox.centered(2), [0, 1], resolution=40, ax=ax
        ),
    ],
)
def test_axes_are_those_given_and_get_something(draw, ax):
    assert draw(ax) is ax
    assert ax.has_data() or ax.images or ax.patches


def test_mosaic_holds_every_pixel():
    sheet = plotting.mosaic(IMAGES, columns=3, padding=2)
    assert sheet.shape == (3 * 9 + 4 * 2, 3 * 11 + 4 * 2, 3) or sheet.shape[2] == 3
    grey = sheet[..., 0]
    found = any(
        np.array_equal(grey[i : i + 9, j : j + 11], IMAGES[4])
        for i in range(grey.shape[0] - 8)
        for j in range(grey.shape[1] - 10)
    )
    assert found


def test_convergence_draws_error_limit_and_interval(ax):
    plotting.convergence(HISTORY, mass_error=0.1, interval=(0.08, 0.13), tolerance=0.1, ax=ax)
    lines = {line.get_label(): line for line in ax.get_lines()}
    limit = lines["statistical limit"]
    np.testing.assert_allclose(
        limit.get_xydata(), list(zip(HISTORY["samples"], HISTORY["limit"], strict=True))
    )
    error = lines["averaged heights, on noise never used"]
    np.testing.assert_allclose(error.get_ydata(), HISTORY["rms"])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_convergence_of_exact_steps_sets_damped_ones_apart(ax):
    history = {"error": (0.9, 0.3, 1e-3, 0.0), "step_length": (1.0, 0.5, 1.0, 1.0)}
    plotting.convergence(history, mass_error=0.0, interval=(0.0, 0.0), tolerance=1e-6, ax=ax)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["damped"].get_xydata().tolist() == [[1.0, 0.3]]
    assert lines["full step"].get_xdata().tolist() == [0, 2, 3]
    assert lines["full step"].get_ydata()[-1] > 0  # an error of zero has a place on the scale
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    one = plotting.convergence({"error": (1e-9,)}, title="closed form")
    assert one.get_title(loc="left") == "closed form"


def test_modes_draw_shares_not_counts(ax):
    plotting.modes([30, 10], [5, 15], names=["a", "b"], n=20, ax=ax)
    heights = sorted(round(p.get_height(), 6) for p in ax.patches)
    assert heights == [0.25, 0.25, 0.75, 0.75]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]


def test_cells_split_the_square_where_the_potential_does(ax):
    plotting.cells_2d(potential(), UniformBall(2), [0, 1], resolution=60, ax=ax)
    pixels = np.asarray(ax.images[0].get_array())
    left, right = pixels[30, 10], pixels[30, 50]
    assert not np.array_equal(left, right)
    assert np.array_equal(left, pixels[10, 10])


def test_exact_cells_are_polygons_and_tears_black_lines(ax):
    y = np.r_[np.linspace(0.0, 0.4, 6), np.linspace(3.0, 3.4, 6)]  # two groups on a line
    heights = -np.cumsum(np.r_[0, np.diff(y)] * np.arange(12) / 12)
    strips = BrenierPotential(np.stack([y, 0 * y], axis=1), heights)
    plotting.cells_2d(strips, UniformBox.unit(2), np.arange(12) // 6, ax=ax)
    cells, tears = ax.collections
    assert [len(p.vertices) for p in cells.get_paths()] == [5] * 12  # closed
    (line,) = tears.get_segments()
    np.testing.assert_allclose(line[:, 0], 0.5)
    assert tears.get_colors()[0].tolist() == [0, 0, 0, 1]  # a wide one: full strength
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 1), (0, 1))
    assert not np.array_equal(*cells.get_facecolor()[[0, 6]])


def test_a_changed_input_changes_the_picture():
    pages = []
    for shift in (0.0, 0.0, 0.5):
        axes = plotting.novelty(np.linspace(0, 1, 40) + shift, np.linspace(0, 1, 40))
        pages.append(plotting.to_svg(axes.figure))
    assert pages[0] == pages[1] != pages[2]


def test_manifold_evidence_draws_both_panels():
    figure = plotting.manifold_evidence(
        dimensions={"data": 4.0, "codes": 6.0}, projection={0.1: 0.7, 0.2: 0.5}, latent_dim=8
    )
    assert len(figure.axes) == 2


def test_saved_image_is_a_png(tmp_path):
    target = tmp_path / "sheet.png"
    plotting.save_image(target, plotting.mosaic(IMAGES), scale=2)
    assert target.read_bytes().startswith(b"\x89PNG")


def test_refusals():
    with pytest.raises(ValueError, match="images"):
        plotting.image_grid(np.zeros((2, 3)))
