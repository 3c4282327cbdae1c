"""The codec: encode then decode is the identity in layout, dtype and range."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

from ot_latent._random import Stream, generator
from ot_latent._validation import DataError
from ot_latent.latent.preprocessing import ConstantFeatureWarning, DataCodec

RNG = generator(0, Stream.FIT, 0)
SHAPES = [(6, 9, 11), (6, 1, 9, 11), (6, 3, 9, 11), (6, 9, 11, 1), (6, 9, 11, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int64", "bool", "float16", "float32", "float64"]
)
def test_images_come_back(shape: tuple[int, ...], dtype: str) -> None:
    X = RNG.random(shape) > 0.5 if dtype == "bool" else (RNG.random(shape) * 250).astype(dtype)
    codec = DataCodec.fit(X)
    codec = DataCodec.from_dict(json.loads(json.dumps(codec.to_dict())))
    x = codec.encode(X)
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() <= 1
    assert tuple(x.shape[1:]) == codec.shape == (3 if 3 in shape else 1, 9, 11)
    back = codec.decode(x)
    assert back.shape == X.shape
    assert back.dtype == X.dtype
    if X.dtype.kind == "f":
        np.testing.assert_allclose(back, X, atol=250 * 2e-7 if dtype != "float16" else 0.2)
    else:
        np.testing.assert_array_equal(back, X)


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_vectors_are_standardised_and_come_back(dtype: str) -> None:
    X = (RNG.normal(size=(200, 4)) * [1, 10, 100, 1000] + [0, 50, 0, 1e5]).astype(dtype)
    codec = DataCodec.fit(X)
    x = codec.encode(X)
    assert torch.allclose(x.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(x.std(0, correction=0), torch.ones(4), atol=1e-4)
    back = codec.decode(x)
    assert back.dtype == X.dtype
    np.testing.assert_allclose(back, X, rtol=1e-5, atol=1e-5)


def test_constant_columns_are_carried_exactly_and_named() -> None:
    X = RNG.normal(size=(20, 8))
    X[:, [1, 2, 3, 4, 5, 6]] = 0.1 + np.arange(6)
    with pytest.warns(
        ConstantFeatureWarning, match=r"6 of 8 columns .* \(columns 1, 2, 3, 4, 5, \.\.\.\)"
    ):
        codec = DataCodec.fit(X)
    x = codec.encode(X)
    assert (x[:, 1:7] == 0).all()
    np.testing.assert_array_equal(codec.decode(x + torch.randn_like(x))[:, 1:7], X[:, 1:7])
    codec.encode(np.where(np.arange(8) == 1, 0.2, X))  # a new value there is no refusal


def test_decode_clips_to_the_training_range() -> None:
    X = RNG.integers(10, 200, (5, 8, 8)).astype(np.float32)
    codec = DataCodec.fit(X)
    wild = codec.decode(torch.linspace(-3, 3, 64).reshape(1, 1, 8, 8))
    assert wild.min() == X.min()
    assert wild.max() == X.max()
    V = RNG.integers(0, 9, (50, 3))
    back = DataCodec.fit(V).decode(torch.full((2, 3), 99.0))
    assert (back == V.max(axis=0)).all()


def test_floats_in_the_unit_interval_keep_it_and_others_are_stretched() -> None:
    X = 0.2 + 0.5 * RNG.random((5, 8, 8))
    assert torch.allclose(DataCodec.fit(X).encode(X)[:, 0].double(), torch.from_numpy(X))
    x = DataCodec.fit(16 * X).encode(16 * X)
    assert x.min() == 0
    assert x.max() == 1
    dark = (X * 100).astype(np.uint8)
    assert DataCodec.fit(dark).encode(dark).max() == np.float32(dark.max()) / 255


def test_where_both_readings_are_possible_the_user_says_which() -> None:
    X = RNG.random((4, 3, 8, 3))
    with pytest.raises(DataError, match="two ways; say channels='first' .* or channels='last'"):
        DataCodec.fit(X)
    with pytest.raises(DataError, match="at least 8 pixels a side, got 8 x 3"):
        DataCodec.fit(X, channels="first")
    with pytest.raises(DataError, match="at least 8 pixels a side, got 3 x 8"):
        DataCodec.fit(X, channels="last")
    assert DataCodec.fit(RNG.random((4, 3, 9, 8)), channels="first").layout == "chw"
    assert DataCodec.fit(RNG.random((4, 9, 8, 3)), channels="last").layout == "hwc"


@pytest.mark.parametrize(
    ("X", "channels", "says"),
    [
        (np.zeros((0, 8, 8)), None, "at least 2 rows"),
        (np.ones((1, 8, 8)), None, "at least 2 rows"),
        (np.full((3, 8, 8), np.nan), None, "must be finite"),
        (np.array([["a", "b"]] * 3), None, "must be real numbers"),
        (np.ones((3, 8, 8)), None, "must vary, got 3 equal rows"),
        (np.arange(5.0), None, "must be vectors"),
        (np.arange(64.0).reshape(2, 2, 2, 2, 4), None, "must be vectors"),
        (np.arange(56.0).reshape(1, 7, 8).repeat(2, 0), None, "at least 8 pixels"),
        (RNG.random((3, 4, 9, 9)), None, "1 or 3 channels"),
        (RNG.random((3, 3, 9, 9)), "last", "1 or 3 channels"),
        (RNG.random((3, 9, 9, 3)), "first", "1 or 3 channels"),
        (np.array([[1e200, 0.0], [0.0, 1.0]]), None, r"below 1e\+100"),
    ],
)
def test_bad_training_data_are_refused(X: np.ndarray, channels: str | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        DataCodec.fit(X, channels=channels)  # type: ignore[arg-type]


def test_an_unknown_layout_name_is_refused() -> None:
    with pytest.raises(ValueError, match="channels must be 'first', 'last' or None"):
        DataCodec.fit(RNG.random((3, 3, 9, 9)), channels="middle")  # type: ignore[arg-type]


def test_later_data_must_look_like_the_training_data() -> None:
    X = RNG.integers(0, 255, (5, 8, 8), dtype=np.uint8)
    codec = DataCodec.fit(X)
    with pytest.raises(DataError, match=r"rows of shape \(8, 8\) like the training data"):
        codec.encode(X[:, :7])
    with pytest.raises(DataError, match="must be integers like the training data"):
        codec.encode(X / 255)
    unit = DataCodec.fit(X / 255)
    with pytest.raises(DataError, match=r"near the training range \[0, 1\], got out-of-range"):
        unit.encode(X)
    unit.encode(X / 255 + 0.04)
    with pytest.raises(DataError, match="must be finite"):
        unit.encode(np.full((1, 8, 8), np.inf))
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\)"):
        unit.decode(torch.zeros(2, 8, 8))
    vectors = DataCodec.fit(RNG.random((9, 2)))
    with pytest.raises(DataError, match="in column 1, got out-of-range"):
        vectors.encode(np.array([[0.5, 1000.0]]))


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DataCodec.fit(torch.rand(5, 3))
