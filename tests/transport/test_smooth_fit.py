"""Ridge regression by quadratic functions, group by group."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport.smooth_fit import _fitted, smooth_fit


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def test_each_group_has_a_quadratic_function_of_its_own():
    z, groups = rows(600, 4), torch.arange(600) % 2
    forms = rows(2, 16, 1).view(2, 4, 4)
    values = torch.einsum("ni,nij,nj->n", z, forms[groups], z) + 3 * z[:, 0] + 5.0 * groups
    known = torch.arange(0, 600, 3)
    found = smooth_fit(z, groups, values[known], known)
    assert float((found - values).abs().max()) < 0.02 * float(values.std())
    together = smooth_fit(z, torch.zeros_like(groups), values[known], known)
    assert float((together - values).abs().max()) > float(values.std()) / 2


def test_noise_is_held_back():
    z, noise = rows(400, 6), rows(400, 1, 2)[:, 0]
    found = smooth_fit(z, torch.zeros(400, dtype=torch.int64), z[:, 0] + noise, torch.arange(400))
    # seven numbers are told freely, and of 21 products next to nothing
    assert float((found - z[:, 0]).square().mean()) < 12 / 400


def test_errors_at_points_left_out_are_those_of_fits_without_them(monkeypatch):
    z, values = rows(40, 2), rows(40, 1, 3)[:, 0]
    ridges, losses = 10.0 ** torch.arange(-3.0, 3.0), []
    for ridge in ridges:
        monkeypatch.setattr("ot_latent.transport.smooth_fit.RIDGES", ridge[None] / 39 * 40)
        left = [torch.arange(40) != i for i in range(40)]
        errors = [float(_fitted(z[k], values[k])(z[~k]) - values[~k]) for k in left]
        losses.append(sum(e**2 for e in errors))
    best = ridges[int(torch.tensor(losses).argmin())]
    monkeypatch.setattr("ot_latent.transport.smooth_fit.RIDGES", ridges)
    chosen = _fitted(z, values)(z)
    monkeypatch.setattr("ot_latent.transport.smooth_fit.RIDGES", best[None])
    torch.testing.assert_close(chosen, _fitted(z, values)(z))


def test_few_points_have_their_mean():
    z, groups = (
        rows(60, 3),
        torch.cat([torch.zeros(40), torch.ones(10), torch.full((10,), 2)]).long(),
    )
    known = torch.arange(50)
    values = rows(50, 1)[:, 0]
    found = smooth_fit(z, groups, values, known)
    torch.testing.assert_close(found[40:50], values[40:].mean().expand(10))
    torch.testing.assert_close(found[50:], values.mean().expand(10))
    constant = smooth_fit(z, groups, torch.full((50,), 2.5).double(), known)
    assert torch.equal(constant, torch.full((60,), 2.5).double())


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_units_and_flat_coordinates_do_not_matter(scale):
    z, groups, known = rows(300, 3), torch.zeros(300, dtype=torch.int64), torch.arange(0, 300, 2)
    values = z[:, 0] * z[:, 1] + z[:, 2]
    expected = smooth_fit(z, groups, values[known], known)
    flat = torch.cat([z * scale + 7, torch.full((300, 1), 3.0).double()], dim=1)
    torch.testing.assert_close(
        smooth_fit(flat, groups, values[known], known), expected, rtol=1e-4, atol=1e-4
    )
