"""The report: self-contained, complete, equal to its record, for images and for tables."""

import re

import numpy as np
import pytest

from ot_latent import LatentGenerator, OTSampler, plotting
from ot_latent._validation import DataError
from ot_latent.datasets import Dataset
from ot_latent.report import write_report
from ot_latent.report.limits import _extension

SECTIONS = ("glance", "compare", "manifold", "transport", "spread", "limits", "again")


def table(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    rows = 6 * np.eye(3, 5)[labels] + rng.standard_normal((n, 5))
    return rows.astype(np.float32), labels


def squares(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    images = np.zeros((n, 8, 8), dtype=np.uint8)
    for image, label, level in zip(images, labels, rng.integers(100, 255, n), strict=True):
        image[1:4, 1:4] = level if label else 0
        image[4:7, 4:7] = 0 if label else level
    return images + rng.integers(0, 20, images.shape, dtype=np.uint8), labels


def dataset(x, y, name="a set <of> rows & more"):
    return Dataset(x=x, y=y, name=name)


def read(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    model = LatentGenerator(latent_dim=4, epochs=4, tolerance=0.3, random_state=0)
    model.fit(*squares(200, 0))
    record = write_report(folder, model, dataset(*squares(120, 1)), folder / "page.html")
    return read(folder / "page.html"), record


def test_page_loads_nothing_and_is_small(pictures):
    page, _ = pictures
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "<script src" not in page
    assert "@import" not in page
    assert len(page) < 5e6


def test_limits_say_where_the_numbers_of_the_extension_came_from():
    given = {"anchor": 0.5, "spread": 1.1, "neighbours": 12, "tear": 3.0}
    for n, rule, told in (
        (60, {}, "the usual ones, but for the spread"),
        (60, given, "were fixed"),
        (220, {}, "chosen on held-out training codes"),
    ):
        sampler = OTSampler(tolerance=0.3, **rule).fit(np.random.default_rng(0).normal(size=(n, 4)))
        words = next(_extension(sampler))
        assert told in words
        assert ("no tears" in words) == (sampler.rule_.tear == np.inf)
        assert "inf " not in words


def test_every_section_stands_and_names_are_escaped(pictures):
    page, _ = pictures
    for anchor in SECTIONS:
        assert f'id="{anchor}"' in page
    assert "a set &lt;of&gt; rows &amp; more" in page
    assert "<of>" not in page


def test_numbers_in_the_page_are_those_of_the_record(pictures):
    page, record = pictures
    novelty = record["novelty_ratio"]["value"]
    assert f"{novelty:.3f}" in page or f"{novelty:.2f}" in page
    for words in ("Gaussian", "no transport", "Reconstructions", "Real data", "mixture"):
        assert words in page


def test_pictures_of_samples_convergence_classes_and_novelty(pictures):
    page, _ = pictures
    assert page.count("<img ") >= 8


def test_table_without_labels_gets_marginals(tmp_path):
    x, _ = table(150, 0)
    model = LatentGenerator(latent_dim=5, epochs=3, tolerance=0.4, random_state=0)
    model.fit(x)
    write_report(tmp_path, model, dataset(table(90, 1)[0], None, "wine"), tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert 'id="glance"' in page
    assert "wine" in page


def test_exact_cells_are_told_as_such(tmp_path):
    model = LatentGenerator(latent_dim=2, epochs=2, random_state=0).fit(*squares(150, 0))
    write_report(tmp_path, model, dataset(*squares(100, 1)), tmp_path / "page.html")
    page, found = read(tmp_path / "page.html"), model.transport_
    assert f"{found.mass_error:.1e}" in page
    assert "exact to rounding" in page
    assert f"DampedNewton: {found.steps} steps on exact cells." in page
    assert "Largest relative error of a cell after every step" in page
    assert "The cells were found by sampling" not in page


def test_a_second_model_in_the_plane_gets_a_section(pictures, tmp_path):
    assert 'id="plane"' not in pictures[0]
    data = dataset(*squares(120, 1))
    model = LatentGenerator(latent_dim=3, epochs=1, random_state=0).fit(*squares(100, 0))
    plane = LatentGenerator(latent_dim=2, epochs=1, random_state=0).fit(*squares(100, 0))
    write_report(tmp_path, model, data, tmp_path / "page.html", record=pictures[1], plane=plane)
    page = read(tmp_path / "page.html")
    part = page[page.index('id="plane"') :]
    assert part.index("data:image/png") < part.index("The atlas: codes")


def test_too_few_rows_are_refused(tmp_path):
    x, y = table(100, 0)
    model = LatentGenerator(latent_dim=4, epochs=1, tolerance=0.5, random_state=0).fit(x, y)
    with pytest.raises(DataError, match="at least 40"):
        write_report(tmp_path, model, dataset(x[:10], y[:10]), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def clouds():
    rng = np.random.default_rng(0)
    return rng.standard_normal((80, 3)), rng.standard_normal((60, 3))


def test_marginals_draw_one_pair_of_histograms_per_column():
    real, generated = clouds()
    figure = plotting.marginals(real, generated, names=["a", "b", "c"])
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:3] == ["a", "b", "c"]
    few = plotting.marginals(real, generated, most=2)
    assert few.get_suptitle() == "The first 2 of 3 columns"
    assert plotting.to_svg(figure) != plotting.to_svg(plotting.marginals(real, generated + 1))


def test_correlations_have_a_point_per_pair_and_refuse_one_column():
    real, generated = clouds()
    first, again = (plotting.to_svg(plotting.correlations(real, generated)) for _ in range(2))
    assert first == again
    assert first.startswith(b"<?xml")
    assert first != plotting.to_svg(plotting.correlations(real, generated @ np.ones((3, 3))))
    with pytest.raises(DataError, match="at least 2 columns"):
        plotting.correlations(real[:, :1], generated[:, :1])
