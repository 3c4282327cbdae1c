"""The latent dimension that is suggested: known ones are found, and what is not known is said."""

import dataclasses

import numpy as np
import pytest

from ot_latent import DataError, LatentDimSuggestion, plotting, suggest_latent_dim
from ot_latent.config import AutoencoderConfig
from ot_latent.metrics.manifolds import TorusPatch

SMALL = AutoencoderConfig(width=8)


def plane(n=600, ambient=50):
    rng = np.random.default_rng(0)
    return rng.random((n, 2)) @ np.linalg.qr(rng.standard_normal((ambient, 2)))[0].T


def suggest(X, **options):
    return suggest_latent_dim(X, **{"autoencoder": SMALL, "device": "cpu"} | options)


@pytest.fixture(scope="module")
def flat():
    return suggest(plane(), dims=(4, 1, 2, 2), epochs=20)


def test_a_plane_has_two_dimensions(flat):
    assert (flat.dims, flat.suggested, flat.rows) == ((1, 2, 4), 2, 600)
    assert (round(flat.two_nn), round(flat.lpca), flat.agree) == (2, 2, True)
    assert flat.errors[0] > 5 * flat.errors[1]
    assert flat.linear_errors[1:] == pytest.approx((0.0, 0.0), abs=1e-5)
    assert "latent_dim=2 (a heuristic)" in str(flat)
    assert "they agree." in flat.advice
    assert "agree on less" in dataclasses.replace(flat, suggested=4).advice


def test_components_lose_the_variance_they_do_not_span(flat):
    """Errors of the linear curve are exact: one direction of an isotropic square is half of it."""
    rng = np.random.default_rng(1)
    found = suggest(rng.random((400, 2)), dims=(1, 2), epochs=1)
    assert found.linear_errors[0] == pytest.approx(0.5**0.5, abs=0.06)
    assert found.linear_errors[1] == pytest.approx(0.0, abs=1e-6)


def test_a_torus_patch_has_two_and_no_plane_holds_it():
    found = suggest(TorusPatch().sample(1000, seed=1).points, dims=(1, 2, 3), epochs=20)
    assert found.suggested == round(found.two_nn) == round(found.lpca) == 2
    assert found.errors[1] < found.linear_errors[1] / 3  # it is curved


def test_noise_makes_the_estimates_disagree():
    noisy = TorusPatch().sample(800, seed=1, noise=0.02).points
    found = suggest(noisy, dims=(1, 2, 3), epochs=4)
    assert round(found.lpca) == 2
    assert found.two_nn > 6
    assert not found.agree
    assert "they disagree" in found.advice
    assert 2 <= found.suggested <= 3


def test_digits_ask_for_more_than_was_tried_and_repeat_bit_for_bit():
    from sklearn.datasets import load_digits

    images = load_digits().images[:300]
    doubled = np.concatenate([images, images])
    first, second = (suggest(doubled, rows=600, epochs=1, dims=(2, 8, 16), seed=3) for _ in "ab")
    assert first == second
    assert first.rows == 300  # copies count once
    assert 3 < first.lpca < 12
    last = dataclasses.replace(first, suggested=16)
    assert "no dimension above it was tried" in last.advice


def test_the_grid_of_its_own_holds_the_estimates_and_fits_the_rows():
    rng = np.random.default_rng(0)
    found = suggest(rng.standard_normal((300, 5)), epochs=1)
    expected = {1, 2, 4, *(min(d, 5) for d in (round(found.two_nn), round(found.lpca)))}
    assert set(found.dims) == expected


def test_refusals():
    x = plane(60, 6)
    with pytest.raises(DataError, match="X must have at least 40 rows"):
        suggest(x[:39])
    with pytest.raises(DataError, match="X must have at least 40 distinct rows, got 30 among 60"):
        suggest(np.concatenate([x[:30], x[:30]]))
    for dims, words in {
        (3,): r"dims must hold at least two dimensions, got \(3,\)",
        (2, 0): "dims must be a positive integer, got 0",
        (2, 7): "dims must not exceed the 6 values of a row of X, got 7",
    }.items():
        with pytest.raises(ValueError, match=words):
            suggest(x, dims=dims)
    for options, words in {
        ("tolerance", 1.0): "tolerance must be below 1, got 1.0; try",
        ("tolerance", 0.0): "tolerance must be a positive number",
        ("rows", 39): "rows must be at least 40, got 39",
        ("epochs", 0): "epochs must be a positive integer",
    }.items():
        with pytest.raises(ValueError, match=words):
            suggest(x, **{options[0]: options[1]})


def test_the_panel_shows_curve_estimates_and_choice():
    from matplotlib.figure import Figure

    found = LatentDimSuggestion(4, (1, 2, 4, 8), (0.9, 0.6, 0.3, 0.28), (0.95, 0.8, 0.6, 0.4),
                                6.4, 3.6, 0.05, 500)  # fmt: skip
    ax = Figure().subplots()
    drawn = plotting.reconstruction_curve(
        found.dims, found.errors, linear_errors=found.linear_errors, suggested=found.suggested,
        estimates={"TwoNN": found.two_nn, "lPCA": found.lpca}, ax=ax,
    )  # fmt: skip
    assert drawn is ax
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"TwoNN: 6.4", "lPCA: 3.6", "suggested: 4"} <= set(words)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), found.errors)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "4", "8"]
    assert plotting.reconstruction_curve((1, 2), (0.5, 0.4)).get_title(loc="left")
    with pytest.raises(DataError, match="dims and errors must have the same number of rows"):
        plotting.reconstruction_curve((1, 2), (0.5,))
    with pytest.raises(DataError, match="dims and linear_errors must have the same number"):
        plotting.reconstruction_curve((1, 2), (0.5, 0.4), linear_errors=(0.5,))
    with pytest.raises(DataError, match="suggested must be one of dims, got 3"):
        plotting.reconstruction_curve((1, 2), (0.5, 0.4), suggested=3)
    with pytest.raises(DataError, match="estimates must be at most 3, got 4"):
        plotting.reconstruction_curve((1, 2), (0.5, 0.4), estimates=dict.fromkeys("abcd", 1.0))
