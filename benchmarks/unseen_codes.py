"""Do codes of images that the autoencoder has not seen lie farther from the codes that it was fitted to?

    python -m benchmarks.unseen_codes --data digits --latent-dim 16

If so, a calibration on codes of fitted images would ask for too little novelty. Medians of the distance to the
nearest fitted code of another group: of fitted images, of those kept for early stopping, and of test images;
of images that are alone in their group (all, where a set tells of no variants), so that all three are alike.
Beside them the distance of fitted images to the nearest code of any group, which variants shorten.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import generation_images_models as models, results
from ot_latent._random import Stream, generator
from ot_latent.config import TrainingConfig
from ot_latent.datasets.loading import load
from ot_latent.latent.batches import split_rows

KEY = ("data", "rows", "latent_dim", "asked_epochs", "seed")
MOST = 3000  # codes of a kind that are looked at


def run(
    data: str, seed: int, rows: int, latent_dim: int, epochs: int | None, runs: Path
) -> dict[str, Any]:
    """Return one row: losses, and medians of distances in units of the codes' rms."""
    train, test = (load(data, split=split) for split in ("train", "test"))
    order = generator(seed, Stream.SPLIT, 4).permutation(len(train))[:rows]
    chosen = np.sort(order)
    groups = None if train.groups is None else train.groups[chosen]
    folder = runs / data / f"{len(chosen)}-{latent_dim}-{seed}" / "coder"
    settings: dict[str, Any] = {
        "seed": seed,
        "groups": groups,
        "latent_dim": latent_dim,
        "epochs": epochs,
    }
    coder, told = models.coder(folder, train.x[chosen], **settings)
    some = generator(seed, Stream.SPLIT, 2).permutation(len(test))[:MOST]
    codes, fresh = (torch.from_numpy(coder.encode(x)) for x in (train.x[chosen], test.x[some]))
    kinds = np.arange(len(chosen)) if groups is None else groups
    share = TrainingConfig().validation_fraction
    fitted, unseen = (
        part.numpy() for part in split_rows(torch.arange(len(chosen)), share, seed, groups)
    )
    best = min(told["history"], key=lambda entry: entry["validation_loss"])
    scale = float(codes[fitted].std(dim=0).square().mean().sqrt())
    away = lambda z, own: _median(z, codes[fitted], own, kinds[fitted]) / scale  # noqa: E731
    few, rare = fitted[alone(kinds[fitted])][:MOST], unseen[alone(kinds[unseen])]
    new = np.arange(len(fresh)) if test.groups is None else test.groups[some]
    return {
        "data": data, "rows": len(chosen), "latent_dim": latent_dim, "asked_epochs": epochs,
        "seed": seed, "epochs": best["epoch"], "train_loss": best["train_loss"],
        "validation_loss": best["validation_loss"], "unseen_rows": len(rare),
        "fitted": away(codes[few], kinds[few]), "unseen": away(codes[rare], kinds[rare]),
        "test": away(fresh[alone(new)], np.full(int(alone(new).sum()), -1)),
        "any_group": away(codes[fitted[:MOST]], None),
    }  # fmt: skip


def alone(groups: np.ndarray) -> np.ndarray:
    """Return which rows share their group with no other."""
    number, count = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    return count[number] == 1


def _median(
    z: torch.Tensor, codes: torch.Tensor, own: np.ndarray | None, kinds: np.ndarray
) -> float:
    """Return the median distance to the nearest code of another group, or to another code."""
    distances = torch.cdist(z.double(), codes.double())
    if own is None:
        return float(distances.topk(2, dim=1, largest=False).values[:, 1].median())
    same = torch.from_numpy(own[:, None] == kinds[None])
    return float(distances.masked_fill(same, torch.inf).amin(dim=1).median())


def markdown(record: dict[str, Any]) -> str:
    """Return the table: means over seeds."""
    cases: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        cases.setdefault(tuple(row[k] for k in KEY[:3]), []).append(row)
    lines = []
    for (data, rows, dim), own in cases.items():
        mean = {k: float(np.mean([r[k] for r in own])) for k in own[0] if k not in KEY}
        line = [data, rows, dim, len(own), mean["validation_loss"] / mean["train_loss"]]
        line += [mean[k] for k in ("any_group", "fitted", "unseen", "test")]
        ratios = [row["unseen"] / row["fitted"] for row in own]
        lines.append([*line, f"{min(ratios):.2f} to {max(ratios):.2f}"])
    head = ["data", "rows", "latent dimension", "seeds", "validation over training loss"]
    head += ["fitted, any group", "fitted", "unseen", "test", "unseen over fitted"]
    return results.table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, merge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--latent-dim", type=int, default=32)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/generation"))
    parser.add_argument("--out", type=Path, default=results.FOLDER / "unseen_codes.json")
    options = parser.parse_args(arguments)
    sizes = (options.rows, options.latent_dim, options.epochs, options.runs)
    for seed in options.seeds:
        record = results.merge(options.out, [run(options.data, seed, *sizes)], KEY)
    print(markdown(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
