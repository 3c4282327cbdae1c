"""List and run the benchmarks: ``python -m benchmarks`` runs all, with a name one of them."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "efficiency": "rms cell error over the statistical limit at equal samples, beside peers",
    "exact": "seconds of exact solvers in the square and the cube, beside peers",
    "sampled": "seconds of sampled solvers to an rms cell error, beside peers (1,000 targets)",
    "kernels": "rate of the search for winners, beside a matrix product and other libraries",
    "growth": "CPU time of a draw against d: inner products, and crossed draws in blocks",
    "generation": "modes, mixture and novelty of samplers on laws that are known, beside rivals",
    "hierarchy": "test error against data on sparse random hierarchies, rescaled by the law",
    "hierarchy_generation": "precision, recall, novelty on data whose grammar is known, by parsing",
    "transport_buys": "what the transport itself buys, beside the same codes without it",
    "manifolds": "projection error, neighbours and dimension on four known manifolds",
    "depth": "accuracy against depth from two initialisations, beside the predicted cut-off",
    "theory": "exact linear pieces beside plain routes; curves that a network cannot encode",
    "sparsity": "weight decay beside PathProx, few neurons, ridge functions in d = 2..64",
}
ON_REQUEST = {
    "depth_unseen": "the suggested depth on other data, widths and activations (needs fashion-mnist)",
    "deformation": "training on deformed images: errors and relative stability (needs mnist)",
    "gpu": "kernels and solvers on a GPU beside eager torch and OTT-JAX (needs one)",
    "generation_pythae": "RAE and two-stage VAE by pythae beside our samplers (needs pythae, mnist)",
    "full_run": "a data set from training to report: times, memory, errors (needs --data, --run)",
    "sampled_map": "targets in a memory map larger than the memory (needs --folder with 21 GB)",
    "sampled_tiles": "masses of groups of cells, with steps of tiles and without (minutes)",
    "sampled_trend": "masses of near and far cells at an rms of 0.05: noise or bias (minutes)",
    "tables": "write the tables of README.md from results/*.json",
}


def main(arguments: list[str]) -> int:
    """Run what is named, or everything."""
    if arguments and arguments[0] in BENCHMARKS | ON_REQUEST:
        return importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    for name, text in (BENCHMARKS | ON_REQUEST).items():
        print(f"{name:20} {text}")
    if arguments:
        known = arguments in (["--help"], ["-h"], ["--list"])
        return 0 if known else 2
    for name in BENCHMARKS:
        print(f"\n{name}")
        importlib.import_module(f"benchmarks.{name}").main([])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
