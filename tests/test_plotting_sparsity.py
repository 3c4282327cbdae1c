"""Pictures of shallow networks: every kink is drawn, where it lies and as sharp as it is."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from ot_latent import plotting
from ot_latent._validation import DataError
from ot_latent.theory.sparsity import ShallowNetwork, merge_duplicates, min_rtv2_interpolant_1d

PLANE = ShallowNetwork.build(
    [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]],
    [0.25, -1.0, -9.0, 5.0, 1.0],
    [[1.0], [-1.0], [1.0], [1.0], [1.0]],
)


def test_kinks_of_a_line_are_marked_at_their_places():
    x, y = np.arange(5.0), np.array([0, 0, 1, 3, 6.0])
    nets = {
        "all": min_rtv2_interpolant_1d(x, y),
        "few": min_rtv2_interpolant_1d(x, y, sparsest=True),
    }
    ax = plotting.line_fits(nets, x, y, title="two")
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(m.get_xdata()) for m in marks] == [3, 2]
    assert marks[0].get_xdata().tolist() == [1, 2, 3]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["all", "few", "data"]
    with pytest.raises(DataError, match="networks must have one input, got 2; draw those of two"):
        plotting.line_fits({"plane": PLANE}, x, y)


def test_kinks_in_the_plane_are_lines_inside_the_square_as_wide_as_they_are_sharp():
    net = merge_duplicates(PLANE)
    ax = plotting.kink_map(net, np.zeros((3, 2)))
    (lines,) = (c for c in ax.collections if type(c) is LineCollection)
    found = {tuple(sorted(map(tuple, p.vertices.round(9).tolist()))) for p in lines.get_paths()}
    assert found == {((-1.0, 0.5), (1.0, 0.5)), ((-0.25, -1.0), (-0.25, 1.0))}
    assert max(lines.get_linewidths()) > min(lines.get_linewidths())
    assert len({tuple(c) for c in lines.get_colors()}) == 2
    with pytest.raises(DataError, match="network must have two inputs, got 1"):
        plotting.kink_map(min_rtv2_interpolant_1d([0, 1, 2], [0, 1, 0]))


def test_sizes_fall_and_zeros_lie_on_the_floor():
    ax = plotting.unit_sizes({"a": [0.0, 3.0, 1.0], "b": [2.0, 2.0, 2.0]}, bound=2)
    first = ax.lines[0].get_ydata()
    assert first[:2].tolist() == [3.0, 1.0]
    assert first[2] == pytest.approx(3e-9)
    with pytest.raises(DataError, match="sizes must hold a positive number, got zeros only"):
        plotting.unit_sizes({"a": [0.0, 0.0]})


def test_rates_are_fitted_and_the_theory_is_drawn_beside_them():
    rows = [64, 128, 256]
    ax = plotting.error_rates(
        rows, {"net": [1.0, 0.5, 0.25], "kernel": [1.0, 1.0, 1.0]}, slopes={"net": -0.5}
    )
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["net: slope -1.00", "theory: -0.50", "kernel: slope 0.00"]
    with pytest.raises(DataError, match="errors of net must be one per number of rows, got 2"):
        plotting.error_rates(rows, {"net": [1.0, 0.5]})
