"""A stand-in for a GPU: its numbers lie on the CPU, but meet the CPU's only where a GPU's would.

Under `Elsewhere` a tensor that is moved to the device ``AWAY`` becomes a `There`. Operations on such
tensors are carried out on the CPU and their results are `There`, too; one that mixes them with tensors
of the CPU (numbers and indices apart) raises, as it would with a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

AWAY = torch.device("meta")  # a name that no code of ours asks for
_ATEN = torch.ops.aten
_COPIES = (_ATEN._to_copy.default, _ATEN.copy_.default)
_INDEXING = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default)


class There(torch.Tensor):
    """A tensor that says it lies on the device `AWAY`."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner):
        there = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=AWAY,
        )
        there.inner = inner
        return there

    def tolist(self):
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Inside, the device `AWAY` holds numbers."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Carry out an operation on the CPU; its result lies where the arguments do, or is asked to."""
    away = any(isinstance(leaf, There) for leaf in tree_leaves((args, kwargs)))
    if away and function not in _COPIES:
        _refuse_mixture(function, args, kwargs)
    asked = kwargs.get("device")
    if asked is not None:
        away = torch.device(asked).type == AWAY.type
        kwargs = kwargs | {"device": torch.device("cpu")}
    args_, kwargs = tree_map(lambda t: t.inner if isinstance(t, There) else t, (args, kwargs))
    found = function(*args_, **kwargs)
    if function._schema.is_mutable and function._schema.name.endswith("_"):
        return args[0]
    return tree_map(lambda t: There(t) if away and isinstance(t, torch.Tensor) else t, found)


def _refuse_mixture(function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise where tensors of both devices meet."""
    meeting = (args[0], args[2:]) if function in _INDEXING else (args, kwargs)
    for leaf in tree_leaves(meeting):
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, There) and leaf.ndim:
            raise RuntimeError(f"{function} meets tensors of two devices")
