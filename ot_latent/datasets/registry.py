"""Which files the named sets consist of, where they may lie, and where they can be had.

Nothing is downloaded unless asked; what is downloaded is checked by sha256.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ot_latent._validation import DataError

_FASHION = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
)
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_UCI_ADULT = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
_WINE = (
    "https://raw.githubusercontent.com/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/"
)
_TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
_TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
_TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
_TEST_LABELS = "t10k-labels-idx1-ubyte.gz"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a named set.

    Attributes
    ----------
    name : str
        File name below the set's folder.
    sha256 : str
        Digest of what `url` serves.
    url : str or None
        Where it can be had; None where no single file is published.
    alternatives : tuple of str
        Other names under which the same content may lie.
    """

    name: str
    sha256: str
    url: str | None = None
    alternatives: tuple[str, ...] = ()


def _idx(base: str, digests: dict[str, str]) -> tuple[RemoteFile, ...]:
    """Files of an IDX set; unpacked copies serve as well."""
    return tuple(
        RemoteFile(name, digest, base + name, (name.removesuffix(".gz"),))
        for name, digest in digests.items()
    )


FILES: dict[str, tuple[RemoteFile, ...]] = {
    "fashion-mnist": _idx(
        _FASHION,
        {
            _TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            _TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            _TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            _TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "mnist": _idx(
        _MNIST,
        {
            _TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            _TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            _TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            _TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "twemoji": (
        RemoteFile(
            "twemoji_rgb32_white.npz",
            "14c1f77a32ee9a0025049b2ac922f72eaf814cd6c74aa757d843b878d09023b1",
        ),
    ),
    "twemoji72": (
        RemoteFile(
            "twemoji_rgba72.npz",
            "d5cf37ef60d22eb45cbd53adcf1ac35379cbf9120fd98dd8f186f76ecb47bd80",
        ),
    ),
    "wine": (
        RemoteFile(
            "winequality-white.csv",
            "659d419fff887f225bf977d20520bb64a64cae203e460087f809721d4430ba27",
            _WINE + "winequality-white.csv",
        ),
        RemoteFile(
            "winequality-red.csv",
            "c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e",
            _WINE + "winequality-red.csv",
        ),
    ),
    "adult": (
        RemoteFile(
            "adult.data",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
            _UCI_ADULT + "adult.data",
            ("adult.data.gz",),
        ),
        RemoteFile(
            "adult.test",
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
            _UCI_ADULT + "adult.test",
            ("adult.test.gz",),
        ),
    ),
}

FOLDERS = {"twemoji72": "twemoji"}
_TWEMOJI_HINT = (
    "; its archives are made from the 72-pixel PNG files of github.com/cptpiepmatz/twemoji-assets, "
    "whose folder assets/72x72 can be loaded as a folder of images instead"
)


def find_files(name: str, data_dir: str | Path | None, *, download: bool) -> list[Path]:
    """Return the files of a named set, in the order of `FILES`.

    Parameters
    ----------
    name : str
        Key of `FILES`.
    data_dir : path-like, optional
        Folder that holds ``<name>/<file>``, or the set's own folder; without it the folder in the
        variable OT_LATENT_DATA, then the user's cache.
    download : bool
        Fetch what is missing.

    Returns
    -------
    list of Path
        Existing files.

    Raises
    ------
    DataError
        If a file is missing and not downloaded, or the download fails.
    """
    folder_name = FOLDERS.get(name, name)
    homes = [set_folder(home, folder_name) for home in search_folders(data_dir)]
    found: list[Path] = []
    for file in FILES[name]:
        candidates = [home / title for home in homes for title in (file.name, *file.alternatives)]
        path = next((p for p in candidates if p.is_file()), None)
        if path is None and not (download and file.url):
            raise DataError(_missing(name, homes))
        found.append(path or fetch(file, homes[0]))
    return found


def search_folders(data_dir: str | Path | None) -> list[Path]:
    """Return the folders that are searched, most wanted first.

    Parameters
    ----------
    data_dir : path-like, optional
        The caller's folder, which is then the only one.

    Returns
    -------
    list of Path
        Folders, whether or not they exist.
    """
    if data_dir is not None:
        return [Path(data_dir).expanduser()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ot_latent"
    given = os.environ.get("OT_LATENT_DATA")
    return [Path(given).expanduser(), cache] if given else [cache]


def set_folder(home: Path, name: str) -> Path:
    """Return the set's own folder: below `home`, or `home` itself where it bears the name.

    Parameters
    ----------
    home : Path
        A searched folder.
    name : str
        Name of the set's folder.

    Returns
    -------
    Path
        The folder, whether or not it exists.
    """
    return home if home.name == name and not (home / name).is_dir() else home / name


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Download one file, check its sha256, and return its path.

    Parameters
    ----------
    file : RemoteFile
        A file with a `url`.
    folder : Path
        Where it is put.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModuleNotFoundError
        If pooch is not installed.
    DataError
        If the network, the folder or the digest refuses.
    """
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"downloading {file.name} must have pooch, got none installed; run "
            f"pip install 'ot-latent[download]', or put the file into {folder}."
        ) from error
    try:
        path = pooch.retrieve(
            file.url, known_hash=f"sha256:{file.sha256}", fname=file.name, path=folder
        )
    except (OSError, ValueError) as error:  # ValueError: the digest differs
        raise DataError(
            f"{file.name} must be downloadable from {file.url}, got {error}; fetch it by hand and "
            f"put it into {folder}."
        ) from error
    return Path(path)


def _missing(name: str, homes: list[Path]) -> str:
    """Say which files are wanted, where they were looked for, and what to try."""
    files = FILES[name]
    wanted = ", ".join(f.name for f in files)
    looked = " or ".join(str(home) for home in homes)
    remedy = "put them there, name another folder with --data-dir (data_dir=)"
    if all(f.url for f in files):
        remedy += " or the variable OT_LATENT_DATA, or pass download=True where there is a network"
    else:
        remedy += " or the variable OT_LATENT_DATA" + _TWEMOJI_HINT
    return f"data set {name!r} must have its files ({wanted}) in {looked}, got none or not all; {remedy}."
