"""Triton where it is installed: what the GPU kernels are written in, and whether they can be trusted.

Imported on use only. Without Triton the kernels' modules can still be imported and read; nothing in
them runs. A kernel is tried once per device on a small problem with known results before it is used.
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from typing import Any

import torch

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = tl = None

__all__ = ["installed", "interpreted", "jit", "passes", "tl"]

FAILURES = (ImportError, OSError, RuntimeError, subprocess.CalledProcessError)
"""What compiling or launching may raise: no compiler, no driver, no memory."""


def installed() -> bool:
    """Return whether Triton can be imported.

    Returns
    -------
    bool
        False on most machines without a GPU.
    """
    return triton is not None


def interpreted() -> bool:
    """Return whether kernels are interpreted on the CPU, as ``TRITON_INTERPRET=1`` asks for.

    Returns
    -------
    bool
        True in tests without a GPU.
    """
    return bool(triton is not None and triton.knobs.runtime.interpret)


def jit(*sizes: str) -> Callable[[Callable[..., Any]], Any]:
    """Mark a function as a kernel.

    Parameters
    ----------
    *sizes : str
        Arguments whose values the compiler shall not look at, so that one compilation serves all.

    Returns
    -------
    callable
        Makes a function in Triton's language a kernel, to be launched as ``kernel[grid](...)``;
        leaves it as it is where Triton is missing.
    """
    if triton is None:
        return lambda function: function
    return triton.jit(do_not_specialize=list(sizes))


def passes(trial: Callable[[torch.device], bool], device: torch.device) -> bool:
    """Return whether a kernel can be used on a device: Triton is there, and a trial succeeds.

    Parameters
    ----------
    trial : callable
        Runs the kernel on a small problem on a device; tells whether the results were right.
    device : torch.device
        Where.

    Returns
    -------
    bool
        Whether to use it.

    Warns
    -----
    RuntimeWarning
        If Triton is there and the trial fails; eager operations serve instead.
    """
    if not installed():
        return False
    try:
        right, what = trial(device), "wrong results"
    except (*FAILURES, triton.errors.TritonError) as error:
        right, what = False, f"{type(error).__name__}: {error}"
    if not right:
        warnings.warn(
            f"Triton kernels must pass a trial on {device}, got {what}; slower eager operations "
            "are used: try another version of Triton.",
            RuntimeWarning,
            stacklevel=3,
        )
    return right
