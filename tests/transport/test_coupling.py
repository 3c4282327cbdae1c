"""The optimal coupling as a stream: rows of their own, exact marginals, classes, workers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.data import DataLoader

from ot_latent.transport import (
    DampedNewton,
    DiscreteMeasure,
    Gaussian,
    SemiDiscreteCoupling,
    StochasticNewton,
    UniformBall,
    UniformBox,
)


def cloud(n=300, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    return torch.randn(n, d, generator=generator) + 2 * labels[:, None], labels


@pytest.fixture(scope="module")
def solved():
    points, labels = cloud()
    target = DiscreteMeasure.uniform(points)
    return StochasticNewton(tolerance=0.15).solve(UniformBox.centered(6), target), labels


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("labelled", [False, True])
def test_rows_depend_on_seed_and_number_alone(solved, labelled):
    solution, labels = solved
    given = labels if labelled else None
    whole = SemiDiscreteCoupling(solution, given, batch_size=4096, seed=5).batch(0)
    small = SemiDiscreteCoupling(solution, given, batch_size=300, seed=5)
    for step in (0, 3, 12):
        rows = slice(300 * step, 300 * step + 300)
        assert equal(small.batch(step), [part[rows] for part in whole])
    assert equal(small.rows(1500, 1501), [part[1500:1501] for part in whole])
    other = SemiDiscreteCoupling(solution, given, batch_size=300, seed=6).batch(0)
    assert not torch.equal(other.noise, whole.noise[:300])


def test_pairs_are_those_of_the_map(solved):
    """Theorem: the coupling (id, grad u) of the source is the optimal one onto its image."""
    solution, _ = solved
    noise, index, point, label = SemiDiscreteCoupling(solution).batch(3)
    assert torch.equal(index, solution.potential.cell_index(noise))
    assert torch.equal(point, solution.potential.points[index])
    assert (label == -1).all()
    # cyclical monotonicity: no exchange of two targets is cheaper
    cost = torch.cdist(noise, point).square()
    own = cost.diagonal()
    assert (own[:, None] + own <= cost + cost.T + 1e-3).all()


def test_every_block_holds_every_label_in_its_share(solved):
    solution, labels = solved
    weights = torch.tensor([1.0, 2.0, 5.0])[labels]
    coupling = SemiDiscreteCoupling(solution, labels, weights=weights)
    for step in range(4):
        noise, index, _, label = coupling.batch(step)
        assert torch.equal(label, labels[index])
        counts = torch.bincount(label, minlength=3)
        wanted = 1024 * torch.tensor([1, 2, 5]) / 8
        assert ((counts - wanted).abs() <= 1).all()
        # all noise meets every label: within a label it has the law of the source
        for c in range(3):
            mean = noise[label == c].mean(dim=0)
            assert (mean.abs() < 5 / (3 * counts[c]).sqrt()).all()


def test_classes_are_coupled_optimally(solved):
    solution, labels = solved
    noise, _, point, label = SemiDiscreteCoupling(solution, labels).batch(0)
    for c in range(3):
        cost = torch.cdist(noise[label == c], point[label == c]).square()
        own = cost.diagonal()
        assert (own[:, None] + own <= cost + cost.T + 1e-3).all()


def test_exact_classes_have_their_masses():
    points, labels = cloud(60, 2)
    labels[7] = 9  # a class of its own
    solution = DampedNewton().solve(UniformBox.centered(2), DiscreteMeasure.uniform(points))
    coupling = SemiDiscreteCoupling(solution, labels)
    index = coupling.rows(0, 2**15).cell
    counts = torch.bincount(index, minlength=60) * 60 / 2**15
    assert (counts - 1).abs().max() < 0.25  # five deviations of a count of 546
    assert int((index == 7).sum()) == pytest.approx(2**15 / 60, abs=32)
    given = {c: u for c, (_, u) in zip((0, 1, 2, 9), coupling.classes, strict=True)}
    again = SemiDiscreteCoupling(solution, labels, potentials=given, dtype=torch.float64)
    assert again.batch(0).noise.dtype == again.batch(0).point.dtype == torch.float64
    assert coupling.batch(0).noise.dtype == coupling.batch(0).point.dtype == torch.float32
    assert torch.equal(again.rows(0, 500).cell, index[:500])


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_share_the_steps(solved, workers):
    solution, labels = solved
    coupling = SemiDiscreteCoupling(solution, labels, batch_size=512, first_step=3, steps=5)
    loader = DataLoader(coupling, batch_size=None, num_workers=workers)
    batches = list(loader)
    assert len(batches) == 5
    for number, batch in enumerate(batches):
        assert equal(batch, coupling.batch(3 + number))


def test_without_an_end_it_has_no_end(solved):
    coupling = SemiDiscreteCoupling(solved[0], batch_size=64)
    batches = list(itertools.islice(coupling, 40))
    assert equal(batches[-1], coupling.batch(39))


@pytest.mark.parametrize("source", [Gaussian.standard(6), UniformBall(6, 3.0), UniformBox.unit(6)])
def test_a_source_of_another_solution_is_refused(solved, source):
    with pytest.raises(ValueError, match="source must be the one that the solution was solved for"):
        SemiDiscreteCoupling(solved[0], source=source)
    target = DiscreteMeasure.uniform(cloud(50)[0])
    own = StochasticNewton(tolerance=0.3).solve(source, target)
    assert SemiDiscreteCoupling(own, source=source).batch(0).noise.shape == (1024, 6)


REFUSED = [
    ({"batch_size": 0}, "batch_size must be"),
    ({"source": UniformBox.unit(2)}, "source must have the dimension 6"),
    ({"labels": torch.zeros(3, dtype=torch.int64)}, "labels and targets"),
    ({"labels": torch.zeros(300)}, "labels must be a vector of non-negative integers"),
    ({"labels": torch.full((300,), -1)}, "labels must be a vector of non-negative integers"),
    ({"weights": torch.ones(3)}, "weights and targets"),
    ({"weights": torch.zeros(300)}, "weights must be positive"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_is_refused(solved, options, message):
    with pytest.raises(ValueError, match=message):
        SemiDiscreteCoupling(solved[0], **options)
