"""Pictures of hierarchies: what is drawn is what was given."""

import numpy as np
import pytest

from ot_latent._validation import DataError
from ot_latent.plotting.hierarchy import data_tree, learning_curves, sensitivities
from ot_latent.plotting.style import close
from ot_latent.theory.hierarchy import RandomHierarchy, Ratio, SparseRandomHierarchy


@pytest.mark.parametrize(
    "model",
    [
        RandomHierarchy(vocabulary=4, classes=3, synonyms=4, levels=3),
        SparseRandomHierarchy(vocabulary=3, classes=3, synonyms=4, children=3, zeros=1),
        SparseRandomHierarchy(levels=4, zeros=1, placement="B"),
    ],
    ids=["dense", "triples", "long"],
)
def test_every_node_lies_in_its_place_below_its_parent(model):
    trees = model.sample(3, seed=0)
    ax = data_tree(model, trees, row=2)
    discs = [
        c for c in ax.collections if (c.get_offsets()[:, 1] >= 0).all() and len(c.get_offsets())
    ]
    leaves = discs[-1].get_offsets()
    assert np.allclose(leaves[:, 0], model.locations(trees)[2] + 0.5)
    assert (leaves[:, 1] == 0).all()
    inner = model.nodes - 1 + model.children**model.levels
    assert len(ax.lines) == inner  # one branch per node but the class
    written = [t.get_text() for t in ax.texts]
    assert written[0] == str(trees.labels[2] + 1)
    close(ax.figure)


def test_curves_are_drawn_as_measured_and_rescaled():
    sizes = np.array([10, 100])
    errors = np.array([[0.8, 0.2], [0.6, 0.0]])
    figure = learning_curves(
        {"a": (sizes, errors), "b": (4 * sizes, errors[0])}, [5, 20], chance=0.9, threshold=0.1
    )
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == pytest.approx([0.7, 0.1])
    assert left.lines[0].get_xdata().tolist() == [10, 100]
    assert right.lines[0].get_xdata().tolist() == right.lines[1].get_xdata().tolist() == [2, 20]
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["a", "b"]
    close(figure)
    with pytest.raises(DataError, match="scales must hold one number per curve, got 1 for 2"):
        learning_curves({"a": (sizes, errors), "b": (sizes, errors)}, [5])
    with pytest.raises(DataError, match="errors must have one value per size"):
        learning_curves({"a": (sizes, errors[:, :1])}, [5])


def test_sensitivities_are_drawn_layer_by_layer():
    found = {"input": Ratio(0.8, 0.02), "output": Ratio(0.1, float("nan"))}
    ax = sensitivities({"synonyms": found, "places": found}, names=["string", "class"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["string", "class"]
    assert len(ax.containers) == 2
    assert ax.containers[0][0].get_ydata().tolist() == [0.8, 0.1]
    close(ax.figure)
