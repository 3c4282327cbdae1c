"""Public names that load their module on first use (PEP 562), so that importing stays light."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attach(
    package: str, exports: Mapping[str, Iterable[str]], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    exports : mapping of str to iterable of str
        For each module of the package, the public names that it defines.
    modules : iterable of str
        Modules of the package that are public themselves.

    Returns
    -------
    tuple
        The two functions and the sorted list of public names.

    Examples
    --------
    >>> get, names, public = attach("ot_latent", {"_validation": ["DataError"]}, ["_random"])
    >>> get("DataError").__name__, public
    ('DataError', ['DataError', '_random'])
    >>> get("Nothing")
    Traceback (most recent call last):
        ...
    AttributeError: module 'ot_latent' has no attribute 'Nothing'
    """
    home = {name: module for module, names in exports.items() for name in names}
    children = {*modules, *exports}
    public = sorted({*home, *modules})

    def __getattr__(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        if name in children:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return public

    return __getattr__, __dir__, public
