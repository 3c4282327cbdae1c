"""Arrays to files: what the ending asks for, whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ot_latent import output
from ot_latent._validation import DataError
from ot_latent.config import ConfigError

IMAGES = np.arange(6 * 8 * 9, dtype=np.uint8).reshape(6, 8, 9)


def read_png(path):
    from matplotlib.image import imread

    return (imread(path)[..., :3] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("rows", [IMAGES, np.random.default_rng(0).normal(size=(3, 5))])
def test_arrays_come_back_bit_for_bit(tmp_path, rows):
    output.write(tmp_path / "x.npy", rows)
    output.write(tmp_path / "deep" / "er" / "x.npz", rows)
    for array in (np.load(tmp_path / "x.npy"), np.load(tmp_path / "deep/er/x.npz")["x"]):
        assert array.dtype == rows.dtype
        np.testing.assert_array_equal(array, rows)


def test_a_label_goes_along(tmp_path):
    output.write(tmp_path / "x.npz", IMAGES, label=3)
    assert np.load(tmp_path / "x.npz")["y"].tolist() == [3] * 6


def test_a_folder_holds_one_picture_per_row(tmp_path):
    output.write(tmp_path / "pictures", np.repeat(IMAGES, 2, axis=0))
    names = sorted(os.listdir(tmp_path / "pictures"))
    assert names == [f"{i:02d}.png" for i in range(12)]
    np.testing.assert_array_equal(read_png(tmp_path / "pictures/02.png")[..., 0], IMAGES[1])


@pytest.mark.parametrize("layout", ["hw", "chw", "hwc"])
def test_a_grid_shows_every_picture(tmp_path, layout):
    rows = {"hw": IMAGES, "chw": IMAGES[:, None], "hwc": IMAGES[..., None]}[layout]
    output.write(tmp_path / "grid.png", rows, columns=3)
    scale = -(-output.SMALLEST_TILE // 8)
    sheet = read_png(tmp_path / "grid.png")[::scale, ::scale, 0]
    assert sheet.shape == (2 * 8 + 1, 3 * 9 + 2)
    np.testing.assert_array_equal(sheet[9:17, 10:19], IMAGES[4])


def test_vectors_are_no_pictures(tmp_path):
    with pytest.raises(DataError, match="must be images"):
        output.write(tmp_path / "x.png", np.zeros((3, 5)))
    assert list(tmp_path.iterdir()) == []


def test_targets_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npy").mkdir()
    for name in ("x.png", "x.npy", "x.npz", "new", "X.NPY"):
        output.check_target(tmp_path / name)
    with pytest.raises(ConfigError, match=r"must end in .png, .npy, .npz, or a folder's name"):
        output.check_target("x.jpeg")
    with pytest.raises(ConfigError, match=r"must end in .npy, .npz, got"):
        output.check_target("x.png", arrays=True)
    with pytest.raises(ConfigError, match="must be a folder, got the file"):
        output.check_target(tmp_path / "file")
    with pytest.raises(ConfigError, match="must be a file, got the folder"):
        output.check_target(tmp_path / "folder.npy")


def test_a_failing_disk_keeps_the_old_file(tmp_path, monkeypatch):
    output.write(tmp_path / "x.npy", IMAGES)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        output.write(tmp_path / "x.npy", IMAGES[:1])
    monkeypatch.undo()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), IMAGES)
    assert os.listdir(tmp_path) == ["x.npy"]
