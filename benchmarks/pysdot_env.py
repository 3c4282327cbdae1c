"""Build the environment that pysdot needs: ``python -m benchmarks.pysdot_env``.

pysdot's wheel 0.2.16 works with numpy < 2 only, hence an environment of its own, called as a
subprocess. Its best linear solver is PETSc, which pip does not bring: ``--petsc`` fetches Debian 12's
packages (Python 3.11) and unpacks them below the same folder, without installing anything.
The folder is ``--folder``, else the variable OT_LATENT_PYSDOT, else ~/.cache/ot_latent/pysdot.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "OT_LATENT_PYSDOT"
REQUIREMENTS = ("pysdot==0.2.16", "numpy<2", "scipy")
PETSC = "python3-petsc4py-real"
NOT_NEEDED = ("python3-numpy", "swig", "swig4.0")
LIBRARIES = ("", "blas", "lapack", "openmpi/lib")


def folder() -> Path:
    """Return where the environment is, or would be."""
    default = Path.home() / ".cache" / "ot_latent" / "pysdot"
    return Path(os.environ.get(VARIABLE, default)).expanduser()


def python(home: Path) -> Path | None:
    """Return the interpreter that has pysdot, or None."""
    found = home / "bin" / "python"
    return found if any(home.glob("lib/python*/site-packages/pysdot")) else None


def petsc_variables(home: Path) -> dict[str, str] | None:
    """Return the variables that let pysdot find the unpacked PETSc, or None where it is not."""
    root = home / "petsc" / "root"
    packages = next(root.glob("usr/lib/petscdir/*/*/lib/python3/dist-packages"), None)
    if packages is None:
        return None
    base = next(root.glob("usr/lib/*-linux-gnu"))
    return {
        "PYTHONPATH": str(packages),
        "LD_LIBRARY_PATH": ":".join(str(base / name) for name in LIBRARIES),
        "OPAL_PREFIX": str(root / "usr"),
    }


def build(home: Path) -> None:
    """Make the environment with pip."""
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
    subprocess.run(pip, check=True)


def fetch_petsc(home: Path) -> None:
    """Fetch Debian's packages of PETSc and unpack them below the folder."""
    plan = ["apt-get", "install", "--simulate", "--no-install-recommends", PETSC]
    said = subprocess.run(plan, check=True, capture_output=True, text=True).stdout
    wanted = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]
    wanted = [name for name in wanted if name not in NOT_NEEDED]
    root = home / "petsc" / "root"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        subprocess.run(["apt-get", "download", "-q", *wanted], cwd=cache, check=True)
        for package in Path(cache).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=folder())
    parser.add_argument("--petsc", action="store_true", help="also fetch PETSc (Debian 12)")
    options = parser.parse_args(arguments)
    if python(options.folder) is None:
        build(options.folder)
    if options.petsc and petsc_variables(options.folder) is None:
        fetch_petsc(options.folder)
    petsc = "with" if petsc_variables(options.folder) else "without"
    print(f"{options.folder}: pysdot {petsc} PETSc")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
