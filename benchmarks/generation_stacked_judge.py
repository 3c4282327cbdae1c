"""The judge of stacked digits: shares of modes, rare classes against their intervals, misreading.

An image is misread where decoder and reader together take one of its digits for another. They do so
digit by digit, so a table of ten by ten, counted on held-out digits, tells in which shares a thousand
classes would be read if a sampler made nothing but reconstructions of fresh rows in their true shares.
What differs from *that* is the sampler's own doing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MODES = 1000
LEVEL, RARE = 0.95, 0.1  # of intervals; the share of classes that counts as rare
RESAMPLED = 400  # tables behind the interval of what misreading does


def divergence(counts: np.ndarray, p: np.ndarray) -> float:
    """Return KL(q | p) of counted shares from known ones; modes of share zero are left out of both."""
    inside = p > 0
    q = counts[inside] / (counts[inside].sum() or 1)
    seen = q > 0
    return float((q[seen] * np.log(q[seen] / (p[inside] / p[inside].sum())[seen])).sum())


def judge_modes(read: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return what is said of generated modes: how many, their divergence with its floor, intruders."""
    counts = np.bincount(read, minlength=MODES)
    wanted = int((p > 0).sum())
    return {
        "samples": len(read),
        "modes": int((counts[p > 0] > 0).sum()),
        "mode_count": wanted,
        "kl": divergence(counts, p),
        "kl_floor": (wanted - 1) / (2 * len(read)),
        "absent_rate": float(counts[p == 0].sum() / len(read)),
        "absent_modes": int((counts[p == 0] > 0).sum()),
    }


def rarest(p: np.ndarray) -> np.ndarray:
    """Return the mask of the rarest tenth of the classes that there are."""
    return (p > 0) & (p <= np.quantile(p[p > 0], RARE))


def against(found: np.ndarray, expected: np.ndarray, rare: np.ndarray) -> dict[str, Any]:
    """Compare counts of rare classes with shares.

    Parameters
    ----------
    found : ndarray of shape (n,)
        Class of every image.
    expected : ndarray of shape (1000,)
        Share of every class.
    rare : ndarray of shape (1000,), bool
        The classes that are looked at.

    Returns
    -------
    dict
        within, the share of them inside their own binomial interval of 95 %; within_expected,
        what that is on average for draws of these shares (more than .95, as counts are whole);
        outside, how many lie outside intervals that hold all of them at once in 95 % of such draws
        (theorem, by Bonferroni: at least 95 %); together, all their images over those expected.
    """
    from scipy.stats import binom

    n, p, counts = len(found), expected[rare], np.bincount(found, minlength=MODES)[rare]
    low, high = _interval(n, p, 1 - LEVEL)
    wide = _interval(n, p, (1 - LEVEL) / len(p))
    covered = binom.cdf(high, n, p) - binom.cdf(low - 1, n, p)
    return {
        "within": float(((counts >= low) & (counts <= high)).mean()),
        "within_expected": float(covered.mean()),
        "outside": int(((counts < wide[0]) | (counts > wide[1])).sum()),
        "together": float(counts.sum() / (n * p.sum())),
    }


def _interval(n: int, p: np.ndarray, missed: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the central interval of binomial counts that misses at most a share of them."""
    from scipy.stats import binom

    return binom.ppf(missed / 2, n, p), binom.ppf(1 - missed / 2, n, p)


def reading_table(modes: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Count how often each digit is read as each, over all three channels."""
    table = np.zeros((10, 10))
    for place in (100, 10, 1):
        np.add.at(table, (modes // place % 10, read // place % 10), 1)
    return table


def misread(p: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the shares in which classes are read when every digit is misread by a table.

    Exact where channels are coded and read each by itself; an estimate for an autoencoder of
    whole images, whose errors in two channels may be bound to each other.
    """
    rates = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    cube = p.reshape(10, 10, 10)
    return np.einsum("abc,ai,bj,ck->ijk", cube, rates, rates, rates, optimize=True).ravel()


def judge_rare(
    read: np.ndarray, made: np.ndarray | None, p: np.ndarray, table: np.ndarray, seed: int
) -> dict[str, Any]:
    """Say what becomes of rare classes: as they were made, as they are read, and as misreading says.

    Parameters
    ----------
    read : ndarray of shape (n,)
        Class that the reader sees in every image.
    made : ndarray of shape (n,) or None
        Class by construction: that of the row or of the target behind the image; None where a
        sampler has none.
    p : ndarray of shape (1000,)
        True shares.
    table : ndarray of shape (10, 10)
        How often held-out digits are read as each digit after the same way to an image; it is
        counted three times over, once for each channel.
    seed : int
        Seed of the interval.

    Returns
    -------
    dict
        made_*, the classes by construction against the true shares (`against`); read_*, those
        read against the same; coder_*, those read against what misreading alone would make of
        true shares; misread, the share of images read as another class than they were made of,
        and misread_expected, that of reconstructions; reading, what misreading alone makes of
        the rare classes together, with its interval of 95 % over tables (bootstrap by digits);
        kl_reading, the divergence of its shares.
    """
    rare, shares = rarest(p), misread(p, table)
    said = {"read": (read, p), "coder": (read, shares)} | (
        {"made": (made, p)} if made is not None else {}
    )
    row = {
        f"{name}_{key}": value
        for name, (found, expected) in said.items()
        for key, value in against(found, expected, rare).items()
    }
    right = np.diag(table) / np.maximum(table.sum(axis=1), 1)
    kept = np.einsum("abc,a,b,c->", p.reshape(10, 10, 10), right, right, right)
    row["misread_expected"] = float(1 - kept)
    row["misread"] = None if made is None else float((read != made).mean())
    row["kl_reading"] = float(divergence(shares, p))
    row["reading"] = float(shares[rare].sum() / p[rare].sum())
    low, high = np.quantile(_resampled(p, table, rare, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return row | {"reading_low": float(low), "reading_high": float(high)}


def _resampled(p: np.ndarray, table: np.ndarray, rare: np.ndarray, seed: int) -> list[float]:
    """Return what misreading makes of the rare classes together, by tables of digits drawn again."""
    rng = np.random.default_rng([seed, 13])
    digits = (table.sum(axis=1) / 3).round().astype(int)  # each is seen in three channels
    rates = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    tables = [rng.multinomial(digits, rates) for _ in range(RESAMPLED)]
    return [float(misread(p, again)[rare].sum() / p[rare].sum()) for again in tables]
