"""Tensors and dictionaries in, one folder out: safetensors and JSON, versioned, all or nothing.

A saved folder holds ``config.json`` and one safetensors file per component. The name of a tensor
file carries the start of its SHA-256, and ``config.json``, written last, names the files that belong
together. So an interrupted save leaves the old content valid, and files of two saves cannot be mixed.
This module knows none of the package's classes and never executes what it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ot_latent._files import (
    FormatError,
    MissingFileError,
    SaveError,
    decode,
    encode,
    make_folder,
    read_bytes,
    read_json,
    to_json,
    write_bytes,
    write_json_atomic,
)

if TYPE_CHECKING:
    import torch

FORMAT = "ot_latent"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"

_COMPONENT = re.compile(r"[a-z][a-z0-9_]*")
_TENSOR_FILE = re.compile(r"[a-z][a-z0-9_]*\.[0-9a-f]{12}\.safetensors")
_METADATA_KEY = "metadata"
_Value = TypeVar("_Value")

__all__ = [
    "FORMAT_VERSION",
    "FormatError",
    "MissingFileError",
    "Named",
    "SaveError",
    "VersionError",
    "load_folder",
    "read_json",
    "read_tensors",
    "save_folder",
    "write_json_atomic",
    "write_tensors_atomic",
]


class VersionError(FormatError):
    """A folder was written in another version of the format."""


class Named(dict[str, _Value]):
    """A dictionary that refuses a missing name in a sentence.

    Parameters
    ----------
    values : mapping
        The values by name.
    origin : str
        Where they were read.
    kind : str
        What a name stands for: "tensor" or "component".
    """

    def __init__(self, values: Mapping[str, _Value], origin: str, kind: str) -> None:
        super().__init__(values)
        self.origin, self.kind = origin, kind

    def __missing__(self, name: str) -> _Value:
        held = ", ".join(map(repr, sorted(self))) or "nothing"
        raise FormatError(
            f"{self.origin} must hold the {self.kind} {name!r}, got {held}; "
            "save the model again with this version of ot_latent."
        )


def save_folder(
    folder: str | os.PathLike[str],
    *,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    config: Mapping[str, Any],
) -> None:
    """Replace the model saved in a folder, as a whole or not at all.

    Other files of the folder are left alone. One process may write to a folder at a time.

    Parameters
    ----------
    folder : path
        The folder; it is created where it is missing.
    tensors : mapping of str to mapping of str to torch.Tensor
        Tensors of each component (``[a-z][a-z0-9_]*``), on any device.
    config : mapping
        What JSON can hold; NaN and infinities survive the round trip, tuples become lists.

    Raises
    ------
    SaveError
        If a file cannot be written; the folder then holds what it held before.
    TypeError, ValueError
        If something is neither a tensor nor JSON, or a component's name is not a plain word.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_folder(folder, tensors={"potential": {"heights": torch.zeros(2)}}, config={"d": 3})
    ...     load_folder(folder)
    ({'potential': {'heights': tensor([0., 0.])}}, {'d': 3})
    """
    folder = Path(folder)
    payloads = {name: _serialise(part, None, name) for name, part in tensors.items()}
    files = {name: _describe(name, data) for name, data in payloads.items()}
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": _library_version(),
        "files": files,
        "config": encode(config, "config"),
    }
    text = to_json(document)
    is_new = not folder.exists()
    make_folder(folder)
    before = set(folder.iterdir())
    try:
        for name, data in payloads.items():
            write_bytes(folder / files[name]["file"], data)
        write_bytes(folder / CONFIG_NAME, text)
    except BaseException:
        _roll_back(folder, text, before, is_new)
        raise
    _remove_stale(folder, keep={entry["file"] for entry in files.values()})


def load_folder(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read what `save_folder` wrote, onto any device.

    Parameters
    ----------
    folder : path
        A folder written by `save_folder`.
    device : str or torch.device, default="cpu"
        Where the tensors go, whatever device they came from.

    Returns
    -------
    tensors : dict of str to dict of str to torch.Tensor
        Tensors of each component; a missing name is refused in a sentence.
    config : dict
        The configuration.

    Raises
    ------
    MissingFileError
        If the folder or one of its files is not there.
    VersionError
        If it was written in another version of the format.
    FormatError
        If a file is truncated, damaged, or belongs to another save.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder} must be a folder with a saved model, got no such folder; check the path."
        )
    document = read_json(folder / CONFIG_NAME)
    _check_version(document, folder)
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    for name, entry in document["files"].items():
        path = folder / entry["file"]
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise FormatError(
                f"{path} must be the file that {CONFIG_NAME} names, got {len(data)} bytes of other "
                f"content (expected {entry['bytes']}); copy the whole folder again."
            )
        tensors[name] = _deserialise(data, path, device)[0]
    return Named(tensors, str(folder), "component"), decode(document["config"])


def write_tensors_atomic(
    path: str | os.PathLike[str],
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write one safetensors file, replacing what was there only when all bytes are on disk.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping of str to torch.Tensor
        Tensors on any device.
    metadata : mapping, optional
        What JSON can hold; NaN and infinities survive the round trip.

    Raises
    ------
    SaveError
        If the file cannot be written; an older file at `path` is unchanged.
    TypeError, ValueError
        If something is neither a tensor nor JSON.
    """
    write_bytes(Path(path), _serialise(tensors, metadata or {}, Path(path).name))


def read_tensors(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file that `write_tensors_atomic` wrote.

    Parameters
    ----------
    path : path
        The file.
    device : str or torch.device, default="cpu"
        Where the tensors go.

    Returns
    -------
    tensors : dict of str to torch.Tensor
        The tensors; a missing name is refused in a sentence.
    metadata : dict
        The metadata.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is truncated or not a safetensors file.
    """
    path = Path(path)
    return _deserialise(read_bytes(path), path, device)


def _serialise(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any] | None, name: str
) -> bytes:
    """Return the bytes of a safetensors file; equal content gives equal bytes."""
    import torch
    from safetensors.torch import save

    copies = {}
    for key, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"{name}/{key} must be a torch tensor, got {type(tensor).__name__}; "
                "convert it with torch.as_tensor."
            )
        # A clone owns its memory: safetensors refuses tensors that share theirs.
        copies[key] = tensor.detach().clone(memory_format=torch.contiguous_format).cpu()
    if metadata is None:
        return save(copies)
    text = json.dumps(encode(metadata, "metadata"), allow_nan=False)
    return save(copies, {_METADATA_KEY: text})


def _deserialise(
    data: bytes, path: Path, device: str | torch.device
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and metadata from the bytes of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise FormatError(
            f"{path} must be a whole safetensors file, got {len(data)} bytes that are not "
            f"({error}); restore it from a copy or write it again."
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(_METADATA_KEY, "{}")
    moved = {key: tensor.to(device) for key, tensor in tensors.items()}
    return Named(moved, str(path), "tensor"), decode(json.loads(text))


def _describe(name: str, data: bytes) -> dict[str, Any]:
    """Return what ``config.json`` says of a tensor file."""
    if not _COMPONENT.fullmatch(name):
        raise ValueError(
            f"component must be a word of lower-case letters, digits and '_', got {name!r}; "
            "rename it."
        )
    digest = hashlib.sha256(data).hexdigest()
    return {"file": f"{name}.{digest[:12]}.safetensors", "sha256": digest, "bytes": len(data)}


def _check_version(document: Any, folder: Path) -> None:
    """Refuse a ``config.json`` that is not ours or of another version."""
    ours = isinstance(document, dict) and document.get("format") == FORMAT
    version = document.get("format_version") if ours else None
    if ours and version != FORMAT_VERSION:
        raise VersionError(
            f"{folder} must be of format version {FORMAT_VERSION} (ot_latent {_library_version()}), "
            f"got version {version} (ot_latent {document.get('library_version')}); install that "
            "version of ot_latent to read it, or make the model again with this one."
        )
    if not ours or not isinstance(document.get("files"), dict) or "config" not in document:
        raise FormatError(
            f"{folder / CONFIG_NAME} must describe a model saved by ot_latent, got another JSON file; "
            "check the path."
        )


def _roll_back(folder: Path, text: bytes, before: set[Path], is_new: bool) -> None:
    """Remove what a failed save wrote, unless it failed after the commit."""
    config = folder / CONFIG_NAME
    if config.exists() and config.read_bytes() == text:
        return
    for path in set(folder.iterdir()) - before:
        if _TENSOR_FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)
    if is_new:
        folder.rmdir()


def _remove_stale(folder: Path, keep: set[str]) -> None:
    """Remove tensor files of older saves, and what a killed save left behind."""
    for path in folder.iterdir():
        name = path.name.removeprefix(".").removesuffix(".tmp")
        if _TENSOR_FILE.fullmatch(name) and path.name not in keep:
            with contextlib.suppress(OSError):  # it costs space, it does no harm
                path.unlink()


def _library_version() -> str:
    from ot_latent import __version__

    return __version__
