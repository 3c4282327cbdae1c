"""The geometry of an autoencoder: known maps give known numbers; what cannot be measured says why."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ot_latent._validation import DataError
from ot_latent.coders import OwnCoder, TrainedCoder
from ot_latent.config import AutoencoderConfig
from ot_latent.geometry import autoencoder_geometry, network_geometry
from ot_latent.geometry_words import describe
from ot_latent.latent.autoencoder import build_autoencoder
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.report.geometry import geometry_section


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)


def coder_of(encoder, decoder, shape):
    return OwnCoder(encoder, decoder, shape, "float32")


def test_an_isometry_has_one_piece_and_no_folds(rows):
    """Six orthonormal coordinates: stretch 1, exact round trip, one piece, image as long as chord."""
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0]
    encoder, decoder = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    encoder.weight.data, decoder.weight.data = turn, turn.T.contiguous()
    found = autoencoder_geometry(coder_of(encoder, decoder, (6,)), rows)
    assert found["pieces"]["linear_pieces"] == {"mean": 1.0, "min": 1, "max": 1}
    assert found["pieces"]["length_over_chord"]["mean"] == pytest.approx(1.0)
    assert found["decoder"]["longest_stretch"] == pytest.approx(1.0, abs=1e-3)
    assert found["decoder"]["shortest_stretch"] == pytest.approx(1.0, abs=1e-3)
    assert found["decoder"]["lost_directions"] == 0
    assert found["decoder"]["round_trip"] < 1e-5
    assert found["dimension"]["data"] == pytest.approx(found["dimension"]["codes"], rel=0.05)
    assert "at least one hidden layer" in found["norms"]["decoder"]["why"]
    assert found["stability"]["why"] == "only images can be deformed"
    assert json.loads(json.dumps(found)) == found
    assert "meets 1 (1 to 1 on 3 segments)" in describe(found)[0]
    assert found["chords"]["chords"] == {"mean": 1.0, "min": 1, "max": 1}
    assert found["chords"]["turning"]["max"] < 0.1  # float32
    assert describe(found)[1].startswith("Curvature (estimate): 1 chord (1 to 1")
    without = found["decoder"].copy()
    del without["folded"], without["torn"]
    assert len(describe({"decoder": without})) == len(describe({"decoder": found["decoder"]})) - 1


def test_a_lost_direction_is_seen(rows):
    encoder, decoder = nn.Linear(6, 2), nn.Linear(2, 6, bias=False)
    decoder.weight.data[:, 1] = decoder.weight.data[:, 0]
    found = autoencoder_geometry(coder_of(encoder, decoder, (6,)), rows)
    assert found["decoder"]["lost_directions"] == 1


def test_our_rectified_networks_are_read_and_others_say_why():
    images = np.random.default_rng(1).random((60, 1, 8, 8)).astype(np.float32)
    config = AutoencoderConfig(latent_dim=2, width=4, activation="relu")
    net = build_autoencoder(config, (1, 8, 8), seed=0)
    found = autoencoder_geometry(coder_of(net.encoder, net.decoder, (1, 8, 8)), images, segments=2)
    assert 1 < found["pieces"]["linear_pieces"]["max"] <= found["pieces"]["cells"]["max"]
    assert found["pieces"]["length_over_chord"]["min"] >= 1
    assert found["norms"]["decoder"]["active_units"] <= found["norms"]["decoder"]["units"]
    assert found["stability"]["relative"] > 0
    assert len(describe(found)) == 9
    chords = found["chords"]["chords"]
    assert 1 <= chords["min"] <= chords["max"] <= found["pieces"]["linear_pieces"]["max"]
    smooth = build_autoencoder(AutoencoderConfig(latent_dim=2, width=4), (1, 8, 8), seed=0)
    other = coder_of(smooth.encode, smooth.decoder, (1, 8, 8))
    told = autoencoder_geometry(other, images)
    assert "GroupNorm" in told["pieces"]["why"]
    assert told["norms"]["encoder"]["why"] == "the networks are functions, not modules"
    assert describe(told)[0].startswith("Linear pieces: not counted, model must consist")
    assert told["chords"]["length_over_chord"]["min"] >= 1  # curvature of smooth networks, too
    assert told["chords"]["turning"]["min"] > 0
    assert describe(told)[1].startswith("Curvature (estimate): ")
    assert "degrees in all" in describe(told)[1]
    trained = TrainedCoder(DataCodec.fit(images), smooth.eval())
    ours = autoencoder_geometry(trained, images, segments=1)
    assert ours["pieces"]["why"].endswith("train with activation='relu' for one that can be read")
    assert "encoder and the decoder: not measured, for the same reason." in describe(ours)[5]
    functions = coder_of(smooth.encode, smooth.decode, (1, 8, 8))
    assert "functions" in autoencoder_geometry(functions, images)["pieces"]["why"]


def test_refusals(rows):
    coder = coder_of(nn.Linear(6, 2), nn.Linear(2, 6), (6,))
    with pytest.raises(DataError, match="at least 40, got 39"):
        autoencoder_geometry(coder, rows[:39])
    with pytest.raises(ValueError, match="segments must be a positive integer"):
        autoencoder_geometry(coder, rows, segments=0)


def test_a_network_without_data():
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2), nn.Sigmoid())
    found = network_geometry(net)
    assert found["widths"] == [3, 5, 2]
    assert 10 ** found["bound"]["log10"] == pytest.approx(26)  # 1 + 5 + 10 + 10
    assert found["norms"]["network"]["units"] == 5
    assert describe(found)[0] == "Widths, units counted: 3 - 5 - 2."
    assert "at most 10^1.4 (bound of Serra et al., 2018)." in describe(found)[1]
    smooth = network_geometry(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)))
    assert "got Tanh at '1'" in smooth["pieces"]["why"]
    assert smooth["norms"]["network"]["why"] != smooth["pieces"]["why"]
    assert smooth["chords"]["chords"]["min"] >= 1
    normed = network_geometry(nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2)))
    assert describe(normed)[2] == "Norms of the network: not measured, for the same reason."
    constant = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    constant[2].weight.data.zero_()
    still = network_geometry(constant)
    assert np.isnan(still["pieces"]["length_over_chord"]["mean"])
    assert np.isnan(still["chords"]["length_over_chord"]["mean"])
    with pytest.raises(
        ValueError, match=r"must take rows of shape \(4,\), got RuntimeError \(mat1"
    ):
        network_geometry(net, (4,))


def test_the_page_tells_folds_and_dimensions_once(rows):
    """Where the section on the manifold tells them, of the rows that are judged, it alone does."""
    encoder, decoder = nn.Linear(6, 2), nn.Linear(2, 6)
    model = SimpleNamespace(coder_=coder_of(encoder, decoder, (6,)))
    alone = geometry_section(model, rows, 0)
    beside = geometry_section(model, rows, 0, told=True)
    for words in ("Folds (estimate)", "Intrinsic dimension"):
        assert words in alone
        assert words not in beside
    assert "Dimensions and folds stand in the section before." in beside
    assert "Round trip (estimate)" in beside
    assert "Curvature (estimate)" in beside
    assert geometry_section(SimpleNamespace(coder_=None), rows, 0) == ""
