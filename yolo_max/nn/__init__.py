"""The hand port of YOLOv8 onto MAX, and nothing else.

blocks.py, head.py  Conv, Bottleneck, C2f, SPPF; the detect head up to its logits
feature_map.py      what flows between them: views of tensors
model.py            the registry of blocks, and the walk through the checkpoint's table
backend.py          what a block needs to be computed
fused.py, stock.py  that on the Mojo kernels, and on MAX's own operations
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class _WhenCalled(ModuleType):
    """Stands for a module that is to be imported not before one of its functions is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: getattr(import_module(self.__name__), name)(*args, **kwargs)


# max.nn brings along all layers of language models, and their caches a module in Mojo. That would be compiled
# when it is imported, which takes long, and a C compiler; and it starts a Python that looks for modules
# in the working directory and tells child processes to be another Python. No layer here needs it.
_CACHE_OPERATIONS = "max._kv_cache_ops"
if _CACHE_OPERATIONS not in sys.modules:
    sys.modules[_CACHE_OPERATIONS] = _WhenCalled(_CACHE_OPERATIONS)
    try:
        import max.nn  # noqa: F401
    finally:
        del sys.modules[_CACHE_OPERATIONS]
