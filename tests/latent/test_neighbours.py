"""Neighbours of the data: found right, drawn by the step alone, and kept together in the codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ot_latent._random import Stream, generator
from ot_latent.config import AutoencoderConfig, TrainingConfig
from ot_latent.latent.autoencoder import Autoencoder, build_autoencoder
from ot_latent.latent.neighbours import (
    REACH,
    Neighbourhood,
    nearest_rows,
    neighbour_losses,
    principal_part,
)
from ot_latent.latent.training import TrainingStatus, train_autoencoder
from ot_latent.latent.training_state import TrainingState

KINDS = 4


def normal(n: int, d: int, block: int = 0) -> torch.Tensor:
    draws = generator(11, Stream.FIT, block).standard_normal((n, d), dtype=np.float32)
    return torch.from_numpy(draws)


def kinds(each: int = 40, values: int = 6) -> tuple[torch.Tensor, np.ndarray]:
    """Return rows of four kinds, barely apart: reconstruction alone leaves no room between them."""
    label = np.repeat(np.arange(KINDS), each)
    return 2.5 * normal(KINDS, values)[label] + normal(len(label), values, 1), label


def network(weight: float) -> Autoencoder:
    config = AutoencoderConfig(
        model="mlp", latent_dim=2, width=8, code_noise=0.0, neighbour_weight=weight
    )
    return build_autoencoder(config, (6,), seed=0)


def test_nearest_rows_are_those_of_brute_force() -> None:
    points = normal(200, 5)
    gaps = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert (nearest_rows(points, 4) == gaps.topk(4, largest=False).indices.numpy()).all()


def test_no_row_is_its_own_neighbour_among_duplicates() -> None:
    found = nearest_rows(torch.cat([torch.zeros(5, 2), torch.ones(2, 2)]), 3)
    assert not (found == np.arange(7)[:, None]).any()
    assert (found[:5] < 5).all()
    assert nearest_rows(torch.zeros(2, 3), 15).tolist() == [[1], [0]]


def test_the_principal_part_keeps_what_varies() -> None:
    scales = torch.linspace(10, 1, 10).pow(2)
    x = 3 + normal(300, 10) * scales
    part = principal_part(x, seed=0, directions=3)
    centred = (x - x.mean(0)).double()
    wanted = torch.linalg.svdvals(centred)[:3]
    torch.testing.assert_close(torch.linalg.svdvals(part.double()), wanted, rtol=0.02, atol=0)
    whole = principal_part(x, seed=0)
    torch.testing.assert_close(whole, x - x.mean(0))


def test_draws_are_neighbours_and_a_function_of_the_step() -> None:
    x = normal(60, 4)
    known, rows = Neighbourhood(x, seed=3), np.arange(0, 60, 2)
    drawn = known.draw(7, rows)
    assert torch.equal(drawn, Neighbourhood(x, seed=3).draw(7, rows))
    assert not torch.equal(drawn, known.draw(8, rows))
    assert not torch.equal(drawn, Neighbourhood(x, seed=4).draw(7, rows))
    assert (known.nearest[rows] == drawn.numpy()[:, None]).any(1).all()


def test_the_loss_is_the_one_that_is_written_down() -> None:
    z, p = normal(5, 2), normal(5, 2, 1)
    affinity = 1 / (1 + torch.cdist(z, p).square() / REACH**2)
    wanted = -(affinity.diagonal() / affinity.sum(1)).log()
    torch.testing.assert_close(neighbour_losses(z, p), wanted)
    torch.testing.assert_close(neighbour_losses(z[2:4], p, first=2), wanted[2:4])


def test_equal_codes_tell_nothing() -> None:
    lost = neighbour_losses(torch.zeros(8, 2), torch.zeros(8, 2))
    torch.testing.assert_close(lost, torch.full((8,), np.log(8.0)))


def gap(codes: torch.Tensor, label: np.ndarray) -> float:
    """Return the smallest distance between two kinds' codes over the largest width of a kind."""
    parts = [codes[torch.from_numpy(label == k)] for k in range(KINDS)]
    across = [torch.cdist(parts[a], parts[b]) for a in range(KINDS) for b in range(a)]
    within = [torch.cdist(part, part).quantile(0.9) for part in parts]
    return float(min(d.quantile(0.02) for d in across) / max(within))


def test_kinds_become_islands() -> None:
    x, label = kinds()
    config = TrainingConfig(epochs=60, batch_size=40, validation_fraction=0)
    found = {}
    for weight in (0.0, 1.0):
        model = train_autoencoder(network(weight), x, config, seed=0).model
        with torch.no_grad():
            found[weight] = gap(model.encode(x), label)
    assert found[1.0] > 1.25 * found[0.0]


@pytest.mark.parametrize("stop", [1, 4])
def test_resume_has_the_same_bits(stop: int) -> None:
    x, _ = kinds(12)
    config = TrainingConfig(epochs=3, batch_size=16, validation_fraction=0.1)
    whole = train_autoencoder(network(0.1), x, config, seed=5)
    steps: list[float] = []

    def interrupt(event: dict) -> bool:
        steps.append(event["progress"])
        return len(steps) == stop

    part = train_autoencoder(network(0.1), x, config, seed=5, callback=interrupt)
    assert part.status is TrainingStatus.INTERRUPTED
    state = TrainingState.from_parts(part.state.to_tensors(), part.state.to_metadata())
    rest = train_autoencoder(network(0.1), x, config, seed=5, state=state)
    for key, value in whole.state.to_tensors().items():
        assert torch.equal(rest.state.to_tensors()[key], value)
    with pytest.raises(ValueError, match="autoencoder"):
        train_autoencoder(network(0.0), x, config, seed=5, state=state)
