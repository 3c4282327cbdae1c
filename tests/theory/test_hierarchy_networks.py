"""Sensitivities, sample complexity and matched networks: closed forms, identities, small runs."""

import warnings

import numpy as np
import pytest
import torch

from ot_latent._validation import DataError
from ot_latent.theory.hierarchy import (
    HierarchicalCNN,
    LocallyConnected,
    RandomHierarchy,
    SparseRandomHierarchy,
    build_learner,
    empirical_sample_complexity,
    input_sensitivity,
    layer_sensitivity,
    learning_curve,
    predicted_sample_complexity,
    train_network,
)


def same(x):
    return x


# -- sensitivities ---------------------------------------------------------------------------------


def test_golden_closed_forms_of_the_input():
    one = SparseRandomHierarchy(zeros=1)
    assert input_sensitivity(one, 1) == pytest.approx((0.8029, 0.5161), abs=5e-5)
    assert input_sensitivity(one, 2)[1] == pytest.approx(0.7742, abs=5e-5)
    two = SparseRandomHierarchy(zeros=2)
    assert input_sensitivity(two, 1) == pytest.approx((0.7887, 0.6761), abs=5e-5)
    assert input_sensitivity(two, 2)[1] == pytest.approx(0.9014, abs=5e-5)
    assert input_sensitivity(RandomHierarchy(levels=3))[0] == pytest.approx(8 / 9, abs=1e-12)


@pytest.mark.parametrize(
    ("m", "levels", "zeros", "classes"), [(8, 2, 1, 8), (4, 3, 1, 3), (3, 2, 2, 8)]
)
def test_measured_sensitivities_of_the_input_are_the_closed_forms(m, levels, zeros, classes):
    for level in range(1, levels + 1):
        found = np.empty((24, 2))
        for k in range(24):  # averages over rules
            model = SparseRandomHierarchy(
                synonyms=m, levels=levels, zeros=zeros, classes=classes, seed=k
            )
            trees = model.sample(250, seed=k)
            x = model.encode(trees)
            for j, change in enumerate((model.exchange_synonyms, model.displace)):
                other = model.encode(change(trees, level, seed=k))
                found[k, j] = layer_sensitivity(same, x, other)["input"].value
        error = found.std(axis=0) / np.sqrt(24)
        exact = np.array(input_sensitivity(model, level))
        assert (np.abs(found.mean(axis=0) - exact) < 4 * error + 2e-3).all()


def test_the_parser_is_insensitive_to_what_lies_below():
    """The perfect representation: symbols of a level do not see exchanges at or below it."""
    model = SparseRandomHierarchy(vocabulary=5, classes=5, synonyms=4, levels=3, zeros=1)
    trees = model.sample(200, seed=0)
    x = torch.from_numpy(model.strings(trees))

    def ancestors(level):
        def represent(strings):
            found = model.parse(strings.numpy())
            return torch.from_numpy(np.eye(5)[model.symbols(found.trees)[model.levels - level]])

        return represent

    for level in (1, 2, 3):
        for change in (model.exchange_synonyms, model.displace):
            for below in (1, 2, 3):
                y = torch.from_numpy(model.strings(change(trees, below, seed=below)))
                before, after = ancestors(level)(x), ancestors(level)(y)
                sees = layer_sensitivity(same, before, after)["output"].value
                if below <= level or change == model.displace:
                    assert sees == 0
                else:
                    assert sees > 0.5


def test_the_denominator_is_unbiased_and_the_error_is_that_of_the_jackknife():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7, 3))

    def ratio(rows):
        pairs = [((x[i] - x[j]) ** 2).sum() for i in rows for j in rows if i != j]
        return np.mean([((x[i] - y[i]) ** 2).sum() for i in rows]) / np.mean(pairs)

    every = list(range(7))
    without = np.array([ratio(every[:i] + every[i + 1 :]) for i in every])
    found = layer_sensitivity(same, x, y)["input"]
    assert found.value == pytest.approx(ratio(every), rel=1e-12)
    assert found.error == pytest.approx(np.sqrt(6 / 7 * ((without - without.mean()) ** 2).sum()))
    # an independent copy is as far away as any other row, on average over draws
    draws = rng.normal(
        size=(300, 2, 10, 100)
    )  # in 100 dimensions the ratio of means is the mean ratio
    values = [layer_sensitivity(same, *pair)["input"].value for pair in draws]
    assert np.mean(values) == pytest.approx(1.0, abs=0.03)  # the biased one would give 1.11


def test_layers_are_heard_by_name_in_order_and_left_as_they_were():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.ReLU())
    x = torch.randn(1100, 3, generator=torch.Generator().manual_seed(0))
    found = layer_sensitivity(net, x, -x)
    assert list(found) == ["input", "0", "1", "2", "output"]
    assert found["0"] == found["1"]  # dropout is off while it is measured
    assert found["2"] == found["output"]
    assert net.training
    assert not net[0]._forward_hooks
    assert list(layer_sensitivity(net, x, -x, layers=["2"])) == ["input", "2", "output"]
    with pytest.raises(
        ValueError, match=r"layers must name sub-modules such as 0, 1, 2, got \['3'\]"
    ):
        layer_sensitivity(net, x, -x, layers=["3"])
    with pytest.raises(DataError, match="x and transformed must have the same number of rows"):
        layer_sensitivity(net, x, -x[:5])


def test_constant_layers_have_no_sensitivity():
    x = torch.eye(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = layer_sensitivity(lambda t: t * 0, x, x.flip(0))
        assert np.isnan(found["output"].value)
        nearly = layer_sensitivity(lambda t: t[:, :1], x, x.flip(0))["output"]
    assert nearly.value == pytest.approx(1.0)
    assert np.isnan(nearly.error)


def test_there_is_no_closed_form_for_placements_anywhere():
    with pytest.raises(ValueError, match="placement must be 'A' for a closed form, got 'B'"):
        input_sensitivity(SparseRandomHierarchy(placement="B"))
    assert input_sensitivity(SparseRandomHierarchy(placement="B", zeros=0))[1] == 0


# -- sample complexity -----------------------------------------------------------------------------


def test_predicted_scales():
    dense = RandomHierarchy(levels=3)
    assert predicted_sample_complexity(dense) == 4096
    assert predicted_sample_complexity(dense, "shallow") == dense.n_data
    sparse = SparseRandomHierarchy(
        vocabulary=6, classes=6, synonyms=6, children=2, levels=2, zeros=2
    )
    assert predicted_sample_complexity(sparse) == 9 * 216
    assert predicted_sample_complexity(sparse, "lcn") == pytest.approx(2 * 9 * 216)
    with pytest.raises(ValueError, match="learner must be 'cnn', 'lcn' or 'shallow', got 'mlp'"):
        predicted_sample_complexity(sparse, "mlp")


def test_the_law_of_locally_connected_networks_in_the_share_of_informative_symbols():
    """P* = s^(L/2) (s_0+1)^L n_c m^L is F^(log_s m - 1/2) d^(log_s m + 1/2) n_c."""
    for m in (2, 4, 7):
        for zeros in (1, 3):
            model = SparseRandomHierarchy(synonyms=m, zeros=zeros, levels=3)
            power, share = np.log2(m), float(zeros + 1) ** -3
            law = share ** (power - 0.5) * model.length ** (power + 0.5) * model.classes
            assert predicted_sample_complexity(model, "lcn") == pytest.approx(law)


def test_empirical_complexity_interpolates_the_last_crossing():
    sizes = [10, 100, 1000, 10_000]
    assert empirical_sample_complexity(sizes, [0.9, 0.05, 0.3, 0.1], 0.2) == pytest.approx(10**3.5)
    assert empirical_sample_complexity(sizes, [0.9, 0.1, 0.1, 0.1], 0.1) == pytest.approx(100)
    with pytest.raises(DataError, match="errors must start above 0.1 .* measure larger sizes"):
        empirical_sample_complexity(sizes, [0.9, 0.8, 0.05, 0.2])
    with pytest.raises(DataError, match="measure smaller sizes"):
        empirical_sample_complexity(sizes, [0.1, 0.0, 0.0, 0.0])
    with pytest.raises(DataError, match="sizes must be positive and increase"):
        empirical_sample_complexity([10, 10], [0.9, 0.0])
    with pytest.raises(DataError, match="sizes and errors must have the same number of rows"):
        empirical_sample_complexity([10, 20], [0.9, 0.1, 0.0])


# -- networks --------------------------------------------------------------------------------------


def test_shared_and_own_filters_compute_what_a_convolution_does():
    net = HierarchicalCNN(symbols=3, classes=2, patch=4, levels=2, width=5, seed=1)
    own = LocallyConnected(symbols=3, classes=2, patch=4, levels=2, width=5)
    with torch.no_grad():
        for mine, theirs in zip(own.parameters(), net.parameters(), strict=True):
            mine.copy_(theirs.expand_as(mine))
    x = torch.randn(6, 3, 16, generator=torch.Generator().manual_seed(0))
    hidden = x
    for index, channels in ((0, 3), (2, 5)):
        weight = net.body[index].weight[0].detach().view(4, channels, 5).permute(2, 1, 0)
        hidden = torch.nn.functional.conv1d(hidden, weight / channels**0.5, stride=4).relu()
    expected = hidden[:, :, 0] @ net.readout.weight.T / 5
    assert torch.allclose(net(x), expected, atol=1e-6)
    assert torch.allclose(own(x), expected, atol=1e-6)


def test_weights_are_standard_normal_and_functions_of_the_seed():
    a, b, c = (HierarchicalCNN(8, 8, 4, 2, width=128, seed=k) for k in (0, 0, 1))
    for first, second, other in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert abs(float(first.detach().std()) - 1) < 0.05


def test_networks_and_training_refuse_what_does_not_fit():
    net = HierarchicalCNN(3, 2, 4, 2, width=8)
    with pytest.raises(DataError, match=r"x must have shape \(n, 3, 16\), got \(1, 3, 15\)"):
        net(torch.zeros(1, 3, 15))
    with pytest.raises(ValueError, match="patch must be a positive integer"):
        HierarchicalCNN(3, 2, 0, 2)
    with pytest.raises(DataError, match="x and y must have the same number of rows"):
        train_network(net, torch.zeros(2, 3, 16), [0], seed=0)
    model = RandomHierarchy(vocabulary=3, classes=3, synonyms=3)
    with pytest.raises(ValueError, match="learner must be 'cnn' or 'lcn', got 'shallow'"):
        build_learner(model, "shallow")
    with pytest.raises(DataError, match="leave some of the 81 different data for testing, got 81"):
        learning_curve([model], [40, 81])


def test_training_is_reproducible_and_stops_when_it_fits():
    model = SparseRandomHierarchy(vocabulary=4, classes=3, synonyms=3, zeros=1)
    trees = model.sample(200, seed=0)
    x = torch.from_numpy(model.encode(trees))
    losses = [
        train_network(build_learner(model, width=32), x, trees.labels, seed=0, loss_goal=0.05)
        for _ in range(2)
    ]
    assert losses[0] == losses[1] < 0.05
    assert (
        train_network(build_learner(model, width=32), x, trees.labels, seed=0, max_epochs=1) > 0.5
    )


# -- the phenomena, small --------------------------------------------------------------------------


def test_a_network_that_generalises_no_longer_sees_synonyms_and_places():
    model = SparseRandomHierarchy(vocabulary=4, classes=4, synonyms=4, zeros=1)
    scale = predicted_sample_complexity(model)
    curve = learning_curve([model], [int(scale / 4), int(6 * scale)], width=64, tests=1000)
    assert curve.errors[0, 0] > 0.4
    assert curve.errors[0, 1] < 0.05
    trees = model.sample(int(6 * scale), seed=0)
    net = build_learner(model, width=64)
    train_network(net, torch.from_numpy(model.encode(trees)), trees.labels, seed=0)
    probe = model.sample(300, seed=1)
    x = model.encode(probe)
    for change in (model.exchange_synonyms, model.displace):
        seen = layer_sensitivity(net, x, model.encode(change(probe, 1, seed=2)))
        assert seen["body.3"].value < 0.25 < seen["input"].value


@pytest.mark.slow
def test_curves_of_three_sparsities_collapse():
    """P / [(s_0+1)^2 n_c m^L] puts the curves of s_0 = 0, 1, 2 on one another within a factor of two."""
    found = []
    for zeros in (0, 1, 2):
        models = [
            SparseRandomHierarchy(vocabulary=6, classes=6, synonyms=6, zeros=zeros, seed=seed)
            for seed in range(2)
        ]
        scale = predicted_sample_complexity(models[0])
        sizes = [int(scale * r) for r in (1, 1.5, 2, 3, 4)]
        curve = learning_curve(models, sizes, width=128, tests=1000)
        found.append(curve.complexity(0.1) / scale)
    assert max(found) / min(found) < 2
