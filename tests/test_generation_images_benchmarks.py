"""The benchmarks of generated images: what is kept, the judges, the table and what it says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import (
    generation,
    generation_images as images,
    generation_images_autoencoders as autoencoders,
    generation_images_judges as judges,
    generation_images_models as models,
    generation_images_table as table,
    generation_pythae,
)
from ot_latent.config import AutoencoderConfig
from ot_latent.datasets.loading import load
from ot_latent.datasets.record import Dataset
from ot_latent.estimators import OTSampler
from ot_latent.generator import LatentGenerator

GIVEN = "ours, labels given"
QUICK = ["--data", "digits", "--rows", "300", "--latent-dim", "6", "--epochs", "2"]
QUICK += ["--judge-epochs", "1", "--limit", "60", "--seeds", "0"]


# -- what is kept ----------------------------------------------------------------------------------


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, size=(80, 8, 8)).astype(np.uint8)


def test_an_autoencoder_is_trained_once_and_found_again(tmp_path, digits):
    settings = {"seed": 0, "latent_dim": 3, "epochs": 1}
    first, told = models.coder(tmp_path / "a", digits, **settings)
    second, again = models.coder(tmp_path / "a", digits, **settings)
    assert (first.encode(digits) == second.encode(digits)).all()
    assert again["cpu_s"] == told["cpu_s"]
    with pytest.raises(ValueError, match="must have been made with"):
        models.coder(tmp_path / "a", digits, **settings | {"epochs": 2})


def test_a_transport_is_solved_once_and_can_be_extended_anew(tmp_path):
    codes = np.random.default_rng(1).normal(size=(60, 4))
    first = models.transport(tmp_path / "t", codes, seed=0)
    for again in (False, True):
        found = models.transport(tmp_path / "t", codes, seed=0, again=again)
        assert (found.transport_.potential.heights == first.transport_.potential.heights).all()
        assert np.allclose(found.sample(9, random_state=1), first.sample(9, random_state=1))


def test_a_judge_is_named_by_its_parameters(tmp_path):
    x, y = torch.rand(40, 1, 8, 8), np.arange(40) % 2
    kept = models.classifier(tmp_path / "c", x, y, epochs=1)
    digest = models.digest(tmp_path / "c")
    found = models.classifier(tmp_path / "c", x, y, epochs=1)
    assert (kept.features(x) == found.features(x)).all()
    assert len(digest) == 64
    models.classifier(tmp_path / "d", x, 1 - y, epochs=1)
    assert models.digest(tmp_path / "d") != digest


# -- judges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "count"), [(1, 8), (3, 24)])
def test_transformations_differ_and_keep_the_values(channels, count):
    x = torch.rand(1, channels, 8, 8)
    made = [judges.transformed(x, number) for number in range(count)]
    for k, one in enumerate(made):
        assert torch.equal(one.flatten().sort().values, x.flatten().sort().values)
        assert not any(torch.equal(one, other) for other in made[:k])
    puzzle, answer = judges.puzzle(x.expand(5, -1, -1, -1), seed=1)
    assert len(puzzle) == 40
    assert all(torch.equal(puzzle[i], made[answer[i]][0]) for i in range(40))


def _view(rng, n, shift=0.0, sure=0.9):
    features = {"classifier": rng.normal(size=(n, 5)) + shift}
    confidence = np.where(rng.random(n) < sure, 0.99, 0.4) + 1e-3 * rng.random(n)
    return judges.View(features, rng.normal(size=(n, 3)) + shift, np.arange(n) % 10, confidence)


def test_scores_tell_real_images_from_faults():
    rng = np.random.default_rng(2)
    train, b, fresh = (_view(rng, n) for n in (900, 500, 500))
    judge = judges.Judge(b, train, 0)
    real = judge.score(fresh)
    assert real["spaces"]["classifier"]["frechet"][0] < 0.2
    assert real["novelty_ratio"][0] == pytest.approx(1, abs=0.15)
    assert real["mode_kl"][0] == pytest.approx(0, abs=1e-3)
    assert real["mixture_rate"][0] == pytest.approx(0.01, abs=0.02)
    away = judge.score(_view(rng, 500, shift=3.0))
    assert away["spaces"]["classifier"]["frechet"][1] > 30
    assert away["spaces"]["classifier"]["precision"][2] < 0.1
    copies = judge.score(train)
    assert copies["copy_rate"][0] == copies["feature_copies"][0] == 1
    lost = judges.View(fresh.features, fresh.codes, np.zeros(500, dtype=int), fresh.confidence)
    assert judge.score(lost)["mode_kl"][0] > 1
    for entry in real["spaces"]["classifier"].values():
        assert entry[1] <= entry[0] <= entry[2]


# -- the table -------------------------------------------------------------------------------------


def _row(method, seed, distance, novelty=1.0, precision=0.9):
    spaces = {
        name: {"frechet": [distance, distance - 0.1, distance + 0.1], "coverage": [0.9, 0.8, 1]}
        | {"precision": [precision, 0.8, 1.0], "recall": [0.8, 0.7, 0.9]}
        for name in ("classifier", "transformation")
    }
    same = {"copy_rate": [0, 0, 0], "mixture_rate": [0.01, 0, 0.02], "mode_kl": None}
    same |= {"novelty_ratio": [novelty] * 3, "feature_novelty": [1, 1, 1], "cpu_s": 1.0}
    told = {"data": "mnist", "rows": 9, "held_out": 5, "latent_dim": 3, "epochs": 2}
    told |= {"judges": {"classifier": "ab" * 32, "transformation": "cd" * 32}, "failure": None}
    return told | same | {"method": method, "seed": seed, "spaces": spaces, "mass_error": 0.1}


def test_the_table_says_where_a_rival_wins():
    rows = [_row(images.CEILING, 0, 1.0), _row("ours", 0, 1.5, precision=0.8)]
    rows += [_row("control", 0, 1.1), _row("kernel density", 0, 0.5, novelty=0.5)]
    rows += [_row("reconstructions by another", 0, 0.9)]  # no sampler: not a rival
    rows += [_row("vine copula", 0, 1.0) | {"failure": "no library"}]
    said = table.markdown({"rows": rows})
    assert "against the ceiling: 1.50 and 1.00, ours is wholly above." in said
    assert "precision 0.80 of 0.90" in said
    assert "wholly below ours (classifier): control." in said
    assert "Not measured: vine copula: no library" in said
    assert "rms 0.100" in said
    rows[-1] |= {"failure": None, "fitted": 2_000}
    assert "Fitted to a part of the codes: vine copula 2,000." in table.markdown({"rows": rows})
    won = table.markdown({"rows": [_row(images.CEILING, 0, 1.0), _row("ours", 0, 1.0, 0.8)]})
    assert "1.00 and 1.00, ours is not above." in won
    assert "(classifier): none." in won
    blend = _row("ours", 0, 1.0) | {"mixture_rate": [0.05, 0.04, 0.06]}
    said = table.markdown({"rows": [_row(images.CEILING, 0, 1.0), blend]})
    assert "More mixtures than the ceiling's interval: 5.0 %." in said
    near = table.markdown({"rows": [_row(images.CEILING, 0, 1.0), _row("ours", 0, 1.1)]})
    assert "1.10 and 1.00, intervals overlap." in near
    assert "novelty ratio of ours, 0.80, is below 0.9" in won
    assert table.markdown({"rows": [_row("ours", 0, 1.0)]}).count("\n- ") == 0
    rows = [_row(images.CEILING, 0, 1.0), _row("ours", 0, 1.5), _row("control", 0, 0.5)]
    rows += [_row(name, 0, 0.9 + k / 10) for k, name in enumerate(images.REFINED)]
    said = table.markdown({"rows": rows})
    assert (
        "\n- Rivals at novelty 0.9 or more with an interval wholly below ours (classifier): control."
        in said
    )
    assert (
        "- Refined: FD (classifier) against the ceiling: 1.00 and 0.90, intervals overlap." in said
    )


def test_intervals_are_the_seeds_where_there_are_several():
    assert table.over_seeds([[1.0, 0.5, 2.0]]) == (1.0, 0.5, 2.0)
    mean, low, high = table.over_seeds([[v, 0.0, 9.0] for v in (4.0, 5.0, 6.0)])
    assert (mean, high - low) == pytest.approx((5.0, 2 * 4.303 / 3**0.5), rel=1e-3)
    assert table.over_seeds([[v, 0.0, 9.0] for v in (1.0, 2.0, 3.0)])[1] == 0


def test_halves_share_no_group():
    groups = np.repeat(np.arange(12), 5)
    test = Dataset(np.zeros((60, 2)), None, "variants", groups=groups)
    a, b = images._halves(test, 0, None)
    assert len(a) == len(b) == 30
    assert not set(groups[a]) & set(groups[b])
    assert [len(part) for part in images._halves(test, 0, 7)] == [7, 7]
    alone = images._halves(Dataset(np.zeros((60, 2)), None, "rows"), 0, None)
    assert sorted(np.concatenate(alone)) == list(range(60))


def test_variants_can_be_left_unknown():
    """The same transport, calibrated as if its codes were no variants of one another."""
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.normal(size=(80, 5)), 6, axis=0) + 0.02 * rng.normal(size=(480, 5))
    told = OTSampler(tolerance=0.5, random_state=0).fit(codes, groups=np.repeat(np.arange(80), 6))
    unknown = models.blind(told)
    assert torch.equal(unknown.transport_.potential.heights, told.transport_.potential.heights)
    assert unknown.groups_ is None
    assert unknown.rule_.b < 0.1 < told.rule_.b


# -- measured in a small size ----------------------------------------------------------------------


@pytest.mark.slow
def test_images_are_measured_and_resumed(tmp_path, capsys):
    out = tmp_path / "images.json"
    where = ["--runs", str(tmp_path / "runs"), "--out", str(out)]
    for methods in (["ours", images.REAL], ["ours", images.SEEN, GIVEN, images.CEILING]):
        told = ["--table", "images", *QUICK, *where, "--methods", *methods]
        assert generation.main(told) == 0
    rows = {row["method"]: row for row in json.loads(out.read_text())["rows"]}
    assert list(rows) == ["ours", images.REAL, images.SEEN, GIVEN, images.CEILING]
    assert rows[images.SEEN]["copy_rate"][0] == 1.0
    assert all(len(digest) == 64 for digest in rows["ours"]["judges"].values())
    assert rows[images.REAL]["spaces"]["classifier"]["precision"][0] > 0.6
    assert f"| {images.SEEN} | 1 |" in capsys.readouterr().out
    quick = [*QUICK, *where[:2], "--out", str(tmp_path / "autoencoders.json")]
    assert generation.main(["--table", "autoencoders", *quick, "--autoencoders", "plain"]) == 0
    (row,) = json.loads((tmp_path / "autoencoders.json").read_text())["rows"]
    assert row["variant"] == "plain"
    assert row["held_out_mse"] > 0


@pytest.mark.slow
def test_seeds_of_a_run_share_its_networks_and_solve_their_own_transport(tmp_path):
    digits = load("digits", split="train")
    model = LatentGenerator(latent_dim=6, epochs=1, tolerance=0.5).fit(digits.x, digits.y)
    model.save_pretrained(tmp_path / "run")
    out, runs = tmp_path / "images.json", tmp_path / "runs"
    told = ["--table", "images", *QUICK[:2], "--judge-epochs", "1", "--limit", "60"]
    told += ["--run", str(tmp_path / "run"), "--runs", str(runs), "--out", str(out)]
    assert generation.main([*told, "--seeds", "0", "1", "--methods", "ours"]) == 0
    first, second = json.loads(out.read_text())["rows"]
    assert first["judges"] == second["judges"]
    assert first["mass_error"] == float(model.sampler_.transport_.mass_error)
    assert first["mass_error"] != second["mass_error"]
    (kept,) = runs.glob("digits/*-1-*/transport/config.json")  # seed 0 takes the run's own
    before = kept.read_bytes()
    assert generation.main([*told, "--seeds", "1", "--methods", "plain map"]) == 0
    assert kept.read_bytes() == before
    assert generation.main([*told, "--seeds", "1", "--methods", *images.REFINED]) == 0
    shown = {r["method"]: r for r in json.loads(out.read_text())["rows"] if r["seed"] == 1}
    same, other = shown["ours"], shown["ours, refined"]
    assert same["novelty_ratio"] == other["novelty_ratio"]  # the same codes, decoded otherwise
    assert same["spaces"] != other["spaces"]
    case = images.Case(
        "digits", 1, runs, run=tmp_path / "run", latent_dim=6, epochs=None, limit=60, judge_epochs=1
    )
    solved = case.transport(case.coder()[0].encode(case.train))
    assert solved.labels_ is not None
    assert solved.transport_.tolerance == model.sampler_.transport_.tolerance


def test_the_plain_autoencoder_is_plain():
    config = AutoencoderConfig(latent_dim=4)
    model = autoencoders.plain_autoencoder(config, (1, 28, 28), 0)
    raw, codes = model(torch.rand(3, 1, 28, 28))
    assert (tuple(raw.shape), tuple(codes.shape)) == ((3, 1, 28, 28), (3, 4))
    assert not any("Norm" in type(part).__name__ for part in model.modules())
    with pytest.raises(ValueError, match="divisible by 4"):
        autoencoders.plain_autoencoder(config, (1, 30, 28), 0)


def test_ceilings_are_compared_without_their_floor():
    def row(variant, distance, seed=0):
        spaces = {"classifier": {"frechet": [distance, 0, 9], "precision": [1, 1, 1]}}
        spaces["classifier"]["recall"] = [1, 1, 1]
        floor = {"classifier": {"frechet": [1.0, 0, 9]}}
        told = {"data": "mnist", "rows": 9, "asked_epochs": None, "epochs": 3, "train_cpu_s": 1.0}
        told |= {"judges": {"classifier": "ab"}, "held_out_mse": 0.1, "seed": seed}
        ours = {"spaces": spaces, "novelty_ratio": [1, 1, 1]}
        return told | {"variant": variant, images.REAL: floor, "ceiling": spaces, "ours": ours}

    said = autoencoders.markdown({"rows": [row("default", 2.0), row("plain", 5.0)]})
    assert "1.00 against 4.00 of the plain autoencoder, 0.25 of it" in said
    seeds = [row("default", 2.0 + seed, seed) for seed in range(3)]
    lower = [row("refined", 1.5 + seed, seed) for seed in range(3)]
    said = autoencoders.markdown({"rows": [*seeds, *lower, row("plain", 5.0)]})
    assert "1.00 against 4.00" in said  # on the one seed that both have
    assert "3 seeds: reconstructions (classifier) -0.50 [-0.50, -0.50], samples" in said


@pytest.mark.slow
def test_peers_are_judged_on_our_networks(tmp_path):
    pytest.importorskip("pythae")
    out = tmp_path / "images.json"
    told = [*QUICK, "--runs", str(tmp_path / "runs"), "--out", str(out)]
    for _ in range(2):  # the second sitting trains nothing
        assert generation_pythae.main(told) == 0
    rows = {row["method"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == set(generation_pythae.MODELS.values()) | set(
        generation_pythae.REBUILT.values()
    )
    assert rows[generation_pythae.RAE]["train_cpu_s"] > 0
    with pytest.raises(ValueError, match="must hold a model of 1 epochs, got 2"):
        generation_pythae.main([*told, "--models", "vae", "--stages", "1", "1"])


def test_the_loss_of_a_second_stage_is_the_evidence_bound():
    rng = torch.Generator().manual_seed(0)
    made, x, mu, spread = (torch.randn(50, 3, generator=rng) for _ in range(4))
    scale = torch.tensor([[-0.6]])  # its sign means nothing
    second = SimpleNamespace(decoder=SimpleNamespace(gamma_z=scale))
    loss = generation_pythae.likelihood(second)(made, x, mu, spread, None)[0]
    laws = torch.distributions
    posterior = laws.Normal(mu, (0.5 * spread).exp())
    bits = laws.kl_divergence(posterior, laws.Normal(torch.tensor(0.0), torch.tensor(1.0)))
    told = bits.sum(1) - laws.Normal(made, 0.6).log_prob(x).sum(1)
    constant = 1.5 * np.log(2 * np.pi)
    assert float(loss) == pytest.approx(float(told.mean()) - constant, rel=1e-5)


def test_a_missing_library_is_told(monkeypatch, capsys):
    monkeypatch.setattr(generation_pythae, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        generation_pythae.main([])
    assert "pythae must be installed, got none" in capsys.readouterr().err
