"""The benchmarks of generation: their laws, their judge, and a quick run."""

import json

import numpy as np
import pytest

from benchmarks import generation, generation_samplers, generation_stacked, generation_toys
from benchmarks.generation_toys import TOYS, judge
from ot_latent.estimators import OTSampler


@pytest.mark.parametrize("name", list(TOYS))
def test_fresh_points_score_like_the_law(name):
    toy = TOYS[name]()
    found = judge(toy, toy.draw(10_000, 1), toy.draw(2000, 2), seed=3)
    assert found["modes"] == found["mode_count"]
    assert found["mixture_rate"] < 0.001
    assert found["variance_ratio"] == pytest.approx(1, abs=0.05)
    assert found["novelty_ratio"] == pytest.approx(1, abs=0.06)
    assert abs(found["data_copying"]) < 4


def test_points_of_the_ring_are_those_of_the_literature():
    points = generation_toys.ring().draw(20_000, 0)
    assert np.linalg.norm(points, axis=1).mean() == pytest.approx(1, abs=1e-3)
    grid = generation_toys.grid()
    assert sorted({tuple(c) for c in grid.centres})[0] == (-4, -4)
    assert len(grid.centres) == 25


def test_spirals_are_even_by_length_and_mirror_each_other():
    toy = generation_toys.spirals()
    points = toy.draw(40_000, 0)
    assert np.abs(points.mean(0)).max() < 0.02
    pieces = np.bincount(toy.modes(points), minlength=40)
    assert pieces.min() > 0


def test_faults_are_seen():
    toy = generation_toys.ring()
    train = toy.draw(2000, 2)
    lost = toy.draw(10_000, 1)
    lost = lost[toy.modes(lost) > 0]
    assert judge(toy, lost, train, 3)["modes"] == 7
    copies = judge(toy, np.repeat(train, 5, axis=0), train, 3)
    assert copies["copy_rate"] == 1
    assert copies["data_copying"] < -20
    bridge = np.concatenate([toy.draw(9000, 1), np.zeros((1000, 2))])
    assert judge(toy, bridge, train, 3)["mixture_rate"] == pytest.approx(0.1, abs=0.002)
    spirals = generation_toys.spirals()
    off = np.concatenate([spirals.draw(900, 1), np.full((100, 2), 9.0)])
    assert judge(spirals, off, train, 3)["mixture_rate"] == pytest.approx(0.1, abs=0.005)


def test_rows_are_measured_merged_and_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(generation, "TRAIN", 200)
    for module in (generation, generation_toys):
        monkeypatch.setattr(module, "FRESH", 500)
    out = tmp_path / "generation_toy.json"
    methods = ["fresh data", "ours, affine", "control of affine", "Gaussian"]
    quick = ["--toys", "ring", "--methods", *methods, "--out", str(out)]
    for seeds in (["0"], ["0", "1"]):
        assert generation.main([*quick, "--seeds", *seeds]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 2 * len(methods)
    assert all(row["failure"] is None for row in rows)
    assert "| Gaussian | 2 |" in capsys.readouterr().out
    assert generation.main(["--show", "--out", str(out)]) == 0
    assert "± " in capsys.readouterr().out


def test_a_refusal_is_a_row(monkeypatch):
    def refuse(fits):
        raise ImportError("zuko is missing")

    monkeypatch.setitem(generation_samplers.METHODS, "normalising flow", refuse)
    monkeypatch.setattr(generation, "TRAIN", 200)
    (row,) = generation.run_toy("ring", ["normalising flow"], 0)
    assert row["failure"] == "zuko is missing"


def test_intervals_are_those_of_student():
    mean, low, high = generation.interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx(
        (2.0, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3
    )


# -- stacked digits --------------------------------------------------------------------------------


def test_shares_are_even_or_lack_a_tenth_or_fall():
    even, absent, tail = (generation_stacked.shares(v, 0) for v in generation_stacked.VARIANTS)
    assert even.tolist() == [0.001] * 1000
    assert (absent == 0).sum() == 100
    assert tail.max() / tail.min() == pytest.approx(100)
    for found in (even, absent, tail):
        assert found.sum() == pytest.approx(1)


def test_channels_show_the_digits_that_the_mode_spells():
    digits = np.arange(40)[:, None, None] * np.ones((1, 2, 2))  # each image tells its number
    labels = np.arange(40) % 10
    made = generation_stacked.stack(digits, labels, 500, generation_stacked.shares("all", 0), 3)
    seen = labels[made.images[:, :, 0, 0].astype(int)]
    assert (seen @ [100, 10, 1] == made.modes).all()
    assert made.images.shape == (500, 3, 2, 2)


def test_training_rows_diverge_as_theory_says():
    digits = np.zeros((10, 2, 2))
    p = generation_stacked.shares("absent", 4)
    made = generation_stacked.stack(digits, np.arange(10), 30_000, p, 4)
    found = generation_stacked.training_divergence("absent", 4, 30_000)
    counts = np.bincount(made.modes, minlength=1000)
    assert found == generation_stacked.divergence(counts, p)
    assert found == pytest.approx(899 / 60_000, rel=0.15)


def test_long_tailed_training_rows_keep_their_shares_to_one_row():
    p = generation_stacked.shares("tail", 2)
    modes = generation_stacked.spelt(np.random.default_rng(0), 50_000, p, even=True)
    assert np.abs(np.bincount(modes, minlength=1000) - 50_000 * p).max() < 1
    assert not np.array_equal(modes, np.sort(modes))
    assert generation_stacked.training_divergence("tail", 2, 50_000) < 0.001


def test_rare_classes_are_judged_one_by_one_all_at_once_and_together():
    p = generation_stacked.shares("tail", 0)
    draws = np.random.default_rng(1).choice(1000, size=26_000, p=p)
    found = generation_stacked.judge_modes(draws, p)
    assert found["rare_outside"] == 0
    assert found["rare_excess"] == pytest.approx(1, abs=0.25)
    rarest = np.flatnonzero(p <= np.quantile(p, 0.1))
    draws[:3000] = np.resize(rarest[:50], 3000)
    found = generation_stacked.judge_modes(draws, p)
    assert found["rare_outside"] == 50
    assert found["rare_within"] <= 0.5
    assert found["rare_excess"] > 10


def test_a_coder_of_channels_treats_them_alike(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, size=(20, 3, 8, 8)).astype(np.uint8)
    options = {"seed": 0, "latent_dim": 6, "epochs": 1}
    coder, told = generation_stacked.trained(
        tmp_path, images, generation_stacked.CHANNELS, **options
    )
    assert len(told["history"]) == 1
    codes = coder.encode(images)
    assert codes.shape == (20, 6)
    turned = coder.encode(images[:, ::-1])
    assert np.allclose(turned.reshape(20, 3, 2)[:, ::-1].reshape(20, 6), codes, atol=1e-5)
    made = coder.decode(codes)
    assert made.shape == images.shape
    assert (made[:, 1] == coder.digits.decode(codes[:, 2:4])).all()


def test_labels_that_are_given_keep_laws_within_their_modes():
    rng = np.random.default_rng(0)
    modes = np.arange(450) % 3
    codes = rng.normal(size=(450, 4)) + 3 * np.eye(3, 4)[modes]
    sampler = OTSampler(tolerance=0.3, random_state=0).fit(codes)
    told = generation_stacked.labelled(sampler, modes)
    assert sampler.labels_ is None
    assert told.transport_ is sampler.transport_
    points = sampler.codes(sampler.transport_.potential.points)
    row = np.linalg.norm(points[:, None] - codes, axis=2).argmin(1)
    near = told.map_.neighbours.numpy()
    own = (near < 0) | (modes[row][near] == modes[row][:, None])
    assert own.all()
    other = sampler.map_.neighbours.numpy()
    assert (modes[row][other] != modes[row][:, None]).any()


def test_every_column_of_stacked_digits_has_a_figure():
    keys = ("kl", "kl_floor", "novelty_ratio", "copy_rate", "absent_rate", "rare_within")
    row = dict.fromkeys(keys, 0.5) | {"modes": 9, "mode_count": 10, "variant": "all", "rows": 50}
    row |= {"method": "ours", "seed": 0, "failure": None, "latent_dim": 6, "coder_rows": 40}
    row |= {"coder": generation_stacked.WHOLE}
    row |= {"epochs": 2, "mass_error": 0.1}
    head, _, line, *_ = generation_stacked.markdown({"rows": [row]}).splitlines()
    assert head.count("|") == line.count("|")


def test_a_perfect_sampler_shows_the_floor():
    p = generation_stacked.shares("absent", 0)
    draws = np.random.default_rng(0).choice(1000, size=26_000, p=p)
    found = generation_stacked.judge_modes(draws, p)
    assert (found["modes"], found["mode_count"], found["absent_modes"]) == (900, 900, 0)
    assert found["kl"] == pytest.approx(found["kl_floor"], rel=0.15)
    assert found["rare_within"] > 0.9
    wrong = generation_stacked.judge_modes(np.where(draws < 500, 7, draws), p)
    assert wrong["modes"] < 500
    assert wrong["kl"] > 1


@pytest.mark.slow
def test_stacked_digits_are_measured(tmp_path, capsys):
    out = tmp_path / "generation_stacked.json"
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
    assert "| absent | of images | ours | 500 |" in said
    assert "- absent, 500 rows: autoencoder of images, 6 dimensions, trained on 500 rows" in said
    more = ["--variants", "tail", "--coder", generation_stacked.CHANNELS, "--methods"]
    more += [generation_stacked.REAL, *generation_stacked.LABELLED]
    assert generation.main([*quick, *more, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["method"] for row in rows[3:]] == more[-3:]
    assert {row["coder"] for row in rows[3:]} == {generation_stacked.CHANNELS}
