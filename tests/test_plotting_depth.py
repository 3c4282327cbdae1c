"""Pictures of depth: the curves drawn are the curves given, predictions where theory puts them."""

import numpy as np
import pytest
from scipy.special import ndtr

from ot_latent import plotting
from ot_latent._validation import DataError
from ot_latent.theory import depth


@pytest.fixture(scope="module")
def simulated():
    curves, predictions = {}, {}
    for width in (1, 4):
        x0, label = np.full(width, 0.5), f"N = {width}"
        predictions[label] = depth.predicted_cutoff(width, 0.6, 1e-20, x0)
        curves[label] = depth.survival_curve(
            depth.RandomLayer(width, 0.6), x0, rho=1e-20, depth=150, chains=64
        )
    return curves, predictions


def test_survival_curves_carry_their_predictions(simulated):
    curves, predictions = simulated
    ax = plotting.survival_curves(curves, predictions, title="two widths")
    assert ax.get_title(loc="left") == "two widths"
    lines = {line.get_label(): line for line in ax.lines}
    for label, curve in curves.items():
        np.testing.assert_allclose(lines[label].get_ydata(), curve.probability)
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(dots, [found.centre for found in predictions.values()])
    plain = plotting.survival_curves(curves)
    assert len(plain.lines) == len(curves)


def test_collapse_is_in_units_of_the_window(simulated):
    ax = plotting.survival_collapse(*simulated)
    curve = ax.lines[0]
    found = simulated[1]["N = 1"]
    np.testing.assert_allclose(
        curve.get_xdata() * found.window + found.centre, np.arange(151), atol=1e-9
    )
    limit = ax.lines[-1]
    np.testing.assert_allclose(limit.get_ydata(), ndtr(-np.asarray(limit.get_xdata())))


def test_trainability_shows_suggestion_cutoff_and_chance():
    ax = plotting.trainability(
        [1, 10, 100],
        {"a": [[0.9, 1.0], [0.5, 0.7], [0.1, 0.1]], "b": [0.9, 0.9, 0.9]},
        suggested={"a": 7},
        cutoffs={"a": (8.0, 16.0)},
        chance=0.1,
    )
    means = next(line for line in ax.lines if line.get_label() == "a")
    np.testing.assert_allclose(means.get_ydata(), [0.95, 0.6, 0.1])
    assert [patch.get_label() for patch in ax.patches]
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"a", "b", "chance", "predicted cut-off", "suggested depth"}


def test_refusals():
    with pytest.raises(DataError, match="curves must hold at least one, got none"):
        plotting.survival_curves({})
    with pytest.raises(DataError, match="labels must be among a, got 'b'"):
        plotting.trainability([1], {"a": [0.5]}, suggested={"b": 3})
    with pytest.raises(DataError, match="same number of rows"):
        plotting.trainability([1, 2], {"a": [0.5]})
