"""Write the tables of ``results/*.json`` into README.md, between its markers: no number by hand."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    crossed,
    deformation,
    efficiency,
    exact,
    full_run,
    generation,
    gpu,
    growth,
    hierarchy,
    hierarchy_generation,
    kernels,
    known_maps,
    manifolds,
    results,
    sampled,
    sampled_map,
    sampled_tiles,
    sampled_trend,
    starts,
    theory,
    transport_buys,
)

README = Path(__file__).parent / "README.md"
NOT_YET = "*Not measured yet.*"
WRITERS = {
    "crossed": crossed.markdown,
    "deformation": deformation.markdown,
    "efficiency": efficiency.markdown,
    "exact": exact.markdown,
    "generation_ablation": generation.ablation.markdown,
    "generation_autoencoders": generation.autoencoders.markdown,
    "generation_images": generation.generation_images_table.markdown,
    "generation_stacked": generation.generation_stacked_table.markdown,
    "generation_toy": generation.markdown,
    "generation_tradeoff": generation.tradeoff.markdown,
    "gpu": gpu.markdown,
    "growth": growth.markdown,
    "hierarchy": hierarchy.markdown,
    "hierarchy_generation": hierarchy_generation.markdown,
    "kernels": kernels.markdown,
    "known_maps": known_maps.markdown,
    "manifolds": manifolds.markdown,
    "sampled": sampled.markdown,
    "sampled_map": sampled_map.markdown,
    "sampled_tiles": sampled_tiles.markdown,
    "sampled_trend": sampled_trend.markdown,
    "starts": starts.markdown,
    "theory": theory.markdown,
    "transport_buys": transport_buys.markdown,
}


def section(name: str, folder: Path) -> str:
    """Return what belongs between the markers of a name."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return NOT_YET
    record = results.read(path)
    table = WRITERS.get(name, full_run.markdown)(record)
    return f"{_origin(record['machine'])}\n\n{table}"


def _origin(machine: dict[str, Any]) -> str:
    """Say on what, with what and when it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} thread(s), "
        f"Python {machine['python']}, {versions}; {machine['date']}."
    )


def fill(text: str, folder: Path) -> str:
    """Return the page with every marked section written anew."""

    def written(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"<!-- {name} -->\n{section(name, folder)}\n<!-- /{name} -->"

    return re.sub(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->", written, text, flags=re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    options.readme.write_text(fill(options.readme.read_text(), options.results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
