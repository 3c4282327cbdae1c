"""Features by any module: what the module sees, whatever the rows look like."""

import numpy as np
import pytest
import torch

from ot_latent import DataError
from ot_latent.metrics import frechet_distance
from ot_latent.metrics.embedding import ModuleFeatures, dinov2_features, inception_features

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, size=(10, 12, 9, 3)).astype(np.uint8)


class Net(torch.nn.Module):
    """A stand-in: dropout that must be off, a tuple, and maps that must be flattened."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3, stride=3, dtype=torch.float32)

    def forward(self, x):
        self.seen = x
        return (torch.nn.functional.dropout(self.convolution(x), 0.5, self.training), None)


def test_layouts_and_dtypes_of_the_same_images_give_the_same_features():
    features = ModuleFeatures(Net(), batch=4)
    found = features(BYTES)
    assert found.dtype == np.float64
    assert found.shape == (10, 4 * 4 * 3)
    assert np.array_equal(features(BYTES.transpose(0, 3, 1, 2)), found)
    assert np.array_equal(features(BYTES / 255.0), found)
    assert np.array_equal(features((BYTES / 255.0 + 0.001).clip(0, 1)), found)  # same 256 levels
    assert np.array_equal(features(BYTES[:3]), found[:3])
    scaled = ModuleFeatures(features.module, highest=100.0)
    assert np.array_equal(scaled(BYTES / 2.55), found)


def test_channels_are_repeated_or_averaged():
    grey = BYTES[..., 0]
    assert ModuleFeatures(Net()).prepared(grey).shape == (10, 3, 12, 9)
    assert np.ptp(ModuleFeatures(Net()).prepared(grey).numpy(), axis=1).max() == 0
    single = ModuleFeatures(torch.nn.Identity(), channels=1).prepared(BYTES)
    assert single[:, 0].numpy() == pytest.approx(BYTES.mean(-1) / 255, abs=1e-6)


def test_the_module_is_left_as_it_was():
    net = Net().train()
    ModuleFeatures(net)(BYTES)
    assert net.training
    assert all(p.grad is None for p in net.parameters())


def test_public_protocols():
    white = np.full((2, 5, 5, 3), 255, dtype=np.uint8)
    inception, dino = Net(), Net()
    inception_features(inception)(white)
    assert inception.seen.shape == (2, 3, 299, 299)
    assert torch.allclose(inception.seen, torch.ones(()), atol=1e-6)
    dinov2_features(dino)(white)
    assert dino.seen.shape == (2, 3, 224, 224)
    oracle = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert dino.seen[1, :, 100, 100].tolist() == pytest.approx(oracle.tolist(), rel=1e-5)
    assert dinov2_features(dino).__name__ == "dinov2"
    same = torch.nn.functional.interpolate(
        torch.from_numpy(BYTES / 255.0).float().permute(0, 3, 1, 2), (299, 299), mode="bilinear"
    )
    seen = inception_features(inception).prepared(BYTES)
    assert torch.allclose(seen, 2 * same - 1, atol=1e-5)


def test_distances_on_them_agree_with_torchmetrics():
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1)).eval()
    features = ModuleFeatures(net)
    other = (BYTES.astype(int) // 2).astype(np.uint8)
    seen = torch.nn.Sequential(net, torch.nn.Flatten())
    seen.num_features = 5
    fid = FrechetInceptionDistance(feature=seen, normalize=True).set_dtype(torch.float64)
    seen.float()
    for images, real in ((BYTES, True), (other, False)):
        fid.update(torch.from_numpy(images / 255.0).float().permute(0, 3, 1, 2), real=real)
    assert frechet_distance(real=features(BYTES), generated=features(other)) == pytest.approx(
        float(fid.compute()), rel=1e-4
    )


def test_evaluate_takes_them():
    from ot_latent.generator import LatentGenerator

    X = RNG.integers(0, 256, size=(150, 8, 8)).astype(np.uint8)
    gen = LatentGenerator(latent_dim=2, epochs=1, width=4, tolerance=0.3, random_state=0)
    gen.fit(X[:70])
    report = gen.evaluate(
        X[70:], baselines=["heldout"], features=inception_features(torch.nn.AvgPool2d(150)),
        manifold=False,
    )  # fmt: skip
    assert report["frechet"]["features"] == report["protocol"]["features"] == "inception"


def test_refusals():
    features = ModuleFeatures(Net())
    with pytest.raises(DataError, match="rows must say where their channels are"):
        features(np.zeros((2, 3, 5, 3)))
    assert ModuleFeatures(Net(), layout="last").prepared(np.zeros((2, 3, 5, 3))).shape[2:] == (3, 5)
    with pytest.raises(DataError, match="images of one or three channels"):
        features(np.zeros((2, 7)))
    with pytest.raises(DataError, match="rows must lie between 0 and 1, got 0 to 7"):
        features(np.linspace(0, 7, 200).reshape(2, 10, 10))
    with pytest.raises(ValueError, match="channels must be 1 or 3"):
        ModuleFeatures(Net(), channels=4)
    with pytest.raises(ValueError, match="size must be a positive integer"):
        ModuleFeatures(Net(), size=0)
    with pytest.raises(ValueError, match="batch must be a positive integer"):
        ModuleFeatures(Net(), batch=-1)
