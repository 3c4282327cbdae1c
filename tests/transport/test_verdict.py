"""Verdicts: what ends them before their last draw."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ot_latent.transport import verdict
from ot_latent.transport.verdict import KNOWN


class Told:
    """A survey of many draws whose error is known to an interval that doubles of draws halve."""

    def __init__(self, draws: int, interval: tuple[float, float]) -> None:
        self.draws, self.interval, self.sums = draws, interval, None

    def mass_error(self, weights: torch.Tensor) -> tuple[float, tuple[float, float]]:
        """Return the middle and the interval."""
        return sum(self.interval) / 2, self.interval

    def merged(self, other: Told) -> Told:
        """Return a survey of the draws of both."""
        low, high = self.interval
        rest = (high - low) / 4
        return Told(self.draws + other.draws, (low + rest, high - rest))


def draws_until_certain(monkeypatch, interval, *, final, tolerance=0.1):
    """Return how many draws a survey takes whose first interval is given."""
    asked: list[int] = []

    def survey(state, sampler, start, draws):
        asked.append(draws)
        return Told(draws, interval)

    monkeypatch.setattr(verdict, "_survey", survey)
    target = SimpleNamespace(weights=torch.full((1000,), 1e-3))
    sampler = SimpleNamespace(
        target=type("Target", (), {"__len__": lambda _: 1000, "weights": target.weights})(),
        rows=1,
        whole=int,
    )
    state = SimpleNamespace(evaluated=0, inflation=1.0)
    found = verdict._certain_survey(state, sampler, tolerance, final=final)
    assert found.draws == sum(asked)
    return len(asked)


def test_an_error_far_above_the_tolerance_is_told_by_few_draws(monkeypatch):
    assert draws_until_certain(monkeypatch, (0.30, 0.35), final=False) == 1


@pytest.mark.parametrize(("width", "looks"), [(0.9 * KNOWN, 1), (1.2 * KNOWN, 2)])
def test_an_error_that_says_what_is_missing_is_known_to_a_third(monkeypatch, width, looks):
    """An accident of few draws may exclude the tolerance, but not plan the steps to come."""
    low = 0.2
    found = draws_until_certain(monkeypatch, (low, low * (1 + width)), final=False)
    assert found == looks


def test_the_last_verdict_needs_no_more_than_to_exclude(monkeypatch):
    assert draws_until_certain(monkeypatch, (0.12, 0.20), final=True) == 1
    assert draws_until_certain(monkeypatch, (0.12, 0.20), final=False) > 1
