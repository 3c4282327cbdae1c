"""Smooth deformations and relative stability: golden values, exact moments, and what does not move."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from ot_latent._validation import DataError
from ot_latent.theory.hierarchy import (
    deform,
    max_entropy_deformation,
    mode_sums,
    relative_stability,
    temperature,
    temperature_range,
)


def images(n=5, side=16, seed=0):
    return np.random.default_rng(seed).random((n, side, side))


# -- golden values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cut", "every", "centre", "at_centre", "in_image"),
    [
        (2, 0.9, 0.5, 1.355, 0.909),
        (3, 1.225, 0.7, 1.274, 0.843),
        (4, 1.652049, 0.755556, 1.178, 0.871),
        (5, 1.877937, 0.832479, 1.148, 0.862),
        (10, 2.796235, 1.088496, 1.097, 0.879),
        (20, 3.790264, 1.348924, 1.071, 0.898),
    ],
)
def test_mode_sums_and_true_lengths(cut, every, centre, at_centre, in_image):
    assert mode_sums(cut) == pytest.approx((every, centre), abs=5e-7)
    nominal = temperature(1.0, side=32, cut=cut)
    for at, factor in (("centre", at_centre), ("image", in_image)):
        true = np.sqrt(nominal / temperature(1.0, side=32, cut=cut, at=at))
        assert true == pytest.approx(factor, abs=6e-4)


def test_golden_temperatures():
    assert temperature(1.0, side=32) == pytest.approx(1.131790e-3, rel=1e-6)
    low, high = temperature_range(side=32)
    assert low == pytest.approx(2.829474e-4, rel=4e-7)
    assert high == pytest.approx(1.3047e-2, abs=5e-7)
    assert high == pytest.approx(4 / (np.pi**3 * 9 * np.log(3)), rel=1e-12)
    assert temperature(0.0, side=32) == 0


@pytest.mark.parametrize("cut", [2, 3, 5])
def test_displacements_are_as_long_as_asked_for(cut):
    side = 33  # has a pixel at the centre
    hot = {at: temperature(1.5, side=side, cut=cut, at=at) for at in ("centre", "image")}
    field = max_entropy_deformation(4000, (side, side), hot["centre"], cut=cut, seed=0)
    centre = (field[:, :, 16, 16] ** 2).sum(1).mean().sqrt()
    assert float(centre) == pytest.approx(1.5, rel=0.03)
    field = max_entropy_deformation(1000, (side, side), hot["image"], cut=cut, seed=1)
    inside = (field**2).sum(1).mean(0).sum() / (side - 1) ** 2  # the trapezoidal mean is exact
    assert float(inside.sqrt()) == pytest.approx(1.5, rel=0.03)


# -- deformations ----------------------------------------------------------------------------------


def test_nothing_moves_at_temperature_zero_and_the_border_never():
    field = max_entropy_deformation(5, (16, 16), 0.0, seed=0)
    assert np.array_equal(deform(images(), field), images())
    field = max_entropy_deformation(5, (16, 16), 0.02, seed=0)
    moved = deform(images(), field)
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert np.array_equal(moved[edge], images()[edge])
    assert not np.array_equal(moved, images())


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_whole_pixels_are_shifted_and_clamped(right, down):
    x = images(2, 8)
    rows, columns = (np.arange(8) - k for k in (down, right))
    expected = x[:, rows.clip(0, 7)][:, :, columns.clip(0, 7)]
    field = np.broadcast_to(np.array([right, down], float)[:, None, None], (2, 8, 8))
    assert np.allclose(deform(x, field), expected, atol=1e-12)


@given(st.floats(-4, 4), st.floats(-4, 4))
def test_planes_are_moved_exactly(right, down):
    """Bilinear interpolation is exact for affine images: a(x) at p - displacement, clamped."""
    y, x = np.mgrid[:9, :9].astype(float)
    field = np.stack([np.full((9, 9), right), np.full((9, 9), down)])
    expected = 2 * (x - right).clip(0, 8) - 3 * (y - down).clip(0, 8)
    assert np.allclose(deform((2 * x - 3 * y)[None], field)[0], expected, atol=1e-9)


def test_channels_move_together_and_tensors_stay_tensors():
    x = torch.from_numpy(images(4, 12)).float()
    field = max_entropy_deformation(4, (12, 12), 0.01, seed=3)
    colour = torch.stack([x, 2 * x], dim=1)
    moved = deform(colour, field)
    assert moved.dtype == torch.float32
    assert torch.allclose(moved[:, 1], 2 * moved[:, 0], atol=1e-6)
    assert torch.equal(moved[:, 0], deform(x, field))


def test_fields_of_oblong_images_and_rows_that_depend_on_their_number_alone():
    whole = max_entropy_deformation(1500, (6, 9), 0.01, seed=4)
    assert whole.shape == (1500, 2, 6, 9)
    part = max_entropy_deformation(20, (6, 9), 0.01, seed=4, start=1020)
    assert torch.equal(whole[1020:1040], part)
    assert not whole[:, :, [0, -1]].any()
    assert not whole[:, :, :, [0, -1]].any()


def test_components_are_independent_and_modes_fall_with_frequency():
    field = max_entropy_deformation(3000, (33, 33), 1.0, cut=3, seed=0).double()
    t = np.linspace(0, 1, 33)
    modes = torch.from_numpy(np.sin(np.pi * np.arange(1, 4)[:, None] * t))
    found = torch.einsum("nahw,jh,iw->naij", field, modes, modes) * 4 / 32**2 / 33
    variance = found.var(dim=0)
    for i in range(1, 4):
        for j in range(1, 4):
            wanted = 1 / (i * i + j * j) if i * i + j * j < 3.5**2 else 0.0
            assert variance[:, i - 1, j - 1].tolist() == pytest.approx([wanted] * 2, rel=0.1)
    joint = torch.corrcoef(found[:, :, 0, 0].T)[0, 1]
    assert abs(float(joint)) < 0.06


# -- relative stability ----------------------------------------------------------------------------


def smooth_images(n, side):
    """Images with little power at high frequencies, so that deformations mean something."""
    y, x = np.mgrid[:side, :side] / side
    rng = np.random.default_rng(1)
    parts = [np.sin(np.pi * (i * x + j * y)) for i in (1, 2, 3) for j in (1, 2, 3)]
    return torch.from_numpy(np.tensordot(rng.normal(size=(n, 9)), parts, axes=1)).float()


def test_random_isotropic_linear_maps_have_relative_stability_one():
    x = smooth_images(60, 12)
    values = []
    for seed in range(40):
        weight = torch.randn(144, 30, generator=torch.Generator().manual_seed(seed))
        found = relative_stability(lambda t, w=weight: t.flatten(1) @ w, x, delta=0.7, seed=seed)
        values.append(found["output"].relative.value)
        assert found["input"].relative.value == pytest.approx(1.0, abs=1e-5)
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(1.0, abs=4 * error + 1e-3)


def test_blurring_is_more_stable_to_noise_than_to_deformations():
    """A low-pass filter removes noise but not the change of a smooth image: R > 1; D is as defined."""
    x = smooth_images(80, 16)[:, None]
    blur = torch.nn.AvgPool2d(4)
    found = relative_stability(blur, x, delta=1.0, seed=0)["output"]
    assert found.relative.value > 2
    assert found.relative.value == pytest.approx(found.deformation.value / found.noise.value)
    assert 0 < found.relative.error < 1


def test_a_constant_map_has_no_relative_stability():
    found = relative_stability(lambda t: t.flatten(1)[:, :1] * 0, smooth_images(5, 8))
    assert np.isnan(found["output"].relative.value)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_sums(1), "cut must be at least 2, .* got 1; pass 3"),
        (lambda: temperature(-1, side=8), "delta must be a non-negative number of pixels, got -1"),
        (lambda: temperature(1, side=0), "side must be a positive integer"),
        (lambda: temperature(1, side=8, at="edge"), "at must be 'nominal', 'centre' or 'image'"),
        (lambda: max_entropy_deformation(1, (8, 8), -1.0, seed=0), "temperature must be a non-neg"),
        (lambda: max_entropy_deformation(1, (1, 8), 1.0, seed=0), "at least 2 pixels, got"),
        (lambda: max_entropy_deformation(0, (8, 8), 1.0, seed=0), "count must be a positive"),
    ],
)
def test_wrong_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes_that_do_not_go_together_are_refused():
    with pytest.raises(
        DataError, match=r"displacement must have shape \(2, 16, 16\) or \(5, 2, 16"
    ):
        deform(images(), np.zeros((3, 2, 16, 16)))
    with pytest.raises(DataError, match=r"images must have shape \(n, h, w\) or \(n, c, h, w\)"):
        deform(np.zeros((4, 4)), np.zeros((2, 4, 4)))
