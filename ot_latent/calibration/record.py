"""What a calibration is told and what it returns: given numbers, candidates, the choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ot_latent.transport.extension import USUAL, USUAL_LOW

USUAL_TEAR = 3.0  # threshold that parts the codes into modes, in which variances are compared
_NAMES = ("neighbours", "a", "b", "tear")
FEW = (USUAL[0], 0.6, USUAL[2])  # of .5 the bound on a settled spread leaves too little variance
DEFAULTS, LOW_DEFAULTS = (
    dict(zip(_NAMES, (*usual, USUAL_TEAR), strict=True)) for usual in (FEW, USUAL_LOW)
)


@dataclass(frozen=True)
class Candidate:
    """One setting of the map, and how its codes compare with held-out ones.

    Attributes
    ----------
    a, b, neighbours, tear : float, float, int, float
        As in `transport.ExtendedMap`.
    precision, recall : float
        In code space, against the held-out codes.
    variance : float
        Variance within groups and sides (those of a tear threshold of 3) over that of the codes.
    frechet : float
        Frechet distance over the total variance of the codes.
    novelty : float
        Median distance to the closest code of the fit, over that of the held-out codes.
    score : float
        What is minimised.
    """

    a: float
    b: float
    neighbours: int
    tear: float
    precision: float
    recall: float
    variance: float
    frechet: float
    novelty: float
    score: float


@dataclass(frozen=True)
class Calibration:
    r"""Outcome of a calibration.

    The score is the shortfall of precision and of recall against those of codes of the fit, plus
    the absolute logarithm of the variance ratio, plus the excess of the Frechet distance over
    that of codes of the fit, relative to the total variance; ten times what the novelty ratio
    lacks of 0.92 (simplices: 0.9) is added.

    Attributes
    ----------
    chosen : Candidate
        The candidate of the smallest score, the first of equals; from several splits one that
        chance cannot tell from it (`calibration.judge.pooled`).
    candidates : tuple of Candidate
        All of them.
    real : Candidate
        The same figures for codes of the fit in the place of new ones.
    fitted, held_out : int
        How many codes laws were made from, and how many they were judged by, in all splits.
    splits : int
        How often codes were split; figures are means over splits.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    real: Candidate
    fitted: int
    held_out: int
    splits: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` returned.

        Parameters
        ----------
        values : dict
            The outcome as plain values.

        Returns
        -------
        Calibration
            The outcome.
        """
        return cls(
            Candidate(**values["chosen"]),
            tuple(Candidate(**value) for value in values["candidates"]),
            Candidate(**values["real"]),
            values["fitted"],
            values["held_out"],
            values.get("splits", 1),  # earlier files know one
        )


class Fixed(NamedTuple):
    """Numbers that are given and not to be chosen; None leaves one open."""

    a: float | None = None
    """Anchor."""
    b: float | None = None
    """Spread."""
    neighbours: int | None = None
    """Neighbours."""
    tear: float | None = None
    """Tear."""

    def settings(self, low: bool = False) -> dict[str, Any]:
        """Return the given numbers, filled up with those that serve without a calibration.

        Parameters
        ----------
        low : bool, default=False
            Whether the map is that of simplices.

        Returns
        -------
        dict
            Keys a, b, neighbours, tear.
        """
        given = {key: value for key, value in self._asdict().items() if value is not None}
        return (LOW_DEFAULTS if low else DEFAULTS) | given


OPEN = Fixed()
