"""How candidates are judged: against codes held out from the training codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ot_latent._apart import apart
from ot_latent.calibration.record import Calibration, Candidate
from ot_latent.metrics.fidelity import frechet_distance, precision_recall

HELD_OUT, SHARE = 2000, 5  # at most so many codes are held out, and at most one in so many
TOLD, SPLITS = 1200, 5  # splits are repeated until so many codes were held out, at most so often
NOVELTY = 0.92  # least novelty ratio of a candidate


class Judge:
    """Compares new codes with held-out ones.

    Parameters
    ----------
    points : Tensor of shape (N, d)
        Codes.
    held, atoms : Tensor of shape (m,)
        Numbers of the held-out codes, and of the codes of the fit that new ones are made from.
    level : float
        Median distance of held-out codes to the closest code of the fit.
    novelty : float, default=0.92
        Novelty ratio below which the score rises.
    """

    def __init__(
        self, points: Tensor, held: Tensor, atoms: Tensor, level: float, novelty: float = NOVELTY
    ) -> None:
        self.atoms = points[atoms].double()
        self._fresh = points[held].double()
        self._total = float(self._fresh.var(dim=0).sum())
        self._level, self._novelty = level, novelty
        figures = self._figures(self.atoms)
        self._real = Candidate(1.0, 0.0, 1, math.inf, *figures[:2], 1.0, figures[2], 0.0, 0.0)

    def __call__(
        self, codes: Tensor, near: Tensor, variance: float, a: float, b: float, k: int, tear: float
    ) -> Candidate:
        """Judge codes (m, d) of a setting, `near` their distances to the closest code of the fit."""
        precision, recall, frechet = self._figures(codes)
        novelty = float(near.median()) / max(self._level, 1e-300)
        found = Candidate(a, float(b), k, tear, precision, recall, variance, frechet, novelty, 0.0)
        return replace(found, score=_score(found, self._real, self._novelty))

    def outcome(self, found: list[Candidate], fitted: int) -> Calibration:
        """Return the outcome.

        Parameters
        ----------
        found : list of Candidate
            All candidates.
        fitted : int
            Number of codes of the fit.

        Returns
        -------
        Calibration
            With the candidate of the smallest score.
        """
        best = min(found, key=lambda candidate: candidate.score)
        return Calibration(best, tuple(found), self._real, fitted, len(self._fresh))

    def _figures(self, codes: Tensor) -> tuple[float, float, float]:
        """Return precision, recall and the relative Frechet distance."""
        few = codes[: len(self._fresh)]  # recall rises with the number of new codes
        both = precision_recall(real=self._fresh, generated=few)
        if len(few) < len(codes):
            both = both._replace(precision=precision_recall(real=self._fresh, generated=codes)[0])
        distance = frechet_distance(real=self._fresh, generated=codes)
        return both.precision, both.recall, distance / max(self._total, 1e-300)


def pooled(outcomes: Sequence[Calibration], novelty: float = NOVELTY) -> Calibration:
    """Return the outcome of several splits: of means over them.

    Few codes held out once tell precision and recall to some per cent only. Of the candidates whose
    score is within one standard error of the best one's (of the difference, over splits; the rule of
    one standard error [1]_) those with the largest a remain, which on average are closer to known
    maps, and the best of them is chosen.

    Parameters
    ----------
    outcomes : sequence of Calibration
        One for each split, of the same candidates.
    novelty : float, default=0.92
        Novelty ratio below which the score rises.

    Returns
    -------
    Calibration
        The choice, and the means of all candidates.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone, Classification and regression trees,
       1984, section 3.4.3.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    real = _mean([outcome.real for outcome in outcomes])
    means = [_mean(same) for same in zip(*(each.candidates for each in outcomes), strict=True)]
    found = tuple(replace(mean, score=_score(mean, real, novelty)) for mean in means)
    each = np.array([[candidate.score for candidate in o.candidates] for o in outcomes])
    scores = np.array([candidate.score for candidate in found])
    best = int(scores.argmin())
    chance = (each - each[:, [best]]).std(axis=0, ddof=1) / math.sqrt(len(outcomes))
    level = np.flatnonzero(scores - scores[best] <= chance)
    chosen = max((found[i] for i in level), key=lambda one: (one.a, -one.score))
    held = sum(outcome.held_out for outcome in outcomes)
    return Calibration(chosen, found, real, outcomes[0].fitted, held, len(outcomes))


def splits(count: int) -> int:
    """Return how often codes are split.

    Parameters
    ----------
    count : int
        Number of codes.

    Returns
    -------
    int
        Until about 1,200 codes were held out, at most 5 times.
    """
    return max(1, min(SPLITS, TOLD // max(1, held_out(count))))


def held_out(count: int) -> int:
    """Return how many codes are held out.

    Parameters
    ----------
    count : int
        Number of codes.

    Returns
    -------
    int
        A fifth, at most 2,000.
    """
    return min(HELD_OUT, count // SHARE)


def split(
    count: int, rng: np.random.Generator, families: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Return the numbers of the codes that are held out, and of the others.

    Parameters
    ----------
    count : int
        Number of codes.
    rng : numpy.random.Generator
        Source of the order.
    families : numpy.ndarray of shape (count,), optional
        Codes of one family are held out together: variants of a code that is known lie closer to
        it than anything new does.

    Returns
    -------
    held, fit : Tensor of int64
        Two disjoint sets, in random order.
    """
    held, fit = apart(count, held_out(count), rng, families)
    return torch.from_numpy(held), torch.from_numpy(fit)


def modes_of(side: Tensor, groups: Tensor | None) -> Tensor:
    """Return numbers of the combinations of side and group.

    Parameters
    ----------
    side : Tensor of shape (N,)
        Sides.
    groups : Tensor of shape (N,) or None
        Groups.

    Returns
    -------
    Tensor of shape (N,), int64
        One number per combination.
    """
    if groups is None:
        return side
    groups = groups.to(side)
    return torch.unique(side * (groups.max() + 1) + groups, return_inverse=True)[1]


def balanced(base: Tensor, local: Tensor, atoms: Tensor, modes: Tensor, most: float = 3.0) -> float:
    """Return b at which base + b local varies as much within modes as the atoms do.

    Parameters
    ----------
    base, local, atoms : Tensor of shape (m, d)
        Codes without spread, their spread, and the codes that they are made from.
    modes : Tensor of shape (m,)
        Mode of each row.
    most : float, default=3.0
        Largest b.

    Returns
    -------
    float
        The larger root of a quadratic equation, at least 0 and at most `most`.
    """
    whole, least = within(atoms, modes), within(base, modes)
    square = within(local, modes)
    cross = (within(base + local, modes) - least - square) / 2
    if square <= 0:
        return 1.0
    root = cross**2 - square * (least - whole)
    return min(most, max(0.0, (math.sqrt(max(root, 0.0)) - cross) / square))


def within(codes: Tensor, modes: Tensor) -> float:
    """Return the sum of squares around the means of the modes.

    Parameters
    ----------
    codes : Tensor of shape (m, d)
        Codes.
    modes : Tensor of shape (m,)
        Mode of each.

    Returns
    -------
    float
        Sum over all rows.
    """
    count = int(modes.max()) + 1
    size = torch.bincount(modes, minlength=count).clamp(min=1)[:, None]
    means = codes.new_zeros(count, codes.shape[1]).index_add_(0, modes, codes) / size
    return float((codes - means[modes]).square().sum())


def _score(found: Candidate, real: Candidate, novelty: float) -> float:
    """Return what a candidate lacks."""
    score = max(0.0, real.precision - found.precision) + max(0.0, real.recall - found.recall)
    score += abs(math.log(max(found.variance, 1e-9))) + max(0.0, found.frechet - real.frechet)
    return score + 10 * max(0.0, novelty - found.novelty)


def _mean(same: Sequence[Candidate]) -> Candidate:
    """Return the mean figures of one candidate on several splits; ratios by their logarithms."""
    return replace(
        same[0],
        b=float(np.mean([each.b for each in same])),
        precision=float(np.mean([each.precision for each in same])),
        recall=float(np.mean([each.recall for each in same])),
        variance=math.exp(float(np.mean([math.log(max(each.variance, 1e-9)) for each in same]))),
        frechet=float(np.mean([each.frechet for each in same])),
        novelty=float(np.mean([each.novelty for each in same])),
    )
