"""How fast winners are found: the plain path beside a bare matrix product and other libraries.

Every peer gets the same rows, targets and heights and returns the best target of each row. Its
rate, two operations per row, target and dimension, is divided by that of a 4096^3 matrix product of
the same kind of numbers with the same threads in the same run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import crossed, results
from benchmarks.kernel_peers import PEERS, Task
from benchmarks.problem import Problem
from ot_latent.transport.warm_start import gaussian_heights

KEY = ("peer", "dim", "threads")
DIMS = (8, 32, 64, 128, 512)
ROWS, TARGETS = 8192, 16_384
FEWER = 1024  # rows of the peers, whose time per pair does not depend on them
WARM = 32  # rows of the call before the clock starts
PRODUCT = 4096
REPEATS = 3
PATIENCE = 5.0  # seconds: a peer that takes longer is not repeated


@dataclass
class Row:
    """One line of the table; times are the best of `runs`."""

    peer: str
    dim: int
    threads: int
    rows: int
    targets: int
    wall_s: float | None = None
    cpu_s: float | None = None
    gflops: float | None = None
    ns_per_pair: float | None = None
    share: float | None = None
    cpu_share: float | None = None
    wrong: float | None = None
    product_gflops: float | None = None
    runs: int = 0
    load: float | None = None
    failure: str | None = None


@dataclass
class Timing:
    """The best wall and CPU seconds of several runs."""

    wall: float = float("inf")
    cpu: float = float("inf")
    runs: int = 0

    def measure(self, call: Callable[[], Any], repeats: int = REPEATS) -> Any:
        """Run a few times; return what the last run returned."""
        found = None
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            found = call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            self.wall, self.cpu, self.runs = min(self.wall, wall), min(self.cpu, cpu), self.runs + 1
            if wall > PATIENCE:
                break
        return found


def task(dim: int, rows: int = ROWS, targets: int = TARGETS) -> Task:
    """Return noise of the cube, a mixture of Gaussians, and the heights a solver starts from."""
    problem = Problem(targets, dim)
    heights = gaussian_heights(problem.source, problem.target).to(torch.float32)
    x = problem.source.sample(rows, seed=1, dtype=torch.float32)
    return Task(x, problem.target.points, heights)


def winners(given: Task) -> Tensor:
    """Return the best target of each row in double precision, by definition."""
    points, heights = given.points.double(), given.heights.double()
    parts = [torch.addmm(heights, x.double(), points.T).argmax(dim=1) for x in given.x.split(1024)]
    return torch.cat(parts)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let every library use so many threads."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


class Product:
    """The matrix product that everything is compared with."""

    def __init__(self, size: int = PRODUCT) -> None:
        rng = torch.Generator().manual_seed(0)
        self.size, self.timing = size, Timing()
        self.factors = [torch.randn(size, size, generator=rng) for _ in range(2)]

    def measure(self, repeats: int) -> None:
        """Run it a few times more."""
        self.timing.measure(lambda: self.factors[0] @ self.factors[1], repeats)

    @property
    def operations(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.size**3


def measure(name: str, given: Task, truth: Tensor, row: Row) -> Timing | None:
    """Run one peer and fill in its row; what it raises is its result."""
    timing = Timing()
    try:
        # Load, and compile for this dimension; our own choice of the way depends on the rows.
        PEERS[name](given if name.startswith("ours") else given.first(WARM))()
        found = timing.measure(PEERS[name](given))
    except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
        row.failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return None
    pairs = len(given.x) * len(given.points)
    row.wall_s, row.cpu_s, row.runs = round(timing.wall, 7), round(timing.cpu, 7), timing.runs
    row.gflops = 2 * pairs * row.dim / timing.wall / 1e9
    row.ns_per_pair = timing.wall / pairs * 1e9
    row.wrong = float((torch.as_tensor(found).flatten() != truth).double().mean())
    row.load = round(os.getloadavg()[0], 2)
    return timing


def run(
    names: Sequence[str], dim: int, count: int, size: tuple[int, int, int]
) -> list[dict[str, Any]]:
    """Measure peers in one dimension, the matrix product before, between and after them."""
    given = task(dim, *size[:2])
    with threads(count):
        truth, product, measured = winners(given), Product(size[2]), []
        product.measure(2)
        for name in names:
            part = given if name.startswith("ours") else given.first(FEWER)
            row = Row(name, dim, count, len(part.x), len(part.points))
            measured.append((row, measure(name, part, truth[: len(part.x)], row)))
            product.measure(1)
    best = product.timing
    for row, timing in measured:
        row.product_gflops = product.operations / best.wall / 1e9
        if timing is not None:
            operations = 2.0 * row.rows * row.targets * row.dim
            row.share = operations / timing.wall / (product.operations / best.wall)
            row.cpu_share = operations / timing.cpu / (product.operations / best.cpu)
    return [asdict(row) for row, _ in measured]


def markdown(record: dict[str, Any]) -> str:
    """Return the table."""
    head = ("d", "threads", "peer", "GFLOP/s", "of sgemm", "in CPU time", "ns per pair")
    head += ("wrong", "load")
    order = list(PEERS)
    lines = []
    for row in sorted(
        record["rows"], key=lambda r: (r["dim"], r["threads"], order.index(r["peer"]))
    ):
        start = [row["dim"], row["threads"], row["peer"]]
        if row["failure"]:
            lines.append([*start, row["failure"], None, None, None, None, None])
            continue
        shares = [f"{100 * row[key]:.0f} %" for key in ("share", "cpu_share")]
        wrong = f"{100 * row['wrong']:.3f} %"
        lines.append([*start, row["gflops"], *shares, row["ns_per_pair"], wrong, row["load"]])
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=list(PEERS), nargs="*", default=list(PEERS))
    parser.add_argument("--dim", type=int, nargs="*", default=list(DIMS))
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--product", type=int, default=PRODUCT, help="size of the matrix product")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "kernels.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--crossed", type=int, nargs="*", metavar="A", help="crossed draws instead")
    options = parser.parse_args(arguments)
    if options.crossed is not None:
        return main_crossed(options)
    size = (options.rows, options.targets, options.product)
    for dim in [] if options.table else options.dim:
        for count in options.threads:
            results.merge(options.out, run(options.peer, dim, count, size), KEY)
    print(markdown(results.read(options.out)))
    return 0


def main_crossed(options: argparse.Namespace) -> int:
    """Measure the factorised path with blocks of some rows A, merge, print its table."""
    out = options.out.with_name("crossed.json")
    if not options.table:
        with threads(options.threads[0]):
            crossed.run(out, rows=options.crossed or crossed.ROWS)
    print(crossed.markdown(results.read(out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
