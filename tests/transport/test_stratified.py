"""Stratified noise: rows of their own, the source's law, fewer surprises in averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ot_latent.transport import Gaussian, GridDensity, UniformBall, UniformBox, UniformPolytope
from ot_latent.transport.stratified import stratified_noise

SOURCES = {
    "box": UniformBox([0, -1, 2], [1, 1, 5]),
    "ball": UniformBall(3, 2.0),
    "gaussian": Gaussian([1, 2], [[2.0, 0.5], [0.5, 1.0]]),
    "polytope": UniformPolytope([[-1, 0], [0, -1], [1, 1]], [0, 0, 1]),
    "grid": GridDensity(np.arange(1.0, 13).reshape(3, 4), [0, 0], [1, 1]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_rows_have_the_law_of_the_source_and_see_no_request(name):
    source = SOURCES[name]
    whole = stratified_noise(source, 8192, seed=3)
    assert whole.shape == (8192, source.dim)
    for start, n in ((0, 1), (1000, 100), (2048, 1024), (4095, 2)):
        part = stratified_noise(source, n, seed=3, start=start)
        assert torch.equal(part, whole[start : start + n])
    size = source.covariance.diagonal().sqrt()
    assert ((whole.mean(dim=0) - source.mean).abs() < 2e-3 * size).all()
    torch.testing.assert_close(whole.T.cov(), source.covariance, atol=5e-3, rtol=1e-2)
    other = stratified_noise(source, 8192, seed=4)
    assert not torch.equal(other, whole)
    assert stratified_noise(source, 0, seed=3).shape == (0, source.dim)


@pytest.mark.parametrize("start", [0, 1024, 3 * 4096])
def test_a_block_of_a_power_of_two_has_one_row_in_every_stratum(start):
    """Theorem: 2^m rows of a net, from a multiple of 2^m on, have one in each of 2^m slices."""
    x = stratified_noise(UniformBox.unit(5), 1024, seed=0, start=start)
    for column in (1024 * x).floor().T:
        assert torch.equal(column.sort().values, torch.arange(1024.0, dtype=torch.float64))


def test_variance_of_shares_falls():
    def shares(draw):
        return torch.tensor([float((draw(s).sum(dim=1) > 0.6).double().mean()) for s in range(60)])

    box = UniformBox.centered(4)
    even = shares(lambda s: stratified_noise(box, 256, seed=s)).var()
    independent = shares(lambda s: box.sample(256, seed=s)).var()
    assert even < independent / 3
    mean = shares(lambda s: stratified_noise(box, 256, seed=s)).mean()
    assert mean == pytest.approx(
        float((box.sample(2**17, seed=1).sum(1) > 0.6).double().mean()), abs=5e-3
    )


def test_what_the_sequence_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"at most 2\*\*30, the length of the sequence"):
        stratified_noise(UniformBox.unit(1), 2, seed=0, start=2**30 - 1)
    with pytest.raises(ValueError, match="source must have at most 21200 dimensions"):
        stratified_noise(UniformBox.unit(21_201), 2, seed=0)
