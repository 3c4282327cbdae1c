"""A saved model is replaced as a whole or not at all, and every damage is told in a sentence."""

import errno
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ot_latent import _files, persistence
from ot_latent._validation import DataError
from ot_latent.persistence import (
    FormatError,
    MissingFileError,
    SaveError,
    VersionError,
    load_folder,
    read_json,
    read_tensors,
    save_folder,
    write_json_atomic,
    write_tensors_atomic,
)

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int32, torch.int64, torch.uint8]
DTYPES += [torch.bool]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def model(value: float = 0.0) -> dict:
    """Return two components whose tensors hold `value`."""
    return {
        "potential": {"heights": torch.full((5,), value), "points": torch.full((5, 2), value)},
        "decoder": {"weight": torch.full((3, 3), value)},
    }


def snapshot(folder) -> dict:
    """Return the content of every file of a folder."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def fail_at(monkeypatch, call: int) -> None:
    """Let the disk be full from the call-th synchronisation on, after half a file was written."""
    count = {"calls": 0}
    sync = _files.os.fsync

    def full(descriptor):
        count["calls"] += 1
        if count["calls"] >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(_files.os, "fsync", full)


# -- round trips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_survives(tmp_path, dtype):
    tensors = {
        "scalar": torch.ones((), dtype=dtype),
        "empty": torch.ones((0, 3), dtype=dtype),
        "strided": torch.arange(12).reshape(3, 4).to(dtype).T[::2],
        "expanded": torch.ones(1, dtype=dtype).expand(4, 2),
    }
    save_folder(tmp_path, tensors={"part": tensors}, config={})
    loaded = load_folder(tmp_path)[0]["part"]
    assert set(loaded) == set(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == dtype
        assert torch.equal(loaded[name], tensor)


def test_tensors_that_share_memory_survive(tmp_path):
    base = torch.arange(6.0)
    save_folder(tmp_path, tensors={"part": {"a": base, "b": base[2:]}}, config={})
    loaded = load_folder(tmp_path)[0]["part"]
    assert torch.equal(loaded["b"], base[2:])


@settings(max_examples=20)
@given(json_values)
def test_config_survives_with_nan_and_infinities(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("model")
    save_folder(folder, tensors={}, config={"value": value})
    loaded = load_folder(folder)[1]["value"]
    np.testing.assert_equal(loaded, value)


def test_config_file_is_strict_json(tmp_path):
    save_folder(tmp_path, tensors={}, config={"x": [math.nan, math.inf, -math.inf]})

    def refuse(token):
        raise AssertionError(token)

    json.loads((tmp_path / "config.json").read_text(), parse_constant=refuse)
    loaded = load_folder(tmp_path)[1]["x"]
    assert math.isnan(loaded[0])
    assert loaded[1:] == [math.inf, -math.inf]


def test_arrays_tuples_and_numpy_numbers_become_lists_and_numbers(tmp_path):
    config = {"a": np.arange(3), "b": (1, 2), "c": np.float32(0.5), "d": np.int64(3)}
    save_folder(tmp_path, tensors={}, config=config)
    assert load_folder(tmp_path)[1] == {"a": [0, 1, 2], "b": [1, 2], "c": 0.5, "d": 3}


def test_tensor_file_carries_metadata(tmp_path):
    path = tmp_path / "state.safetensors"
    write_tensors_atomic(path, {"x": torch.arange(3)}, {"best": math.inf, "epoch": 3})
    tensors, metadata = read_tensors(path)
    assert torch.equal(tensors["x"], torch.arange(3))
    assert metadata == {"best": math.inf, "epoch": 3}


def test_json_for_other_readers_has_null_for_nan(tmp_path):
    write_json_atomic(tmp_path / "report.json", {"frechet": math.nan, "n": 3})
    assert read_json(tmp_path / "report.json") == {"frechet": None, "n": 3}


def test_loading_needs_no_device_of_the_saver(tmp_path):
    save_folder(tmp_path, tensors=model(1.0), config={})
    assert load_folder(tmp_path, device="meta")[0]["decoder"]["weight"].device.type == "meta"
    assert load_folder(tmp_path)[0]["decoder"]["weight"].device.type == "cpu"


@pytest.mark.gpu
def test_gpu_tensors_load_on_the_cpu(tmp_path):
    save_folder(tmp_path, tensors={"part": {"x": torch.ones(3, device="cuda")}}, config={})
    assert load_folder(tmp_path)[0]["part"]["x"].device.type == "cpu"
    assert load_folder(tmp_path, device="cuda")[0]["part"]["x"].is_cuda


# -- replacing -------------------------------------------------------------------------------------


def test_equal_content_gives_equal_bytes(tmp_path):
    save_folder(tmp_path / "a", tensors=model(1.0), config={"d": 2})
    save_folder(tmp_path / "b", tensors=model(1.0), config={"d": 2})
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_saving_again_replaces_all_and_leaves_other_files(tmp_path):
    (tmp_path / "log.jsonl").write_text("mine")
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    save_folder(tmp_path, tensors={"decoder": model(2.0)["decoder"]}, config={"d": 2})
    names = sorted(p.name.split(".")[0] for p in tmp_path.iterdir())
    assert names == ["config", "decoder", "log"]
    tensors, config = load_folder(tmp_path)
    assert config == {"d": 2}
    assert float(tensors["decoder"]["weight"][0, 0]) == 2.0


@pytest.mark.parametrize("call", [1, 2, 3], ids=["first tensors", "second tensors", "config"])
def test_full_disk_leaves_the_old_model(tmp_path, monkeypatch, call):
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    before = snapshot(tmp_path)
    fail_at(monkeypatch, call)
    with pytest.raises(SaveError, match="No space left on device.*unchanged; free space") as caught:
        save_folder(tmp_path, tensors=model(2.0), config={"d": 2})
    assert caught.value.errno == errno.ENOSPC
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("call", [1, 2, 3])
def test_full_disk_leaves_nothing_of_a_first_save(tmp_path, monkeypatch, call):
    fail_at(monkeypatch, call)
    with pytest.raises(SaveError):
        save_folder(tmp_path / "new", tensors=model(), config={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [1, 2, 3])
def test_full_disk_with_unchanged_tensors_keeps_them(tmp_path, monkeypatch, call):
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    before = snapshot(tmp_path)
    fail_at(monkeypatch, call)
    with pytest.raises(SaveError):
        save_folder(tmp_path, tensors=model(1.0), config={"d": 2})
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("write", [write_json_atomic, write_tensors_atomic])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, write):
    path = tmp_path / "file"
    write(path, {"x": torch.ones(2)})
    before = snapshot(tmp_path)
    fail_at(monkeypatch, 1)
    with pytest.raises(SaveError):
        write(path, {"x": torch.zeros(2)})
    assert snapshot(tmp_path) == before


def test_interrupt_after_the_commit_keeps_the_new_model(tmp_path, monkeypatch):
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    write = persistence.write_bytes

    def interrupted(path, data):
        write(path, data)
        if path.name == "config.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(persistence, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_folder(tmp_path, tensors=model(2.0), config={"d": 2})
    tensors, config = load_folder(tmp_path)
    assert config == {"d": 2}
    assert float(tensors["decoder"]["weight"][0, 0]) == 2.0


def test_real_write_limit_leaves_the_old_model(tmp_path):
    """The kernel itself cuts the file short (RLIMIT_FSIZE), as a full disk or a quota does."""
    pytest.importorskip("resource")
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    before = snapshot(tmp_path)
    program = (
        "import resource, sys, torch\n"
        "from ot_latent.persistence import SaveError, save_folder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    save_folder(sys.argv[1], tensors={'big': {'x': torch.ones(9999)}}, config={})\n"
        "except SaveError as error:\n"
        "    sys.exit(str(error))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "File too large" in run.stderr
    assert snapshot(tmp_path) == before


def test_leftovers_of_a_killed_save_do_no_harm_and_go(tmp_path):
    save_folder(tmp_path, tensors=model(1.0), config={"d": 1})
    killed = [tmp_path / ".decoder.0123456789ab.safetensors.tmp", tmp_path / ".config.json.tmp"]
    killed.append(tmp_path / "decoder.0123456789ab.safetensors")
    for path in killed:
        path.write_bytes(b"half")
    assert load_folder(tmp_path)[1] == {"d": 1}
    save_folder(tmp_path, tensors=model(2.0), config={"d": 2})
    assert not any(path.exists() for path in killed)


# -- refusals --------------------------------------------------------------------------------------


def test_missing_folder(tmp_path):
    with pytest.raises(MissingFileError, match="must be a folder with a saved model") as caught:
        load_folder(tmp_path / "none")
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, DataError)


def test_folder_without_config(tmp_path):
    with pytest.raises(MissingFileError, match=r"config\.json must be a file, got nothing there"):
        load_folder(tmp_path)


def test_missing_tensor_file(tmp_path):
    save_folder(tmp_path, tensors=model(), config={})
    next(tmp_path.glob("decoder.*")).unlink()
    with pytest.raises(MissingFileError, match="decoder.*must be a file"):
        load_folder(tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 7, 40, -1])
def test_truncated_tensor_file(tmp_path, cut):
    save_folder(tmp_path, tensors=model(), config={})
    path = next(tmp_path.glob("potential.*"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match="copy the whole folder again"):
        load_folder(tmp_path)


def test_files_of_two_saves_are_not_mixed(tmp_path):
    save_folder(tmp_path / "a", tensors=model(1.0), config={})
    save_folder(tmp_path / "b", tensors=model(2.0), config={})
    theirs = next((tmp_path / "b").glob("decoder.*"))
    next((tmp_path / "a").glob("decoder.*")).write_bytes(theirs.read_bytes())
    with pytest.raises(FormatError, match="got .* bytes of other content"):
        load_folder(tmp_path / "a")


@pytest.mark.parametrize("cut", [0, 1, 7, 40, -1])
def test_truncated_state_file(tmp_path, cut):
    path = tmp_path / "state.safetensors"
    write_tensors_atomic(path, {"x": torch.arange(30)}, {"epoch": 3})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match="must be a whole safetensors file"):
        read_tensors(path)


def test_unreadable_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match="must be a readable file"):
        read_tensors(tmp_path / "folder")


@pytest.mark.parametrize("text", ["", '{"format": "ot_la', "\x00\x01"])
def test_truncated_config(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(FormatError, match="must be JSON"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    "document",
    [[], {}, {"format": "other"}, {"format": "ot_latent", "format_version": 1}],
    ids=["list", "empty", "other", "no files"],
)
def test_config_of_another_program(tmp_path, document):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="must describe a model saved by ot_latent"):
        load_folder(tmp_path)


@pytest.mark.parametrize("version", [0, 2, None, "x"])
def test_other_version_names_both(tmp_path, version):
    save_folder(tmp_path, tensors=model(), config={})
    document = read_json(tmp_path / "config.json") | {
        "format_version": version,
        "library_version": "9.9",
    }
    write_json_atomic(tmp_path / "config.json", document)
    pattern = rf"version 1 \(ot_latent \d.*got version {version} \(ot_latent 9\.9\); install"
    with pytest.raises(VersionError, match=pattern):
        load_folder(tmp_path)


def test_missing_tensor_and_component(tmp_path):
    save_folder(tmp_path, tensors=model(), config={})
    tensors, _ = load_folder(tmp_path)
    with pytest.raises(FormatError, match="tensor 'centroids', got 'heights', 'points'; save"):
        tensors["potential"]["centroids"]
    with pytest.raises(FormatError, match="component 'encoder', got 'decoder', 'potential'"):
        tensors["encoder"]
    assert tensors.get("encoder") is None


def test_not_a_tensor(tmp_path):
    with pytest.raises(TypeError, match="part/x must be a torch tensor, got ndarray"):
        save_folder(tmp_path / "m", tensors={"part": {"x": np.ones(2)}}, config={})
    assert not (tmp_path / "m").exists()


def test_bad_component_name(tmp_path):
    with pytest.raises(ValueError, match=r"component must be a word.*got '\.\./x'"):
        save_folder(tmp_path, tensors={"../x": {}}, config={})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": {1: 2}}, r"config\.a must have strings as keys, got 1"),
        ({"a": [object()]}, r"config\.a\[0\] must be JSON"),
        ({"a": {3}}, r"config\.a must be JSON .* got set"),
    ],
)
def test_config_that_is_not_json(tmp_path, config, message):
    with pytest.raises(TypeError, match=message):
        save_folder(tmp_path, tensors={}, config=config)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(SaveError, match="must be writable"):
        save_folder(tmp_path / "x", tensors={}, config={})
    assert (tmp_path / "x").read_text() == "mine"
