"""`LatentGenerator` end to end: layouts, rows, there and back, files, interruptions, refusals."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from ot_latent._validation import DataError
from ot_latent.generator import LatentGenerator
from ot_latent.latent.training import TrainingState
from ot_latent.transport.solution import Status
from ot_latent.transport.stochastic import StochasticNewtonState

FAST = {"latent_dim": 4, "epochs": 1, "width": 4, "tolerance": 0.3, "random_state": 0}


def pictures(n=120, channels=None, seed=0):
    """Two kinds of 8 x 8 pictures: a bright upper or lower half, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    X = rng.integers(0, 60, size=(n, 8, 8))
    X[labels == 0, :4] += 150
    X[labels == 1, 4:] += 150
    X = X.astype(np.uint8)
    return (X if channels is None else np.repeat(X[..., None], channels, -1)), labels


@pytest.fixture(scope="module")
def fitted():
    X, y = pictures()
    return LatentGenerator(**FAST).fit(X, y)


def test_samples_have_layout_dtype_and_range_of_the_data(fitted):
    new = fitted.sample(5, random_state=1)
    assert new.shape == (5, 8, 8)
    assert new.dtype == np.uint8
    X, _ = pictures(channels=3)
    new = LatentGenerator(**FAST).fit(X[:60].astype(np.float64) / 255).sample(3)
    assert new.shape == (3, 8, 8, 3)
    assert new.dtype == np.float64
    assert 0 <= new.min() <= new.max() <= 1


def test_rows_depend_on_seed_and_number_alone(fitted):
    whole = fitted.sample(1100, random_state=7)
    for n in (1, 7, 64, 1030):
        assert np.array_equal(fitted.sample(n, random_state=7), whole[:n])


def test_label_and_noise(fitted):
    for label in (0, 1):
        new = fitted.sample(20, random_state=2, label=label).astype(float)
        upper = new[:, :4].mean((1, 2)) > new[:, 4:].mean((1, 2))
        assert (upper == (label == 0)).mean() > 0.8
    x = fitted.sampler_.source_.sample(4, seed=1).numpy()
    assert np.array_equal(fitted.sample(noise=x), fitted.decode(fitted.sampler_.sample(noise=x)))


def test_there_and_back(fitted):
    X, _ = pictures()
    codes = fitted.encode(X)
    assert codes.shape == (120, 4)
    assert np.array_equal(fitted.reconstruct(X), fitted.decode(codes))
    assert np.array_equal(fitted.encode(X[:7]), codes[:7])
    assert fitted.noise(codes).shape == (120, 4)


def test_interpolation_walks_straight_in_noise(fitted):
    X, _ = pictures()
    path = fitted.interpolate(X[0], X[1], steps=5)
    assert path.shape == (5, 8, 8)
    ends = fitted.noise(fitted.encode(X[:2]))
    assert np.array_equal(path[[0, -1]], fitted.sample(noise=ends))
    paths = fitted.interpolate(X[:3], X[3:6], steps=5)
    assert paths.shape == (3, 5, 8, 8)


def test_folder_holds_everything(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    twin = LatentGenerator.from_pretrained(tmp_path / "model")
    X, _ = pictures()
    assert np.array_equal(twin.sample(9, random_state=3), fitted.sample(9, random_state=3))
    assert np.array_equal(
        twin.sample(9, random_state=3, label=1), fitted.sample(9, random_state=3, label=1)
    )
    assert np.array_equal(twin.encode(X), fitted.encode(X))
    for ours, theirs in zip(fitted.classifier_(X), twin.classifier_(X), strict=True):
        assert np.array_equal(ours, theirs)
    assert twin.history_ == fitted.history_
    assert twin.train_error_ == fitted.train_error_
    assert twin.get_params()["latent_dim"] == 4
    assert twin.transport_.status is fitted.transport_.status


def test_interrupted_fit_continues_bit_for_bit(fitted):
    X, y = pictures()

    class Stop(Exception):
        """What a run raises from inside the callback."""

    for stage, kind in (("autoencoder", TrainingState), ("transport", StochasticNewtonState)):
        kept = {}

        def stop(event, stage=stage, kept=kept):
            state = event["state"]
            if state is not None:
                kept[event["stage"]] = state() if callable(state) else state
            if event["stage"] == stage and event["progress"] > 0.3:
                raise Stop

        with pytest.raises(Stop):
            LatentGenerator(**FAST).fit(X, y, callback=stop)
        assert isinstance(kept[stage], kind)
        resumed = LatentGenerator(**FAST).fit(X, y, state=kept)
        assert np.array_equal(resumed.sample(5, random_state=1), fitted.sample(5, random_state=1))


def test_stages_are_told_in_order():
    X, y = pictures()
    events = []
    LatentGenerator(**FAST).fit(X, y, callback=events.append)
    stages = list(dict.fromkeys(e["stage"] for e in events))
    assert stages == ["autoencoder", "encode", "transport", "extension", "classifier"]
    assert all(0 <= e["progress"] <= 1 for e in events)
    for stage in stages:
        assert [e for e in events if e["stage"] == stage][-1]["progress"] == 1
    encoded = [e for e in events if e["stage"] == "encode"][-1]
    assert encoded["codes"].shape == (120, 4)


def test_transport_alone_is_refined(fitted):
    X, y = pictures()
    gen = LatentGenerator(**FAST).fit(X, y)
    codes = gen.encode(X)
    gen.refit_transport(0.1)
    assert gen.transport_.status is Status.CONVERGED
    assert gen.transport_.tolerance == 0.1
    assert np.array_equal(gen.encode(X), codes)


def test_vectors():
    X = np.random.default_rng(0).normal(size=(80, 6)) * [1, 10, 100, 1, 1, 1]
    gen = LatentGenerator(**FAST).fit(X)
    assert gen.sample(5, random_state=0).shape == (5, 6)
    assert gen.classifier_ is None
    assert gen.interpolate(X[0], X[1], 3).shape == (3, 6)


def test_networks_of_your_own(tmp_path):
    X = np.random.default_rng(0).normal(size=(80, 3, 2)).astype(np.float32)
    net = {
        "encoder": lambda x: 2 * x.flatten(1),
        "decoder": lambda z: z.unflatten(1, (3, 2)) / 2,
    }
    gen = LatentGenerator(**net, tolerance=0.3, random_state=0).fit(X)
    np.testing.assert_allclose(gen.reconstruct(X), X, rtol=1e-6)
    assert gen.interpolate(X[0], X[1], 4).shape == (4, 3, 2)
    gen.save_pretrained(tmp_path / "model")
    twin = LatentGenerator.from_pretrained(tmp_path / "model", **net)
    assert np.array_equal(twin.sample(9, random_state=1), gen.sample(9, random_state=1))
    with pytest.raises(ValueError, match="must be given both encoder and decoder"):
        LatentGenerator.from_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="must be given both encoder and decoder"):
        LatentGenerator(encoder=net["encoder"]).fit(X)
    with pytest.raises(DataError, match="rows of shape"):
        gen.encode(X[:, :2])


def test_networks_of_your_own_keep_integers_in_range():
    X, _ = pictures(60)
    flat = LatentGenerator(
        encoder=lambda x: x.flatten(1)[:, :4],
        decoder=lambda z: 10 * z.repeat(1, 16).unflatten(1, (8, 8)),
        tolerance=0.5,
    ).fit(X)
    new = flat.sample(3, random_state=0)
    assert new.dtype == np.uint8
    assert flat.decode(np.full((1, 4), 1e6)).max() == 255


def test_wrong_networks_are_refused():
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="encoder must return"):
        LatentGenerator(encoder=lambda x: x[:5], decoder=lambda z: z).fit(X)
    with pytest.raises(ValueError, match="decoder must return rows of shape"):
        LatentGenerator(encoder=lambda x: x, decoder=lambda z: z[:, :2]).fit(X)


def test_unfitted_generator_names_fit():
    gen = LatentGenerator()
    for call in (
        lambda: gen.sample(1),
        lambda: gen.encode(np.zeros((1, 8, 8))),
        lambda: gen.decode(np.zeros((1, 16))),
        lambda: gen.noise(np.zeros((1, 16))),
        lambda: gen.transport_,
        lambda: gen.save_pretrained("nowhere"),
        lambda: gen.evaluate(np.zeros((50, 8, 8))),
        lambda: gen.refit_transport(),
        lambda: gen.interpolate(np.zeros((8, 8)), np.zeros((8, 8))),
    ):
        with pytest.raises(NotFittedError, match="'fit'"):
            call()


def test_refusals(fitted):
    X, y = pictures()
    with pytest.raises(ValueError, match="must have a box, a polytope or a grid of at most 3"):
        LatentGenerator(solver="exact").fit(X)  # before the autoencoder is trained
    with pytest.raises(DataError, match="same number of rows"):
        LatentGenerator(**FAST).fit(X, y[:-1])
    with pytest.raises(DataError):
        LatentGenerator(**FAST).fit(X[:1])
    with pytest.raises(ValueError, match="latent_dim"):
        LatentGenerator(latent_dim=0).fit(X)
    with pytest.raises(ValueError, match="same shape"):
        fitted.interpolate(X[0], X[:2])
    with pytest.raises(ValueError, match="steps must be"):
        fitted.interpolate(X[0], X[1], 0)
    with pytest.raises(DataError, match="4 columns"):
        fitted.decode(np.zeros((2, 3)))


@pytest.mark.gpu
def test_a_model_made_on_a_gpu_samples_on_the_cpu(tmp_path):
    X, y = pictures()
    gen = LatentGenerator(**FAST, device="cuda").fit(X, y)
    gen.save_pretrained(tmp_path / "model")
    twin = LatentGenerator.from_pretrained(tmp_path / "model", device="cpu")
    assert twin.transport_.potential.points.device == torch.device("cpu")
    difference = twin.sample(9, random_state=1).astype(int) - gen.sample(9, random_state=1)
    assert abs(difference).max() <= 3


@pytest.mark.slow
def test_digits_from_data_to_judgement():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8).astype(np.float32)
    held_out = np.arange(len(X)) % 5 == 0
    gen = LatentGenerator(latent_dim=16, random_state=0).fit(X[~held_out], y[~held_out])
    assert gen.transport_.status is Status.CONVERGED
    report = gen.evaluate(X[held_out], y[held_out], baselines=("gaussian", "plain", "heldout"))
    baselines = report["baselines"]
    assert report["modes"]["value"] == 10
    assert report["novelty_ratio"]["value"] > 0.9
    assert report["copy_rate"]["value"] < 0.01
    assert 0.8 < report["variance_ratio"]["value"] < 1.25
    assert report["precision"]["low"] > baselines["gaussian"]["precision"]["high"]
    assert report["recall"]["value"] > baselines["heldout"]["recall"]["value"] - 0.1
    assert baselines["plain"]["copy_rate"]["value"] == 1
    _, probabilities = gen.classifier_(gen.sample(1000, random_state=0))
    assert set(probabilities.argmax(1)) == set(range(10))
