"""The README's Python runs, block after block, as a reader would type it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks()))
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere():
    found = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert len(found) > 10
    assert [link for link in found if not (README.parent / link).exists()] == []
