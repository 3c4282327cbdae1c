"""The vectors of this machine's processor, for kernels that are written in LLVM's own terms."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.codegen import get_host_cpu_features

_FEATURES = set(get_host_cpu_features().split(","))  # what Numba compiles for

BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx" in _FEATURES else 16
"""Bytes of one vector."""
MANY = bool(_FEATURES & {"+avx512f", "+neon"})
"""Whether there are thirty-two vector registers instead of sixteen."""
FUSED = bool(_FEATURES & {"+fma", "+neon"})
"""Whether a product and its sum are one instruction, rounded once."""


def splat(builder: Any, number: Any, kind: Any) -> Any:
    """Emit a vector of equal numbers.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where to.
    number : llvmlite.ir.Value
        The number.
    kind : llvmlite.ir.VectorType
        Type of the vector.

    Returns
    -------
    llvmlite.ir.Value
        The vector.
    """
    place = ir.IntType(32)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(place, 0))
    mask = ir.Constant(ir.VectorType(place, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, mask)
