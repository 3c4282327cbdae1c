"""Redraw the tree in docs/architecture.md from the first line of every module: `make tree`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).with_name("architecture.md")
ROOT = Path(__file__).parents[1] / "ot_latent"
BEGIN, END = "<!-- tree: begin -->\n", "<!-- tree: end -->\n"


def purpose(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def branch(folder: Path, indent: str = "") -> Iterator[str]:
    """Yield a line for each module and sub-package of a folder."""
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{indent}{path.name:<22}{purpose(path)}"
    for init in sorted(folder.glob("*/__init__.py")):
        yield f"{indent}{init.parent.name + '/':<22}{purpose(init)}"
        yield from branch(init.parent, f"{indent}    ")


def main() -> None:
    """Replace what stands between the two marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(["ot_latent/", *branch(ROOT, "    ")])
    PAGE.write_text(f"{before}{BEGIN}```text\n{lines}\n```\n{END}{after}")


if __name__ == "__main__":
    main()
