"""The command line with a fake network: ``fake_cli.py predict ...``; an image takes it FAKE_NAP seconds."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from fakes import SharedEngine, fake_weights

import yolo_max.predict.predictor
from yolo_max.cli import main


def make_engine(*_: object, report: Any = None, **__: object) -> SharedEngine:
    if report:
        report("Compiling the network.")
    time.sleep(float(os.environ.get("FAKE_COMPILE", "0")))
    return SharedEngine(nap=float(os.environ.get("FAKE_NAP", "0")))


if __name__ == "__main__":
    setattr(yolo_max.predict.predictor, "make_engine", make_engine)  # noqa: B010
    setattr(yolo_max.predict.predictor, "load_weights", lambda _: fake_weights())  # noqa: B010
    setattr(yolo_max.predict.predictor, "precompile_on_first_start", lambda: None)  # noqa: B010
    if "FAKE_MODULES" in os.environ:
        import atexit

        atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
    main()
