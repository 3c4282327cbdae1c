"""The data-copying test: its null law, its sign, the authors' figures."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from ot_latent import DataError
from ot_latent.metrics.copying import Partition, data_copying, rank_score


def modes(n, seed, d=4, scale=1.0, count=3):
    rng = np.random.default_rng(seed)
    return 12 * np.eye(count, d)[rng.integers(count, size=n)] + scale * rng.standard_normal((n, d))


def test_score_equals_scipys_normal_approximation_with_ties():
    rng = np.random.default_rng(0)
    fresh, new = rng.integers(0, 9, 80), rng.integers(1, 10, 60)
    p = mannwhitneyu(new, fresh, alternative="greater", use_continuity=False, method="asymptotic")
    from scipy.stats import norm

    assert norm.sf(rank_score(fresh, new)) == pytest.approx(p.pvalue, rel=1e-12)
    assert rank_score(new, fresh) == pytest.approx(-rank_score(fresh, new))
    assert rank_score(np.ones(5), np.ones(7)) == 0.0


@pytest.mark.parametrize(
    ("generated", "authors"),
    [
        (modes(500, 2), 0.069),
        (modes(500, 2, scale=1.3), 5.229),
        (modes(500, 2, scale=0.7), -5.408),
        (modes(500, 2, count=2), -0.409),
        (modes(900, 0)[:500] + 0.05 * modes(500, 9, count=1), -3.338),
    ],
)
def test_figures_of_the_authors_code(generated, authors):
    """What github.com/casey-meehan/data-copying gives on these arrays and cells.

    It corrects for continuity and searches training records within the cell; with cells that
    lie far apart the difference is in the third decimal.
    """
    found = data_copying(train=modes(900, 0), holdout=modes(600, 1), generated=generated, cells=3)
    assert found == pytest.approx(authors, abs=0.003)


def test_fresh_data_score_like_a_standard_normal():
    found = [
        data_copying(
            train=modes(300, 3 * i), holdout=modes(200, 3 * i + 1), generated=modes(200, 3 * i + 2),
            cells=1,
        )
        for i in range(200)
    ]  # fmt: skip
    # one training set for both sides correlates nothing: the score is normal given its distances
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)
    assert 0.8 < np.std(found) < 1.25


def test_copies_of_one_mode_are_found_though_the_medians_agree():
    train, holdout = modes(900, 0), modes(600, 1)
    fresh = modes(600, 2, scale=2.0)
    copied = fresh[:, 0] > 6  # one of three modes; the others are wide, so overall distances pass
    fresh[copied] = train[train[:, 0] > 6][: copied.sum()] + 1e-3
    options = {"train": train, "holdout": holdout, "generated": fresh}
    partition = Partition.fit(train, holdout, cells=3)
    held, made = partition.measure(holdout), partition.measure(fresh)
    scores = [rank_score(held[0][held[1] == c], made[0][made[1] == c]) for c in range(3)]
    assert min(scores) < -10
    assert sorted(scores)[1] > 5
    assert data_copying(**options, cells=1) > 0


def test_cells_without_generated_items_are_left_out():
    train, holdout = modes(900, 0), modes(600, 1)
    lost = modes(500, 2, count=2)
    lost = np.concatenate([lost, modes(3, 3)])
    assert abs(data_copying(train=train, holdout=holdout, generated=lost, cells=3)) < 3


def test_the_default_partition_is_seeded():
    options = {"train": modes(500, 0), "holdout": modes(450, 1), "generated": modes(300, 2)}
    assert data_copying(**options) == data_copying(**options, cells=4, seed=0)
    assert data_copying(**options, seed=1) == pytest.approx(data_copying(**options), abs=2)


def test_refusals():
    train = modes(50, 0)
    with pytest.raises(ValueError, match="cells must be at most the number"):
        data_copying(train=train, holdout=train, generated=train, cells=51)
    with pytest.raises(ValueError, match="cells must be a positive integer"):
        data_copying(train=train, holdout=train, generated=train, cells=0)
    partition = Partition(np.array([[0.0], [9.0]]), np.array([[0.0], [9.0]]))
    with pytest.raises(DataError, match="generated must reach a cell"):
        partition.statistic(*partition.measure([[0.1]]), *partition.measure([[9.1]]))
