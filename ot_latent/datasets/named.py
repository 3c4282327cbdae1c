"""The sets that are known by name: what each holds, and which part is held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ot_latent.datasets.arrays import read_bytes, read_idx, read_npz, unreadable
from ot_latent.datasets.images import on_white
from ot_latent.datasets.record import Raw
from ot_latent.datasets.tables import read_csv

_FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_WINE_NAMES = (
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
)
_ADULT_COLUMNS = {
    0: "age",
    2: "fnlwgt",
    4: "education-num",
    10: "capital-gain",
    11: "capital-loss",
    12: "hours-per-week",
}

# skin tones, the signs of woman and man, and what joins or presents them
_VARIANTS = {*range(0x1F3FB, 0x1F400), 0x2640, 0x2642, 0x200D, 0xFE0F}
_GENDERLESS = {0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1, 0x1F466: 0x1F9D2, 0x1F467: 0x1F9D2}
_GENDERLESS |= {0x1F474: 0x1F9D3, 0x1F475: 0x1F9D3}  # man, woman; boy, girl; old man, old woman


def digits(paths: list[Path]) -> Raw:
    """Read the 1,797 handwritten digits that come with scikit-learn.

    Parameters
    ----------
    paths : list of Path
        Unused: the set is part of an installed package.

    Returns
    -------
    Raw
        float32 images (n, 8, 8) with values 0 .. 16, labels 0 .. 9.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Raw(bunch.images.astype(np.float32), bunch.target)


def mnist(paths: list[Path]) -> Raw:
    """Read the 70,000 digits of MNIST.

    Parameters
    ----------
    paths : list of Path
        Images and labels of the train part, then of the test part.

    Returns
    -------
    Raw
        uint8 images (n, 28, 28), labels 0 .. 9, the official test part.
    """
    arrays = [read_idx(path).x for path in paths]
    for images, labels, path in zip(arrays[::2], arrays[1::2], paths[1::2], strict=True):
        if len(images) != len(labels):
            raise unreadable(path, f"{len(images)} labels", f"{len(labels)} labels")
    return Raw(
        np.concatenate(arrays[::2]),
        np.concatenate(arrays[1::2]),
        test=np.repeat([False, True], [len(images) for images in arrays[::2]]),
    )


def fashion_mnist(paths: list[Path]) -> Raw:
    """Read the 70,000 pieces of clothing of Fashion-MNIST.

    Parameters
    ----------
    paths : list of Path
        As for `mnist`.

    Returns
    -------
    Raw
        As from `mnist`, with the names of the ten classes.
    """
    raw = mnist(paths)
    raw.label_names = _FASHION_NAMES
    return raw


def twemoji(paths: list[Path]) -> Raw:
    """Read 4,009 emoji; variants of one emoji stay in one part.

    Parameters
    ----------
    paths : list of Path
        The archive: RGB at 32 pixels, or RGBA at 72, which is laid on white.

    Returns
    -------
    Raw
        uint8 images (n, h, w, 3), no labels; groups of an emoji's skin tones and genders
        (`emoji_without_variant`), which are near-duplicates.
    """
    raw = read_npz(paths[0])
    with np.load(paths[0], allow_pickle=False) as archive:
        codes = archive["code"] if "code" in archive.files else None
    if codes is None or len(codes) != len(raw.x):
        raise unreadable(paths[0], "an archive with keys x and code", "no code for each image")
    images = on_white(raw.x) if raw.x.shape[-1] == 4 else raw.x
    return Raw(images, groups=np.array([emoji_without_variant(str(code)) for code in codes]))


def emoji_without_variant(code: str) -> int:
    """Return one number for all skin tones and genders of an emoji.

    The first code point alone would not do: it is the same for every profession of a woman, and
    another one for a man's.

    Parameters
    ----------
    code : str
        Code points in hexadecimal, joined by hyphens.

    Returns
    -------
    int
        Below 2^61.

    Examples
    --------
    >>> woman, man = "1f469-1f3fd-200d-1f373", "1f468-200d-1f373"  # cooks
    >>> emoji_without_variant(woman) == emoji_without_variant(man)
    True
    >>> emoji_without_variant(woman) == emoji_without_variant("1f469-200d-1f680")
    False
    """
    number = 0
    for point in (int(part, 16) for part in code.split("-")):
        if point not in _VARIANTS:
            number = (number * 1_000_003 + _GENDERLESS.get(point, point)) % 2**61
    return number


def wine(paths: list[Path]) -> Raw:
    """Read the 6,497 wines, white then red: eleven measurements, and quality 3 .. 9 as the label.

    Some rows occur several times in the original tables, so held-out rows may equal training rows.

    Parameters
    ----------
    paths : list of Path
        The tables of white and of red wine, with or without header.

    Returns
    -------
    Raw
        float64 rows (n, 11), labels, names of the columns.
    """
    tables = [read_csv(path, "-1") for path in paths]
    for table, path in zip(tables, paths, strict=True):
        if table.x.shape[1] != len(_WINE_NAMES):
            raise unreadable(path, "a table of 11 measurements", f"{table.x.shape[1]} columns")
    x = np.concatenate([table.x for table in tables])
    y = np.concatenate([np.asarray(table.y) for table in tables])
    return Raw(x, y, feature_names=_WINE_NAMES)


def adult(paths: list[Path]) -> Raw:
    """Read the census of 48,842 adults: six numeric columns, and income as the label.

    Parameters
    ----------
    paths : list of Path
        Train and test table.

    Returns
    -------
    Raw
        float64 rows (n, 6), labels 0 (at most 50,000 dollars) and 1, the official test part.
    """
    parts = [_adult_part(path) for path in paths]
    return Raw(
        np.concatenate([x for x, _ in parts]),
        np.concatenate([y for _, y in parts]),
        feature_names=tuple(_ADULT_COLUMNS.values()),
        label_names=("<=50K", ">50K"),
        test=np.repeat([False, True], [len(x) for x, _ in parts]),
    )


def _adult_part(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numeric columns and labels of one table, without its comment line."""
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    records = [line.split(",") for line in lines if line.strip() and not line.startswith("|")]
    try:
        x = np.array([[float(record[i]) for i in _ADULT_COLUMNS] for record in records])
        y = np.array([record[14].strip().startswith(">") for record in records])
    except (IndexError, ValueError) as error:
        raise unreadable(path, "a table of the adult census", error) from error
    return x.reshape(-1, len(_ADULT_COLUMNS)), y.astype(np.int64)


LOADERS: dict[str, Callable[[list[Path]], Raw]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "twemoji": twemoji,
    "twemoji72": twemoji,
    "wine": wine,
    "adult": adult,
}
