"""An Accelerator of our own that leaves the process's shared one as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def own_accelerator(device: torch.device, precision: str) -> Iterator[Accelerator]:
    """Lend an Accelerator for one training.

    accelerate keeps its state in shared dictionaries, so a second Accelerator of other settings
    is refused or silently takes the first one's. They are emptied here and filled again after.

    Parameters
    ----------
    device : torch.device
        CPU or GPU; under `torchrun`, the kind of device of every process.
    precision : str
        "no", "bf16" or "fp16".

    Yields
    ------
    Accelerator
        The fresh one.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    shared = [c._shared_state for c in (PartialState, AcceleratorState, GradientState)]
    kept = [dict(s) for s in shared]
    for values in shared:
        values.clear()
    try:
        yield Accelerator(cpu=device.type == "cpu", mixed_precision=precision)
    finally:
        for values, before in zip(shared, kept, strict=True):
            values.clear()
            values.update(before)
