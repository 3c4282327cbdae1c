"""Rows of one group are held out together: in validation, in calibration, in the halves of a judgement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ot_latent import DataError, LatentGenerator, OTSampler
from ot_latent._apart import apart, check_groups
from ot_latent._random import Stream, generator
from ot_latent.evaluation import _halves
from ot_latent.latent.batches import split_rows
from ot_latent.metrics import novelty_ratio
from ot_latent.transport.measures import DuplicatePointsWarning

KINDS, VARIANTS = 80, 6


def things(kinds, seed, d=5, variants=VARIANTS):
    """Variants of things: normal codes, each with near-duplicates."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(rng.normal(size=(kinds, d)), variants, axis=0)
    return codes + 0.02 * rng.normal(size=codes.shape), np.repeat(np.arange(kinds), variants)


@pytest.fixture(scope="module")
def samplers():
    codes, kinds = things(KINDS, 0)
    blind = OTSampler(tolerance=0.5, random_state=0).fit(codes)
    return codes, blind, OTSampler(tolerance=0.5, random_state=0).fit(codes, groups=kinds)


@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_cut(seed):
    sizes = np.random.default_rng(seed).integers(1, 9, size=60)
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(60), sizes))
    held, kept = apart(len(groups), len(groups) // 4, generator(seed, Stream.SPLIT, 0), groups)
    assert sorted([*held, *kept]) == list(range(len(groups)))
    assert not set(groups[held]) & set(groups[kept])
    assert len(groups) // 4 - 9 < len(held) <= len(groups) // 4


def test_groups_are_held_out_whatever_their_size():
    """A draw of rows would take the large groups first."""
    groups = np.repeat(np.arange(40), [1, 9] * 20)
    large = [
        (groups[apart(len(groups), 100, np.random.default_rng(s), groups)[0]] % 2).mean()
        for s in range(40)
    ]
    assert 0.85 < np.mean(large) < 0.92  # large groups hold 0.9 of the rows


def test_single_rows_are_held_out_where_no_group_fits_or_there_is_none():
    order = np.random.default_rng(5).permutation(10)
    for groups in (None, np.zeros(10, dtype=int)):
        held, kept = apart(10, 3, np.random.default_rng(5), groups)
        assert held.tolist() == order[:3].tolist()
        assert kept.tolist() == order[3:].tolist()


def test_groups_are_one_per_row():
    assert check_groups(None, 3) is None
    assert check_groups(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert check_groups(torch.tensor([7, 7, 2]), 3).tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="groups and the data must have the same number of rows"):
        OTSampler().fit(np.random.default_rng(0).normal(size=(5, 2)), groups=[1, 2])
    with pytest.raises(DataError, match="groups must hold one entry per row, got shape"):
        check_groups(np.zeros((3, 1)), 3)


def test_new_codes_are_new_things_and_not_variants_of_known_ones(samplers):
    """Among variants a fifth held out at random lies next to its kin, and copies pass for new."""
    codes, blind, told = samplers
    fresh = things(KINDS, 1)[0]
    ratios = [
        novelty_ratio(train=codes, holdout=fresh, generated=s.sample(1000, random_state=1))
        for s in (blind, told)
    ]
    assert ratios[0] < 0.3
    assert ratios[1] > 0.65
    assert told.calibration_.chosen.novelty < 1.3


def test_groups_are_saved_and_calibrated_with_again(samplers):
    told = samplers[2]
    again = OTSampler.from_parts(told.to_tensors(), told.to_config())
    np.testing.assert_array_equal(again.groups_, told.groups_)
    again._finish(None)
    assert again.rule_ == told.rule_
    old = told.to_tensors()
    del old["groups"]  # of a model saved before there were any
    assert OTSampler.from_parts(old, told.to_config()).groups_ is None
    assert "groups" not in samplers[1].to_tensors()


def test_equal_codes_share_the_group_of_the_first():
    codes = np.random.default_rng(0).normal(size=(6, 2))[[0, 1, 2, 3, 4, 0]]
    groups = ["a", "b", "b", "c", "d", "e"]
    with pytest.warns(DuplicatePointsWarning):
        sampler = OTSampler().fit(codes, groups=groups)
    assert sorted(sampler.groups_.tolist()) == [0, 1, 1, 2, 3]
    lost = OTSampler().fit(codes, None, [0, 1, 1, 1, 1, 1], groups=groups)
    assert sorted(lost.groups_.tolist()) == [1, 1, 2, 3, 4]


def test_early_stopping_looks_at_whole_groups():
    x, groups = torch.arange(40.0)[:, None], np.repeat(np.arange(10), 4)
    kept, held = split_rows(x, 0.2, 3, groups)
    assert (len(kept), len(held)) == (32, 8)
    assert not set((kept // 4).flatten().tolist()) & set((held // 4).flatten().tolist())
    order = generator(3, Stream.SPLIT, 0).permutation(40)  # as ever without groups
    assert split_rows(x, 0.2, 3)[1].flatten().tolist() == sorted(order[:8])


def test_a_generator_with_groups_continues_bit_for_bit():
    X, groups = things(20, 2)
    settings = {"latent_dim": 4, "epochs": 2, "random_state": 0, "device": "cpu", "width": 4}
    settings |= {"tolerance": 0.5, "extension": "none"}
    whole = LatentGenerator(**settings).fit(X, groups=groups)
    seen = {}

    def stop(event):
        if event["stage"] == "autoencoder" and event["state"] is not None and "step" in event:
            seen.setdefault("state", event["state"]())
            return True
        return None

    LatentGenerator(**settings).fit(X, groups=groups, callback=stop)
    again = LatentGenerator(**settings).fit(X, groups=groups, state={"autoencoder": seen["state"]})
    assert again.history_ == whole.history_
    np.testing.assert_array_equal(again.sample(5, 1), whole.sample(5, 1))
    np.testing.assert_array_equal(whole.sampler_.groups_, groups[: len(whole.sampler_.groups_)])
    other = LatentGenerator(**settings).fit(X)
    assert other.history_[0]["validation_loss"] != whole.history_[0]["validation_loss"]
    none = LatentGenerator(**settings, validation_fraction=0.0).fit(X, groups=groups)
    assert none.history_[0]["validation_loss"] is None


def test_halves_of_a_judgement_share_no_group():
    X, groups = things(30, 3)
    first, second = _halves(X, None, 0, 10_000, groups)
    number = {row.tobytes(): group for row, group in zip(X, groups, strict=True)}
    sets = [{number[row.tobytes()] for row in half} for half in (first, second)]
    assert not sets[0] & sets[1]
    assert len(first) == len(second) == 90
    few = _halves(X, None, 0, 50, groups)
    assert [len(half) for half in few] == [50, 50]
