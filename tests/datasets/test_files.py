"""The user's own files: every format read back, every broken one refused in one sentence."""

import gzip
import io
import sys
import tarfile
import warnings

import numpy as np
import pytest

from ot_latent import DataError
from ot_latent.datasets import DatasetWarning, load

X = np.random.default_rng(0).random((50, 3))
Y = np.arange(50) % 4


def idx(array, code):
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def save_image(path, array):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_npy_and_npz_come_back(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "xy.npz", x=X, y=Y)
    np.savez(tmp_path / "only.npz", counts=X)
    plain = load(tmp_path / "x.npy", split="all")
    assert np.array_equal(plain.x, X)
    assert plain.y is None
    both = load(str(tmp_path / "xy.npz"), split="all")
    assert np.array_equal(both.y, Y)
    assert np.array_equal(load(tmp_path / "only.npz", split="all").x, X)
    train, test = load(tmp_path / "xy.npz"), load(tmp_path / "xy.npz", split="test")
    assert len(train) + len(test) == 50
    assert {"path", "bytes", "sha256"} == set(train.sources[0])


def test_an_archive_with_parts_keeps_them(tmp_path):
    np.savez(
        tmp_path / "k.npz", x_train=X[:40], y_train=Y[:40, None], x_test=X[40:], y_test=Y[40:, None]
    )
    test = load(tmp_path / "k.npz", split="test")
    assert np.array_equal(test.x, X[40:])
    assert np.array_equal(test.y, Y[40:])


@pytest.mark.parametrize(
    ("dtype", "code"), [("u1", 8), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_comes_back(tmp_path, dtype, code, packed):
    array = (np.arange(5 * 4 * 3) % 100).reshape(5, 4, 3).astype(dtype)
    content = idx(array, code)
    path = tmp_path / ("a-idx3-ubyte.gz" if packed else "whatever")
    path.write_bytes(gzip.compress(content) if packed else content)
    back = load(path, split="all").x
    assert np.array_equal(back, array)
    assert back.dtype == np.dtype(dtype)


def test_labels_may_lie_in_another_file(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "y.txt").write_text("\n".join("abcd"[k] for k in Y))
    (tmp_path / "y-idx1-ubyte").write_bytes(idx(Y.astype("u1"), 8))
    assert np.array_equal(load(tmp_path / "x.npy", split="all", labels=Y).y, Y)
    assert np.array_equal(load(tmp_path / "x.npy", split="all", labels=tmp_path / "y.npy").y, Y)
    assert np.array_equal(
        load(tmp_path / "x.npy", split="all", labels=tmp_path / "y-idx1-ubyte").y, Y
    )
    words = load(tmp_path / "x.npy", split="all", labels=tmp_path / "y.txt")
    assert words.label_names == ("a", "b", "c", "d")
    assert np.array_equal(words.y, Y)
    assert len(words.sources) == 2
    assert load(tmp_path / "x.npy", split="all", labels=Y > 1).y.max() == 1
    with pytest.raises(DataError, match="labels must be an existing file"):
        load(tmp_path / "x.npy", labels=tmp_path / "none.npy")
    with pytest.raises(DataError, match="same number of rows, got 50 and 3"):
        load(tmp_path / "x.npy", labels=[0, 1, 2])
    with pytest.raises(DataError, match="bin continuous targets"):
        load(tmp_path / "x.npy", labels=X[:, 0])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_with_and_without_header(tmp_path, mark):
    rows = [mark.join([f"{a}", f"{b}", "abcd"[k]]) for (a, b, _), k in zip(X, Y, strict=True)]
    (tmp_path / "bare.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "head.csv").write_text("\n".join([mark.join(["a", "b", "kind"]), *rows]))
    bare = load(tmp_path / "bare.csv", split="all", label_column="-1")
    head = load(tmp_path / "head.csv", split="all", label_column="kind")
    assert np.array_equal(bare.x, X[:, :2])
    assert np.array_equal(head.x, X[:, :2])
    assert np.array_equal(head.y, Y)
    assert head.feature_names == ("a", "b")
    assert bare.label_names == ("a", "b", "c", "d")
    with pytest.warns(DatasetWarning, match="columns of text are left out: kind"):
        assert load(tmp_path / "head.csv").y is None


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "k": Y}).to_parquet(tmp_path / "t.parquet")
    table = load(tmp_path / "t.parquet", split="all", label_column="k")
    assert np.array_equal(table.x, X[:, :2])
    assert np.array_equal(table.y, Y)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="must be a Parquet table"):
        load(tmp_path / "broken.parquet")


def test_parquet_without_pandas_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"ot-latent\[tabular\]"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n3\n", "a table of 2 columns"),
        ("", "got no rows"),
        ("x,x\n1,2\n", "different names"),
        ("a,b\n1,\n3,4\n", r"no missing values, got 1 in column 'b'"),
        ("a,b\nred,blue\nred,green\n", "at least one numeric column"),
        ("a,b\n1,inf\n2,3\n", "must be finite"),
    ],
)
def test_bad_tables(tmp_path, text, sentence):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / "t.csv")


def test_bad_label_columns(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,?\n3,4\n")
    with pytest.raises(DataError, match="must be one of a, b, got 'c'"):
        load(tmp_path / "t.csv", label_column="c")
    with pytest.raises(DataError, match="label column 'b' .* no missing values, got 1"):
        load(tmp_path / "t.csv", label_column="b")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="for a table only"):
        load(tmp_path / "x.npy", label_column="b")


def cifar_batch(seed, n=7):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3073), dtype=np.uint8) % np.array([10] + [256] * 3072).astype(
        np.uint16
    )


@pytest.mark.parametrize("packed", [True, False])
def test_cifar_binary(tmp_path, packed):
    batches = {f"data_batch_{i}.bin": cifar_batch(i).astype(np.uint8) for i in (1, 2)}
    batches["test_batch.bin"] = cifar_batch(9, 4).astype(np.uint8)
    contents = {name: batch.tobytes() for name, batch in batches.items()}
    contents["batches.meta.txt"] = b"airplane\nautomobile\n"
    path = tmp_path / "cifar-10-binary.tar.gz"
    if packed:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in contents.items():
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        path = tmp_path / "cifar-10-batches-bin"
        path.mkdir()
        for name, content in contents.items():
            (path / name).write_bytes(content)
    train, test = load(path), load(path, split="test")
    assert train.x.shape == (14, 32, 32, 3)
    assert test.x.shape == (4, 32, 32, 3)
    assert np.array_equal(test.y, batches["test_batch.bin"][:, 0])
    assert np.array_equal(test.x[0, :, :, 1].ravel(), batches["test_batch.bin"][0, 1025:2049])
    assert train.label_names == ("airplane", "automobile")


def test_cifar_refusals(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 5 + 1))
    with pytest.raises(DataError, match="records of 3073 bytes"):
        load(tmp_path / "data_batch_1.bin")
    (tmp_path / "c.tar.gz").write_bytes(b"\x1f\x8b not a tar")
    with pytest.raises(DataError, match="CIFAR-10's binary archive"):
        load(tmp_path / "c.tar.gz")
    with tarfile.open(tmp_path / "python.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar-10-batches-py/data_batch_1"), io.BytesIO(b""))
    with pytest.raises(DataError, match="pickles, which are not opened"):
        load(tmp_path / "python.tar.gz")


def test_a_folder_of_grey_images_stays_grey(tmp_path):
    pixels = (np.arange(64).reshape(8, 8) * 3).astype(np.uint8)
    for i in range(6):
        save_image(tmp_path / ("cats" if i % 2 else "dogs") / f"{i}.png", pixels + i)
    whole = load(tmp_path, split="all")
    assert whole.x.shape == (6, 8, 8)
    assert whole.label_names == ("cats", "dogs")
    assert whole.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(whole.x[0], pixels + 1)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    save_image(tmp_path / "a.png", np.full((8, 8), 65535, np.uint16))
    save_image(tmp_path / "b.png", np.full((8, 8), 32768, np.uint16))
    assert load(tmp_path, split="all").x[:, 0, 0].tolist() == [255, 128]


def test_colour_transparency_and_mixed_sizes(tmp_path):
    save_image(tmp_path / "a.png", np.zeros((20, 20, 4), np.uint8))
    save_image(tmp_path / "b.png", np.full((30, 40, 3), [200, 100, 50], np.uint8))
    save_image(tmp_path / "c.png", np.full((20, 20), 7, np.uint8))
    with pytest.warns(DatasetWarning, match="2 sizes are cropped .* 20 x 20") as caught:
        x = load(tmp_path, split="all").x
    assert caught[0].filename == __file__
    assert x.shape == (3, 20, 20, 3)
    assert (x[0] == 255).all()
    assert (x[1] == [200, 100, 50]).all()
    assert (x[2] == 7).all()


def test_large_images_are_made_smaller(tmp_path):
    save_image(tmp_path / "a.png", np.full((200, 300, 3), 9, np.uint8))
    with pytest.warns(DatasetWarning, match="1 size are cropped .* 128 x 128"):
        assert load(tmp_path, split="all").x.shape == (1, 128, 128, 3)


def test_folders_train_and_test_are_the_parts(tmp_path):
    for part in ("train", "test"):
        for i, label in enumerate(("cats", "dogs")):
            save_image(tmp_path / part / label / "0.png", np.full((8, 8), i + 10, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = load(tmp_path, split="test")
    assert test.x[:, 0, 0].tolist() == [10, 11]
    assert test.y.tolist() == [0, 1]


def test_bad_image_folders(tmp_path):
    with pytest.raises(DataError, match="must hold images"):
        load(tmp_path)
    save_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"b\.png must be an image that can be read"):
        load(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    save_image(tmp_path / "b.png", noise)
    (tmp_path / "b.png").write_bytes(
        (tmp_path / "b.png").read_bytes()[:2000]
    )  # the header is whole
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"b\.png must be an image that can be read"):
        load(tmp_path)
    save_image(tmp_path / "a.png", noise)
    (tmp_path / "b.png").unlink()
    save_image(tmp_path / "cats" / "c.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match="a.png is loose"):
        load(tmp_path)


def test_truncated_arrays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", x=X)
    (tmp_path / "x.idx").write_bytes(idx((X * 100).astype("u1"), 8))
    (tmp_path / "g-ubyte.gz").write_bytes(gzip.compress(idx((X * 100).astype("u1"), 8)))
    for path in list(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DataError, match="must be .* got .*") as caught:
            load(path)
        assert str(path) in str(caught.value)
        path.write_bytes(path.read_bytes()[:6])
        with pytest.raises(DataError):
            load(path)


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "o.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(DataError, match="of plain numbers"):
            load(tmp_path / name)


def test_other_refusals(tmp_path):
    np.savez(tmp_path / "k.npz", first=X, second=X)
    with pytest.raises(DataError, match="got keys first, second"):
        load(tmp_path / "k.npz")
    np.save(tmp_path / "flat.npy", X[:, 0])
    with pytest.raises(DataError, match="reshape them to"):
        load(tmp_path / "flat.npy")
    np.save(tmp_path / "empty.npy", X[:0])
    with pytest.raises(DataError, match="at least 1 row"):
        load(tmp_path / "empty.npy")
    np.save(tmp_path / "nan.npy", np.where(X > 0.9, np.nan, X))
    with pytest.raises(DataError, match="must be finite"):
        load(tmp_path / "nan.npy")
    np.save(tmp_path / "one.npy", X[:1])
    with pytest.raises(DataError, match="the test part of .* must not be empty"):
        load(tmp_path / "one.npy", split="test")
    (tmp_path / "notes.xyz").write_text("hello")
    with pytest.raises(DataError, match="got another format"):
        load(tmp_path / "notes.xyz")
