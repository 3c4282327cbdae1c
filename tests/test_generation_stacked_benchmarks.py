"""The benchmark of stacked digits: its sets, its judge of rare classes, its tables, and a quick run."""

import json

import numpy as np
import pytest

from benchmarks import (
    generation,
    generation_stacked as stacked,
    generation_stacked_judge as judge,
    generation_stacked_table as table,
)
from ot_latent.baselines import PlainMapSampler
from ot_latent.estimators import OTSampler

RIGHT = 1000 * 3 * np.eye(10)  # no digit is taken for another


def test_shares_are_even_or_lack_a_tenth_or_fall():
    even, absent, tail = (stacked.shares(v, 0) for v in stacked.VARIANTS)
    assert even.tolist() == [0.001] * 1000
    assert (absent == 0).sum() == 100
    assert tail.max() / tail.min() == pytest.approx(100)
    for found in (even, absent, tail):
        assert found.sum() == pytest.approx(1)


def test_channels_show_the_digits_that_the_mode_spells():
    digits = np.arange(40)[:, None, None] * np.ones((1, 2, 2))  # each image tells its number
    labels = np.arange(40) % 10
    made = stacked.stack(digits, labels, 500, stacked.shares("all", 0), 3)
    seen = labels[made.images[:, :, 0, 0].astype(int)]
    assert (seen @ [100, 10, 1] == made.modes).all()
    assert made.images.shape == (500, 3, 2, 2)


def test_training_rows_diverge_as_theory_says():
    digits = np.zeros((10, 2, 2))
    p = stacked.shares("absent", 4)
    made = stacked.stack(digits, np.arange(10), 30_000, p, 4)
    found = stacked.training_divergence("absent", 4, 30_000)
    counts = np.bincount(made.modes, minlength=1000)
    assert found == judge.divergence(counts, p)
    assert found == pytest.approx(899 / 60_000, rel=0.15)


def test_long_tailed_training_rows_keep_their_shares_to_one_row():
    p = stacked.shares("tail", 2)
    modes = stacked.spelt(np.random.default_rng(0), 50_000, p, even=True)
    assert np.abs(np.bincount(modes, minlength=1000) - 50_000 * p).max() < 1
    assert not np.array_equal(modes, np.sort(modes))
    assert stacked.training_divergence("tail", 2, 50_000) < 0.001


@pytest.fixture(scope="module")
def tail():
    return stacked.shares("tail", 0)


def drawn(p, n=26_000, seed=1):
    return np.random.default_rng(seed).choice(1000, size=n, p=p)


def test_counts_of_a_perfect_sampler_lie_within_intervals(tail):
    rare = judge.rarest(tail)
    assert rare.sum() == 100
    found = [judge.against(drawn(tail, seed=seed), tail, rare) for seed in range(40)]
    assert np.mean([one["outside"] > 0 for one in found]) <= 0.05 + 1.96 * (0.05 * 0.95 / 40) ** 0.5
    within = np.mean([one["within"] for one in found])
    assert within == pytest.approx(found[0]["within_expected"], abs=0.01)
    assert found[0]["within_expected"] > 0.95
    assert np.mean([one["together"] for one in found]) == pytest.approx(1, abs=0.04)


def test_a_doubled_class_lies_outside():
    p = np.full(1000, 1e-3)
    draws = drawn(p)
    rare = np.arange(1000) < 100
    assert judge.against(draws, p, rare)["outside"] == 0
    doubled = np.concatenate([draws, np.full(26, 7)])
    assert judge.against(doubled, p, rare)["outside"] == 1


def test_classes_made_of_others_are_seen_one_by_one_and_together(tail):
    draws, rare = drawn(tail), judge.rarest(tail)
    draws[:3000] = np.resize(np.flatnonzero(rare)[:50], 3000)
    found = judge.against(draws, tail, rare)
    assert found["outside"] == 50
    assert found["within"] <= 0.5
    assert found["together"] > 10


def test_misreading_moves_shares_as_it_moves_images(tail):
    rng = np.random.default_rng(0)
    rates = 0.97 * np.eye(10) + 0.03 * rng.dirichlet(np.ones(10), size=10)
    modes = drawn(tail, 200_000)
    steps = rng.random((3, len(modes)))
    places = [modes // 100, modes // 10 % 10, modes % 10]
    digits = [
        (u[:, None] > np.cumsum(rates, axis=1)[d]).sum(1).clip(max=9)
        for d, u in zip(places, steps, strict=True)
    ]
    read = 100 * digits[0] + 10 * digits[1] + digits[2]
    shares = judge.misread(tail, judge.reading_table(modes, read))
    assert shares.sum() == pytest.approx(1)
    assert judge.misread(tail, RIGHT) == pytest.approx(tail)
    rare = judge.rarest(tail)
    assert judge.against(read, tail, rare)["outside"] > 20
    assert judge.against(read, shares, rare)["outside"] == 0
    assert judge.against(read, shares, rare)["together"] == pytest.approx(1, abs=0.05)


def test_the_sampler_is_told_from_its_reader(tail):
    rng = np.random.default_rng(3)
    rates = 0.98 * np.eye(10) + 0.02 / 10
    made = drawn(tail)
    places = np.stack([made // 100, made // 10 % 10, made % 10])
    wrong = rng.random(places.shape) < 0.02
    read = np.array([100, 10, 1]) @ np.where(wrong, rng.integers(10, size=places.shape), places)
    found = judge.judge_rare(read, made, tail, 3000 * rates, 0)
    assert found["made_outside"] == found["coder_outside"] == 0 < found["read_outside"]
    assert found["made_together"] == pytest.approx(1, abs=0.2)
    assert found["reading_low"] < found["reading"] < found["reading_high"]
    assert found["read_together"] == pytest.approx(found["reading"], rel=0.15)
    assert found["coder_together"] == pytest.approx(1, rel=0.15)
    assert found["misread"] == pytest.approx(found["misread_expected"], abs=0.006)
    assert found["misread_expected"] == pytest.approx(1 - 0.982**3)
    assert found["kl_reading"] > 0
    even = judge.judge_rare(made, made, stacked.shares("absent", 0), RIGHT, 0)
    assert even["kl_reading"] == pytest.approx(0, abs=1e-12)
    assert "made_within" not in judge.judge_rare(read, None, tail, RIGHT, 0)


def test_every_digit_is_probed_once_in_each_channel():
    labels = np.arange(40) % 10
    probe = stacked.shuffled(np.arange(40)[:, None, None] * np.ones((1, 2, 2)), labels, 0)
    for channel in range(3):
        assert sorted(probe.images[:, channel, 0, 0]) == list(range(40))
    assert (judge.reading_table(probe.modes, probe.modes) == 12 * np.eye(10)).all()


def test_a_coder_of_channels_treats_them_alike(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, size=(20, 3, 8, 8)).astype(np.uint8)
    options = {"seed": 0, "latent_dim": 6, "epochs": 1}
    coder, told = stacked.trained(tmp_path, images, images[:, 0], stacked.CHANNELS, **options)
    assert len(told["history"]) == 1
    codes = coder.encode(images)
    assert codes.shape == (20, 6)
    turned = coder.encode(images[:, ::-1])
    assert np.allclose(turned.reshape(20, 3, 2)[:, ::-1].reshape(20, 6), codes, atol=1e-5)
    made = coder.decode(codes)
    assert made.shape == images.shape
    assert (made[:, 1] == coder.digits.decode(codes[:, 2:4])).all()


def test_a_coder_of_digits_is_the_same_for_all_variants_and_seeds(tmp_path):
    digits = np.random.default_rng(0).integers(0, 255, size=(30, 8, 8)).astype(np.uint8)
    found = [
        stacked.trained(
            tmp_path / name, digits[:0], digits, stacked.DIGITS, seed=seed, latent_dim=6, epochs=1
        )
        for name, seed in (("all", 0), ("tail", 5))
    ]
    images = np.stack([digits[:10]] * 3, axis=1)
    assert (found[0][0].encode(images) == found[1][0].encode(images)).all()
    assert [told["asked"]["rows"] for _, told in found] == [30, 30]
    assert not (tmp_path / "tail").exists()


def test_labels_that_are_given_keep_laws_within_their_modes():
    rng = np.random.default_rng(0)
    modes = np.arange(450) % 3
    codes = rng.normal(size=(450, 4)) + 3 * np.eye(3, 4)[modes]
    sampler = OTSampler(tolerance=0.3, random_state=0).fit(codes)
    told = stacked.labelled(sampler, modes)
    assert sampler.labels_ is None
    assert told.transport_ is sampler.transport_
    points = sampler.codes(sampler.transport_.potential.points)
    row = np.linalg.norm(points[:, None] - codes, axis=2).argmin(1)
    near = told.map_.neighbours.numpy()
    own = (near < 0) | (modes[row][near] == modes[row][:, None])
    assert own.all()
    other = sampler.map_.neighbours.numpy()
    assert (modes[row][other] != modes[row][:, None]).any()


def test_a_sample_is_by_construction_what_its_target_is():
    rng = np.random.default_rng(0)
    modes = np.arange(450) % 3
    codes = rng.normal(size=(450, 4)) + 30 * np.eye(3, 4)[modes]  # far apart: codes tell modes
    codes[1] = codes[4]  # one target of two rows
    with pytest.warns(UserWarning, match="1 repeated rows"):
        sampler = OTSampler(tolerance=0.3, random_state=0).fit(codes)
    targets = PlainMapSampler(sampler).targets(300, random_state=2)
    made = sampler.sample(300, random_state=2)
    near = np.linalg.norm(made[:, None] - codes, axis=2).argmin(1)
    assert (stacked.of_targets(sampler, modes)[targets] == modes[near]).all()


def test_every_column_of_stacked_digits_has_a_figure(tail):
    keys = ("kl", "kl_floor", "novelty_ratio", "copy_rate", "absent_rate")
    row = dict.fromkeys(keys, 0.5) | {"modes": 9, "mode_count": 10, "variant": "tail", "rows": 50}
    row |= {"method": "ours", "seed": 0, "failure": None, "latent_dim": 6, "coder_rows": 40}
    row |= {"coder": stacked.WHOLE, "epochs": 2, "mass_error": 0.1}
    older = table.markdown({"rows": [row]})
    assert "Rare classes" not in older
    made = drawn(tail)
    rows = [
        row | {"seed": seed} | judge.judge_rare(made, known, tail, RIGHT, 0)
        for seed, known in ((0, made), (1, made))
    ]
    rows.append(rows[0] | {"method": "Gaussian", "misread": None})
    rows.append(row | {"method": "earlier", "read_outside": 3, "read_together": 1.5})
    said = table.markdown({"rows": rows})
    assert "| tail | of images | ours | 50 | 2 | 9/10 | 0.500 ± 0.000 |" in said
    assert "| 0, 0 |" in said
    assert "| of images | earlier | 1 | - | - | - | - | 3 | 1.50 | - | - | - | - |" in said
    for text in (older, said):
        for part in text.split("\n\n"):
            assert len({line.count("|") for line in part.splitlines()}) == 1


def test_a_perfect_sampler_shows_the_floor():
    p = stacked.shares("absent", 0)
    draws = np.random.default_rng(0).choice(1000, size=26_000, p=p)
    found = judge.judge_modes(draws, p)
    assert (found["modes"], found["mode_count"], found["absent_modes"]) == (900, 900, 0)
    assert found["kl"] == pytest.approx(found["kl_floor"], rel=0.15)
    wrong = judge.judge_modes(np.where(draws < 500, 7, draws), p)
    assert wrong["modes"] < 500
    assert wrong["kl"] > 1


@pytest.mark.slow
def test_stacked_digits_are_measured(tmp_path, capsys):
    out = tmp_path / "stacked.json"
    quick = ["--table", "stacked", "--data", "digits", "--rows", "500", "--samples", "600"]
    quick += ["--latent-dim", "6", "--epochs", "2", "--variants", "absent", "--seeds", "0"]
    quick += ["--runs", str(tmp_path / "runs")]
    methods = ["ours", "control", "reconstructions"]
    assert generation.main([*quick, "--methods", *methods, "--out", str(out)]) == 0
    rows = {row["method"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == set(methods)
    assert rows["ours"]["modes"] > 0.3 * rows["reconstructions"]["modes"] > 0
    assert all(row["mode_count"] == 900 for row in rows.values())
    said = capsys.readouterr().out
    assert "| absent | of images | ours | 500 | 1 |" in said
    assert (
        "- absent, 500 rows, seed 0: autoencoder of images, 6 dimensions, trained on 500 rows"
        in said
    )
    more = ["--variants", "tail", "--coder", stacked.DIGITS, "--methods"]
    more += [stacked.REAL, *stacked.LABELLED]
    assert generation.main([*quick, *more, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["method"] for row in rows[3:]] == more[-3:]
    assert {row["coder"] for row in rows[3:]} == {stacked.DIGITS}
