"""Sphinx configuration: Markdown pages, NumPy docstrings, no notebook is executed here."""

import os
import re
from typing import Any

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

# Docstrings are written to be read: |y|^2 and (n, *shape) are text, not reStructuredText.
LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`|`.*?`)")
MARKUP = re.compile(r"\||(?<=[\s(,])\*(?=\w+[),])")


def escape_markup(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Escape bars and stars outside of literals, formulas and examples."""
    directive = -1  # indentation of the formula that is being read
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= directive:
            directive = -1
        if line.lstrip().startswith(".. math::"):
            directive = indent
        if directive >= 0 or line.lstrip().startswith((">>>", "...")):
            continue
        parts = LITERAL.split(line)
        parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def skip_foreign(
    app: Any, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the metadata-routing methods that scikit-learn adds to every estimator."""
    return True if re.fullmatch(r"set_\w+_request|get_metadata_routing", name) else None


def setup(app: Any) -> None:
    """Connect the hooks; numpydoc runs at priority 500."""
    app.connect("autodoc-process-docstring", escape_markup, priority=400)
    app.connect("autodoc-skip-member", skip_foreign)
