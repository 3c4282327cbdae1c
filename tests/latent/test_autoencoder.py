"""The networks: shapes, seeds, ranges, and rows that do not see one another."""

from __future__ import annotations

import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import (
    Autoencoder,
    build_autoencoder,
    decode_rows,
    encode_rows,
    resolve_kind,
)
from ot_latent.latent.layers import in_blocks, pyramid

SHAPES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 9, 13), (1, 31, 8), (3, 50, 72), (1, 128, 128)]


def build(shape: tuple[int, ...], model: str = "auto", **more: object) -> Autoencoder:
    """Return a narrow network."""
    values = {"model": model, "width": 8, "latent_dim": 4} | more
    return build_autoencoder(AutoencoderConfig.from_dict(values), shape, seed=2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", ["mlp", "conv", "residual"])
def test_every_size_goes_through_and_comes_back(shape: tuple[int, ...], model: str) -> None:
    net = build(shape, model)
    x = torch.rand(3, *shape)
    z = net.encode(x)
    y = net.decode(z)
    assert tuple(z.shape) == (3, 4)
    assert tuple(y.shape) == (3, *shape)
    assert y.min() >= 0
    assert y.max() <= 1
    raw, codes = net(x)
    assert torch.equal(torch.sigmoid(raw), y)
    assert torch.equal(codes, z)
    assert tuple(net.row_losses(raw, x).shape) == (3,)


@pytest.mark.parametrize("shape", [(5,), (1, 12, 12), (3, 50, 72)])
@pytest.mark.parametrize("model", ["auto", "mlp", "residual"])
def test_the_first_signal_neither_dies_nor_explodes(shape: tuple[int, ...], model: str) -> None:
    if model == "residual" and len(shape) == 1:
        pytest.skip("vectors have no residual network")
    net = build(shape, model, width=16)
    x = torch.rand(64, *shape) if len(shape) == 3 else torch.randn(64, *shape)
    raw, z = net(x)
    assert 0.05 < (z - z.mean(0)).std() < 5
    assert 0.05 < raw.std() < 5


def test_parameters_depend_on_config_shape_and_seed_alone() -> None:
    before = torch.get_rng_state()
    a, b = build((1, 12, 12)), build((1, 12, 12))
    other = build_autoencoder(a.config, (1, 12, 12), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert any(
        not torch.equal(p, q) for p, q in zip(a.parameters(), other.parameters(), strict=True)
    )
    assert all(bool(torch.isfinite(p).all()) for p in a.parameters())


@pytest.mark.parametrize("model", ["mlp", "conv", "residual"])
def test_rows_have_the_same_bits_whatever_the_request(model: str) -> None:
    net = build((1, 28, 28), model, width=32)
    z = torch.randn(150, 4)
    whole = decode_rows(net, z)
    for n in (1, 7, 64, 65):
        assert torch.equal(decode_rows(net, z[:n]), whole[:n])
    assert torch.equal(decode_rows(net, z[37:101], start=37), whole[37:101])
    codes = encode_rows(net, whole)
    assert torch.equal(encode_rows(net, whole[:7]), codes[:7])
    assert torch.equal(encode_rows(net, whole[130:], start=130), codes[130:])
    assert decode_rows(net, z[:0]).shape == (0, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(net.decode(z), whole)


def test_blocks_are_filled_from_the_place_of_the_first_row() -> None:
    seen = []

    def look(block: torch.Tensor) -> torch.Tensor:
        seen.append(block[:, 0].tolist())
        return block

    in_blocks(look, torch.arange(1.0, 6.0)[:, None], start=6, block=4)
    assert seen == [[0, 0, 1, 2], [3, 4, 5, 0]]


def test_a_row_does_not_see_its_neighbours() -> None:
    net = build((1, 12, 12), "residual")
    x = torch.rand(4, 1, 12, 12, requires_grad=True)
    net.encode(x)[0].sum().backward()
    assert (x.grad[1:] == 0).all()
    assert (x.grad[0] != 0).any()


def test_vectors_are_not_bounded_and_auto_picks_the_network() -> None:
    net = build((5,))
    assert net.kind == "mlp"
    assert not net.bounded
    assert resolve_kind(AutoencoderConfig(), (1, 8, 8)) == "conv"
    assert (net.decode(100 * torch.randn(9, 4)).abs() > 1).any()


@pytest.mark.parametrize("loss", ["mse", "l1", "bce"])
def test_a_perfect_reconstruction_has_the_least_loss(loss: str) -> None:
    net = build((1, 8, 8), loss=loss)
    x = 0.1 + 0.8 * torch.rand(3, 1, 8, 8)
    exact = net.row_losses(torch.logit(x), x)
    assert (net.row_losses(torch.logit(x) + 0.3, x) > exact).all()


def test_pyramid_ends_at_four_and_bigger_images_start_with_bigger_patches() -> None:
    for side in range(8, 129):
        patch, sizes = pyramid((3, side, side))
        assert patch == (2 if side <= 48 else 4)
        assert sizes[-1][0] <= 4
        assert len(sizes) <= 5


@pytest.mark.parametrize(
    ("shape", "values", "says"),
    [
        ((5,), {"latent_dim": 6}, "latent_dim must be at most the number of values of a row, 5"),
        ((5,), {"model": "conv"}, "model must be 'mlp' or 'auto' for vectors"),
        ((5,), {"loss": "bce"}, "loss must be 'mse' or 'l1' for vectors"),
        ((1, 7, 9), {"model": "residual"}, "images must be at least 8 pixels a side"),
        ((1, 7, 9), {}, "images must be at least 8 pixels a side"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple, values: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        build(shape, **values)
    assert isinstance(caught.value, DataError) == ("latent_dim" in values)
