"""MAX's modules, imported without their heavy dependencies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class _WhenCalled(ModuleType):
    """Stands in for a module until one of its functions is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: getattr(import_module(self.__name__), name)(*args, **kwargs)


# max.nn imports all layers of language models, and their caches a Mojo module. Importing that compiles it,
# which takes long and needs a C compiler; it also starts a Python that looks for modules in the working
# directory and makes child processes use another Python. No layer here needs it.
_CACHE_OPERATIONS = "max._kv_cache_ops"
_absent = _CACHE_OPERATIONS not in sys.modules
if _absent:
    sys.modules[_CACHE_OPERATIONS] = _WhenCalled(_CACHE_OPERATIONS)
try:
    from max.nn.layer import LayerList, Module
    from max.nn.sequential import Sequential
finally:
    if _absent:
        del sys.modules[_CACHE_OPERATIONS]

__all__ = ["LayerList", "Module", "Sequential"]
