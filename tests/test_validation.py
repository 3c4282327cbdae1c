"""Each refusal says who must be what, what came, and what to try; good input passes unchanged."""

import numpy as np
import pytest
import torch

from ot_latent._validation import (
    DataError,
    as_float_tensor,
    check_array,
    check_finite,
    check_positive,
    check_same_length,
)

NAN, INF = float("nan"), float("inf")


def test_good_arrays_pass_without_a_copy():
    x = np.arange(6.0).reshape(3, 2)
    assert check_array(x, "X", ndim=2) is x
    assert check_array(torch.from_numpy(x), "X").base is not None
    assert check_array([[1, 2]], "X", ndim=2).tolist() == [[1, 2]]
    assert check_array(np.array([True]), "mask").dtype == bool


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (["a"], {}, r"X must be real numbers, got dtype <U1; convert it to float32 or uint8\."),
        ([1j], {}, r"X must be real numbers, got dtype complex128"),
        ([None], {}, r"X must be real numbers, got dtype object"),
        ([1.0], {"ndim": 2}, r"X must have 2 axes, got shape \(1,\); reshape it to 2 axes\."),
        (3.0, {}, r"X must have at least 1 row, got shape \(\); pass more data\."),
        ([], {}, r"X must have at least 1 row, got shape \(0,\)"),
        (np.ones((3, 0)), {}, r"X must have at least 1 row, got shape \(3, 0\)"),
        ([[1.0]], {"min_rows": 2}, r"X must have at least 2 rows, got shape \(1, 1\)"),
        ([[1.0], [NAN]], {}, r"got 1 NaN or infinite value in 1 of 2 rows \(first: row 1\); drop"),
        ([[INF, -INF], [1, 1]], {}, r"got 2 NaN or infinite values in 1 of 2 rows \(first: row 0"),
    ],
)
def test_bad_arrays_are_refused(value, options, message):
    with pytest.raises(DataError, match=message):
        check_array(value, "X", **options)


def test_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)


def test_a_sum_that_overflows_is_not_an_infinite_value():
    big = np.full(4, np.finfo(np.float64).max)
    check_finite(big, "X")
    assert check_array(big, "X") is big


def test_integers_are_always_finite():
    check_finite(np.arange(3), "X")


def test_lengths():
    check_same_length([1, 2], [3, 4], ("X", "y"))
    with pytest.raises(DataError, match=r"X and y must have the same number of rows, got 1 and 2"):
        check_same_length([1], [3, 4], ("X", "y"))


@pytest.mark.parametrize("value", [0, -1, NAN, INF, "3"])
def test_not_positive(value):
    with pytest.raises(ValueError, match=r"tolerance must be a positive number, got"):
        check_positive(value, "tolerance")


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, "3"])
def test_not_a_positive_integer(value):
    with pytest.raises(ValueError, match=r"steps must be a positive integer, got"):
        check_positive(value, "steps", integer=True)


def test_positive_numbers_pass():
    check_positive(1e-9, "tolerance")
    check_positive(np.float32(2.0), "tolerance")
    check_positive(3, "steps", integer=True)
    check_positive(np.int64(3), "steps", integer=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_tensors_keep_their_dtype(dtype):
    assert as_float_tensor(torch.ones(2, dtype=dtype), "x").dtype == dtype


def test_numbers_that_are_no_tensors_become_float64():
    assert as_float_tensor([1, 2], "x").dtype == torch.float64
    assert as_float_tensor(np.ones(2, np.float32), "x").dtype == torch.float32
    assert not as_float_tensor(torch.ones(2, requires_grad=True), "x").requires_grad


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (torch.ones(2, dtype=torch.complex64), {}, r"x must be real numbers, got dtype torch.comp"),
        (torch.ones(2, dtype=torch.bool), {}, r"x must be real numbers, got dtype torch.bool"),
        (torch.ones(2), {"ndim": 2}, r"x must have 2 axes, got shape \(2,\); reshape it"),
        (torch.tensor([[1.0], [NAN]]), {}, r"got 1 NaN or infinite value in 1 of 2 rows"),
        (np.array([INF]), {"ndim": 1}, r"got 1 NaN or infinite value in 1 of 1 rows"),
    ],
)
def test_bad_tensors_are_refused(value, options, message):
    with pytest.raises(DataError, match=message):
        as_float_tensor(value, "x", **options)
