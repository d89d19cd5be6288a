"""Importing ultralytics without its side effects.

On import it resolves host names to see whether it is online, prints, writes a settings file to the user's
configuration folder, and limits OpenCV to one thread; later it may install packages. Always import it from
here.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from yolo_max.support.cache import cache_root

# ultralytics reads these on import. A YOLO_CONFIG_DIR set by the user is kept.
_QUIET = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "true",
}


def import_ultralytics() -> ModuleType:
    """The ``ultralytics`` package, imported quietly, offline, and with its settings in yolo_max's own cache.

    If ultralytics is already imported, it is returned unchanged. The environment is restored.
    """
    if (loaded := sys.modules.get("ultralytics")) is not None:
        return loaded
    import cv2

    threads = cv2.getNumThreads()
    before = {name: os.environ.get(name) for name in (*_QUIET, "YOLO_CONFIG_DIR")}
    os.environ.update(_QUIET)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_root() / "ultralytics"))
    try:
        return importlib.import_module("ultralytics")
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        cv2.setNumThreads(threads)
