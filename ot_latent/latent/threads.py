"""How many threads a training takes: small rows are not worth waking a second one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

SMALL = 256
"""Values of a row up to which one thread was at least as fast as two, quiet or not (two cores)."""


@contextmanager
def threads_for(shape: Sequence[int]) -> Iterator[None]:
    """Let PyTorch compute small rows with one thread; put its number of threads back afterwards.

    A step on digits of 8 x 8 pixels takes ten milliseconds in a hundred operations. Threads that
    sleep between them take twice as long, threads that spin four times where another process
    wants their core.

    Parameters
    ----------
    shape : sequence of int
        Shape of a row.

    Yields
    ------
    None
        While the number of threads is right for such rows.

    Examples
    --------
    >>> with threads_for((1, 8, 8)):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if math.prod(shape) <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
