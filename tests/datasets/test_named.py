"""Named sets: shapes, official parts, fixed splits, downloads, and what a missing file says."""

import subprocess
import sys

import numpy as np
import pytest

from ot_latent import DataError
from ot_latent.datasets import NAMED, load, locate, registry
from ot_latent.datasets.named import emoji_without_variant
from ot_latent.datasets.splits import hash_uniform


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    """No data folder, no cache."""
    monkeypatch.delenv("OT_LATENT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_digits_are_bundled_and_their_parts_are_disjoint(empty_home):
    train, test, whole = (load("digits", split=s) for s in ("train", "test", "all"))
    assert whole.x.shape == (1797, 8, 8)
    assert whole.x.dtype == np.float32
    assert (whole.x.min(), whole.x.max()) == (0, 16)
    assert len(train) + len(test) == 1797
    assert 0.18 < len(test) / 1797 < 0.22
    rows = {part.x.tobytes() for part in (train, test)}
    assert len(rows) == 2
    assert set(np.unique(test.y)) == set(range(10))


def test_the_split_hash_is_fixed_for_ever():
    # the first three outputs of the published splitmix64 with seed 0
    step = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        states = np.arange(3, dtype=np.uint64) * step
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hash_uniform(states).tolist() == [(word >> 11) / 2**53 for word in published]
    assert abs((hash_uniform(np.arange(100_000)) < 0.2).mean() - 0.2) < 0.005


@pytest.mark.parametrize(
    ("name", "train", "test", "shape"),
    [
        ("mnist", 60_000, 10_000, (28, 28)),
        ("fashion-mnist", 60_000, 10_000, (28, 28)),
        ("adult", 32_561, 16_281, (6,)),
        ("wine", 5_175, 1_322, (11,)),
        ("twemoji", 3_190, 819, (32, 32, 3)),
    ],
)
def test_real_sets(data_dir, name, train, test, shape):
    a, b = load(name, data_dir=data_dir), load(name, split="test", data_dir=data_dir)
    assert (a.x.shape, b.x.shape) == ((train, *shape), (test, *shape))
    assert all(len(source["sha256"]) == 64 for source in a.sources)
    if name != "twemoji":
        assert len(a.y) == train
    if name == "fashion-mnist":
        assert a.label_names[9] == "Ankle boot"
        assert np.bincount(a.y).tolist() == [6000] * 10
    if name == "mnist":
        assert np.bincount(b.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    if name == "adult":
        assert (a.y.sum(), b.y.sum()) == (7_841, 3_846)
        assert a.feature_names[0] == "age"
    if name == "wine":
        assert set(np.unique(a.y)) <= set(range(3, 10))


def test_published_digests_are_those_of_the_files(data_dir):
    for name in ("mnist", "twemoji", "wine"):
        wanted = [file.sha256 for file in registry.FILES[name]]
        assert [s["sha256"] for s in load(name, data_dir=data_dir).sources] == wanted


def test_variants_of_an_emoji_stay_in_one_part(data_dir):
    with np.load(data_dir / "twemoji" / "twemoji_rgb32_white.npz") as archive:
        codes, x = [str(code) for code in archive["code"]], archive["x"]
    train, test = (load("twemoji", split=split, data_dir=data_dir) for split in ("train", "test"))
    held_out = hash_uniform(np.array([emoji_without_variant(code) for code in codes])) < 0.2
    cooks = np.array([code.endswith("1f373") and len(code) > 5 for code in codes])
    assert cooks.sum() == 18  # three genders, six tones
    assert len(np.unique(held_out[cooks])) == 1
    assert {image.tobytes() for image in x[~held_out]} == {image.tobytes() for image in train.x}
    assert not set(train.groups) & set(test.groups)
    assert len(train.groups) == len(train)
    assert np.bincount(np.unique(test.groups, return_inverse=True)[1]).max() < 0.15 * len(test)
    assert load("digits").groups is None


@pytest.mark.slow
def test_large_emoji_lie_on_white(data_dir):
    part = load("twemoji72", split="test", data_dir=data_dir)
    assert part.x.shape[1:] == (72, 72, 3)
    assert (part.x[:, 0, 0] == 255).all(axis=1).mean() > 0.5


def test_a_missing_file_names_folder_files_and_remedies(empty_home):
    with pytest.raises(DataError) as caught:
        load("mnist", data_dir=empty_home)
    for word in (
        str(empty_home / "mnist"),
        "train-images-idx3-ubyte.gz",
        "--data-dir",
        "download=True",
    ):
        assert word in str(caught.value)
    with pytest.raises(DataError, match=r"cache.*OT_LATENT_DATA"):
        load("wine")
    with pytest.raises(DataError, match="folder of images"):
        load("twemoji", download=True)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(DataError, match="did you mean 'fashion-mnist'"):
        load("fashion_mnist")
    with pytest.raises(DataError, match="check the spelling"):
        locate("/no/such/file.npz")
    with pytest.raises(ValueError, match="split must be one of train, test, all"):
        load("digits", split="validation")
    with pytest.raises(ValueError, match="label_column must be given for a table only"):
        load("digits", label_column="y")


def write_wine(folder, header=False):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for colour in ("white", "red"):
        rows = [",".join([*(f"{v:.3f}" for v in rng.random(11)), "6"]) for _ in range(30)]
        if header:
            rows = [";".join(f'"c{i}"' for i in range(12)), *(r.replace(",", ";") for r in rows)]
        (folder / f"winequality-{colour}.csv").write_text("\n".join(rows))


@pytest.mark.parametrize("header", [False, True])
def test_the_folder_comes_from_the_call_the_variable_or_the_set_itself(
    empty_home, monkeypatch, header
):
    write_wine(empty_home / "data" / "wine", header)
    given = load("wine", data_dir=empty_home / "data", split="all")
    monkeypatch.setenv("OT_LATENT_DATA", str(empty_home / "data"))
    assert np.array_equal(load("wine", split="all").x, given.x)
    assert np.array_equal(
        load("wine", split="all", data_dir=empty_home / "data" / "wine").x, given.x
    )
    assert given.feature_names[-1] == "alcohol"
    assert given.x.shape == (60, 11)


def test_downloads_go_to_the_folder_and_are_checked(empty_home, monkeypatch):
    pytest.importorskip("pooch")
    write_wine(empty_home / "far")
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append((url, known_hash))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes((empty_home / "far" / fname).read_bytes())
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    part = load("wine", data_dir=empty_home / "near", download=True)
    assert (empty_home / "near" / "wine" / "winequality-red.csv").is_file()
    assert all(url.startswith("https://") and digest.startswith("sha256:") for url, digest in calls)
    load("wine", data_dir=empty_home / "near", download=True)
    assert len(calls) == 2  # nothing is fetched twice
    assert len(part.sources) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_download_with_another_digest_is_refused(empty_home, monkeypatch):
    pooch = pytest.importorskip("pooch")
    write_wine(empty_home / "far")

    def copy(url, output_file, _):
        from pathlib import Path

        Path(output_file).write_bytes((empty_home / "far" / "winequality-white.csv").read_bytes())

    original = pooch.retrieve
    monkeypatch.setattr("pooch.retrieve", lambda *a, **k: original(*a, **k, downloader=copy))
    pooch.get_logger().disabled = True
    with pytest.raises(DataError, match="fetch it by hand and put it into"):
        load("wine", data_dir=empty_home / "near", download=True)
    assert not list((empty_home / "near").rglob("*.csv"))


def test_a_download_without_pooch_says_what_to_install(empty_home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ModuleNotFoundError, match=r"ot-latent\[download\]"):
        load("wine", data_dir=empty_home, download=True)


def test_every_set_has_a_loader_and_files():
    assert set(registry.FILES) | {"digits"} == set(NAMED)
    for files in registry.FILES.values():
        assert all(len(file.sha256) == 64 for file in files)


def test_broken_named_files_are_refused(empty_home):
    folder = empty_home / "adult"
    folder.mkdir()
    (folder / "adult.data").write_text("39, State-gov, 77516\n")
    (folder / "adult.test").write_text("|1x3 Cross validator\n")
    with pytest.raises(DataError, match=r"adult.data must be a table of the adult census"):
        load("adult", data_dir=empty_home)
    write_wine(empty_home / "wine")
    (empty_home / "wine" / "winequality-red.csv").write_text("1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="table of 11 measurements"):
        load("wine", data_dir=empty_home)
    (empty_home / "twemoji").mkdir()
    np.savez(empty_home / "twemoji" / "twemoji_rgb32_white.npz", x=np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="keys x and code"):
        load("twemoji", data_dir=empty_home)


def test_images_and_labels_of_different_length_are_refused(empty_home):
    folder = empty_home / "mnist"
    folder.mkdir()
    for part, labels in (("train", 3), ("t10k", 2)):
        images = b"\0\0\x08\x03" + np.array([3, 2, 2], ">u4").tobytes() + bytes(12)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        content = b"\0\0\x08\x01" + np.array([labels], ">u4").tobytes() + bytes(labels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="3 labels that can be read, got 2 labels"):
        load("mnist", data_dir=empty_home)


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, ot_latent.datasets.loading; "
        "print([m for m in ('torch','sklearn','pandas','PIL','scipy','pooch','pyarrow') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
