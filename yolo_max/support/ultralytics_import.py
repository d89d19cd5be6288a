"""Importing ultralytics without what it does on the side.

On import it looks up hosts to see whether it is online, prints, writes a settings file into the user's
configuration folder, and switches OpenCV to one thread; later it may install packages by itself. Whoever
needs it gets it from here.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from yolo_max.support.cache import cache_root

# Read by ultralytics when it is imported. A user's own YOLO_CONFIG_DIR stays.
_QUIET = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "true",
}


def import_ultralytics() -> ModuleType:
    """The ``ultralytics`` package, imported quietly, offline, and with its settings in yolo_max's own cache.

    An ultralytics that is already imported is returned as it is. The process environment is left as it was.
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
