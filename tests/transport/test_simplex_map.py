"""Theorems of the centroid-simplex map: interpolation, continuity, no blending, and the identity."""

from dataclasses import replace

import pytest
import torch

from ot_latent._random import Stream
from ot_latent.transport import (
    BrenierPotential,
    DampedNewton,
    DiscreteMeasure,
    ExtendedMap,
    PowerDiagram,
    UniformBox,
)
from ot_latent.transport.simplex_map import SimplexMap


def never(pairs):
    return torch.zeros(len(pairs), dtype=torch.bool)


def solved(codes, **options):
    """The simplex map of the unit box to codes."""
    source = UniformBox.unit(codes.shape[1])
    solution = DampedNewton().solve(source, DiscreteMeasure.uniform(codes))
    return ExtendedMap.build(
        solution.potential, solution.centroids, solution.within_scale, kind="simplex", **options
    )


EXACT = {"a": 1.0, "b": 1.0}  # the codes themselves as anchors


def sample(n, d, seed):
    return UniformBox.unit(d).sample(n, seed=seed, stream=Stream.MANIFOLD)


@pytest.fixture(scope="module")
def modes():
    """Two modes in the plane, far apart, and their map."""
    codes = torch.cat([sample(150, 2, 0), sample(250, 2, 1) + torch.tensor([8.0, 3.0])])
    map_ = solved(codes, **EXACT)
    return codes, map_.potential, replace(map_.simplex, overhang=0.0)


@pytest.mark.parametrize("d", [2, 3])
def test_centroids_go_to_their_codes(d):
    map_ = solved(sample(200, d, 0), **EXACT)
    torch.testing.assert_close(map_(map_.centroids), map_.potential.points)
    smooth = solved(sample(200, d, 0))
    torch.testing.assert_close(smooth(smooth.centroids), smooth.simplex.points)


@pytest.mark.parametrize("options", [{}, EXACT], ids=["smoothed", "exact"])
@pytest.mark.parametrize("d", [2, 3])
def test_it_is_continuous(d, options):
    """Steps of length e move codes by no more than L e, also where cells meet and at the rim."""
    map_ = solved(sample(150, d, 0), **options)
    x = sample(4000, d, 1)
    step = torch.nn.functional.normalize(sample(4000, d, 2) - 0.5, dim=1)
    lengths = [
        (map_(x + e * step) - map_(x)).norm(dim=1).quantile(0.999) for e in (1e-2, 1e-4, 1e-6)
    ]
    assert lengths[1] < 0.05 * lengths[0]
    assert lengths[2] < 0.05 * lengths[1]


@pytest.mark.parametrize("d", [2, 3])
def test_source_as_law_of_the_sites_gives_the_identity(d):
    """E |T(x) - x|^2 falls as N grows, for codes drawn from the source itself; fits are nearer."""
    x = sample(5000, d, 7)
    rms = lambda map_: (map_(x) - x).square().sum(dim=1).mean().sqrt().item()  # noqa: E731
    smoothed, exact = [], []
    for n in (50, 400, 3200):
        map_ = solved(sample(n, d, 3), b=1.0, neighbours=12)
        smoothed.append(rms(map_))
        codes = replace(map_.simplex, points=map_.potential.points, slopes=None)
        exact.append(rms(lambda x, map_=map_, codes=codes: codes(x, map_.cell_index(x))))
    for errors in (smoothed, exact):
        assert errors[1] < 0.65 * errors[0]
        assert errors[2] < 0.65 * errors[1]
    assert (torch.tensor(smoothed) < torch.tensor(exact)).all()


@pytest.mark.parametrize("options", [{}, EXACT], ids=["smoothed", "exact"])
@pytest.mark.parametrize("shaken", [False, True], ids=["independent", "grid"])
def test_no_reversal_in_the_plane(shaken, options):
    """<T(x) - T(x'), x - x'> >= 0 for close pairs; next to none is reversed at the domain's rim."""
    side = (torch.arange(30.0, dtype=torch.float64) + 0.5) / 30
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1).reshape(-1, 2)
    codes = sample(900, 2, 4)
    map_ = solved(grid + (codes - 0.5) / 60 if shaken else codes, **options)
    x = 0.03 + 0.94 * sample(20_000, 2, 5)  # a cell is a thirtieth wide
    step = 0.003 * torch.nn.functional.normalize(sample(20_000, 2, 6) - 0.5, dim=1)
    back = ((map_(x + step) - map_(x)) * step).sum(dim=1) < 0
    assert back.sum() <= (0 if shaken else 10)
    found = map_.report(UniformBox.unit(2))
    assert found.pairs > 5000
    assert found.reversed_interval[1] < 0.005
    assert found.relative_jump < 0.5
    assert found.torn == found.redrawn == found.plain == 0


def test_the_report_tells_a_sawtooth():
    map_ = solved(sample(900, 2, 4))
    u, c, s = map_.potential, map_.centroids, map_.within_scale
    saw = ExtendedMap.build(u, c, s, kind="affine", neighbours=10, b=1.0)
    assert saw.report(UniformBox.unit(2)).reversed > 0.5
    plain = ExtendedMap.build(u, c, s, kind="none").report(UniformBox.unit(2))
    assert plain.relative_jump == pytest.approx(1.0)
    assert plain.reversed == 0
    assert plain.to_dict()["kind"] == "none"


def test_nothing_falls_between_the_modes(modes):
    codes, u, simplex = modes
    x = sample(20_000, 2, 5)
    new = simplex(x, u.cell_index(x))
    right = new[:, 0] > 4
    for part, own in ((codes[:150], new[~right]), (codes[150:], new[right])):
        assert own.min(0)[0].ge(part.min(0)[0] - 1e-9).all()
        assert own.max(0)[0].le(part.max(0)[0] + 1e-9).all()
    assert right.double().mean() == pytest.approx(250 / 400, abs=0.02)


def test_without_tears_it_blends(modes):
    """The same map uncut fills the gap: what the cut is for."""
    _, u, simplex = modes
    whole = SimplexMap.build(u, simplex.centroids, never)
    x = sample(20_000, 2, 5)
    new = whole(x, u.cell_index(x))
    assert ((new[:, 0] > 1.5) & (new[:, 0] < 7.5)).double().mean() > 0.02


def test_labels_are_not_blended():
    codes = sample(300, 2, 0)
    groups = (codes[:, 0] > 0.5).long()
    map_ = solved(codes, groups=groups, **EXACT)
    x = sample(5000, 2, 1)
    cells = map_.cell_index(x)
    new, own = replace(map_.simplex, overhang=0.0)(x, cells), groups[cells]
    assert (new[own == 0, 0] <= codes[groups == 0, 0].max() + 1e-12).all()
    assert (new[own == 1, 0] >= codes[groups == 1, 0].min() - 1e-12).all()


def test_overhang_gives_back_the_spread_at_the_rim():
    codes = sample(400, 2, 0)
    x = sample(20_000, 2, 1)
    map_ = solved(codes, **EXACT)
    cells = map_.cell_index(x)
    wide, tight = (replace(map_.simplex, overhang=b)(x, cells).var(dim=0).sum() for b in (1.0, 0.0))
    true = codes.var(dim=0).sum()
    assert tight < wide
    assert wide == pytest.approx(true.item(), rel=0.02)


@pytest.mark.parametrize("options", [{}, EXACT], ids=["smoothed", "exact"])
def test_codes_on_a_line_are_mapped_along_it(options):
    codes = torch.stack([torch.arange(12.0), 2 * torch.arange(12.0)], dim=1).double()
    map_ = solved(codes, **options)
    new = replace(map_.simplex, overhang=0.0)(sample(500, 2, 1), map_.cell_index(sample(500, 2, 1)))
    torch.testing.assert_close(new[:, 1], 2 * new[:, 0])
    assert new[:, 0].min() >= -0.5
    assert new[:, 0].max() <= 11.5


def test_one_code_and_empty_requests():
    u = BrenierPotential(torch.tensor([[0.3, 0.4]]), torch.zeros(1))
    map_ = ExtendedMap.build(u, torch.tensor([[0.5, 0.5]]), 0.3, kind="simplex")
    torch.testing.assert_close(map_(torch.rand(5, 2, generator=torch.Generator().manual_seed(0))), u.points.expand(5, -1))  # fmt: skip
    assert map_(torch.zeros(0, 2)).shape == (0, 2)


def test_empty_cells_are_left_out():
    codes = torch.cat([sample(50, 2, 0), torch.tensor([[0.5, 0.5]]).double()])
    heights = -codes.square().sum(dim=1) / 2
    heights[-1] -= 5.0  # hidden
    u = BrenierPotential(codes, heights)
    centroids = PowerDiagram(UniformBox.unit(2), u).centroids
    assert torch.isnan(centroids[-1]).all()
    map_ = ExtendedMap.build(u, centroids, 0.1, kind="simplex")
    assert torch.isfinite(map_(sample(2000, 2, 1))).all()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_inverse_finds_the_noise(d):
    codes = sample(120, d, 0)
    if d == 1:  # the exact solver begins in the plane: equal masses go to the sorted codes
        y = codes.sort(dim=0)[0][:, 0]
        cuts = torch.arange(1, 120).double() / 120
        heights = torch.cat([torch.zeros(1), -(cuts * y.diff()).cumsum(0)])
        u = BrenierPotential(y[:, None], heights)
        map_ = ExtendedMap.build(u, (torch.arange(120.0)[:, None] + 0.5).double() / 120, 0.002, kind="simplex")  # fmt: skip
    else:
        map_ = solved(codes, **EXACT)
    x = sample(400, d, 1)
    found = map_.inverse(map_(x))
    inside = found.errors < 1e-6
    assert inside.double().mean() > {1: 0.95, 2: 0.8, 3: 0.5}[d]  # all but the overhang
    assert ((found.noise - x).norm(dim=1)[inside] < 1e-5).double().mean() > 0.95


def test_the_inverse_of_a_smoothed_map_finds_codes_that_it_makes():
    map_ = solved(sample(900, 2, 0), b=1.0)
    x = 0.03 + 0.94 * sample(400, 2, 1)
    found = map_.inverse(map_(x))
    assert (found.errors < 1e-6).double().mean() > 0.9
    assert ((found.noise - x).norm(dim=1) < 1e-5).double().mean() > 0.9


def test_fits_take_no_accident_of_the_codes():
    """Smoothed anchors are nearer to the truth than codes are, and none of them is a code."""
    codes = sample(900, 2, 0)
    map_ = solved(codes, b=1.0, neighbours=12)
    true, anchors = map_.centroids, map_.simplex.points
    assert (anchors - true).square().sum() < 0.7 * (codes - true).square().sum()
    assert (anchors[:, None] - codes).norm(dim=2).amin(dim=1).median() > 0.2 / 30


def test_small_sides_are_not_smoothed():
    """A side of seven codes keeps them: its neighbourhood would be all of it."""
    codes = torch.cat([sample(200, 2, 0), 0.1 * sample(7, 2, 1) + torch.tensor([9.0, 0.0])])
    map_ = solved(codes)
    torch.testing.assert_close(map_.simplex.points[200:], codes[200:])
    assert (map_.simplex.points[:200] - codes[:200]).norm(dim=1).min() > 0
    assert (map_.simplex.slopes[200:].diagonal(dim1=1, dim2=2) > 0).any()


def test_rows_do_not_see_each_other():
    map_ = solved(sample(300, 3, 0))
    x = sample(3000, 3, 1)
    whole = map_(x)
    for part in (slice(0, 1), slice(1500, 1777), slice(2999, 3000)):
        assert torch.equal(map_(x[part]), whole[part])


def test_local_law_places_residuals_around_other_centroids():
    map_ = solved(sample(100, 2, 0))
    x = sample(50, 2, 1)
    cells = map_.cell_index(x)
    torch.testing.assert_close(map_.local_law(cells, map_.residual(x, cells)), map_(x))


def test_refusals():
    u = BrenierPotential(torch.zeros(2, 4) + torch.arange(2.0)[:, None], torch.zeros(2))
    with pytest.raises(ValueError, match="at most 3 dimensions"):
        ExtendedMap.build(u, u.points, 0.3, kind="simplex")
    with pytest.raises(ValueError, match="simplex must be given"):
        ExtendedMap(u, u.points, torch.zeros(2, 1), 0.3, "simplex")
