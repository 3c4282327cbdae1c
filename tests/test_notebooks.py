"""Notebooks run from top to bottom, and each .ipynb is the pair of its .py."""

import os
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_pair_is_in_step_and_without_outputs(path):
    import jupytext
    import nbformat

    paired = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert cells(jupytext.read(path)) == cells(paired), (
        f"run `jupytext --sync {path.name}` in notebooks/"
    )
    assert not any(cell.get("outputs") for cell in paired.cells)


@pytest.mark.notebook
@each
def test_notebook_runs(path, quick, tmp_path, monkeypatch):
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = jupytext.read(path)
    client = NotebookClient(
        notebook,
        timeout=120 if quick else 600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 5
    if os.environ.get("OT_LATENT_NOTEBOOK_OUT"):  # keep what was run, to look at it
        nbformat.write(notebook, Path(os.environ["OT_LATENT_NOTEBOOK_OUT"]) / f"{path.stem}.ipynb")
