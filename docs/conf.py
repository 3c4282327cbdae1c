"""Sphinx configuration: Markdown pages, NumPy docstrings, no notebook is executed here."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

from ot_latent import __version__

project = "ot_latent"
author = copyright = "The ot_latent developers"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
root_doc = "index"
source_suffix = {".md": "myst-nb"}

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name types and shapes
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = f"ot_latent {version}"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
