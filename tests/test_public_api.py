"""Public names exist, load on use, and are documented with every parameter and return value."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import itertools
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Protocol

import pytest
from numpydoc.validate import validate

import ot_latent

ROOT = Path(ot_latent.__file__).parent
LAZY_PACKAGES = [
    "",
    "kernels",
    "latent",
    "metrics",
    "theory",
    "theory.hierarchy",
    "theory.rectified_linear",
    "theory.sparsity",
    "transport",
]
HEAVY = ["torch", "scipy", "sklearn", "ot", "accelerate", "matplotlib", "skdim", "numba", "pandas"]

# numpydoc's names of what every public docstring must have. See also, notes and examples are free;
# types and order (PR03, PR04) stand in the annotated signature, so that parameters which mean what
# they mean elsewhere can be documented together.
CHECKS = {
    "GL06",  # unknown section
    "GL07",  # sections in the standard order
    "GL08",  # there is a docstring
    "SS01",  # there is a summary
    "SS03",  # it ends with a period
    "SS04",  # without leading spaces
    "PR01",  # every parameter is documented
    "PR02",  # no parameter is documented that does not exist
    "PR07",  # with a description
    "PR10",  # "name : type"
    "RT01",  # the return value is documented
    "RT03",  # with a description
    "YD01",  # so is what a generator yields
}


def public_modules() -> list[str]:
    """Return the dotted names of all modules without a leading underscore."""
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["ot_latent", *path.relative_to(ROOT).with_suffix("").parts]
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return names


def documented_objects(module: str) -> list[str]:
    """Return the public functions, classes and methods that a module defines itself."""
    loaded = importlib.import_module(module)
    found = []
    for name, thing in vars(loaded).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            found.append(f"{module}.{name}")
        if inspect.isclass(thing):
            found += [
                f"{module}.{name}.{method}"
                for method, value in vars(thing).items()
                if not method.startswith("_")
                and isinstance(value, property | classmethod | staticmethod | type(validate))
            ]
    return found


def in_subprocess(program: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", LAZY_PACKAGES, ids=lambda p: p or "ot_latent")
def test_every_public_name_exists(package):
    loaded = importlib.import_module(f"ot_latent.{package}".rstrip("."))
    assert loaded.__all__
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
    assert set(loaded.__all__) <= set(dir(loaded))


@pytest.mark.parametrize("package", LAZY_PACKAGES, ids=lambda p: p or "ot_latent")
def test_type_checkers_see_the_same_names(package):
    """The imports under TYPE_CHECKING are those that ``__getattr__`` performs."""
    path = ROOT / package.replace(".", "/") / "__init__.py"
    names = {
        alias.asname
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    loaded = importlib.import_module(f"ot_latent.{package}".rstrip("."))
    assert names == set(loaded.__all__) - {"__version__"}


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ot_latent' has no attribute 'nothing'"):
        _ = ot_latent.nothing


def test_modules_are_reached_through_their_package():
    assert ot_latent.transport.sources.UniformBox is ot_latent.UniformBox
    assert ot_latent.metrics.fidelity.precision_recall is ot_latent.metrics.precision_recall


def test_version_is_the_installed_one():
    from importlib.metadata import version

    assert ot_latent.__version__ == version("ot_latent")


# -- light imports ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import ot_latent",
        "import ot_latent; dir(ot_latent)",
        "import ot_latent.transport, ot_latent.latent, ot_latent.metrics, ot_latent.kernels",
        "import ot_latent.config, ot_latent.persistence",
        "import ot_latent.cli, ot_latent.runs, ot_latent.datasets, ot_latent.plotting",
    ],
)
def test_import_stays_light(statement):
    loaded = in_subprocess(
        f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    )
    assert not set(loaded.split()) & set(HEAVY)


# -- docstrings ------------------------------------------------------------------------------------


def resolve(name: str) -> tuple[object, object, str]:
    """Return the object of a dotted name, its owner (module or class) and its own name."""
    parts = name.split(".")
    start = max(n for n in range(1, len(parts)) if ".".join(parts[:n]) in sys.modules)
    thing = owner = sys.modules[".".join(parts[:start])]
    for part in parts[start:]:
        owner, thing = thing, getattr(thing, part)
    return thing, owner, parts[-1]


def documents_its_fields(record: type) -> bool:
    """Whether each field has a string below it, or the class an Attributes section."""
    if "Attributes\n" in (record.__doc__ or "") or issubclass(record, enum.Enum):
        return True
    if Protocol in record.__mro__:  # nobody constructs one
        return True
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0].body
    fields = [
        (node, following)
        for node, following in itertools.zip_longest(body, body[1:])
        if isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_")
    ]
    return bool(fields) and all(isinstance(following, ast.Expr) for _, following in fields)


def excused(name: str, kind: str) -> set[str]:
    """Return the checks that do not apply to an object, because another place says it."""
    thing, owner, own = resolve(name)
    if kind in {"property", "cached_property"}:
        return CHECKS - {"GL08", "SS03"}
    if inspect.isclass(thing):
        return {"PR01"} if documents_its_fields(thing) else set()
    if inspect.isclass(owner):
        if any(own in vars(base) for base in owner.__mro__[1:]):
            return {"PR01", "RT01"}  # the base class says what goes in and out
        if not set(inspect.signature(thing).parameters) - {"self"}:
            return {"RT01"} if (thing.__doc__ or "").startswith("Return") else set()
    return set()


def complaints(name: str) -> list[str]:
    """Return what numpydoc has to say about one object."""
    result = validate(name)
    wanted = CHECKS - excused(name, result["type"])
    return [f"{name}: {code} {text}" for code, text in result["errors"] if code in wanted]


@pytest.mark.parametrize("module", public_modules())
def test_docstrings_are_complete(module):
    assert importlib.import_module(module).__doc__
    found = [line for name in documented_objects(module) for line in complaints(name)]
    assert not found, "\n".join(found)
