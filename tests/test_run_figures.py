"""Every kind of figure is drawn from a fitted model, or refused with what it needs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ot_latent import LatentGenerator, run_figures
from ot_latent.config import ConfigError


@pytest.fixture(scope="module")
def flat():
    """A model of pictures with two-dimensional codes, and held-out rows."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    x = rng.integers(0, 60, size=(240, 8, 8))
    for row, label in zip(x, y, strict=True):
        row[4 * label : 4 * label + 3] += 150
    x = x.astype(np.uint8)
    model = LatentGenerator(2, width=8, epochs=2, batch_size=64, tolerance=0.9, random_state=0).fit(
        x[:160], y[:160]
    )
    return model, SimpleNamespace(x=x[160:], y=y[160:], label_names=("up", "down"), name="bars")


def test_every_kind_is_drawn(flat, tmp_path):
    model, data = flat
    from matplotlib import pyplot

    pyplot.close("all")
    files = run_figures.draw(model, data, tmp_path / "figs", run_figures.KINDS)
    page = files.pop()
    assert [path.name for path in files] == [f"{kind}.png" for kind in run_figures.KINDS]
    assert pyplot.get_fignums() == []  # nothing is left open
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    assert page.name == "atlas.html"
    assert "<title>bars in two dimensions</title>" in page.read_text()


def test_the_default_is_what_fits_without_the_atlas(flat, tmp_path):
    model, data = flat
    drawn = [path.stem for path in run_figures.draw(model, data, tmp_path)]
    assert drawn == [kind for kind in run_figures.KINDS if kind != "atlas"]


def test_kinds_that_do_not_fit_say_what_they_need(tmp_path):
    rows = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    model = LatentGenerator(3, width=2, epochs=1, tolerance=0.9, random_state=0).fit(rows[:80])
    data = SimpleNamespace(x=rows[80:], y=None, label_names=None)
    assert run_figures.fitting(model, data) == ["convergence", "loss", "novelty"]
    for kind, need in run_figures.NEEDS.items():
        if kind not in ("loss", "novelty"):
            with pytest.raises(ConfigError, match=f"got {kind}, which needs {need}; this run has"):
                run_figures.draw(model, data, tmp_path, [kind])
    with pytest.raises(ConfigError, match="cell is not a kind of figure; did you mean 'cells'"):
        run_figures.draw(model, data, tmp_path, ["cell"])
    assert list(tmp_path.iterdir()) == []
