"""The house rules, enforced: floors, walls, light imports, budgets, forbidden calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "ot_latent"
DRAWING = ROOT.parent / "docs" / "architecture.md"

# From the ground up. A name stands for a module or for a whole package; modules of such a package
# may import one another (not in circles). Everything else imports strictly lower floors, but for
# names that only type checkers see; the walls between rooms hold for these too.
FLOORS = [
    {"kernels.host"},
    {"_lazy", "_units", "_validation", "_random", "config", "kernels.aggregation", "kernels.product_max", "kernels.triton_language"},
    {"_apart", "_files", "_pathprox", "datasets", "kernels.fused", "kernels.lifted_tree", "kernels.cell_graph", "kernels.site_tree", "kernels.tiled"}
    | {"kernels.buckets", "kernels.graph_cg", "kernels.graph_multigrid", "kernels.crossed_eager", "kernels.latin", "kernels.simd", "kernels.tally"}
    | {"kernels.deformations", "kernels.polygons", "kernels.polyhedra", "kernels.triton_best", "kernels.triton_crossed"}
    | {"latent.accelerator", "latent.layers", "latent.priors", "latent.threads"}
    | {"transport.hull", "transport.measures", "transport.processes", "transport.sources", "transport.stratified"},
    {"kernels.crossed", "kernels.dispatch", "kernels.grid2d", "kernels.grid3d", "latent.critic", "latent.homogeneous", "persistence"}
    | {"transport.chi_square", "transport.domains", "transport.laplacian", "transport.product"},
    {"kernels.cells2d", "kernels.cells3d"}
    | {"latent.autoencoder", "latent.batches", "latent.classifier", "latent.neighbours", "latent.preprocessing"}
    | {"latent.training_state", "transport.cells", "transport.potential", "transport.source_kinds"}
    | {"transport.intervals", "transport.neighbours", "transport.smooth_fit", "transport.surroundings", "transport.target_chunks", "transport.tiles", "transport.unique_rows"},
    {"latent.local_codes", "latent.loop", "transport.barycentric", "transport.corner_lists", "transport.crossing", "transport.local_fit", "transport.local_law", "transport.mass_change"},
    {"latent.refinement", "metrics", "raster", "theory", "run_folder", "transport.solution", "transport.triangulation"}
    | {"transport.plane", "transport.space"},
    {"latent.flow", "latent.pairing", "latent.training", "transport.stochastic_state", "transport.survey", "transport.warm_start"}
    | {"transport.carving", "transport.inverse", "transport.line", "transport.map_report", "transport.simplex_map", "transport.two_cell"},
    {"transport.block_survey", "transport.refit"},
    {"transport.sampling"},
    {"transport.diagonal_step", "transport.samplers"},
    {"transport.given_heights"},
    {"transport.extension", "transport.parts", "transport.pot", "transport.verdict"}
    | {"transport.newton_start", "transport.power_diagram"},
    {"transport.newton", "transport.singular", "transport.stochastic"},
    {"tears", "transport.stand_in"},
    {"architectures", "transport.coupling"},
    {"_codes", "_solvers", "atlas", "coders", "features", "transport.draws"},
    {"calibration"},
    {"_extending"},
    {"_portable"},
    {"_conditional"},
    {"_control"},
    {"estimators"},
    {"baselines"},
    {"evidence", "geometry", "geometry_words", "latent_dim", "scores"},
    {"evaluation"},
    {"fitted"},
    {"code_model", "generator", "plotting"},
    {"run_models"},
    {"atlas_page", "output"},
    {"run_figures"},
    {"report", "runs"},
    {"cli"},
    {"__main__"},
]  # fmt: skip
FLOOR = {name: height for height, floor in enumerate(FLOORS) for name in floor}

ROOMS = {"transport", "latent", "theory", "metrics"}  # never import one another
ONLY_IN = {"matplotlib": {"plotting"}, "tyro": {"cli"}}  # wherever the import stands
HEAVY = {"torch", "scipy", "sklearn", "ot", "accelerate", "matplotlib", "skdim", "pandas", "numba"}
HEAVY |= {"safetensors", "torchmetrics", "pyarrow", "jax"}
# What has to start fast (the command line, the run folder) loads torch on use; so do all others
# but the ones that are about tensors. scikit-learn's contract is a base class.
TORCH_AT_TOP = {"kernels", "transport", "latent", "metrics", "theory"}
TORCH_AT_TOP |= {
    "_codes",
    "_conditional",
    "_control",
    "_portable",
    "coders",
    "features",
    "estimators",
    "baselines",
}
TORCH_AT_TOP |= {
    "_extending",
    "architectures",
    "calibration",
    "evaluation",
    "fitted",
    "generator",
    "_pathprox",
    "_units",
}
SKLEARN_AT_TOP = {
    "_conditional",
    "_control",
    "_portable",
    "estimators",
    "baselines.base",
    "baselines.priors",
    "fitted",
    "generator",
}

# Compiled when they are imported, so they are themselves imported on use.
NUMBA_AT_TOP = {"kernels.buckets", "kernels.cell_graph", "kernels.graph_cg", "kernels.site_tree"}
NUMBA_AT_TOP |= {f"kernels.{name}{d}d" for name in ("cells", "grid") for d in (2, 3)}
NUMBA_AT_TOP |= {"kernels.polygons", "kernels.polyhedra", "kernels.product_max"}
NUMBA_AT_TOP |= {"kernels.crossed", "kernels.latin", "kernels.simd", "kernels.tally"}
NUMBA_AT_TOP |= {"kernels.aggregation", "kernels.graph_multigrid", "kernels.host"}
NUMBA_AT_TOP |= {"theory.rectified_linear.cutting"}

MAX_LINES, MAX_BODY, MAX_NESTING = 400, 40, 3
EXCUSED: dict[str, str] = {}  # "module" or "module:function" -> why it may be longer or deeper

FORBIDDEN_CALLS = {
    "torch.manual_seed": "global seed",
    "torch.cuda.manual_seed": "global seed",
    "torch.cuda.manual_seed_all": "global seed",
    "np.random.seed": "global seed",
    "numpy.random.seed": "global seed",
    "random.seed": "global seed",
    "torch.set_default_dtype": "global state",
    "torch.set_default_device": "global state",
    "torch.save": "pickle",
    "torch.load": "pickle",
    "joblib.dump": "pickle",
    "joblib.load": "pickle",
}
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
EXIT_CALLS = {"sys.exit", "exit", "quit", "os._exit"}
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


# -- reading the code ------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    """Return the dotted name below ot_latent; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for an attribute chain, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Return the absolute names of everything that the import statements among `nodes` import."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def running(path: Path) -> Iterator[ast.AST]:
    """Yield every statement but those that only type checkers see."""
    todo: list[ast.AST] = [tree(path)]
    while todo:
        node = todo.pop()
        yield node
        only_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        todo += node.orelse if only_types else ast.iter_child_nodes(node)


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements that run when the module is imported."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from at_import([n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)])
        else:
            yield node


def house_name(name: str) -> str | None:
    """Return the longest entry of FLOORS that an imported name lies in."""
    parts = name.removeprefix("ot_latent.").split(".")
    if not name.startswith("ot_latent."):
        return None
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((p for p in prefixes if p in FLOOR), None)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return the deepest nesting of blocks; ``elif`` does not nest."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        inside = depth + (isinstance(child, BLOCKS) and not is_elif)
        deepest = max(deepest, nesting(child, inside))
    return deepest


PATHS = sorted(ROOT.rglob("*.py"))
MODULES = [p for p in PATHS if p.name != "__init__.py" or module_name(p) in FLOOR]
each_file = pytest.mark.parametrize("path", PATHS, ids=lambda p: str(p.relative_to(ROOT)))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))


# -- floors and walls ------------------------------------------------------------------------------


@each_module
def test_module_looks_only_down(path):
    here = house_name(f"ot_latent.{module_name(path)}")
    assert here, f"{module_name(path)} has no floor yet: give it one in FLOORS"
    for name in imported(running(path)):
        other = house_name(name)
        if other is None or other == here:
            continue
        assert FLOOR[other] < FLOOR[here], f"{here} looks up at {other} ({name})"


@each_module
def test_rooms_do_not_import_one_another(path):
    room = module_name(path).split(".")[0]
    others = ROOMS - {room} if room in ROOMS else set()
    for name in imported(ast.walk(tree(path))):
        entered = name.removeprefix("ot_latent.").split(".")[0] if "." in name else ""
        assert not (name.startswith("ot_latent.") and entered in others), f"{room} imports {name}"


def test_no_circles():
    graph = {module_name(p): imported(running(p)) for p in MODULES}
    edges = {
        here: {
            m for m in graph if m != here for n in names if f"{n}.".startswith(f"ot_latent.{m}.")
        }
        for here, names in graph.items()
    }
    packages = {m for m in graph for other in graph if other.startswith(f"{m}.")}
    done: set[str] = set()
    while ready := {m for m in edges if m not in done and not edges[m] - done - packages}:
        done |= ready
    assert not set(edges) - done, f"import one another in circles: {sorted(set(edges) - done)}"


@each_file
def test_libraries_stay_in_their_rooms(path):
    here = module_name(path)
    for name in imported(ast.walk(tree(path))):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or here.split(".")[0] in allowed, f"{here} may not import {name}"


@each_file
def test_heavy_libraries_load_on_use(path):
    here = module_name(path)
    allowed = {"torch"} if here.split(".")[0] in TORCH_AT_TOP else set()
    if here in SKLEARN_AT_TOP:
        allowed |= {"sklearn"}
    if here in NUMBA_AT_TOP:
        allowed |= {"numba"}
    found = {name.split(".")[0] for name in imported(at_import(tree(path).body))} & HEAVY
    assert found <= allowed, f"{here} imports {sorted(found - allowed)} when it is imported"


def test_drawing_is_true():
    text = DRAWING.read_text().split("<!-- tree: begin -->")[1].split("<!-- tree: end -->")[0]
    drawn = set(re.findall(r"[\w]+(?:/[\w]+)*\.py", text))
    missing = {p.name for p in PATHS if p.name != "__init__.py"} - {d.split("/")[-1] for d in drawn}
    assert not missing, f"docs/architecture.md does not draw {sorted(missing)}: run `make tree`"
    gone = {d.split("/")[-1] for d in drawn} - {p.name for p in PATHS}
    assert not gone, f"docs/architecture.md draws what is not there: {sorted(gone)}"


# -- budgets and forbidden things ------------------------------------------------------------------


@each_file
def test_module_keeps_its_budget(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES or module_name(path) in EXCUSED, f"{lines} lines"


@each_file
def test_functions_keep_their_budget(path):
    here = module_name(path)
    over = [
        f"{node.name} (line {node.lineno}): {body_lines(node)} lines, nesting {nesting(node)}"
        for node in functions(path)
        if (body_lines(node) > MAX_BODY or nesting(node) > MAX_NESTING)
        and f"{here}:{node.name}" not in EXCUSED
    ]
    assert not over, "\n".join(over)


@each_file
def test_nothing_forbidden(path):
    found = []
    here = module_name(path)
    for node in ast.walk(tree(path)):
        where = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert):
            found.append(f"{where}: assert")
        elif isinstance(node, ast.ExceptHandler) and dotted(node.type or ast.Name("")) in {
            "",
            "Exception",
        }:
            if not isinstance(node.type, ast.Tuple):
                found.append(f"{where}: except of everything")
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in FORBIDDEN_CALLS:
                found.append(f"{where}: {name} ({FORBIDDEN_CALLS[name]})")
            if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                found.append(f"{where}: .cuda()")
            if name in EXIT_CALLS and not here.startswith(("cli", "__main__")):
                found.append(f"{where}: {name} outside the command line")
    bad_modules = {n.split(".")[0] for n in imported(ast.walk(tree(path)))} & FORBIDDEN_MODULES
    found += [f"imports {name}" for name in sorted(bad_modules)]
    found += [
        f"line {number}: {match.group()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := re.search(r"\b(TODO|FIXME|XXX)\b", line))
    ]
    assert not found, "\n".join(found)


@each_file
def test_first_line_says_what_the_module_is_for(path):
    assert ast.get_docstring(tree(path)), f"{path.name} has no docstring"
